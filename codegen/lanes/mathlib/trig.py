"""Trigonometric functions and their inverses.

    sin:  x = k pi + r,            |r| <= pi/2     sin(x) = (-1)**k sin(r)
    cos:  x = (2k + 1) pi/2 + r,   |r| <= pi/2     cos(x) = -(-1)**k sin(r)
    tan:  x = k pi/2 + r,          |r| <= pi/4     tan(x) = tan(r), or -1 / tan(r) for odd k

One polynomial serves sine and cosine. pi is subtracted in three parts by fma: the first step is
exact, so that r keeps its relative precision at the zeros. Beyond `_FAR` (a cold branch) the exact
product of x with a window of the bits of 2/pi gives the quarter turns modulo 4; only the bits that
matter for the exponent of x are read from the table.

Measured errors in ulp (float32 / float64), over the whole range:
    sin 1.7 / 1.7, cos 1.7 / 1.8, tan 1.6 / 2.8, asin 1.9 / 1.3, acos 1.1 / 1.1, atan 1.3 / 1.9,
    atan2 1.7 / 2.0
"""

from __future__ import annotations

from collections.abc import Callable

from codegen.lanes import memory as lane_memory
from codegen.lanes.lane import Lane, LaneBuilder
from codegen.lanes.mathlib.floats import (
    DOUBLE,
    SINGLE,
    Format,
    format_of,
    polynomial,
    two_product,
    two_sum,
)
from ir import dtypes

HALF_PI = 1.5707963267948966
_PI_PARTS = {
    dtypes.float32: (3.1415927410125732, -8.742277657347586e-08, -3.4302490200117637e-15),
    dtypes.float64: (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33),
}
_FAR = {dtypes.float32: 1e5, dtypes.float64: 1e9}
# (sin(x) / x - 1) / x**2 in x**2, on |x| <= pi/2
_SINE = {
    dtypes.float32: (-0.166666597, 0.00833306834, -0.000198096648, 2.6057769e-06),
    dtypes.float64: (
        -0.16666666666666666,
        0.008333333333333207,
        -0.00019841269841212408,
        2.755731921154452e-06,
        -2.505210690106163e-08,
        1.605894078535857e-10,
        -7.643012615816298e-13,
        2.72133793319622e-15,
    ),
}
# cos(x) in x**2, on |x| <= pi/4
_COSINE_DOUBLE = (
    1.0,
    -0.5,
    0.04166666666666659,
    -0.0013888888888872186,
    2.4801587288295657e-05,
    -2.755731401532261e-07,
    2.087567813309598e-09,
    -1.1357340502404074e-11,
)
# (tan(x) / x - 1) / x**2 in x**2, on |x| <= pi/4
_TANGENT_SINGLE = (
    0.333333492,
    0.133326694,
    0.0540599748,
    0.021279376,
    0.0108477743,
    6.98141812e-05,
    0.00438781921,
)
# (asin(x) / x - 1) / x**2 in x**2, on |x| <= 1/2
_ARCSINE = {
    dtypes.float32: (0.166667521, 0.0749530941, 0.0454691537, 0.0241847392, 0.0421584062),
    dtypes.float64: (
        0.1666666666666676,
        0.07499999999970866,
        0.04464285717455959,
        0.03038194270999325,
        0.022372214930889717,
        0.017351612961774544,
        0.013980809850013907,
        0.01139899521390607,
        0.010779809615387305,
        0.0037080092916047013,
        0.02170371282476155,
        -0.020993982633899223,
        0.032625563434297525,
    ),
}
# (atan(x) / x - 1) / x**2 in x**2, on |x| <= 1
_ARCTANGENT = {
    dtypes.float32: (
        -0.333332986,
        0.199985296,
        -0.142640159,
        0.109508812,
        -0.0839931369,
        0.0578816496,
        -0.0310973991,
        0.010868988,
        -0.00178290333,
    ),
    dtypes.float64: (
        -0.3333333333333307,
        0.19999999999951754,
        -0.14285714282588377,
        0.11111111007351536,
        -0.09090907007978169,
        0.07692279891064661,
        -0.06666404440980667,
        0.05880529912419524,
        -0.05253527242246097,
        0.047223499200141274,
        -0.042192476571081355,
        0.036643243249040704,
        -0.029905879818569733,
        0.021987240561971235,
        -0.013902729961459553,
        0.0071979908068332535,
        -0.0028856620754743665,
        0.0008315774885606789,
        -0.00015221488125839855,
        1.3230362133624988e-05,
    ),
}
# 2/pi in groups of 53 bits, each as an integer
_TWO_OVER_PI = (
    5734161139222658.0,
    5814151408469972.0,
    7440259586542284.0,
    5563773718881558.0,
    2066796102992750.0,
    2563573915284664.0,
    55291115753100.0,
    5098427330010289.0,
    1465545334474430.0,
    5835026907506289.0,
    6776677510095004.0,
    7069188010357663.0,
    2595984518904818.0,
    2831001892290551.0,
    4552804911380620.0,
    3195225570766134.0,
    4461702110328553.0,
    8190251822055336.0,
    6397593724909042.0,
    8751785341853560.0,
    5811081437509311.0,
    3456741467624832.0,
    7180050975382879.0,
)
_PIECE = 8  # elements that are far at a time
_GROUPS = 4  # enough for 100 bits after the quarter turn


