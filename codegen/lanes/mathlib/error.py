"""The error function, its complement and its inverse.

    erf(x) = 1 - e**-u,  u = |x| p(|x|)        one rounding, from 2**n and e**r - 1
    erfc(x) = exp(-x**2) q(x)                  the square in two parts, q smooth
    erfinv(x) = x p(-log(1 - x**2))            beyond the middle, p of the root of the logarithm

Where a range is in pieces, each coefficient is chosen per element: one polynomial is evaluated.

Measured errors in ulp (float32 / float64):
    erf 2.3 / 2.4, erfc 4.6 / 3.7, erfinv 2.6 / 3.3
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.lanes.lane import Lane, LaneBuilder
from codegen.lanes.mathlib import avx512
from codegen.lanes.mathlib.exp_log import EXP_RANGE, EXPM1, exp_plus, log, log1p
from codegen.lanes.mathlib.floats import LN2, LOG2E, SINGLE, format_of, polynomial, two_product
from ir import dtypes

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
# erf(x) by powers of x - k / 4, for k in 0 .. 15; 1 at the end of the last piece
_ERF_STEP, _ERF_LIMIT = 0.25, 3.8749998
_ERF_PIECES = (
    (
        0.0,
        0.276326388,
        0.520499885,
        0.711155653,
        0.842700779,
        0.92290014,
        0.966105163,
        0.986671686,
        0.995322287,
        0.998537302,
        0.999593019,
        0.999899387,
        0.999977887,
        0.999995708,
        0.999999285,
        0.999999881,
    ),
    (
        1.12837911,
        1.06001425,
        0.87878263,
        0.642931104,
        0.415107489,
        0.236521125,
        0.118930288,
        0.0527749956,
        0.0206669867,
        0.00714231934,
        0.00217828411,
        0.000586277281,
        0.000139253054,
        2.91890265e-05,
        5.39942675e-06,
        9.59432214e-07,
    ),
    (
        0.0,
        -0.264999002,
        -0.439388394,
        -0.482204497,
        -0.41510123,
        -0.29565981,
        -0.178406045,
        -0.09236487,
        -0.0413452014,
        -0.0160792824,
        -0.00543094007,
        -0.0016167576,
        -0.000406109059,
        -0.0001005265,
        -3.29883987e-05,
        1.74308002e-06,
    ),
    (
        -0.376092494,
        -0.309197724,
        -0.146480635,
        0.0267739836,
        0.138371021,
        0.167533964,
        0.138752222,
        0.0901578218,
        0.0482229702,
        0.0217245333,
        0.00835006684,
        0.00276029808,
        0.000789052399,
        0.000195787929,
        4.22881094e-05,
        9.63155435e-06,
    ),
    (
        0.0,
        0.126092896,
        0.182125673,
        0.150658965,
        0.0688577965,
        -0.00529613299,
        -0.0436253697,
        -0.047414992,
        -0.033724606,
        -0.0185530204,
        -0.00960348174,
        -0.00299862027,
        -0.00179544429,
        6.87251959e-05,
        0.000825485098,
        -0.000294996804,
    ),
    (
        0.110267572,
        0.0811357573,
        0.00834890269,
        -0.0520824082,
        -0.0690564066,
        -0.0470042564,
        -0.0149392476,
        0.0065040132,
        0.0130324988,
        0.0106476657,
        0.00612747762,
        0.00277132774,
        0.00102555403,
        0.000317781785,
        8.34797902e-05,
        1.87518235e-05,
    ),
)
# -log(erfc(x)) / x again, in x up to 1.375, then in x - 3.6875 up to 6
_ERF_SPLIT, _ERF_MIDDLE = 1.375, 3.6875
_ERF_DOUBLE = (
    (
        1.1283791670955126,
        0.636619772367575,
        0.10277260330254595,
        -0.019128447026952,
        -0.00020919438313928454,
        0.0016962037964167378,
        -0.0005901118472896251,
        2.5830075796697733e-05,
        6.460914228999621e-05,
        -2.991497877625689e-05,
        3.598526092934905e-06,
        2.7706782312850714e-06,
        -1.8697185768286459e-06,
        5.876615631675655e-07,
        -1.0285579080531763e-07,
        8.097748542535794e-09,
    ),
    (
        4.205790342181791,
        0.9283716952031709,
        0.011158175756426301,
        -0.0017733036702961568,
        0.00027815458282727133,
        -4.219776812595108e-05,
        6.083967934676996e-06,
        -7.921286906413407e-07,
        9.275201236529734e-08,
        -1.923840989704025e-08,
        -1.44901248439968e-08,
        -9.241243951495121e-09,
        -3.950170292912013e-09,
        -9.782517535173828e-10,
        -1.48650358978128e-10,
        -8.570557572609537e-12,
    ),
)
# erf(x) / x in x**2, on 0 <= x <= 0.65
_ERF_SMALL = {
    dtypes.float32: (1.12837917, -0.37612471, 0.112799339, -0.0265880842, 0.00441953959),
    dtypes.float64: (
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
    ),
}
# (3 + x) exp(x**2) erfc(x) in (x - 3) / (x + 3), on 0 <= x <= 10.1
_ERFC_SINGLE = (
    1.07400692,
    -0.88339448,
    0.590227783,
    -0.31046626,
    0.119534291,
    -0.0268368982,
    -0.00124297803,
    0.00306871627,
    -0.00046764256,
    -0.000312685763,
)
# (1 + 2 x) exp(x**2) erfc(x) in (x - 3.75) / (x + 3.75), on 0 <= x <= 27.3
_ERFC_CENTER = 3.75
_ERFC_DOUBLE = (
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
# erfinv(x) / x in w = -log(1 - x**2): in w - 2.5 up to w = 5, then in sqrt(w) - 3
_ERFINV_SINGLE = (
    (
        1.50140941,
        0.24664028,
        -0.00417766906,
        -0.00125275587,
        0.000218578105,
        -4.94331289e-06,
        -3.52390634e-06,
        4.59911519e-07,
        2.82095165e-08,
        -8.23391755e-09,
    ),
    (
        2.83297682,
        1.00167501,
        0.00944483094,
        -0.00763780251,
        0.00568954833,
        -0.00359659968,
        0.00147941173,
        -5.54629332e-05,
        -0.000305234425,
        0.000113265989,
    ),
)
# the same in w - 3.125 up to w = 6.25, then in sqrt(w) - 3.25 up to w = 16, then in sqrt(w) - 5
_ERFINV_DOUBLE = (
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


def erf(s: LaneBuilder, x: Lane) -> Lane:
    """The error function."""
    f = format_of(x)
    if f is SINGLE and avx512.is_available(s):
        return _erf_by_table(s, x)
    if f is SINGLE:
        a = s.minimum(s.abs(x), 4.0)
        u = s.fma(a, _ERF_FIRST[0], a * polynomial(s, a, (_ERF_FIRST[1], *_ERF_TAIL)))
    else:
        a = s.minimum(s.abs(x), 6.0)
        is_outer = a > _ERF_SPLIT
        v = s.where(is_outer, a - _ERF_MIDDLE, a)
        u = a * _piecewise(s, v, _ERF_DOUBLE, [is_outer])
    biased = s.fma(u, -LOG2E, f.magic + f.bias)
    r = s.fma(biased - (f.magic + f.bias), -LN2, -u)
    q = s.fma(r * r, polynomial(s, r, EXPM1[f.dtype]), r)
    power = s.bitcast(s.bitcast(biased, f.bits) << f.digits, f.dtype)
    return s.copysign(s.fma(-power, q, 1.0 - power), x)


def _erf_by_table(s: LaneBuilder, x: Lane) -> Lane:
    """erf in float32 by the polynomial of its piece, the coefficients out of registers."""
    a = s.minimum(s.abs(x), _ERF_LIMIT)
    rounder = SINGLE.magic * _ERF_STEP
    biased = a + rounder
    piece = s.bitcast(biased, SINGLE.bits)
    coefficients = [avx512.lookup(s, row, piece, x.dtype) for row in _ERF_PIECES]
    return s.copysign(polynomial(s, a - (biased - rounder), coefficients), x)


def _piecewise(
    s: LaneBuilder, v: Lane, pieces: Sequence[Sequence[float]], is_beyond: Sequence[Lane]
) -> Lane:
    """A polynomial of the first piece, or of piece k + 1 where `is_beyond[k]`."""
    coefficients = []
    for first, *others in zip(*pieces, strict=True):
        c = s.const(first, v.dtype)
        for other, condition in zip(others, is_beyond, strict=True):
            c = s.where(condition, s.const(other, v.dtype), c)
        coefficients.append(c)
    return polynomial(s, v, coefficients)


def erfc(s: LaneBuilder, x: Lane) -> Lane:
    """1 - erf(x), accurate where it is small."""
    a = s.abs(x)
    tail = _erfc_single(s, a) if x.dtype is dtypes.float32 else _erfc_double(s, a)
    far = s.where(x < 0.0, 2.0 - tail, tail)
    near = s.fma(-x, polynomial(s, x * x, _ERF_SMALL[x.dtype]), 1.0)
    return s.where(a < 0.65, near, far)


def _gauss(s: LaneBuilder, a: Lane) -> Lane:
    """exp(-a**2)."""
    square, error = two_product(s, a, a)
    return exp_plus(s, s.maximum(-square, EXP_RANGE[a.dtype][0]), -error)


def _erfc_single(s: LaneBuilder, a: Lane) -> Lane:
    a = s.minimum(a, 10.1)
    inverse = 1.0 / (a + 3.0)
    return _gauss(s, a) * (polynomial(s, (a - 3.0) * inverse, _ERFC_SINGLE) * inverse)


def _erfc_double(s: LaneBuilder, a: Lane) -> Lane:
    a = s.minimum(a, 28.0)
    top, bottom, slope = a - _ERFC_CENTER, a + _ERFC_CENTER, s.fma(a, 2.0, 1.0)
    inverse = 1.0 / (bottom * slope)
    factor = polynomial(s, top * (slope * inverse), _ERFC_DOUBLE) * (bottom * inverse)
    return _gauss(s, a) * factor


def erfinv(s: LaneBuilder, x: Lane) -> Lane:
    """The inverse of erf: inf at 1, NaN beyond."""
    a = s.abs(x)
    if x.dtype is dtypes.float32:
        w = -log(s, s.fma(-a, a, 1.0))
        is_outer = w > 5.0
        v = s.where(is_outer, s.sqrt(w) - 3.0, w - 2.5)
        result = _piecewise(s, v, _ERFINV_SINGLE, [is_outer])
    else:
        w = -(log(s, 1.0 - a) + log1p(s, a))
        is_middle, is_outer = w > 6.25, w > 16.0
        root = s.sqrt(w)
        v = s.where(is_outer, root - 5.0, s.where(is_middle, root - 3.25, w - 3.125))
        result = _piecewise(s, v, _ERFINV_DOUBLE, [is_middle, is_outer])
    return s.where(a == 1.0, s.copysign(s.const(_INFINITY, x.dtype), x), x * result)
