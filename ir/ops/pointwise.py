"""Rows of arithmetic, rounding, and the exponential, trigonometric and special functions.

A rule is torch's CPU formula for one element; where that formula decides something visible (sign of
zero, NaN, integer wrap-around, which side of a branch), the rule says the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ir.dtypes import bool_, float32, float64, int32, int64
from ir.graph import Value
from ir.ops.factory import (
    FLOATS,
    INTEGRAL,
    NUMERIC,
    binary,
    composite,
    dtypes_differ,
    pointwise,
    unary,
)
from ir.scalar import Lane, Scalars
from ir.typerules import number_dtype
from ir.types import TensorType

ZERO_DIVISION = "integer division by zero"
NEGATIVE_EXPONENT = "Integers to negative integer powers are not allowed."


# arithmetic ---------------------------------------------------------------------------------------
def _add(s: Scalars, x: Lane, y: Lane, alpha: Lane) -> Lane:
    return x | (y & alpha) if x.dtype.is_bool else _plus_scaled(s, x, y, alpha)


def _plus_scaled(s: Scalars, x: Lane, y: Lane, alpha: Lane) -> Lane:
    """x + y * alpha, rounded once as in eager; a plain sum may fuse with a product before it."""
    if s.known(alpha) == 1:
        return x + y
    return s.fma(y, alpha, x) if x.dtype.is_float else x + y * alpha


def _minus_scaled(s: Scalars, x: Lane, y: Lane, alpha: Lane) -> Lane:
    return x - y if s.known(alpha) == 1 else _plus_scaled(s, x, y, -alpha)


def _mul(s: Scalars, x: Lane, y: Lane) -> Lane:
    return x & y if x.dtype.is_bool else x * y


def _divide_trunc(s: Scalars, x: Lane, y: Lane) -> Lane:
    if x.dtype.is_float:
        return s.trunc(x / y)
    s.fault(y == 0, ZERO_DIVISION)
    return x // y


def _divide_floor(s: Scalars, x: Lane, y: Lane) -> Lane:
    return _floor_floats(s, x, y) if x.dtype.is_float else _floor_ints(s, x, y)


def _floor_ints(s: Scalars, x: Lane, y: Lane) -> Lane:
    s.fault(y == 0, ZERO_DIVISION)
    quotient = x // y
    if not x.dtype.is_signed:
        return quotient
    inexact = quotient * y != x
    return s.where(inexact & ((x < 0) ^ (y < 0)), quotient - 1, quotient)


def _floor_floats(s: Scalars, x: Lane, y: Lane) -> Lane:
    """The floor of the exact quotient, not of the rounded one."""
    rest = s.fmod(x, y)
    quotient = (x - rest) / y
    quotient = s.where((rest != 0) & ((y < 0) ^ (rest < 0)), quotient - 1, quotient)
    floor = s.floor(quotient)
    floor = s.where(quotient - floor > 0.5, floor + 1, floor)
    floor = s.where(quotient == 0, s.copysign(s.const(0.0, x.dtype), x / y), floor)
    return s.where(y == 0, x / y, floor)


def _divide_mode(s: Scalars, x: Lane, y: Lane, rounding_mode: str | None) -> Lane:
    if rounding_mode is None:
        return x / y
    return {"trunc": _divide_trunc, "floor": _divide_floor}[rounding_mode](s, x, y)


def _fmod(s: Scalars, x: Lane, y: Lane) -> Lane:
    if x.dtype.is_float:
        return s.fmod(x, y)
    s.fault(y == 0, ZERO_DIVISION)
    return x % y


def _remainder(s: Scalars, x: Lane, y: Lane) -> Lane:
    """The remainder with the sign of the divisor."""
    rest = _fmod(s, x, y)
    if not x.dtype.is_signed:
        return rest
    return s.where((rest != 0) & ((rest < 0) ^ (y < 0)), rest + y, rest)


def _pow(s: Scalars, x: Lane, y: Lane) -> Lane:
    """Known exponents have shortcuts, in eager too (a half is a square root)."""
    exponent = s.known(y)
    return s.pow(x, y if exponent is None else exponent)


def _pow_number(s: Scalars, x: Lane, y: Lane) -> Lane:
    """Eager refuses a negative number as exponent of integers, a negative tensor it does not."""
    if not x.dtype.is_float:
        s.fault(y < 0, NEGATIVE_EXPONENT)
    return _pow(s, x, y)


def _is_bool(operand: Any) -> bool:
    dtype = operand.dtype if isinstance(operand, TensorType) else number_dtype(operand)
    return dtype is bool_


def _alpha_differs(params: Mapping[str, Any]) -> bool:
    """Eager takes a bool `alpha` for bools only."""
    return _is_bool(params["alpha"]) and not all(map(_is_bool, params.values()))


def _quotient_of_ints(params: Mapping[str, Any]) -> bool:
    """Eager does not divide integers in addcdiv, whatever they are added to."""
    divided = (params["tensor1"].dtype, params["tensor2"].dtype)
    return not any(dtype is not None and dtype.is_float for dtype in divided)


def _any_bool(params: Mapping[str, Any]) -> bool:
    """Eager does not subtract bools."""
    return any(map(_is_bool, params.values()))


add = pointwise("""
    add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor  | _ .out
    add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor     | _ .Scalar_out
    """, _add, follow=("alpha",), refuses=_alpha_differs)
sub = pointwise("""
    sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor  | _ .out
    sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor     | _ .Scalar_out
    """, _minus_scaled, follow=("alpha",),
    refuses=_any_bool, dtypes=NUMERIC)
subtract = pointwise("""
    subtract.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor  | _ .out
    subtract.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor     | _
    """, _minus_scaled, follow=("alpha",),
    refuses=_any_bool, dtypes=NUMERIC)
rsub = pointwise("""
    rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor  | .Tensor_out
    rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor     | .Scalar_out
    """, lambda s, x, y, alpha: _minus_scaled(s, y, x, alpha), follow=("alpha",),
    refuses=_any_bool,
    layout=("other", "self"), dtypes=NUMERIC)
mul = pointwise("""
    mul.Tensor(Tensor self, Tensor other) -> Tensor  | _ .out
    mul.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, _mul)
