"""Composite rows: softmax, variance, norms, normalization and losses.

16-bit floats are widened first and rounded once at the end. The maximum is subtracted before an
exponential; variance is the mean of squared distances from the mean (two passes over a row).
A decomposition that needs a dtype, a rank or a constant that is not known refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ir.dims import Dim
from ir.dtypes import DType, float32, float64
from ir.graph import Value
from ir.op import Effect
from ir.ops.cast import convert, row_major, widen
from ir.ops.factory import FLOATS, Tensor, composite

NONE, MEAN, SUM = 0, 1, 2  # torch's codes of a loss's reduction
EPSILON = {float32: 2.0**-23, float64: 2.0**-52}


def is_float(*tensors: Tensor | None) -> bool:
    """Whether all tensors (absent ones aside) are known to be of one floating dtype."""
    dtypes = {t.type.dtype for t in tensors if t is not None}
    return len(dtypes) == 1 and dtypes <= set(FLOATS)


def is_constant(*values: Any) -> bool:
    """Whether no argument is a value that is known at run time only."""
    return not any(isinstance(v, Value) for v in values)


def has_elements(x: Tensor) -> bool:
    """Whether the sizes are known and none is 0."""
    return x.type.is_complete and not any(map(is_zero, x.type.shape))


def is_zero(size: Dim) -> bool:
    """Whether a size is 0; a symbolic one never is."""
    return isinstance(size, int) and size == 0


def as_list(dim: Any) -> list[int]:
    """Parameter `dim` as a list; empty means all."""
    return [] if dim is None else [dim] if isinstance(dim, int) else list(dim)


# softmax ------------------------------------------------------------------------------------------
def _softmax(b: Any, x: Tensor, dim: Any, dtype: DType | None) -> Tensor | None:
    parts = _exponentials(b, x, dim, dtype)
    if parts is None:
        return None
    _, powers, result = parts
    return row_major(b, convert(b, b.div(powers, b.sum(powers, [dim], True)), result))


def _log_softmax(b: Any, x: Tensor, dim: Any, dtype: DType | None) -> Tensor | None:
    parts = _exponentials(b, x, dim, dtype)
    if parts is None:
        return None
    shifted, powers, result = parts
    return row_major(b, convert(b, b.sub(shifted, b.log(b.sum(powers, [dim], True))), result))


def _exponentials(b: Any, x: Tensor, dim: Any,
                  dtype: DType | None) -> tuple[Tensor, Tensor, DType] | None:
    """x minus its maximum, the exponential of that, and the dtype of the result."""
    result = dtype or x.type.dtype
    if not is_constant(dim, dtype) or result not in FLOATS or not has_elements(x):
        return None
    wide = widen(b, convert(b, x, result))
    shifted = b.sub(wide, b.amax(wide, [dim], True))
    return shifted, b.exp(shifted), result


def _logsumexp(b: Any, x: Tensor, dim: Any, keepdim: Any) -> Tensor | None:
    """An infinite maximum is not subtracted: inf - inf would be NaN."""
    result = x.type.dtype
    if not is_constant(dim, keepdim) or not has_elements(x) or result is None:
        return None
    result = result if result.is_float else float32
    wide = widen(b, convert(b, x, result))
    dims = as_list(dim)
    largest = b.amax(wide, dims, True)
    largest = b.masked_fill(largest, b.eq(b.abs(largest), math.inf), 0)
    total = b.log(b.sum(b.exp(b.sub(wide, largest)), dims, keepdim))
    kept = largest if keepdim else b.op("aten::squeeze.dims", largest, dims or all_dims(x))
    return convert(b, b.add(total, kept), result)


def all_dims(x: Tensor) -> list[int]:
    """Every dim of a tensor of known rank."""
    return list(range(x.type.rank))


def _half_to_float(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda b, x, dim, half_to_float: rule(b, x, dim, float32 if half_to_float else None)


composite("softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor  | .int_out",
          _softmax)
composite("special_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", _softmax)
composite("_softmax(Tensor self, int dim, bool half_to_float) -> Tensor  | .out",
          _half_to_float(_softmax))
composite("log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor  | .int_out",
          _log_softmax)
composite("special_log_softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
          _log_softmax)
composite("_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor  | .out",
          _half_to_float(_log_softmax))
composite("logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor  | .out", _logsumexp,
          aliases=("special_logsumexp",))


# variance -----------------------------------------------------------------------------------------
def _moments(b: Any, x: Tensor, dim: Any, correction: Any,
             keepdim: Any) -> tuple[Tensor, Tensor] | None:
    """Variance and mean, in the wide dtype."""
    correction = 1 if correction is None else correction
    is_covered = x.type.dtype in FLOATS and x.type.is_complete
    if not is_constant(dim, correction, keepdim) or not is_covered:
        return None
    dims = as_list(dim)
    count = _count(b, x, dims)
    wide = widen(b, x)
    distance = b.sub(wide, b.mean(wide, dims, True))
    total = b.sum(b.square(distance), dims, keepdim)
    return b.div(total, _freedom(b, count, correction)), b.mean(wide, dims, keepdim)


def _count(b: Any, x: Tensor, dims: Sequence[int]) -> Any:
    """The number of reduced elements: a Python int, or a Value when a size is symbolic."""
    shape = x.type.shape or (1,)
    over = list(dims) or list(range(len(shape)))
    if any(is_zero(shape[dim]) for dim in over):
        return 0
    count: Any = 1
    for dim in over:
        size = shape[dim] if isinstance(shape[dim], int) else b.op("aten::size.int", x, dim)
        is_known = is_constant(size, count)
        count = count * size if is_known else b.op("aten::mul.int", count, size)
    return count


def _freedom(b: Any, count: Any, correction: float) -> Any:
    if isinstance(count, int):
        return max(float(count - correction), 0.0)
    if correction == int(correction):
        return b.op("aten::sub.int", count, int(correction))
    return b.op("aten::sub.int_float", count, correction)


def _moment(part: Callable[[Any, Tensor, Tensor], Any]) -> Callable[..., Any]:
    """A decomposition from `part(b, variance, mean)`, rounded to the input's dtype."""

    def decompose(b: Any, x: Tensor, dim: Any, correction: Any, keepdim: Any) -> Any:
        moments = _moments(b, x, dim, correction, keepdim)
        if moments is None:
            return None
        result = part(b, *moments)
        if isinstance(result, tuple):
            return tuple(convert(b, r, x.type.dtype) for r in result)
        return convert(b, result, x.type.dtype)

    return decompose


