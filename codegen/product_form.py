"""Forms of generated products: what their functions are made for, and how they are named.

A name says everything about a function but the machine, so the engine can make it when a plan, new
or from the object cache, first asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from codegen.microkernel import GROUP
from ir import Dim, DType, dtypes, size_max

ROWS = 512  # rows that are multiplied with a panel: transposing it costs as much as about 5 of them
DTYPES = (dtypes.float32, dtypes.float64)
TALLEST = 8
"""Rows of a tile: where A's rows lie a multiple of 4 KiB apart, more of them would drive each other
out of the one set of the level 1 cache that they all fall into.
"""
_NAME = re.compile(r"relume_(product|tile|dots|pack)_(float\d\d)_(\d+)_([nt])([ntd])_(\d+)")


@dataclass(frozen=True, slots=True)
class Form:
    """What a function is made for: dtype, rows of a tile, which operands are transposed, and how
    many dims the batch has. With `has_dots`, a few rows of A and columns of B, which both lie along
    k, are multiplied where they are.
    """

    dtype: DType
    height: int
    is_a_transposed: bool = False
    is_b_transposed: bool = False
    rank: int = 0
    has_dots: bool = False

    @property
    def symbol(self) -> str:
        """The name of its range function (`codegen.product_record`)."""
        return self._named("product")

    @property
    def tile(self) -> str:
        """The name of its tile, which knows no layouts."""
        if self.has_dots:
            return replace(self, rank=0)._named("dots")
        return Form(self.dtype, self.height)._named("tile")

    @property
    def pack(self) -> str:
        """The name of the function that packs B for tiles of any height."""
        return Form(self.dtype, 0, is_b_transposed=self.is_b_transposed)._named("pack")

    @property
    def group(self) -> int:
        """How many panels a unit does: rows along k are packed together."""
        return 1 if self.is_b_transposed else GROUP

    @property
    def block(self) -> int:
        """About how many rows of C are in a block."""
        return ROWS if self.is_b_transposed else ROWS // 2

    def blocks(self, rows: Dim) -> Dim:
        """In how many blocks the rows of C are done."""
        return size_max((rows + self.block // 2) // self.block, 1)

    def _named(self, kind: str) -> str:
        a = "nt"[self.is_a_transposed]
        b = "d" if self.has_dots else "nt"[self.is_b_transposed]
        return f"relume_{kind}_{self.dtype}_{self.height}_{a}{b}_{self.rank}"


def parse(name: str) -> tuple[str, Form] | None:
    """The kind and the form of a function of that name; None for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind, dtype, height, a, b, rank = match.groups()
    of = next(d for d in DTYPES if str(d) == dtype)
    return kind, Form(of, int(height), a == "t", b != "n", int(rank), b == "d")


def height(rows: int) -> int:
    """The rows of a tile for a product of about so many: as few left over as possible, and tall."""
    if rows <= TALLEST:
        return max(rows, 1)
    return min(range(TALLEST, TALLEST // 2, -1), key=lambda h: -(-rows // h) * (2 * h + 1))