multiply = pointwise("""
    multiply.Tensor(Tensor self, Tensor other) -> Tensor  | _ .out
    multiply.Scalar(Tensor self, Scalar other) -> Tensor  | _
    """, _mul)
div = pointwise("""
    div.Tensor(Tensor self, Tensor other) -> Tensor  | _ .out
    div.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: x / y, "float")
divide = pointwise("""
    divide.Tensor(Tensor self, Tensor other) -> Tensor  | _ .out
    divide.Scalar(Tensor self, Scalar other) -> Tensor  | _
    """, lambda s, x, y: x / y, "float", aliases=("true_divide",))
div_mode = pointwise("""
    div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor | _ .out_mode
    div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor | _ .Scalar_mode_out
    """, _divide_mode, lambda rounding_mode: "common" if rounding_mode else "float", dtypes=NUMERIC)
divide_mode = pointwise("""
    divide.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor  | _ .out_mode
    divide.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor  | _
    """, _divide_mode, lambda rounding_mode: "common" if rounding_mode else "float", dtypes=NUMERIC)
floor_divide = pointwise("""
    floor_divide(Tensor self, Tensor other) -> Tensor         | _.Tensor .out
    floor_divide.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, _divide_floor, dtypes=NUMERIC)
fmod = pointwise("""
    fmod.Tensor(Tensor self, Tensor other) -> Tensor  | _ .Tensor_out
    fmod.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, _fmod, dtypes=NUMERIC)
remainder = pointwise("""
    remainder.Tensor(Tensor self, Tensor other) -> Tensor         | _ .Tensor_out
    remainder.Scalar(Tensor self, Scalar other) -> Tensor         | _ .Scalar_out
    remainder.Scalar_Tensor(Scalar self, Tensor other) -> Tensor  | .Scalar_Tensor_out
    """, _remainder, dtypes=NUMERIC)
pow = pointwise("""
    pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor  | _.Tensor .Tensor_Tensor_out
    """, _pow, dtypes=NUMERIC)
pow_of_number = pointwise("pow.Scalar(Scalar self, Tensor exponent) -> Tensor  | .Scalar_out", _pow,
                          layout=(), dtypes=NUMERIC)
pow_number = pointwise("""
    pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor  | _.Scalar .Tensor_Scalar_out
    """, _pow_number, dtypes=NUMERIC)
square = unary("square", lambda s, x: x * x, "common", dtypes=NUMERIC)
neg = unary("neg", lambda s, x: -x, "common", dtypes=NUMERIC, aliases=("negative",))
abs = unary("abs", lambda s, x: s.abs(x), "common", dtypes=NUMERIC, aliases=("absolute",))
addcmul = pointwise(
    "addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor  | _ .out",
    lambda s, x, a, b, value: x + value * a * b, follow=("value",), dtypes=NUMERIC)
addcdiv = pointwise(
    "addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor  | _ .out",
    lambda s, x, a, b, value: x + value * a / b, follow=("value",), dtypes=FLOATS,
    refuses=_quotient_of_ints)
lerp = pointwise("""
    lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor  | _ .Tensor_out
    lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y, w: s.where(s.abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w)),
    follow=("weight",), dtypes=FLOATS, refuses=dtypes_differ)


# sign and rounding --------------------------------------------------------------------------------
def _sign(s: Scalars, x: Lane) -> Lane:
    return x if x.dtype.is_bool else s.cast(x > 0, x.dtype) - s.cast(x < 0, x.dtype)


