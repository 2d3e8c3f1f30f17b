"""Call a kernel: directly, or split over threads with the GIL released.

    many steps:  context = [arguments]; parallel for (0, steps, grain, range function, context)
    else:        kernel(arguments, 0, steps)

The range function unpacks the context and calls the kernel for its part; a fault of any part is
kept in the context.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import RANGE_TYPE, stack
from codegen.cost import MEMORY_COST
from codegen.entry import EntryBuilder
from codegen.kernel import Kernel
from codegen.threads import emit_parallel_for
from ir import hint, product

I64 = ll.IntType(64)
GRAIN_WORK = 1 << 18  # flop equivalents that one thread should get at least


def launch(entry: EntryBuilder, kernel: Kernel, arguments: Sequence[ll.Value]) -> ll.Value | None:
    """Emit the call; the status (0: no element faulted) of a kernel that can fault, else None."""
    b = entry.builder
    steps = entry.size(kernel.steps)
    if kernel.finish is not None:
        arguments = [*arguments, stack(b, I64, kernel.partial_words)]
    if not kernel.schedule.is_parallel:
        status = b.call(kernel.function, [*arguments, I64(0), steps])
        return b.zext(status, I64) if kernel.can_fault else None
    function = _range_function(entry.module, kernel)
    context = stack(b, I64, len(arguments) + 1)
    for k, value in enumerate([*arguments, I64(0)]):
        b.store(_to_word(b, value), _slot(b, context, k))
    with entry.release_gil():
        emit_parallel_for(b, 0, steps, _grain(kernel), function, context)
    if kernel.finish is not None:
        b.call(kernel.finish, [*arguments, I64(0), steps])
    return b.load(_slot(b, context, len(arguments)), typ=I64) if kernel.can_fault else None


def _grain(kernel: Kernel) -> int:
    """Steps per thread that are worth a thread."""
    nest, plan = kernel.nest, kernel.schedule
    points = hint(product(v.extent for v in [*plan.outer, *plan.reduced]))
    per_step = points * max(nest.cost, MEMORY_COST) // max(hint(kernel.steps), 1)
    return max(GRAIN_WORK // max(per_step, 1), 1)


def _slot(b: ll.IRBuilder, context: ll.Value, k: int) -> ll.Value:
    return b.gep(context, [I64(k)], inbounds=True, source_etype=I64)


def _to_word(b: ll.IRBuilder, value: ll.Value) -> ll.Value:
    """A pointer or number as one word of the context."""
    if isinstance(value.type, ll.PointerType):
        return b.ptrtoint(value, I64)
    if isinstance(value.type, ll.DoubleType):
        return b.bitcast(value, I64)
    return value if value.type == I64 else b.zext(value, I64)


def _from_word(b: ll.IRBuilder, word: ll.Value, kind: ll.Type) -> ll.Value:
    if isinstance(kind, ll.PointerType):
        return b.inttoptr(word, kind)
    if isinstance(kind, ll.DoubleType):
        return b.bitcast(word, kind)
    return word if kind == I64 else b.trunc(word, kind)


def _range_function(module: ll.Module, kernel: Kernel) -> ll.Function:
    """`void(begin, end, context)` that runs the kernel on a part of its steps; one for each."""
    name = f"{kernel.function.name}.range"
    if name in module.globals:
        return module.globals[name]
    types = [a.type for a in kernel.function.args[:-2]]
    function = ll.Function(module, RANGE_TYPE, name)
    function.linkage = "internal"
    begin, end, context = function.args
    b = ll.IRBuilder(function.append_basic_block("entry"))
    arguments = [
        _from_word(b, b.load(_slot(b, context, k), typ=I64), t) for k, t in enumerate(types)
    ]
    status = b.call(kernel.function, [*arguments, begin, end])
    if kernel.can_fault:
        b.atomic_rmw("or", _slot(b, context, len(types)), b.zext(status, I64), "monotonic")
    b.ret_void()
    return function
