"""The range function of a generated product.

    for each unit (product of the batch, block of rows of C, group of panels of columns):
        for each DEPTH steps along k:
            pack the panels of B into the frame
            for each panel, for each tile of the block:
                registers = A's rows times the panel; C = or += them

A is read in place. Panels that only one tile reads are read in place too, if B's rows lie along n.
Sums of DEPTH products start at zero and are added to C: so long sums lose less than in BLAS, whose
blocks are longer. Dot products need neither panels nor blocks along k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import llvmlite.ir as ll

from codegen.abi import PTR, RANGE_TYPE, i64, offset
from codegen.dots import DOTS_TYPE
from codegen.loops import counted
from codegen.microkernel import DEPTH, PACK_TYPE, TILE_TYPE, Emitter, frame, larger, smaller
from codegen.product_form import Form
from codegen.product_record import Record


@dataclass(frozen=True, slots=True)
class _Unit:
    """Where a unit's rows of A, columns of B and part of C start, and how many there are."""

    a: ll.Value
    b: ll.Value
    c: ll.Value
    rows: ll.Value
    width: ll.Value


class Units:
    """Emits the range function of a form; what is said of A, B and C in steps is in bytes."""

    def __init__(self, emitter: Emitter, form: Form) -> None:
        self.form, self.emitter = form, emitter
        self.size = form.dtype.itemsize
        self.width = form.group * emitter.lanes
        self.function = ll.Function(emitter.module, RANGE_TYPE, form.symbol)

    def emit(self) -> None:
        begin, end, address = self.function.args
        b = self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.record = Record(b, address)
        word, size, form = self.record.word, i64(self.size), self.form
        self.a_step, self.b_step, self.c_step = (b.mul(word[f"ld{x}"], size) for x in "abc")
        self.a_down, self.a_along = _ordered(self.a_step, size, form.is_a_transposed)
        self.b_along, self.b_right = _ordered(self.b_step, size, form.is_b_transposed)
        self.groups = _ceil(b, word["n"], self.width)
        blocks = b.udiv(b.add(word["m"], i64(form.block // 2)), i64(form.block))
        self.blocks = larger(b, blocks, i64(1))
        tiles = _ceil(b, word["m"], form.height)
        per_block = b.udiv(b.add(tiles, b.sub(self.blocks, i64(1))), self.blocks)
        self.rows = b.mul(per_block, i64(form.height))
        compute = self._dots() if form.has_dots else self._tiles()
        with counted(b, b.sub(end, begin)) as k:
            compute(self._unit(b.add(begin, k)))
        b.ret_void()

    def _unit(self, unit: ll.Value) -> _Unit:
        """Unit `unit`: groups run first, then blocks, then the batch."""
        b, word = self.b, self.record.word
        group, rest = b.urem(unit, self.groups), b.udiv(unit, self.groups)
        block, at = b.urem(rest, self.blocks), b.udiv(rest, self.blocks)
        found = self.record.matrices(at, self.form.rank, self.size)
        row, column = b.mul(block, self.rows), b.mul(group, i64(self.width))
        moved = {
            "a": b.mul(row, self.a_down),
            "b": b.mul(column, self.b_right),
            "c": b.add(b.mul(row, self.c_step), b.mul(column, i64(self.size))),
        }
        return _Unit(
            **{x: b.inttoptr(b.add(found[x], moved[x]), PTR) for x in moved},
            rows=larger(b, smaller(b, self.rows, b.sub(word["m"], row)), i64(0)),
            width=smaller(b, i64(self.width), b.sub(word["n"], column)),
        )

    # dot products ---------------------------------------------------------------------------------
    def _dots(self) -> Callable[[_Unit], None]:
        b, depth = self.b, self.record.word["k"]
        dots = ll.Function(self.emitter.module, DOTS_TYPE, self.form.tile)

        def compute(unit: _Unit) -> None:
            with counted(b, _ceil(b, unit.rows, self.form.height)) as tile:
                row = b.mul(tile, i64(self.form.height))
                a, c = offset(b, unit.a, b.mul(row, self.a_step)), b.mul(row, self.c_step)
                b.call(dots, [
                    a, self.a_step, unit.b, self.b_step, depth, offset(b, unit.c, c), self.c_step,
                    b.sub(unit.rows, row), unit.width,
                ])  # fmt: skip

        return compute

    # tiles ----------------------------------------------------------------------------------------
    def _tiles(self) -> Callable[[_Unit], None]:
        b, module = self.b, self.emitter.module
        self.tile = ll.Function(module, TILE_TYPE, self.form.tile)
        self.pack = ll.Function(module, PACK_TYPE, self.form.pack)
        self.panels = frame(b, self.form.group * self.emitter.panel_bytes)

        def compute(unit: _Unit) -> None:
            parts = larger(b, _ceil(b, self.record.word["k"], DEPTH), i64(1))
            with counted(b, parts) as part:
                self._part(unit, part)

        return compute

    def _part(self, unit: _Unit, part: ll.Value) -> None:
        """DEPTH steps along k of all panels and tiles of a unit."""
        b = self.b
        k = b.mul(part, i64(DEPTH))
        depth = smaller(b, i64(DEPTH), b.sub(self.record.word["k"], k))
        source = offset(b, unit.b, b.mul(k, self.b_along))
        start, step, along = self._packed(source, depth, unit)
        left = offset(b, unit.a, b.mul(k, self.a_along))
        adds = b.icmp_unsigned("!=", part, i64(0))
        with counted(b, _ceil(b, unit.width, self.emitter.lanes)) as j:
            panel = offset(b, start, b.mul(j, along))
            c = offset(b, unit.c, b.mul(j, i64(self.emitter.vector_bytes)))
            width = b.sub(unit.width, b.mul(j, i64(self.emitter.lanes)))
            with counted(b, _ceil(b, unit.rows, self.form.height)) as tile:
                row = b.mul(tile, i64(self.form.height))
                a, there = offset(b, left, b.mul(row, self.a_down)), b.mul(row, self.c_step)
                b.call(self.tile, [
                    a, self.a_down, self.a_along, panel, step, depth, offset(b, c, there),
                    self.c_step, b.sub(unit.rows, row), width, adds,
                ])  # fmt: skip

    def _packed(
        self, source: ll.Value, depth: ll.Value, unit: _Unit
    ) -> tuple[ll.Value, ll.Value, ll.Value]:
        """The panels, packed or in place: the first, and the steps between rows and panels."""
        b, vector = self.b, i64(self.emitter.vector_bytes)
        arguments = (source, self.b_step, self.panels, depth, unit.width)
        packed = self.panels, vector, i64(self.emitter.panel_bytes)
        if self.form.is_b_transposed:
            b.call(self.pack, arguments)
            return packed
        is_single = b.icmp_signed("<=", unit.rows, i64(self.form.height))
        rest = b.and_(unit.width, i64(self.emitter.lanes - 1))
        in_place = b.and_(is_single, b.icmp_signed("==", rest, i64(0)))
        with b.if_then(b.not_(in_place)):
            b.call(self.pack, arguments)
        direct = source, self.b_step, vector
        first, step, along = (b.select(in_place, x, y) for x, y in zip(direct, packed, strict=True))
        return first, step, along


def _ordered(x: ll.Value, y: ll.Value, is_swapped: bool) -> tuple[ll.Value, ll.Value]:
    return (y, x) if is_swapped else (x, y)


def _ceil(b: ll.IRBuilder, x: ll.Value, y: int) -> ll.Value:
    """How many times y it takes to cover x."""
    return b.udiv(b.add(x, i64(y - 1)), i64(y))