def _unbiased(unbiased: Any) -> Any:
    return unbiased if isinstance(unbiased, Value) else int(unbiased)


def moment_rows(name: str, result: str, twins: bool,
                part: Callable[[Any, Tensor, Tensor], Any]) -> None:
    """The three overloads of var, std, var_mean or std_mean."""
    rule = _moment(part)
    out, correction_out = (" | .out", " | .correction_out") if twins else ("", "")
    composite(f"{name}(Tensor self, bool unbiased=True) -> {result}",
              lambda b, x, unbiased: rule(b, x, None, _unbiased(unbiased), False))
    composite(f"{name}.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) "
              f"-> {result}{out}",
              lambda b, x, dim, unbiased, keepdim: rule(b, x, dim, _unbiased(unbiased), keepdim))
    composite(f"{name}.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, "
              f"bool keepdim=False) -> {result}{correction_out}", rule)


moment_rows("var", "Tensor", True, lambda b, variance, mean: variance)
moment_rows("std", "Tensor", True, lambda b, variance, mean: b.sqrt(variance))
moment_rows("var_mean", "(Tensor, Tensor)", False, lambda b, variance, mean: (variance, mean))
moment_rows("std_mean", "(Tensor, Tensor)", False,
            lambda b, variance, mean: (b.sqrt(variance), mean))


