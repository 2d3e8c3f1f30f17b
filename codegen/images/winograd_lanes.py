"""Winograd's transforms on lanes: one matrix times a vector of lanes, and both sides of a square.

Rows (of `to_points`) and columns (of `from_points`) 1 and 2, 3 and 4, ... are those of p and -p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from codegen.images.winograd import Matrix
from codegen.lanes.lanes import Lane

Side = Callable[[Matrix, Sequence[Lane]], list[Lane]]


def to_points(matrix: Matrix, x: Sequence[Lane]) -> list[Lane]:
    """Values at all points of the polynomial with coefficients x."""
    first, *pairs, last = matrix
    found = [_sum(first, x)]
    for row in pairs[::2]:
        even, odd = _sum(row[::2], x[::2]), _sum(row[1::2], x[1::2])
        found += [even + odd, even - odd]
    return [*found, _sum(last, x)]


def from_points(matrix: Matrix, x: Sequence[Lane]) -> list[Lane]:
    """Sums of the values at all points with the powers of the points."""
    first, *pairs, last = x
    sums = [a + b for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
    differences = [a - b for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
    found = []
    for power, (at_first, *row, at_last) in enumerate(matrix):
        terms = differences if power % 2 else sums
        found.append(_sum([at_first, *row[::2], at_last], [first, *terms, last]))
    return found


def both_sides(apply: Side, matrix: Matrix, square: Sequence[Sequence[Lane]]) -> list[list[Lane]]:
    """M X M^T for rows of lanes."""
    columns = [apply(matrix, column) for column in zip(*square, strict=True)]
    return [apply(matrix, row) for row in zip(*columns, strict=True)]


def _sum(factors: Sequence[float], x: Sequence[Lane]) -> Lane:
    """The sum of products; factors of 0, 1 and -1 cost nothing."""
    terms = [(f, lane) for f, lane in zip(factors, x, strict=True) if f]
    terms.sort(key=lambda term: term[0] != 1.0)  # one that needs no product is first
    (factor, total), *rest = terms
    total = total if factor == 1.0 else total * factor
    for factor, lane in rest:
        if factor == -1.0:
            total = total - lane
        else:
            total = total + (lane if factor == 1.0 else lane * factor)
    return total
