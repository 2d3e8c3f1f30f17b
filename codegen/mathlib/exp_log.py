"""Exponentials and logarithms.

x = n ln2 + r,  |r| <= ln2 / 2      exp(x) = 2**n * p(r)
x = m 2**e,  2/3 <= m < 4/3         log(x) = e ln2 + log(m)    e is 0 near 1: no cancellation

Measured errors in ulp (float32 / float64):
    exp 0.9 / 0.8, exp2 0.8 / 0.8, expm1 1.5 / 1.7, sigmoid 2.3 / 1.5 (0 below the normal numbers),
    log 1.1 / 0.8, log2 1.7 / 1.2, log10 1.2 / 0.9, log1p 1.8 / 1.5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import llvmlite.ir as ll

from codegen.lane import Lane, LaneBuilder
from codegen.mathlib.floats import LN2, LOG2E, SINGLE, Format, format_of, polynomial
from ir import dtypes

# exp(r) on |r| <= ln2/2: 1 + r + ...
_EXP = {
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
# (log(1 + f) - f) / f**2 on |f| <= 1/3
_LOG1P_SINGLE = (
    -0.499999374,
    0.333332002,
    -0.250077486,
    0.200110808,
    -0.164170116,
    0.139969543,
    -0.153837979,
    0.14021638,
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


@dataclass(frozen=True, slots=True)
class _Base:
    """1 / log(base) in two parts; in float32 also (log(1 + f) / f - log'(1)) / f."""

    scale: tuple[float, float]
    tail: tuple[float, ...] = ()


_LOG2 = {
    dtypes.float32: _Base(
        (1.4426950216293335, 1.9259629911266175e-08),
        (
            -0.721346617,
            0.480896413,
            -0.360785604,
            0.288699359,
            -0.236846492,
            0.201927587,
            -0.221945778,
            0.202311531,
        ),
    ),
    dtypes.float64: _Base((1.4426950408889634, 2.0355273740931033e-17)),
}
_LOG10 = {
    dtypes.float32: _Base(
        (0.4342944920063019, -1.0103050052231683e-08),
        (
            -0.217146963,
            0.144764245,
            -0.108607598,
            0.0869072452,
            -0.0712932646,
            0.0607847385,
            -0.0668335781,
            0.0609097481,
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
    r = s.fma(n, -f.ln2_lo, s.fma(n, -f.ln2_hi, x))
    return s.bitcast(biased, f.bits) << f.digits, r


def exp_reduced(s: LaneBuilder, r: Lane) -> Lane:
    """e**r on |r| <= ln2 / 2."""
    return polynomial(s, r, _EXP[r.dtype])


def scale(s: LaneBuilder, f: Format, y: Lane, biased: Lane) -> Lane:
    """`y * 2**n` for y near 1, through the denormals and up to inf; biased = magic + 2 bias + n.

    Two factors 2**(n / 2), so that both are normal numbers and only the last product is rounded.
    """
    bits = s.bitcast(biased, f.bits)
    half = s.logical_shift_right(bits, 1)
    first, second = half << f.digits, (bits - half) << f.digits
    return y * s.bitcast(first, f.dtype) * s.bitcast(second, f.dtype)


def scale_natively(s: LaneBuilder, y: Lane, n: Lane) -> Lane | None:
    """`y * 2**n` by the instruction that does it, rounding once; None where there is none."""
    lanes = 16 if y.dtype is dtypes.float32 else 8
    if "avx512f" not in s.features or y.width % lanes:
        return None
    kind, mask = ll.VectorType(s.llvm_type(y.dtype, 1), lanes), ll.IntType(lanes)
    name = f"llvm.x86.avx512.mask.scalef.{'ps' if lanes == 16 else 'pd'}.512"
    rounding = ll.Constant(ll.IntType(32), 4)  # the current mode
    signature = ll.FunctionType(kind, (kind, kind, kind, mask, ll.IntType(32)))
    function = s.builder.module.globals.get(name) or ll.Function(s.builder.module, signature, name)
    parts = []
    for start in range(0, y.width, lanes):
        a, b = (s.slice(z, start, lanes).value for z in (y, n))
        every = ll.Constant(mask, -1)
        parts.append(Lane(s, s.builder.call(function, (a, b, a, every, rounding)), y.dtype))
    return s.joined(parts)


def exp(s: LaneBuilder, x: Lane) -> Lane:
    """e**x. What is 0 for sure (masked scores) is chosen so: underflow costs CPUs 100 cycles."""
    zero, infinite = EXP_RANGE[x.dtype]
    is_zero = x < zero
    power = exp_plus(s, s.minimum(s.where(is_zero, 0.0, x), infinite))
    return s.where(is_zero, 0.0, power)


def exp_plus(s: LaneBuilder, x: Lane, low: Lane | None = None) -> Lane:
    """e**(x + low) for x in the range where that is neither 0 nor inf for sure, and a tiny low."""
    f = format_of(x)
    rounder = f.magic + 2 * f.bias
    biased = s.fma(x, LOG2E, rounder)
    n = biased - rounder
    r = s.fma(n, -f.ln2_lo, s.fma(n, -f.ln2_hi, x))
    power = exp_reduced(s, r if low is None else r + low)
    scaled = scale_natively(s, power, n)
    return scale(s, f, power, biased) if scaled is None else scaled


def exp2(s: LaneBuilder, x: Lane) -> Lane:
    """2**x; underflow as in `exp`."""
    f = format_of(x)
    is_zero = x < -2.0 - f.bias - f.digits
    x = s.minimum(s.where(is_zero, 0.0, x), f.bias + 1.0)
    rounder = f.magic + 2 * f.bias
    biased = x + rounder
    n = biased - rounder
    power = polynomial(s, x - n, EXP2[f.dtype])
    scaled = scale_natively(s, power, n)
    return s.where(is_zero, 0.0, scale(s, f, power, biased) if scaled is None else scaled)


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
    """1 / (1 + e**-x); 0 where that is denormal."""
    f = format_of(x)
    limit = 87.33 if f is SINGLE else 708.39
    limited = s.minimum(s.maximum(x, -limit), limit)
    biased = s.fma(limited, -LOG2E, f.magic + f.bias)
    n = biased - (f.magic + f.bias)
    r = s.fma(n, -f.ln2_lo, s.fma(n, -f.ln2_hi, -limited))
    power = s.bitcast(s.bitcast(biased, f.bits) << f.digits, f.dtype)
    bottom = s.fma(power, expm1_small(s, r), power + 1.0)
    return s.where(x < -limit, 0.0, 1.0 / bottom)


def split_float(s: LaneBuilder, x: Lane, f: Format) -> tuple[Lane, Lane]:
    """(m - 1, e 2**digits) with x = m 2**e and 2/3 <= m < 4/3, for positive finite x."""
    is_denormal = x < f.smallest_normal
    up = f.digits + 1
    bits = s.bitcast(s.where(is_denormal, x * 2.0**up, x), f.bits)
    exponent = _exponent_above(s, bits, f)
    m = s.bitcast(bits - exponent, f.dtype)
    exponent = exponent - s.where(is_denormal, s.const(up << f.digits, f.bits), 0)
    return m - 1.0, s.cast(exponent, f.dtype)


def _exponent_above(s: LaneBuilder, bits: Lane, f: Format) -> Lane:
    """The exponent bits e of the number m 2**e with 2/3 <= m < 4/3, in place."""
    two_thirds = 0x3F2AAAAB if f is SINGLE else 0x3FE5555555555555
    return (bits - two_thirds) & -(1 << f.digits)


def log_special(s: LaneBuilder, x: Lane, regular: Lane, pole: float = 0.0) -> Lane:
    """The regular result, or the logarithm's limit at the pole, below it (NaN), and at inf."""
    result = s.where(x == float("inf"), x, regular)
    return s.where(
        x > pole, result, s.where(x == pole, s.const(float("-inf"), x.dtype), float("nan"))
    )


def _log1p_small(s: LaneBuilder, m: Lane, low: Lane | None = None) -> Lane:
    """log(1 + m) + low on -1/3 <= m <= 1/3."""
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
    m, e = split_float(s, x, f)
    if f is SINGLE:
        return log_special(s, x, s.fma(e, LN2 * f.unit, _log1p_small(s, m)))
    return log_special(
        s, x, s.fma(e, f.ln2_hi * f.unit, _log1p_small(s, m, e * (f.ln2_lo * f.unit)))
    )


def _log_in_base(s: LaneBuilder, x: Lane, per_e: Sequence[float], table: _Base) -> Lane:
    """log(x) * scale: `e * per_e + m * scale + ...` with both constants in two parts."""
    f = format_of(x)
    m, e = split_float(s, x, f)
    high, low = table.scale
    if f is SINGLE:
        tail = polynomial(s, m, (low, *table.tail)) * m
    else:
        t = m / (2.0 + m)
        z = t * t
        rest = t * (m - z * polynomial(s, z, _ATANH_DOUBLE))  # m - log(1 + m)
        tail = s.fma(m, low, rest * -(high + low))
    first = s.fma(m, high, s.fma(e, per_e[1] * f.unit, tail) if per_e[1] else tail)
    return log_special(s, x, s.fma(e, per_e[0] * f.unit, first))


def log2(s: LaneBuilder, x: Lane) -> Lane:
    """The logarithm to base 2."""
    return _log_in_base(s, x, (1.0, 0.0), _LOG2[x.dtype])


def log10(s: LaneBuilder, x: Lane) -> Lane:
    """The logarithm to base 10."""
    per_e = (
        (0.3010300099849701, -1.4320988897559699e-08)
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
    e = s.cast(exponent, f.dtype)
    if f is SINGLE:
        result = s.fma(e, LN2 * f.unit, _log1p_small(s, m))
    else:
        result = s.fma(e, f.ln2_hi * f.unit, _log1p_small(s, m, e * (f.ln2_lo * f.unit)))
    return log_special(s, x, s.copysign(result, x), pole=-1.0)
