"""Exponentials and logarithms.

x = n ln2 + r,  |r| <= ln2 / 2      exp(x) = 2**n * p(r)      (AVX-512: n in sixteenths, a table)
x = m 2**e,  3/4 <= m < 3/2         log(x) = e ln2 + log(m)    e is 0 near 1: no cancellation

Measured errors in ulp (float32 / float64):
    exp 1.0 / 1.2, exp2 0.8 / 0.8, expm1 1.5 / 1.7, sigmoid 2.5 / 1.5 (0 below the normal numbers),
    log 1.2 / 0.8, log2 2.0 / 1.2, log10 1.8 / 0.9, log1p 1.8 / 1.5
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_float

from codegen.lanes.lane import Lane, LaneBuilder
from codegen.lanes.mathlib import avx512
from codegen.lanes.mathlib.floats import LN2, LOG2E, SINGLE, Format, format_of, polynomial
from ir import dtypes, record

# exp(r) on |r| <= ln2/2: 1 + r + ...
EXP = {
    dtypes.float32: (1.0, 1.0, 0.49999994, 0.166665211, 0.0416682735, 0.00836868305, 0.00138200494),
    dtypes.float64: (
        1.0,
        1.0,
        0.5000000000000011,
        0.16666666666666452,
        0.041666666666528046,
        0.008333333333476658,
        0.0013888888944001677,
        0.0001984126953577243,
        2.480149279076222e-05,
        2.7557565525098163e-06,
        2.763034801738659e-07,
        2.5005572401722715e-08,
    ),
}
# 2**r on |r| <= 1/2
EXP2 = {
    dtypes.float32: (
        1.0,
        0.693147182,
        0.240226477,
        0.0555035956,
        0.00961850304,
        0.00133910065,
        0.000153280227,
    ),
    dtypes.float64: (
        1.0,
        0.6931471805599453,
        0.2402265069591011,
        0.055504108664821784,
        0.00961812910760078,
        0.0013333558146532306,
        0.00015403530449920088,
        1.5252733645670198e-05,
        1.3215438432663322e-06,
        1.0178155720768127e-07,
        7.073299133894178e-09,
        4.4394614836626826e-10,
    ),
}
EXP2_SINGLE = EXP2[dtypes.float32]
# 2**(k / 16), what float32 loses of that, and (exp(r) - 1) / r on |r| <= ln2/32
_ROOTS = tuple(2.0 ** (k / avx512.TABLE) for k in range(avx512.TABLE))
_ROOTS_BELOW = tuple(root - c_float(root).value for root in _ROOTS)
_EXP_NEAR = {
    dtypes.float32: (1.0, 0.5000162, 0.16666718),
    dtypes.float64: (
        1.0,
        0.5000000000000004,
        0.16666666664368912,
        0.04166666666074121,
        0.008333473114692496,
        0.0013889110283415373,
    ),
}
# (exp(r) - 1 - r) / r**2 on |r| <= ln2/2
EXPM1 = {
    dtypes.float32: (0.49999997, 0.166665465, 0.0416674353, 0.00836627185, 0.00138706923),
    dtypes.float64: (
        0.5,
        0.16666666666666677,
        0.041666666666666685,
        0.00833333333332179,
        0.0013888888888893643,
        0.00019841269885372443,
        2.4801587279184456e-05,
        2.755724510490088e-06,
        2.7557329235111395e-07,
        2.5108709197424262e-08,
        2.0894052196965566e-09,
    ),
}
# (log(1 + f) - f) / f**2 on -1/4 <= f <= 1/2
_LOG1P_SINGLE = (
    -0.500000596,
    0.333335489,
    -0.249934942,
    0.199771062,
    -0.168220922,
    0.149830237,
    -0.12069919,
    0.0541721098,
)
# (log((1 + t) / (1 - t)) - 2 t) / t**3 in t**2, on |t| <= 1/5
_ATANH_DOUBLE = (
    0.666666666666666,
    0.4000000000005667,
    0.2857142855582927,
    0.22222224296560092,
    0.18181665857439325,
    0.1539111295097232,
    0.13173575993723313,
    0.13843237540267445,
)


@record
class _Base:
    """1 / log(base) in two parts; in float32 also (log(1 + f) / f - log'(1)) / f."""

    scale: tuple[float, float]
    tail: tuple[float, ...] = ()


_LOG2 = {
    dtypes.float32: _Base(
        (1.4426950216293335, 1.9259629911266175e-08),
        (
            -0.721348405,
            0.48090139,
            -0.360578537,
            0.288210362,
            -0.242715836,
            0.216162935,
            -0.173986003,
            0.0779793188,
        ),
    ),
    dtypes.float64: _Base((1.4426950408889634, 2.0355273740931033e-17)),
}
_LOG10 = {
    dtypes.float32: _Base(
        (0.4342944920063019, -1.0103050052231683e-08),
        (
            -0.217147499,
            0.14476575,
            -0.108545355,
            0.0867599994,
            -0.0730587319,
            0.0650664121,
            -0.0524021462,
            0.0235116109,
        ),
    ),
    dtypes.float64: _Base((0.4342944819032518, 1.098319650216765e-17)),
}
# where exp is 0 for sure, where it is inf for sure
EXP_RANGE = {dtypes.float32: (-104.0, 89.0), dtypes.float64: (-746.0, 710.0)}


def split_exponent(s: LaneBuilder, x: Lane, f: Format) -> tuple[Lane, Lane]:
    """(bits of 2**n, r) with x = n ln2 + r; the bits are a float's while 2**n is normal."""
    biased = s.fma(x, LOG2E, f.magic + f.bias)
    n = biased - (f.magic + f.bias)
    return s.bitcast(biased, f.bits) << f.digits, _rest(s, f, x, n)


def exp_reduced(s: LaneBuilder, r: Lane) -> Lane:
    """e**r on |r| <= ln2 / 2."""
    return polynomial(s, r, EXP[r.dtype])


def scale(s: LaneBuilder, f: Format, y: Lane, biased: Lane) -> Lane:
    """`y * 2**n` for y near 1, through the denormals and up to inf; biased = magic + 2 bias + n.

    Two factors 2**(n / 2), so that both are normal numbers and only the last product is rounded.
    """
    bits = s.bitcast(biased, f.bits)
    half = s.logical_shift_right(bits, 1)
    first, second = half << f.digits, (bits - half) << f.digits
    return y * s.bitcast(first, f.dtype) * s.bitcast(second, f.dtype)


def exp(s: LaneBuilder, x: Lane) -> Lane:
    """e**x. What is 0 for sure (masked scores) is chosen so, where the product of a tiny number
    would take 100 cycles."""
    if avx512.is_available(s):
        return exp_plus(s, x)
    zero, infinite = EXP_RANGE[x.dtype]
    is_zero = x < zero
    power = exp_plus(s, s.minimum(s.where(is_zero, 0.0, x), infinite))
    return s.where(is_zero, 0.0, power)


def exp_plus(s: LaneBuilder, x: Lane, low: Lane | None = None) -> Lane:
    """e**(x + low) for x in the range where that is neither 0 nor inf for sure, and a tiny low."""
    f = format_of(x)
    if avx512.is_available(s):
        return _exp_by_steps(s, f, x, low)
    rounder = f.magic + 2 * f.bias
    biased = s.fma(x, LOG2E, rounder)
    r = _rest(s, f, x, biased - rounder)
    return scale(s, f, exp_reduced(s, r if low is None else r + low), biased)


def _exp_by_steps(
    s: LaneBuilder, f: Format, x: Lane, low: Lane | None = None, is_close: bool = False
) -> Lane:
    """e**(x + low) for any x: 2**floor(n) times a root of 2 times a polynomial near 1.

    `n` is a multiple of 1/16, and the last bits of `steps` name the root. Where x is infinite, NaN
    or out of range, so is n, and the rest is only kept finite. `is_close` makes up for the rounding
    of the roots: 0.6 ulp.
    """
    rounder = f.magic / avx512.TABLE
    steps = s.fma(x, LOG2E, rounder)
    n = steps - rounder
    r = _rest(s, f, x, n)
    r = avx512.limited(s, r if low is None else r + low, 1 / avx512.TABLE)
    place = s.bitcast(steps, f.bits)
    root = avx512.lookup(s, _ROOTS, place, f.dtype)
    if is_close and f is SINGLE:
        change = s.fma(root, r, avx512.lookup(s, _ROOTS_BELOW, place, f.dtype))
    else:
        change = root * r
    return avx512.scaled(s, s.fma(change, polynomial(s, r, _EXP_NEAR[f.dtype]), root), n)


def _rest(s: LaneBuilder, f: Format, x: Lane, n: Lane) -> Lane:
    """x - n ln2"""
    return s.fma(n, -f.ln2_lo, s.fma(n, -f.ln2_hi, x))


def exp2(s: LaneBuilder, x: Lane) -> Lane:
    """2**x; underflow as in `exp`."""
    f = format_of(x)
    zero, infinite = -2.0 - f.bias - f.digits, f.bias + 1.0
    is_zero = x < zero
    limited = s.maximum(x, zero) if avx512.is_available(s) else s.where(is_zero, 0.0, x)
    x = s.minimum(limited, infinite)
    rounder = f.magic + 2 * f.bias
    biased = x + rounder
    n = biased - rounder
    power = polynomial(s, x - n, EXP2[f.dtype])
    if avx512.is_available(s):
        return avx512.scaled(s, power, n)
    return s.where(is_zero, 0.0, scale(s, f, power, biased))


def expm1(s: LaneBuilder, x: Lane) -> Lane:
    """e**x - 1, accurate near zero."""
    f = format_of(x)
    limited = s.minimum(s.maximum(x, -0.75 * f.digits), EXP_RANGE[f.dtype][1])
    power, r = split_exponent(s, limited, f)
    half_power = s.bitcast(
        power - (1 << f.digits), f.dtype
    )  # 2**n itself may overflow before e**x does
    half = s.fma(half_power, expm1_small(s, r), half_power - 0.5)
    return s.copysign(half + half, x)


def expm1_small(s: LaneBuilder, r: Lane) -> Lane:
    """e**r - 1 on |r| <= ln2 / 2; loses the sign of zero."""
    return s.fma(r * r, polynomial(s, r, EXPM1[r.dtype]), r)


def sigmoid(s: LaneBuilder, x: Lane) -> Lane:
    """1 / (1 + e**-x); 2**n is inf, and the result 0, where that is denormal."""
    if avx512.is_available(s):
        return 1.0 / (_exp_by_steps(s, format_of(x), -x, is_close=True) + 1.0)
    f = format_of(x)
    limited = s.minimum(s.maximum(x, -(f.bias + 1.1) * LN2), (f.bias - 1) * LN2)
    biased = s.fma(limited, -LOG2E, f.magic + f.bias)
    n = biased - (f.magic + f.bias)
    r = s.fma(n, -f.ln2_lo, s.fma(n, -f.ln2_hi, -limited))
    power = s.bitcast(s.bitcast(biased, f.bits) << f.digits, f.dtype)
    return 1.0 / s.fma(power, exp_reduced(s, r), 1.0)


def split_float(s: LaneBuilder, x: Lane, f: Format, least: float = 0.75) -> tuple[Lane, Lane]:
    """(m - 1, e) with x = m 2**e and least <= m < 2 least, for positive finite x."""
    is_denormal = x < f.smallest_normal
    up = f.digits + 1
    bits = s.bitcast(s.where(is_denormal, x * 2.0**up, x), f.bits)
    exponent = _exponent_above(s, bits, f, least)
    m = s.bitcast(bits - exponent, f.dtype)
    exponent = exponent - s.where(is_denormal, s.const(up << f.digits, f.bits), 0)
    return m - 1.0, s.cast(exponent >> f.digits, f.dtype)


def _exponent_above(s: LaneBuilder, bits: Lane, f: Format, least: float = 0.75) -> Lane:
    """The exponent bits e of the number m 2**e with least <= m < 2 least, in place."""
    return (bits - s.bitcast(s.const(least, f.dtype), f.bits)) & -(1 << f.digits)


def _split(s: LaneBuilder, x: Lane, f: Format) -> tuple[Lane, Lane]:
    """`split_float` for the logarithms; AVX-512 gives their limits with e."""
    if not avx512.is_available(s):
        return split_float(s, x, f)
    m = avx512.significand_of(s, x)
    return m - 1.0, avx512.exponent_of(s, x) - avx512.exponent_of(s, m)


def _log_limits(s: LaneBuilder, x: Lane, regular: Lane) -> Lane:
    """The logarithm from what `_split` gave."""
    return regular if avx512.is_available(s) else log_special(s, x, regular)


def log_special(s: LaneBuilder, x: Lane, regular: Lane, pole: float = 0.0) -> Lane:
    """The regular result, or the logarithm's limit at the pole, below it (NaN), and at inf."""
    result = s.where(x == float("inf"), x, regular)
    return s.where(
        x > pole, result, s.where(x == pole, s.const(float("-inf"), x.dtype), float("nan"))
    )


def _log1p_small(s: LaneBuilder, m: Lane, low: Lane | None = None) -> Lane:
    """log(1 + m) + low on -1/4 <= m <= 1/2."""
    if m.dtype is dtypes.float32:
        tail = polynomial(s, m, _LOG1P_SINGLE)
        return s.fma(m * m, tail, m if low is None else m + low)
    t = m / (2.0 + m)
    z = t * t
    tail = t * (m - z * polynomial(s, z, _ATANH_DOUBLE))
    return m - (tail if low is None else tail - low)


def log(s: LaneBuilder, x: Lane) -> Lane:
    """The natural logarithm."""
    f = format_of(x)
    m, e = _split(s, x, f)
    return _log_limits(s, x, _log_of_parts(s, m, e, f))


def _log_of_parts(s: LaneBuilder, m: Lane, e: Lane, f: Format) -> Lane:
    """log((1 + m) 2**e)."""
    if f is SINGLE:
        return s.fma(e, LN2, _log1p_small(s, m))
    return s.fma(e, f.ln2_hi, _log1p_small(s, m, e * f.ln2_lo))


def _log_in_base(s: LaneBuilder, x: Lane, per_e: Sequence[float], table: _Base) -> Lane:
    """log(x) * scale: `e * per_e + m * scale + ...` with both constants in two parts."""
    f = format_of(x)
    m, e = _split(s, x, f)
    high, low = table.scale
    if f is SINGLE:
        tail = polynomial(s, m, (low, *table.tail)) * m
    else:
        t = m / (2.0 + m)
        z = t * t
        rest = t * (m - z * polynomial(s, z, _ATANH_DOUBLE))  # m - log(1 + m)
        tail = s.fma(m, low, rest * -(high + low))
    first = s.fma(m, high, s.fma(e, per_e[1], tail) if per_e[1] else tail)
    return _log_limits(s, x, s.fma(e, per_e[0], first))


def log2(s: LaneBuilder, x: Lane) -> Lane:
    """The logarithm to base 2."""
    return _log_in_base(s, x, (1.0, 0.0), _LOG2[x.dtype])


def log10(s: LaneBuilder, x: Lane) -> Lane:
    """The logarithm to base 10."""
    per_e = (
        (0.3010299801826477, 1.548133349e-08)  # of one sign: e may be infinite
        if x.dtype is dtypes.float32
        else (0.30102999566383914, 1.42050232272661e-13)
    )
    return _log_in_base(s, x, per_e, _LOG10[x.dtype])


def log1p(s: LaneBuilder, x: Lane) -> Lane:
    """log(1 + x), accurate near zero.

    1 + x = (1 + m) 2**e, where m = x 2**-e + (2**-e - 1) is x itself near zero, since e is 0 there.
    """
    f = format_of(x)
    exponent = _exponent_above(s, s.bitcast(1.0 + x, f.bits), f)
    down = s.bitcast(((f.bias + 2) << f.digits) - exponent, f.dtype)  # 4 * 2**-e, normal at every e
    m = s.fma(x, down, down - 4.0) * 0.25
    result = _log_of_parts(s, m, s.cast(exponent >> f.digits, f.dtype), f)
    return log_special(s, x, s.copysign(result, x), pole=-1.0)
