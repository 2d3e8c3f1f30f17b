"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from codegen.lane import Lane, LaneBuilder
from codegen.mathlib.exp_log import EXPM1
from codegen.mathlib.floats import LN2, LOG2E, SINGLE, format_of, polynomial


def tanh(s: LaneBuilder, x: Lane) -> Lane:
    """(1 - y) / (1 + y) with y = e**-2|x| = 2**n (1 + 2 q); each of the two sums is rounded once only."""
    f = format_of(x)
    a = s.minimum(s.abs(x), 9.1 if f is SINGLE else 20.0)
    rounder = f.magic + f.bias + 1
    biased = s.fma(a, -2.0 * LOG2E, rounder)
    r = s.fma(biased - rounder, -0.5 * LN2, -a)  # half the remainder
    q = s.fma(
        r * r, polynomial(s, r, [c * 2.0 ** (k + 1) for k, c in enumerate(EXPM1[f.dtype])]), r
    )
    double = s.bitcast(s.bitcast(biased, f.bits) << f.digits, f.dtype)  # 2 * 2**n
    top = s.fma(-double, q, s.fma(double, -0.5, 1.0))
    bottom = s.fma(double, q, s.fma(double, 0.5, 1.0))
    return s.copysign(s.quotient(top, bottom), x)
