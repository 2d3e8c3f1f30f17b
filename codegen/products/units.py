"""The range function of a generated product.

    for each run of units (rows of a tile) of a group of panels and a product of the batch:
        for each part of about DEPTH steps along k:
            pack the panels of B into the frame
            for each block, for each panel, for each tile of the block:
                registers = A's rows times the panel; C = or += them

A is read in place: a block of its part stays in the level 2 cache while all panels pass by. Panels
that only one tile reads are read in place too, if B's rows lie along n. Of the two operands, the
right one of the product is taken for a weight, which comes from memory: what the following block
or part needs of it is fetched while this one is computed.

Sums of a part start at zero and are added to C: so long sums lose less than in BLAS, whose parts
are longer. Dot products need neither panels nor parts.
"""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.ir as ll

from codegen.abi import PTR, RANGE_TYPE, i64, offset
from codegen.frame import frame
from codegen.loops import ceil_divide, counted
from codegen.prefetch import prefetch
from codegen.products.dots import DOTS_TYPE
from codegen.products.form import TALLEST, TILES, Form
from codegen.products.microkernel import (
    DEPTH,
    GROUP,
    LINE,
    PACK_TYPE,
    TILE_TYPE,
    TURN,
    Emitter,
    larger,
    smaller,
)
from codegen.products.record import Record
from ir import record

AT_ONCE = 2  # rows that are fetched at once
EVEN = 16  # parts of k are as long as each other, up to so many steps


@record
class _Run:
    """Where a run's rows of A, columns of B and part of C start, and how many there are."""

    a: ll.Value
    b: ll.Value
    c: ll.Value
    rows: ll.Value
    width: ll.Value


@record
class _Part:
    """A part of k: its rows of A, its panels with the steps between their rows and from one to the
    next, the same part of A and B that follows, its steps, and whether its sums are added to C.
    """

    a: ll.Value
    panels: ll.Value
    step: ll.Value
    along: ll.Value
    next_a: ll.Value
    next_b: ll.Value
    depth: ll.Value
    adds: ll.Value


