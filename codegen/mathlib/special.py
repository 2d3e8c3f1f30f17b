"""The error functions and the gamma family.

Measured errors in ulp (float32 / float64):
    erf 1.7 / 1.4, erfc 0.6 / 3.3, erfinv 0.6 / 2.9, lgamma 0.6 / 5 for x > 0, digamma 0.6 / 5 for
    x > 2; elsewhere, near the zeros between the poles, these two are accurate to a few ulp of the
    terms whose difference they are (as torch's are).
"""

from __future__ import annotations

from codegen.lane import Lane, LaneBuilder
from codegen.mathlib.exp_log import EXP_RANGE, EXPM1, exp_plus, log, log1p
from codegen.mathlib.floats import LN2, LOG2E, SINGLE, in_double, polynomial, two_product
from codegen.mathlib.trig import sine
from ir import dtypes

PI = 3.141592653589793
_INFINITY = float("inf")

# -log(erfc(x)) / x on 0 <= x <= 4; the first coefficient is 2 / sqrt(pi) in two parts
_ERF_FIRST = (1.1283792257308960, -5.863538342e-8)
_ERF_TAIL = (
    0.636619508,
    0.102776878,
    -0.0191499852,
    -0.000165475416,
    0.00167163182,
    -0.00063515181,
    0.000118246469,
    -9.32059993e-06,
)
# erf(x) / x in x**2, on 0 <= x <= 1
_ERF_DOUBLE = (
    1.1283791670955126,
    -0.37612638903183343,
    0.1128379167093696,
    -0.026866170641963203,
    0.005223977596793058,
    -0.000854832548895565,
    0.00012055280652290591,
    -1.49244693535952e-05,
    1.644420521902303e-06,
    -1.6184475722040975e-07,
    1.3619071071383992e-08,
    -7.612732255334146e-10,
)
# (1 + 2 x) exp(x**2) erfc(x) in (x - 3.75) / (x + 3.75), on 0 <= x <= 27.3
_ERFC_CENTER = 3.75
_ERFC = (
    1.2375126308378275,
    -0.14024059858554755,
    0.0035854154854956005,
    0.08227673849020636,
    -0.10880393014330102,
    0.09230432115833381,
    -0.05869339855968761,
    0.028362277452180024,
    -0.009746579851164994,
    0.0017556255459872567,
    0.0002937153095378408,
    -0.00029015235289835416,
    5.1643518337130264e-05,
    2.237813678320682e-05,
    -1.1432568649173802e-05,
    -9.600432171261108e-07,
    1.7375208504293433e-06,
    -7.531685735887666e-08,
    -2.4976742797330367e-07,
    3.64427102664939e-08,
    3.6765096038090836e-08,
    -7.4504834352702385e-09,
    -5.069716724747531e-09,
)
# erfinv(x) / x with w = -log(1 - x**2): in w - 3.125 up to w = 6.25, then in sqrt(w) - 3.25 up to
# w = 16, then in sqrt(w) - 5
_ERFINV = (
    (
        1.653654562683103,
        0.24015818242558837,
        -0.006033670871430703,
        -0.0007407025341595847,
        0.00018673420803544725,
        -1.3882523374814157e-05,
        -1.3654692023271603e-06,
        4.234787888837824e-07,
        -2.9070367887033604e-08,
        -4.11263931722958e-09,
        1.0512111603836996e-09,
        -5.415246702380006e-11,
        -1.2974767762512906e-11,
        2.633182984759758e-12,
        -8.159497130852734e-14,
        -4.050452853229418e-14,
        6.647539277305617e-15,
        1.776694487033609e-17,
        -1.3411262287563295e-16,
        1.1298603847334871e-17,
        1.321635473117079e-18,
        -1.7116649309664489e-19,
        -4.334755818375556e-21,
    ),
    (
        3.0838856104922203,
        1.0052589676941646,
        0.005370914553615576,
        -0.0037512085079021654,
        0.0024914420954489478,
        -0.0016882755495738113,
        0.0009532893873499136,
        -0.0003550375783795157,
        2.4031064512754338e-05,
        6.828513329074357e-05,
        -4.7318080267354426e-05,
        1.2474521769620307e-05,
        2.9232077826409273e-06,
        -4.012629650976415e-06,
        1.502832834338656e-06,
        1.7208368279498518e-08,
        -2.7498071354852285e-07,
        9.11050099190599e-08,
        2.0331578059446792e-09,
        0.0,
        0.0,
        0.0,
        0.0,
    ),
    (
        4.849906401408584,
        1.0103004648645264,
        -0.00013871931839173053,
        -0.00021503011898912555,
        7.599527832428003e-05,
        -1.9681781529820484e-05,
        4.5260514115023725e-06,
        -9.929663350387545e-07,
        2.2905132051804689e-07,
        -6.775194912552991e-08,
        2.9044592116903406e-08,
        -1.490820052317685e-08,
        7.741532851492148e-09,
        -3.823554614820274e-09,
        1.428578723836001e-09,
        -2.4662330970509024e-10,
        -7.053273774640719e-12,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
    ),
)
# lgamma(2 + u) / u on |u| <= 1/2
_LGAMMA_AT_2 = (
    0.42278433509846713,
    0.3224670334241132,
    -0.06735230105319523,
    0.020580808427788602,
    -0.0073855510289475455,
    0.0028905103304848723,
    -0.0011927539016417443,
    0.000509669531093826,
    -0.00022315494377687486,
    9.945744328806647e-05,
    -4.4924324617707286e-05,
    2.050747026791195e-05,
    -9.450988130745282e-06,
    4.376091515774077e-06,
    -1.9996712156347732e-06,
    9.407759766703014e-07,
    -5.186410095050348e-07,
    2.583731903001239e-07,
    -6.224801873242387e-08,
)
# (lgamma(z) - Stirling's formula) z in z**-2, for z >= 8
_STIRLING = (
    0.08333333333333033,
    -0.0027777777680627527,
    0.0007936457633131699,
    -0.0005943223784351054,
    0.0007728037719702276,
)
# (log(y) - 1 / (2 y) - digamma(y)) y**2 in y**-2, for y >= 10
_DIGAMMA = (
    0.08333333333332965,
    -0.008333333314782775,
    0.00396823900616223,
    -0.004162428301024299,
    0.007080710759900949,
)


