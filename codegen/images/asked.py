"""Convolutions as operators ask for them: their operands and numbers, and which ones there is
generated code for.
"""

from __future__ import annotations

from typing import Any

from codegen.images.tile import AXES, ZERO_BYTES
from codegen.operands import Known, arguments
from codegen.target import host
from ir import Node, TensorType, Value, dtypes, images, record

SMALL_CHANNELS = ZERO_BYTES // 4
THIN = 4


@record
class Asked:
    """A convolution of float32 images over one to three dims; a number for each of them."""

    input: Value
    weight: Value
    bias: Value | None
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    inner: int
    """Channels of the input that one of the result is computed from."""
    channels: int
    groups: int
    is_transposed: bool

    @property
    def is_depthwise(self) -> bool:
        """Whether groups are within vectors: each channel of the result is computed from the same
        channel, or from a few around it.
        """
        is_square = self.groups * self.inner == self.channels and self.groups != 1
        lanes = host().lanes(32)
        return is_square and len(self.kernel) < 3 and self.inner < lanes and lanes % self.inner == 0

    @property
    def is_planar(self) -> bool:
        """Whether it is over two dims, as torch has kernels of its own for."""
        is_usual = self.groups in (1, self.channels) and not self.is_transposed
        return is_usual and len(self.kernel) == 2

    @property
    def is_thin(self) -> bool:
        """Whether a tap has so few channels that taps should be read together, but for padding."""
        is_whole = self.groups == 1 and not self.is_transposed and self.dilation[-1] == 1
        return is_whole and self.inner <= THIN and self.kernel[-1] > 1 and self.padding[-1] > 0

    @property
    def is_generated(self) -> bool:
        """Whether there is code for it that does little in vain."""
        is_cut_well = self.is_depthwise or 2 * self.channels // self.groups >= host().lanes(32)
        is_whole = self.groups == 1 or (is_cut_well and not self.is_transposed)
        is_close = {1} in (set(self.stride), set(self.dilation)) or not self.is_transposed
        return is_whole and is_close and self.inner * self.groups <= SMALL_CHANNELS

    def lists(self) -> tuple[tuple[int, ...], ...]:
        """Kernel, stride, padding, dilation, and what the input is spread by: those of the
        convolution that a transposed one is, with its weight backwards.
        """
        ones = (1,) * len(self.kernel)
        if not self.is_transposed:
            return self.kernel, self.stride, self.padding, self.dilation, ones
        each = zip(self.kernel, self.padding, self.dilation, strict=True)
        around = tuple(d * (k - 1) - p for k, p, d in each)
        return self.kernel, ones, around, self.dilation, self.stride


def asked(node: Node, known: Known) -> Asked | None:
    """What a node asks for; None if it is no convolution, or not all is known that must be."""
    is_transposed = node.op.qualified in images.TRANSPOSED
    if node.op.qualified not in images.CONVOLUTIONS and not is_transposed:
        return None
    given = arguments(node, known)
    x, weight, bias, groups = (given[k] for k in ("input", "weight", "bias", "groups"))
    if not all(map(is_image, (x, weight, node.output))) or not isinstance(groups, int):
        return None
    kernel = _numbers(type_of(weight).shape[2:])
    sizes = _numbers((type_of(x).shape[1], type_of(node.output).shape[1]))
    each = [_numbers(given[k]) for k in ("stride", "dilation")]
    if kernel is None or sizes is None or None in each or 0 in type_of(weight).shape:
        return None
    stride, dilation = (_spread(n or (), len(kernel)) for n in each)
    padding = _padding(given["padding"], kernel, dilation)
    inner, channels = sizes[0] // groups, sizes[1]
    if bias is not None and not is_vector(bias, channels):
        return None
    if padding is None:
        return None
    return Asked(
        x, weight, bias, kernel, stride, padding, dilation, inner, channels, groups, is_transposed
    )


def is_image(value: Any) -> bool:
    """Whether a value is a tensor in float32 with channels and places."""
    type_ = value.type
    if not isinstance(type_, TensorType) or not has_places(type_) or type_.strides is None:
        return False
    return type_.dtype is dtypes.float32 and type_.device in (None, "cpu")


def has_places(type_: TensorType) -> bool:
    """Whether there are images, channels and one to three dims of places."""
    return type_.is_complete and 3 <= len(type_.shape) <= 2 + len(AXES)


def is_vector(value: Any, size: Any) -> bool:
    """Whether a value is a tensor in float32 with one dim of that size."""
    type_ = value.type
    if not isinstance(type_, TensorType) or not type_.is_complete:
        return False
    return type_.dtype is dtypes.float32 and type_.shape == (size,)


def type_of(value: Value) -> TensorType:
    """The type of a tensor."""
    assert isinstance(value.type, TensorType)
    return value.type


def _padding(
    given: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Zeros in front of each dim; the result's sizes say how many are behind it."""
    if isinstance(given, str):
        spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple(span // 2 if given == "same" else 0 for span in spans)
    numbers = _numbers(given)
    return None if numbers is None else _spread(numbers, len(kernel))


def _numbers(given: Any) -> tuple[int, ...] | None:
    """Numbers; None if not all are known."""
    items = (given,) if isinstance(given, int) else tuple(given)
    return items if all(isinstance(n, int) for n in items) else None


def _spread(numbers: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A number for each of so many dims; one stands for all."""
    return numbers * count if len(numbers) == 1 else numbers
