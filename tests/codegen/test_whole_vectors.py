"""Loops over a known extent run in whole vectors: the last one overlaps the one before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import codegen
import jit


def native(function: Callable[..., Tensor], *args: Tensor) -> codegen.Plan:
    """The only plan, after it was held against eager."""
    compiled = jit.script(function)
    for _ in range(3):
        found = compiled(*(x.clone() for x in args))
        expected = function(*(x.clone() for x in args))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (made,) = compiled.executor.compiled
    return made.plan


def chain(x: Tensor, y: Tensor) -> Tensor:
    return torch.exp(-x.abs()) * y + 1


@pytest.mark.parametrize("count", [1000, 1023, 1024, 100_003])
def test_the_rest_needs_no_code_of_its_own(count: int) -> None:
    assert "masked" not in native(chain, *torch.randn(2, count)).llvm


@pytest.mark.parametrize("width", [17, 33, 100, 1000])
def test_rows(width: int) -> None:
    native(chain, torch.randn(7, width), torch.randn(width))


def in_place(x: Tensor) -> Tensor:
    x[1:] = x[:-1] * 2 + 1
    return x.mul_(2).add_(x)


def test_what_is_written_is_not_read_again() -> None:
    native(in_place, torch.randn(1003))


def test_threads_share_the_last_vector() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        native(chain, torch.randn(1_000_003), torch.randn(1_000_003))
    finally:
        torch.set_num_threads(threads)


def wave(x: Tensor) -> Tensor:
    return torch.sin(x) + torch.cos(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_angles_that_are_reduced_piece_by_piece(dtype: torch.dtype) -> None:
    x = torch.linspace(-1e30, 1e30, 1001, dtype=dtype)
    x[::3] /= 1e28
    native(wave, x)
