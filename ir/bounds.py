"""Intervals of ints: what exact arithmetic on numbers between bounds can give."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

Interval = tuple[int, int]
Bounds = Callable[..., Interval]
"""From the intervals of an op's operands to that of its result."""

WHOLE: Interval = (-(1 << 63), (1 << 63) - 1)
LENGTHS: Interval = (0, 1 << 48)
"""No container has more elements: there is no memory for them."""


def add(a: Interval, b: Interval) -> Interval:
    return a[0] + b[0], a[1] + b[1]


def subtract(a: Interval, b: Interval) -> Interval:
    return a[0] - b[1], a[1] - b[0]


def negate(a: Interval) -> Interval:
    return -a[1], -a[0]


def multiply(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x, y in product(a, b)]
    return min(corners), max(corners)


def absolute(a: Interval) -> Interval:
    return 0, max(abs(a[0]), abs(a[1]))


def floor_divide(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0:
        size = max(abs(a[0]), abs(a[1]))
        return -size, size
    corners = [x // y for x, y in product(a, b)]
    return min(corners), max(corners)


def remainder(a: Interval, b: Interval) -> Interval:
    return min(b[0] + 1, 0), max(b[1] - 1, 0)


def smaller(a: Interval, b: Interval) -> Interval:
    return min(a[0], b[0]), min(a[1], b[1])


def larger(a: Interval, b: Interval) -> Interval:
    return max(a[0], b[0]), max(a[1], b[1])


def range_length(low: Interval, high: Interval, step: Interval) -> Interval:
    """Steps of either sign, of size 1 or more."""
    return 0, max(high[1] - low[0], low[1] - high[0], 0)


def position(index: Interval, size: Interval) -> Interval:
    """An index of a dim."""
    return 0, max(size[1] - 1, 0)


def range_element(index: Interval, start: Interval, step: Interval) -> Interval:
    """A range stays between its first element and its bound, both of 64 bits."""
    low, high = add(start, multiply(index, step))
    return max(low, WHOLE[0]), min(high, WHOLE[1])
