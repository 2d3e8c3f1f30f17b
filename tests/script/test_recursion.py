"""Functions that call themselves: nested, or without a declared result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import jit
from tests.script.support import agree


def declared(n: int):
    def factorial(k: int) -> int:
        return 1 if k <= 1 else k * factorial(k - 1)

    return factorial(n), factorial(n + 1)


def undeclared(n: int):
    def fibonacci(k):
        if k < 2:
            return k
        return fibonacci(k - 1) + fibonacci(k - 2)

    return fibonacci(n)


def visits(graph: dict[str, list[str]]):
    seen: set[str] = set()
    out = []

    def visit(name):
        if name in seen:
            return
        seen.add(name)
        for other in graph[name]:
            visit(other)
        out.append(name)

    for name in graph:
        visit(name)
    return out[::-1]


def groups(graph: dict[str, list[str]]):
    seen: dict[str, int] = {}
    count, largest, calls = 0, 0, 0

    def note() -> int:
        nonlocal calls
        calls += 1
        return calls

    def visit(name: str) -> int:
        nonlocal largest
        note()
        seen[name] = count
        size = 1
        for other in graph[name]:
            if other not in seen:
                size += visit(other)
        largest = max(largest, size)
        return size

    for name in graph:
        if name not in seen:
            visit(name)
            count += 1
    return count, largest, note(), seen


def moves(n: int):
    steps, cost = [], 0.0

    def move(k, a, b, c):
        nonlocal cost
        if k == 0:
            return
        move(k - 1, a, c, b)
        steps.append(a + c)
        cost += 0.5
        move(k - 1, b, a, c)

    move(n, "a", "b", "c")
    return steps, cost


def permutations(n: int):
    out = []

    def choose(prefix: list[int], rest: list[int]) -> None:
        if not rest:
            out.append(prefix)
            return
        for i in range(len(rest)):
            choose([*prefix, rest[i]], rest[:i] + rest[i + 1 :])

    choose([], list(range(n)))
    return out


def rebound(n: int):
    step = 1

    def climb(k: int) -> int:
        return 0 if k <= 0 else step + climb(k - step)

    first = climb(n)
    step = 2
    return first, climb(n)


def flat(tree: Any):
    out = []

    def walk(part: Any) -> None:
        if isinstance(part, list | tuple):
            for item in part:
                walk(item)
        else:
            out.append(part)

    walk(tree)
    return out


def ackermann(m, n):
    if m == 0:
        return n + 1
    return ackermann(m - 1, 1 if n == 0 else ackermann(m, n - 1))


def depth(tree: list[Any]):
    best = 0
    for item in tree:
        if isinstance(item, list):
            best = max(best, depth(item))
    return best + 1


def widened(n: int):
    def shown(k):
        return "end" if k == "" else shown("")

    return shown(n)


def calls_ackermann(n: int):
    return ackermann(2, n)


CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (declared, (4,)),
    (undeclared, (7,)),
    (visits, ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []},)),
    (groups, ({"a": ["b"], "b": ["a"], "c": []},)),
    (moves, (3,)),
    (permutations, (3,)),
    (rebound, (5,)),
    (flat, ([1, (2, [3, "x"])],)),
    (calls_ackermann, (2,)),
    (widened, (3,)),
    (depth, ([1, [2, [3]]],)),
]


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    agree(fn, *args)
    scripted = jit.jit(fn)
    for _ in range(3):
        assert scripted(*args) == fn(*args)
