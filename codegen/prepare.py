"""Before any code is emitted: partition every block, lower its groups, choose schedules, and decide where values live.

The decisions are made first because they may assume relations between sizes (`ir.dims.Facts`), and assumptions are guards that
stand in front of the body.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from codegen.lower import Lowered, lower
from codegen.nest import Buffer
from codegen.operands import Known, producer
from codegen.partition import Group, partition
from codegen.schedule import Schedule, schedule
from ir import Block, Graph, Node, TensorType, Value, View


@dataclass(eq=False, slots=True)
class Prepared:
    """A graph ready to be emitted: items of each block in order, the lowered groups, and the memory of stored values."""

    graph: Graph
    known: Known
    items: dict[Block, list[Group | Node]] = field(default_factory=dict)
    lowered: dict[Group, Lowered] = field(default_factory=dict)
    schedules: dict[Group, list[Schedule]] = field(default_factory=dict)
    buffers: dict[Value, Buffer] = field(default_factory=dict)
    escaping: set[Value] = field(default_factory=set)  # tensors that become Python objects


def prepare(graph: Graph, known: Known, register_bytes: int) -> Prepared:
    """Partition, lower and schedule a specialized graph. Raises `codegen.refuse.Refused` with the reason when a plan cannot be made."""
    plan = Prepared(graph, known)
    _prepare_block(plan, graph.block, register_bytes)
    return plan


def _prepare_block(plan: Prepared, block: Block, register_bytes: int) -> None:
    items = plan.items[block] = partition(block, plan.known)
    for item in items:
        if isinstance(item, Group):
            plan.lowered[item] = found = lower(item.nodes, _stored_outputs(plan, item), plan.known, plan.buffers)
            plan.schedules[item] = [schedule(nest, register_bytes) for nest in found.nests]
        else:
            for inner in item.blocks:
                _prepare_block(plan, inner, register_bytes)


def _stored_outputs(plan: Prepared, group: Group) -> list[Value]:
    """The group's outputs that need memory: all but views of tensors that Python objects hold (these stay views)."""
    return [v for v in group.outputs() if not is_alias(v, group)]


def is_alias(value: Value, group: Group) -> bool:
    """Whether a value is a view that must share storage with an object: of an argument, or of something the group stores."""
    source = producer(value)
    if source is None or not isinstance(source.node.op.rule, View) or source.node.op.rule.copies:
        return False
    base = source.node.inputs[0]
    inside = base.node is not None and base.node in group.nodes
    return not inside or base in group.outputs() or is_alias(base, group)


def tensors(values: Iterable[Value]) -> list[Value]:
    """Those of the values that are tensors."""
    return [v for v in values if isinstance(v.type, TensorType)]
