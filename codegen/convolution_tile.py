"""The range function of a generated convolution over channels-last images.

    for each unit (chunk of rows of the result, group of channels):
        for each row, for each tile of `height` pixels:
            for each tap whose input row exists:
                addresses = the pixels' inputs under this tap, or zeros for those outside
                for each input channel: sums[pixel] += input[pixel] * panel
            result = clamp(sums * scale + shift + residual)

The sums stay in registers. Nothing is copied around: padding, strides and dilation only choose
addresses. Pixels of a tile that stick out of the row repeat the last one, which is stored after
them; channels beyond the last one have zero weights and are not stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import llvmlite.ir as ll

from codegen import convolution_epilogue
from codegen.abi import I64, PTR, RANGE_TYPE, i64, offset
from codegen.convolution_epilogue import Epilogue, constant
from codegen.convolution_form import Form, KernelRow
from codegen.convolution_sums import FLOAT, add_products, zeros
from codegen.lanes import Lane, Lanes
from codegen.loops import carried, ceil_divide, counted
from codegen.microkernel import larger, smaller
from codegen.target import Target

WORDS = (
    *convolution_epilogue.WORDS,
    *("x", "panels"),  # addresses
    *("image", "row", "pixel"),  # steps of x, in bytes
    *("rows", "in_height", "in_width", "in_channels", "height", "width"),
    *("kernel_height", "kernel_width", "down", "right", "top", "left", "apart_down", "apart_right"),
    "chunk",  # rows of a unit
)
"""The record that a range function gets; `rows` are those of all images of the result."""
ZERO_BYTES = 1 << 16
"""Zeros stand for pixels outside: this much of them, so this is the limit of a pixel's bytes."""


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
        self.epilogue = Epilogue(self.module, self.s, word)
        self.zeros = b.ptrtoint(constant(self.module, "zeros", [0] * (ZERO_BYTES // 4)), I64)
        self.tap_bytes = b.mul(word["in_channels"], i64(self.step_bytes))
        taps = b.mul(word["kernel_height"], word["kernel_width"])
        self.group_bytes = b.mul(taps, self.tap_bytes)
        self.out_pixel = b.mul(word["channels"], i64(4))
        width = self.form.vectors * self.s.width
        self.groups = b.udiv(b.add(word["channels"], i64(width - 1)), i64(width))
        with counted(b, b.sub(end, begin)) as k:
            self._unit(b.add(begin, k))
        b.ret_void()

    # rows and tiles -------------------------------------------------------------------------------
    def _unit(self, unit: ll.Value) -> None:
        self._rows(self.b.udiv(unit, self.groups), self.b.urem(unit, self.groups))

    def _rows(self, chunk: ll.Value, group: ll.Value) -> None:
        """The rows of a chunk."""
        b, word = self.b, self.word
        start = b.mul(chunk, word["chunk"])
        stop = smaller(b, b.add(start, word["chunk"]), word["rows"])
        with counted(b, b.sub(stop, start)) as k:
            self._row(b.add(start, k), group)

    def _row(self, row: ll.Value, group: ll.Value) -> None:
        """One row of the result; taps above and below the image are left out."""
        b, word = self.b, self.word
        image, at = b.udiv(row, word["height"]), b.urem(row, word["height"])
        top = b.sub(b.mul(at, word["down"]), word["top"])
        apart = word["apart_down"]
        first = larger(b, ceil_divide(b, b.sub(i64(0), top), apart), i64(0))
        inside = ceil_divide(b, b.sub(word["in_height"], top), apart)
        last = smaller(b, inside, word["kernel_height"])
        down = b.add(top, b.mul(first, apart))
        self.kernel_rows = larger(b, b.sub(last, first), i64(0))
        self.first_panel = b.mul(b.mul(first, word["kernel_width"]), self.tap_bytes)
        source = b.add(b.mul(image, word["image"]), b.mul(down, word["row"]))
        self.source = b.add(word["x"], source)
        height = i64(self.form.height)
        with counted(b, ceil_divide(b, word["width"], height)) as k:
            pixel = b.mul(k, height)
            last_pixel = b.sub(b.sub(word["width"], i64(1)), pixel)
            pixels = [b.add(pixel, smaller(b, i64(i), last_pixel)) for i in range(self.form.height)]
            starts = [b.mul(b.add(b.mul(row, word["width"]), p), self.out_pixel) for p in pixels]
            self._tile(pixels, starts, group)

    def _tile(
        self, pixels: Sequence[ll.Value], starts: Sequence[ll.Value], group: ll.Value
    ) -> None:
        """Pixels of a row, a group of channels each, from the first address of each on."""
        b = self.b
        width = self.form.vectors * self.s.width
        first = b.mul(group, i64(width))
        panel = b.add(b.add(self.word["panels"], self.first_panel), b.mul(group, self.group_bytes))
        self.vectors = [
            self.epilogue.vector(b.add(first, i64(v))) for v in range(0, width, self.s.width)
        ]
        sums = self._sums(pixels, panel)
        places = zip(self._places(), sums, strict=True)
        self.epilogue.store([(x, self.vectors[v], starts[p]) for (p, v), x in places][::-1])

    def _places(self) -> list[tuple[int, int]]:
        """(pixel, vector) of each vector of a tile."""
        return [(p, v) for p in range(self.form.height) for v in range(self.form.vectors)]

    def _sums(self, pixels: Sequence[ll.Value], panel: ll.Value) -> list[Lane]:
        """The products of all taps and input channels, summed."""
        b, s, word = self.b, self.s, self.word
        columns = [b.sub(b.mul(p, word["right"]), word["left"]) for p in pixels]
        down = b.mul(word["apart_down"], word["row"])

        def tap(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            column, row, *before = state
            right = b.mul(column, word["apart_right"])
            inputs = [self._input(row, self._column(b.add(c, right))) for c in columns]
            here = b.inttoptr(b.add(panel, b.mul(k, self.tap_bytes)), PTR)
            sums = self._channels(inputs, here, before)
            following = b.add(column, i64(1))
            wraps = b.icmp_signed(">=", following, word["kernel_width"])
            return [
                b.select(wraps, i64(0), following), b.select(wraps, b.add(row, down), row), *sums
            ]  # fmt: skip

        taps = b.mul(self.kernel_rows, word["kernel_width"])
        first = [i64(0), self.source, *zeros(s, len(self._places()))]
        return [Lane(s, x, FLOAT) for x in carried(b, taps, first, tap)[2:]]

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
    """Each channel of the result from the same channel of the input: a vector of an input pixel is
    read once for all pixels and taps of a kernel row that it belongs to. A unit is a chunk; a tile
    has all groups in turn, so that a pixel's channels are read one after the other.
    """

    def _unit(self, unit: ll.Value) -> None:
        self._rows(unit, i64(0))

    def _tile(
        self, pixels: Sequence[ll.Value], starts: Sequence[ll.Value], group: ll.Value
    ) -> None:
        with counted(self.b, self.groups) as each:
            super()._tile(pixels, starts, each)

    def _sums(self, pixels: Sequence[ll.Value], panel: ll.Value) -> list[Lane]:
        """The products of all taps, summed. Pixels that stick out of the row have sums of their
        own, which are stored before those of the last one.
        """
        b, s, word, row = self.b, self.s, self.word, self.form.row
        assert row is not None
        first = b.sub(b.mul(pixels[0], i64(row.stride)), word["left"])
        read = sorted(
            {p * row.stride + t * row.apart for p in range(len(pixels)) for t in range(row.taps)}
        )
        columns = {k: self._column(b.add(first, i64(k))) for k in read}
        down = b.mul(word["apart_down"], word["row"])

        def kernel_row(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            source, *sums = state
            inputs = {k: self._input(source, column) for k, column in columns.items()}
            weights = b.inttoptr(b.add(panel, b.mul(k, i64(row.taps * self.step_bytes))), PTR)
            return [b.add(source, down), *self._add_row(row, inputs, weights, sums)]

        start = [self.source, *zeros(s, len(self._places()))]
        return [Lane(s, x, FLOAT) for x in carried(b, self.kernel_rows, start, kernel_row)[1:]]

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
            taps = [
                s.load(offset(b, weights, t * self.step_bytes + v * self.vector_bytes), FLOAT)
                for t in range(row.taps)
            ]
            for at, place in inputs.items():
                x = s.load(offset(b, place, vector.start), FLOAT, vector.mask)
                for t, weight in enumerate(taps):
                    p, rest = divmod(at - t * row.apart, row.stride)
                    if rest == 0 and 0 <= p < self.form.height:
                        total = Lane(s, found[p, v], FLOAT)
                        found[p, v] = s.fma(x, weight, total).value
        return list(found.values())
