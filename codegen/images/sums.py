"""The inner loop of generated convolutions: sums of products in registers.

    for each step k:  sums[row, vector] += input[row][k] * panel[k][vector]

An input element is broadcast to a vector; a step loads one vector of the panel per vector of sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import i64, offset
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import carried
from ir import dtypes

STEPS = 4  # in one turn of the loop
FLOAT = dtypes.float32


def zeros(s: Lanes, count: int) -> list[ll.Value]:
    """Sums of nothing."""
    return [s.splat(s.const(0.0, FLOAT)).value] * count


def add_products(
    s: Lanes,
    inputs: Sequence[ll.Value],
    panel: ll.Value,
    depth: ll.Value,
    sums: Sequence[ll.Value],
) -> Sequence[ll.Value]:
    """Add `depth` steps to sums, those of one input after the other."""
    b, vectors = s.builder, len(sums) // len(inputs)
    vector_bytes = 4 * s.width

    def add(k: ll.Value, sums: Sequence[ll.Value]) -> Sequence[ll.Value]:
        step = offset(b, panel, b.mul(k, i64(vectors * vector_bytes)))
        at = b.mul(k, i64(4))
        y = [s.load(offset(b, step, v * vector_bytes), FLOAT) for v in range(vectors)]
        x = [s.splat(s.load_scalar(offset(b, p, at), FLOAT)) for p in inputs]
        return [
            s.fma(x[n // vectors], y[n % vectors], Lane(s, total, FLOAT)).value
            for n, total in enumerate(sums)
        ]

    def several(turn: ll.Value, sums: Sequence[ll.Value]) -> Sequence[ll.Value]:
        first = b.mul(turn, i64(STEPS))
        for k in range(STEPS):
            sums = add(b.add(first, i64(k)), sums)
        return sums

    turns = b.udiv(depth, i64(STEPS))
    sums = carried(b, turns, sums, several)
    done = b.mul(turns, i64(STEPS))
    return carried(b, b.sub(depth, done), sums, lambda k, sums: add(b.add(done, k), sums))
