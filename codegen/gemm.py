"""Matrix products as generated code, for one machine: forms, and the function that runs a product.

    for each unit (product of the batch, block of rows of C, panel of columns as wide as a tile):
        for each DEPTH steps along k:
            pack the panel of B into the frame
            for each tile of the block: registers = A's rows times the panel; C = or += them

A is read in place. A panel that only one tile reads is read in place too, if its rows lie along k.
Sums of DEPTH products start at zero and are added to C: so long sums lose less than in BLAS, whose
blocks are longer.

The functions of a form depend on no sizes. They are compiled when a plan first names them
(`codegen.runtime`), live as long as the process, and are shared by all its plans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import llvmlite.ir as ll

from codegen.abi import PTR, RANGE_TYPE, i64, offset
from codegen.loops import counted
from codegen.microkernel import DEPTH, GROUP, PACK_TYPE, TILE_TYPE, Emitter, frame, larger, smaller
from codegen.product_record import Record
from codegen.target import Target
from ir import Dim, DType, dtypes, size_max

ROWS = 512  # rows that are multiplied with a panel: transposing it costs as much as about 5 of them
TALLEST = 8
"""Rows of a tile: where A's rows lie a multiple of 4 KiB apart, more of them would drive each other
out of the one set of the level 1 cache that they all fall into.
"""
DTYPES = (dtypes.float32, dtypes.float64)
_NAME = re.compile(r"relume_(product|tile|pack)_(float\d\d)_(\d+)_([nt])([nt])_(\d+)")


@dataclass(frozen=True, slots=True)
class Form:
    """What a function is made for: dtype, rows of a tile, which operands are transposed, and how
    many dims the batch has.
    """

    dtype: DType
    height: int
    is_a_transposed: bool
    is_b_transposed: bool
    rank: int

    @property
    def group(self) -> int:
        """How many panels a unit packs: rows along k are copied together."""
        return 1 if self.is_b_transposed else GROUP

    @property
    def block(self) -> int:
        """About how many rows of C are in a block."""
        return ROWS if self.is_b_transposed else ROWS // 2

    def blocks(self, rows: Dim) -> Dim:
        """In how many blocks the rows of C are done."""
        return size_max((rows + self.block // 2) // self.block, 1)

    @property
    def symbol(self) -> str:
        """The name of its range function (`codegen.product_record`)."""
        return self._name("product")

    @property
    def tile(self) -> str:
        """The name of its tile, which knows no layouts."""
        return Form(self.dtype, self.height, False, False, 0)._name("tile")

    @property
    def pack(self) -> str:
        """The name of the function that packs B for tiles of any height."""
        return Form(self.dtype, 0, False, self.is_b_transposed, 0)._name("pack")

    def _name(self, kind: str) -> str:
        marks = "".join("nt"[t] for t in (self.is_a_transposed, self.is_b_transposed))
        return f"relume_{kind}_{self.dtype}_{self.height}_{marks}_{self.rank}"


def is_symbol(name: str) -> bool:
    """Whether a name is one of the functions that `module_of` makes."""
    return _NAME.fullmatch(name) is not None


def module_of(name: str, target: Target) -> ll.Module:
    """The module that defines one function, by its name."""
    match = _NAME.fullmatch(name)
    assert match is not None
    kind, dtype, height, a, b, rank = match.groups()
    form = Form(
        next(d for d in DTYPES if str(d) == dtype), int(height), a == "t", b == "t", int(rank)
    )
    module = ll.Module()
    emitter = Emitter(module, form.dtype, target)
    if kind == "tile":
        emitter.tile(name, form.height)
    elif kind == "pack":
        emitter.pack(name, form.is_b_transposed)
    else:
        _Units(module, form, emitter.vector_bytes).emit()
    return module


def height(rows: int) -> int:
    """The rows of a tile for a product of about so many: as few left over as possible, and tall."""
    if rows <= TALLEST:
        return max(rows, 1)
    return min(range(TALLEST, TALLEST // 2, -1), key=lambda h: -(-rows // h) * (2 * h + 1))


class _Units:
    """Emits the range function of a form."""

    def __init__(self, module: ll.Module, form: Form, vector_bytes: int) -> None:
        self.form = form
        self.vector_bytes = vector_bytes
        self.size = form.dtype.itemsize
        self.lanes = vector_bytes // self.size
        self.group = form.group
        self.panel_bytes = DEPTH * vector_bytes
        self.function = ll.Function(module, RANGE_TYPE, form.symbol)
        self.tile = ll.Function(module, TILE_TYPE, form.tile)
        self.pack = ll.Function(module, PACK_TYPE, form.pack)

    def emit(self) -> None:
        begin, end, address = self.function.args
        b = self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.panels = frame(b, self.group * self.panel_bytes)
        self.record = Record(b, address)
        word, size = self.record.word, i64(self.size)
        steps = {x: b.mul(word[f"ld{x}"], size) for x in "abc"}
        self.c_step = steps["c"]
        self.m_step, self.a_k_step = _ordered(steps["a"], size, self.form.is_a_transposed)
        self.b_k_step, self.n_step = _ordered(steps["b"], size, self.form.is_b_transposed)
        self.b_step = steps["b"]
        self.groups = _ceil(b, word["n"], self.group * self.lanes)
        tiles = _ceil(b, word["m"], self.form.height)
        self.blocks = larger(
            b, b.udiv(b.add(word["m"], i64(self.form.block // 2)), i64(self.form.block)), i64(1)
        )
        per_block = b.udiv(b.add(tiles, b.sub(self.blocks, i64(1))), self.blocks)
        self.rows = b.mul(per_block, i64(self.form.height))
        with counted(b, b.sub(end, begin)) as k:
            self.unit(b.add(begin, k))
        b.ret_void()

    def unit(self, unit: ll.Value) -> None:
        """One group of panels in one block of rows, all along k."""
        b, word = self.b, self.record.word
        group, rest = b.urem(unit, self.groups), b.udiv(unit, self.groups)
        block, at = b.urem(rest, self.blocks), b.udiv(rest, self.blocks)
        found = self.record.matrices(at, self.form.rank, self.size)
        first, column = b.mul(block, self.rows), b.mul(group, i64(self.group * self.lanes))
        rows = larger(b, smaller(b, self.rows, b.sub(word["m"], first)), i64(0))
        width = smaller(b, i64(self.group * self.lanes), b.sub(word["n"], column))
        a = b.add(found["a"], b.mul(first, self.m_step))
        right = b.add(found["b"], b.mul(column, self.n_step))
        c = b.add(b.mul(first, self.c_step), b.mul(column, i64(self.size)))
        c = b.inttoptr(b.add(found["c"], c), PTR)
        depths = larger(b, _ceil(b, word["k"], DEPTH), i64(1))
        with counted(b, depths) as part:
            k = b.mul(part, i64(DEPTH))
            depth = smaller(b, i64(DEPTH), b.sub(word["k"], k))
            source = b.inttoptr(b.add(right, b.mul(k, self.b_k_step)), PTR)
            start, step, along = self.packed(source, depth, rows, width)
            left = b.inttoptr(b.add(a, b.mul(k, self.a_k_step)), PTR)
            adds = b.icmp_unsigned("!=", part, i64(0))
            with counted(b, _ceil(b, width, self.lanes)) as j:
                panel = offset(b, start, b.mul(j, along))
                there = offset(b, c, b.mul(j, i64(self.vector_bytes)))
                left_over = b.sub(width, b.mul(j, i64(self.lanes)))
                with counted(b, _ceil(b, rows, self.form.height)) as tile:
                    row = b.mul(tile, i64(self.form.height))
                    from_ = offset(b, left, b.mul(row, self.m_step))
                    to = offset(b, there, b.mul(row, self.c_step))
                    b.call(self.tile, [
                        from_, self.m_step, self.a_k_step, panel, step, depth, to, self.c_step,
                        b.sub(rows, row), left_over, adds,
                    ])  # fmt: skip

    def packed(
        self, source: ll.Value, depth: ll.Value, rows: ll.Value, width: ll.Value
    ) -> tuple[ll.Value, ll.Value, ll.Value]:
        """The panels, packed or in place: the first, and the steps between rows and panels."""
        b, arguments = self.b, (source, self.b_step, self.panels, depth, width)
        packed = self.panels, i64(self.vector_bytes), i64(self.panel_bytes)
        if self.form.is_b_transposed:
            b.call(self.pack, arguments)
            return packed
        is_single = b.icmp_signed("<=", rows, i64(self.form.height))
        is_whole = b.icmp_signed("==", b.and_(width, i64(self.lanes - 1)), i64(0))
        in_place = b.and_(is_single, is_whole)
        with b.if_then(b.not_(in_place)):
            b.call(self.pack, arguments)
        direct = source, self.b_step, i64(self.vector_bytes)
        first, step, along = (b.select(in_place, x, y) for x, y in zip(direct, packed, strict=True))
        return first, step, along


def _ordered(x: ll.Value, y: ll.Value, is_swapped: bool) -> tuple[ll.Value, ll.Value]:
    return (y, x) if is_swapped else (x, y)


def _ceil(b: ll.IRBuilder, x: ll.Value, y: int) -> ll.Value:
    """How many times y it takes to cover x."""
    return b.udiv(b.add(x, i64(y - 1)), i64(y))
