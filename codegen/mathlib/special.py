"""The error functions and the gamma family."""

from __future__ import annotations

from codegen.lane import Lane, LaneBuilder
from codegen.mathlib.exp_log import EXPM1
from codegen.mathlib.floats import LN2, LOG2E, SINGLE, polynomial

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


def erf(s: LaneBuilder, x: Lane) -> Lane:
    """The error function: 1 - e**-u with u = |x| p(|x|), in one rounding from 2**n and e**r - 1."""
    f = SINGLE
    a = s.minimum(s.abs(x), 4.0)
    u = s.fma(a, _ERF_FIRST[0], a * polynomial(s, a, (_ERF_FIRST[1], *_ERF_TAIL)))
    biased = s.fma(u, -LOG2E, f.magic + f.bias)
    r = s.fma(biased - (f.magic + f.bias), -LN2, -u)
    q = s.fma(r * r, polynomial(s, r, EXPM1[f.dtype]), r)
    power = s.bitcast(s.bitcast(biased, f.bits) << f.digits, f.dtype)
    return s.copysign(s.fma(-power, q, 1.0 - power), x)