# norms --------------------------------------------------------------------------------------------
def _norm(b: Any, x: Tensor, p: Any, dim: Any, keepdim: Any, dtype: Any) -> Tensor | None:
    p = 2 if p is None else p
    result = dtype or x.type.dtype
    if not is_constant(p, dim, keepdim, dtype) or result not in FLOATS:
        return None
    if x.type.dtype not in FLOATS or (p in (math.inf, -math.inf) and not has_elements(x)):
        return None
    wide = widen(b, convert(b, x, result))
    return convert(b, _power_sum(b, wide, p, as_list(dim), keepdim), result)


def _power_sum(b: Any, x: Tensor, p: float, dims: list[int], keepdim: bool) -> Tensor:
    if p == 2:
        return b.sqrt(b.sum(b.square(x), dims, keepdim))
    if p == 1:
        return b.sum(b.abs(x), dims, keepdim)
    if p == 0:
        return b.sum(convert(b, b.ne(x, 0), x.type.dtype), dims, keepdim)
    if math.isinf(p):
        return (b.amax if p > 0 else b.amin)(b.abs(x), dims, keepdim)
    return b.pow(b.sum(b.pow(b.abs(x), p), dims, keepdim), 1 / p)


composite("linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, "
          "ScalarType? dtype=None) -> Tensor  | .out", _norm)
composite("norm.Scalar(Tensor self, Scalar p=2) -> Tensor  | .Scalar_out",
          lambda b, x, p: _norm(b, x, p, None, False, None))
composite("norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor"
          "  | .out", lambda b, x, p, dim, keepdim: _norm(b, x, p, dim, keepdim, None))
composite("norm.ScalarOpt_dtype(Tensor self, Scalar? p, *, ScalarType dtype) -> Tensor"
          "  | .ScalarOpt_dtype_out", lambda b, x, p, dtype: _norm(b, x, p, None, False, dtype))
composite("norm.ScalarOpt_dim_dtype(Tensor self, Scalar? p, int[1] dim, bool keepdim, *, "
          "ScalarType dtype) -> Tensor  | .dtype_out", _norm)
composite("frobenius_norm.dim(Tensor self, int[1] dim, bool keepdim=False) -> Tensor  | .out",
          lambda b, x, dim, keepdim: _norm(b, x, 2, dim, keepdim, None))


def _weight_norm(b: Any, v: Tensor, g: Tensor, dim: Any) -> Tensor | None:
    """A direction, and its length in each slice along a dim (of all for -1)."""
    if not is_constant(dim) or not v.type.is_complete or not is_float(v, g):
        return None
    rank = len(v.type.shape)
    if v.type.dtype not in EPSILON or not -1 <= dim < rank:
        return None
    others = [k for k in range(rank) if k != dim]
    lengths = b.div(g, b.sqrt(b.sum(b.square(v), others, dim != -1)))
    return row_major(b, b.mul(v, lengths))


composite("_weight_norm(Tensor v, Tensor g, int dim=0) -> Tensor", _weight_norm)


def _cosine_similarity(b: Any, x: Tensor, y: Tensor, dim: Any, eps: Any) -> Tensor | None:
    """The sum of products of both, each divided by its norm."""
    is_covered = x.type.is_complete and y.type.is_complete and x.type.shape == y.type.shape
    if not is_constant(dim) or eps is None or not is_float(x, y) or not is_covered:
        return None
    parts = []
    for tensor in (widen(b, x), widen(b, y)):
        norm = b.clamp_min(_power_sum(b, tensor, 2, [dim], True), eps)
        parts.append(b.div(tensor, norm))
    return convert(b, b.sum(b.mul(*parts), [dim]), x.type.dtype)


composite("cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor",
          _cosine_similarity)


# normalization ------------------------------------------------------------------------------------
def _last_dims(x: Tensor, normalized_shape: Any) -> list[int] | None:
    """The dims that are normalized over; None when the input's last sizes are not these."""
    if not is_constant(normalized_shape) or not x.type.is_complete:
        return None
    rank, count = len(x.type.shape), len(normalized_shape)
    if not is_constant(*normalized_shape) or not 0 < count <= rank:
        return None
    fits = all(a == b for a, b in zip(x.type.shape[rank - count:], normalized_shape, strict=True))
    return list(range(rank - count, rank)) if fits else None