def _rounding(function: Callable[[Scalars, Lane], Lane]) -> Callable[[Scalars, Lane], Lane]:
    """`function` on floats; integers are already round."""
    return lambda s, x: function(s, x) if x.dtype.is_float else x


def _round_decimals(s: Scalars, x: Lane, decimals: int) -> Lane:
    scale = 10.0 ** max(decimals, -decimals)
    return s.round(x / scale) * scale if decimals < 0 else s.round(x * scale) / scale


def _nan_to_num(s: Scalars, x: Lane, nan: float | None, posinf: float | None,
                neginf: float | None) -> Lane:
    if not x.dtype.is_float:
        return x
    largest = (2 - 2.0**-23) * 2.0**127 if x.dtype is float32 else (2 - 2.0**-52) * 2.0**1023
    x = s.where(x == math.inf, largest if posinf is None else posinf, x)
    x = s.where(x == -math.inf, -largest if neginf is None else neginf, x)
    return s.where(s.isnan(x), 0.0 if nan is None else nan, x)


def _nextafter(s: Scalars, x: Lane, y: Lane) -> Lane:
    bits = int32 if x.dtype is float32 else int64
    smallest = s.bitcast(s.const(1, bits), x.dtype)
    away = (y > x) ^ (x < 0)  # from zero: floats order like their bits
    next_ = s.bitcast(s.bitcast(x, bits) + s.where(away, s.const(1, bits), -1), x.dtype)
    next_ = s.where(x == 0, s.copysign(smallest, y), next_)
    return s.where(s.isnan(x) | s.isnan(y), x + y, s.where(x == y, y, next_))


sign = unary("sign", _sign, "common")
sgn = unary("sgn", _sign, "common")
floor = unary("floor", _rounding(lambda s, x: s.floor(x)), "common", dtypes=NUMERIC)
ceil = unary("ceil", _rounding(lambda s, x: s.ceil(x)), "common", dtypes=NUMERIC)
trunc = unary("trunc", _rounding(lambda s, x: s.trunc(x)), "common", dtypes=NUMERIC,
              aliases=("fix",))
round = unary("round", _rounding(lambda s, x: s.round(x)), "common", dtypes=NUMERIC)
round_decimals = pointwise(
    "round.decimals(Tensor self, *, int decimals) -> Tensor  | _ .decimals_out",
    _round_decimals, dtypes=FLOATS)
