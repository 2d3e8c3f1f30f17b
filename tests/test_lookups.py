"""Reads at positions that are data: fused into loop nests, exact in every layout, and refused as
eager refuses them; the best members of a dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import jit

TABLE = torch.linspace(-3, 3, 50 * 24).reshape(50, 24)
ROWS = torch.tensor([[1, 49, 0, 7, 7], [3, 3, 48, 2, 0], [9, 8, 7, 6, 5]])
COLUMNS = torch.tensor([[1, 23, 0, 7, 7], [3, 3, 22, 2, 0], [9, 8, 7, 6, 5]])


def embedding(table: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return torch.tanh(F.embedding(rows, table) * 2 + 1)


def bags(table: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return (
        F.embedding_bag(rows, table, mode="sum"),
        F.embedding_bag(rows, table, mode="mean") + 1,
        F.embedding_bag(rows, table, mode="max"),
    )


def selected(table: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    last = columns[0].int()
    return table.index_select(1, columns[1]) + 1, table.t()[:, 1:].index_select(0, last), table[0]


def gathered(table: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    return table.gather(1, columns) * 2, table[1:40:3].gather(0, rows[:1] % 13).sum()


def indexed(table: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    computed = (table + 1)[rows[0] - 50]  # negative positions count from the end
    return table[rows, columns], computed.sum(0), table[:, columns[0]].exp()


def at_positions_that_are_computed(table: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    best = table[:5, :20].argmax(1)
    return table[best] + table[(rows[0] * 7 + columns[0]) % 50]


FUNCTIONS = [embedding, bags, selected, gathered, indexed, at_positions_that_are_computed]


def is_fused(compiled: object) -> bool:
    places = [p for line in jit.explain(compiled).lines for p in line.places]  # type: ignore[arg-type]
    return all(p.tier in ("kernel", "view", "folded") for p in places)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_equals_eager(function: Callable[..., object], dtype: torch.dtype) -> None:
    if dtype == torch.int64 and function in (bags, embedding):
        return  # eager has no bags of ints
    table = (TABLE * 10).to(dtype)
    compiled = jit.jit(function)
    for count in (3, 3, 2, 1, 3, 2):
        given = table, ROWS[:count], COLUMNS[:count]
        if count == 1 and function is not embedding:
            given = table, ROWS, COLUMNS
        rtol = 2e-2 if dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(compiled(*given), function(*given), rtol=rtol, atol=rtol)
    assert jit.stats(compiled).native and is_fused(compiled)


@pytest.mark.parametrize("position", [50, -51, 10**12, -(10**12)])
@pytest.mark.parametrize("function", [embedding, indexed, gathered], ids=lambda f: f.__name__)
def test_positions_outside_raise_as_eager_does(
    function: Callable[..., object], position: int
) -> None:
    compiled = jit.jit(function)
    for _ in range(3):
        compiled(TABLE, ROWS, COLUMNS)
    rows = ROWS.clone()
    rows[0, 2] = position
    if function is gathered:
        rows, columns = ROWS, rows
    else:
        columns = COLUMNS
    with pytest.raises((IndexError, RuntimeError)) as expected:
        function(TABLE, rows, columns)
    with pytest.raises(expected.type, match=str(expected.value)[:20]):
        compiled(TABLE, rows, columns)
    compiled(TABLE, ROWS, COLUMNS)


def test_bags_with_offsets_stay_the_operator() -> None:
    def f(rows: Tensor, offsets: Tensor, table: Tensor) -> Tensor:
        return F.embedding_bag(rows, table, offsets) + 1

    compiled = jit.jit(f)
    for offsets in ([0, 2], [0, 2], [0, 4], [0, 3]):
        given = ROWS[0], torch.tensor(offsets), TABLE
        torch.testing.assert_close(compiled(*given), f(*given))


def test_a_device_is_known() -> None:
    def f(x: Tensor) -> tuple[Tensor, torch.device, list[torch.device], str]:
        steps = torch.arange(x.shape[1], device=x.device)
        return torch.zeros(4, device=x.device) + steps + x, x.device, [x.device], x.device.type

    compiled = jit.jit(f)
    x = torch.ones(3, 4)
    for _ in range(3):
        found, wanted = compiled(x), f(x)
        assert torch.equal(found[0], wanted[0]) and found[1:] == wanted[1:]
    assert isinstance(compiled(x)[1], torch.device) and is_fused(compiled)


# in loops, and by integers of any kind ------------------------------------------------------------
def walk(table: Tensor, index: Tensor) -> Tensor:
    total = torch.zeros(3)
    for i in range(4):
        total = total * 0.5 + table[index].sum(0)[:3] + i
    return total


def negative(table: Tensor, index: Tensor) -> Tensor:
    return table[index - 5] * 2 + table[-index - 1]


def later_dim(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    return table[:, index] + 1, table.t()[index % 3]


def members(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    return table.index_select(0, index), table.index_select(1, index % 3).exp()


def embedded(table: Tensor, index: Tensor) -> Tensor:
    return F.embedding(index.reshape(2, -1), table) * 3


def picked(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    places = index.reshape(-1, 1)
    return table.gather(0, places.expand(-1, 2)), table.t().gather(1, places[:3] % 5)


LOOKUPS = [walk, negative, members, embedded, picked]


@pytest.mark.parametrize("integer", [torch.int64, torch.int32], ids=["int64", "int32"])
@pytest.mark.parametrize("function", [*LOOKUPS, later_dim], ids=lambda f: f.__name__)
def test_lookups(function: Callable[..., Any], integer: torch.dtype) -> None:
    if function is picked and integer is torch.int32:
        pytest.skip("gather takes int64")
    native = jit.jit(function)
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        for rows, count in ((5, 4), (5, 6), (7, 4), (9, 8)):
            table = torch.randn(rows, 3, generator=generator, dtype=dtype)
            index = torch.randint(0, 3 if function is later_dim else 5, (count,)).to(integer)
            torch.testing.assert_close(native(table, index), function(table, index))
    assert function is later_dim or "called back" not in str(jit.explain(native))
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
    assert "called back" not in str(jit.explain(native))


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
    assert "called back" not in str(jit.explain(native))


def first_columns(table: Tensor, rows: Tensor) -> Tensor:
    return table.gather(-1, rows[None])


@pytest.mark.parametrize("rows", [3, 1, 0])
def test_an_index_larger_than_the_table_is_refused(rows: int) -> None:
    """In another dim than that of the lookup nothing else looks where it reads."""
    compiled, index = jit.jit(first_columns), torch.tensor([2, 0, 1])
    for _ in range(3):
        compiled(torch.rand(rows or 5, 4), index)
    if rows == 0:
        with pytest.raises(RuntimeError, match="Size does not match"):
            compiled(torch.rand(0, 4), index)
    many = jit.jit(lambda table, index: table.gather(0, index))
    for _ in range(3):
        many(torch.rand(4, 8), torch.zeros(2, 8, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="Size does not match"):
        many(torch.rand(4, 7), torch.zeros(2, 8, dtype=torch.int64))


def below(table: Tensor, places: Tensor) -> Tensor:
    return table.gather(0, places[None])


def picked(table: Tensor, places: Tensor) -> Tensor:
    return table[places] + 1


def chosen(table: Tensor, places: Tensor) -> Tensor:
    return torch.index_select(table, 0, places)


@pytest.mark.parametrize("function", [below, picked, chosen], ids=lambda f: f.__name__)
def test_nothing_is_found_in_an_empty_table(function: Callable[..., Tensor]) -> None:
    compiled = jit.jit(function)
    for _ in range(3):
        compiled(torch.rand(3, 4), torch.tensor([2, 0, 1, 1]))
        with pytest.raises((RuntimeError, IndexError)):
            compiled(torch.rand(0, 4), torch.tensor([2, 0, 1, 1]))
    nowhere = torch.zeros(0, dtype=torch.int64)
    for _ in range(3):
        assert compiled(torch.rand(0, 4), nowhere).numel() == 0