def erf(s: LaneBuilder, x: Lane) -> Lane:
    """The error function."""
    a = s.abs(x)
    if x.dtype is dtypes.float32:
        return s.copysign(_erf_single(s, s.minimum(a, 4.0)), x)
    small = a * polynomial(s, a * a, _ERF_DOUBLE)
    return s.copysign(s.where(a < 1.0, small, 1.0 - _erfc_positive(s, a)), x)


def _erf_single(s: LaneBuilder, a: Lane) -> Lane:
    """1 - e**-u with u = a p(a) for 0 <= a <= 4, in one rounding from 2**n and e**r - 1."""
    f = SINGLE
    u = s.fma(a, _ERF_FIRST[0], a * polynomial(s, a, (_ERF_FIRST[1], *_ERF_TAIL)))
    biased = s.fma(u, -LOG2E, f.magic + f.bias)
    r = s.fma(biased - (f.magic + f.bias), -LN2, -u)
    q = s.fma(r * r, polynomial(s, r, EXPM1[f.dtype]), r)
    power = s.bitcast(s.bitcast(biased, f.bits) << f.digits, f.dtype)
    return s.fma(-power, q, 1.0 - power)


@in_double
def erfc(s: LaneBuilder, x: Lane) -> Lane:
    """1 - erf(x), accurate where it is small."""
    a = s.abs(x)
    tail = _erfc_positive(s, a)
    far = s.where(x < 0.0, 2.0 - tail, tail)
    return s.where(a < 0.5, 1.0 - x * polynomial(s, x * x, _ERF_DOUBLE), far)


def _erfc_positive(s: LaneBuilder, a: Lane) -> Lane:
    """erfc(a) for a >= 0: exp(-a**2), with the square in two parts, times a smooth factor."""
    a = s.minimum(a, 28.0)
    square, error = two_product(s, a, a)
    gauss = exp_plus(s, s.maximum(-square, EXP_RANGE[a.dtype][0]), -error)
    top, bottom, slope = a - _ERFC_CENTER, a + _ERFC_CENTER, s.fma(a, 2.0, 1.0)
    inverse = 1.0 / (bottom * slope)
    return gauss * (polynomial(s, top * (slope * inverse), _ERFC) * (bottom * inverse))


