"""Sizes that change in place: fresh tensors become other values, anything else stays eager's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit


def fresh(x: torch.Tensor) -> Any:
    y = x.clone()
    part = y[0]
    y.t_()
    part += 1
    return y, part, y.is_contiguous(), y.stride()


def chained(x: torch.Tensor) -> Any:
    y = torch.zeros(2, 3)
    y.copy_(x).unsqueeze_(0).unsqueeze_(-1).add_(1)
    return y * 2, y.dim(), len(y)


def squeezed(x: torch.Tensor) -> Any:
    y = x[None] + 1
    y.squeeze_(0)
    return [row.sum() for row in y]


def argument(x: torch.Tensor) -> Any:
    before = x.view(-1)
    x.t_()
    return before + 1, x + 1, x.shape, len(x)


def iterated(x: torch.Tensor) -> Any:
    x.unsqueeze_(0)
    total = torch.zeros(3)
    for row in x:
        total = total + row.sum(0)
    return total


def held(x: torch.Tensor) -> Any:
    y = x.clone()
    items = [y]
    y.t_()
    return items[0] + 1, items[0].shape


def in_a_loop(x: torch.Tensor, n: int = 3) -> Any:
    y = x.clone()
    for _ in range(n):
        y.unsqueeze_(0)
    return y, y.dim()


def in_a_branch(x: torch.Tensor) -> Any:
    y = x + 1
    if x.size(0) > 1:
        y.transpose_(0, 1)
    return y * 2, y.shape


def resized(x: torch.Tensor) -> Any:
    y = x.clone()
    y.resize_(2, 2)
    return y + 1, y.shape


def set_to(x: torch.Tensor) -> Any:
    x.set_(torch.ones(4))
    return x + 1, x.shape


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
def out_of_other_sizes(x: torch.Tensor) -> Any:
    y = torch.empty(0)
    torch.cat([x, x], out=y)
    z = torch.empty(0)
    torch.mul(x, 2, out=z)
    return y.sum(0), y.shape, z + x, len(z)


def out_of_an_argument(x: torch.Tensor) -> Any:
    torch.mul(x.t().clone(), 2, out=x)
    return x + 1, x.shape


def out_of_another_dtype(x: torch.Tensor) -> Any:
    y = torch.zeros(2, 3, dtype=torch.float64)
    torch.mul(x.to(torch.uint8), 2, out=y)
    return y


FUNCTIONS = [fresh, chained, squeezed, argument, iterated, held, in_a_loop, in_a_branch, resized,
             set_to, out_of_other_sizes, out_of_an_argument, out_of_another_dtype]  # fmt: skip


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_sizes_are_eagers(function: Callable[..., Any]) -> None:
    compiled = jit.jit(function)
    for _ in range(4):
        x = torch.arange(6.0).view(2, 3)
        y = copy.deepcopy(x)
        assert str(compiled(x)) == str(function(y))
        assert str(x) == str(y)


@pytest.mark.parametrize("function", [fresh, chained, squeezed], ids=lambda f: f.__name__)
def test_fresh_tensors_are_native(function: Callable[..., Any]) -> None:
    compiled = jit.jit(function)
    for _ in range(3):
        compiled(torch.arange(6.0).view(2, 3))
    assert jit.stats(compiled).native == 2


def test_the_reason_is_named() -> None:
    compiled = jit.jit(argument)
    for _ in range(3):
        compiled(torch.arange(6.0).view(2, 3))
    assert "sizes in place: aten::t_" in str(jit.explain(compiled))
