"""Classes with `__iter__` and `__next__`, and generators handed to functions: loops in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import jit
from ir import INT
from jit.script import compile_function


class Counter:
    def __init__(self, n: int) -> None:
        self.n = n
        self.at = 0

    def __iter__(self):
        self.at = 0
        return self

    def __next__(self) -> int:
        if self.at >= self.n:
            raise StopIteration
        self.at += 1
        return self.at


class Even(Counter):
    def __next__(self):
        while True:
            if self.at > self.n:
                raise StopIteration()
            self.at += 1
            if self.at % 2 == 0:
                return self.at, "even"


class Listed:
    def __init__(self, items: list[int]) -> None:
        self.items = items

    def __iter__(self):
        return iter(self.items)


class Popping(Listed):
    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.items.pop()
        except IndexError:
            raise StopIteration from None


class Silent(Counter):
    def __next__(self):
        self.at += 1
        if self.at > self.n:
            raise StopIteration


def loops(n: int):
    out = []
    counter = Counter(n)
    for x in counter:
        if x == 3:
            continue
        out.append(x)
    for i, x in enumerate(counter):
        if i > 2:
            break
        out.append(i * x)
    else:
        out.append(-1)
    for x, word in Even(n):
        out.append(x + len(word))
    return out, counter.at


def nested(n: int):
    return [10 * x + y for x in Counter(n) for y in Counter(x) if y != 2]


def consumed(n: int):
    pairs = [a * b for a, b in zip(Counter(n), [5, 6, 7], strict=False)]
    return sum(Counter(n)), pairs, list(Counter(n)), 3 in Counter(n), max(Counter(n + 1))


def asked(n: int):
    counter = Counter(n)
    first = next(iter(counter))
    try:
        second = next(counter)
    except StopIteration:
        second = -1
    return first, second, next(counter, 9)


def of_others(n: int):
    return [x for x in Listed([n, 2])], [x for x in Popping([n, 4])], [x is None for x in Silent(n)]


def naturals(start: int = 0) -> Iterator[int]:
    while True:
        yield start
        start += 1


def multiples(items, of: int = 2):
    for item in items:
        if item % of == 0:
            yield item


def first(items, count: int):
    out = []
    for item in items:
        if len(out) == count:
            break
        out.append(item)
    return out


def handed_on(n: int):
    found = []
    for x in multiples(naturals(n)):
        if x > n + 6:
            break
        found.append(x)
    return found, first(multiples(naturals(n), of=3), 2), first(items=naturals(), count=n)


@pytest.mark.parametrize("fn", [loops, nested, consumed, asked, of_others, handed_on])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_agrees(fn: Callable[..., Any], n: int) -> None:
    scripted = jit.script(fn)
    for _ in range(3):
        assert scripted(n) == fn(n)


def counted(n: int) -> int:
    total = 0
    for x in Counter(n):
        total += x
    return total


def test_no_part_of_the_loop_is_left_to_python() -> None:
    graph = compile_function(counted, [INT]).graph
    assert not [n for n in graph.walk() if n.name in ("prim::PythonOp", "prim::Try")]