def _reduce(s: LaneBuilder, x: Lane, k: Lane, step: float) -> Lane:
    """`x - k * step * pi` for a float k."""
    for part in _PI_PARTS[x.dtype]:
        x = s.fma(k, -step * part, x)
    return x


def sine(s: LaneBuilder, r: Lane) -> Lane:
    """sin(r) on |r| <= pi/2; loses the sign of zero."""
    z = r * r
    return s.fma(r * z, polynomial(s, z, _SINE[r.dtype]), r)


def _flip(s: LaneBuilder, x: Lane, odd: Lane) -> Lane:
    """`-x` where the lowest bit of the integer lane is set."""
    f = format_of(x)
    return s.bitcast(s.bitcast(x, f.bits) ^ (odd << (f.bits.bits - 1)), f.dtype)


def _with_far(s: LaneBuilder, x: Lane, near: Lane, far: Callable[[Lane, Lane], Lane]) -> Lane:
    """`near`, or where x is large `far` of its quarter turns (whole and rest, float64)."""

    def slow(x: Lane, near: Lane) -> Lane:
        result = far(*_quarter_turns(s, s.cast(x, dtypes.float64)))
        return s.where(_is_far(s, x), result, near)

    return s.cold(_is_far(s, x), near, lambda: s.in_pieces(_PIECE, slow, x, near))


def _is_far(s: LaneBuilder, x: Lane) -> Lane:
    a = s.abs(x)
    return (a > _FAR[x.dtype]) & (a < float("inf"))


def _quarter_turns(s: LaneBuilder, x: Lane) -> tuple[Lane, Lane]:
    """(high, low) with x = (high + low) pi/2 modulo 2 pi, |high| <= 2, for large finite x."""
    bits = s.bitcast(x, dtypes.int64)
    exponent = ((bits >> 52) & 0x7FF) - 1023
    beyond = s.maximum(exponent - 54, 0)
    first = (
        beyond * 1237
    ) >> 16  # beyond // 53: what the groups before contribute is a multiple of 4
    exponent = exponent - 53 * (first + 1)
    significand = (bits & ~(0x7FF << 52)) | ((exponent + 1023) << 52)
    y = s.bitcast(significand, dtypes.float64)
    high, low = s.const(0.0, x.dtype), s.const(0.0, x.dtype)
    for i in range(_GROUPS):
        group = lane_memory.lookup(s, "two_over_pi", _TWO_OVER_PI, first + i) * 2.0 ** (-53 * i)
        for term in two_product(s, y, group):
            high, error = two_sum(high, _modulo_4(s, term))
            low = low + error
    high = _modulo_4(s, high)
    return high, low


def _modulo_4(s: LaneBuilder, x: Lane) -> Lane:
    """x less a multiple of 4, exactly."""
    return s.fma(s.round(x * 0.25), -4.0, x)


def _far_rest(s: LaneBuilder, high: Lane, low: Lane, k: Lane, f: Format) -> Lane:
    """The angle that is left of the quarter turns after k of them."""
    return s.cast(((high - k) + low) * HALF_PI, f.dtype)


def sin(s: LaneBuilder, x: Lane) -> Lane:
    """The sine."""
    f = format_of(x)
    rounded = s.fma(x, 0.5 / HALF_PI, f.magic)
    r = _reduce(s, x, rounded - f.magic, 1.0)
    near = s.where(x == 0.0, x, _flip(s, sine(s, r), s.bitcast(rounded, f.bits)))

    def far(high: Lane, low: Lane) -> Lane:
        k = s.round(high * 0.5)
        return _flip(s, sine(s, _far_rest(s, high, low, k * 2.0, f)), s.cast(k, f.bits))

    return _with_far(s, x, near, far)


def cos(s: LaneBuilder, x: Lane) -> Lane:
    """The cosine."""
    f = format_of(x)
    rounded = s.fma(x, 0.5 / HALF_PI, -0.5) + f.magic
    odd = s.fma(rounded - f.magic, 2.0, 1.0)
    r = _reduce(s, x, odd, 0.5)
    near = _flip(s, sine(s, r), ~s.bitcast(rounded, f.bits))

    def far(high: Lane, low: Lane) -> Lane:
        k = s.round(s.fma(high, 0.5, -0.5))
        rest = _far_rest(s, high, low, s.fma(k, 2.0, 1.0), f)
        return _flip(s, sine(s, rest), ~s.cast(k, f.bits))

    return _with_far(s, x, near, far)


