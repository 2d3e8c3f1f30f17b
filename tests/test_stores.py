"""Writes into tensors that a function has made: in loops, through views, at run-time positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from jit import explain

Tensor = torch.Tensor


def rows(x: Tensor, n: int) -> Tensor:
    y = torch.zeros_like(x)
    for i in range(1, n):
        y[i] = y[i - 1] * 0.5 + x[i]
    return y


def elements(x: Tensor, n: int) -> Tensor:
    y = torch.full((5, 4), 7.0)
    for i in range(n):
        y[i, 3 - i] = float(x[i, i]) * 2
        y[-1, i] += 1
    return y


def columns(x: Tensor, n: int) -> Tensor:
    y = torch.empty(4, 5)
    for i in range(5):
        y[:, i] = x[i]
        y.t()[i][1:3] *= n
    return y


def counts(x: Tensor, n: int) -> Tensor:
    y = torch.zeros(4, dtype=torch.int64)
    for i in range(n):
        y[i] = x[i].sum()
        y[int(x[i].abs().argmax())] += i + 1
    return y


def view_before(x: Tensor, n: int) -> tuple[float, Tensor]:
    y = x * 1.0
    total = 0.0
    for i in range(n):
        row, before = y[i], y[i].sum()
        y[i] = x[i - 1] + before
        total += float(row.sum()) - float(before)
    return total, y


def two_rows(x: Tensor, n: int) -> Tensor:
    y = x.clone()
    for i in range(n):
        for j in range(i + 1, n):
            d = (y[i] - y[j]) * 0.25
            y[i] -= d
            y[j] += d
            y[i] = y[j]
    return y


def swapped(x: Tensor, n: int) -> Tensor:
    a, b = torch.zeros(4), torch.ones(4)
    for i in range(n):
        for j in range(4):
            b[j] = a[j - 1] + x[i, j]
        a, b = b, a
    return a - b


def fresh(x: Tensor, n: int) -> Tensor:
    previous = torch.arange(4.0)
    for i in range(n):
        current = torch.zeros(4)
        for j in range(1, 4):
            current[j] = torch.maximum(previous[j - 1], current[j - 1]) + x[i, j]
        previous = current
    return previous


def branches(x: Tensor, n: int) -> Tensor:
    y = torch.zeros(5)
    for i in range(n):
        if float(x[i, 0]) > 0:
            y[i] = x[i, 1]
        else:
            y[i] -= x[i].abs().max()
    return y


def whole(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    y = torch.ones(5, 4)
    for i in range(n):
        y *= x[i]
        y[i].clamp_(min=-1.0)
    return y, y[0]


def reduced(x: Tensor, n: int) -> Tensor:
    y = torch.zeros(5, 4)
    for i in range(n):
        y[i] = x.cumsum(0)[i] / (1 + y.sum().abs())
    return y.sum(0) + y.amax(1).sum()


def products(x: Tensor, n: int) -> Tensor:
    y = torch.zeros(5, 5)
    for i in range(n):
        y[i] = (x @ x[i] + y.t() @ y[i - 1]) * 0.1
    return y @ x


def listed(x: Tensor, n: int) -> tuple[list[int], Tensor]:
    score = x[0]
    path: list[int] = []
    for i in range(n):
        score = score + x[i]
        path.append(int(score.argmax()))
    return path, score


FUNCTIONS = [
    rows, elements, columns, counts, view_before, two_rows, swapped, fresh, branches, whole,
    reduced, products, listed,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_stores(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    generator = torch.Generator().manual_seed(0)
    for n in (3, 4, 2, 1, 0, 4):
        x = torch.randn(5, 4, generator=generator)
        torch.testing.assert_close(native(x, n), function(x, n), rtol=1e-5, atol=1e-5)
        wide = torch.randn(5, 8, generator=generator)[:, ::2]
        torch.testing.assert_close(native(wide, n), function(wide, n), rtol=1e-5, atol=1e-5)
    assert jit.stats(native).native >= 10
    assert "called back" not in str(explain(native))


@pytest.mark.parametrize("function", [rows, swapped], ids=lambda f: f.__name__)
def test_inputs_that_need_gradients(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    x = torch.randn(5, 4)
    for k in range(4):
        given = x.clone().requires_grad_(k % 2 == 1)
        torch.testing.assert_close(native(given, 3), function(given, 3))


@pytest.mark.parametrize("function", [rows, elements, branches], ids=lambda f: f.__name__)
def test_stores_out_of_range(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    x = torch.ones(5, 4)
    for _ in range(3):
        native(x, 3)
    with pytest.raises(IndexError):
        native(x, 6)
    torch.testing.assert_close(native(x, 3), function(x, 3))


def test_results_share_memory() -> None:
    native = jit.jit(whole)
    x = torch.rand(5, 4)
    for _ in range(3):
        y, row = native(x, 2)
        row.fill_(9)
        assert y[0].tolist() == [9.0] * 4


# what is not native goes on as in eager mode ------------------------------------------------------
def shifted(x: Tensor, n: int) -> Tensor:
    y = x * 1.0
    for _ in range(n):
        y[1:].add_(y[:-1])
    return y


def spread(x: Tensor, n: int) -> Tensor:
    y = x[0] * 1.0
    for _ in range(n):
        y.expand(3, 4).add_(1.0)
    return y


def cast(x: Tensor, n: int) -> Tensor:
    y = torch.zeros(4, dtype=torch.int64)
    for i in range(n):
        y[i].add_(x[i, i])
    return y


@pytest.mark.parametrize("function", [shifted, spread, cast], ids=lambda f: f.__name__)
def test_writes_that_eager_refuses(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    x = torch.ones(5, 4)
    for _ in range(2):
        native(x, 0)
    with pytest.raises(RuntimeError):
        native(x, 2)


def kept_names(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    first = torch.zeros(4)
    last = first
    for i in range(n):
        last[i] += x[i, i]
        last = last + 1 if i % 2 else first
    return first, last


def chosen(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    a, b = torch.zeros(4), torch.ones(4)
    for i in range(n):
        c = a if float(x[i, 0]) > 0 else b
        c[i] += x[i, 1]
    return a, b


def sorted_rows(x: Tensor, n: int) -> Tensor:
    y = torch.zeros(5, 4)
    for i in range(n):
        y[i] = x[i].sort()[0]
        y[i].index_add_(0, torch.zeros(1, dtype=torch.int64), x[i][:1])
    return y


OTHERS = [kept_names, chosen, sorted_rows]


@pytest.mark.parametrize("function", OTHERS, ids=lambda f: f.__name__)
def test_other_names(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    generator = torch.Generator().manual_seed(0)
    for n in (3, 4, 2, 0):
        x = torch.randn(5, 4, generator=generator)
        torch.testing.assert_close(native(x, n), function(x, n), rtol=1e-5, atol=1e-5)
