"""The scalar protocol on Python numbers: one lane at a time, slow and obvious.

Tests run every row's rule with it against torch, without generating code. A float32 lane computes
in float64 and is rounded after each step; integers wrap around at their width.
"""

from __future__ import annotations

import builtins
import ctypes
import math
import operator
import struct
from collections.abc import Callable
from fractions import Fraction
from statistics import NormalDist
from typing import Any

from ir.dtypes import DType, bool_, float32, float64, int32, int64
from ir.scalar import Number

_EXACT = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_FORMATS = {float32: "f", float64: "d", int32: "i", int64: "q"}


def rounded(value: Number, dtype: DType) -> Number:
    """A Python number as an element of `dtype`; integers wrap around."""
    if dtype.is_bool:
        return bool(value)
    if dtype.is_float:
        return float(ctypes.c_float(value).value) if dtype is float32 else float(value)
    wrapped = int(value) & ((1 << dtype.bits) - 1)
    is_negative = dtype.is_signed and wrapped >> (dtype.bits - 1)
    return wrapped - (1 << dtype.bits) if is_negative else wrapped


class PyLane:
    """One number of a known dtype; `is_constant` when the builder made it from one."""

    __slots__ = ("dtype", "is_constant", "value")

    def __init__(self, value: Number, dtype: DType, is_constant: bool = False) -> None:
        self.value = rounded(value, dtype)
        self.dtype = dtype
        self.is_constant = is_constant

    def __repr__(self) -> str:
        return f"{self.dtype}({self.value})"

    def _with(self, other: PyLane | Number) -> Any:
        """The value of the other operand, which has the same dtype or takes it."""
        if isinstance(other, PyLane):
            if other.dtype is not self.dtype:
                raise TypeError(f"lanes of {self.dtype} and {other.dtype} do not mix")
            return other.value
        return rounded(other, self.dtype)

    def _make(self, value: Number) -> PyLane:
        return PyLane(value, self.dtype)

    def __add__(self, other: Any) -> PyLane:
        return self._make(self.value + self._with(other))

    def __sub__(self, other: Any) -> PyLane:
        return self._make(self.value - self._with(other))

    def __rsub__(self, other: Any) -> PyLane:
        return self._make(self._with(other) - self.value)

    def __mul__(self, other: Any) -> PyLane:
        return self._make(self.value * self._with(other))

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> PyLane:
        return self._make(_divide(float(self.value), float(self._with(other))))

    def __rtruediv__(self, other: Any) -> PyLane:
        return self._make(_divide(float(self._with(other)), float(self.value)))

    def __floordiv__(self, other: Any) -> PyLane:
        return self._make(_truncated(int(self.value), int(self._with(other)))[0])

    def __mod__(self, other: Any) -> PyLane:
        return self._make(_truncated(int(self.value), int(self._with(other)))[1])

    def __neg__(self) -> PyLane:
        return self._make(-self.value)

    def __and__(self, other: Any) -> PyLane:
        return self._make(self.value & self._with(other))

    def __or__(self, other: Any) -> PyLane:
        return self._make(self.value | self._with(other))

    def __xor__(self, other: Any) -> PyLane:
        return self._make(self.value ^ self._with(other))

    def __invert__(self) -> PyLane:
        return self._make(not self.value if self.dtype.is_bool else ~int(self.value))

    def __lshift__(self, other: Any) -> PyLane:
        count = self._with(other)
        return self._make(int(self.value) << count if 0 <= count < self.dtype.bits else 0)

    def __rshift__(self, other: Any) -> PyLane:
        count = self._with(other)
        inside = 0 <= count < self.dtype.bits
        return self._make(int(self.value) >> (count if inside else self.dtype.bits))

    def __lt__(self, other: Any) -> PyLane:
        return PyLane(self.value < self._with(other), bool_)

    def __le__(self, other: Any) -> PyLane:
        return PyLane(self.value <= self._with(other), bool_)

    def __gt__(self, other: Any) -> PyLane:
        return PyLane(self.value > self._with(other), bool_)

    def __ge__(self, other: Any) -> PyLane:
        return PyLane(self.value >= self._with(other), bool_)

    def __eq__(self, other: Any) -> PyLane:  # type: ignore[override]
        return PyLane(self.value == self._with(other), bool_)

    def __ne__(self, other: Any) -> PyLane:  # type: ignore[override]
        return PyLane(self.value != self._with(other), bool_)

    __hash__ = None  # type: ignore[assignment]


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _truncated(a: int, b: int) -> tuple[int, int]:
    """C's quotient and remainder; a zero divisor counts as one."""
    b = b or 1
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient, a - quotient * b


