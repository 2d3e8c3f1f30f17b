"""Members at positions that are data, and the best members of a dim: plans against eager mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

import jit
from jit import explain

Tensor = torch.Tensor


def walk(table: Tensor, index: Tensor) -> Tensor:
    total = torch.zeros(3)
    for i in range(4):
        total = total * 0.5 + table[index].sum(0)[:3] + i
    return total


def negative(table: Tensor, index: Tensor) -> Tensor:
    return table[index - 5] * 2 + table[-index - 1]


def later_dim(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    return table[:, index] + 1, table.t()[index % 3]


def selected(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    return table.index_select(0, index), table.index_select(1, index % 3).exp()


def embedded(table: Tensor, index: Tensor) -> Tensor:
    return functional.embedding(index.reshape(2, -1), table) * 3


def gathered(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    places = index.reshape(-1, 1)
    return table.gather(0, places.expand(-1, 2)), table.t().gather(1, places[:3] % 5)


LOOKUPS = [walk, negative, selected, embedded, gathered]


@pytest.mark.parametrize("integer", [torch.int64, torch.int32], ids=["int64", "int32"])
@pytest.mark.parametrize("function", [*LOOKUPS, later_dim], ids=lambda f: f.__name__)
def test_lookups(function: Callable[..., Any], integer: torch.dtype) -> None:
    if function is gathered and integer is torch.int32:
        pytest.skip("gather takes int64")
    native = jit.jit(function)
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        for rows, count in ((5, 4), (5, 6), (7, 4), (9, 8)):
            table = torch.randn(rows, 3, generator=generator, dtype=dtype)
            index = torch.randint(0, 3 if function is later_dim else 5, (count,)).to(integer)
            torch.testing.assert_close(native(table, index), function(table, index))
    assert function is later_dim or "called back" not in str(explain(native))
    for _ in range(3):
        wide = torch.randn(5, 6, generator=generator)[:, ::2]
        torch.testing.assert_close(native(wide, index), function(wide, index))


@pytest.mark.parametrize("wrong", [99, -99])
@pytest.mark.parametrize("function", LOOKUPS, ids=lambda f: f.__name__)
def test_positions_out_of_range(function: Callable[..., Any], wrong: int) -> None:
    native = jit.jit(function)
    table, index = torch.randn(5, 3), torch.tensor([1, 2, 3, 0])
    for _ in range(3):
        native(table, index)
    bad = torch.tensor([1, wrong, 2, 0])
    with pytest.raises((IndexError, RuntimeError)) as eager:
        function(table, bad)
    with pytest.raises(eager.type):
        native(table, bad)
    torch.testing.assert_close(native(table, index), function(table, index))


# the best members ---------------------------------------------------------------------------------
def best(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    values, places = x.topk(3)
    least, where = x.topk(2, 0, largest=False)
    return values * 2, places, least + 1, where


def best_of_one(x: Tensor) -> tuple[Tensor, Tensor]:
    values, places = x[0].topk(4)
    return values, places + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("function", [best, best_of_one], ids=lambda f: f.__name__)
def test_best(function: Callable[..., Any], dtype: torch.dtype) -> None:
    native = jit.jit(function)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        x = torch.randperm(42, generator=generator).view(6, 7).to(dtype)
        if dtype.is_floating_point:
            x[0, 1], x[0, 3], x[2, 3] = math.inf, -math.inf, math.nan
        for given in (x, x.repeat(1, 2)[:, ::2].contiguous()[:, :7], x[:, :5]):
            torch.testing.assert_close(native(given), function(given), equal_nan=True)
    assert "called back" not in str(explain(native))


def test_more_than_there_are() -> None:
    native = jit.jit(best_of_one)
    native(torch.rand(2, 5)), native(torch.rand(2, 5))
    with pytest.raises(RuntimeError):
        native(torch.rand(2, 3))


def beam(scores: Tensor, steps: int) -> tuple[list[int], Tensor]:
    score, last = scores[0].topk(3)
    words = torch.zeros(steps, 3, dtype=torch.int64)
    parents = torch.zeros(steps, 3, dtype=torch.int64)
    words[0] = last
    for t in range(1, steps):
        total = score[:, None] + scores[last]
        score, flat = total.reshape(-1).topk(3)
        last = flat % scores.size(0)
        words[t] = last
        parents[t] = flat // scores.size(0)
    path: list[int] = []
    b = int(score.argmax())
    for t in range(steps - 1, -1, -1):
        path.append(int(words[t, b]))
        b = int(parents[t, b])
    return path, score


def test_beam_search() -> None:
    native = jit.jit(beam)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        scores = torch.randn(9, 9, generator=generator).log_softmax(-1)
        torch.testing.assert_close(native(scores, 12), beam(scores, 12))
    assert "called back" not in str(explain(native))
