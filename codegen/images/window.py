"""What a generated convolution reads and computes, along three axes (`codegen.images.tile`).

Sizes and steps are of images as the kernels are told that they are, which is what computes the same
with the least to decide:
  * The pixels of an image that are computed alike, each from itself, are one row.
  * The taps of a kernel row whose pixels lie side by side, none of them outside, are one tap with
    more input channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codegen.images.tile import AXES
from codegen.nest import Buffer
from ir import Dim, product, record, replace, same_dim

_ABSENT = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1, "up": 1}
_PARAMETERS = {"kernel": "kernel_size", **{k: k for k in ("stride", "padding", "dilation", "up")}}


@record
class Window:
    """Sizes of images, steps between places in elements, and numbers along three axes each."""

    inside: tuple[Dim, ...]
    outside: tuple[Dim, ...]
    steps: tuple[Dim, ...]
    in_channels: Dim
    numbers: Mapping[str, tuple[int, ...]]

    @property
    def rows(self) -> Dim:
        """Rows of an image of the result."""
        return self.outside[0] * self.outside[1]

    @property
    def width(self) -> Dim:
        """Pixels of a row of the result that have the same taps."""
        up = self.numbers["up"][2]
        return (self.outside[2] + (up - 1)) // up

    @property
    def is_of_pixels(self) -> bool:
        """Whether an image is one row of pixels, each computed from itself."""
        is_own = all(n == (_ABSENT[name],) * len(AXES) for name, n in self.numbers.items())
        return is_own and self.inside == self.outside and self.inside[:2] == (1, 1)

    def words(self) -> dict[str, Dim]:
        """What range functions are told of the axes."""
        each = {"in": self.inside, "out": self.outside, **self.numbers}
        return {
            f"{name}_{axis}": value
            for name, values in each.items()
            for axis, value in zip(AXES, values, strict=True)
        }


def window_of(given: Mapping[str, Any], x: Buffer, result: Sequence[Dim]) -> Window:
    """The window of a convolution of an operand that has its channels inside."""
    missing = len(AXES) - len(result[2:])
    numbers = {
        name: (_ABSENT[name],) * missing + tuple(given[_PARAMETERS[name]]) for name in _ABSENT
    }
    ones, nothing = (1,) * missing, (0,) * missing
    window = Window(
        inside=ones + tuple(x.dims[2:]),
        outside=ones + tuple(result[2:]),
        steps=nothing + tuple(x.strides[2:]),
        in_channels=x.dims[1],
        numbers=numbers,
    )
    return window if given["tile"] else _in_one_tap(_in_one_row(window), given)


def _in_one_row(window: Window) -> Window:
    """The same with one row, if each pixel is computed from itself and rows follow each other."""
    is_own = all(n == (_ABSENT[name],) * len(AXES) for name, n in window.numbers.items())
    sizes, steps = window.inside, window.steps
    follow = all(
        same_dim(sizes[k], 1) or same_dim(steps[k], sizes[k + 1] * steps[k + 1]) for k in (0, 1)
    )
    if not is_own or not follow:
        return window
    row = (1, 1, product(sizes))
    return replace(window, inside=row, outside=row, steps=(0, 0, steps[2]))


def _in_one_tap(window: Window, given: Mapping[str, Any]) -> Window:
    """The same with kernels that are one tap wide, if their taps read what lies side by side."""
    kernel, channels = window.numbers["kernel"], window.in_channels
    beside = all(window.numbers[name][2] == _ABSENT[name] for name in ("padding", "dilation", "up"))
    is_dense = same_dim(window.steps[2], channels) and given["groups"] == 1
    if not beside or not is_dense or given["depthwise"]:
        return window
    numbers = {**window.numbers, "kernel": (*kernel[:2], 1)}
    return replace(window, in_channels=channels * kernel[2], numbers=numbers)
