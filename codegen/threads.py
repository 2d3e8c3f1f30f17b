"""Loops over threads in generated code: torch's own pool through its C interface, so
`torch.set_num_threads` holds.
"""

from __future__ import annotations

import llvmlite.ir as ll

from codegen import torch_abi
from codegen.abi import I32, I64, NULL, RANGE_TYPE, call, i64, stack


def emit_parallel_for(
    b: ll.IRBuilder,
    begin: int | ll.Value,
    end: int | ll.Value,
    grain: int | ll.Value,
    body: ll.Function,
    context: ll.Value = NULL,
) -> None:
    """Call `body(begin, end, context)` on parts of a range, each of at least `grain` steps, on
    several threads.

    Runs here, in one part, when the range is short, inside another parallel loop, or where torch
    has no such function.
    """
    if body.ftype != RANGE_TYPE:
        raise TypeError(f"{body.name}: a parallel body takes (i64 begin, i64 end, ptr context)")
    if torch_abi.has("torch_parallel_for"):
        call(b, "torch_parallel_for", i64(begin), i64(end), i64(grain), body, context)
    else:
        b.call(body, (i64(begin), i64(end), context))


def emit_thread_count(b: ll.IRBuilder) -> ll.Value:
    """The number of threads that a parallel loop may use, as i64."""
    if not torch_abi.has("torch_get_num_threads"):
        return i64(1)
    slot = stack(b, I32)
    call(b, "torch_get_num_threads", slot)
    return b.zext(b.load(slot, typ=I32), I64)
