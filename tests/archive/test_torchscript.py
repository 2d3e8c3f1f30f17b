"""Python's operations in TorchScript's own language: a grid against Python, in both readers."""

# Formats of every kind are what is tested:
# ruff: noqa: UP031, UP032

from __future__ import annotations

import cmath
import enum
import io
import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch

import jit
from tests.archive.test_language import saved

NAN, INF = float("nan"), float("inf")
FLOATS = [0.0, -0.0, 0.5, 1.5, 2.5, -2.675, 0.155, 0.045, 1.005, 1234567.891, -1e-7, 9.995, 1e9 / 3]
WIDE = [1 / 3, 1e15, 1e16, 123456789012345680.0, 1e22, 2.5e-300, 5e-5, 0.0001, 99999.5]
INTS = [0, 1, -1, 7, 255, -1234, 1234567, 10**12]
TEXTS = ["", "a", "abc", "a b", "it's", 'say "x"', "tab\tnew\nline\r", "back\\slash"]


def floats(x: float) -> list[str]:
    return [
        f"{x:.2f}", f"{x:.0f}", f"{x:8.3f}", f"{x:<9.1f}|", f"{x:^12.2f}", f"{x:+.1f}", f"{x:f}",
        f"{x:010.3f}", f"{x:.1%}", f"{x:,.2f}", f"{x:*>12.4f}", f"{x: .1f}",
    ]  # fmt: skip


def forms(x: float) -> list[str]:
    return [
        f"{x}", str(x), f"{x!r:>24}", f"{x:e}", f"{x:.3e}", f"{x:g}", f"{x:.3g}", f"{x:.10g}",
        f"{x:.3}", f"{x:>12}", f"{x:+}", f"{x:12.2e}|", f"{x:<10.4g}|", f"{x:G}", f"{x:E}",
        "%.2e|%g|%s|%r" % (x, x, x, x),
    ]  # fmt: skip


def holders(x: float, n: int, s: str, o: float | None) -> list[str]:
    return [
        f"{[x, 1.5]}", str([s, "a"]), f"{(n, x, s)}", f"{(n,)}", f"{({s: x})}", str([[n], [2]]),
        f"{o}", f"{[True]}", f"{({n: [s]})!r}",
    ]  # fmt: skip


def percents(n: int, x: float, s: str) -> list[str]:
    return [
        "%d items" % n, "%5d|%-5d|%05d|%+d" % (n, n, n, n), "%x %X %o" % (n, n, n),
        "%s: %r" % (s, s), "100%% %s" % s, "%6s|%-6s|" % (s, s), "%d" % x, "%6.2f%%" % x, "%c" % 98,
    ]  # fmt: skip


def of_base(s: str) -> list[int]:
    return [int(s, 36), int("-101", 2), int(" 0b11 ", 0), int("1_0", 16)]


def of_numbers(a: float, n: int) -> tuple[float, bool, bool, float, float, int, int, int, int]:
    close = math.isclose(a, a * (1 + 1e-12)), math.isclose(a, 2.0)
    sums = math.dist([a, 1.0], [0.0, 2.0]), math.fsum([0.1] * n)
    counts = math.lcm(n, 6), math.isqrt(n), math.perm(n, 2), math.comb(n, 3)
    return (math.hypot(a, 3.0), *close, *sums, *counts)


def inverses(n: int) -> tuple[float, float, int, float]:
    return n**-1, 2.0 * n**-2, n**2, math.dist([n, 0], [0, 4])


def polar(z: complex) -> tuple[float, tuple[float, float]]:
    return cmath.phase(z), cmath.polar(z)


def merged(a: dict[str, int], b: dict[str, int]) -> tuple[dict[str, int], dict[str, int], bool]:
    c = dict(a)
    c |= b
    return a | b, c, a != b


def named(a: float, n: int) -> list[str]:
    return [
        "{:.3f}|{:>4}|{n:02d}".format(a, "x", n=n), "{0}{1}{0}".format(n, a), "{{{}}}".format(n),
        "{k}:{v!r:>5}".format(k=1, v="a"), "{}".format([a]),
    ]  # fmt: skip


class Mode(enum.Enum):
    SUM = "sum"
    MEAN = "mean"


def members(n: int) -> list[bool]:
    mode = Mode.SUM if n > 2 else Mode.MEAN
    return [mode in [Mode.SUM], mode in (Mode.SUM, Mode.MEAN), [n] in [[1], [7]]]


def last(items: dict[str, int]) -> tuple[tuple[str, int], dict[str, int]]:
    items = dict(items)
    return items.popitem(), items


def sums(items: dict[str, int | None], more: int | None) -> int:
    total = 0
    for key in items:
        if items[key] is not None:
            total += items[key]
    return total if more is None else total + more * 2


def ends(items: list[str], pairs: list[tuple[int, str]]) -> tuple[str, str, tuple[int, str], int]:
    return min(items), max(items), max(pairs), max([len(s) for s in items], default=-1)


def nested(x: torch.Tensor) -> Any:
    return x.tolist()


def kinds(items: list[Any]) -> list[str]:
    found: list[str] = []
    for item in items:
        is_text = isinstance(item, str)
        kind = "tuple" if isinstance(item, tuple) else "list" if isinstance(item, list) else "?"
        found.append("text" if is_text else kind)
    return found


def ints(n: int) -> list[str]:
    return [
        f"{n:d}", f"{n:5}", f"{n:<6}|", f"{n:^7d}", f"{n:06d}", f"{n:+d}", f"{n:,}", f"{n:_d}",
        f"{n:x}", f"{n:#x}", f"{n:X}", f"{n:#010b}", f"{n:o}", f"{n: d}", f"{n:*>12,}", f"{n:.1f}",
    ]  # fmt: skip


