"""Large captured containers, and those that code changes: read where they are, not made of code."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit

NUMBERS = list(range(500))
WORDS = {str(i): i for i in range(300)}
MEMBERS = set(range(0, 400, 2))
SQUARES = tuple(i * i for i in range(200))
ROWS = [[i, i + 1] for i in range(100)]
VECTORS = [torch.full((2,), float(i)) for i in range(80)]
SEEN: list[int] = []
COUNTS = {"calls": 0}


class Config:
    table = [0.5 * i for i in range(100)]


CONFIG = Config()


def number(k: int) -> int:
    return NUMBERS[k] + len(NUMBERS)


def word(k: int) -> tuple[int, bool]:
    return WORDS.get(str(k), -1), str(k) in WORDS


def member(k: int) -> bool:
    return k in MEMBERS


def square(k: int) -> int:
    return SQUARES[k] - max(SQUARES[:k])


def row(k: int) -> list[int]:
    return [n for r in ROWS[k:] for n in r]


def vector(k: int) -> torch.Tensor:
    return VECTORS[k] * 2 + VECTORS[-1]


def weighted(k: int) -> float:
    return sum(w * k for w in CONFIG.table)


FUNCTIONS = [number, word, member, square, row, vector, weighted]


def agree(a: object, b: object) -> bool:
    return (
        torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_tables_are_read_natively(function: Callable[[int], Any]) -> None:
    native = jit.jit(function)
    for k in (3, 4, 5, 60):
        assert agree(native(k), function(k))
    assert jit.stats(native).native == 3
    assert len(list(jit.script(function).graph.walk())) < 60  # not one node for each item


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f is not member])
def test_archives_hold_tables(function: Callable[[int], Any]) -> None:
    file = io.BytesIO()
    jit.save(jit.script(function), file)
    file.seek(0)
    assert agree(jit.load(file)(7), function(7))
    file.seek(0)
    assert agree(torch.jit.load(file)(7), function(7))


def test_archives_hold_no_large_set() -> None:
    with pytest.raises(jit.CompileError, match="Could not export MEMBERS of a set"):
        jit.save(jit.script(member), io.BytesIO())


def test_changes_of_tables_are_seen() -> None:
    native = [jit.jit(f) for f in (number, word, member)]
    for _ in range(3):
        assert [f(9) for f in native] == [number(9), word(9), member(9)]
    NUMBERS[9] = -1
    del WORDS["9"]
    MEMBERS.add(9)
    assert [f(9) for f in native] == [499, (-1, False), True]
    assert all(jit.stats(f).native == 3 for f in native)


def test_what_code_changes_is_native() -> None:
    def note(k: int) -> tuple[int, int]:
        SEEN.append(k)
        COUNTS["calls"] += 1
        return len(SEEN), COUNTS["calls"]

    native = jit.jit(note)
    assert [native(k) for k in (5, 6, 7, 8)] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    SEEN.clear()
    assert native(9) == (1, 5)
    assert SEEN == [9]
    assert jit.stats(native).native == 4
