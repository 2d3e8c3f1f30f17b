"""Canonical rules: algebra that is exact for every element, NaN, infinities and -0.0 included.

Law of termination: every rule lowers the total weight of the graph's live nodes, where a node
weighs what `WEIGHT` says (1 unless listed); a node that the pattern only reads through may stay
alive, but is then shared and was paid for before. `tests` check the table against this law.
"""

from __future__ import annotations

import math

from ir.dtypes import DType, bfloat16, float16, float32, float64
from ir.graph import Graph, Value
from ir.match import Rewriter, parse_rules
from ir.types import TensorType

WEIGHT = {"pow": 3, "div": 2}

ARITHMETIC = parse_rules("""
    mul(x, 1)              -> x
    div(x, 1)              -> x
    sub(x, 0)              -> x                     # but -0.0 + 0 is 0.0
    add(x, -0.0)           -> x
    add(x, 0)              -> x                     if is_integral(x)
    neg(neg(x))            -> x
    sub(x, neg(y))         -> add(x, y)
    add(x, neg(y))         -> sub(x, y)
    mul(neg(x), neg(y))    -> mul(x, y)
    div(x, c)              -> mul(x, 1 / c)         if is_power_of_two(x, c)
    pow(x, 1)              -> x
    pow(x, 2)              -> mul(x, x)             # as torch computes it
    pow(x, 3)              -> mul(mul(x, x), x)     if is_wide(x)
    bitwise_not(bitwise_not(x)) -> x
    logical_not(logical_not(x)) -> x
    where(x, y, y)         -> y
""")

IDEMPOTENT = parse_rules("""
    abs(abs(x))            -> abs(x)
    relu(relu(x))          -> relu(x)
    floor(floor(x))        -> floor(x)
    ceil(ceil(x))          -> ceil(x)
    trunc(trunc(x))        -> trunc(x)
    round(round(x))        -> round(x)
    sign(sign(x))          -> sign(x)
""")

VIEWS = parse_rules("""
    clone(x)               -> x
    t(t(x))                -> x
    transpose(transpose(x, c, d), c, d) -> x
    transpose(transpose(x, c, d), d, c) -> x
    reshape(reshape(x, s), y) -> reshape(x, y)
    view(view(x, s), y)    -> view(x, y)
""")

TABLE = (*ARITHMETIC, *IDEMPOTENT, *VIEWS)

# Halving an exponent this far from the ends keeps a normal number normal.
_LARGEST_POWER = {float32: 126, float64: 1022, bfloat16: 126, float16: 14}


def _dtype(x: Value) -> DType | None:
    return x.type.dtype if isinstance(x.type, TensorType) else None


def is_wide(x: Value) -> bool:
    """A tensor of floats that are computed in their own dtype."""
    return _dtype(x) in (float32, float64)


def is_integral(x: Value) -> bool:
    """A tensor of integers."""
    dtype = _dtype(x)
    return dtype is not None and dtype.is_int


def is_power_of_two(x: Value, c: float) -> bool:
    """Whether dividing the floats of `x` by `c` is multiplying by a number that is exact."""
    dtype = _dtype(x)
    limit = _LARGEST_POWER.get(dtype) if dtype else None
    if limit is None or not math.isfinite(c) or c == 0:
        return False
    mantissa, exponent = math.frexp(c)
    return abs(mantissa) == 0.5 and abs(exponent - 1) <= limit


_REWRITER = Rewriter(TABLE, {f.__name__: f for f in (is_wide, is_integral, is_power_of_two)})


def run(graph: Graph) -> bool:
    """Rewrite until no rule applies."""
    return _REWRITER.run(graph)
