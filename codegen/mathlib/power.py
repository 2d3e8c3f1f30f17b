"""Powers and what is made from division and square roots."""

from __future__ import annotations

from codegen.lane import Lane, LaneBuilder


def rsqrt(s: LaneBuilder, x: Lane) -> Lane:
    """1 / sqrt(x)."""
    return 1.0 / s.sqrt(x)


def reciprocal(s: LaneBuilder, x: Lane) -> Lane:
    """1 / x."""
    return 1.0 / x
