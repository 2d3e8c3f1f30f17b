"""Call a kernel: directly, or split over torch's threads with the GIL released.

    many steps:  context = [arguments]; torch_parallel_for(0, steps, grain, range function, context)
    else:        kernel(arguments, 0, steps)

The range function unpacks the context and calls the kernel for its part; a fault of any part is kept in the context.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import RANGE_TYPE, call, stack
from codegen.entry import EntryBuilder
from codegen.kernel import Kernel
from ir import hint, product

I32, I64, PTR = ll.IntType(32), ll.IntType(64), ll.PointerType()
GRAIN_WORK = 1 << 15  # flop equivalents that one thread should get at least


def launch(entry: EntryBuilder, kernel: Kernel, arguments: Sequence[ll.Value]) -> ll.Value | None:
    """Emit the call; the status (0: no element faulted) of a kernel that can fault, else None."""
    b = entry.builder
    steps = entry.size(kernel.steps)
    if not kernel.schedule.is_parallel:
        status = b.call(kernel.function, [*arguments, I64(0), steps])
        return status if kernel.can_fault else None
    function = _range_function(entry.module, kernel)
    slots = [*arguments, I32(0)]
    types = [a.type for a in slots]
    context = stack(b, ll.LiteralStructType(types))
    for k, value in enumerate(slots):
        b.store(value, _slot(b, context, types, k))
    with entry.release_gil():
        call(b, "torch_parallel_for", I64(0), steps, I64(_grain(kernel)), function, context)
    return b.load(_slot(b, context, types, len(arguments)), typ=I32) if kernel.can_fault else None


def _grain(kernel: Kernel) -> int:
    """Steps per thread that are worth a thread."""
    nest, plan = kernel.nest, kernel.schedule
    points = hint(product(v.extent for v in [*plan.outer, *plan.reduced]))
    per_step = points * max(nest.cost, 4) // max(hint(kernel.steps), 1)
    return max(GRAIN_WORK // max(per_step, 1), 1)


def _slot(b: ll.IRBuilder, context: ll.Value, types: Sequence[ll.Type], k: int) -> ll.Value:
    return b.gep(context, [I32(0), I32(k)], inbounds=True, source_etype=ll.LiteralStructType(types))


def _range_function(module: ll.Module, kernel: Kernel) -> ll.Function:
    """`void(begin, end, context)` that runs the kernel on a part of its steps."""
    types = [a.type for a in kernel.function.args[:-2]] + [I32]
    function = ll.Function(module, RANGE_TYPE, f"{kernel.function.name}.range")
    function.linkage = "internal"
    begin, end, context = function.args
    b = ll.IRBuilder(function.append_basic_block("entry"))
    arguments = [b.load(_slot(b, context, types, k), typ=t) for k, t in enumerate(types[:-1])]
    status = b.call(kernel.function, [*arguments, begin, end])
    if kernel.can_fault:
        b.atomic_rmw("or", _slot(b, context, types, len(types) - 1), status, "monotonic")
    b.ret_void()
    return function
