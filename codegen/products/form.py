"""Forms of generated products: what their functions are made for, and how they are named.

A name says everything about a function but the machine, so the engine can make it when a plan, new
or from the object cache, first asks for it.
"""

from __future__ import annotations

import re

from ir import Dim, DType, dtypes, record, replace, size_max

TILES = 8  # tiles of a block: its rows of A stay in the level 2 cache while panels pass by
TRANSPOSING = 5  # rows that a panel could be multiplied with while it is transposed
DOTTING = 1.2  # times that a row of dot products takes: vectors of sums are folded
DTYPES = (dtypes.float32, dtypes.float64)
TALLEST = 8
"""Rows of a tile: where A's rows lie a multiple of 4 KiB apart, more of them would drive each other
out of the one set of the level 1 cache that they all fall into.
"""
_NAME = re.compile(r"relume_(product|tile|dots|pack)_(float\d\d)_(\d+)_([nt])([ntd])([nt])_(\d+)")


@record
class Form:
    """What a function is made for: dtype, rows of a tile, which operands are transposed, whether
    the result is, and how many dims the batch has. With `has_dots`, a few rows of A and columns of
    B, which both lie along k, are multiplied where they are.
    """

    dtype: DType
    height: int
    is_a_transposed: bool = False
    is_b_transposed: bool = False
    rank: int = 0
    has_dots: bool = False
    is_c_transposed: bool = False

    @property
    def symbol(self) -> str:
        """The name of its range function (`codegen.products.record`)."""
        return self._named("product")

    @property
    def tile(self) -> str:
        """The name of its tile, which knows no layouts."""
        if self.has_dots:
            return replace(self, rank=0)._named("dots")
        form = Form(self.dtype, self.height, is_c_transposed=self.is_c_transposed)
        return form._named("tile")

    @property
    def pack(self) -> str:
        """The name of the function that packs B for tiles of any height."""
        return Form(self.dtype, 0, is_b_transposed=self.is_b_transposed)._named("pack")

    @property
    def block(self) -> int:
        """Rows of C that are multiplied with one panel after the other."""
        return TILES * self.height

    def strips(self, rows: Dim) -> Dim:
        """In how many tiles, one below the other, the rows of C are done."""
        return size_max((rows + (self.height - 1)) // self.height, 1)

    def _named(self, kind: str) -> str:
        a = "nt"[self.is_a_transposed]
        b = "d" if self.has_dots else "nt"[self.is_b_transposed]
        c = "nt"[self.is_c_transposed]
        return f"relume_{kind}_{self.dtype}_{self.height}_{a}{b}{c}_{self.rank}"


def parse(name: str) -> tuple[str, Form] | None:
    """The kind and the form of a function of that name; None for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind, dtype, height, a, b, c, rank = match.groups()
    of = next(d for d in DTYPES if str(d) == dtype)
    return kind, Form(of, int(height), a == "t", b != "n", int(rank), b == "d", c == "t")


def height(rows: int) -> int:
    """The rows of a tile for a product of about so many: as few left over as possible, and tall."""
    if rows <= TALLEST:
        return max(rows, 1)
    return min(range(TALLEST, TALLEST // 2, -1), key=lambda h: -(-rows // h) * (2 * h + 1))


def is_swapped_cheaper(rows: int, columns: int, depth: int, lanes: int) -> bool:
    """Whether C' = B' A' costs less than C = A B, whose B lies along k: then it is A that is
    transposed into panels, not B, and C when it is stored. Few rows would be dot products.
    """
    panels = -(-rows // lanes) * lanes
    swapped = panels * (1 + TRANSPOSING / max(columns, 1) + TRANSPOSING / max(depth, 1))
    return swapped < min(rows + TRANSPOSING, rows * DOTTING)