@in_double
def erfinv(s: LaneBuilder, x: Lane) -> Lane:
    """The inverse of erf: inf at 1, NaN beyond."""
    a = s.abs(x)
    w = -(log(s, 1.0 - a) + log1p(s, a))
    is_middle, is_tail = w > 6.25, w > 16.0
    root = s.sqrt(w)
    v = s.where(is_tail, root - 5.0, s.where(is_middle, root - 3.25, w - 3.125))
    result: Lane | None = None
    for inner, middle, tail in zip(*map(reversed, _ERFINV), strict=True):
        c = s.where(
            is_tail, s.const(tail, x.dtype), s.where(is_middle, s.const(middle, x.dtype), inner)
        )
        result = c if result is None else s.fma(result, v, c)
    assert result is not None
    return s.where(a == 1.0, s.copysign(s.const(_INFINITY, x.dtype), x), x * result)


@in_double
def lgamma(s: LaneBuilder, x: Lane) -> Lane:
    """log|gamma(x)|; a negative x is reflected: gamma(-z) gamma(z) = -pi / (z sin(pi z))."""
    z = s.abs(x)
    positive = _lgamma_positive(s, z)
    rest = s.abs(z - s.round(z))
    reflected = log(s, PI / (z * sine(s, rest * PI))) - positive
    reflected = s.where(rest == 0.0, _INFINITY, reflected)
    result = s.where((x < 0.0) & (z > 2.0**-60), reflected, positive)
    return s.where(z == _INFINITY, z, result)


def _lgamma_positive(s: LaneBuilder, z: Lane) -> Lane:
    """Stirling's formula from 8 on; below, recurrence to 1.5 .. 2.5, its factors in one log."""
    one = s.const(1.0, z.dtype)
    y, factor = z, one
    for j in range(1, 7):
        is_above = z >= j + 1.5
        y = s.where(is_above, z - float(j), y)
        factor = factor * s.where(is_above, z - float(j), 1.0)
    is_low, is_tiny = z < 1.5, z < 0.5
    y = s.where(is_low, z + s.where(is_tiny, s.const(2.0, z.dtype), 1.0), y)
    factor = s.where(is_low, z * s.where(is_tiny, z + 1.0, 1.0), factor)
    is_large = z >= 8.0
    logarithm = log(s, s.where(is_large, z, factor))
    u = y - 2.0
    small = s.fma(
        u, polynomial(s, s.minimum(u, 0.5), _LGAMMA_AT_2), s.where(is_low, -logarithm, logarithm)
    )
    inverse = 1.0 / z
    correction = s.fma(inverse, polynomial(s, inverse * inverse, _STIRLING), 0.4189385332046727)
    return s.where(is_large, s.fma(z - 0.5, logarithm - 1.0, correction), small)


@in_double
def digamma(s: LaneBuilder, x: Lane) -> Lane:
    """The derivative of lgamma; x < 0 is reflected: digamma(1 - x) - pi / tan(pi x)."""
    is_negative = x < 0.0
    positive = _digamma_positive(s, s.where(is_negative, 1.0 - x, x))
    rest = x - s.round(x)
    cotangent = sine(s, s.fma(s.abs(rest), -PI, 0.5 * PI)) / sine(s, rest * PI)
    result = s.where(is_negative, s.fma(cotangent, -PI, positive), positive)
    result = s.where(is_negative & (rest == 0.0), float("nan"), result)
    return s.where(x == 0.0, s.copysign(s.const(_INFINITY, x.dtype), -x), result)


def _digamma_positive(s: LaneBuilder, x: Lane) -> Lane:
    """digamma(y) - 1/x - 1/(x + 1) - ... with y = x + n >= 10; the fractions are summed as one."""
    top, bottom = s.const(0.0, x.dtype), s.const(1.0, x.dtype)
    y = x
    for _ in range(10):
        is_low = y < 10.0
        top = s.where(is_low, s.fma(top, y, bottom), top)
        bottom = s.where(is_low, bottom * y, bottom)
        y = s.where(is_low, y + 1.0, y)
    inverse = 1.0 / y
    square = inverse * inverse
    tail = s.fma(inverse, 0.5, square * polynomial(s, square, _DIGAMMA))
    return log(s, y) - tail - top / bottom
