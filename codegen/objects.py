"""Which values of a plan have memory of their own, and which of them become Python objects."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.operands import producer
from codegen.partition import Callback, Item, reads
from codegen.prepare import Prepared
from ir import Node, Value, View

SEQUENCES = ("prim::TupleConstruct", "prim::ListConstruct")


def has_own_memory(value: Value, plan: Prepared) -> bool:
    """Whether a tensor was stored; the memory of a view that was only read is its base's."""
    return value in plan.buffers and plan.buffers[value].base is value


def is_stored(value: Value, plan: Prepared) -> bool:
    """Whether a tensor was stored, in memory of its own or of whom control flow hands it to."""
    source = producer(value)
    is_view = source is not None and isinstance(source.node.op.rule, View)
    return has_own_memory(value, plan) or (value in plan.buffers and not is_view)


def object_values(plan: Prepared) -> set[Value]:
    """Stored tensors that become Python objects: returned, read by a callback, or handed on as
    objects by control flow around callbacks.
    """
    wanted: set[Value] = set()
    for value in plan.graph.returns:
        wanted |= _tensors_of(value, plan)
    for items in plan.items.values():
        for item in items:
            for value in _object_reads(item, plan):
                wanted |= _tensors_of(value, plan)
    return wanted


def _object_reads(item: Item, plan: Prepared) -> Iterator[Value]:
    """What one item needs as objects."""
    if isinstance(item, Callback):
        for node in item.nodes:
            yield from reads(node)
    elif isinstance(item, Node) and item in plan.facts.mixed:
        yield from item.inputs
        for block in item.blocks:
            yield from block.returns


def called_with(node: Node, plan: Prepared) -> Iterator[Value]:
    """What items inside of control flow need as objects."""
    for block in node.blocks:
        for item in plan.items[block]:
            yield from _object_reads(item, plan)
            if isinstance(item, Node):
                yield from called_with(item, plan)
    if node in plan.facts.mixed:
        for block in node.blocks:
            yield from block.returns


def viewed_outside(value: Value, inside: set[Value]) -> Value | None:
    """What of outside an object is made of: the value itself, or what it is a view of."""
    while value in inside:
        source = producer(value)
        if source is None or not isinstance(source.node.op.rule, View):
            return None
        value = source.node.inputs[0]
    return value

def _tensors_of(value: Value, plan: Prepared) -> set[Value]:
    """The stored tensors that an object is made of: through tuples, lists and views."""
    source = producer(value)
    if has_own_memory(value, plan):
        is_loop = source is not None and source.node.name == "prim::Loop"
        return set() if is_loop and value not in plan.filled.values() else {value}
    if source is None:
        return set()
    if source.node.name in SEQUENCES or source.node.name == "prim::TupleUnpack":
        return {t for v in source.node.inputs for t in _tensors_of(v, plan)}
    return (
        _tensors_of(source.node.inputs[0], plan) if isinstance(source.node.op.rule, View) else set()
    )
