"""Before any code is emitted: partition every block, lower its groups, choose schedules, and decide
where values live.

The decisions are made first because they may assume relations between sizes (`ir.dims.Facts`), and
assumptions are guards that stand in front of the body.

Tensors that control flow hands on live in memory of the value that receives them (a branch's
output, a loop's parameter): a group that computes such a tensor writes straight there, anything
else is copied (`Prepared.copies`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, zip_longest
from typing import Any

from codegen.buffers import dense_strides, readable
from codegen.fusible import REGISTERS
from codegen.images.strips import join_layers
from codegen.last_writes import compute_in_place, find_last_writes
from codegen.lists.chosen import Lists, find_lists
from codegen.lower import Lowered, lower, lower_copy
from codegen.nest import Buffer, Nest
from codegen.operands import arguments, producer, shape, tensor_type
from codegen.partition import Callback, Facts, Group, Item, partition, reads
from codegen.positions import Positions, place
from codegen.ranges import Ranges, ranges_of
from codegen.schedule import Schedule, schedule
from codegen.shared_views import shared_views, viewed_inside
from codegen.stores import find_stores, is_view, root_of
from codegen.structured import Call, prepare_call
from ir import (
    Aliases,
    Block,
    Composite,
    Element,
    Graph,
    Known,
    Node,
    Put,
    Structured,
    TensorType,
    Value,
    View,
    field,
    hint,
    product,
    record,
    same_dim,
)


@record(frozen=False, eq=False)
class Prepared:
    """A graph ready to be emitted: items of each block in order, lowered groups, copies at the end
    of blocks, and memory.
    """

    graph: Graph
    known: Known
    positions: Positions
    aliases: Aliases
    lists: Lists
    ranges: Ranges
    facts: Facts
    register_bytes: int
    items: dict[Block, list[Item]] = field(default_factory=dict)
    lowered: dict[Group, Lowered] = field(default_factory=dict)
    calls: dict[Node, Call] = field(default_factory=dict)
    stores: dict[Node, list[Nest]] = field(default_factory=dict)
    """Writes to memory of the plan; no nest where the value was computed in its place."""
    copies: dict[Block, list[Nest]] = field(default_factory=dict)
    schedules: dict[Nest, Schedule] = field(default_factory=dict)
    buffers: dict[Value, Buffer] = field(default_factory=dict)
    entering: dict[Value, Nest] = field(
        default_factory=dict
    )  # loop parameter -> copy of an initial value that lies otherwise
    slots: dict[Value, Value] = field(
        default_factory=dict
    )  # loop parameter -> the value whose memory the next iteration writes
    held: dict[Value, Nest] = field(default_factory=dict)
    """Views that lists hold -> the copy to memory of their own."""
    filled: dict[Value, Value] = field(default_factory=dict)
    """Loop parameter -> output: tensors that iterations fill part by part, in one memory."""

    def nests(self) -> list[Nest]:
        """Every nest of the plan, groups before the copies of their block."""
        return list(self.schedules)

    def schedule(self, nests: Sequence[Nest]) -> None:
        for nest in nests:
            self.schedules[nest] = schedule(nest, self.register_bytes)


def prepare(graph: Graph, known: Known, register_bytes: int) -> Prepared:
    """Partition, lower and schedule a specialized graph. Raises `codegen.refuse.Refused` with the
    reason when a plan cannot be made.
    """
    positions = place(graph, known)
    stores = find_stores(graph, known)
    aliases = Aliases(graph)
    lists = find_lists(graph, aliases, known)
    ranges = ranges_of(graph, known)
    while True:
        puts, last = set(_puts(graph, known)), find_last_writes(graph, aliases)
        facts = Facts(known, aliases, lists, stores, puts=puts, last_writes=last)
        plan = Prepared(graph, known, positions, aliases, lists, ranges, facts, register_bytes)
        _prepare_block(plan, graph.block, [])
        _join_layers(plan, plan.items[graph.block])
        needed, shown = _lists_as_objects(plan), _tensors_called_with(plan)
        if not needed and not shown:
            return plan
        for value in needed:
            lists.give_up(aliases.members(value))
        for value in shown:
            stores.give_up(aliases.members(value))


def _join_layers(plan: Prepared, items: Sequence[Item]) -> None:
    """Layers of images that nothing but calls and loop nests is between are computed together."""
    for is_plain, run in groupby(items, lambda i: isinstance(i, Group) or i in plan.calls):
        if is_plain:
            plan.calls |= join_layers({i: plan.calls[i] for i in run if isinstance(i, Node)})


def _lists_as_objects(plan: Prepared) -> set[Value]:
    """Lists taken for native that a callback changes or hands on."""
    callbacks = (i for items in plan.items.values() for i in items if isinstance(i, Callback))
    return {v for c in callbacks for node in c.nodes for v in plan.lists.needed_by(node)}


def _tensors_called_with(plan: Prepared) -> set[Value]:
    """Tensors taken for native that a callback reads or writes."""
    callbacks = (i for items in plan.items.values() for i in items if isinstance(i, Callback))
    read = {v for c in callbacks for node in c.nodes for v in reads(node)}
    return read & plan.facts.stores.tensors


def _prepare_block(plan: Prepared, block: Block, targets: Sequence[tuple[Value, Buffer]]) -> None:
    """`targets` are tensors of the block that must end in given memory."""
    items = plan.items[block] = partition(block, plan.facts)
    groups = [i for i in items if isinstance(i, Group)]
    stored = {id(g): stored_values(g, plan.facts) for g in groups}
    copies = [
        (v, t)
        for v, t in targets
        if not _write_there(plan, v, t, [v for g in groups for v in stored[id(g)]])
    ]
    for item, following in zip_longest(items, items[1:]):
        if isinstance(item, Group):
            if isinstance(following, Node) and following in plan.facts.stores.nodes:
                _compute_in_place(plan, item, following, stored[id(item)])
            plan.lowered[item] = found = lower(
                item.nodes, stored[id(item)], plan.known, plan.buffers
            )
            writes = plan.facts.last_writes
            compute_in_place(item, found.nests, writes, plan.buffers, plan.known)
            plan.schedule(found.nests)
            _prepare_held(plan, item)
        elif isinstance(item, Node) and isinstance(item.op.rule, Structured | Composite):
            plan.calls[item] = ready = prepare_call(item, plan.buffers, plan.known)
            plan.schedule(ready.copies)
        elif isinstance(item, Node) and isinstance(item.op.rule, Element):
            readable(item.inputs[0], plan.buffers, plan.known)
        elif isinstance(item, Node) and plan.facts.is_store(item):
            plan.stores[item] = _prepare_store(plan, item)
            plan.schedule(plan.stores[item])
        elif isinstance(item, Node) and item.name == "prim::If":
            _prepare_if(plan, item)
        elif isinstance(item, Node) and item.name == "prim::Loop":
            _prepare_loop(plan, item)
    plan.copies[block] = [lower_copy(v, t, plan.buffers, plan.known) for v, t in copies]
    plan.schedule(plan.copies[block])


def _write_there(
    plan: Prepared,
    value: Value,
    target: Buffer,
    stored: Sequence[Value],
) -> bool:
    """Let a value that a group of this block computes live in its target, the first one."""
    if value not in stored or value in plan.buffers:
        return False
    plan.buffers[value] = target
    return True


def _prepare_held(plan: Prepared, group: Group) -> None:
    """Views that lists hold are copied, unless the caller can tell."""
    for value in (v for node in group.nodes for v in node.outputs):
        is_own = value in plan.buffers and plan.buffers[value].base is value
        if value in plan.lists.handles and value not in plan.lists.escaping and not is_own:
            slot = Value(value.type, f"{value.name or 'item'}.held")
            type_ = tensor_type(value)
            assert type_.dtype is not None
            target = Buffer(slot, type_.dtype, type_.shape, dense_strides(type_))
            plan.held[value] = lower_copy(value, target, plan.buffers, plan.known)
            plan.schedule([plan.held[value]])


def _compute_in_place(plan: Prepared, group: Group, store: Node, stored: Sequence[Value]) -> None:
    """Let a value that is only made to be written be computed where it goes: if no loop nest of its
    group reads that memory elsewhere, or makes it.
    """
    target, value = store.inputs[:2]
    made_from, root = value.node, root_of(target)
    if value not in stored or value in plan.buffers or len(value.uses) > 1:
        return
    if not isinstance(target.type, TensorType) or root.node in group.nodes:
        return
    for node in group.nodes:
        for operand in node.inputs:
            is_read = plan.aliases.may_alias(operand, target)
            is_there = operand is target and node is made_from
            if is_read and not is_there and not is_view(node.outputs[0]):
                return
    plan.buffers[value] = readable(target, plan.buffers, plan.known)


def _prepare_store(plan: Prepared, store: Node) -> list[Nest]:
    """The copy of a value to where it is written, unless it is there."""
    target, value = store.inputs[:2]
    there = readable(target, plan.buffers, plan.known)
    if plan.buffers.get(value) is there:
        return []
    return [lower_copy(value, there, plan.buffers, plan.known)]


def is_object(plan: Prepared, value: Value) -> bool:
    """Whether control flow hands a value on as a Python object."""
    return (
        value not in plan.known
        and value.type not in REGISTERS
        and not plan.lists.is_held(value)
        and value not in plan.buffers
    )


def _prepare_if(plan: Prepared, node: Node) -> None:
    is_mixed = node in plan.facts.mixed
    targets = [
        _own_buffer(plan, v)
        if isinstance(v.type, TensorType) and not is_mixed and v not in plan.lists.handles
        else None
        for v in node.outputs
    ]
    for block in node.blocks:
        _prepare_block(
            plan,
            block,
            [(v, t) for v, t in zip(block.returns, targets, strict=True) if t is not None],
        )


def _prepare_loop(plan: Prepared, node: Node) -> None:
    """Each carried tensor has the memory that its parameter reads, and a slot that the next
    iteration's value is written to. Around callbacks tensors are carried as objects.
    """
    body = node.blocks[0]
    if node in plan.facts.mixed:
        plan.facts.boxed.update(plan.facts.objects(body.params))
        _prepare_block(plan, body, [])
        return
    targets = []
    carried = zip(body.params[1:], body.returns[1:], node.inputs[2:], node.outputs, strict=True)
    for param, result, first, output in carried:
        if result.node in plan.facts.puts:
            targets.append(_fill(plan, param, result.node, output))
        elif isinstance(param.type, TensorType) and param not in plan.lists.handles:
            buffer = _own_buffer(plan, param)
            _enter(plan, first, buffer)
            slot = plan.slots[param] = Value(param.type, f"{param.name or 'carried'}.next")
            targets.append((result, Buffer(slot, buffer.dtype, buffer.dims, buffer.strides)))
            plan.buffers[slot] = targets[-1][1]
            plan.buffers[output] = Buffer(output, buffer.dtype, buffer.dims, buffer.strides)
    _prepare_block(plan, body, targets)


def _puts(graph: Graph, known: Known) -> Iterator[Node]:
    """Nodes that fill a tensor which a loop carries uninitialized, and nobody reads meanwhile."""
    for loop in graph.walk():
        if loop.name == "prim::Loop":
            (body,) = loop.blocks
            for k, result in enumerate(body.returns[1:], 1):
                node, first = result.node, loop.inputs[k + 1].node
                if node is None or not isinstance(node.op.rule, Put) or node.block is not body:
                    continue
                rows, dim = node.inputs[0], arguments(node, known)["dim"]
                is_own = rows is body.params[k] and len(rows.uses) == len(result.uses) == 1
                is_new = first is not None and first.name == "prim::Uninitialized"
                if is_own and is_new and isinstance(dim, int):
                    yield node


def _fill(plan: Prepared, param: Value, put: Node, output: Value) -> tuple[Value, Buffer]:
    """Memory for a tensor that a loop fills; what an iteration stores, and where."""
    whole = _own_buffer(plan, output)
    plan.buffers[param] = plan.buffers[put.output] = whole
    plan.filled[param] = output
    row, given = put.inputs[1], arguments(put, plan.known)
    dim, position = given["dim"], given["position"]
    offset = position * whole.strides[dim]
    strides = (*whole.strides[:dim], *whole.strides[dim + 1 :])
    return row, Buffer(output, whole.dtype, shape(row), strides, offset)


def _enter(plan: Prepared, first: Value, buffer: Buffer) -> None:
    """Copy a loop's initial value when its memory is not laid out as the loop's parameter."""
    if first.node is not None and first.node.name == "prim::Uninitialized":
        return
    start = readable(first, plan.buffers, plan.known)
    if not all(map(same_dim, start.strides, buffer.strides)) or not same_dim(start.offset, 0):
        plan.entering[buffer.base] = lower_copy(first, buffer, plan.buffers, plan.known)
        plan.schedule([plan.entering[buffer.base]])


def _own_buffer(plan: Prepared, value: Value) -> Buffer:
    type_ = value.type
    assert isinstance(type_, TensorType) and type_.dtype is not None
    plan.buffers[value] = Buffer(value, type_.dtype, type_.shape, dense_strides(type_))
    return plan.buffers[value]


def stored_values(group: Group, facts: Facts) -> list[Value]:
    """What a group stores for others, and memory that others write. Where calls, which read any
    strides, are the only readers of views that together show all of a value, or views must share
    their memory, that value is stored in their place.
    """
    known, stores = facts.known, facts.stores
    roots = [v for n in group.nodes for v in n.outputs if stores.is_root(v)]
    outputs = [v for v in group.outputs() if v not in stores.tensors]
    own = [*roots, *(v for v in outputs if not is_alias(v, group))]
    shown: dict[Value, list[Value]] = {}
    for value in own:
        base = _viewed_inside(value, group, known)
        if base is not None:
            shown.setdefault(base, []).append(value)
    told = {b: v for b, v in shown.items() if b in own or sum(map(_size, v)) >= _size(b)}
    for base, views in (told | shared_views(own, group.nodes, facts.aliases, known)).items():
        own = [v for v in own if v not in views and v is not base] + [base]
    return own


def _size(value: Value) -> int:
    """The observed number of elements."""
    return hint(product(shape(value)))


def _viewed_inside(value: Value, group: Group, known: Mapping[Value, Any]) -> Value | None:
    """What of the group an output is a strided view of, when only calls outside read it."""
    outside = [user for user, _ in value.uses if user not in group.nodes]
    if not all(isinstance(user.op.rule, Structured) for user in outside):
        return None
    base = viewed_inside(value, group.nodes)
    if base is None:
        return None
    type_ = base.type
    assert isinstance(type_, TensorType) and type_.dtype is not None
    memory = {base: Buffer(base, type_.dtype, type_.shape, dense_strides(type_))}
    return base if readable(value, memory, known).base is base else None


def is_alias(value: Value, group: Group) -> bool:
    """Whether a value is a view that must share storage with an object: of an argument, or of
    something the group stores.
    """
    source = producer(value)
    if source is None or not isinstance(source.node.op.rule, View) or source.node.op.rule.copies:
        return False
    base = source.node.inputs[0]
    inside = base.node is not None and (
        base.node in group.nodes or base.node.name == "prim::ListUnpack"
    )
    return not inside or base in group.outputs() or is_alias(base, group)
