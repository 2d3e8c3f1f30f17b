"""Globals that the code indexes or changes: tables of functions, memories, counters."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor

import jit
from tests.script.support import agree

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}
FUNCTIONS = [torch.sin, torch.cos]
COUNTS = Counter("aab")
FOUND = defaultdict(int, {"a": 1})
MEMORY: dict[int, int] = {}
EMPTY: dict[str, int] = {}
X = torch.arange(3.0)


def by_key(x: Tensor, key: str) -> Tensor:
    return ACTIVATIONS["relu"](x) + ACTIVATIONS[key](x)


def by_position(x: Tensor, i: int) -> Tensor:
    return FUNCTIONS[i](x)


def of_closures(n: int, i: int) -> int:
    return [lambda a: a + n, lambda a: a * n][i](10)


def of_counters(key: str) -> tuple[int, ...]:
    return COUNTS[key], COUNTS["a"], FOUND[key], FOUND["a"]


@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (by_key, (X, "tanh")),
        (by_key, (X, "gelu")),
        (by_position, (X, -1)),
        (by_position, (X, 2)),
        (of_closures, (3, 1)),
        (of_counters, ("zz",)),
    ],
)
def test_agrees(fn: Any, args: tuple[Any, ...]) -> None:
    agree(fn, *args)


def remembered(n: int) -> int:
    if n in MEMORY:
        return MEMORY[n]
    found = n if n < 2 else remembered(n - 1) + remembered(n - 2)
    MEMORY[n] = found
    return found


def test_a_memory_that_begins_empty() -> None:
    made = jit.script(remembered)
    assert [made(30) for _ in range(3)] == [832040] * 3
    assert MEMORY[30] == 832040


def keywords(n: int = 2) -> tuple[int, int, list[str]]:
    return doubled(n, **EMPTY), len(EMPTY), list(EMPTY)


def doubled(n: int) -> int:
    return n * 2


def test_an_empty_dict_spread_over_a_call() -> None:
    agree(keywords, 4)
