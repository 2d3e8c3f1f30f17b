"""What became of each node of a plan: which kernels compute it, or a register, or a call back into
the interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator

from codegen.linked import Plan
from codegen.nest import Nest
from codegen.partition import CONTROL, STRUCTURE, Callback, Group, Item, has_rule
from ir import Node, View, record


@record
class Place:
    """Where a plan computes a node.

    tier   kernel     fused into those numbered `kernels`; into constants when there are none
           register   computed by the plan's body
    call       a routine or an operator of torch's, called without Python
           control    a native branch or loop
           view       torch's own view of an object
           callback   run by the interpreter, because of `reason`, a row of the reason table
           part       in function `part` of those that are compiled when they are called
    """

    node: Node
    tier: str
    kernels: tuple[int, ...] = ()
    reason: str | None = None
    part: int | None = None


def places(plan: Plan) -> list[Place]:
    """The places of all nodes that do work, in order."""
    values = [(k, _values(kernel.nest)) for k, kernel in enumerate(plan.kernels)]
    items = [item for items in plan.prepared.items.values() for item in items]
    return [place for item in items for place in _of_item(plan, item, values)]


def _values(nest: Nest) -> set[object]:
    """Everything that a nest computes or reads."""
    computed: set[object] = {value for value, *_ in nest.uses}
    computed.update(root.value for root in nest.roots)
    computed.update(value for reduce in nest.reduces for value in reduce.node.outputs)
    return computed


def _of_item(plan: Plan, item: Item, kernels: list[tuple[int, set[object]]]) -> Iterator[Place]:
    if isinstance(item, Group):
        for node in (n for n in item.nodes if n.name not in STRUCTURE):
            found = tuple(k for k, values in kernels if not values.isdisjoint(node.outputs))
            tier = "view" if not found and isinstance(node.op.rule, View) else "kernel"
            yield Place(node, tier, found)
    elif isinstance(item, Callback):
        part = list(plan.parts).index(item) if item in plan.parts else None
        for node in item.nodes:
            yield from _called(node, _reason(node), part)
    elif item.name in CONTROL:
        yield Place(item, "control")
    elif item in plan.prepared.calls:
        yield from (Place(node, "call") for node in (item, *plan.taken.get(item, ())))
    elif item in plan.prepared.stores:
        written = item.inputs[1]
        yield Place(item, "kernel", tuple(k for k, values in kernels if written in values))
    elif item.name not in STRUCTURE:
        yield Place(item, "register")


def _called(node: Node, reason: str, part: int | None) -> Iterator[Place]:
    """A node that is called back, with all that is inside of it."""
    if node.name not in STRUCTURE:
        tier = "callback" if part is None else "part"
        yield Place(node, tier, reason=reason, part=part)
    for block in node.blocks:
        for inner in block.nodes:
            yield from _called(inner, reason, part)


def _reason(node: Node) -> str:
    """Why a node is called back: what has a rule for native code lacked facts about its
    operands.
    """
    return "unknown shape" if has_rule(node) else "not native"
