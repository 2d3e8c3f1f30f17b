"""Rows of Python numbers: arithmetic, comparison, logic, conversion, `math`; torch's overloads.

`python` is the reference, with Python's meaning; the scalar rule says the same on int64, float64
and bool lanes and raises a fault wherever Python would raise or leave those types (division by
zero, a math domain error, an int beyond 64 bits), so that the reference decides.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from ir import bounds
from ir.bounds import Bounds
from ir.dtypes import DType, Kind, bool_, float64, int64
from ir.op import Element, Op, Opaque, Scalar, row
from ir.scalar import Lane, Scalars
from ir.types import BOOL, FLOAT, INT, NUMBER, TensorType, Type

Rule = Callable[..., Lane]
DOMAIN = "a result that Python reports as an error"
OVERFLOW = "an int beyond 64 bits"
ZERO_DIVISION = "division by zero"
_LANES: dict[str, DType] = {"int": int64, "float": float64, "bool": bool_}
_INT_LIMIT = 2.0**63
_SMALLEST = -(1 << 63)
_POWER_LIMIT = 9.2e18  # below 2**63 by more than the error of a float power


BOUNDS: dict[Op, Bounds] = {}
"""What a row's int result is between, given what its operands are between."""


def number(
    schema: str, scalar: Rule, python: Callable[..., Any], between: Bounds | None = None
) -> Op:
    """Declare one row on numbers."""
    op = row(schema, Scalar(scalar), python=python)
    if between is not None:
        BOUNDS[op] = between
    return op


def _cast(dtype: DType, rule: Rule) -> Rule:
    """`rule` on lanes that were converted first."""
    return lambda s, *lanes: rule(s, *(s.cast(x, dtype) for x in lanes))


# binary operators: `name.int`, `.float` and the two mixtures --------------------------------------
_OVERLOADS = {
    "int": ("int", "int"),
    "float": ("float", "float"),
    "int_float": ("int", "float"),
    "float_int": ("float", "int"),
}


def binary(
    name: str,
    python: Callable[..., Any],
    on_ints: Rule,
    on_floats: Rule | None = None,
    *,
    result: str = "",
    of_ints: str = "",
    overloads: str = "int float int_float float_int",
    between: Bounds | None = None,
) -> None:
    """Rows `name.<overload>`; without `result` ints give an int (or `of_ints`), others a float."""
    for overload in overloads.split():
        a, b = _OVERLOADS[overload]
        is_int = overload == "int"
        rule = on_ints if is_int or on_floats is None else on_floats
        returns = result or (of_ints or "int" if is_int else "float")
        number(
            f"{name}.{overload}({a} a, {b} b) -> {returns}",
            _cast(int64 if is_int else float64, rule),
            python,
            between if returns == "int" else None,
        )


def _true_divide(s: Scalars, x: Lane, y: Lane) -> Lane:
    s.fault(y == 0, ZERO_DIVISION)
    return s.cast(x, float64) / s.cast(y, float64)


def _exact(operator: str) -> Rule:
    return lambda s, x, y: s.exact(operator, x, y)


def _negate(s: Scalars, x: Lane) -> Lane:
    return s.exact("-", s.const(0, int64), x)


def _absolute(s: Scalars, x: Lane) -> Lane:
    return s.where(x < 0, _negate(s, x), x)


def _log2(s: Scalars, x: Lane) -> int | None:
    """The exponent of a lane that is a known power of two."""
    known = s.known(x)
    if not isinstance(known, int) or known <= 0 or known & (known - 1):
        return None
    return known.bit_length() - 1


def _floor_divide(s: Scalars, x: Lane, y: Lane) -> Lane:
    exponent = _log2(s, y)
    if exponent is not None:
        return x >> exponent
    s.fault(y == 0, ZERO_DIVISION)
    if s.known(y) in (None, -1):
        s.fault((x == _SMALLEST) & (y == -1), OVERFLOW)
    quotient = x // y
    inexact = quotient * y != x
    return s.where(inexact & ((x < 0) ^ (y < 0)), quotient - 1, quotient)


def _remainder(s: Scalars, x: Lane, y: Lane) -> Lane:
    exponent = _log2(s, y)
    if exponent is not None:
        return x & ((1 << exponent) - 1)
    s.fault(y == 0, ZERO_DIVISION)
    rest = x % y
    return s.where((rest != 0) & ((rest < 0) ^ (y < 0)), rest + y, rest)


