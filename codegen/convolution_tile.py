"""The range function of a generated convolution over channels-last images.

    for each unit (chunk of rows of the result, group of channels):
        for each row, for each tile of `height` pixels:
            for each tap whose input row exists:
                addresses = the pixels' inputs under this tap, or zeros for those outside
                for each input channel: sums[pixel] += input[pixel] * panel
            result = clamp(sums * scale + shift + residual)

The sums stay in registers. Nothing is copied around: padding, strides and dilation only choose
addresses. Pixels of a tile that stick out of the row repeat the last one, so that storing them
changes nothing; channels beyond the last one have zero weights and are not stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import I32, I64, PTR, RANGE_TYPE, i64, offset
from codegen.convolution_form import Form
from codegen.lanes import Lane, Lanes
from codegen.loops import carried, counted
from codegen.microkernel import larger, smaller
from codegen.target import Target
from ir import dtypes

WORDS = (
    *("x", "panels", "y", "residual", "scale", "shift"),  # addresses; the last three may be null
    *("image", "row", "pixel"),  # steps of x, in bytes
    *("rows", "in_height", "in_width", "in_channels", "height", "width", "channels"),
    *("kernel_height", "kernel_width", "down", "right", "top", "left", "apart_down", "apart_right"),
    *("low", "high"),  # bounds of the result, as bits of a float32
    "chunk",  # rows of a unit
)
"""The record that a range function gets; `rows` are those of all images of the result."""
STEPS = 4  # input channels in one turn of the inner loop
ZERO_BYTES = 1 << 16
"""Zeros stand for pixels outside: this much of them, so this is the limit of a pixel's bytes."""
FLOAT = dtypes.float32


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
        self.low, self.high = (self._bound(word[name]) for name in ("low", "high"))
        self.zeros = b.ptrtoint(_constant(self.module, "zeros", [0] * (ZERO_BYTES // 4)), I64)
        self.tap_bytes = b.mul(word["in_channels"], i64(self.step_bytes))
        taps = b.mul(word["kernel_height"], word["kernel_width"])
        self.group_bytes = b.mul(taps, self.tap_bytes)
        self.out_pixel = b.mul(word["channels"], i64(4))
        width = self.form.vectors * self.s.width
        self.groups = b.udiv(b.add(word["channels"], i64(width - 1)), i64(width))
        with counted(b, b.sub(end, begin)) as k:
            self._unit(b.add(begin, k))
        b.ret_void()

    def _bound(self, bits: ll.Value) -> Lane:
        bound = Lane(self.s, self.b.trunc(bits, I32), dtypes.int32)
        return self.s.splat(self.s.bitcast(bound, FLOAT))

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

    def _per_channel(self, name: str, absent: float) -> list[Lane]:
        """What each channel of the group is scaled or shifted by."""
        b, s = self.b, self.s
        is_absent = b.icmp_unsigned("==", self.word[name], i64(0))
        default = b.ptrtoint(_constant(self.module, f"no_{name}", [absent] * s.width), I64)
        found = []
        for left, at in self._vectors():
            here = b.select(is_absent, default, b.add(self.word[name], b.mul(at, i64(4))))
            found.append(s.load(b.inttoptr(here, PTR), FLOAT, s.tail_mask(left)))
        return found

    def _vectors(self) -> list[tuple[ll.Value, ll.Value]]:
        """Per vector of a tile: how many channels are left, and the first one."""
        b = self.b
        starts = [
            b.add(self.first_channel, i64(v * self.s.width)) for v in range(self.form.vectors)
        ]
        return [(larger(b, b.sub(self.word["channels"], at), i64(0)), at) for at in starts]

    def _row(self, row: ll.Value, group: ll.Value) -> None:
        """One row of the result; taps above and below the image are left out."""
        b, word = self.b, self.word
        image, at = b.udiv(row, word["height"]), b.urem(row, word["height"])
        top = b.sub(b.mul(at, word["down"]), word["top"])
        apart = word["apart_down"]
        first = larger(b, _ceil(b, b.sub(i64(0), top), apart), i64(0))
        last = smaller(b, _ceil(b, b.sub(word["in_height"], top), apart), word["kernel_height"])
        down = b.add(top, b.mul(first, apart))
        self.taps = b.mul(larger(b, b.sub(last, first), i64(0)), word["kernel_width"])
        self.first_panel = b.mul(b.mul(first, word["kernel_width"]), self.tap_bytes)
        source = b.add(b.mul(image, word["image"]), b.mul(down, word["row"]))
        self.source = b.add(word["x"], source)
        height = i64(self.form.height)
        with counted(b, _ceil(b, word["width"], height)) as k:
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
        self.first_channel = b.mul(group, i64(self.form.vectors * self.s.width))
        panel = b.add(b.add(self.word["panels"], self.first_panel), b.mul(group, self.group_bytes))
        sums = self._sums(pixels, panel)
        scale, shift = self._per_channel("scale", 1.0), self._per_channel("shift", -0.0)
        places = zip(self._places(), sums, strict=True)
        self._store([self.s.fma(x, scale[v], shift[v]) for (_, v), x in places], starts)

    def _places(self) -> list[tuple[int, int]]:
        """(pixel, vector) of each vector of a tile."""
        return [(p, v) for p in range(self.form.height) for v in range(self.form.vectors)]

    def _sums(self, pixels: Sequence[ll.Value], panel: ll.Value) -> list[Lane]:
        """The products of all taps and input channels, summed."""
        b, s, word = self.b, self.s, self.word
        columns = [b.sub(b.mul(p, word["right"]), word["left"]) for p in pixels]
        down = b.mul(word["apart_down"], word["row"])
        zero = s.splat(s.const(0.0, FLOAT)).value

        def tap(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            column, row, *before = state
            right = b.mul(column, word["apart_right"])
            inputs = [self._input(row, b.add(c, right)) for c in columns]
            here = b.inttoptr(b.add(panel, b.mul(k, self.tap_bytes)), PTR)
            sums = self._channels(inputs, here, before)
            following = b.add(column, i64(1))
            wraps = b.icmp_signed(">=", following, word["kernel_width"])
            return [
                b.select(wraps, i64(0), following), b.select(wraps, b.add(row, down), row), *sums
            ]  # fmt: skip

        first = [i64(0), self.source, *[zero] * len(self._places())]
        return [Lane(s, x, FLOAT) for x in carried(b, self.taps, first, tap)[2:]]

    def _input(self, row: ll.Value, column: ll.Value) -> ll.Value:
        """The channels of an input pixel; zeros beyond the row's ends."""
        b, word = self.b, self.word
        is_inside = b.icmp_unsigned("<", column, word["in_width"])
        there = b.add(row, b.mul(column, word["pixel"]))
        return b.inttoptr(b.select(is_inside, there, self.zeros), PTR)

    def _channels(
        self, inputs: Sequence[ll.Value], panel: ll.Value, sums: Sequence[ll.Value]
    ) -> Sequence[ll.Value]:
        """Add what one tap contributes."""
        b, s = self.b, self.s

        def add(channel: ll.Value, sums: Sequence[ll.Value]) -> Sequence[ll.Value]:
            weights = offset(b, panel, b.mul(channel, i64(self.step_bytes)))
            at = b.mul(channel, i64(4))
            y = [
                s.load(offset(b, weights, v * self.vector_bytes), FLOAT)
                for v in range(self.form.vectors)
            ]
            x = [s.splat(s.load_scalar(offset(b, p, at), FLOAT)) for p in inputs]
            return [
                s.fma(x[p], y[v], Lane(s, total, FLOAT)).value
                for (p, v), total in zip(self._places(), sums, strict=True)
            ]

        def several(turn: ll.Value, sums: Sequence[ll.Value]) -> Sequence[ll.Value]:
            first = b.mul(turn, i64(STEPS))
            for k in range(STEPS):
                sums = add(b.add(first, i64(k)), sums)
            return sums

        turns = b.udiv(self.word["in_channels"], i64(STEPS))
        sums = carried(b, turns, sums, several)
        done = b.mul(turns, i64(STEPS))
        rest = b.sub(self.word["in_channels"], done)
        return carried(b, rest, sums, lambda k, sums: add(b.add(done, k), sums))

    # results --------------------------------------------------------------------------------------
    def _store(self, sums: Sequence[Lane], starts: Sequence[ll.Value]) -> None:
        """Add the residual, if there is one, and bound the results."""
        b, s, word = self.b, self.s, self.word
        vectors = [(s.tail_mask(left), b.mul(at, i64(4))) for left, at in self._vectors()]
        places = [(b.add(starts[p], vectors[v][1]), vectors[v][0]) for p, v in self._places()]
        before = b.block
        with b.if_then(b.icmp_unsigned("!=", word["residual"], i64(0))):
            added = [
                x + s.load(b.inttoptr(b.add(word["residual"], at), PTR), FLOAT, mask)
                for x, (at, mask) in zip(sums, places, strict=True)
            ]
            inside = b.block
        results = []
        for x, y in zip(sums, added, strict=True):
            phi = b.phi(x.value.type)
            phi.add_incoming(x.value, before)
            phi.add_incoming(y.value, inside)
            results.append(Lane(s, phi, FLOAT))
        for x, (at, mask) in zip(results, places, strict=True):
            x = s.where(x < self.low, self.low, x)
            x = s.where(x > self.high, self.high, x)
            s.store(b.inttoptr(b.add(word["y"], at), PTR), x, FLOAT, mask)


class Depthwise(Convolution):
    """Each channel of the result from the same channel of the input: vectors of pixels are
    multiplied with vectors of weights, and a tap has one step. A unit is a chunk; a tile has all
    groups in turn, so that a pixel's channels are read one after the other.
    """

    def _unit(self, unit: ll.Value) -> None:
        self._rows(unit, i64(0))

    def _tile(
        self, pixels: Sequence[ll.Value], starts: Sequence[ll.Value], group: ll.Value
    ) -> None:
        with counted(self.b, self.groups) as each:
            super()._tile(pixels, starts, each)

    def _channels(
        self, inputs: Sequence[ll.Value], panel: ll.Value, sums: Sequence[ll.Value]
    ) -> Sequence[ll.Value]:
        s = self.s
        found = []
        for v, (left, at) in enumerate(self._vectors()):
            mask, start = s.tail_mask(left), self.b.mul(at, i64(4))
            y = s.load(offset(self.b, panel, v * self.vector_bytes), FLOAT)
            found.append([
                s.fma(s.load(offset(self.b, x, start), FLOAT, mask), y, Lane(s, total, FLOAT))
                for x, total in zip(inputs, sums[v :: self.form.vectors], strict=True)
            ])  # fmt: skip
        return [found[v][p].value for p, v in self._places()]


def _ceil(b: ll.IRBuilder, x: ll.Value, y: ll.Value) -> ll.Value:
    """x / y, rounded up for x > 0 and to something not positive for others."""
    return b.sdiv(b.add(x, b.sub(y, i64(1))), y)


def _constant(module: ll.Module, name: str, values: Sequence[float]) -> ll.GlobalVariable:
    """Floats of the module."""
    found = module.globals.get(name)
    if found is None:
        kind = ll.ArrayType(ll.FloatType(), len(values))
        found = ll.GlobalVariable(module, kind, name)
        found.linkage, found.global_constant, found.align = "internal", True, 64
        found.initializer = ll.Constant(kind, list(values) if any(map(_is_set, values)) else None)
    return found


def _is_set(value: float) -> bool:
    """Whether it has any bit set: -0.0 has."""
    return bool(value) or str(value).startswith("-")
