"""Elements of vectors in other places: parts, halves combined, rows as columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llvmlite.ir as ll

from codegen.lanes.constants import Splat, places
from codegen.lanes.lane import Lane, LaneBuilder


def reduce(s: LaneBuilder, x: Lane, combine: Callable[[Lane, Lane], Lane]) -> Lane:
    """All elements combined into a scalar, by halves: 0 with N/2, 1 with N/2 + 1, ..."""
    while x.width > 1:
        half = x.width // 2
        x = combine(part(s, x, 0, half), part(s, x, half, half))
    return x


def part(s: LaneBuilder, x: Lane, start: int, count: int) -> Lane:
    """`count` neighboring elements of a vector; a scalar if it is one."""
    if count == 1:
        return Lane(
            s,
            s.builder.extract_element(x.value, ll.Constant(ll.IntType(32), start)),
            x.dtype,
        )
    if isinstance(x.value, Splat):
        return s.splat(Lane(s, x.value.element, x.dtype), count)
    mask = places(*range(start, start + count))
    return Lane(s, s.builder.shuffle_vector(x.value, x.value, mask), x.dtype)


def interleaved(s: LaneBuilder, x: Lane, y: Lane) -> tuple[Lane, Lane]:
    """x0 y0 x1 y1 ... as two vectors, the first and the second half."""
    width = x.width
    halves = []
    for start in (0, width // 2):
        mask = places(*(p for k in range(start, start + width // 2) for p in (k, width + k)))
        halves.append(Lane(s, s.builder.shuffle_vector(x.value, y.value, mask), x.dtype))
    return halves[0], halves[1]


def transposed(s: LaneBuilder, rows: Sequence[Lane]) -> list[Lane]:
    """A square of as many vectors as they have elements, rows as columns: log2(W) rounds of
    interleaving row i with row i + W/2.
    """
    found, half = list(rows), len(rows) // 2
    for _ in range(len(found).bit_length() - 1):
        pairs = [interleaved(s, found[i], found[i + half]) for i in range(half)]
        found = [lane for pair in pairs for lane in pair]
    return found


def joined(s: LaneBuilder, parts: Sequence[Lane]) -> Lane:
    """Vectors of equal width, one after the other."""
    lanes = list(parts)
    while len(lanes) > 1:
        lanes = [_pair(s, a, b) for a, b in zip(lanes[::2], lanes[1::2], strict=True)]
    return lanes[0]


def _pair(s: LaneBuilder, x: Lane, y: Lane) -> Lane:
    mask = places(*range(2 * x.width))
    return Lane(s, s.builder.shuffle_vector(x.value, y.value, mask), x.dtype)


def spread(s: LaneBuilder, x: Lane, size: int, member: int) -> Lane:
    """One member of each `size` neighboring elements in the place of all of them."""
    if size == 1:
        return x
    mask = places(*(k // size * size + member for k in range(x.width)))
    return Lane(s, s.builder.shuffle_vector(x.value, x.value, mask), x.dtype)


def shifted(s: LaneBuilder, x: Lane, distance: int, fill: Lane) -> Lane:
    """The elements moved up by `distance` places; the first ones are those of `fill`."""
    width = x.width
    mask = places(*(width + k if k < distance else k - distance for k in range(width)))
    return Lane(s, s.builder.shuffle_vector(x.value, fill.value, mask), x.dtype)
