"""Operands that are contiguous along different dims, in one nest: tiles in which some are
transposed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from codegen import evaluate, tile
from codegen.schedule import past_caches
from codegen.target import host
from ir import replace
from jit import explain, jit, stats

SIZES = [(32, 32), (33, 47), (64, 600), (1030, 40)]  # whole squares and rests, several blocks
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int8, torch.int64, torch.bool]


def tensor(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    made = torch.randint(-4, 5, size, generator=torch.Generator().manual_seed(sum(size)))
    return made.to(dtype)


def agree(function: Callable[..., Tensor], *args: Tensor) -> Callable[..., Tensor]:
    native = jit(function)
    for _ in range(3):
        torch.testing.assert_close(native(*args), function(*args))
    assert stats(native).native == 2
    return native


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_operand_is_transposed(size: tuple[int, int], dtype: torch.dtype) -> None:
    rows, columns = size
    x, y = tensor(columns, rows, dtype=dtype), tensor(rows, columns, dtype=dtype)
    agree(lambda x, y: torch.where(y > 0, x.t(), y), x, y)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("step", [2, 3, -1], ids=str)
def test_other_operands_are_strided(size: tuple[int, int], step: int) -> None:
    rows, columns = size
    wide = tensor(rows, columns * abs(step))
    x = wide[:, ::step] if step > 0 else wide.flip(1)

    def f(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return (x + y.t()) * x - z.t()[:, None, 0] * 0.5

    agree(f, x, tensor(columns, rows), tensor(columns, rows))


def test_dtypes_differ_and_other_loops_are_outside() -> None:
    def f(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        turned = x.permute(1, 2, 0)
        return turned + y, turned * z.double()

    agree(f, tensor(40, 3, 65), tensor(3, 65, 40), tensor(65, 40, dtype=torch.int16))


@pytest.mark.parametrize("columns", [40, 48])
def test_results_written_around_the_caches(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "past_caches", lambda nest, plan, _: past_caches(nest, plan, 0))
    native = agree(lambda x, y: x.t() + y, tensor(columns, 37), tensor(37, columns))
    assert "!nontemporal" in str(explain(native, ir=True))


def test_operands_that_no_cache_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next strip is asked for, also behind the end of the tensor."""
    monkeypatch.setattr(tile, "host", lambda: replace(host(), caches=(1, 1, 1)))
    native = agree(lambda x, y: x.t() + y, tensor(100, 37), tensor(37, 100))
    assert "llvm.prefetch" in str(explain(native, ir=True))


def test_other_sizes_in_the_same_code() -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        return x.t() * 2 + y

    native = jit(f)
    for rows, columns in [(64, 64), (64, 64), (70, 90), (3, 600), (600, 5), (1, 40)]:
        x, y = tensor(columns, rows), tensor(rows, columns)
        torch.testing.assert_close(native(x, y), f(x, y))
    assert stats(native).bailouts == {} or sum(stats(native).bailouts.values()) <= 2


def test_what_is_looked_up_is_not_staged() -> None:
    def f(table: Tensor, where: Tensor, y: Tensor) -> Tensor:
        return table.t()[where] + table.t()[:40] * y

    agree(f, tensor(50, 60), torch.arange(40) * 7 % 60, tensor(40, 50))
