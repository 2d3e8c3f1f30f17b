"""Rows of activation functions and of the derivatives that torch has as operators of their own."""

from __future__ import annotations

import math

from ir.ops.factory import FLOATS, NUMERIC, SIGNED, dtypes_differ, pointwise, tensors_differ, unary
from ir.scalar import Lane, Scalars

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _relu(s: Scalars, x: Lane) -> Lane:
    return s.maximum(x, 0)


def _gelu(s: Scalars, x: Lane, approximate: str) -> Lane:
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + s.tanh(inner))
    return 0.5 * x * (1 + s.erf(x * math.sqrt(0.5)))


def _gelu_backward(s: Scalars, g: Lane, x: Lane, approximate: str) -> Lane:
    if approximate == "tanh":
        scale = math.sqrt(2 / math.pi)
        t = s.tanh(scale * (x + 0.044715 * x * x * x))
        slope = scale * (1 + 3 * 0.044715 * x * x)
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
    density = s.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return g * (0.5 * (1 + s.erf(x * math.sqrt(0.5))) + x * density)


def _elu(s: Scalars, x: Lane, alpha: Lane, scale: Lane, input_scale: Lane) -> Lane:
    return s.where(x <= 0, s.expm1(x * input_scale) * (alpha * scale), x * scale)


def _selu(s: Scalars, x: Lane) -> Lane:
    return s.where(x <= 0, s.expm1(x) * (SELU_ALPHA * SELU_SCALE), x * SELU_SCALE)


def _softplus(s: Scalars, x: Lane, beta: Lane, threshold: Lane) -> Lane:
    return s.where(x * beta > threshold, x, s.log1p(s.exp(x * beta)) / beta)


def _log_sigmoid(s: Scalars, x: Lane) -> Lane:
    return s.minimum(x, 0) - s.log1p(s.exp(-s.abs(x)))


def _hardshrink(s: Scalars, x: Lane, bound: Lane) -> Lane:
    return s.where((x >= -bound) & (x <= bound), 0, x)


def _softshrink(s: Scalars, x: Lane, bound: Lane) -> Lane:
    """NaN stays NaN: neither comparison holds for it."""
    return s.where(x > bound, x - bound, s.where(x < -bound, x + bound, x * 0))


def _clip(s: Scalars, x: Lane, low: Lane | int, high: Lane | int) -> Lane:
    return s.minimum(s.maximum(x, low), high)


relu = unary("relu", _relu, "common", dtypes=NUMERIC)
relu6 = unary("relu6", lambda s, x: _clip(s, x, 0, 6), "common", twins="_", dtypes=NUMERIC)
hardtanh = pointwise(
    "hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor  | _ .out",
    _clip, follow=("min_val", "max_val"), dtypes=SIGNED)
hardswish = unary("hardswish", lambda s, x: x * _clip(s, x + 3, 0, 6) / 6, "common", dtypes=FLOATS)
hardsigmoid = unary("hardsigmoid", lambda s, x: _clip(s, x + 3, 0, 6) / 6, "common", dtypes=FLOATS)
leaky_relu = pointwise("leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor  | _ .out",
                       lambda s, x, slope: s.where(x > 0, x, x * slope), follow=("negative_slope",),
                       dtypes=FLOATS)
threshold = pointwise(
    "threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor  | _ .out",
    lambda s, x, bound, value: s.where(x <= bound, value, x), follow=("threshold", "value"),
    dtypes=NUMERIC)
elu = pointwise(
    "elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor  | _ .out",
    _elu, follow=("alpha", "scale", "input_scale"), dtypes=FLOATS)
celu = pointwise("celu(Tensor self, Scalar alpha=1.) -> Tensor  | _ .out",
                 lambda s, x, alpha: s.where(x <= 0, s.expm1(x / alpha) * alpha, x),
                 follow=("alpha",), dtypes=FLOATS)
selu = unary("selu", _selu, "common", twins="_", dtypes=FLOATS)
silu = unary("silu", lambda s, x: x * s.sigmoid(x), "common", dtypes=FLOATS)
mish = unary("mish", lambda s, x: x * s.tanh(s.log1p(s.exp(x))), "common", dtypes=FLOATS)
gelu = pointwise('gelu(Tensor self, *, str approximate="none") -> Tensor  | _ .out', _gelu,
                 dtypes=FLOATS)
softplus = pointwise("softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor  | .out",
                     _softplus, follow=("beta", "threshold"), dtypes=FLOATS)
log_sigmoid = unary("log_sigmoid", _log_sigmoid, "common", twins=".out", layout=(),
                    dtypes=FLOATS)
hardshrink = pointwise("hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor  | .out",
                       _hardshrink, follow=("lambd",), dtypes=FLOATS)
softshrink = pointwise("softshrink(Tensor self, Scalar lambd=0.5) -> Tensor  | .out",
                       _softshrink, follow=("lambd",), dtypes=FLOATS)
prelu_kernel = pointwise("_prelu_kernel(Tensor self, Tensor weight) -> Tensor",
                         lambda s, x, weight: s.where(x > 0, x, x * weight), dtypes=FLOATS,
                         refuses=dtypes_differ)


# derivatives --------------------------------------------------------------------------------------
def _silu_backward(s: Scalars, g: Lane, x: Lane) -> Lane:
    y = s.sigmoid(x)
    return g * y * (1 + x * (1 - y))


def _logit_backward(s: Scalars, g: Lane, x: Lane, eps: float | None) -> Lane:
    low, high, outside = (0, 1, math.nan) if eps is None else (eps, 1 - eps, 0)
    return s.where((x >= low) & (x <= high), g / (x * (1 - x)), outside)


gelu_backward = pointwise(
    'gelu_backward(Tensor grad_output, Tensor self, *, str approximate="none") -> Tensor',
    _gelu_backward, dtypes=FLOATS, refuses=tensors_differ)
sigmoid_backward = pointwise("sigmoid_backward(Tensor grad_output, Tensor output) -> Tensor",
                             lambda s, g, y: g * (1 - y) * y, dtypes=FLOATS, refuses=tensors_differ)
tanh_backward = pointwise("tanh_backward(Tensor grad_output, Tensor output) -> Tensor",
                          lambda s, g, y: g * (1 - y * y), dtypes=FLOATS, refuses=tensors_differ)
silu_backward = pointwise("silu_backward(Tensor grad_output, Tensor self) -> Tensor",
                          _silu_backward, dtypes=FLOATS, refuses=tensors_differ)
logit_backward = pointwise(
    "logit_backward(Tensor grad_output, Tensor self, float? eps=None) -> Tensor",
    _logit_backward, dtypes=FLOATS, refuses=tensors_differ)
threshold_backward = pointwise(
    "threshold_backward(Tensor grad_output, Tensor self, Scalar threshold) -> Tensor",
    lambda s, g, x, bound: s.where(x <= bound, 0, g), follow=("threshold",),
    layout=("self", "grad_output"), dtypes=NUMERIC, refuses=tensors_differ)
dropout_backward = pointwise(
    "native_dropout_backward(Tensor grad_output, Tensor mask, float scale) -> Tensor",
    lambda s, g, mask, scale: s.where(mask, g * scale, g * 0), "self", own=("mask",), dtypes=FLOATS)
