"""The range function of a generated convolution over channels-last images.

    for each unit (chunk of rows of the result, piece of a row, block of channels):
        for each row, for each tile of `height` pixels:
            for each tap whose input row exists:
                addresses = the pixels' inputs under this tap, or zeros for those outside
                for each input channel: sums[pixel] += input[pixel] * panel
            result = f(sums * scale + shift + residual)

The sums stay in registers. Nothing is copied around: padding, strides and dilation only choose
addresses. Pixels of a tile that stick out of the row repeat the last one, which is stored after
them; channels beyond the last one have zero weights and are not stored.

Images have three axes; those of fewer have one place along the first ones. A place `o` of the
result reads under tap `t` the place

    (o * stride - padding + t * dilation) / up

of the input, if that is a whole number inside of it. A convolution has up = 1. A transposed one has
stride = dilation = 1, and its kernel backwards: it reads between the places of the input, where
nothing is, so that along a row only every up-th pixel has the same taps. These are done together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import llvmlite.ir as ll

from codegen.abi import I64, PTR, RANGE_TYPE, i64, offset
from codegen.images import epilogue
from codegen.images.epilogue import Epilogue, constant
from codegen.images.form import Form, KernelRow
from codegen.images.sums import FLOAT, add_products, zeros
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import carried, ceil_divide, counted
from codegen.products.microkernel import larger, smaller
from codegen.target import Target
from ir import record

AXES = ("depth", "height", "width")
WORDS = (
    *epilogue.WORDS,
    *("x", "panels"),  # addresses
    *("image", "plane", "row", "pixel"),  # steps of x, in bytes
    *("rows", "chunk", "span"),  # of all images, and of a unit; pixels of a unit's piece of a row
    *("in_channels", "blocks"),  # of a group; of all groups
    *("group_blocks", "group_channels", "group_input"),  # of a group; bytes of its input channels
    "ring",  # rows of the input that lie behind each other; what follows lies where they do
    *(
        f"{name}_{axis}"
        for name in ("in", "out", "kernel", "stride", "padding", "dilation", "up")
        for axis in AXES
    ),
)
"""The record that a range function gets."""
ZERO_BYTES = 1 << 16
"""Zeros stand for pixels outside: this much of them, so this is the limit of a pixel's bytes."""


@record(eq=False)
class Taps:
    """The taps along an axis that read something: the first, how many, and the place that the first
    one reads.
    """

    first: ll.Value
    count: ll.Value
    place: ll.Value


