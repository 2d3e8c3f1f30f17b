"""Which tiles of Winograd's a convolution is worth, and how its work is cut.

Times are in cycles of one core, per vector of channels, as measured on a Zen 4:

    direct      9 C pixels
    products    n n C tiles, but more where blocks of a few tiles wait for their own sums; filters
                that the level 2 cache cannot hold come again with every chunk, `_STREAM` bytes a
                cycle, while products are computed
    transforms  `_TRANSFORM` per tile
    filters     `_FILTER` per input channel, unless the weight is constant
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.images.form import FRAME_BYTES, FRAME_TILES, Form, form_of, vectors_for
from codegen.images.winograd import KERNEL, TILES
from codegen.target import Target
from ir import Dim, hint

_TRANSFORM = {2: (70, 70), 4: (300, 300)}  # one tile, one vector: its image, its result
_FILTER = {2: 150, 4: 360}  # one input channel, one vector
_STREAM = 8
_SUMS = 8  # that keep the multiplier busy
_GAIN = 0.9  # of the direct time: less is not worth the rounding
_UNITS = 8  # that several threads can share evenly


def tile_for(weight: Sequence[int], result: Sequence[Dim], constant: bool, target: Target) -> int:
    """The side of the tiles for a 3 x 3 convolution with stride 1; 0 where direct code is faster.

    `weight` are channels, input channels, 3 and 3; `result` the sizes of the result.
    """
    images, _, height, width = (hint(d) for d in result)
    outer, inner = (-(-n // target.lanes(32)) for n in weight[:2])
    times = {0: _GAIN * KERNEL**2 * weight[1] * outer * images * height * width}
    for m in TILES:
        form = winograd_form(weight, result, m, target)
        if form is None:
            continue
        points, count = (m + KERNEL - 1) ** 2, hint(tiles_of(result, m))
        sums = form.height * form.vectors
        products = points * weight[1] * outer * _rounded(count, form.height) * max(_SUMS / sums, 1)
        size = 4 * points * weight[0] * weight[1]
        chunks = -(-count // cut(weight, result, form, target)[0])
        stream = chunks * size / _STREAM if size > target.caches[1] else 0.0
        at_image, at_result = _TRANSFORM[m]
        transforms = count * (inner * at_image + outer * at_result)
        filters = 0 if constant else weight[1] * outer * _FILTER[m]
        times[m] = max(products, stream) + transforms + filters
    return min(times, key=lambda m: times[m])


def winograd_form(
    weight: Sequence[int], result: Sequence[Dim], tile: int, target: Target
) -> Form | None:
    """The form for tiles of that side; None where they do not fit in the frame."""
    height = form_of(tiles_of(result, tile), weight[0], target).height
    height = min(height, _most_tiles(weight[1], tile, target))
    return Form(height, vectors_for(weight[0], target), tile=tile) if height else None


def tiles_of(result: Sequence[Dim], tile: int) -> Dim:
    """How many tiles there are in all images."""
    images, _, height, width = result
    return images * ((height + (tile - 1)) // tile) * ((width + (tile - 1)) // tile)


def cut(
    weight: Sequence[int], result: Sequence[Dim], form: Form, target: Target
) -> tuple[int, int]:
    """The tiles of a chunk, and in how many parts the groups of channels are done."""
    count, groups = hint(tiles_of(result, form.tile)), -(-weight[0] // form.width(target))
    most = _most_tiles(weight[1], form.tile, target) // form.height
    blocks = max(min(most, count // (_UNITS * form.height)), 1)
    chunk = blocks * form.height
    return chunk, min(groups, -(-_UNITS // max(-(-count // chunk), 1)))


def _most_tiles(channels: int, tile: int, target: Target) -> int:
    """The tiles of a chunk that fit in the frame."""
    points, step = (tile + KERNEL - 1) ** 2, target.vector_bytes
    per_tile = -(-4 * channels // step) * step
    return min((FRAME_BYTES // points - step) // per_tile, FRAME_TILES)


def _rounded(count: int, height: int) -> int:
    return -(-count // height) * height
