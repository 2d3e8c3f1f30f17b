"""Square tiles for operands that are contiguous along another variable than the vector variable.

    for v in blocks of BLOCK:                      keeps the pages of the transposed operand in the
    TLB
        for u step W:   for v step W inside the block:
            W vectors along u are loaded and transposed in registers, once per tile and operand
            for j in 0 .. W-1: one vector along v at u + j

What is left at the edges runs in plain loops, with gathers.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.evaluate import Evaluator
from codegen.index import Affine, Var
from codegen.lanes.lanes import Lane
from codegen.nest import Buffer
from ir import field, record

I64 = ll.IntType(64)
BLOCK = 512  # elements of the vector variable per block


@record(frozen=False, eq=False)
class Tile:
    """The open tile: its corner along `var`, the scope that its registers live in, the row being
    computed, and the rows of
    each transposed operand."""

    var: Var
    corner: ll.Value
    depth: int
    row: int = 0
    rows: dict[object, list[Lane]] = field(default_factory=dict)


class TileEmitter(Evaluator):
    """Adds tiles to the evaluator; `row` emits what one point of the outer loops does."""

    tile: Tile | None = None

    def row(self) -> None:
        raise NotImplementedError

    def tiles(self, u: Var, v: Var, start: ll.Value, stop: ll.Value) -> None:
        """Run u from start to stop and v over its extent, in tiles."""
        width = self.width
        extent = self.dim(v.extent)
        whole_u = self._whole(start, stop)
        whole_v = self._whole(I64(0), extent)
        block = Var("block", 1)
        count = self.b.udiv(self.b.add(whole_v, I64(BLOCK - 1)), I64(BLOCK))

        def one_block(_: Sequence[Lane]) -> Sequence[Lane]:
            low = self.b.mul(self.position[block], I64(BLOCK))
            end = self.b.add(low, I64(BLOCK))
            high = self.b.select(self.b.icmp_signed("<", end, whole_v), end, whole_v)
            self.loop(
                u,
                start,
                whole_u,
                width,
                (),
                lambda _: self.loop(v, low, high, width, (), lambda _: self._one_tile(u)),
            )
            return ()

        def edge(low: ll.Value) -> Sequence[Lane]:
            self.vector_loop(v, width, low, extent, (), lambda _: self._plain())
            return ()

        self.loop(block, I64(0), count, 1, (), one_block)
        self.loop(u, start, whole_u, 1, (), lambda _: edge(whole_v))
        self.loop(u, whole_u, stop, 1, (), lambda _: edge(I64(0)))

    def _whole(self, start: ll.Value, stop: ll.Value) -> ll.Value:
        return self.b.add(start, self.b.and_(self.b.sub(stop, start), I64(-self.width)))

    def _plain(self) -> Sequence[Lane]:
        self.row()
        return ()

    def _one_tile(self, u: Var) -> Sequence[Lane]:
        corner = self.position[u]
        self.tile = tile = Tile(u, corner, len(self.scopes) - 1)
        for row in range(self.width):
            tile.row = row
            at = self.b.add(corner, I64(row))
            self.once(u, at, (), lambda _: self._plain())
        self.tile = None
        return ()

    def tile_lane(self, buffer: Buffer, where: Affine) -> Lane | None:
        tile, vector = self.tile, self.plan.vector
        if tile is None or vector is None:
            return None
        step, along = where.coefficient(vector), where.coefficient(tile.var)
        if not (isinstance(along, int) and along == 1) or (
            isinstance(step, int) and step in (0, 1)
        ):
            return None
        key = (id(buffer), where.key())
        if key not in tile.rows:
            tile.rows[key] = self._transposed(tile, buffer, where)
        return tile.rows[key][tile.row]

    def _transposed(self, tile: Tile, buffer: Buffer, where: Affine) -> list[Lane]:
        """The tile of an operand: loaded along `tile.var`, one vector per element of the vector
        variable, then transposed.
        """
        vector = self.plan.vector
        assert vector is not None
        origin = self.offset(where.without(tile.var))
        step = self.dim(where.coefficient(vector))
        with self.emitting(tile.depth):
            base = self.b.add(origin, tile.corner)
            rows = []
            for k in range(self.width):
                offset = self.b.add(base, self.b.mul(step, I64(k)))
                rows.append(self.s.load(self.pointer(buffer, offset), buffer.dtype))
            return self.s.transposed(rows)
