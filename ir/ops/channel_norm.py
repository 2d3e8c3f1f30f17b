"""Composite rows: normalization per channel (dim 1): batch, group and instance normalization.

Batch normalization in training writes to its running statistics (which torch's schemas do not
mark) and stays a call; with given statistics it scales and shifts each channel.
"""

from __future__ import annotations

from typing import Any

from ir.dims import product
from ir.ops.cast import convert, row_major, widen
from ir.ops.factory import FLOATS, Tensor, composite
from ir.ops.norm import has_elements, is_constant, is_float
from ir.strides import Layout, is_channels_last, is_contiguous, pointwise_strides
from ir.typerules import filled, is_known
from ir.types import TENSOR, TensorType

_STATISTICS = "Tensor(a!)? running_mean, Tensor(b!)? running_var"


def _is_per_channel(x: Tensor, *parameters: Tensor | None) -> bool:
    """Whether parameters (absent ones aside) have one element per channel, of the input's dtype."""
    if not x.type.is_complete or len(x.type.shape) < 2 or not is_float(x, *parameters):
        return False
    channels = x.type.shape[1]
    return all(p.type.is_complete and len(p.type.shape) == 1 and p.type.shape[0] == channels
               for p in parameters if p is not None)


def _spread(b: Any, x: Tensor, parameter: Tensor) -> Tensor:
    """A parameter per channel in the shape that broadcasts over the input, widened."""
    return b.view(widen(b, parameter), [-1] + [1] * (len(x.type.shape) - 2))


def _affine(b: Any, y: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    y = y if weight is None else b.mul(y, _spread(b, x, weight))
    return y if bias is None else b.add(y, _spread(b, x, bias))


def _batch_norm(b: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None,
                mean: Tensor | None, variance: Tensor | None, training: Any, momentum: Any,
                eps: Any, cudnn_enabled: Any) -> Tensor | None:
    if training is not False or mean is None or variance is None or not is_constant(eps):
        return None
    if not _is_per_channel(x, weight, bias, mean, variance):
        return None
    scale = b.rsqrt(b.add(widen(b, variance), eps))
    scale = scale if weight is None else b.mul(scale, widen(b, weight))
    shift = b.neg(b.mul(widen(b, mean), scale))
    shift = shift if bias is None else b.add(shift, widen(b, bias))
    wide = widen(b, x)
    y = b.add(b.mul(wide, _spread(b, x, scale)), _spread(b, x, shift))
    result = convert(b, y, x.type.dtype)
    return result if _is_channels_last(x) else row_major(b, result)


def _is_channels_last(x: Tensor) -> bool:
    strides = x.type.strides
    return strides is not None and None not in strides and is_channels_last(
        Layout(x.type.shape, strides))


def _is_row_major(x: Tensor) -> bool:
    strides = x.type.strides
    return strides is not None and None not in strides and is_contiguous(
        Layout(x.type.shape, strides))


def _batch_norm_type(input: TensorType, weight: TensorType | None, bias: TensorType | None,
                     running_mean: TensorType | None, running_var: TensorType | None,
                     training: Any, momentum: Any, eps: Any, cudnn_enabled: Any) -> TensorType:
    """Of normalization with given statistics; results in training are not followed."""
    parameters = [p for p in (weight, bias, running_mean, running_var) if p is not None]
    is_plain = training is False and running_mean is not None and running_var is not None
    if not is_plain or not input.is_complete or len(input.shape) < 2:
        return TENSOR
    if input.dtype not in FLOATS or any(p.dtype is not input.dtype for p in parameters):
        return TENSOR
    strides = input.strides
    if strides is None or None in strides:
        return TENSOR
    layout = Layout(input.shape, strides)  # type: ignore[arg-type]
    if not is_channels_last(layout):
        return filled(input.shape, input.dtype)
    return input.with_(strides=pointwise_strides(input.shape, [layout]))


def _group_norm(b: Any, x: Tensor, num_groups: Any, weight: Tensor | None, bias: Tensor | None,
                eps: Any, cudnn_enabled: Any) -> Tensor | None:
    if not is_known(num_groups) or not is_constant(num_groups, eps) or not has_elements(x):
        return None
    if not _is_per_channel(x, weight, bias) or not _is_row_major(x):
        return None
    channels, *sizes = x.type.shape[1:]
    if not isinstance(channels, int) or channels % num_groups:
        return None
    count = channels // num_groups * product(sizes)
    batch = x.type.shape[0] if isinstance(x.type.shape[0], int) else b.op("aten::size.int", x, 0)
    row = count if isinstance(count, int) else -1
    rows = b.reshape(widen(b, x), [batch, num_groups, row])
    y = b.view(_standardized(b, rows, [-1], eps), b.size(x))
    return row_major(b, convert(b, _affine(b, y, x, weight, bias), x.type.dtype))


def _standardized(b: Any, x: Tensor, dims: list[int], eps: float) -> Tensor:
    """Mean 0 and variance 1 (but for eps) along dims."""
    distance = b.sub(x, b.mean(x, dims, True))
    return b.mul(distance, b.rsqrt(b.add(b.mean(b.square(distance), dims, True), eps)))


def _instance_norm(b: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None,
                   mean: Tensor | None, variance: Tensor | None, use_input_stats: Any,
                   momentum: Any, eps: Any, cudnn_enabled: Any) -> Tensor | None:
    if use_input_stats is not True or mean is not None or not is_constant(eps):
        return None
    if not _is_per_channel(x, weight, bias) or not has_elements(x):
        return None
    if not _is_row_major(x) and not _is_channels_last(x):
        return None
    if x.type.dtype not in FLOATS or len(x.type.shape) < 3:
        return None
    y = _standardized(b, widen(b, x), list(range(2, len(x.type.shape))), eps)
    return row_major(b, convert(b, _affine(b, y, x, weight, bias), x.type.dtype))


composite(f"batch_norm(Tensor input, Tensor? weight, Tensor? bias, {_STATISTICS}, bool training, "
          "float momentum, float eps, bool cudnn_enabled) -> Tensor", _batch_norm,
          _batch_norm_type)
composite("group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, "
          "float eps=1.0000000000000001e-05, bool cudnn_enabled=True) -> Tensor", _group_norm)
composite(f"instance_norm(Tensor input, Tensor? weight, Tensor? bias, {_STATISTICS}, "
          "bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor",
          _instance_norm)
