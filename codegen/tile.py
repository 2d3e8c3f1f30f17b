"""Tiles for operands that are contiguous along another variable (u) than the vector variable (v).

    for u in strips, for v in blocks:
        each such operand's tile is staged: squares of W x W elements are loaded along u,
        transposed in registers, and stored as rows along v of an array that stays in cache
        for u in the strip:  for v step W in the block:  a row like any other

So whatever else the nest reads or writes is run through along v, as it is without tiles. Operands
that come from memory are read in runs of several lines, and the next strip's lines are asked for:
no hardware sees them coming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llvmlite.ir as ll

from codegen.ahead import is_far
from codegen.evaluate import Evaluator
from codegen.index import Affine, Var
from codegen.lanes.lanes import Lane
from codegen.loops import ceil_divide
from codegen.nest import Buffer
from codegen.schedule import LINE, is_unit
from codegen.target import host
from ir import dtypes, record

I64, BYTE = ll.IntType(64), ll.IntType(8)
BLOCK = 512  # elements of the vector variable per block
PITCH = BLOCK + 16  # from row to row of a staged tile: neighbors use different sets of the cache
FAR_SQUARES = 8  # in a strip where operands come from memory, if there is one of them
BITS = {1: dtypes.int8, 2: dtypes.int16, 4: dtypes.int32, 8: dtypes.int64}
"""What moves the elements of so many bytes."""

Part = Callable[[ll.Value, ll.Value], None]
Range = tuple[Var, ll.Value, ll.Value]


@record(frozen=False, eq=False)
class Operand:
    """A read that is transposed, and the array that its tile is staged in."""

    buffer: Buffer
    where: Affine
    array: ll.Value


@record(frozen=False, eq=False)
class Tile:
    """The open tile: where it starts along both variables, and what is staged."""

    u: Var
    corner: ll.Value
    low: ll.Value
    operands: dict[object, Operand]


class TileEmitter(Evaluator):
    """Adds tiles to the evaluator."""

    tile: Tile | None = None

    def tiles(self, u: Var, v: Var, start: ll.Value, stop: ll.Value, row: Part) -> None:
        """Run u from start to stop and v over its extent, in tiles; `row` runs v between two
        places.
        """
        reads = self._transposed(u, v)
        any_far = any(is_far(buffer, host().caches) for buffer, _ in reads.values())
        height = self.width * (max(FAR_SQUARES // len(reads), 1) if any_far else 1)
        operands = {
            key: Operand(buffer, where, self._array(buffer, height))
            for key, (buffer, where) in reads.items()
        }

        def tile(corner: ll.Value, end: ll.Value, low: ll.Value, high: ll.Value) -> None:
            for operand in operands.values():
                self._stage(operand, (u, corner, end), (v, low, high), height)

            def one_row(_: Sequence[Lane]) -> Sequence[Lane]:
                row(low, high)
                return ()

            self.tile = Tile(u, corner, low, operands)
            self.loop(u, corner, end, 1, (), one_row)
            self.tile = None

        def strip(corner: ll.Value, end: ll.Value) -> None:
            extent = self.dim(v.extent)
            self._parts(I64(0), extent, BLOCK, lambda low, high: tile(corner, end, low, high))

        self._parts(start, stop, height, strip)

    def _parts(self, start: ll.Value, stop: ll.Value, size: int, body: Part) -> None:
        """Run from start to stop in parts of a size, of which the last one may be smaller."""
        part = Var("part", 1)

        def one(_: Sequence[Lane]) -> Sequence[Lane]:
            low = self.b.add(start, self.b.mul(self.position[part], I64(size)))
            end = self.b.add(low, I64(size))
            high = self.b.select(self.b.icmp_signed("<", end, stop), end, stop)
            body(low, high)
            return ()

        self.loop(part, I64(0), ceil_divide(self.b, self.b.sub(stop, start), size), 1, (), one)

    def _transposed(self, u: Var, v: Var) -> dict[object, tuple[Buffer, Affine]]:
        """The reads that are contiguous along u, and not along v."""
        looked_up = list(self.nest.sources.values())
        return {
            _key(a.buffer, a.address): (a.buffer, a.address)
            for a in self.nest.accesses
            if a.buffer is not None
            and not a.is_write
            and a.buffer not in looked_up
            and is_unit(a.address, u)
            and v in a.address.terms
            and not is_unit(a.address, v)
        }

    def _array(self, buffer: Buffer, height: int) -> ll.Value:
        """Memory for a tile."""
        bits = self.s.memory_type(BITS[buffer.dtype.itemsize])
        array = self.local(ll.ArrayType(bits, height * PITCH))
        array.align = LINE
        return array

    def _stage(self, operand: Operand, rows: Range, columns: Range, height: int) -> None:
        """Fill an operand's array, square by square."""
        (u, corner, end), (v, low, high) = rows, columns
        buffer, where = operand.buffer, operand.where
        size, step, last = buffer.dtype.itemsize, where.coefficient(v), self.b.sub(high, I64(1))
        kind, bits = BITS[size], self.s.memory_type(BITS[size])
        next_strip = (height + self.width) * size - 1 if is_far(buffer, host().caches) else None

        def column(k: int, live: Lane | None) -> Lane:
            at = self.b.add(self.position[v], I64(k))
            if self.mask is not None:  # columns beyond the end repeat the last one
                at = self.b.select(self.b.icmp_signed("<", at, last), at, last)
            origin = self.offset(where.without(v))
            place = self.pointer(buffer, self.b.add(origin, self.b.mul(self.dim(step), at)))
            if next_strip is not None:
                self.s.fetch(self.b.gep(place, [I64(next_strip)], source_etype=BYTE), 2)
            return self.s.load(place, kind, live)

        def square(live: Lane | None) -> Sequence[Lane]:
            first = self._place(operand, self.b.sub(self.position[u], corner), v, low)
            lanes = self.s.transposed([column(k, live) for k in range(self.width)])
            for k, lane in enumerate(lanes):
                self.s.store(self.b.gep(first, [I64(k * PITCH)], source_etype=bits), lane, kind)
            return ()

        def squares(_: Sequence[Lane]) -> Sequence[Lane]:
            live, self.mask = self.mask, None
            self.vector_loop(v, self.width, low, high, (), lambda _: square(live))
            return ()

        self.vector_loop(u, self.width, corner, end, (), squares)

    def _place(self, operand: Operand, row: ll.Value, v: Var, low: ll.Value) -> ll.Value:
        """The vector at v in a row of a staged tile."""
        column = self.b.sub(self.position[v], low)
        at = self.b.add(self.b.mul(row, I64(PITCH)), column)
        return self.b.gep(
            operand.array, [at], source_etype=self.s.memory_type(operand.buffer.dtype)
        )

    def tile_lane(self, buffer: Buffer, where: Affine) -> Lane | None:
        tile, v = self.tile, self.plan.vector
        operand = tile.operands.get(_key(buffer, where)) if tile is not None else None
        if tile is None or operand is None or v is None:
            return None
        with self.emitting(-1):
            row = self.b.sub(self.position[tile.u], tile.corner)
            return self.s.load(self._place(operand, row, v, tile.low), buffer.dtype, self.mask)


def _key(buffer: Buffer, where: Affine) -> object:
    return id(buffer), where.key()
