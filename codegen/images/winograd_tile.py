"""The range function of Winograd's convolution over channels-last images.

    for each unit (chunk of tiles, part of the groups of channels):
        for each tile: image[point][tile, input channel] = B^T image B
        for each group of the part:
            for each point: sums[point][tile, channel] = image[point] times filters[group][point]
            for each tile: result = f((A^T sums A) * scale + shift + residual)

What lies between stays in the frame, so in the level 2 cache. Tiles are counted through the rows of
tiles of all images. Pixels outside of the image are zeros. Pixels of a tile that stick out of the
result are stored first, at the nearest place inside, which its own pixel then overwrites.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import I64, PTR, RANGE_TYPE, i64, offset
from codegen.frame import frame
from codegen.images import epilogue
from codegen.images.epilogue import Epilogue, constant
from codegen.images.form import FRAME_BYTES, FRAME_TILES, Form
from codegen.images.sums import FLOAT, add_products, zeros
from codegen.images.tile import ZERO_BYTES
from codegen.images.winograd import winograd_matrices
from codegen.images.winograd_lanes import both_sides, from_points, to_points
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import counted
from codegen.products.microkernel import smaller
from codegen.target import Target

WORDS = (
    *epilogue.WORDS,
    *("x", "panels"),  # addresses
    *("image", "row", "pixel"),  # steps of x, in bytes
    *("in_height", "in_width", "in_channels", "out_height", "out_width"),
    *("padding_height", "padding_width"),
    *("tiles", "tiles_down", "tiles_right"),  # of all images, and of one
    *("chunk", "parts"),  # tiles of a chunk; parts of the groups
)


class Winograd:
    """Emits one range function into a module; `self.word` are the words of its record."""

    def __init__(self, module: ll.Module, form: Form, target: Target) -> None:
        self.module, self.form = module, form
        self.matrices = winograd_matrices(form.tile)
        self.side = form.tile + 2
        self.points = self.side * self.side
        self.function = ll.Function(module, RANGE_TYPE, form.symbol)
        self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.s = Lanes(self.b, target.lanes(32), target.instructions)
        self.vector_bytes = 4 * self.s.width
        self.group_bytes = form.vectors * self.vector_bytes

    def emit(self) -> None:
        b = self.b
        begin, end, record = self.function.args
        word = self.word = {
            name: b.load(offset(b, record, 8 * k), typ=I64) for k, name in enumerate(WORDS)
        }
        self.epilogue = Epilogue(self.module, self.s, word, self.form.activation)
        self.zeros = b.ptrtoint(constant(self.module, "zeros", [0] * (ZERO_BYTES // 4)), I64)
        self.inner = _ceil(b, word["in_channels"], self.s.width)
        self.tile_step = b.mul(self.inner, i64(self.vector_bytes))
        self.image_step = b.add(b.mul(word["chunk"], self.tile_step), i64(self.vector_bytes))
        self.sums_step = FRAME_TILES * self.group_bytes + self.vector_bytes
        self.image = frame(b, FRAME_BYTES)
        self.sums = frame(b, self.points * self.sums_step)
        self.filter_step = b.mul(word["in_channels"], i64(self.group_bytes))
        self.groups = _ceil(b, word["channels"], self.form.vectors * self.s.width)
        with counted(b, b.sub(end, begin)) as k:
            unit = b.add(begin, k)
            self._unit(b.udiv(unit, word["parts"]), b.urem(unit, word["parts"]))
        b.ret_void()

    def _unit(self, chunk: ll.Value, part: ll.Value) -> None:
        b, word = self.b, self.word
        first = b.mul(chunk, word["chunk"])
        count = smaller(b, word["chunk"], b.sub(word["tiles"], first))
        with counted(b, count) as k:
            self._transform(b.add(first, k), offset(b, self.image, b.mul(k, self.tile_step)))
        start, stop = (
            b.udiv(b.mul(p, self.groups), word["parts"]) for p in (part, b.add(part, i64(1)))
        )
        with counted(b, b.sub(stop, start)) as k:
            group = b.add(start, k)
            self._multiply(group, count)
            with counted(b, count) as tile:
                self._finish(b.add(first, tile), tile, group)

    def _position(self, tile: ll.Value) -> tuple[ll.Value, ll.Value, ll.Value]:
        """The image that a tile is in, and its first row and column there."""
        b, word, m = self.b, self.word, i64(self.form.tile)
        row, right = b.udiv(tile, word["tiles_right"]), b.urem(tile, word["tiles_right"])
        image, down = b.udiv(row, word["tiles_down"]), b.urem(row, word["tiles_down"])
        return image, b.mul(down, m), b.mul(right, m)

    # the image ------------------------------------------------------------------------------------
    def _transform(self, tile: ll.Value, target: ll.Value) -> None:
        """What a tile reads, at all points."""
        b, word = self.b, self.word
        places = self._places(*self._position(tile))
        with counted(b, self.inner) as vector:
            at = b.mul(vector, i64(self.vector_bytes))
            left = b.sub(word["in_channels"], b.mul(vector, i64(self.s.width)))
            mask = self.s.tail_mask(left)
            square = [[self.s.load(offset(b, p, at), FLOAT, mask) for p in row] for row in places]
            found = both_sides(to_points, self.matrices.image, square)
            for point, x in enumerate(x for row in found for x in row):
                there = b.add(at, b.mul(self.image_step, i64(point)))
                self.s.store(offset(b, target, there), x, FLOAT)

    def _places(self, image: ll.Value, row: ll.Value, column: ll.Value) -> list[list[ll.Value]]:
        """Where the pixels are that a tile reads; zeros for those outside of the image."""
        b, word = self.b, self.word
        start = b.add(word["x"], b.mul(image, word["image"]))
        top, left = b.sub(row, word["padding_height"]), b.sub(column, word["padding_width"])
        rows, columns = (
            [(b.mul(at, word[step]), b.icmp_unsigned("<", at, word[size])) for at in places]
            for places, step, size in (
                ([b.add(top, i64(k)) for k in range(self.side)], "row", "in_height"),
                ([b.add(left, i64(k)) for k in range(self.side)], "pixel", "in_width"),
            )
        )
        return [
            [
                b.inttoptr(
                    b.select(b.and_(is_row, is_column), b.add(b.add(start, y), x), self.zeros), PTR
                )
                for x, is_column in columns
            ]
            for y, is_row in rows
        ]

    # products -------------------------------------------------------------------------------------
    def _multiply(self, group: ll.Value, count: ll.Value) -> None:
        """The products at all points for a group of channels."""
        b, height = self.b, self.form.height
        with counted(b, i64(self.points)) as point:
            number = b.add(b.mul(group, i64(self.points)), point)
            panel = b.add(self.word["panels"], b.mul(number, self.filter_step))
            image = offset(b, self.image, b.mul(point, self.image_step))
            target = offset(b, self.sums, b.mul(point, i64(self.sums_step)))
            with counted(b, _ceil(b, count, height)) as block:
                first = b.mul(block, i64(height))
                rows = [
                    offset(b, image, b.mul(b.add(first, i64(k)), self.tile_step))
                    for k in range(height)
                ]
                self._block(
                    rows,
                    b.inttoptr(panel, PTR),
                    offset(b, target, b.mul(first, i64(self.group_bytes))),
                )

    def _block(self, rows: Sequence[ll.Value], panel: ll.Value, target: ll.Value) -> None:
        s = self.s
        start = zeros(s, len(rows) * self.form.vectors)
        sums = add_products(s, rows, panel, self.word["in_channels"], start)
        for k, x in enumerate(sums):
            s.store(offset(self.b, target, k * self.vector_bytes), Lane(s, x, FLOAT), FLOAT)

    # the result -----------------------------------------------------------------------------------
    def _finish(self, tile: ll.Value, number: ll.Value, group: ll.Value) -> None:
        """The pixels of a tile; `number` counts in the chunk."""
        b, s = self.b, self.s
        pixels = self._pixels(*self._position(tile))
        sums = offset(b, self.sums, b.mul(number, i64(self.group_bytes)))
        first = b.mul(group, i64(self.form.vectors * s.width))
        for v in range(self.form.vectors):
            vector = self.epilogue.vector(b.add(first, i64(v * s.width)))
            start = offset(b, sums, v * self.vector_bytes)
            found = [
                s.load(offset(b, start, k * self.sums_step), FLOAT) for k in range(self.points)
            ]
            square = [found[k : k + self.side] for k in range(0, self.points, self.side)]
            results = both_sides(from_points, self.matrices.result, square)
            flat = [x for row in results for x in row]
            self.epilogue.store([(x, vector, at) for x, at in zip(flat, pixels, strict=True)][::-1])

    def _pixels(self, image: ll.Value, row: ll.Value, column: ll.Value) -> list[ll.Value]:
        """Where the pixels of a tile start, in bytes; the nearest ones for those outside."""
        b, word, m = self.b, self.word, self.form.tile
        last_row, last_column = (b.sub(word[x], i64(1)) for x in ("out_height", "out_width"))
        rows = [
            b.add(b.mul(image, word["out_height"]), smaller(b, b.add(row, i64(k)), last_row))
            for k in range(m)
        ]
        columns = [smaller(b, b.add(column, i64(k)), last_column) for k in range(m)]
        size = b.mul(word["channels"], i64(4))
        return [b.mul(b.add(b.mul(y, word["out_width"]), x), size) for y in rows for x in columns]


def _ceil(b: ll.IRBuilder, x: ll.Value, y: int) -> ll.Value:
    """How many times y it takes to cover x."""
    return b.udiv(b.add(x, i64(y - 1)), i64(y))