def texts(s: str) -> list[str]:
    return [f"{s:6}", f"{s:>6}|", f"{s:^7}", f"{s:.<8}", f"{s!r}", f"{s:s}", f"{s!r:>12}"]


def rounds(x: float) -> list[float]:
    return [round(x, 0), round(x, 1), round(x, 2), round(x, 3), round(x, 5)]


def powers(n: int) -> list[int]:
    inverses = [pow(2 * n + 1, -1, 1 << 20), pow(3, -5, 41)]
    return [pow(n, 2, 5), pow(n, 0, 7), pow(3, 4, 1 + abs(n)), n.bit_length(), *inverses]


def parts(z: complex) -> tuple[float, float, complex]:
    return z.real, z.imag, z.conjugate()


def order(a: list[int], b: list[int]) -> list[bool]:
    return [a < b, a <= b, a > b, a >= b]


def order_of_tuples(a: tuple[int, str], b: tuple[int, str]) -> list[bool]:
    return [a < b, a <= b, a > b, a >= b]


def extremes(items: list[str]) -> tuple[str, str, list[str]]:
    return (
        max(items, key=len),
        min(items, key=lambda s: (len(s), s)),
        sorted(items, key=lambda s: (-len(s), s)),
    )


def affixes(s: str) -> tuple[bool, bool, str, str]:
    ends = s.endswith(("b", "c"))
    return s.startswith(("a", "it")), ends, s.removeprefix("a"), s.removesuffix("c")


def strided(items: list[int], new: list[int]) -> list[int]:
    items = list(items)
    items[1:6:2] = new
    return items


def columns(rows: list[list[int]]) -> list[list[int]]:
    return [list(r) for r in zip(*rows)]


def grouped(items: list[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for item in items:
        if item % 2 not in found:
            found[item % 2] = []
        found[item % 2].append(item)
    return found


LISTS: list[list[int]] = [[], [1], [1, 2], [2, 1], [1, 2, 3]]
CALLS: list[tuple[Callable[..., Any], list[tuple[Any, ...]]]] = [
    (floats, [(x,) for x in FLOATS]),
    (ints, [(n,) for n in INTS]),
    (forms, [(x,) for x in (*FLOATS, *WIDE, INF, -INF, NAN)]),
    (holders, [(0.1, 3, "it's", None), (1e20, -1, "b", 2.0)]),
    (percents, [(7, 2.5, "ab"), (255, -1.25, "")]),
    (of_base, [("ff",), ("Z",)]),
    (of_numbers, [(2.5, 10), (-1.0, 3)]),
    (inverses, [(3,), (-7,)]),
    (polar, [(z,) for z in (0j, 1 + 2j, -1.5 - 0.25j)]),
    (merged, [({"a": 1}, {"b": 2}), ({"a": 1}, {"a": 1})]),
    (ends, [(["b", "a"], [(1, "b"), (1, "c")])]),
    (nested, [(torch.ones(2, 3),), (torch.tensor(3),), (torch.tensor([True]),)]),
    (named, [(1.5, 7)]),
    (members, [(7,), (1,)]),
    (last, [({"a": 1, "b": 2},)]),
    (sums, [({"a": 1, "b": None}, 3), ({}, None)]),
    (kinds, [([1, "a", (1, 2), [3]],)]),
    (texts, [(s,) for s in TEXTS]),
    (rounds, [(x,) for x in FLOATS]),
    (powers, [(n,) for n in INTS]),
    (parts, [(z,) for z in (0j, 1 + 2j, -1.5 - 0.25j)]),
    (order, list(product(LISTS, LISTS))),
    (order_of_tuples, list(product([(1, "a"), (1, "b"), (0, "c")], repeat=2))),
    (extremes, [(["b", "a"],), (["abc", "de", "f"],)]),
    (affixes, [(s,) for s in TEXTS]),
    (strided, [([0, 1, 2, 3, 4, 5], [7, 8, 9])]),
    (grouped, [([1, 2, 3],), ([],)]),
    (columns, [([[1, 2], [3, 4]],), ([[1, 2, 3], [4]],), ([],)]),
]


@pytest.mark.parametrize(("function", "grid"), CALLS, ids=lambda c: getattr(c, "__name__", ""))
def test_equal_in_both_readers(function: Callable[..., Any], grid: list[tuple[Any, ...]]) -> None:
    data = saved(function)
    for reader in (jit.load(io.BytesIO(data)), torch.jit.load(io.BytesIO(data))):
        for args in grid:
            assert repr(reader(*args)) == repr(function(*args)), args


@pytest.mark.parametrize(("function", "grid"), CALLS, ids=lambda c: getattr(c, "__name__", ""))
def test_bytes_are_stable(function: Callable[..., Any], grid: object) -> None:
    first = jit.load(io.BytesIO(saved(function))).save_to_buffer()
    assert jit.load(io.BytesIO(first)).save_to_buffer() == first


def sizes(x: torch.Tensor) -> list[torch.Size]:
    return [row.shape for row in x]


def test_sizes_in_lists_come_back_as_sizes() -> None:
    loaded = jit.load(io.BytesIO(saved(sizes)))
    assert repr(loaded(torch.ones(2, 3))) == repr(sizes(torch.ones(2, 3)))
    again = jit.load(io.BytesIO(loaded.save_to_buffer()))
    assert repr(again(torch.ones(2, 3))) == repr(sizes(torch.ones(2, 3)))
