"""Generated convolutions over images: how their work is cut, and what their functions are called.

    tile        `height` neighboring pixels of a row of the result, `vectors` vectors of channels
    block       the channels of a tile, all of one group of the convolution's
    chunk       rows of the result that are computed with one block before the next one's turn

    panels[block][tap, input channel][channel of the block]       taps: all places of the kernel

A depthwise convolution computes each channel from the same channel of the input, or from a few that
lie beside it in the same vector, and a tile with all blocks in turn; its function knows a kernel
row, so that neighboring pixels share what they read. Winograd's convolution
(`codegen.images.winograd`) computes squares of pixels, `height` of them together at each of its
points; what it keeps of a chunk is in the frame.

A name says everything about a function but the machine, so the engine can make it when a plan, new
or from the object cache, first asks for it. Functions depend on no sizes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from codegen.target import Target
from ir import Dim, hint, record, replace, size_max

PIXELS = 96  # of a chunk: with their neighbors they stay in the level 1 cache
TALLEST = 8
MOST_TAPS = 4  # of a depthwise kernel row whose weights stay in registers
FRAME_TILES = 16  # the most tiles of a chunk of Winograd's
FRAME_BYTES = 272 << 10  # for their transformed images: with sums and filters in the level 2 cache
STRIP_BYTES = 256 << 10  # what lies between layers that are computed in strips
STRIPS = "relume_strips_0_0_0"  # the range function of such layers: rows
_KINDS = "convolve|depthwise|winograd|panels|filters|strips"
_NAME = re.compile(rf"relume_({_KINDS})((?:_\d+)+)(?:_([a-z]\w*))?")


class KernelRow(NamedTuple):
    """One row of a kernel: how many taps, the pixels between those of neighboring results, and
    between taps; and of how many channels one is computed, which divide a vector.
    """

    taps: int
    stride: int
    apart: int
    mixed: int


@record
class Form:
    """What a function is made for."""

    height: int
    vectors: int
    tile: int = 0
    """Pixels along a side of a tile of Winograd's; 0 for direct convolutions."""
    row: KernelRow | None = None
    """Of depthwise convolutions."""
    activation: str = ""
    """The operator that results pass through; bounds if there is none."""

    @property
    def symbol(self) -> str:
        """The range function of a convolution: units, blocks first, then chunks."""
        kind = "depthwise" if self.row else "winograd" if self.tile else "convolve"
        numbers = [self.height, self.vectors, self.tile, *(self.row or ())]
        last = [self.activation] if self.activation else []
        return "_".join(["relume", kind, *map(str, numbers), *last])

    @property
    def panels(self) -> str:
        """The range function that packs weights: blocks."""
        return f"relume_panels_0_{self.vectors}_0"

    @property
    def filters(self) -> str:
        """The range function that transforms panels for Winograd's convolution: blocks."""
        return f"relume_filters_0_{self.vectors}_{self.tile}"

    def width(self, target: Target) -> int:
        """Channels of a block."""
        return self.vectors * target.lanes(32)


def parse(name: str) -> tuple[str, Form] | None:
    """The kind and the form of a function of that name; None for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    height, vectors, tile, *row = map(int, match[2].split("_")[1:])
    row_of = KernelRow(*row) if row else None
    return match[1], Form(height, vectors, tile, row_of, match[3] or "")


def form_of(width: Dim, channels: int, target: Target, row: KernelRow | None = None) -> Form:
    """The form for rows of so many pixels: the least work that is thrown away, in large tiles. A
    kernel row makes it that of a depthwise convolution.
    """
    return fitted(Form(0, vectors_for(channels, target), row=row), width, target)


def fitted(form: Form, width: Dim, target: Target) -> Form:
    """The same with tiles that fit rows of so many pixels."""
    taps = 1 if form.row is None else min(form.row.taps, MOST_TAPS)
    shared = taps + 1  # registers besides those of sums
    tallest = min(TALLEST, max(target.registers // form.vectors - shared, 1))
    pixels = max(hint(width), 1)
    height = min(range(tallest, 0, -1), key=lambda h: _cost(pixels, h, form.vectors))
    return replace(form, height=height)


def vectors_for(channels: int, target: Target) -> int:
    """The vectors of a tile: it is decided by the weight alone, as panels are."""
    lanes = target.lanes(32)
    widest = 3 if target.registers >= 32 else 2

    def cost(vectors: int) -> tuple[int, int]:
        return -(-channels // (vectors * lanes)) * vectors, -vectors

    return min(range(1, widest + 1), key=cost)


def _cost(pixels: int, height: int, vectors: int) -> float:
    """Cycles for a row and a step along input channels: short tiles wait for their own sums, and
    every tile loads its weights.
    """
    return -(-pixels // height) * (max(height * vectors, 8) + vectors / 2) + height / 64


def rows_of_chunk(width: Dim) -> Dim:
    """Rows of a chunk of rows with so many pixels."""
    return size_max(PIXELS // size_max(width, 1), 1) if isinstance(width, int) else 4


def pixels_of_unit(width: Dim, height: int) -> int:
    """Pixels of a row that a unit computes, in tiles of a height: all of short rows."""
    pieces = max(hint(width) // PIXELS, 1)
    return -(-hint(width) // (pieces * height)) * height