def _float_remainder(s: Scalars, x: Lane, y: Lane) -> Lane:
    s.fault(y == 0, ZERO_DIVISION)
    rest = s.fmod(x, y)
    signed = s.where((rest < 0) ^ (y < 0), rest + y, rest)
    return s.where(rest == 0, s.copysign(s.const(0.0, float64), y), signed)


def _float_floor_divide(s: Scalars, x: Lane, y: Lane) -> Lane:
    """The floor of the exact quotient, as CPython rounds it."""
    s.fault(y == 0, ZERO_DIVISION)
    rest = s.fmod(x, y)
    quotient = (x - rest) / y
    quotient = s.where((rest != 0) & ((rest < 0) ^ (y < 0)), quotient - 1, quotient)
    floor = s.floor(quotient)
    floor = s.where(quotient - floor > 0.5, floor + 1, floor)
    return s.where(quotient == 0, s.copysign(s.const(0.0, float64), x / y), floor)


def _int_power(s: Scalars, x: Lane, y: Lane) -> Lane:
    known = s.known(y)
    if isinstance(known, int) and 0 <= known < 8:
        power = s.const(1, int64)
        for _ in range(known):
            power = s.exact("*", power, x)
        return power
    s.fault(y < 0, DOMAIN)
    size = s.pow(s.abs(s.cast(x, float64)), s.cast(y, float64))
    s.fault(~(size < _POWER_LIMIT), OVERFLOW)
    return s.pow(x, y)


def _float_power(s: Scalars, x: Lane, y: Lane) -> Lane:
    s.fault(((x == 0) & (y < 0)) | ((x < 0) & (s.floor(y) != y)), DOMAIN)
    return _checked(s, s.libm("pow", x, y), x, y)


def _checked(s: Scalars, result: Lane, *operands: Lane) -> Lane:
    """A result that is NaN or infinite where no operand is: Python's math raises there."""
    is_nan, is_infinite = s.isnan(operands[0]), s.isinf(operands[0])
    for x in operands[1:]:
        is_nan, is_infinite = is_nan | s.isnan(x), is_infinite | s.isinf(x)
    s.fault(s.isnan(result) & ~is_nan, DOMAIN)
    s.fault(s.isinf(result) & ~(is_nan | is_infinite), DOMAIN)
    return result


def _shift_left(s: Scalars, x: Lane, y: Lane) -> Lane:
    s.fault((y < 0) | (y > 62), DOMAIN)
    shifted = x << (y & 63)
    s.fault(shifted >> (y & 63) != x, OVERFLOW)
    return shifted


def _shift_right(s: Scalars, x: Lane, y: Lane) -> Lane:
    s.fault(y < 0, DOMAIN)
    return x >> s.where(y > 63, 63, y & 63)


binary("aten::add", operator.add, _exact("+"), lambda s, x, y: x + y, between=bounds.add)
binary("aten::sub", operator.sub, _exact("-"), lambda s, x, y: x - y, between=bounds.subtract)
binary("aten::mul", operator.mul, _exact("*"), lambda s, x, y: x * y, between=bounds.multiply)
binary("aten::div", operator.truediv, _true_divide, of_ints="float", overloads="int float")
binary(
    "aten::floordiv",
    operator.floordiv,
    _floor_divide,
    _float_floor_divide,
    between=bounds.floor_divide,
)
binary(
    "aten::remainder", operator.mod, _remainder, _float_remainder, between=bounds.remainder
)
binary("aten::pow", operator.pow, _float_power, overloads="float int_float float_int")
number(
    "aten::pow.int(int a, int b) -> float", _cast(float64, _float_power), lambda a, b: float(a) ** b
)
number("aten::pow.int_to_int(int a, int b) -> int", _int_power, operator.pow)

for _name, _python, _compare in (
    ("lt", operator.lt, lambda s, x, y: x < y),
    ("le", operator.le, lambda s, x, y: x <= y),
    ("gt", operator.gt, lambda s, x, y: x > y),
    ("ge", operator.ge, lambda s, x, y: x >= y),
    ("eq", operator.eq, lambda s, x, y: x == y),
    ("ne", operator.ne, lambda s, x, y: x != y),
):
    binary(f"aten::{_name}", _python, _compare, result="bool")

