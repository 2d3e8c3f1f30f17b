"""Hyperbolic functions and their inverses.

Measured errors in ulp (float32 / float64):
    tanh 1.9 / 1.8, sinh 1.6 / 1.6, cosh 1.3 / 1.3,
    1 + tanh 2.6 above 2**-23, 6 below,
    asinh 0.6 / 1.6, acosh 0.6 / 2.2, atanh 0.6 / 1.9
"""

from __future__ import annotations

from typing import Any

from codegen.lanes.lane import Lane, LaneBuilder
from codegen.lanes.mathlib.exp_log import EXP, EXPM1, exp_reduced, log1p, split_exponent
from codegen.lanes.mathlib.floats import (
    LN2,
    LOG2E,
    SINGLE,
    Format,
    format_of,
    in_double,
    polynomial,
)
from ir import dtypes

# (sinh(x) / x - 1) / x**2 in x**2, on |x| <= 1
_SINH = {
    dtypes.float32: (0.166666672, 0.00833331048, 0.000198428956, 2.78221319e-06),
    dtypes.float64: (
        0.16666666666666669,
        0.008333333333332912,
        0.00019841269841593408,
        2.7557319106760446e-06,
        2.50521309973974e-08,
        1.6056659341325963e-10,
        7.776592468266602e-13,
    ),
}

# (e**2r - 1 - 2r) / 2r**2 and e**2r on |r| <= ln2/4
_EXPM1_TWICE = {d: [c * 2.0 ** (k + 1) for k, c in enumerate(cs)] for d, cs in EXPM1.items()}
_EXP_TWICE = {d: [c * 2.0**k for k, c in enumerate(cs)] for d, cs in EXP.items()}


class Tanh(Lane):
    """tanh(u). Adding 1 gives 1 / (1/2 + e**-2u / 2): half the work, and nothing cancels."""

    __slots__ = ("argument",)

    def __init__(self, value: Lane, argument: Lane) -> None:
        super().__init__(value.s, value.value, value.dtype)
        self.argument = argument

    def __add__(self, other: Any) -> Lane:
        is_one = self.s.known(other) == 1 if isinstance(other, Lane) else other == 1
        return _one_plus_tanh(self.s, self.argument) if is_one else super().__add__(other)

    __radd__ = __add__


def tanh(s: LaneBuilder, x: Lane) -> Lane:
    """(1 - y) / (1 + y) with y = e**-2|x| = 2**n (1 + 2 q); each sum is rounded only once."""
    f = format_of(x)
    a = s.minimum(s.abs(x), 9.1 if f is SINGLE else 20.0)
    power, r = _half_exponent(s, a, f, f.bias)
    q = s.fma(r * r, polynomial(s, r, _EXPM1_TWICE[f.dtype]), r)
    double = power + power
    top, bottom = s.fma(double, q, power - 1.0), s.fma(double, q, power + 1.0)
    return Tanh(s.copysign(top / bottom, x), x)


def _one_plus_tanh(s: LaneBuilder, x: Lane) -> Lane:
    """1 / (1/2 + e**-2x / 2); the power is inf, and the result 0, where that is denormal."""
    f = format_of(x)
    limited = s.minimum(s.maximum(x, -(f.bias + 2.1) * LN2 / 2), (f.bias - 2) * LN2 / 2)
    half_power, r = _half_exponent(s, limited, f, f.bias - 1)
    return 1.0 / s.fma(half_power, polynomial(s, r, _EXP_TWICE[f.dtype]), 0.5)


def _half_exponent(s: LaneBuilder, x: Lane, f: Format, bias: int) -> tuple[Lane, Lane]:
    """(2**n under this bias, r) with -2 x = n ln2 + 2 r."""
    biased = s.fma(x, -2.0 * LOG2E, f.magic + bias)
    r = s.fma(biased - (f.magic + bias), -0.5 * LN2, -x)
    return s.bitcast(s.bitcast(biased, f.bits) << f.digits, f.dtype), r


def _exp_quarter(s: LaneBuilder, a: Lane) -> Lane:
    """e**a / 4 for a >= 0, finite until sinh overflows."""
    f = format_of(a)
    power, r = split_exponent(s, s.minimum(a, 90.0 if f is SINGLE else 711.0), f)
    quarter = s.bitcast(power - (2 << f.digits), f.dtype)
    return exp_reduced(s, r) * quarter


def sinh(s: LaneBuilder, x: Lane) -> Lane:
    """The hyperbolic sine: (e**|x| - e**-|x|) / 2, a polynomial below 1."""
    a = s.abs(x)
    q = _exp_quarter(s, a)
    large = s.fma(q, 2.0, -0.125 / q)
    z = a * a
    small = s.fma(a * z, polynomial(s, z, _SINH[x.dtype]), a)
    return s.copysign(s.where(a > 1.0, large, small), x)


def cosh(s: LaneBuilder, x: Lane) -> Lane:
    """The hyperbolic cosine."""
    q = _exp_quarter(s, s.abs(x))
    return s.fma(q, 2.0, 0.125 / q)


@in_double
def asinh(s: LaneBuilder, x: Lane) -> Lane:
    """log(|x| + sqrt(x**2 + 1)), written for log1p; log(2 |x|) where the square would overflow."""
    a = s.abs(x)
    is_large = a > 2.0**60
    moderate = s.minimum(a, 2.0**60)
    z = moderate * moderate
    u = a + z / (1.0 + s.sqrt(z + 1.0))
    result = log1p(s, s.where(is_large, a, u)) + s.where(is_large, s.const(LN2, x.dtype), 0.0)
    return s.copysign(result, x)


@in_double
def acosh(s: LaneBuilder, x: Lane) -> Lane:
    """log(x + sqrt(x**2 - 1)), written for log1p of t = x - 1; log(2 x) for large x."""
    is_large = x > 2.0**60
    t = s.minimum(x, 2.0**60) - 1.0
    u = t + s.sqrt(t * (t + 2.0))
    result = log1p(s, s.where(is_large, x, u)) + s.where(is_large, s.const(LN2, x.dtype), 0.0)
    return s.where(x < 1.0, float("nan"), result)


@in_double
def atanh(s: LaneBuilder, x: Lane) -> Lane:
    """log((1 + |x|) / (1 - |x|)) / 2."""
    a = s.abs(x)
    return s.copysign(log1p(s, (a + a) / (1.0 - a)) * 0.5, x)