class Units:
    """Emits the range function of a form; what is said of A, B and C in steps is in bytes."""

    def __init__(self, emitter: Emitter, form: Form) -> None:
        self.form, self.emitter = form, emitter
        self.size = form.dtype.itemsize
        self.function = ll.Function(emitter.module, RANGE_TYPE, form.symbol)

    def emit(self) -> None:
        begin, end, address = self.function.args
        b = self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.record = Record(b, address)
        word, size, form = self.record.word, i64(self.size), self.form
        self.a_step, self.b_step, c_step = (b.mul(word[f"ld{x}"], size) for x in "abc")
        self.a_down, self.a_along = _ordered(self.a_step, size, form.is_a_transposed)
        self.b_along, self.b_right = _ordered(self.b_step, size, form.is_b_transposed)
        self.c_step = c_step
        self.c_down, self.c_right = _ordered(c_step, size, form.is_c_transposed)
        panels = ceil_divide(b, word["n"], self.emitter.lanes)
        self.groups = ceil_divide(b, panels, GROUP)
        even = b.udiv(b.add(panels, b.sub(self.groups, i64(1))), larger(b, self.groups, i64(1)))
        self.width = b.mul(even, i64(self.emitter.lanes))
        self.strips = larger(b, ceil_divide(b, word["m"], form.height), i64(1))
        compute = self._dots() if form.has_dots else self._tiles()
        first = b.udiv(begin, self.strips)
        last = b.udiv(b.sub(end, i64(1)), self.strips)
        with counted(b, b.add(b.sub(last, first), i64(1))) as k:
            compute(self._run(b.add(first, k), begin, end))
        b.ret_void()

    def _run(self, run: ll.Value, begin: ll.Value, end: ll.Value) -> _Run:
        """The units of run `run` from `begin` to `end`: rows run first, then groups, then the
        batch.
        """
        b, word, height = self.b, self.record.word, i64(self.form.height)
        group, at = b.urem(run, self.groups), b.udiv(run, self.groups)
        found = self.record.matrices(at, self.form.rank, self.size)
        unit = b.mul(run, self.strips)
        start = larger(b, b.sub(begin, unit), i64(0))
        stop = smaller(b, b.sub(end, unit), self.strips)
        row, column = b.mul(start, height), b.mul(group, self.width)
        limit = smaller(b, b.mul(stop, height), word["m"])
        moved = {
            "a": b.mul(row, self.a_down),
            "b": b.mul(column, self.b_right),
            "c": b.add(b.mul(row, self.c_down), b.mul(column, self.c_right)),
        }
        return _Run(
            **{x: b.inttoptr(b.add(found[x], moved[x]), PTR) for x in moved},
            rows=b.sub(limit, row),
            width=smaller(b, self.width, b.sub(word["n"], column)),
        )

    # dot products ---------------------------------------------------------------------------------
    def _dots(self) -> Callable[[_Run], None]:
        b, depth = self.b, self.record.word["k"]
        dots = ll.Function(self.emitter.module, DOTS_TYPE, self.form.tile)

        def compute(run: _Run) -> None:
            with counted(b, ceil_divide(b, run.rows, self.form.height)) as tile:
                row = b.mul(tile, i64(self.form.height))
                a, c = offset(b, run.a, b.mul(row, self.a_step)), b.mul(row, self.c_step)
                b.call(dots, [
                    a, self.a_step, run.b, self.b_step, depth, offset(b, run.c, c), self.c_step,
                    b.sub(run.rows, row), run.width,
                ])  # fmt: skip

        return compute

    # tiles ----------------------------------------------------------------------------------------
    def _tiles(self) -> Callable[[_Run], None]:
        b, module, k = self.b, self.emitter.module, self.record.word["k"]
        self.tile = ll.Function(module, TILE_TYPE, self.form.tile)
        self.pack = ll.Function(module, PACK_TYPE, self.form.pack)
        self.panels = frame(b, GROUP * self.emitter.panel_bytes)
        self.parts = larger(b, ceil_divide(b, k, DEPTH), i64(1))
        even = b.udiv(b.add(k, b.sub(self.parts, i64(1))), self.parts)
        self.depth = b.and_(b.add(even, i64(EVEN - 1)), i64(-EVEN))

        def compute(run: _Run) -> None:
            with counted(b, self.parts) as part:
                self._blocks(run, self._part(run, part))

        return compute

    def _part(self, run: _Run, part: ll.Value) -> _Part:
        """Part `part` of k, with its panels packed."""
        b = self.b
        k = b.mul(part, self.depth)
        depth = larger(b, smaller(b, self.depth, b.sub(self.record.word["k"], k)), i64(0))
        source, left = (
            offset(b, start, b.mul(k, along))
            for start, along in ((run.b, self.b_along), (run.a, self.a_along))
        )
        panels, step, along = self._packed(source, depth, run)
        is_last = b.icmp_unsigned("==", b.add(part, i64(1)), self.parts)
        ahead = b.select(is_last, i64(0), self.depth)
        return _Part(
            a=left,
            panels=panels,
            step=step,
            along=along,
            next_a=offset(b, left, b.mul(ahead, self.a_along)),
            next_b=offset(b, source, b.mul(ahead, self.b_along)),
            depth=depth,
            adds=b.icmp_unsigned("!=", part, i64(0)),
        )

    def _blocks(self, run: _Run, part: _Part) -> None:
        """All tiles of a part."""
        b, form, lanes = self.b, self.form, self.emitter.lanes
        panels = ceil_divide(b, run.width, lanes)
        with counted(b, ceil_divide(b, run.rows, form.block)) as block:
            row = b.mul(block, i64(form.block))
            rows = smaller(b, i64(form.block), b.sub(run.rows, row))
            tiles = ceil_divide(b, rows, form.height)
            following = b.add(row, i64(form.block))
            is_more = b.icmp_signed("<", following, run.rows)
            fetched = b.select(
                is_more, offset(b, part.a, b.mul(following, self.a_down)), part.next_a
            )
            with counted(b, panels) as j, counted(b, tiles) as tile:
                at = b.add(row, b.mul(tile, i64(form.height)))
                column = b.mul(j, i64(lanes))
                if form.is_c_transposed:
                    start = offset(b, fetched, b.mul(b.mul(tile, i64(form.height)), self.a_down))
                    ahead = self._ahead(start, self.a_down, TALLEST, j, panels)
                elif form.is_b_transposed:
                    start = offset(b, part.next_b, b.mul(column, self.b_right))
                    each = b.add(b.mul(block, i64(TILES)), tile)
                    ahead = self._ahead(
                        start, self.b_right, lanes, each, ceil_divide(b, run.rows, form.height)
                    )
                else:
                    ahead = part.next_b, i64(0), i64(0), i64(0)
                there = b.add(b.mul(at, self.c_down), b.mul(column, self.c_right))
                b.call(self.tile, [
                    offset(b, part.a, b.mul(at, self.a_down)), self.a_down, self.a_along,
                    offset(b, part.panels, b.mul(j, part.along)), part.step, part.depth,
                    offset(b, run.c, there), self.c_step, b.sub(run.rows, at),
                    b.sub(run.width, column), part.adds, *ahead,
                ])  # fmt: skip

    def _ahead(
        self, start: ll.Value, step: ll.Value, rows: int, share: ll.Value, shares: ll.Value
    ) -> tuple[ll.Value, ...]:
        """Fetch share `share` of so many rows along k that will be read soon: here, or, where that
        would be so much at once that it had to be waited for, by a tile that gets these arguments.
        """
        b = self.b
        count = b.udiv(b.add(b.sub(shares, i64(1)), i64(rows)), shares)
        first = b.mul(share, count)
        left = larger(b, smaller(b, count, b.sub(i64(rows), first)), i64(0))
        is_much = b.icmp_signed(">", count, i64(AT_ONCE))
        first_row = offset(b, start, b.mul(first, step))
        with counted(b, b.select(is_much, i64(0), left)) as k:
            row = offset(b, first_row, b.mul(k, step))
            for line in range(0, DEPTH * self.size, LINE):
                prefetch(b, offset(b, row, line))
        return first_row, b.select(is_much, left, i64(0)), step, i64(TURN * self.size)

    def _packed(
        self, source: ll.Value, depth: ll.Value, run: _Run
    ) -> tuple[ll.Value, ll.Value, ll.Value]:
        """The panels, packed or in place: the first, and the steps between rows and panels."""
        b, vector = self.b, i64(self.emitter.vector_bytes)
        arguments = (source, self.b_step, self.panels, depth, run.width)
        packed = self.panels, vector, i64(self.emitter.panel_bytes)
        if self.form.is_b_transposed:
            with counted(b, ceil_divide(b, run.width, self.emitter.lanes)) as j:
                column = b.mul(j, i64(self.emitter.lanes))
                b.call(self.pack, [
                    offset(b, source, b.mul(column, self.b_right)), self.b_step,
                    offset(b, self.panels, b.mul(j, i64(self.emitter.panel_bytes))), depth,
                    b.sub(run.width, column),
                ])  # fmt: skip
            return packed
        is_single = b.icmp_signed("<=", run.rows, i64(self.form.height))
        rest = b.and_(run.width, i64(self.emitter.lanes - 1))
        in_place = b.and_(is_single, b.icmp_signed("==", rest, i64(0)))
        with b.if_then(b.not_(in_place)):
            b.call(self.pack, arguments)
        direct = source, self.b_step, vector
        first, step, along = (b.select(in_place, x, y) for x, y in zip(direct, packed, strict=True))
        return first, step, along


def _ordered(x: ll.Value, y: ll.Value, is_swapped: bool) -> tuple[ll.Value, ll.Value]:
    return (y, x) if is_swapped else (x, y)
