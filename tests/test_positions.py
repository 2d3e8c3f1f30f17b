"""Views at positions that the run computes: results, exceptions, and one plan for all positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from jit import explain


def accumulate(x: torch.Tensor, n: int) -> torch.Tensor:
    total = torch.zeros(4)
    for i in range(n):
        total = total + torch.sin(x[i]) * x[-i - 1]
    return total


def pick(x: torch.Tensor, n: int) -> torch.Tensor:
    return x[n] * 2 + x[:, n - 1].sum()


def shared(x: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return x[n], x.t()[n % 4].exp()


def element(x: torch.Tensor, n: int) -> float:
    total = float(x[1, 0])
    for i in range(n):
        total += float(x[i, 0]) * float(x.t()[1][i])
    return total


def product(x: torch.Tensor, n: int) -> torch.Tensor:
    h = x.t() @ x
    for i in range(n):
        h = torch.tanh(h @ x[i].unsqueeze(1) @ x[i].unsqueeze(0))
    return h


FUNCTIONS = [accumulate, pick, shared, element, product]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_positions(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    generator = torch.Generator().manual_seed(0)
    for rows, n in ((5, 3), (5, 2), (5, 1), (7, 3), (9, 3), (9, 2)):
        x = torch.randn(rows, 4, generator=generator)
        torch.testing.assert_close(native(x, n), function(x, n))
        wide = torch.randn(rows, 8, generator=generator)[:, ::2]
        torch.testing.assert_close(native(wide, n), function(wide, n))
    assert jit.stats(native).compilations <= 4  # one for each layout, and one more when rows vary
    assert "called back" not in str(explain(native))


@pytest.mark.parametrize("n", [99, -99])
@pytest.mark.parametrize("function", [accumulate, pick, element], ids=lambda f: f.__name__)
def test_positions_out_of_range(function: Callable[..., Any], n: int) -> None:
    native = jit.jit(function)
    x = torch.ones(5, 4)
    for _ in range(3):
        native(x, 2)
    if n > 0 or function is pick:
        with pytest.raises(IndexError):
            native(x, n)
    torch.testing.assert_close(native(x, 3), function(x, 3))


def test_views_at_positions_share_memory() -> None:
    native = jit.jit(shared)
    x = torch.ones(5, 4)
    for n in (1, 2, 3):
        row, _ = native(x, n)
        row.fill_(n)
        assert x[n].tolist() == [n] * 4


def gathered_rows(x: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    index = torch.zeros(1, dtype=torch.int64)
    v, rows = x * 1.0, x * 2.0
    for i in range(n):
        v[i].index_add_(0, index, rows[i][:1] * 2)
        v[i].index_add_(0, index, v[i - 1][:1] * 2)
    return v, rows


def test_views_that_are_called_back() -> None:
    """Operators without a native form write into views of new tensors, in every turn."""
    native = jit.jit(gathered_rows)
    x = torch.arange(20.0).view(5, 4)
    for _ in range(3):
        torch.testing.assert_close(native(x, 4), gathered_rows(x, 4))


def table(x: torch.Tensor, n: int) -> float:
    index = torch.zeros(1, dtype=torch.int64)
    memory = torch.zeros(5, 4)
    row = x[0]
    for i in range(n):
        row = row.index_add(0, index, x[0][:1])
        memory[i].index_add_(0, index, row[:1])
    total = 0.0
    for i in range(n):
        total += float(memory[i, 0])
    return total


def test_memory_that_a_called_loop_writes() -> None:
    native = jit.jit(table)
    x = torch.ones(5, 4)
    for _ in range(3):
        assert native(x, 4) == table(x, 4)
