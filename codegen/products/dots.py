"""Few rows times columns that lie along k: dot products of vectors, with nothing packed.

    dots(a, a step, b, b step, depth, c, c step, rows, width)

`height` rows of A and a few columns of B are read along k, one vector each per step, and every pair
has a vector of sums, which are folded together at the end: B is read once, in long runs. Steps are
bytes; rows and columns that are missing repeat the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import I64, PTR, VOID, i64, offset
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import carried, counted
from codegen.products.microkernel import Emitter, smaller
from codegen.target import Target

DOTS_TYPE = ll.FunctionType(VOID, (PTR, I64, PTR, I64, I64, PTR, I64, I64, I64))


class Dots:
    """Emits the function for tiles of `height` rows."""

    def __init__(self, emitter: Emitter, height: int) -> None:
        self.emitter, self.height = emitter, height
        self.dtype, self.lanes = emitter.dtype, emitter.lanes
        self.size = self.dtype.itemsize
        self.columns = _columns(emitter.target, self.lanes, height)

    def emit(self, name: str) -> None:
        with self.emitter.function(name, DOTS_TYPE) as (s, function):
            a, a_step, right, b_step, depth, c, c_step, rows, width = function.args
            b = s.builder
            left = _starts(b, a, a_step, self.height, i64(0), rows)
            places = _starts(b, c, c_step, self.height, i64(0), rows)
            with counted(b, b.udiv(b.add(width, i64(self.columns - 1)), i64(self.columns))) as j:
                first = b.mul(j, i64(self.columns))
                starts = _starts(b, right, b_step, self.columns, first, width)
                found = self._folded(s, self._sums(s, left, starts, depth))
                at = b.mul(first, i64(self.size))
                self._store(b, found, [offset(b, p, at) for p in places], b.sub(width, first))

    def _sums(
        self, s: Lanes, left: Sequence[ll.Value], right: Sequence[ll.Value], depth: ll.Value
    ) -> list[Lane]:
        """A vector of sums per pair, row by row; what is left of k comes last, under a mask."""
        b, zero = s.builder, s.splat(s.const(0.0, self.dtype)).value
        whole = b.udiv(depth, i64(self.lanes))

        def step(
            k: ll.Value, sums: Sequence[ll.Value], mask: Lane | None = None
        ) -> Sequence[ll.Value]:
            at = b.mul(k, i64(self.emitter.vector_bytes))
            xs, ys = (
                [s.load(offset(b, p, at), self.dtype, mask) for p in side] for side in (left, right)
            )
            pairs = [(x, y) for x in xs for y in ys]
            return [
                s.fma(x, y, Lane(s, total, self.dtype)).value
                for (x, y), total in zip(pairs, sums, strict=True)
            ]

        sums = carried(b, whole, [zero] * (self.height * self.columns), step)
        rest = s.tail_mask(b.sub(depth, b.mul(whole, i64(self.lanes))))
        return [Lane(s, x, self.dtype) for x in step(whole, sums, rest)]

    def _folded(self, s: Lanes, sums: list[Lane]) -> list[Lane]:
        """The totals of vectors, one after the other in vectors: pairs of vectors are interleaved
        and added, until each holds the halves of one total no more.
        """
        zero = s.splat(s.const(0.0, self.dtype))
        rows = [*sums, *[zero] * (-len(sums) % self.lanes)]
        return [self._one(s, rows[k : k + self.lanes]) for k in range(0, len(rows), self.lanes)]

    def _one(self, s: Lanes, rows: list[Lane]) -> Lane:
        """The totals of as many vectors as they have elements."""
        while len(rows) > 1:
            half = len(rows) // 2
            pairs = [s.interleaved(rows[k], rows[k + half]) for k in range(half)]
            rows = [low + high for low, high in pairs]
        return rows[0]

    def _store(
        self, b: ll.IRBuilder, found: Sequence[Lane], places: Sequence[ll.Value], left: ll.Value
    ) -> None:
        """Row by row; totals of columns that are missing are not stored."""
        s = Lanes(b, self.columns, self.emitter.target.instructions)
        mask = s.tail_mask(smaller(b, left, i64(self.columns)))
        for k, place in enumerate(places):
            vector, first = divmod(k * self.columns, self.lanes)
            total = s.slice(found[vector], first, self.columns)
            s.store(place, total, self.dtype, mask)


def _columns(target: Target, lanes: int, height: int) -> int:
    """Columns of B at a time: a power of two, so that all totals of a row are in one vector, and as
    many as leave a quarter of the registers for what is read.
    """
    found = 1
    while 2 * found * height <= target.registers * 3 // 4 and 2 * found <= lanes:
        found *= 2
    return found


def _starts(
    b: ll.IRBuilder, base: ll.Value, step: ll.Value, count: int, first: ll.Value, limit: ll.Value
) -> list[ll.Value]:
    """Where `count` rows from the first one start; beyond the limit, the last one."""
    last = b.sub(limit, i64(1))
    numbers = [smaller(b, b.add(first, i64(k)), last) for k in range(count)]
    return [offset(b, base, b.mul(n, step)) for n in numbers]
