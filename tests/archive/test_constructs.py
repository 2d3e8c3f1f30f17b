"""What TorchScript has no construct for: functions that call themselves, and subscripts of tensors
whose masks take a number of dims that only the run knows.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jit
from tests.archive.test_language import saved

X = torch.arange(120.0).reshape(2, 3, 4, 5)
MASK = torch.tensor([[True, False, True], [False, True, False]])
INDEX = torch.tensor([1, 0])


def factorial(n: int) -> int:
    return 1 if n < 2 else n * factorial(n - 1)


def even(n: int) -> bool:
    return True if n == 0 else odd(n - 1)


def odd(n: int) -> bool:
    return False if n == 0 else even(n - 1)


def several(n: int) -> tuple[int, bool, bool]:
    return factorial(n), even(n), odd(n)


def tree(x: Tensor, depth: int, found: list[int]) -> Tensor:
    if depth == 0:
        found.append(len(found))
        return x
    return tree(x * 2, depth - 1, found) + tree(x + 1, depth - 1, found)


def grown(x: Tensor) -> tuple[Tensor, list[int]]:
    found: list[int] = []
    return tree(x, 3, found), found


def fib(n: int, memo: dict[int, int]) -> int:
    if n in memo:
        return memo[n]
    memo[n] = n if n < 2 else fib(n - 1, memo) + fib(n - 2, memo)
    return memo[n]


def remembered(n: int) -> int:
    return fib(n, {})


class Recursive(torch.nn.Module):
    def forward(self, n: int) -> tuple[int, bool]:
        return factorial(n), even(n)


def read(x: Tensor, m: Tensor, t: Tensor) -> list[Tensor]:
    return [
        x[m, 1], x[m, :, 1], x[m, None], x[m, ..., 1], x[t, 1:, 0], x[t, 1, t], x[0, t, :, 1],
        x[t, None, 1], x[..., t, 1], x[m, 1, ...], x[t], x[m.nonzero(as_tuple=True)],
    ]  # fmt: skip


def written(x: Tensor, m: Tensor, t: Tensor) -> Tensor:
    y = x.clone()
    y[m, 1] = -1.0
    y[t, 1:, 0] += 5
    y[0, t, :, 1] = torch.ones(2, 4)
    y[m, ..., 2] = 3
    return y


CALLS: list[tuple[Any, tuple[Any, ...]]] = [
    (factorial, (5,)), (factorial, (1,)), (even, (3,)), (several, (4,)), (grown, (torch.ones(2),)),
    (remembered, (12,)), (Recursive(), (5,)), (read, (X, MASK, INDEX)), (written, (X, MASK, INDEX)),
]  # fmt: skip


@pytest.mark.parametrize(("callee", "args"), CALLS, ids=lambda c: getattr(c, "__name__", ""))
def test_both_readers_agree_with_eager(callee: Callable[..., Any], args: tuple[Any, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", jit.JitWarning)
        data = saved(callee)
    for reader in (jit.load(io.BytesIO(data)), torch.jit.load(io.BytesIO(data))):
        for _ in range(2):
            assert repr(reader(*args)) == repr(callee(*args))
    assert jit.load(io.BytesIO(data)).save_to_buffer() == data


def in_a_task(n: int) -> int:
    return n if n < 1 else jit.wait(jit.fork(in_a_task, n - 1)) + n  # type: ignore[no-any-return]


def test_recursion_by_way_of_tasks_is_said_to_be_ours() -> None:
    with pytest.warns(jit.JitWarning, match="calls itself"):
        data = jit.script(in_a_task).save_to_buffer()
    assert jit.load(io.BytesIO(data))(3) == 6