def _fits(x: Tensor, dims: Sequence[int], *parameters: Tensor | None) -> bool:
    """Whether weight and bias (absent ones aside) have the input's dtype and last sizes."""
    sizes = tuple(x.type.shape[d] for d in dims)
    given = [p for p in parameters if p is not None]
    return is_float(x, *given) and all(
        p.type.is_complete and len(p.type.shape) == len(sizes)
        and all(a == b for a, b in zip(p.type.shape, sizes, strict=True)) for p in given)


def _scaled(b: Any, y: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> Tensor:
    y = y if weight is None else b.mul(y, widen(b, weight))
    return y if bias is None else b.add(y, widen(b, bias))


def _native_layer_norm(b: Any, x: Tensor, normalized_shape: Any, weight: Tensor | None,
                       bias: Tensor | None, eps: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    dims = _last_dims(x, normalized_shape)
    if dims is None or not _fits(x, dims, weight, bias) or not has_elements(x):
        return None
    wide = widen(b, x)
    mean = b.mean(wide, dims, True)
    distance = b.sub(wide, mean)
    scale = b.rsqrt(b.add(b.mean(b.square(distance), dims, True), eps))
    y = _scaled(b, b.mul(distance, scale), weight, bias)
    dtype = x.type.dtype
    return row_major(b, convert(b, y, dtype)), convert(b, mean, dtype), convert(b, scale, dtype)


def _layer_norm(b: Any, x: Tensor, normalized_shape: Any, weight: Tensor | None,
                bias: Tensor | None, eps: Any, cudnn_enable: Any) -> Tensor | None:
    parts = _native_layer_norm(b, x, normalized_shape, weight, bias, eps)
    return None if parts is None else parts[0]


def _rms_norm(b: Any, x: Tensor, normalized_shape: Any, weight: Tensor | None,
              eps: Any) -> Tensor | None:
    dims = _last_dims(x, normalized_shape)
    if dims is None or not _fits(x, dims, weight) or not has_elements(x):
        return None
    wide = widen(b, x)
    eps = EPSILON[wide.type.dtype] if eps is None else eps
    scale = b.rsqrt(b.add(b.mean(b.square(wide), dims, True), eps))
    return row_major(b, convert(b, _scaled(b, b.mul(wide, scale), weight), x.type.dtype))


composite("native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, "
          "Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)", _native_layer_norm)
composite("layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, "
          "Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enable=True) -> Tensor",
          _layer_norm)
composite("rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) "
          "-> Tensor", _rms_norm)


# losses -------------------------------------------------------------------------------------------
def loss(schemas: str, terms: Callable[..., Tensor]) -> None:
    """Rows `(self, target, ..., reduction, ...)` that reduce the elementwise `terms`."""

    def decompose(b: Any, x: Tensor, target: Tensor, *rest: Any) -> Tensor | None:
        before, reduction, after = _split_reduction(rest)
        tensors = [v for v in before if isinstance(v, Value)]
        if not is_constant(reduction, *after) or not is_float(x, target, *tensors):
            return None
        wide = [v if v is None else widen(b, v) for v in (x, target, *before)]
        value = terms(b, *wide, *after)
        if reduction != NONE:
            value = b.mean(value) if reduction == MEAN else b.sum(value)
        return convert(b, value, x.type.dtype)

    composite(schemas, decompose)


def _split_reduction(rest: Sequence[Any]) -> tuple[Sequence[Any], Any, Sequence[Any]]:
    """The optional tensors before parameter `reduction`, itself, and the numbers after it."""
    at = next((k for k, v in enumerate(rest) if isinstance(v, int) or _is_number(v)), len(rest) - 1)
    return rest[:at], rest[at], rest[at + 1:]


def _is_number(value: Any) -> bool:
    return isinstance(value, Value) and str(value.type) == "int"


def _smooth_l1(b: Any, x: Tensor, target: Tensor, beta: float) -> Tensor:
    distance = b.abs(b.sub(x, target))
    if beta == 0:
        return distance
    square = b.mul(b.square(distance), 0.5 / beta)
    return b.where(b.lt(distance, beta), square, b.sub(distance, 0.5 * beta))


def _huber(b: Any, x: Tensor, target: Tensor, delta: float) -> Tensor:
    distance = b.abs(b.sub(x, target))
    linear = b.mul(b.sub(distance, 0.5 * delta), delta)
    return b.where(b.le(distance, delta), b.mul(b.square(distance), 0.5), linear)


def _kl_div(b: Any, x: Tensor, target: Tensor, log_target: bool) -> Tensor:
    if log_target:
        return b.mul(b.exp(target), b.sub(target, x))
    return b.sub(b.xlogy(target, target), b.mul(target, x))


def _cross_entropy(b: Any, x: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Logarithms are cut off at -100, as in eager."""
    yes = b.mul(target, b.clamp_min(b.log(x), -100))
    no = b.mul(b.rsub(target, 1), b.clamp_min(b.log1p(b.neg(x)), -100))
    return _scaled(b, b.neg(b.add(yes, no)), weight)


def _cross_entropy_logits(b: Any, x: Tensor, target: Tensor, weight: Tensor | None,
                          pos_weight: Tensor | None) -> Tensor:
    log = b.log_sigmoid(x)
    log = log if pos_weight is None else b.mul(
        log, b.add(b.mul(b.sub(pos_weight, 1), target), 1))
    return _scaled(b, b.sub(b.mul(b.rsub(target, 1), x), log), weight)


loss("mse_loss(Tensor self, Tensor target, int reduction=1) -> Tensor  | .out",
     lambda b, x, target: b.square(b.sub(x, target)))
loss("l1_loss(Tensor self, Tensor target, int reduction=1) -> Tensor",
     lambda b, x, target: b.abs(b.sub(x, target)))
loss("smooth_l1_loss(Tensor self, Tensor target, int reduction=1, float beta=1.) -> Tensor  | .out",
     _smooth_l1)
loss("huber_loss(Tensor self, Tensor target, int reduction=1, float delta=1.) -> Tensor  | .out",
     _huber)
loss("kl_div(Tensor self, Tensor target, int reduction=1, *, bool log_target=False) -> Tensor",
     _kl_div)
loss("soft_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor  | .out",
     lambda b, x, target: b.log1p(b.exp(b.mul(b.neg(target), x))))
loss("binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1) "
     "-> Tensor  | .out", _cross_entropy)
loss("binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, "
     "Tensor? pos_weight=None, int reduction=1) -> Tensor  | .out", _cross_entropy_logits)


# gates --------------------------------------------------------------------------------------------
def _glu(b: Any, x: Tensor, dim: Any) -> Tensor | None:
    if not is_constant(dim) or not is_float(x) or not x.type.is_complete or not x.type.shape:
        return None
    size = x.type.shape[dim]
    if not isinstance(size, int) or size % 2:
        return None
    wide = widen(b, x)
    value, gate = b.narrow(wide, dim, 0, size // 2), b.narrow(wide, dim, size // 2, size // 2)
    return convert(b, b.mul(value, b.sigmoid(gate)), x.type.dtype)


def _prelu(b: Any, x: Tensor, weight: Tensor) -> Tensor | None:
    """The weight runs along dim 1; a single one is for all."""
    if not is_float(x, weight) or x.type.rank is None or weight.type.rank is None:
        return None
    if weight.type.rank == 1 and x.type.rank != 1:
        weight = b.view(weight, [-1] + [1] * (x.type.rank - 2) if x.type.rank else [])
    return b.op("aten::_prelu_kernel", x, weight)


glu = composite("glu(Tensor self, int dim=-1) -> Tensor  | .out", _glu)
prelu = composite("prelu(Tensor self, Tensor weight) -> Tensor", _prelu)
dropout = composite("dropout(Tensor input, float p, bool train) -> Tensor",
                    lambda b, x, p, train: x if train is False else None, effect=Effect.RANDOM)
outer = composite("outer(Tensor self, Tensor vec2) -> Tensor  | .out",
                  lambda b, x, y: b.mul(b.unsqueeze(x, 1), y), aliases=("ger",))