for _name, _python, _bits in (
    ("and", operator.and_, lambda s, x, y: x & y),
    ("or", operator.or_, lambda s, x, y: x | y),
    ("xor", operator.xor, lambda s, x, y: x ^ y),
):
    number(f"aten::__{_name}__.bool(bool a, bool b) -> bool", _bits, _python)
    number(f"aten::__{_name}__.int(int a, int b) -> int", _bits, _python)
number("aten::eq.bool(bool a, bool b) -> bool", lambda s, x, y: ~(x ^ y), operator.eq)
number("aten::ne.bool(bool a, bool b) -> bool", lambda s, x, y: x ^ y, operator.ne)
number("aten::__lshift__.int(int a, int b) -> int", _shift_left, operator.lshift)
number("aten::__rshift__.int(int a, int b) -> int", _shift_right, operator.rshift)
number("aten::__not__(bool self) -> bool", lambda s, x: ~x, operator.not_)
number("aten::neg.int(int a) -> int", _negate, operator.neg, bounds.negate)
number("aten::neg.float(float a) -> float", lambda s, x: -x, operator.neg)


def _smaller(s: Scalars, x: Lane, y: Lane) -> Lane:
    return s.where(y < x, y, x)


def _larger(s: Scalars, x: Lane, y: Lane) -> Lane:
    return s.where(y > x, y, x)


for _name, _pick, _choose, _between in (
    ("min", min, _smaller, bounds.smaller),
    ("max", max, _larger, bounds.larger),
):
    binary(f"prim::{_name}", _pick, _choose, overloads="int float", between=_between)
    binary(
        f"prim::{_name}",
        lambda a, b, pick=_pick: float(pick(a, b)),
        _choose,
        overloads="int_float float_int",
    )


# conversions --------------------------------------------------------------------------------------
def _to_int(s: Scalars, x: Lane) -> Lane:
    fits = s.abs(x) < _INT_LIMIT
    s.fault(~fits, DOMAIN)
    return s.cast(s.where(fits, x, 0.0), int64)


def _round(s: Scalars, x: Lane) -> Lane:
    s.fault(s.isnan(x) | s.isinf(x), DOMAIN)
    return s.round(x) + 0.0  # Python's integer zero has no sign


def _rounded(function: str) -> Rule:
    return lambda s, x: _to_int(s, getattr(s, function)(x))


def conversion(schema: str, python: Callable[..., Any], rule: Rule) -> None:
    """A row between two types of numbers."""
    number(schema, rule, python)


conversion("aten::Int.float(float a) -> int", int, _to_int)
conversion("aten::Int.bool(bool a) -> int", int, lambda s, x: s.cast(x, int64))
conversion("aten::Float.int(int a) -> float", float, lambda s, x: s.cast(x, float64))
conversion("aten::Float.bool(bool a) -> float", float, lambda s, x: s.cast(x, float64))
conversion("aten::Bool.int(int a) -> bool", bool, lambda s, x: x != 0)
conversion("aten::Bool.float(float a) -> bool", bool, lambda s, x: x != 0)
conversion("aten::floor.int(int a) -> int", math.floor, lambda s, x: x)
conversion("aten::floor.float(float a) -> int", math.floor, _rounded("floor"))
conversion("aten::ceil.int(int a) -> int", math.ceil, lambda s, x: x)
conversion("aten::ceil.float(float a) -> int", math.ceil, _rounded("ceil"))
conversion("aten::round.int(int a) -> float", float, lambda s, x: s.cast(x, float64))
conversion(
    "aten::round.float(float a) -> float", lambda a: float(round(a)), _round
)

# From a tensor of one element.
def _element_type(self: TensorType) -> Type:
    kinds = {Kind.BOOL: BOOL, Kind.INT: INT, Kind.FLOAT: FLOAT}
    return NUMBER if self.dtype is None else kinds.get(self.dtype.kind, NUMBER)


row("aten::Int.Tensor(Tensor a) -> int",
    Element(lambda s, x: _to_int(s, x) if x.dtype.is_float else s.cast(x, int64)), python=int)
row("aten::Float.Tensor(Tensor a) -> float", Element(lambda s, x: s.cast(x, float64)), python=float)
row("aten::Bool.Tensor(Tensor a) -> bool", Element(lambda s, x: x != 0), python=bool)
row("aten::item(Tensor self) -> Scalar",
    Element(lambda s, x: x), infer=_element_type, python=lambda self: self.item())