frac = unary("frac", lambda s, x: x - s.trunc(x), "common", dtypes=FLOATS)
copysign = pointwise("""
    copysign.Tensor(Tensor self, Tensor other) -> Tensor  | _ .out
    copysign.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: s.copysign(x, y), "float")
nextafter = binary("nextafter", _nextafter, dtypes=(float32, float64))
nan_to_num = pointwise(
    "nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor"
    "  | _ .out",
    _nan_to_num, dtypes=(float32, float64, *INTEGRAL))
heaviside = pointwise("heaviside(Tensor self, Tensor values) -> Tensor  | _ .out",
                      lambda s, x, v: s.where(x == 0, v, s.cast(x > 0, x.dtype)),
                      refuses=dtypes_differ)
angle = unary("angle", lambda s, x: s.where(x < 0, math.pi, s.where(s.isnan(x), x, 0.0)),
              twins=".out")


# exponentials, trigonometry, special functions ----------------------------------------------------
def _elementary(name: str) -> Callable[[Scalars, Lane], Lane]:
    def rule(s: Scalars, x: Lane) -> Lane:
        function: Callable[[Lane], Lane] = getattr(s, name)
        return function(x)
    return rule


def _elementary_row(name: str, *aliases: str, **columns: Any) -> None:
    unary(name, _elementary(name), aliases=aliases, **columns)


POSITIVE = (0.0, 16.0)
UNIT = (-1.0, 1.0)
for _name, *_aliases in (
    ("exp",), ("exp2", "special_exp2 | .out"), ("expm1", "special_expm1 | .out"),
    ("sin",), ("cos",), ("tan",), ("atan", "arctan"),
    ("sinh",), ("cosh",), ("tanh",), ("asinh", "arcsinh"),
    ("sigmoid", "special_expit | .out"), ("erf", "special_erf | .out"),
    ("erfc", "special_erfc | .out"), ("lgamma", "special_gammaln | .out"),
    ("digamma", "special_digamma | .out", "special_psi | .out"),
):
    _elementary_row(_name, *_aliases)
for _name, *_aliases in (("sqrt",), ("rsqrt",), ("reciprocal",), ("log",), ("log2",), ("log10",),
                         ("log1p", "special_log1p | .out"), ("acosh", "arccosh")):
    _elementary_row(_name, *_aliases, domain=POSITIVE)
for _name, *_aliases in (("asin", "arcsin"), ("acos", "arccos"), ("atanh", "arctanh"),
                         ("erfinv", "special_erfinv | .out")):
    _elementary_row(_name, *_aliases, domain=UNIT)


def _logit(s: Scalars, x: Lane, eps: float | None) -> Lane:
    if eps is not None:
        x = s.where(x < eps, eps, s.where(x > 1 - eps, 1 - eps, x))
    return s.log(x / (1 - x))


def _logaddexp(s: Scalars, x: Lane, y: Lane, correction: Callable[[Lane], Lane]) -> Lane:
    total = s.maximum(x, y) + correction(-s.abs(x - y))
    return s.where(s.isinf(x) & (x == y), x, total)


def _x_log(s: Scalars, x: Lane, y: Lane, log: Lane) -> Lane:
    """x * log, where zero wins over an infinite logarithm but not over NaN."""
    return s.where(s.isnan(y), y, s.where(x == 0, 0.0, x * log))


def _entropy(s: Scalars, x: Lane) -> Lane:
    outside = s.where(x == 0, s.const(0, x.dtype), -math.inf)
    return s.where(s.isnan(x), x, s.where(x > 0, -x * s.log(x), outside))


def _sinc(s: Scalars, x: Lane) -> Lane:
    return s.where(x == 0, 1.0, s.sin(x * math.pi) / (x * math.pi))


deg2rad = unary("deg2rad", lambda s, x: x * (math.pi / 180))
rad2deg = unary("rad2deg", lambda s, x: x * (180 / math.pi))
sinc = unary("sinc", _sinc, aliases=("special_sinc | .out",))
atan2 = binary("atan2", lambda s, y, x: s.atan2(y, x), "float", aliases=("arctan2",))
hypot = binary("hypot", lambda s, x, y: s.hypot(x, y), dtypes=FLOATS)
logit = pointwise("logit(Tensor self, float? eps=None) -> Tensor  | _ .out", _logit, "float",
                  domain=(0.0, 1.0), aliases=("special_logit | .out",))
logaddexp = binary("logaddexp", lambda s, x, y: _logaddexp(s, x, y, lambda d: s.log1p(s.exp(d))),
                   twins=".out", dtypes=FLOATS)
logaddexp2 = binary(
    "logaddexp2",
    lambda s, x, y: _logaddexp(s, x, y, lambda d: s.log1p(s.exp2(d)) * (1 / math.log(2))),
    twins=".out", dtypes=FLOATS)
xlogy = pointwise("""
    xlogy.Tensor(Tensor self, Tensor other) -> Tensor        | _ .OutTensor
    xlogy.Scalar_Self(Scalar self, Tensor other) -> Tensor   | .OutScalar_Self
    xlogy.Scalar_Other(Tensor self, Scalar other) -> Tensor  | _ .OutScalar_Other
    """, lambda s, x, y: _x_log(s, x, y, s.log(y)), "float", domain=POSITIVE)
special_xlogy = pointwise("""
    special_xlogy(Tensor self, Tensor other) -> Tensor               | .out
    special_xlogy.self_scalar(Scalar self, Tensor other) -> Tensor   | .self_scalar_out
    special_xlogy.other_scalar(Tensor self, Scalar other) -> Tensor  | .other_scalar_out
    """, lambda s, x, y: _x_log(s, x, y, s.log(y)), "float", domain=POSITIVE)
special_xlog1py = pointwise("""
    special_xlog1py(Tensor self, Tensor other) -> Tensor               | .out
    special_xlog1py.self_scalar(Scalar self, Tensor other) -> Tensor   | .self_scalar_out
    special_xlog1py.other_scalar(Tensor self, Scalar other) -> Tensor  | .other_scalar_out
    """, lambda s, x, y: _x_log(s, x, y, s.log1p(y)), "float", domain=POSITIVE)
special_entr = unary("special_entr", _entropy, twins=".out", domain=POSITIVE)
special_round = pointwise("special_round(Tensor self, *, int decimals=0) -> Tensor  | .out",
                          _round_decimals, dtypes=FLOATS)

# by decomposition ---------------------------------------------------------------------------------
def _as_float64(b: Any, x: Any) -> Any:
    return b.to(x, float64) if isinstance(x, Value) and isinstance(x.type, TensorType) else x


ldexp = composite("ldexp.Tensor(Tensor self, Tensor other) -> Tensor  | ldexp_ .out",
                  lambda b, x, y: b.mul(x, b.pow(2.0, y)))
float_power = composite("""
    float_power.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor  | _.Tensor .Tensor_Tensor_out
    float_power.Scalar(Scalar self, Tensor exponent) -> Tensor         | .Scalar_out
    float_power.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor  | _.Scalar .Tensor_Scalar_out
    """, lambda b, x, y: b.pow(_as_float64(b, x), _as_float64(b, y)))
