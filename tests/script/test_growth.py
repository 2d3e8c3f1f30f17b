"""Loops over lists that their bodies resize, and empty lists as arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit


def work_list(xs: list[int]) -> int:
    total = 0
    for v in xs:
        total += v
        if v > 0:
            xs.append(v - 1)
    return total


def shrinking(xs: list[int]) -> list[int]:
    seen = []
    for v in xs:
        seen.append(v)
        xs.pop()
    return seen


def numbered(xs: list[int]) -> int:
    total = 0
    for i, v in enumerate(xs):
        total += i * v
        if len(xs) < 9:
            xs.append(v + i)
    return total


def paired(xs: list[int]) -> int:
    total, ys = 0, [1, 2, 3, 4, 5]
    for x, y in zip(xs, ys):
        total += x * y
        if len(xs) < 4:
            xs.append(y)
        ys.insert(0, 7)
        if len(ys) > 12:
            break
    return total


def other_names(xs: list[int]) -> list[int]:
    same = xs
    for v in xs:
        if v > 2:
            continue
        same += [v + 1]
    else:
        same.append(100)
    return same


def extended_by_call(xs: list[int]) -> int:
    for v in xs:
        _extend(xs, v)
    return len(xs)


def _extend(xs: list[int], v: int) -> None:
    if v > 0 and len(xs) < 20:
        xs.extend([v - 1, v - 2])


def two_lists(xs: list[int]) -> list[int]:
    """Nothing here resizes what is gone over: the loop stays counted."""
    out = []
    for v in xs:
        out.append(v * 2)
    return out


FUNCTIONS = [work_list, shrinking, numbered, paired, other_names, extended_by_call, two_lists]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("compiler", [jit.jit, jit.script])
def test_lists_that_change_under_a_loop(
    function: Callable[..., Any], compiler: Callable[..., Any]
) -> None:
    native = compiler(function)
    for xs in ([3], [3], [2, 1], [], [1, 4, 2], [3, 1, 2, 1]):
        mine, other = copy.copy(xs), copy.copy(xs)
        assert native(mine) == function(other)
        assert mine == other


def test_a_counted_loop_stays_counted() -> None:
    graph = str(jit.script(two_lists).graph)
    assert "9223372036854775807" not in graph
    assert "9223372036854775807" in str(jit.script(work_list).graph)


def summed(xs):  # type: ignore[no-untyped-def]
    return len(xs) + sum(xs)


def collected(xs: list[int], n: int) -> list[int]:
    for i in range(n):
        xs.append(i)
    return xs


def joined(xs: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    return torch.cat([*xs, x])


def test_empty_lists_as_arguments() -> None:
    plain = jit.jit(summed)
    for xs in ([], [], [], [1, 2], [0.5], [2, 3], [], [torch.ones(2)]):
        assert torch.equal(torch.as_tensor(plain(xs)), torch.as_tensor(summed(xs)))
    declared = jit.jit(collected)
    for n in (2, 2, 3, 0):
        assert declared([], n) == collected([], n)
        assert declared([7], n) == collected([7], n)
    assert jit.stats(declared).bailouts.get("empty list", 0) == 0
    tensors = jit.jit(joined)
    x = torch.ones(3)
    for xs in ([], [], [x], [x], []):
        assert torch.equal(tensors(xs, x), joined(xs, x))
