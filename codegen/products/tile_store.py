"""How a tile's sums come into C: stored, or added to what C holds.

rows       each of the vectors is part of a row of C
columns    C is transposed: vectors are transposed in registers, so that each holds columns
part       a tile at the edge, by way of the frame: line by line, under a mask
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import llvmlite.ir as ll

from codegen.abi import i64, offset
from codegen.frame import frame
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import counted
from ir import DType, record


@record
class TileStore:
    """Stores tiles from `c` on, whose rows (or columns, if it is transposed) are `step` bytes
    apart; adds to it if `adds`.
    """

    s: Lanes
    dtype: DType
    c: ll.Value
    step: ll.Value
    adds: ll.Value

    def rows(self, sums: Sequence[Lane], numbers: Sequence[ll.Value]) -> None:
        """All columns of rows of these numbers, which may repeat: all of C is read before any is
        written.
        """
        b = self.s.builder
        places = [offset(b, self.c, b.mul(k, self.step)) for k in numbers]
        found = self._added(sums, lambda: [self.s.load(p, self.dtype) for p in places])
        for x, p in zip(found, places, strict=True):
            self.s.store(p, x, self.dtype)

    def columns(self, sums: Sequence[Lane], height: int) -> None:
        """All columns, of `height` elements each, from vectors that hold one after the other."""
        width = min(len(sums), self.s.width)
        short = Lanes(self.s.builder, width, self.s.features)
        per_vector = self.s.width // width
        pieces = list(self._pieces(short, len(sums), height))
        groups = [pieces[k : k + per_vector] for k in range(0, len(pieces), per_vector)]

        def loaded() -> list[Lane]:
            return [
                self.s.joined([short.load(p, self.dtype, mask) for p, mask in group])
                for group in groups
            ]

        for x, group in zip(self._added(sums, loaded), groups, strict=True):
            for k, (place, mask) in enumerate(group):
                short.store(place, self.s.slice(x, k * width, width), self.dtype, mask)

    def _pieces(
        self, short: Lanes, length: int, height: int
    ) -> Iterator[tuple[ll.Value, Lane | None]]:
        """Where the pieces of columns lie that vectors are cut into, and which of their elements
        exist (None: all).
        """
        b = self.s.builder
        for k in range(0, length * self.s.width, short.width):
            column, first = divmod(k, length)
            place = offset(b, self.c, b.mul(i64(column), self.step))
            is_whole = first + short.width <= height
            mask = None if is_whole else short.tail_mask(i64(max(height - first, 0)))
            yield offset(b, place, first * self.dtype.itemsize), mask

    def part(self, sums: Sequence[Lane], size: int, lines: ll.Value, width: ll.Value) -> None:
        """The first `lines` rows or columns, `size` bytes apart in the vectors: `width` elements
        of each.
        """
        s, b = self.s, self.s.builder
        vector_bytes = s.width * self.dtype.itemsize
        scratch = frame(b, (len(sums) + 1) * vector_bytes)
        for k, x in enumerate(sums):
            s.store(offset(b, scratch, k * vector_bytes), x, self.dtype)
        mask = s.tail_mask(width)
        kept = s.tail_mask(b.select(self.adds, width, i64(0)))
        with counted(b, lines) as k:
            x = s.load(offset(b, scratch, b.mul(k, i64(size))), self.dtype)
            place = offset(b, self.c, b.mul(k, self.step))
            s.store(place, x + s.load(place, self.dtype, kept), self.dtype, mask)

    def _added(self, sums: Sequence[Lane], loaded: Callable[[], Sequence[Lane]]) -> Sequence[Lane]:
        """The sums, with what C holds if it is to be added."""
        return self.s.replaced_if(
            self.adds, sums, lambda: [x + old for x, old in zip(sums, loaded(), strict=True)]
        )
