"""Loops over threads in generated code, on as many threads as `torch.set_num_threads` allows."""

from __future__ import annotations

import llvmlite.ir as ll

from codegen import parallel, torch_abi
from codegen.abi import NULL, RANGE_TYPE, call, i64


def emit_parallel_for(
    b: ll.IRBuilder,
    begin: int | ll.Value,
    end: int | ll.Value,
    grain: int | ll.Value,
    body: ll.Function,
    context: ll.Value = NULL,
    calls_blas: bool = False,
) -> None:
    """Call `body(begin, end, context)` on parts of a range, each of at least `grain` steps, on
    several threads (`codegen.parallel`); torch's own ones if the body calls BLAS, which knows there
    that it must not use more.

    Runs here, in one part, when the range is short, inside another parallel loop, or where torch
    has no such functions.
    """
    if body.ftype != RANGE_TYPE:
        raise TypeError(f"{body.name}: a parallel body takes (i64 begin, i64 end, ptr context)")
    if all(map(torch_abi.has, parallel.NEEDS)):
        loop = "torch_parallel_for" if calls_blas else parallel.LOOP
        call(b, loop, i64(begin), i64(end), i64(grain), body, context)
    else:
        b.call(body, (i64(begin), i64(end), context))