# The same where a number is expected: eager refuses tensors of another kind.
for _schema, _read in (
    ("aten::IntImplicit(Tensor a) -> int", int),
    ("aten::FloatImplicit(Tensor a) -> float", float),
    ("aten::ScalarImplicit(Tensor a) -> Scalar", lambda a: a.item()),
):
    row(_schema, Opaque(), python=_read)


# math ---------------------------------------------------------------------------------------------
def _square_root(s: Scalars, x: Lane) -> Lane:
    """Correctly rounded everywhere, and finite where its operand is."""
    x = s.cast(x, float64)
    s.fault(x < 0.0, DOMAIN)
    return s.sqrt(x)


def _function(name: str) -> Rule:
    if name == "sqrt":
        return _square_root
    return lambda s, x: _checked(s, s.libm(name, s.cast(x, float64)), s.cast(x, float64))


for _name in [
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
]:
    for _type in ("int", "float"):
        number(f"aten::{_name}.{_type}({_type} a) -> float", _function(_name), getattr(math, _name))
for _type in ("int", "float"):  # Python's own, of no library
    row(f"aten::lgamma.{_type}({_type} a) -> float", Opaque(), python=math.lgamma)


def _angle(scale: float) -> Rule:
    return lambda s, x: s.cast(x, float64) * scale


for _type in ("int", "float"):
    number(
        f"aten::fabs.{_type}({_type} a) -> float", lambda s, x: s.abs(s.cast(x, float64)), math.fabs
    )
    number(f"aten::degrees.{_type}({_type} a) -> float", _angle(180 / math.pi), math.degrees)
    number(f"aten::radians.{_type}({_type} a) -> float", _angle(math.pi / 180), math.radians)
number("prim::abs.int(int a) -> int", _absolute, abs, bounds.absolute)
number("prim::abs.float(float a) -> float", lambda s, x: s.abs(x), abs)

for _name, _float_rule in (
    ("atan2", lambda s, y, x: s.libm("atan2", y, x)),
    ("copysign", lambda s, x, y: s.copysign(x, y)),
    ("fmod", lambda s, x, y: _checked(s, s.fmod(x, y), x, y)),
):
    for _overload, (_a, _b) in _OVERLOADS.items():
        number(
            f"aten::{_name}.{_overload}({_a} a, {_b} b) -> float",
            _cast(float64, _float_rule),
            getattr(math, _name),
        )

number("aten::isnan.float(float a) -> bool", lambda s, x: s.isnan(x), math.isnan)
number("aten::isinf.float(float a) -> bool", lambda s, x: s.isinf(x), math.isinf)
number(
    "aten::isfinite.float(float a) -> bool", lambda s, x: ~(s.isnan(x) | s.isinf(x)), math.isfinite
)


# indices -----------------------------------------------------------------------------------------
def _position(index: int, size: int) -> int:
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension with size {size}")
    return index % size


def _position_lanes(s: Scalars, index: Lane, size: Lane) -> Lane:
    position = s.where(index < 0, index + size, index)
    s.fault((position < 0) | (position >= size), "an index out of range")
    return position


POSITION = number(
    "prim::position(int index, int size) -> int", _position_lanes, _position, bounds.position
)
"""An index that may count from the end, as one that counts from the start."""


# ranges -------------------------------------------------------------------------------------------
def _range_length(lo: Any, hi: Any, step: Any) -> Any:
    if step == 0:
        raise ValueError("range() arg 3 must not be zero")
    length = (hi - lo + step - 1) // step if step > 0 else (lo - hi - step - 1) // -step
    return length if length > 0 else 0


def _range_length_lanes(s: Scalars, lo: Lane, hi: Lane, step: Lane) -> Lane:
    if s.known(step) == 1:
        return s.where(lo < hi, s.exact("-", hi, s.where(lo < hi, lo, hi)), 0)
    s.fault(step == 0, DOMAIN)
    is_some = ((step > 0) & (lo < hi)) | ((step < 0) & (hi < lo))
    first = s.where(step > 0, lo, hi)
    last = s.where(step > 0, hi, lo)
    distance = s.exact("-", s.where(is_some, last, first), first)
    size = _absolute(s, step)
    return s.where(is_some, (distance - 1) // size + 1, 0)


number(
    "aten::__range_length(int lo, int hi, int step) -> int",
    _range_length_lanes,
    _range_length,
    bounds.range_length,
)
number(
    "aten::__derive_index(int index, int start, int step) -> int",
    lambda s, i, start, step: start + i * step,
    lambda index, start, step: start + index * step,
    bounds.range_element,
)
