"""What operators do to images, for code that chooses the layout of images (`codegen.images`)."""

from __future__ import annotations

import math

CONVOLUTION = "aten::conv2d"
SUM, PRODUCT = "aten::add.Tensor", "aten::mul.Tensor"
SPREAD = "aten::view"  # of a vector over the pixels
COPY = "aten::clone"
CARRIED = (
    CONVOLUTION, "aten::max_pool2d", "aten::avg_pool2d", "aten::adaptive_avg_pool2d",
    "aten::upsample_nearest2d", "aten::upsample_bilinear2d", "aten::conv_transpose2d",
)
"""Calls of torch's whose results are channels-last if their images are."""
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
