
"""What is gone over: views of dicts, ranges, iterators that are kept, searches that end early."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import jit
from ir import UnsupportedError
from tests.script.support import agree


def views(d: dict[str, int], e: dict[str, int]) -> tuple[object, ...]:
    keys, values = d.keys(), d.values()
    d["z"] = 26
    a, b, *rest = d.items()
    return (
        list(keys), sum(values), len(keys), "z" in keys, 26 in values, ("z", 26) in d.items(),
        sorted(keys & e.keys()), keys - e, keys == {"a", "b", "z"}, d.items() >= e.items(),
        isinstance(keys, list), type(keys).__name__, f"{d.items()}", a, b, rest, [keys],
        {k: v for k, v in d.items()}, ",".join(keys), dict(zip(keys, values)), bool(e.keys()),
        next(iter(d.values())), keys.isdisjoint(["q"]),
    )  # fmt: skip


def view_returned(d: dict[str, int]) -> Any:
    return d.keys()


def view_of_one(d: dict[str, int], of_keys: bool) -> Any:
    found = d.keys() if of_keys else d.values()
    return sorted(found), len(found)


def ranges(n: int, flag: bool) -> tuple[object, ...]:
    r = range(n, 0, -2)
    either = range(3) if flag else range(n, 9)
    total = 0
    for i in either:
        total += i
    taken = [0, 0, 0]
    taken[1:2] = range(5, 7)
    return (
        r, r.start, r.stop, r.step, r[1], r[-1], r[1:], r.index(4), r == range(n, 0, -2), str(r),
        r == [8, 6, 4, 2], 4 in r, len(r), bool(range(0)), either, total, [range(2)], taken,
        [1] + list(r), 3 in range(n, 9, 2), n in range(0, 10, 2), isinstance(r, range),
    )  # fmt: skip


def iterators(values: list[int]) -> tuple[object, ...]:
    pairs, numbered, doubled = zip(values, values), enumerate(values), map(lambda v: v * 2, values)
    back, odd, count = reversed(values), filter(lambda v: v % 2, values), itertools.count(7)
    first = next(pairs), next(numbered), next(doubled), next(back), next(odd), next(count)
    again = list(pairs), list(numbered), list(doubled), list(back), list(odd), next(count)
    return first, again, list(pairs), list(doubled), sum(map(abs, values))


def left_early(values: list[int]) -> tuple[object, ...]:
    source = iter(values)
    seen = 0
    for v in source:
        if v == 2:
            break
        seen += v
    else:
        seen = -1
    rest = list(source)
    pairs = iter(values)
    return seen, rest, [(v, next(pairs)) for v in pairs], list(pairs)


def taken_meanwhile(values: list[int]) -> list[tuple[int, int]]:
    source = iter(values)
    found = []
    for v in source:
        found.append((v, next(source)))
    return found


def first_of(source: Iterator[int], n: int) -> list[int]:
    found = []
    for v in source:
        found.append(v)
        if len(found) == n:
            break
    return found


def handed_over(values: list[int]) -> tuple[list[int], int, list[int]]:
    source = iter(values)
    return first_of(source, 2), next(source), list(source)


def searches(values: list[int], rows: list[list[int]]) -> tuple[object, ...]:
    x = 7
    has = any((witness := v) > 2 for v in values)
    early = any(10 // x > 3 for x in values), all(10 // x > 7 for x in values)
    nested = any(v > 3 for r in rows for v in r if v), all(any(v > 1 for v in r) for r in rows)
    return has, witness, early, nested, x, any(v for v in []), all(v for v in [])


def sums(ints: list[int], floats: list[float]) -> tuple[object, ...]:
    none = sum([]), sum([], 1.5), sum(())
    return none, sum(ints, 10), sum(floats, 1.5), sum(ints), sum(floats), sum(ints, 1.5)


def grows(d: dict[str, int]) -> dict[str, int]:
    for key in d:
        d[key + "'"] = 1
    return d


def shrinks(s: set[int]) -> set[int]:
    for item in s:
        s.discard(item)
    return s


def changes(d: dict[str, int]) -> dict[str, int]:
    for key, value in d.items():
        d[key] = value + 1
    for key in list(d):
        if d[key] == 2:
            d["new"] = 5
    for key in d.keys():
        if d[key] == 5:
            del d[key]
            break
    return d


CASES: list[tuple[Any, tuple[Any, ...]]] = [
    (views, ({"a": 1, "b": 2}, {"b": 2})),
    (view_returned, ({"a": 1},)),
    (view_of_one, ({"b": 1, "a": 2}, True)),
    (ranges, (8, True)),
    (ranges, (8, False)),
    (iterators, ([1, 2, 3],)),
    (left_early, ([1, 2, 3, 4],)),
    (taken_meanwhile, ([1, 2, 3, 4],)),
    (taken_meanwhile, ([1, 2, 3],)),
    (handed_over, ([1, 2, 3, 4],)),
    (searches, ([2, 4, 0], [[1, 2], [4]])),
    (grows, ({"a": 1},)),
    (shrinks, ({1, 2},)),
    (changes, ({"a": 1, "b": 5},)),
]


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: Any, args: tuple[Any, ...]) -> None:
    agree(fn, *args)


def of_the_comprehension(n: int) -> int:
    functions = [lambda: i * n for i in range(3)]
    return functions[0]()


def test_a_function_that_would_see_later_values_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="default: i=i") as caught:
        jit.script(of_the_comprehension)
    assert "^^^" in str(caught.value)


def for_eager_callers(x: Any) -> Any:
    if not jit.is_scripting():
        return lambda z: z
    return x


def test_a_function_for_eager_callers_only_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="something else from compiled code"):
        jit.script(for_eager_callers)


@pytest.mark.parametrize("args", [([1, 2], [0.5]), ([], [])])
def test_sums_of_numbers_begin_at_their_start(args: tuple[list[int], list[float]]) -> None:
    assert jit.script(sums)(*args) == sums(*args)