def _total(function: Callable[..., float], poles: Callable[..., float]) -> Callable[..., PyLane]:
    """A method from a function of floats; where Python's raises, `poles` has the value."""

    def method(self: PyScalars, x: PyLane, *others: PyLane | Number) -> PyLane:
        values = [float(x.value), *(float(x._with(y)) for y in others)]
        try:
            value = function(*values)
        except (ValueError, OverflowError):
            value = poles(*values)
        return PyLane(value, x.dtype)

    return method


def _log_pole(x: float) -> float:
    return -math.inf if x == 0 else math.nan


def _exact(function: Callable[[float], float]) -> Callable[..., PyLane]:
    """A method that keeps the sign of zero, NaN and infinities."""

    def rule(x: float) -> float:
        return math.copysign(function(x), x) if math.isfinite(x) else x

    return _total(rule, lambda x: x)


def _digamma(x: float) -> float:
    """Reflection, recurrence up to 10, then the asymptotic series."""
    if x == 0:
        return math.copysign(math.inf, -x)
    if math.isinf(x) or (x < 0 and x == math.floor(x)):
        return x if x > 0 else math.nan
    if x < 0:
        return _digamma(1 - x) - math.pi / math.tan(math.pi * x)
    total = 0.0
    while x < 10:
        total -= 1 / x
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240))))
    return total + math.log(x) - 0.5 / x - series


def _erfinv(x: float) -> float:
    if abs(x) >= 1 or math.isnan(x):
        return math.copysign(math.inf, x) if abs(x) == 1 else math.nan
    y = NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2)
    for _ in range(2):  # Newton, for the digits that the sum x + 1 loses
        y -= (math.erf(y) - x) / (2 / math.sqrt(math.pi) * math.exp(-y * y))
    return y


def _pow(x: float, y: float) -> float:
    if x == 0 and y < 0:
        return math.copysign(math.inf, x) if y % 2 == 1 else math.inf
    if x < 0 and math.isfinite(x) and math.isfinite(y) and y != math.floor(y):
        return math.nan
    return float(x**y)


def _pow_pole(x: float, y: float) -> float:
    is_odd = y == math.floor(y) and y % 2 == 1
    return -math.inf if x < 0 and is_odd else math.inf


def _int_pow(x: int, y: int, dtype: DType) -> int:
    if y < 0:
        return 0 if x not in (1, -1) else int(x ** (-y % 2 or 2))
    return builtins.pow(x, y, 1 << dtype.bits)


def _fma(x: float, y: float, z: float) -> float:
    if not (math.isfinite(x) and math.isfinite(y)) or not math.isfinite(z) or x * y == 0:
        return x * y + z if math.isfinite(x * y) or not math.isfinite(x + y) else z
    total = Fraction(x) * Fraction(y) + Fraction(z)
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def _nan(*_: float) -> float:
    return math.nan


def _inf(*_: float) -> float:
    return math.inf