def tan(s: LaneBuilder, x: Lane) -> Lane:
    """The tangent; a float32 angle is reduced in float64, as 1 / tan(r) magnifies errors of r."""
    f = format_of(x)
    wide = s.cast(x, dtypes.float64)
    rounded = s.fma(wide, 1.0 / HALF_PI, DOUBLE.magic)
    rest = _reduce(s, wide, rounded - DOUBLE.magic, 0.5)
    quarter = s.cast(s.bitcast(rounded, DOUBLE.bits), f.bits)
    near = s.where(x == 0.0, x, _tangent(s, rest, quarter, f))

    def far(high: Lane, low: Lane) -> Lane:
        k = s.round(high)
        return _tangent(s, _far_rest(s, high, low, k, DOUBLE), s.cast(k, f.bits), f)

    return _with_far(s, x, near, far)


def _tangent(s: LaneBuilder, rest: Lane, quarter: Lane, f: Format) -> Lane:
    """tan(rest + quarter pi/2) for a float64 rest, |rest| <= pi/4."""
    is_odd = (quarter & 1) != 0
    r = s.cast(rest, f.dtype)
    z = r * r
    if f is SINGLE:
        r_low = s.cast(rest - s.cast(r, dtypes.float64), f.dtype)
        t = r + s.fma(r * z, polynomial(s, z, _TANGENT_SINGLE), r_low)
        return s.where(is_odd, -1.0 / t, t)
    top, bottom = sine(s, r), polynomial(s, z, _COSINE_DOUBLE)
    return s.where(is_odd, bottom, top) / s.where(is_odd, -top, bottom)


def _arcsine_parts(s: LaneBuilder, x: Lane) -> tuple[Lane, Lane, Lane]:
    """(is |x| > 1/2, t, u): asin(t) = t + u; t is |x|, or sqrt((1 - |x|) / 2) for large |x|."""
    a = s.abs(x)
    is_large = a > 0.5
    z = s.where(is_large, s.fma(a, -0.5, 0.5), a * a)
    t = s.where(is_large, s.sqrt(z), a)
    return is_large, t, t * (z * polynomial(s, z, _ARCSINE[x.dtype]))


def _half_pi_low(f: Format) -> float:
    """What the rounded pi/2 lacks."""
    return _PI_PARTS[f.dtype][1] * 0.5


def _half_pi_high(f: Format) -> float:
    return _PI_PARTS[f.dtype][0] * 0.5


def asin(s: LaneBuilder, x: Lane) -> Lane:
    """The inverse sine: for |x| > 1/2, pi/2 - 2 asin(sqrt((1 - |x|) / 2))."""
    f = format_of(x)
    is_large, t, u = _arcsine_parts(s, x)
    large = s.fma(t, -2.0, _half_pi_high(f)) + s.fma(u, -2.0, _half_pi_low(f))
    return s.copysign(s.where(is_large, large, t + u), x)


def acos(s: LaneBuilder, x: Lane) -> Lane:
    """The inverse cosine."""
    f = format_of(x)
    is_large, t, u = _arcsine_parts(s, x)
    high, low = _half_pi_high(f), _half_pi_low(f)
    is_negative = x < 0.0
    twice = (t + u) * 2.0
    large = s.where(is_negative, 2.0 * high + s.fma(t + u, -2.0, 2.0 * low), twice)
    signed, rest = s.copysign(t, x), s.copysign(u, x)
    return s.where(is_large, large, (high - signed) + (low - rest))


def _arctangent_unit(s: LaneBuilder, t: Lane) -> Lane:
    """atan(t) - t on 0 <= t <= 1."""
    z = t * t
    return t * (z * polynomial(s, z, _ARCTANGENT[t.dtype]))


def atan(s: LaneBuilder, x: Lane) -> Lane:
    """The inverse tangent: beyond 1, pi/2 - atan(1 / |x|)."""
    f = format_of(x)
    a = s.abs(x)
    is_large = a > 1.0
    t = s.where(is_large, 1.0 / a, a)
    u = _arctangent_unit(s, t)
    large = (_half_pi_high(f) - t) + (_half_pi_low(f) - u)
    return s.copysign(s.where(is_large, large, t + u), x)


def atan2(s: LaneBuilder, y: Lane, x: Lane) -> Lane:
    """The angle of the point (x, y), with its quadrant; infinite and zero coordinates as in C."""
    f = format_of(x)
    a, b = s.abs(y), s.abs(x)
    is_steep = a > b
    top, bottom = s.where(is_steep, b, a), s.where(is_steep, a, b)
    t = s.where(top == bottom, 1.0, top / bottom)  # also inf / inf
    t = s.where(bottom == 0.0, 0.0, t)
    u = _arctangent_unit(s, t)
    high, low = _half_pi_high(f), _half_pi_low(f)
    is_left = s.signbit(x)
    base_high = s.where(
        is_steep, s.const(high, f.dtype), s.where(is_left, s.const(2.0 * high, f.dtype), 0.0)
    )
    base_low = s.where(
        is_steep, s.const(low, f.dtype), s.where(is_left, s.const(2.0 * low, f.dtype), 0.0)
    )
    is_minus = is_steep ^ is_left
    t, u = s.where(is_minus, -t, t), s.where(is_minus, -u, u)
    angle = s.copysign((base_high + t) + (base_low + u), y)
    return s.where((x != x) | (y != y), float("nan"), angle)
