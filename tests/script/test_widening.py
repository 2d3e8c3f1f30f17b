"""Lists, dicts and sets whose types later elements decide or widen, and what is read meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
import pytest
import torch

import jit
from ir import ANY, ListType, TypeMismatch
from tests.script.support import agree


def mixed(n: int):
    out = ["a"]
    for i in range(n):
        out.append("b" if i % 2 else str(i))
    out.append(n)
    out += [2.5]
    return out, out[-1]


def read_before(pairs: list[tuple[int, int]]):
    merged = []
    for start, end in pairs:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def counted(words: list[str]):
    counts = {}
    for word in words:
        if word in counts:
            counts[word] += 1
        else:
            counts[word] = 1
    best = max(counts, key=lambda w: (counts[w], w))
    return counts, best, sum(counts.values())


def stacked(values: list[int]):
    stack = []
    out = []
    for v in values:
        while stack and stack[-1] > v:
            out.append((stack.pop(), v))
        stack.append(v)
    return out, stack


def buckets(values: list[int]):
    rows = [[] for _ in range(3)]
    for v in values:
        rows[v % 3].append(v)
    rows[0].append(0.5)
    late = []
    current = []
    late.append(current)
    current.append("x")
    return rows, late


def fill(out: list, n: int) -> None:
    out.append(n)
    out.append(str(n))


def passed(n: int):
    out = []
    fill(out, n)
    return out


def numbers(n: int):
    table = [0] * n
    table[1] = 2.5
    by_name = {"a": 1}
    by_name["b"] = "two"
    seen = {n}
    seen.add("s")
    return table, by_name, len(seen)


def dynamic(items: list[Any]):
    out = []
    for item in items:
        if isinstance(item, int):
            out.append(item + 1)
        else:
            out.append(item)
    return out


def by_pairs(words: list[str]):
    counts: dict[tuple[str, str], int] = {}
    for a, b in itertools.pairwise(words):
        counts[(a, b)] = counts.get((a, b), 0) + 1
    counts.setdefault(("z", "z"), 4)
    ordered = [(k, v) for k, v in counts.items() if v]
    return counts, ordered, list(counts), counts.pop(("z", "z")), bool(counts)


class Cache:
    def __init__(self, n: int) -> None:
        self.kept: list[torch.Tensor | None] = [None] * n
        self.more: list[torch.Tensor | None] = [None for _ in range(n)]

    def update(self, i: int, x: torch.Tensor) -> torch.Tensor:
        before = self.kept[i]
        if before is not None:
            x = torch.cat([before, x])
        self.kept[i] = self.more[i] = x
        return x


def cached(x: torch.Tensor):
    cache = Cache(2)
    for step in range(3):
        h = x + step
        for i in range(2):
            h = h + cache.update(i, h).sum()
    return h, cache.kept[1]


class Point(NamedTuple):
    x: float
    y: float = 2.0

    @property
    def square(self) -> float:
        return self.x * self.x + self.y * self.y

    def moved(self, by: float) -> Point:
        return Point(self.x + by, self.y)

    @staticmethod
    def origin() -> Point:
        return Point(0.0, 0.0)


def points(a: float):
    p = Point(a).moved(1.0).moved(by=2.0)
    return p.square, p.moved(0.5), Point.origin(), p._replace(y=a), p.__class__.__name__


class Link:
    def __init__(self, value: int, rest: Link | None = None) -> None:
        self.value = value
        self.rest = rest


def chained(n: int):
    head = Link(0, Link(1))
    for i in range(n):
        head = Link(i, head)
    total, node = 0, head
    while node is not None:
        total += node.value
        node = node.rest
    return total


def spread(items: list[int]):
    print(*items, end="")
    return max(*items), min(*items, 0), list(range(*items[:2])), ",".join(reversed(["a", "b"]))


CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (mixed, (3,)),
    (read_before, ([(1, 3), (2, 4), (6, 7)],)),
    (counted, (["a", "b", "a"],)),
    (stacked, ([3, 1, 2, 5, 4],)),
    (buckets, ([1, 2, 3, 4],)),
    (passed, (3,)),
    (numbers, (3,)),
    (dynamic, ([1, "a", 2.5],)),
    (by_pairs, (["a", "b", "a", "b"],)),
    (cached, (torch.ones(1),)),
    (points, (1.5,)),
    (chained, (3,)),
    (spread, ([1, 4, 2],)),
]


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    agree(fn, *args)


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees_natively(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    scripted = jit.jit(fn)
    for _ in range(3):
        assert str(scripted(*args)) == str(fn(*args))


def test_a_list_of_one_type_keeps_it() -> None:
    def fn(n: int):
        out = []
        for i in range(n):
            if out and out[-1] > 3:
                break
            out.append(i)
        return out

    (made,) = agree(fn, 9).graph.returns
    assert made.type == jit.script(sized).graph.returns[0].type


def sized(n: int) -> list[int]:
    return [n]


def test_what_grows_without_end_is_any() -> None:
    def fn(n: int):
        out = []
        for _ in range(n):
            out.append([out[-1]] if out else [n])
        return len(out)

    source = agree(fn, 3)
    lists = [v.type for node in source.graph.block.walk() for v in node.outputs]
    assert ListType(ANY) in lists


def test_a_declared_list_says_what_does_not_fit() -> None:
    def fn(n: int):
        out: list[int] = []
        out.append("s")
        return out

    with pytest.raises(TypeMismatch, match="append"):
        agree(fn, 1)


def views(d: dict[str, int], e: dict[str, int], x: torch.Tensor):
    shared = d.keys() & e.keys()
    ends = d.items() <= e.items(), list(d) == list(e), d.keys() == e.keys()
    dtypes = str(x.dtype), f"{x.dtype}", torch.result_type(x, 2)
    return shared, sorted(d.keys() - e.keys()), ends, dtypes


def test_views_are_sets_and_dtypes_have_names() -> None:
    args = {"a": 1, "b": 2}, {"b": 2}, torch.ones(1)
    agree(views, *args)
    scripted = jit.jit(views)
    for _ in range(3):
        assert scripted(*args) == views(*args)


def subscripts(x: torch.Tensor):
    x = x.clone()
    x[1:, (0, 2)] -= 1
    return x, x[(x > 3).nonzero(as_tuple=True)], x[0, (1, 2)]


def test_tuples_among_subscripts() -> None:
    agree(subscripts, torch.arange(12.0).reshape(3, 4))


def test_arrays_that_become_tensors_stay_tensors() -> None:
    def fn(x):
        return torch.as_tensor(x) * 2

    assert torch.equal(jit.script(fn)(numpy.ones(2)), fn(numpy.ones(2)))
