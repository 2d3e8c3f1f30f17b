"""Winograd's minimal filtering: 3 x 3 convolutions with fewer multiplications.

A tile of m x m pixels of the result needs n x n of the image, n = m + 2. With polynomials through n
points, each a row, and as columns

    result = A^T [ (G filter G^T) * (B^T image B) ] A           `*` element by element

which are n * n products in the place of 9 m * m; over many channels, n * n products of matrices.
The points are 0, pairs of p and -p, and infinity. Rows of B^T and of G for p and -p differ in the
signs of every other element, columns of A^T likewise, so that one pass serves both.

Rounding. Errors of direct sums grow with the square root of the number of terms; here they come
from the transforms, too, the more the further apart the points are. Measured against float64, for
16 to 512 channels, next to oneDNN's direct sums in float32 (root mean square; the largest): m = 2
has 0.7 to 0.9 times their error (0.4 to 0.8), m = 4 with the points below 2.0 to 2.4 times (1.5 to
3.0); with the customary points 0, 1, -1, 2, -2 it would be twice as much. A tile that reads an
infinity or a NaN is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import prod

from ir import record

KERNEL = 3
_POINTS = {2: (1.0,), 4: (0.625, 1.625)}
TILES = tuple(_POINTS)
"""The pixels along a side of a tile, m."""
Matrix = tuple[tuple[float, ...], ...]


@record
class Matrices:
    """The three matrices for one m. Rows of `image` and `filter`, and columns of `result`, belong
    to points: 0 first, then pairs, and infinity last.
    """

    image: Matrix
    """B^T, n x n"""
    filter: Matrix
    """G, n x 3"""
    result: Matrix
    """A^T, m x n"""


@cache
def winograd_matrices(m: int) -> Matrices:
    """Those for tiles of m x m pixels. All numbers are exact in float32 but those of `filter`."""
    points = [Fraction(0)]
    for p in map(Fraction, _POINTS[m]):
        points += [p, -p]
    others = [[q for q in points if q != p] for p in points]
    image = [[*_polynomial(roots), Fraction(0)] for roots in others] + [_polynomial(points)]
    filter_ = [
        [p**k / prod(p - q for q in roots) for k in range(KERNEL)]
        for p, roots in zip(points, others, strict=True)
    ]
    filter_.append([Fraction(k == KERNEL - 1) for k in range(KERNEL)])
    result = [[*(p**k for p in points), Fraction(k == m - 1)] for k in range(m)]
    return Matrices(*(tuple(tuple(map(float, r)) for r in x) for x in (image, filter_, result)))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (x - root), that of the lowest power first."""
    found = [Fraction(1)]
    for root in roots:
        moved = [Fraction(0), *found]
        found = [a - root * b for a, b in zip(moved, [*found, Fraction(0)], strict=True)]
    return found
