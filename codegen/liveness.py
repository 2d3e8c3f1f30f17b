"""When memory of a plan is free again: after the last item of the outermost block that touches it.

What control flow, callbacks or the result read is kept until the call ends: there, values go by
other ways than through memory that is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from codegen.nest import Nest
from codegen.operands import producer, tensors_of
from codegen.partition import Callback, Group, Item
from codegen.prepare import Prepared
from ir import Node, Value, View


def dying(plan: Prepared) -> Mapping[int, Sequence[Value]]:
    """The values whose memory nobody needs after an item of the outermost block, by the position
    of that item.
    """
    block = plan.graph.block
    kept = set(_memory(plan, block.returns))
    for nest in plan.copies.get(block, ()):
        kept.update(_of_nest(nest))
    last: dict[Value, int] = {}
    for position, item in enumerate(plan.items[block]):
        touched = dict.fromkeys(_of_item(plan, item))  # in order: equal plans have equal code
        if isinstance(item, Group) or item in plan.calls:
            last.update(dict.fromkeys(touched, position))
        else:
            kept.update(touched)
    found: dict[int, list[Value]] = {}
    for base, position in last.items():
        if base not in kept:
            found.setdefault(position, []).append(base)
    return found


def _of_item(plan: Prepared, item: Item) -> Iterator[Value]:
    """The owners of all memory that an item reads or writes."""
    if isinstance(item, Group):
        for nest in plan.lowered[item].nests:
            yield from _of_nest(nest)
    elif isinstance(item, Callback):
        for node in item.nodes:
            yield from _of_node(plan, node)
    else:
        yield from _of_node(plan, item)
        call = plan.calls.get(item)
        if call is not None:
            yield from call.memory()
            yield from (base for nest in call.copies for base in _of_nest(nest))
        for block in item.blocks:
            yield from _memory(plan, [*block.params, *block.returns])
            yield from (v for inner in plan.items.get(block, ()) for v in _of_item(plan, inner))
            yield from (v for nest in plan.copies.get(block, ()) for v in _of_nest(nest))


def _of_node(plan: Prepared, node: Node) -> Iterator[Value]:
    yield from _memory(plan, [*node.inputs, *node.outputs, *tensors_of(node, plan.known)])
    for inner in (n for block in node.blocks for n in block.walk()):
        yield from _memory(plan, [*inner.inputs, *inner.outputs])


def _memory(plan: Prepared, values: Sequence[Value]) -> Iterator[Value]:
    return (plan.buffers[v].base for v in map(partial(_viewed, plan), values) if v in plan.buffers)


def _viewed(plan: Prepared, value: Value) -> Value:
    """The value with memory that a view without a place of its own will be made of."""
    while value not in plan.buffers:
        source = producer(value)
        if source is None or not isinstance(source.node.op.rule, View):
            break
        value = source.node.inputs[0]
    return value


def _of_nest(nest: Nest) -> Iterator[Value]:
    yield from (root.buffer.base for root in nest.roots)
    yield from (access.buffer.base for access in nest.accesses if access.buffer is not None)
