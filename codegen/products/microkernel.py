"""The inner functions of a generated product: the tile, and the packing of what it reads.

A tile is `height` rows of C, one vector wide, whose sums stay in registers while k runs: a step
along k loads one vector of B's panel and broadcasts one element of each of A's rows. Every RUN
turns the sums are added to totals and start anew, so that long sums lose less.

    tile(a, row step, k step, panel, panel step, depth, c, c step, rows, width, adds, ahead...)
    pack(source, source step, panel, depth, width)          panel[depth][one vector] of B

Steps are bytes. `rows` may be more than the tile has; rows that are missing repeat the last one, so
that reading and storing them changes nothing. Columns beyond `width` are computed and not stored:
in a packed panel they are there. `adds` says whether the sums are added to what C holds.

Meanwhile a tile fetches what will be read later: before each TURN steps `count` cache lines that
are `down` bytes apart, from `ahead` on, which moves on by `along` bytes each time. These are the
last four arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import llvmlite.ir as ll

from codegen.abi import I1, I64, PTR, VOID, i64, offset
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import carried, counted
from codegen.prefetch import prefetch
from codegen.products.tile_store import TileStore
from codegen.target import Target
from ir import DType

ALIGNMENT = 64
DEPTH = 256  # a panel stays in the level 1 cache with the rows of A that are multiplied with it
GROUP = 8  # panels that are packed together from rows along k: a step reads as many cache lines
TURN = 16  # steps along k between two times that a tile fetches ahead
RUN = 8  # turns of a sum
LINE = 64  # bytes of a cache line
AHEAD = 16  # steps along k whose rows are on their way: each may be on a page of its own
TILE_TYPE = ll.FunctionType(
    VOID, (PTR, I64, I64, PTR, I64, I64, PTR, I64, I64, I64, I1, PTR, I64, I64, I64)
)
PACK_TYPE = ll.FunctionType(VOID, (PTR, I64, PTR, I64, I64))


class Emitter:
    """Emits the functions for one dtype and one machine into a module."""

    def __init__(self, module: ll.Module, dtype: DType, target: Target) -> None:
        self.module, self.dtype, self.target = module, dtype, target
        self.lanes = target.lanes(dtype.bits)
        self.vector_bytes = self.lanes * dtype.itemsize
        self.panel_bytes = DEPTH * self.vector_bytes

    @contextmanager
    def function(self, name: str, kind: ll.FunctionType) -> Iterator[tuple[Lanes, ll.Function]]:
        """A function that ends where the context ends."""
        function = ll.Function(self.module, kind, name)
        b = ll.IRBuilder(function.append_basic_block("entry"))
        yield Lanes(b, self.lanes, self.target.instructions), function
        b.ret_void()

    # the tile -------------------------------------------------------------------------------------
    def tile(self, name: str, height: int, is_transposed: bool) -> None:
        """A tile of so many rows, which may be stored as columns."""
        with self.function(name, TILE_TYPE) as (s, function):
            a, a_step, k_step, panel, panel_step, depth, c, c_step, rows, width, adds, *ahead = (
                function.args
            )
            b = s.builder
            rows = smaller(b, rows, i64(height))
            last = b.sub(rows, i64(1))
            numbers = [smaller(b, i64(k), last) for k in range(height)]
            starts = [offset(b, a, b.mul(k, a_step)) for k in numbers]
            sums = self._sums(s, starts, k_step, panel, panel_step, depth, ahead)
            is_whole = b.icmp_signed(">=", width, i64(self.lanes))
            store = TileStore(s, self.dtype, c, c_step, adds)
            if is_transposed:
                is_whole = b.and_(is_whole, b.icmp_signed("==", rows, i64(height)))
                sums = s.transposed([*sums, *sums[:1] * (_power(height) - height)])
            with b.if_else(is_whole) as (whole, part):
                with whole:
                    if is_transposed:
                        store.columns(sums, height)
                    else:
                        store.rows(sums, numbers)
                with part:
                    size = len(sums) * self.dtype.itemsize if is_transposed else self.vector_bytes
                    lines = (smaller(b, width, i64(self.lanes)), rows)
                    store.part(sums, size, *(lines if is_transposed else lines[::-1]))

    def _sums(
        self,
        s: Lanes,
        starts: Sequence[ll.Value],
        k_step: ll.Value,
        panel: ll.Value,
        panel_step: ll.Value,
        depth: ll.Value,
        ahead: Sequence[ll.Value],
    ) -> list[Lane]:
        """The products of rows and panel, summed along k in registers."""
        b = s.builder
        zero = s.splat(s.const(0.0, self.dtype)).value
        first, count, down, along = ahead

        def step(k: ll.Value, sums: Sequence[ll.Value]) -> Sequence[ll.Value]:
            at = b.mul(k, k_step)
            y = s.load(offset(b, panel, b.mul(k, panel_step)), self.dtype)
            prefetch(b, offset(b, panel, b.mul(b.add(k, i64(AHEAD)), panel_step)))
            elements = [s.load_scalar(offset(b, start, at), self.dtype) for start in starts]
            return [
                s.fma(s.splat(x), y, Lane(s, total, self.dtype)).value
                for x, total in zip(elements, sums, strict=True)
            ]

        def steps(turn: ll.Value, sums: Sequence[ll.Value]) -> Sequence[ll.Value]:
            line = offset(b, first, b.mul(turn, along))
            with counted(b, count) as k:
                prefetch(b, offset(b, line, b.mul(k, down)), level=2)
            start = b.mul(turn, i64(TURN))
            left = smaller(b, i64(TURN), b.sub(depth, start))
            return carried(b, left, sums, lambda k, sums: step(b.add(start, k), sums))

        turns = b.udiv(b.add(depth, i64(TURN - 1)), i64(TURN))
        zeros = [zero] * len(starts)

        def run(number: ll.Value, totals: Sequence[ll.Value]) -> Sequence[ll.Value]:
            at = b.mul(number, i64(RUN))
            left = smaller(b, i64(RUN), b.sub(turns, at))
            sums = carried(b, left, zeros, lambda k, sums: steps(b.add(at, k), sums))
            return [
                (Lane(s, total, self.dtype) + Lane(s, x, self.dtype)).value
                for total, x in zip(totals, sums, strict=True)
            ]

        runs = b.udiv(b.add(turns, i64(RUN - 1)), i64(RUN))
        return [Lane(s, x, self.dtype) for x in carried(b, runs, zeros, run)]

    # packing --------------------------------------------------------------------------------------
    def pack(self, name: str, is_transposed: bool) -> None:
        with self.function(name, PACK_TYPE) as (s, function):
            (self._pack_columns if is_transposed else self._pack_rows)(s, *function.args)

    def _pack_rows(
        self,
        s: Lanes,
        source: ll.Value,
        step: ll.Value,
        panel: ll.Value,
        depth: ll.Value,
        width: ll.Value,
    ) -> None:
        """From rows along k: copied, several panels in one pass over the rows."""
        b = s.builder
        left = [b.sub(width, i64(j * self.lanes)) for j in range(GROUP)]
        masks = [s.tail_mask(larger(b, smaller(b, n, i64(self.lanes)), i64(0))) for n in left]
        with counted(b, depth) as k:
            row = offset(b, source, b.mul(k, step))
            for j, mask in enumerate(masks):
                place = offset(b, row, j * self.vector_bytes)
                part = s.load(place, self.dtype, mask)
                prefetch(b, offset(b, place, b.mul(i64(AHEAD // 2), step)))
                to = offset(
                    b, panel, b.add(b.mul(k, i64(self.vector_bytes)), i64(j * self.panel_bytes))
                )
                s.store(to, part, self.dtype)

    def _pack_columns(
        self,
        s: Lanes,
        source: ll.Value,
        step: ll.Value,
        panel: ll.Value,
        depth: ll.Value,
        width: ll.Value,
    ) -> None:
        """From columns along k: squares of one vector's size, transposed in registers. Columns
        that are missing repeat the last one; the panel has room for whole squares.
        """
        b, n = s.builder, self.lanes
        last = b.sub(width, i64(1))
        starts = [offset(b, source, b.mul(smaller(b, i64(i), last), step)) for i in range(n)]
        with counted(b, b.udiv(b.add(depth, i64(n - 1)), i64(n))) as block:
            k = b.mul(block, i64(n))
            mask = s.tail_mask(b.sub(depth, k))
            at = b.mul(k, i64(self.dtype.itemsize))
            square = [s.load(offset(b, start, at), self.dtype, mask) for start in starts]
            to = offset(b, panel, b.mul(k, i64(self.vector_bytes)))
            for i, row in enumerate(s.transposed(square)):
                s.store(offset(b, to, i * self.vector_bytes), row, self.dtype)


def smaller(b: ll.IRBuilder, x: ll.Value, y: ll.Value) -> ll.Value:
    return b.select(b.icmp_signed("<", x, y), x, y)


def larger(b: ll.IRBuilder, x: ll.Value, y: ll.Value) -> ll.Value:
    return b.select(b.icmp_signed(">", x, y), x, y)


def _power(count: int) -> int:
    """The least power of two from a count on."""
    return 1 << (count - 1).bit_length()
