"""What operators do to images, for code that chooses their layout (`codegen.images.layout`)."""

from __future__ import annotations

import math

CONVOLUTIONS = tuple(f"aten::conv{rank}d{kind}" for rank in (1, 2, 3) for kind in ("", ".padding"))
TRANSPOSED = (
    "aten::conv_transpose1d", "aten::conv_transpose2d.input", "aten::conv_transpose3d.input",
)
SUM, PRODUCT = "aten::add.Tensor", "aten::mul.Tensor"
SPREAD = "aten::view"  # of a vector over the pixels
COPY, SWAPPED, BACKWARDS = "aten::clone", "aten::transpose", "aten::flip"
ZEROS, JOIN = "aten::zeros", "aten::cat"
CARRIED = (
    "aten::conv2d", "aten::max_pool2d", "aten::avg_pool2d", "aten::adaptive_avg_pool2d",
    "aten::upsample_nearest2d", "aten::upsample_bilinear2d", "aten::conv_transpose2d", "aten::pad",
)
"""Calls of torch's whose results are channels-last if their images, of two dims, are."""
NOT_CARRIED = ("circular",)
"""Modes of such a call whose results are not."""
ACTIVATIONS = tuple(f"aten::{name}" for name in (
    "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "gelu", "mish", "leaky_relu", "celu",
    "selu", "softplus",
))
"""Operators on one tensor, and up to two numbers, that often follow a layer."""
RESHAPED = (COPY, "aten::stack")
"""Those that have a layout or rank of their own, unlike other operators of their kinds."""
BOUNDS: dict[str, tuple[str | float, str | float]] = {
    "aten::relu": (0.0, math.inf),
    "aten::relu6": (0.0, 6.0),
    "aten::hardtanh": ("min_val", "max_val"),
    "aten::clamp": ("min", "max"),
    "aten::clamp_min": ("min", math.inf),
}
"""Operators that bound a value: the bounds, or the parameters that say them."""
