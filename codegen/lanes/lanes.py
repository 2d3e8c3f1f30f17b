"""`Lanes`: the whole scalar protocol of `ir.scalar` over llvmlite, put together from its parts.

The parts are functions whose first argument is the builder, so that an assignment makes them
methods.
"""

from __future__ import annotations

from codegen.lanes import memory as lane_memory
from codegen.lanes import shuffles as lane_shuffles
from codegen.lanes.lane import Lane, LaneBuilder
from codegen.lanes.mathlib import error, exp_log, gamma, hyperbolic, power, trig

__all__ = ["Lane", "Lanes"]


class Lanes(LaneBuilder):
    """Builds lanes, accesses memory, knows the elementary functions; width 1 is scalar code."""

    memory_type = lane_memory.memory_type
    load_scalar = lane_memory.load_scalar
    load = lane_memory.load
    store = lane_memory.store
    fetch = lane_memory.fetch
    store_past_caches = lane_memory.store_past_caches
    store_scalar = lane_memory.store_scalar
    gather = lane_memory.gather
    gather_at = lane_memory.gather_at
    lookup = lane_memory.lookup
    scatter = lane_memory.scatter
    tail_mask = lane_memory.tail_mask

    reduce = lane_shuffles.reduce
    slice = lane_shuffles.part
    interleaved = lane_shuffles.interleaved
    transposed = lane_shuffles.transposed
    joined = lane_shuffles.joined
    shifted = lane_shuffles.shifted
    spread = lane_shuffles.spread

    exp = exp_log.exp
    exp2 = exp_log.exp2
    expm1 = exp_log.expm1
    log = exp_log.log
    log2 = exp_log.log2
    log10 = exp_log.log10
    log1p = exp_log.log1p
    sigmoid = exp_log.sigmoid

    tanh = hyperbolic.tanh
    sinh = hyperbolic.sinh
    cosh = hyperbolic.cosh
    asinh = hyperbolic.asinh
    acosh = hyperbolic.acosh
    atanh = hyperbolic.atanh

    sin = trig.sin
    cos = trig.cos
    tan = trig.tan
    asin = trig.asin
    acos = trig.acos
    atan = trig.atan
    atan2 = trig.atan2

    erf = error.erf
    erfc = error.erfc
    erfinv = error.erfinv
    lgamma = gamma.lgamma
    digamma = gamma.digamma

    rsqrt = power.rsqrt
    reciprocal = power.reciprocal
    pow = power.pow
    hypot = power.hypot
    fmod = power.fmod
