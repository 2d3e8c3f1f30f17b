"""The range function of layers around a depthwise one, over rows of the depthwise result.

    for each strip of rows:
        the rows of its image that are not there yet = the layer before     (a ring of rows)
        the strip's rows = the depthwise layer                              (a strip)
        their pixels = the layer behind

What lies between the layers stays in the frame, so in the level 2 cache. The layers are range
functions (`codegen.images.tile`) that get copies of their records, in which places and sizes are
those of a strip. Either of the layers around may be absent: then the depthwise one reads, or
writes, the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import I64, PTR, RANGE_TYPE, i64, offset
from codegen.frame import frame
from codegen.images import tile
from codegen.images.form import STRIP_BYTES, STRIPS, Form
from codegen.loops import carried, ceil_divide, counted
from codegen.products.microkernel import larger, smaller
from codegen.target import Target
from ir import record

LAYERS = ("before", "within", "behind")
WORDS = (
    *LAYERS,  # addresses of records; any for a layer that is absent
    *(f"{name}_function" for name in LAYERS),  # null for such a layer
    *("strip", "strip_at"),  # rows of a strip; bytes of the frame that the ring has
)
"""The record that a range function gets."""


class Strips:
    """Emits the range function into a module."""

    def __init__(self, module: ll.Module, _: Form, target: Target) -> None:
        self.function = ll.Function(module, RANGE_TYPE, STRIPS)
        self.b = ll.IRBuilder(self.function.append_basic_block("entry"))

    def emit(self) -> None:
        b = self.b
        begin, end, words = self.function.args
        word = self.word = {
            name: b.load(offset(b, words, 8 * k), typ=I64) for k, name in enumerate(WORDS)
        }
        room = b.ptrtoint(frame(b, STRIP_BYTES), I64)
        self.layers = {name: _Layer(b, word[name], word[f"{name}_function"]) for name in LAYERS}
        within = self.layers["within"].word
        self.ring, self.strip = room, b.add(room, word["strip_at"])
        height = within["out_height"]
        first = b.udiv(begin, height)
        with counted(b, b.sub(ceil_divide(b, end, height), first)) as k:
            image = b.add(first, k)
            start = b.mul(image, height)
            rows = larger(b, b.sub(begin, start), i64(0)), smaller(b, b.sub(end, start), height)
            self._image(image, *rows)
        b.ret_void()

    def _image(self, image: ll.Value, first: ll.Value, last: ll.Value) -> None:
        """Rows of an image of the result."""
        b, step, within = self.b, self.word["strip"], self.layers["within"].word
        reach = b.add(
            b.mul(within["dilation_height"], b.sub(within["kernel_height"], i64(1))), i64(1)
        )

        def strip(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            start = b.add(first, b.mul(k, step))
            stop = smaller(b, b.add(start, step), last)
            top, bottom = (
                b.sub(b.mul(row, within["stride_height"]), within["padding_height"])
                for row in (start, b.sub(stop, i64(1)))
            )
            top = larger(b, larger(b, top, i64(0)), state[0])
            bottom = larger(b, smaller(b, b.add(bottom, reach), within["in_height"]), top)
            self._before(image, top, bottom)
            self._within(image, start, stop)
            self._behind(image, start, stop)
            return [bottom]

        carried(b, ceil_divide(b, b.sub(last, first), step), [i64(0)], strip)

    def _before(self, image: ll.Value, top: ll.Value, bottom: ll.Value) -> None:
        """Rows of the depthwise layer's image, in the ring: they may go on at its start."""
        b, layer, within = self.b, self.layers["before"], self.layers["within"].word

        def part(_: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            (row,) = state
            at = b.urem(row, within["ring"])
            count = smaller(b, b.sub(bottom, row), b.sub(within["ring"], at))
            place = b.add(self.ring, b.mul(at, within["row"]))
            layer.rows(Rows(image, row, count, within["in_width"], within["in_height"]), y=place)
            return [b.add(row, count)]

        with b.if_then(layer.is_present):
            carried(b, i64(2), [top], part)

    def _within(self, image: ll.Value, start: ll.Value, stop: ll.Value) -> None:
        """The depthwise layer's rows: from the ring or its image, to the strip or its result."""
        b, layer = self.b, self.layers["within"]
        word = layer.word
        source = b.add(word["x"], b.mul(image, word["image"]))
        row_bytes = b.mul(word["out_width"], layer.pixel)
        apart = b.mul(image, b.mul(word["out_height"], row_bytes))
        strip = b.sub(self.strip, b.mul(start, row_bytes))
        layer.put(
            x=b.select(self.layers["before"].is_present, self.ring, source),
            y=b.select(self.layers["behind"].is_present, strip, b.add(word["y"], apart)),
            residual=layer.residual(apart),
        )
        layer.call(start, stop)

    def _behind(self, image: ll.Value, start: ll.Value, stop: ll.Value) -> None:
        """The pixels of the strip."""
        b, layer, within = self.b, self.layers["behind"], self.layers["within"].word
        count = b.sub(stop, start)
        rows = Rows(image, start, count, within["out_width"], within["out_height"])
        with b.if_then(layer.is_present):
            layer.rows(rows, x=self.strip)


@record(eq=False)
class Rows:
    """Rows of an image: the image, the first row, how many; the sizes of a whole one."""

    image: ll.Value
    first: ll.Value
    count: ll.Value
    width: ll.Value
    height: ll.Value


class _Layer:
    """A layer, with a record of its own: a copy of one whose words are `word`. A layer around the
    depthwise one takes the pixels of rows for one row.
    """

    def __init__(self, b: ll.IRBuilder, record: ll.Value, function: ll.Value) -> None:
        self.b = b
        self.is_present = b.icmp_unsigned("!=", function, i64(0))
        self.function = b.inttoptr(function, RANGE_TYPE.as_pointer())
        self.record = frame(b, 8 * len(tile.WORDS))
        self.word = {}
        for k, name in enumerate(tile.WORDS):
            given = offset(b, b.inttoptr(record, PTR), 8 * k)
            self.word[name] = b.load(given, typ=I64)
            b.store(self.word[name], offset(b, self.record, 8 * k))
        self.pixel = b.mul(self.word["channels"], i64(4))

    def put(self, **words: ll.Value) -> None:
        """Change words of the record."""
        for name, value in words.items():
            self.b.store(value, offset(self.b, self.record, 8 * tile.WORDS.index(name)))

    def call(self, begin: ll.Value, end: ll.Value) -> None:
        """Compute units."""
        self.b.call(self.function, [begin, end, self.record])

    def residual(self, apart: ll.Value) -> ll.Value:
        """Where the residual is, so many bytes behind its start; null if there is none."""
        b, given = self.b, self.word["residual"]
        return b.select(b.icmp_unsigned("!=", given, i64(0)), b.add(given, apart), i64(0))

    def rows(self, rows: Rows, **places: ll.Value) -> None:
        """Compute the pixels of rows, at places that are those in whole images if not given."""
        b, word = self.b, self.word
        pixels, before = b.mul(rows.count, rows.width), b.mul(rows.first, rows.width)
        source = b.add(b.mul(rows.image, word["image"]), b.mul(before, word["pixel"]))
        whole = b.mul(b.mul(rows.image, rows.height), rows.width)
        apart = b.mul(b.add(whole, before), self.pixel)
        whole_places = {"x": b.add(word["x"], source), "y": b.add(word["y"], apart)}
        self.put(
            **{**whole_places, **places},
            residual=self.residual(apart),
            in_width=pixels,
            out_width=pixels,
        )
        units = b.mul(ceil_divide(b, pixels, word["span"]), word["blocks"])
        self.call(i64(0), units)
