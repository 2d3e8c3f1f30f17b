"""Rows of comparison, logic, bits, selection, clamping and extrema of two tensors."""

from __future__ import annotations

import math

from ir.dtypes import bool_
from ir.ops.factory import INTEGRAL, INTS, NUMERIC, binary, pointwise, unary
from ir.scalar import Lane, Scalars

# comparison ---------------------------------------------------------------------------------------
eq = pointwise("""
    eq.Tensor(Tensor self, Tensor other) -> Tensor  | _ .Tensor_out
    eq.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: x == y, "bool")
ne = pointwise("""
    ne.Tensor(Tensor self, Tensor other) -> Tensor  | _ .Tensor_out
    ne.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: x != y, "bool", aliases=("not_equal",))
lt = pointwise("""
    lt.Tensor(Tensor self, Tensor other) -> Tensor  | _ .Tensor_out
    lt.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: x < y, "bool", aliases=("less",))
le = pointwise("""
    le.Tensor(Tensor self, Tensor other) -> Tensor  | _ .Tensor_out
    le.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: x <= y, "bool", aliases=("less_equal",))
gt = pointwise("""
    gt.Tensor(Tensor self, Tensor other) -> Tensor  | _ .Tensor_out
    gt.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: x > y, "bool", aliases=("greater",))
ge = pointwise("""
    ge.Tensor(Tensor self, Tensor other) -> Tensor  | _ .Tensor_out
    ge.Scalar(Tensor self, Scalar other) -> Tensor  | _ .Scalar_out
    """, lambda s, x, y: x >= y, "bool", aliases=("greater_equal",))
isnan = unary("isnan", lambda s, x: x != x, "bool", twins=".out")
isinf = unary("isinf", lambda s, x: s.isinf(x) if x.dtype.is_float else x != x, "bool",
              twins=".out")
isfinite = unary("isfinite", lambda s, x: s.abs(x) < math.inf if x.dtype.is_float else x == x,
                 "bool", twins="")
isposinf = unary("isposinf", lambda s, x: x == math.inf if x.dtype.is_float else x != x, "bool",
                 twins=".out")
isneginf = unary("isneginf", lambda s, x: x == -math.inf if x.dtype.is_float else x != x, "bool",
                 twins=".out")
signbit = unary("signbit", lambda s, x: s.signbit(x) if x.dtype.is_float else x < 0, "bool",
                twins=".out")


# logic and bits -----------------------------------------------------------------------------------
def _truth(s: Scalars, x: Lane) -> Lane:
    return s.cast(x, bool_)


def _shift_right(s: Scalars, x: Lane, y: Lane) -> Lane:
    """A count outside [0, bits) gives what shifting out every bit gives: 0, or -1 of a negative."""
    last = s.const(x.dtype.bits - 1, x.dtype)
    return x >> s.where((y < 0) | (y > last), last, y) if x.dtype.is_signed else x >> y


logical_and = binary("logical_and", lambda s, x, y: _truth(s, x) & _truth(s, y), "bool")
logical_or = binary("logical_or", lambda s, x, y: _truth(s, x) | _truth(s, y), "bool")
logical_xor = binary("logical_xor", lambda s, x, y: _truth(s, x) ^ _truth(s, y), "bool")
logical_not = unary("logical_not", lambda s, x: ~_truth(s, x), "bool")
bitwise_not = unary("bitwise_not", lambda s, x: ~x, "common", dtypes=INTEGRAL)

bitwise_and = pointwise("""
    bitwise_and.Tensor(Tensor self, Tensor other) -> Tensor         | _ .Tensor_out
    bitwise_and.Scalar(Tensor self, Scalar other) -> Tensor         | _ .Scalar_out
    bitwise_and.Scalar_Tensor(Scalar self, Tensor other) -> Tensor  | .Scalar_Tensor_out
    """, lambda s, x, y: x & y, dtypes=INTEGRAL)
bitwise_or = pointwise("""
    bitwise_or.Tensor(Tensor self, Tensor other) -> Tensor         | _ .Tensor_out
    bitwise_or.Scalar(Tensor self, Scalar other) -> Tensor         | _ .Scalar_out
    bitwise_or.Scalar_Tensor(Scalar self, Tensor other) -> Tensor  | .Scalar_Tensor_out
    """, lambda s, x, y: x | y, dtypes=INTEGRAL)
bitwise_xor = pointwise("""
    bitwise_xor.Tensor(Tensor self, Tensor other) -> Tensor         | _ .Tensor_out
    bitwise_xor.Scalar(Tensor self, Scalar other) -> Tensor         | _ .Scalar_out
    bitwise_xor.Scalar_Tensor(Scalar self, Tensor other) -> Tensor  | .Scalar_Tensor_out
    """, lambda s, x, y: x ^ y, dtypes=INTEGRAL)
bitwise_left_shift = pointwise("""
    bitwise_left_shift.Tensor(Tensor self, Tensor other) -> Tensor         | _ .Tensor_out
    bitwise_left_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor  | _ .Tensor_Scalar_out
    bitwise_left_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor  | .Scalar_Tensor_out
    """, lambda s, x, y: x << y, dtypes=INTS)
bitwise_right_shift = pointwise("""
    bitwise_right_shift.Tensor(Tensor self, Tensor other) -> Tensor         | _ .Tensor_out
    bitwise_right_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor  | _ .Tensor_Scalar_out
    bitwise_right_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor  | .Scalar_Tensor_out
    """, _shift_right, dtypes=INTS)
and_ = pointwise("""
    __and__.Tensor(Tensor self, Tensor other) -> Tensor  | __iand__.Tensor
    __and__.Scalar(Tensor self, Scalar other) -> Tensor  | __iand__.Scalar
    """, lambda s, x, y: x & y, dtypes=INTEGRAL)
or_ = pointwise("""
    __or__.Tensor(Tensor self, Tensor other) -> Tensor  | __ior__.Tensor
    __or__.Scalar(Tensor self, Scalar other) -> Tensor  | __ior__.Scalar
    """, lambda s, x, y: x | y, dtypes=INTEGRAL)
xor = pointwise("""
    __xor__.Tensor(Tensor self, Tensor other) -> Tensor  | __ixor__.Tensor
    __xor__.Scalar(Tensor self, Scalar other) -> Tensor  | __ixor__.Scalar
    """, lambda s, x, y: x ^ y, dtypes=INTEGRAL)
lshift = pointwise("""
    __lshift__.Tensor(Tensor self, Tensor other) -> Tensor  | __ilshift__.Tensor .Tensor_out
    __lshift__.Scalar(Tensor self, Scalar other) -> Tensor  | __ilshift__.Scalar .Scalar_out
    """, lambda s, x, y: x << y, dtypes=INTS)
rshift = pointwise("""
    __rshift__.Tensor(Tensor self, Tensor other) -> Tensor  | __irshift__.Tensor .Tensor_out
    __rshift__.Scalar(Tensor self, Scalar other) -> Tensor  | __irshift__.Scalar .Scalar_out
    """, _shift_right, dtypes=INTS)

# selection ----------------------------------------------------------------------------------------
where = pointwise("""
    where.self(Tensor condition, Tensor self, Tensor other) -> Tensor         | .self_out
    where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor
    where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor
    where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor
    """, lambda s, c, x, y: s.where(_truth(s, c), x, y), own=("condition",))
masked_fill = pointwise("""
    masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor  | _ .Scalar_out
    masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor  | _ .Tensor_out
    """, lambda s, x, mask, value: s.where(mask, value, x), "self", own=("mask",),
    follow=("value",), scalars=("value",), layout=())


# extrema ------------------------------------------------------------------------------------------
def _maximum(s: Scalars, x: Lane, y: Lane) -> Lane:
    return x | y if x.dtype.is_bool else s.maximum(x, y)


def _minimum(s: Scalars, x: Lane, y: Lane) -> Lane:
    return x & y if x.dtype.is_bool else s.minimum(x, y)


def _clamp(s: Scalars, x: Lane, low: Lane | None, high: Lane | None) -> Lane:
    """NaN in any operand wins; when the bounds cross, the upper one does."""
    if low is not None:
        x = _maximum(s, x, low)
    return x if high is None else _minimum(s, x, high)


maximum = binary("maximum", _maximum, twins=".out")
minimum = binary("minimum", _minimum, twins=".out")
max_other = pointwise("max.other(Tensor self, Tensor other) -> Tensor  | .out", _maximum)
min_other = pointwise("min.other(Tensor self, Tensor other) -> Tensor  | .out", _minimum)
fmax = binary("fmax", lambda s, x, y: x | y if x.dtype.is_bool else s.fmax(x, y), twins=".out")
fmin = binary("fmin", lambda s, x, y: x & y if x.dtype.is_bool else s.fmin(x, y), twins=".out")
clamp = pointwise("""
    clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor         | _ .out
    clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor  | _ .Tensor_out
    """, _clamp, dtypes=NUMERIC, refuses=lambda params: params["min"] is params["max"] is None,
    aliases=("clip",))
clamp_min = pointwise("""
    clamp_min(Tensor self, Scalar min) -> Tensor         | _ .out
    clamp_min.Tensor(Tensor self, Tensor min) -> Tensor  | _ .Tensor_out
    """, _maximum, dtypes=NUMERIC)
clamp_max = pointwise("""
    clamp_max(Tensor self, Scalar max) -> Tensor         | _ .out
    clamp_max.Tensor(Tensor self, Tensor max) -> Tensor  | _ .Tensor_out
    """, _minimum, dtypes=NUMERIC)