class PyScalars:
    """Builder of `PyLane`s; the reasons of faults are collected in `faults`."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def const(self, value: Number, dtype: DType) -> PyLane:
        return PyLane(value, dtype, is_constant=True)

    def known(self, x: PyLane) -> Number | None:
        return x.value if x.is_constant else None

    def cast(self, x: PyLane, dtype: DType) -> PyLane:
        return PyLane(x.value, dtype)

    def bitcast(self, x: PyLane, dtype: DType) -> PyLane:
        bits = struct.pack(_FORMATS[x.dtype], x.value)
        return PyLane(struct.unpack(_FORMATS[dtype], bits)[0], dtype)

    def where(self, c: PyLane, a: PyLane | Number, b: PyLane | Number) -> PyLane:
        dtype = next(v.dtype for v in (a, b) if isinstance(v, PyLane))
        chosen = a if c.value else b
        return chosen if isinstance(chosen, PyLane) else PyLane(chosen, dtype)

    def exact(self, op: str, x: PyLane, y: PyLane | Number) -> PyLane:
        other = y.value if isinstance(y, PyLane) else y
        result = int(_EXACT[op](x.value, other))
        self.fault(PyLane(not -(1 << 63) <= result < 1 << 63, bool_), "an int beyond 64 bits")
        return PyLane(result, int64)

    def fault(self, condition: PyLane, reason: str) -> None:
        if condition.value:
            self.faults.append(reason)

    def abs(self, x: PyLane) -> PyLane:
        return PyLane(abs(x.value), x.dtype)

    def signbit(self, x: PyLane) -> PyLane:
        return PyLane(math.copysign(1.0, x.value) < 0, bool_)

    def isnan(self, x: PyLane) -> PyLane:
        return x != x

    def isinf(self, x: PyLane) -> PyLane:
        return PyLane(math.isinf(x.value), bool_)

    def minimum(self, x: PyLane, y: PyLane | Number) -> PyLane:
        other = x._with(y)
        return x if x.value != x.value or x.value <= other else PyLane(other, x.dtype)

    def maximum(self, x: PyLane, y: PyLane | Number) -> PyLane:
        other = x._with(y)
        return x if x.value != x.value or x.value >= other else PyLane(other, x.dtype)

    def fmin(self, x: PyLane, y: PyLane | Number) -> PyLane:
        other = x._with(y)
        return x if other != other or x.value <= other else PyLane(other, x.dtype)

    def fmax(self, x: PyLane, y: PyLane | Number) -> PyLane:
        other = x._with(y)
        return x if other != other or x.value >= other else PyLane(other, x.dtype)

    def fma(self, x: PyLane, y: PyLane | Number, z: PyLane | Number) -> PyLane:
        return PyLane(_fma(x.value, x._with(y), x._with(z)), x.dtype)

    def libm(self, name: str, *operands: PyLane) -> PyLane:
        made: PyLane = getattr(self, name)(*operands)
        return made

    def rsqrt(self, x: PyLane) -> PyLane:
        return 1 / self.sqrt(x)

    def reciprocal(self, x: PyLane) -> PyLane:
        return 1 / x

    def sigmoid(self, x: PyLane) -> PyLane:
        return 1 / (1 + self.exp(-x))

    floor = _exact(math.floor)
    ceil = _exact(math.ceil)
    trunc = _exact(math.trunc)
    round = _exact(round)
    copysign = _total(math.copysign, _nan)
    fmod = _total(math.fmod, _nan)
    sqrt = _total(math.sqrt, _nan)
    exp = _total(math.exp, _inf)
    exp2 = _total(lambda x: 2.0**x, _inf)
    expm1 = _total(math.expm1, _inf)
    log = _total(math.log, _log_pole)
    log2 = _total(math.log2, _log_pole)
    log10 = _total(math.log10, _log_pole)
    log1p = _total(math.log1p, lambda x: _log_pole(x + 1))
    tanh = _total(math.tanh, _nan)
    sin = _total(math.sin, _nan)
    cos = _total(math.cos, _nan)
    tan = _total(math.tan, _nan)
    asin = _total(math.asin, _nan)
    acos = _total(math.acos, _nan)
    atan = _total(math.atan, _nan)
    atan2 = _total(math.atan2, _nan)
    sinh = _total(math.sinh, lambda x: math.copysign(math.inf, x))
    cosh = _total(math.cosh, _inf)
    asinh = _total(math.asinh, _nan)
    acosh = _total(math.acosh, _nan)
    atanh = _total(math.atanh, lambda x: math.copysign(math.inf, x) if abs(x) == 1 else math.nan)
    erf = _total(math.erf, _nan)
    erfc = _total(math.erfc, _nan)
    erfinv = _total(_erfinv, _nan)
    lgamma = _total(math.lgamma, _inf)
    digamma = _total(_digamma, _nan)
    hypot = _total(math.hypot, _nan)

    def pow(self, x: PyLane, y: PyLane | Number) -> PyLane:
        if not x.dtype.is_float:
            return PyLane(_int_pow(int(x.value), int(x._with(y)), x.dtype), x.dtype)
        if not isinstance(y, PyLane) and y == 0.5:
            return self.sqrt(x)
        return self._float_pow(x, y)

    _float_pow = _total(_pow, _pow_pole)
