"""Reductions of reductions: rows of many elements and of one in the same computation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import jit


def products(x: torch.Tensor) -> torch.Tensor:
    h = x.t() @ x
    return torch.tanh(h @ x[0].unsqueeze(1) @ x[0].unsqueeze(0))


def scalars(x: torch.Tensor) -> torch.Tensor:
    return (x.sum() * 2).sum() + x.sum()


def largest(x: torch.Tensor) -> torch.Tensor:
    return (x.sum() * 2).amax() + x.mean(0, keepdim=True).amax(0)


def kept(x: torch.Tensor) -> torch.Tensor:
    total = x.sum(1, keepdim=True)
    return torch.exp(-(total * 2).square().sum(1, keepdim=True)) + x


@pytest.mark.parametrize("function", [products, scalars, largest, kept], ids=lambda f: f.__name__)
@pytest.mark.parametrize("step", [1, 2], ids=["dense", "strided"])
def test_rows_of_one_element(function: Callable[[torch.Tensor], torch.Tensor], step: int) -> None:
    native = jit.jit(function)
    x = torch.randn(5, 4 * step, generator=torch.Generator().manual_seed(1))[:, ::step]
    for _ in range(3):
        torch.testing.assert_close(native(x), function(x), rtol=1e-5, atol=1e-5)
    assert jit.stats(native).native == 2