class Convolution:
    """Emits one range function into a module; `self.word` are the words of its record."""

    def __init__(self, module: ll.Module, form: Form, target: Target) -> None:
        self.module, self.form = module, form
        self.function = ll.Function(module, RANGE_TYPE, form.symbol)
        self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.s = Lanes(self.b, target.lanes(32), target.instructions)
        self.vector_bytes = 4 * self.s.width
        self.step_bytes = form.vectors * self.vector_bytes

    def emit(self) -> None:
        b = self.b
        begin, end, record = self.function.args
        self.word = {
            name: b.load(offset(b, record, 8 * k), typ=I64) for k, name in enumerate(WORDS)
        }
        word = self.word
        self.epilogue = Epilogue(self.module, self.s, word, self.form.activation)
        self.zeros = b.ptrtoint(constant(self.module, "zeros", [0] * (ZERO_BYTES // 4)), I64)
        self.tap_bytes = b.mul(word["in_channels"], i64(self.step_bytes))
        self.kernel_row = b.mul(word["kernel_width"], self.tap_bytes)
        self.kernel_plane = b.mul(word["kernel_height"], self.kernel_row)
        self.block_bytes = b.mul(word["kernel_depth"], self.kernel_plane)
        self.out_pixel = b.mul(word["channels"], i64(4))
        self.pieces = ceil_divide(
            b, ceil_divide(b, word["out_width"], word["up_width"]), word["span"]
        )
        with counted(b, b.sub(end, begin)) as k:
            self._unit(b.add(begin, k))
        b.ret_void()

    # rows and tiles -------------------------------------------------------------------------------
    def _unit(self, unit: ll.Value) -> None:
        b, blocks, each = self.b, self.word["blocks"], self.word["group_blocks"]
        block = b.urem(unit, blocks)
        self._block(block, b.udiv(block, each), b.urem(block, each))
        self._rows(b.udiv(unit, blocks))

    def _block(self, block: ll.Value, group: ll.Value, within: ll.Value) -> None:
        """Make a block the one to compute: its channels, weights and input channels."""
        b, word = self.b, self.word
        width = self.form.vectors * self.s.width
        start = b.mul(group, word["group_channels"])
        first, end = b.add(start, b.mul(within, i64(width))), b.add(start, word["group_channels"])
        self.vectors = [
            self.epilogue.vector(b.add(first, i64(v)), end) for v in range(0, width, self.s.width)
        ]
        self.panel = b.add(word["panels"], b.mul(block, self.block_bytes))
        self.input = b.add(word["x"], b.mul(group, word["group_input"]))

    def _rows(self, unit: ll.Value) -> None:
        """A piece of the rows of a chunk."""
        b, word = self.b, self.word
        piece = b.mul(b.urem(unit, self.pieces), word["span"])
        start = b.mul(b.udiv(unit, self.pieces), word["chunk"])
        stop = smaller(b, b.add(start, word["chunk"]), word["rows"])
        with counted(b, b.sub(stop, start)) as k:
            self._row(b.add(start, k), piece)

    def _row(self, row: ll.Value, piece: ll.Value) -> None:
        """A piece of a row of the result; taps beyond the image's ends are left out."""
        b, word = self.b, self.word
        plane, at = b.udiv(row, word["out_height"]), b.urem(row, word["out_height"])
        image, deep = b.udiv(plane, word["out_depth"]), b.urem(plane, word["out_depth"])
        self.planes, self.rows = self._taps("depth", deep), self._taps("height", at)
        above = b.add(b.mul(image, word["image"]), b.mul(self.planes.place, word["plane"]))
        self.plane, self.line = above, self._line(self.rows.place)
        pixel = b.mul(b.mul(row, word["out_width"]), self.out_pixel)
        with counted(b, word["up_width"]) as phase:
            self._pixels(phase, piece, b.add(pixel, b.mul(phase, self.out_pixel)))

    def _line(self, row: ll.Value) -> ll.Value:
        """How far a row of the input is behind the first one of its plane."""
        return self.b.mul(row, self.word["row"])

    def _taps(self, axis: str, at: ll.Value) -> Taps:
        """The taps of a place of the result that read something."""
        b, word = self.b, self.word
        size, kernel, stride, padding, dilation, up = (
            word[f"{name}_{axis}"]
            for name in ("in", "kernel", "stride", "padding", "dilation", "up")
        )
        start = b.sub(b.mul(at, stride), padding)
        first = larger(b, ceil_divide(b, b.neg(start), dilation), i64(0))
        past = b.urem(b.add(start, b.mul(first, dilation)), up)
        first = b.add(first, b.select(b.icmp_unsigned("==", past, i64(0)), past, b.sub(up, past)))
        stop = smaller(b, ceil_divide(b, b.sub(b.mul(size, up), start), dilation), kernel)
        count = larger(b, ceil_divide(b, b.sub(stop, first), up), i64(0))
        return Taps(first, count, b.sdiv(b.add(start, b.mul(first, dilation)), up))

    def _pixels(self, phase: ll.Value, piece: ll.Value, start: ll.Value) -> None:
        """Pixels of a row, `up_width` apart; the first of the row is `start` bytes behind the first
        of all.
        """
        b, word = self.b, self.word
        up, step = word["up_width"], b.mul(word["up_width"], self.out_pixel)
        count = b.sub(ceil_divide(b, b.sub(word["out_width"], phase), up), piece)
        count = smaller(b, count, word["span"])
        back = b.sub(word["padding_width"], b.mul(phase, word["stride_width"]))
        first = b.srem(b.add(b.srem(back, up), up), up)
        taps = ceil_divide(b, b.sub(word["kernel_width"], first), up)
        place = b.sdiv(b.sub(b.mul(first, word["dilation_width"]), back), up)
        self.columns = Taps(first, taps, place)
        with counted(b, ceil_divide(b, count, i64(self.form.height))) as k:
            tile = b.mul(k, i64(self.form.height))
            last = b.sub(b.sub(count, i64(1)), tile)
            pixels = [
                b.add(b.add(piece, tile), smaller(b, i64(i), last)) for i in range(self.form.height)
            ]
            self._tile(pixels, [b.add(start, b.mul(p, step)) for p in pixels])

    def _tile(self, pixels: Sequence[ll.Value], starts: Sequence[ll.Value]) -> None:
        """Pixels of a row, a block of channels each, from the first address of each on."""
        places = zip(self._places(), self._sums(pixels), strict=True)
        self.epilogue.store([(x, self.vectors[v], starts[p]) for (p, v), x in places][::-1])

    def _places(self) -> list[tuple[int, int]]:
        """(pixel, vector) of each vector of a tile."""
        return [(p, v) for p in range(self.form.height) for v in range(self.form.vectors)]

    def _sums(self, pixels: Sequence[ll.Value]) -> list[Lane]:
        """The products of all taps and input channels, summed."""
        b, s, word = self.b, self.s, self.word
        taps, up = self.columns, word["up_width"]
        columns = [b.add(b.mul(p, word["stride_width"]), taps.place) for p in pixels]
        right = b.mul(up, self.tap_bytes)
        down = b.sub(b.mul(word["up_height"], self.kernel_row), b.mul(taps.count, right))
        row_bytes = b.mul(word["dilation_height"], word["row"])

        def tap(_: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            column, row, panel, *before = state
            distance = b.mul(column, word["dilation_width"])
            inputs = [self._input(row, self._column(b.add(c, distance))) for c in columns]
            sums = self._channels(inputs, b.inttoptr(panel, PTR), before)
            following, panel = b.add(column, i64(1)), b.add(panel, right)
            wraps = b.icmp_signed(">=", following, taps.count)
            return [
                b.select(wraps, i64(0), following), b.select(wraps, b.add(row, row_bytes), row),
                b.select(wraps, b.add(panel, down), panel), *sums,
            ]  # fmt: skip

        count = b.mul(self.rows.count, taps.count)
        plane_bytes = b.mul(word["dilation_depth"], word["plane"])
        deeper = b.mul(word["up_depth"], self.kernel_plane)

        def plane(_: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            source, panel, *before = state
            sums = carried(b, count, [i64(0), source, panel, *before], tap)[3:]
            return [b.add(source, plane_bytes), b.add(panel, deeper), *sums]

        before = (
            (self.planes, self.kernel_plane), (self.rows, self.kernel_row), (taps, self.tap_bytes),
        )  # fmt: skip
        panel = self.panel
        for skipped, size in before:
            panel = b.add(panel, b.mul(skipped.first, size))
        source = b.add(self.input, b.add(self.plane, self.line))
        first = [source, panel, *zeros(s, len(self._places()))]
        return [Lane(s, x, FLOAT) for x in carried(b, self.planes.count, first, plane)[2:]]

    def _column(self, column: ll.Value) -> tuple[ll.Value, ll.Value]:
        """Whether a column is in the image, and where it starts in a row."""
        b, word = self.b, self.word
        return b.icmp_unsigned("<", column, word["in_width"]), b.mul(column, word["pixel"])

    def _input(self, row: ll.Value, column: tuple[ll.Value, ll.Value]) -> ll.Value:
        """The channels of an input pixel; zeros beyond the row's ends."""
        b, (is_inside, at) = self.b, column
        return b.inttoptr(b.select(is_inside, b.add(row, at), self.zeros), PTR)

    def _channels(
        self, inputs: Sequence[ll.Value], panel: ll.Value, sums: Sequence[ll.Value]
    ) -> Sequence[ll.Value]:
        """Add what one tap contributes."""
        return add_products(self.s, inputs, panel, self.word["in_channels"], sums)


class Depthwise(Convolution):
    """Each channel of the result from the same channel of the input, or from those of its group,
    which are in the same vector: a vector of an input pixel is read once for all pixels and taps of
    a kernel row that it belongs to. A unit has all blocks; a tile has them in turn, so that a
    pixel's channels are read one after the other.
    """

    def _unit(self, unit: ll.Value) -> None:
        self._rows(unit)

    def _line(self, row: ll.Value) -> ll.Value:
        return super()._line(self.b.urem(row, self.word["ring"]))

    def _tile(self, pixels: Sequence[ll.Value], starts: Sequence[ll.Value]) -> None:
        with counted(self.b, self.word["blocks"]) as block:
            self._block(block, i64(0), block)
            super()._tile(pixels, starts)

    def _sums(self, pixels: Sequence[ll.Value]) -> list[Lane]:
        """The products of all taps, summed. Pixels that stick out of the row have sums of their
        own, which are stored before those of the last one.
        """
        b, s, word, row = self.b, self.s, self.word, self.form.row
        assert row is not None
        first = b.add(b.mul(pixels[0], i64(row.stride)), self.columns.place)
        read = sorted(
            {p * row.stride + t * row.apart for p in range(len(pixels)) for t in range(row.taps)}
        )
        columns = {k: self._column(b.add(first, i64(k))) for k in read}
        down, ring = b.mul(word["dilation_height"], word["row"]), b.mul(word["ring"], word["row"])
        source = b.add(self.input, self.plane)
        row_bytes = row.taps * row.mixed * self.step_bytes
        panel = b.add(self.panel, b.mul(self.rows.first, self.kernel_row))

        def kernel_row(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            line, *sums = state
            inputs = {k: self._input(b.add(source, line), c) for k, c in columns.items()}
            weights = b.inttoptr(b.add(panel, b.mul(k, i64(row_bytes))), PTR)
            below = b.add(line, down)
            wrapped = b.select(b.icmp_signed("<", below, ring), below, b.sub(below, ring))
            return [wrapped, *self._add_row(row, inputs, weights, sums)]

        start = [self.line, *zeros(s, len(self._places()))]
        return [Lane(s, x, FLOAT) for x in carried(b, self.rows.count, start, kernel_row)[1:]]

    def _add_row(
        self,
        row: KernelRow,
        inputs: Mapping[int, ll.Value],
        weights: ll.Value,
        sums: Sequence[ll.Value],
    ) -> list[ll.Value]:
        """Add the products of a kernel row; `inputs` are by their distance from the first one."""
        b, s = self.b, self.s
        found = dict(zip(self._places(), sums, strict=True))
        for v, vector in enumerate(self.vectors):
            for member in range(row.mixed):
                first = member * self.step_bytes + v * self.vector_bytes
                taps = [
                    s.load(offset(b, weights, t * row.mixed * self.step_bytes + first), FLOAT)
                    for t in range(row.taps)
                ]
                for at, place in inputs.items():
                    x = s.load(offset(b, place, vector.start), FLOAT, vector.mask)
                    x = s.spread(x, row.mixed, member)
                    for t, weight in enumerate(taps):
                        p, rest = divmod(at - t * row.apart, row.stride)
                        if rest == 0 and 0 <= p < self.form.height:
                            total = Lane(s, found[p, v], FLOAT)
                            found[p, v] = s.fma(x, weight, total).value
        return list(found.values())
