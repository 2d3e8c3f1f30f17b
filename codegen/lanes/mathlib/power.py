"""Powers, and what is made from division and square roots.

x**y = 2**(y log2|x|), with the logarithm in two parts, since y magnifies its error. Exponents
known while compiling avoid all that where torch does (0, 1, 2, 3, 1/2, -1, -1/2, -2) and for the
integers up to 8.

Measured errors in ulp (float32 / float64):
    pow 0.9 / 1.0 (known small exponents 1.5 / 4), hypot 0.6 / 1.0, rsqrt 1.5 / 1.5, fmod exact
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen.lanes.lane import Lane, LaneBuilder, Number
from codegen.lanes.mathlib.exp_log import EXP2_SINGLE, EXP_RANGE, exp_plus, scale, split_float
from codegen.lanes.mathlib.floats import (
    DOUBLE,
    SINGLE,
    fast_two_sum,
    format_of,
    in_double,
    polynomial,
    two_product,
    two_sum,
)
from ir import dtypes

# log2(1 + f) on |f| <= 1/3, to 2**-32: the coefficients of f**3, f**2 and f in two parts, then
# those of f**4 and up
_LOG2_FIRST = (
    (0.48089835047721863, -3.514230906276339e-09),
    (-0.7213475108146667, -9.629815167500055e-09),
    (1.4426950216293335, 1.925963033500011e-08),
)
_LOG2_TAIL = (
    -0.360673815,
    0.288535714,
    -0.240441754,
    0.206309631,
    -0.180643529,
    0.155737966,
    -0.138891727,
    0.171203613,
    -0.161512703,
)
# (log((1 + t) / (1 - t)) - 2 t - 2/3 t**3) / t**5 in t**2, on |t| <= 1/5
_ATANH_TAIL = (
    0.4,
    0.28571428571426827,
    0.22222222222717072,
    0.1818181811046151,
    0.15384621361206477,
    0.13333025256738626,
    0.11774611269072978,
    0.10333405487759177,
    0.11582248601570796,
)
_INFINITY = float("inf")


def rsqrt(s: LaneBuilder, x: Lane) -> Lane:
    """1 / sqrt(x)."""
    return 1.0 / s.sqrt(x)


def reciprocal(s: LaneBuilder, x: Lane) -> Lane:
    """1 / x."""
    return 1.0 / x


def hypot(s: LaneBuilder, x: Lane, y: Lane) -> Lane:
    """sqrt(x**2 + y**2) without overflow on the way; inf if either is infinite, even beside NaN."""
    a, b = s.abs(x), s.abs(y)
    f = format_of(x)
    if f is SINGLE:
        wide, tall = s.cast(a, dtypes.float64), s.cast(b, dtypes.float64)
        result = s.cast(s.sqrt(s.fma(wide, wide, tall * tall)), dtypes.float32)
    else:
        largest = s.minimum(s.maximum(s.maximum(a, b), f.smallest_normal), 2.0**1022)
        power = s.bitcast(largest, f.bits) & (0x7FF << f.digits)
        down = s.bitcast((2 * f.bias << f.digits) - power, f.dtype)
        a1, b1 = a * down, b * down
        result = s.sqrt(s.fma(a1, a1, b1 * b1)) * s.bitcast(power, f.dtype)
    return s.where((a == _INFINITY) | (b == _INFINITY), _INFINITY, result)


def fmod(s: LaneBuilder, x: Lane, y: Lane) -> Lane:
    """The exact remainder of x / y with the sign of x.

    The rest r shrinks by `rint(r / d) d`, which is exact, d being y times a power of two within
    2**64 (2**512) of r: one round for usual quotients, and never more than a few.
    """
    f = format_of(x)
    up = 2.0**64 if f is SINGLE else 2.0**512
    divisor = s.abs(y)

    def step(rest: Lane) -> Sequence[Lane]:
        d = divisor
        for _ in range(4):
            larger = d * up
            d = s.where(larger <= s.abs(rest), larger, d)
        smaller = s.fma(s.round(rest / d), -d, rest)
        return [s.where(s.abs(rest) >= divisor, smaller, rest)]

    (rest,) = s.repeat(
        [s.splat(s.abs(x), max(x.width, y.width))], lambda r: s.abs(r) >= divisor, step
    )
    rest = s.where(rest < 0.0, rest + divisor, rest)
    return s.where(y != y, y, s.copysign(rest, x))


def pow(s: LaneBuilder, x: Lane, y: Lane | Number) -> Lane:
    """x**y as torch: exact special cases of C, integers by repeated multiplication (wrapping)."""
    if not x.dtype.is_float:
        return _int_power(s, x, y)
    if not isinstance(y, Lane):
        return _constant_power(s, x, float(y))
    return _signed_power(s, x, y)


def _int_power(s: LaneBuilder, x: Lane, y: Lane | Number) -> Lane:
    """Integers: squaring; a negative exponent gives 0 except for the bases 1 and -1."""
    if not isinstance(y, Lane):
        y = s.const(y, x.dtype)
    x, y = s.match(x, y)

    def step(base: Lane, exponent: Lane, result: Lane) -> Sequence[Lane]:
        grown = s.where((exponent & 1) != 0, result * base, result)
        return [base * base, s.logical_shift_right(exponent, 1), grown]

    positive = s.where(y < 0, 0, y) if x.dtype.is_signed else y
    one = s.splat(s.const(1, x.dtype), x.width)
    _, _, result = s.repeat([x, positive, one], lambda _, exponent, __: exponent != 0, step)
    if not x.dtype.is_signed:
        return result
    of_minus_one = s.where((y & 1) != 0, s.const(-1, x.dtype), 1)
    inverse = s.where(x == 1, 1, s.where(x == -1, of_minus_one, 0))
    return s.where(y < 0, inverse, result)


def _constant_power(s: LaneBuilder, x: Lane, y: float) -> Lane:
    """x**y for a y known while compiling."""
    if y == 0.0:
        return s.splat(s.const(1.0, x.dtype), x.width)
    if y in (1.0, 2.0, 3.0, 4.0):
        return _multiplied(x, int(y))
    if y in (5.0, 6.0, 7.0, 8.0):
        return in_double(lambda s, x: _multiplied(x, int(y)))(s, x)
    if y in (-1.0, -2.0):
        return 1.0 / _multiplied(x, int(-y))
    if y == 0.5:
        return s.sqrt(x)
    if y == -0.5:
        return rsqrt(s, x)
    magnitude = _positive_power(s, s.abs(x), s.const(y, x.dtype))
    if y.is_integer() or math.isinf(y):
        return s.copysign(magnitude, x) if y % 2.0 == 1.0 else magnitude
    return s.where((x < 0.0) & (x != -_INFINITY), float("nan"), magnitude)


def _multiplied(x: Lane, n: int) -> Lane:
    """x**n by squaring, n >= 1."""
    if n == 1:
        return x
    half = _multiplied(x, n // 2)
    return half * half * x if n % 2 else half * half


def _signed_power(s: LaneBuilder, x: Lane, y: Lane) -> Lane:
    """The sign and the special cases around `_positive_power`."""
    a = s.abs(x)
    magnitude = _positive_power(s, a, y)
    half = y * 0.5
    is_integer = s.round(y) == y
    is_odd = is_integer & (s.round(half) != half)
    signed = s.where(is_odd, s.copysign(magnitude, x), magnitude)
    result = s.where((x < 0.0) & (a != _INFINITY) & ~is_integer, float("nan"), signed)
    unit = (y == 0.0) | (x == 1.0) | ((a == 1.0) & (s.abs(y) == _INFINITY))
    return s.where(unit, 1.0, result)


def _positive_power(s: LaneBuilder, a: Lane, y: Lane) -> Lane:
    """a**y for a >= 0 (0 and inf included); NaN from NaN."""
    return _power_single(s, a, y) if a.dtype is dtypes.float32 else _power_double(s, a, y)


def _power_single(s: LaneBuilder, a: Lane, y: Lane) -> Lane:
    """2**(y log2(a)), the exponent in two parts."""
    f = SINGLE
    high, low = _log2_two_parts(s, a)
    product, error = two_product(s, high, y)
    is_zero = product < -153.0  # takes no part: see `exp`
    t = s.minimum(s.where(is_zero, 0.0, product), 129.0)
    error = s.where(t == product, s.fma(low, y, error), 0.0)
    rounder = f.magic + 2 * f.bias
    biased = t + rounder
    r = (t - (biased - rounder)) + error
    return s.where(is_zero, 0.0, scale(s, f, polynomial(s, r, EXP2_SINGLE), biased))


def _log2_two_parts(s: LaneBuilder, a: Lane) -> tuple[Lane, Lane]:
    """log2(a) as a sum with relative error near 2**-31; the first part alone where it is infinite.

    Horner's rule in two parts: the product that is added to a constant is less than half of it, so
    that `constant - total` is exact and the second fma gives the error of the first.
    """
    f = SINGLE
    m, e = split_float(s, a, f, 2 / 3)
    e = s.where(a < _INFINITY, s.where(a == 0.0, s.const(-_INFINITY, f.dtype), e), a)
    high, low = polynomial(s, m, _LOG2_TAIL), s.const(0.0, f.dtype)
    for constant, rest in _LOG2_FIRST:
        total = s.fma(m, high, constant)
        error = s.fma(m, high, constant - total)
        high, low = total, s.fma(m, low, error) + rest
    product, error = two_product(s, m, high)
    high, rounding = fast_two_sum(e, product)
    return high, rounding + s.fma(m, low, error)


def _power_double(s: LaneBuilder, a: Lane, y: Lane) -> Lane:
    """The natural logarithm in two parts, times y in two parts, then exp of the sum."""
    f = DOUBLE
    high, low = _log_two_parts(s, a)
    high = s.where(a == _INFINITY, a, s.where(a == 0.0, s.const(-_INFINITY, f.dtype), high))
    high = s.where(a != a, a, high)
    product, error = two_product(s, high, y)
    error = s.fma(low, y, error)
    zero, infinite = EXP_RANGE[f.dtype]
    is_zero = product < zero
    t = s.minimum(s.where(is_zero, 0.0, product), infinite)
    return s.where(is_zero, 0.0, exp_plus(s, t, s.where(t == product, error, 0.0)))


def _log_two_parts(s: LaneBuilder, a: Lane) -> tuple[Lane, Lane]:
    """log(a) as a sum with relative error near 2**-64.

    With t = m / (2 + m): log(1 + m) = 2 t + t**3 (2/3 + t**2 (...)), each factor carried in two
    parts where its rounding would show.
    """
    f = DOUBLE
    m, e = split_float(s, a, f)
    bottom = 2.0 + m
    bottom_error = m - (bottom - 2.0)
    inverse = 1.0 / bottom
    t = s.product(m, inverse)
    t_low = s.fma(-t, bottom_error, s.fma(-t, bottom, m)) * inverse
    z, z_error = two_product(s, t, t)
    z_low = s.fma(t * 2.0, t_low, z_error)
    q, q_low = fast_two_sum(s.const(2.0 / 3.0, f.dtype), z * polynomial(s, z, _ATANH_TAIL))
    q_low = q_low + 3.700743415417188e-17  # what 2.0 / 3.0 lacks
    cube, cube_error = two_product(s, z, t)
    cube_low = s.fma(z, t_low, s.fma(z_low, t, cube_error))
    third, third_error = two_product(s, cube, q)
    third_low = s.fma(cube, q_low, s.fma(cube_low, q, third_error))
    high, low = fast_two_sum(t * 2.0, third)
    low = low + s.fma(t_low, 2.0, third_low)
    whole, whole_error = two_sum(s.product(e, f.ln2_hi), high)
    low = s.fma(e, f.ln2_lo, low + whole_error)
    return fast_two_sum(whole, low)
