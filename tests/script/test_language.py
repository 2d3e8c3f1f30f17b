"""The language beyond TorchScript's: dynamic values, sets, tuples of run-time length, patterns,
context managers, functions as values. Each function is held against plain Python, three calls in a
row, so that plans answer too.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import operator
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple

import pytest
import torch

import jit
from tests.script.support import same


class Color(Enum):
    RED = 1
    GREEN = 2

    def label(self) -> str:
        return self.name.lower()


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Pair(NamedTuple):
    a: int
    b: float = 2.0

    def total(self) -> float:
        return self.a + self.b


@dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)

    @property
    def double(self) -> int:
        return self.x * 2


class Swallow:
    def __init__(self, swallows: bool) -> None:
        self.swallows = swallows
        self.seen = 0

    def __enter__(self) -> Swallow:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self.seen += 1
        return self.swallows


def unions(n: int) -> Any:
    y: Any = 1 if n > 2 else "one"
    z = n if n > 5 else str(n)
    return y, z, [1, "a", None], {1: "a", "b": 2}


def optionals(a: int | None = None) -> int:
    if a:
        return a + 1
    return 0


def sets(items: list[int]) -> Any:
    made = {1, 2}
    made.add(3)
    made.discard(9)
    made |= {4}
    both = made & set(items)
    some = {x % 3 for x in items}
    return made, both, made - both, made ^ {1, 7}, some, made.issubset({1, 2, 3, 4})


def tuples(t: tuple[int, ...]) -> Any:
    return t, (*t, 1), t * 2, t[1:], t == (1, 2), len(t), [t], {t: 1}, isinstance(t, tuple)


def sizes(x: torch.Tensor) -> Any:
    s = x.shape
    texts = str(s), f"{s}", "%s" % (s,)  # noqa: UP031
    return s, s[1:], (*s[:-1], 3), s + (1,), s == (2, 3), {s: 1}, texts, s.numel(), list(s)


def size_and_list(x: torch.Tensor) -> Any:
    return x.shape + [1]


def merged(d: dict[str, int]) -> Any:
    e = d | {"z": 3}
    e.update(q=5)
    return {**d, "y": 1}, e, d == {"a": 1}, dict(zip(["a"], [1], strict=True)), dict(d, k=2)


def formats(n: int, x: float, s: str) -> Any:
    return f"{x:.2f} {n:{n}} {s!r:>6} {n=}", "{x}".format(x=n), f"{s:{'>'}{n}}", format(x, ".1e")  # noqa: UP032


def numbers(n: int, x: float) -> Any:
    return pow(n, 3, 5), n.bit_length(), x.is_integer(), n.real, (n, x) < (n, x + 1), divmod(-n, 3)


def rounding(a: float, b: float, c: float) -> Any:
    total = 0.0
    for _ in range(20):
        total = total * a + b * c - math.sin(total) * math.atan2(b, c) + math.exp(-b) ** a
    return total, a * b + c, [x * b + c for x in (0.1, 0.2, 0.3)]


def extremes(items: list[int]) -> Any:
    return max(items, key=lambda v: -v), min([], default=3), sorted(items, key=lambda v: -v)


def patterns(v: Any) -> str:
    match v:
        case 0 | 1:
            return "small"
        case int(n) if n > 10:
            return f"big {n}"
        case [x, *rest]:
            return f"list {x} {len(rest)}"
        case {"op": str() as op, **more}:
            return f"dict {op} {len(more)}"
        case None:
            return "none"
        case _:
            return "other"


def point_patterns(n: int) -> int:
    match Point(n, 2):
        case Point(x=0, y=y):
            return y
        case Point(a, b) if a == b:
            return 0
        case Point(a, b):
            return a + b
    return -1


def enums(n: int) -> Any:
    return Color(n), Color["RED"], Color(n).label(), [c.name for c in Color], Level.LOW + n


def named(n: int) -> Any:
    p = Pair(n)
    return p, p._replace(a=7), p.total(), p._asdict(), Pair._make([1, 2.5]), p == Pair(n, 2.0)


def dataclasses_(n: int) -> Any:
    p = Point(n)
    p.tags.append("a")
    q = replace(p, y=5)
    kept = [p, q]
    kept[0].x = 9
    return p.x, q.y, p.double, p == Point(9, 0, ["a"]), repr(p), max(kept, key=lambda v: v.x).x


def suppressed(d: dict[str, int]) -> int:
    with contextlib.suppress(KeyError):
        return d["b"]
    return -1


def swallowed(n: int) -> Any:
    with Swallow(True) as context:
        if n:
            raise ValueError("x")
    return context.seen


def not_swallowed(n: int) -> Any:
    with Swallow(False):
        if n:
            raise ValueError("x")
    return n


def collections_(n: int) -> Any:
    d = defaultdict(int)
    for c in "abca":
        d[c] += n
    q = deque([1, 2, 3], maxlen=3)
    q.append(4)
    return dict(d), list(q), Counter("hello").most_common(1), OrderedDict([("a", 1)])


def itertools_(items: list[int]) -> Any:
    return (
        list(itertools.accumulate(items, lambda a, b: a * b)),
        list(itertools.product(items, [0, 1])),
        functools.reduce(operator.mul, items, 1),
        [k for k, _ in itertools.groupby([1, 1, 2])],
        re.sub(r"\d", lambda m: m.group() * 2, "a1b2"),
    )


def calls_it(g: Callable[[int], int], n: int) -> int:
    return g(n) + 1


def literal(mode: Literal["a", "b"]) -> str:
    return mode + "!"


def spread_over_defaults(items: list[int]) -> Any:
    def total(*v: int) -> int:
        return sum(v)

    return total(*[1, 2]), max(*items, 4), len(items)


def once(items: list[list[int]]) -> Any:
    """The source of a comprehension is evaluated once, an iterator consumed once."""
    a = [x for x in items.pop()]
    it = iter([1, 2, 3])
    return a, items, list(it), list(it), sum(iter(a)), dict(iter([(1, 2)])), [*iter(a)]


def starred(s: str) -> Any:
    a, *b = s
    *c, d = s.split(",")
    return a, b, c, d


def too_short(items: list[int]) -> Any:
    a, *_, c = items
    return a, c


X = torch.arange(6.0).reshape(2, 3)
CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (unions, (3,)), (unions, (1,)), (optionals, (None,)), (optionals, (4,)), (sets, ([1, 5, 2],)),
    (tuples, ((1, 2),)), (sizes, (X,)), (size_and_list, (X,)), (merged, ({"a": 1},)),
    (formats, (4, 2.5, "q")), (numbers, (7, 2.5)), (rounding, (0.1, 0.7, 0.3)),
    (extremes, ([3, 1, 2],)), (patterns, (1,)), (patterns, (12,)), (patterns, ([4, 5],)),
    (patterns, ({"op": "add", "v": 1},)), (patterns, (None,)), (patterns, ("s",)),
    (point_patterns, (0,)), (point_patterns, (2,)), (point_patterns, (5,)), (enums, (2,)),
    (enums, (9,)), (named, (3,)), (dataclasses_, (3,)), (suppressed, ({"a": 1},)),
    (swallowed, (1,)), (not_swallowed, (1,)), (collections_, (2,)), (itertools_, ([3, 1, 2],)),
    (calls_it, (lambda n: n * 2, 4)), (literal, ("a",)), (spread_over_defaults, ([1],)),
    (once, ([[1], [2, 3]],)), (starred, ("a,bc",)), (too_short, ([1],)),
]  # fmt: skip


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    compiled = jit.script(fn)
    for _ in range(3):
        try:
            wanted = fn(*copy.deepcopy(args))
        except Exception as error:  # noqa: BLE001
            with pytest.raises(type(error)) as caught:
                compiled(*copy.deepcopy(args))
            assert caught.value.args == error.args
        else:
            found = compiled(*copy.deepcopy(args))
            assert same(found, wanted), f"{found!r} is not {wanted!r}"


def test_a_lambda_on_the_line_of_the_lambda_around_it() -> None:
    make = lambda: jit.script(lambda x: x * 2 + 1)  # noqa: E731
    assert make()(torch.ones(2)).tolist() == [3, 3]


def test_groups_are_read_with_their_keys() -> None:
    def run_lengths(text: str) -> list[tuple[str, int]]:
        return [(k, len(list(group))) for k, group in itertools.groupby(text)]

    def by_parity(numbers: list[int]) -> dict[int, list[int]]:
        return {k: list(g) for k, g in itertools.groupby(numbers, key=lambda n: n % 2)}

    for function, given in ((run_lengths, "aabccc"), (by_parity, [1, 3, 2, 4, 5])):
        compiled = jit.script(function)
        for _ in range(3):
            assert compiled(given) == function(given)


def test_what_append_gives_is_none() -> None:
    def appended(items: list[int]) -> tuple[bool, list[int]]:
        made = [items[0]]
        given = made.append(2)
        return given is None and (lambda: made.append(5))() is None, made

    compiled = jit.script(appended)
    for _ in range(3):
        assert compiled([1]) == appended([1]) == (True, [1, 2, 5])
