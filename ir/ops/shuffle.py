"""Composite rows: elements of images that move between channels and places, or between groups of
channels. Results are row-major; `pixel_shuffle` keeps channels-last images so. What lies otherwise
stays a call.

    pixel_shuffle      [c r r, h, w]  ->  [c, h r, w r]
    pixel_unshuffle    [c, h r, w r]  ->  [c r r, h, w]
    channel_shuffle    [g c, ...]     ->  [c g, ...]
"""

from __future__ import annotations

from typing import Any

from ir.ops.cast import CONTIGUOUS
from ir.ops.factory import Tensor, composite
from ir.strides import Layout, is_contiguous, suggests_channels_last

_PLACES = 3  # dims of an image: channels, rows, columns


def _is_covered(x: Tensor, factor: Any) -> bool:
    """Whether it is a row-major tensor of images, and the factor known."""
    strides = x.type.strides
    if not x.type.is_complete or strides is None or None in strides:
        return False
    is_image = len(x.type.shape) >= _PLACES and is_contiguous(Layout(x.type.shape, strides))
    return is_image and isinstance(factor, int) and factor > 0


def _copied(b: Any, x: Tensor, order: list[int]) -> Tensor:
    """Dims in another order, in memory of their own."""
    outer = len(x.type.shape) - len(order)
    moved = b.permute(x, [*range(outer), *(outer + k for k in order)])
    copy: Tensor = b.op("aten::clone", moved, memory_format=CONTIGUOUS)
    return copy


def _is_channels_last(x: Tensor) -> bool:
    strides = x.type.strides
    if not x.type.is_complete or strides is None or None in strides:
        return False
    return suggests_channels_last(Layout(x.type.shape, strides))


def _pixel_shuffle(b: Any, x: Tensor, upscale_factor: Any) -> Tensor | None:
    r, is_last = upscale_factor, _is_channels_last(x)
    if not is_last and not _is_covered(x, r):
        return None
    channels = x.type.shape[1 if is_last else -_PLACES]
    if not isinstance(r, int) or r < 1 or not isinstance(channels, int) or channels % (r * r):
        return None
    parts = [channels // (r * r), r, r]
    if is_last:
        split = b.unflatten(b.permute(x, [0, 2, 3, 1]), -1, parts)
        y = _copied(b, split, [0, 3, 1, 4, 2])
        return b.permute(b.flatten(b.flatten(y, 1, 2), 2, 3), [0, 3, 1, 2])
    split = b.unflatten(x, -_PLACES, parts)
    y = _copied(b, split, [0, 3, 1, 4, 2])
    return b.flatten(b.flatten(y, -4, -3), -2, -1)


def _pixel_unshuffle(b: Any, x: Tensor, downscale_factor: Any) -> Tensor | None:
    r = downscale_factor
    if not _is_covered(x, r):
        return None
    height, width = x.type.shape[-2:]
    if not isinstance(height, int) or not isinstance(width, int) or height % r or width % r:
        return None
    split = b.unflatten(b.unflatten(x, -2, [height // r, r]), -1, [width // r, r])
    return b.flatten(_copied(b, split, [0, 2, 4, 1, 3]), -5, -3)


def _channel_shuffle(b: Any, x: Tensor, groups: Any) -> Tensor | None:
    if not _is_covered(x, groups):
        return None
    channels, rest = x.type.shape[1], len(x.type.shape) - 2
    if not isinstance(channels, int) or channels % groups:
        return None
    split = b.unflatten(x, 1, [groups, channels // groups])
    return b.flatten(_copied(b, split, [1, 0, *range(2, 2 + rest)]), 1, 2)


composite("pixel_shuffle(Tensor self, int upscale_factor) -> Tensor", _pixel_shuffle)
composite("pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor", _pixel_unshuffle)
composite("channel_shuffle(Tensor self, SymInt groups) -> Tensor", _channel_shuffle)
