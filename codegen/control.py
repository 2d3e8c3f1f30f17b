"""Native control flow: `prim::If` and `prim::Loop` as branches of the body.

Numbers and lists merge in phis; objects wait in slots that own them. A tensor that a branch hands
on is written into the memory of the `If`'s output. A tensor that a loop carries has two memories in
turn: an iteration reads one (the parameter) and writes the other (its slot), and at the back edge
they change places; the first one read is the initial value's own, in whatever memory that is, if
its layout fits. Around callbacks, tensors are handed on as objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

import llvmlite.ir as ll

from codegen.abi import PTR, call
from codegen.entry import EntryBuilder, Owned
from codegen.nest import Nest
from codegen.partition import Group
from codegen.prepare import Prepared, is_object
from codegen.quiet import is_endless, is_quiet, long_turns
from codegen.structured import allocate_call_ahead
from ir import BOOL, FLOAT, INT, Block, Node, TensorType, Type, Value

I64 = ll.IntType(64)
TYPES: dict[object, ll.Type] = {INT: I64, FLOAT: ll.DoubleType(), BOOL: ll.IntType(1)}


def register_type(type_: Type) -> ll.Type:
    """The type of a number, or of a native list's header."""
    return TYPES.get(type_, PTR)


class Body(Protocol):
    """What control flow uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    plan: Prepared
    numbers: dict[Value, ll.Value]
    pointers: dict[Value, ll.Value]
    objects: dict[Value, ll.Value]
    can_leave: bool

    @property
    def b(self) -> ll.IRBuilder:
        """Where the next instruction goes."""

    def block(self, block: Block) -> None:
        """Emit the items of an inner block."""

    def nest(self, nest: Nest) -> None:
        """Emit a loop nest."""

    def number(self, value: Value) -> ll.Value:
        """A number as a register."""

    def handed(self, value: Value) -> ll.Value:
        """A number or a list as control flow hands it on: the taker owns a reference."""

    def receive(self, value: Value, register: ll.Value, is_owned: bool = True) -> None:
        """Note a number or list that control flow has handed on."""

    def drop(self, value: Value, register: ll.Value) -> None:
        """Give up the reference to a list that goes out of use; numbers have none."""

    def object(self, value: Value) -> ll.Value:
        """A value as a Python object, borrowed from the plan."""

    def box_for(self, node: Node) -> None:
        """Make the objects that callbacks inside read of tensors outside."""

    def inside(self, block: Block) -> AbstractContextManager[None]:
        """The scope of an inner block."""

    def has_effect(self, block: Block) -> bool:
        """Whether a block does anything visible."""

    def allocate_ahead(self, group: Group) -> None:
        """Memory for what a group stores, in front of the loop that repeats it."""

    def allocate_buffer(self, base: Value) -> None:
        """Memory for one value."""

    def is_new_each_time(self, base: Value) -> bool:
        """Whether a value has other memory in each turn of a loop."""


def emit_if(body: Body, node: Node) -> None:
    """A branch; its outputs are phis of numbers and lists, memory that both sides wrote, or
    objects in slots.
    """
    b = body.b
    planned, held = body.plan.buffers, body.plan.lists.handles
    for output in node.outputs:
        if output in planned and output not in body.pointers and output not in held:
            body.allocate_buffer(output)
    for block in node.blocks:
        allocate_all(body, block)
    body.box_for(node)
    slots = {o: body.entry.slot() for o in node.outputs if is_object(body.plan, o)}
    done = b.append_basic_block("if.done")
    sides = [b.append_basic_block(name) for name in ("if.then", "if.else")]
    b.cbranch(body.number(node.inputs[0]), *sides)
    ends, can_leave = [], body.can_leave
    for side, block in zip(sides, node.blocks, strict=True):
        b.position_at_end(side)
        with body.inside(block):
            body.block(block)
            results = [
                _handed_on(body, value, output, slots)
                for value, output in zip(block.returns, node.outputs, strict=True)
            ]
        ends.append((b.block, results, body.can_leave))
        body.can_leave = can_leave
        b.branch(done)
    body.can_leave = all(end[2] for end in ends)
    b.position_at_end(done)
    phis: dict[Value, ll.Value] = {}
    for k, output in enumerate(node.outputs):
        if ends[0][1][k] is not None:
            phis[output] = b.phi(register_type(output.type))
            for block, results, _ in ends:
                phis[output].add_incoming(results[k], block)
    for output, phi in phis.items():
        body.receive(output, phi)
    for output, slot in slots.items():
        body.objects[output] = body.entry.peek(slot)


def _handed_on(
    body: Body, value: Value, output: Value, slots: Mapping[Value, Owned]
) -> ll.Value | None:
    """What a branch hands on in a register; objects go to their slots, tensors are in memory."""
    if output in slots:
        body.entry.keep(slots[output], body.object(value))
    is_memory = output in body.plan.buffers and output not in body.plan.lists.handles
    if output in slots or output in body.plan.known or is_memory:
        return None
    return body.handed(value)


def emit_loop(body: Body, node: Node) -> None:
    """for (i = 0; i < count and condition; i++)."""
    b, inner, entry = body.b, node.blocks[0], body.entry
    carried = list(
        zip(inner.params[1:], inner.returns[1:], node.inputs[2:], node.outputs, strict=True)
    )
    allocate_all(body, inner)
    body.box_for(node)
    slots = {p: entry.slot() for p, *_ in carried if is_object(body.plan, p)}
    known = body.plan.known
    starts = {
        p: _start(body, p, first)
        for p, _, first, _ in carried
        if p not in known and p not in slots and p not in body.plan.filled
    }
    for param, output in body.plan.filled.items():
        if param in inner.params:
            body.allocate_buffer(output)
    entry.loop_depth += 1
    _keep_all(body, slots, {p: first for p, _, first, _ in carried})
    count, condition = body.number(node.inputs[0]), body.number(node.inputs[1])
    gil = ExitStack()
    is_late = _release_gil(body, node, count, gil)
    before = b.block
    work, done = (b.append_basic_block(f"loop.{part}") for part in ("body", "done"))
    b.cbranch(_goes_on(body, node, condition, I64(0), count), work, done)
    b.position_at_end(work)
    counter = b.phi(I64)
    counter.add_incoming(I64(0), before)
    phis = {p: [b.phi(v.type) for v in values] for p, values in starts.items()}
    for param, values in starts.items():
        for phi, value in zip(phis[param], values, strict=True):
            phi.add_incoming(value, before)
    for param, values in phis.items():
        _name(body, param, values)
    body.numbers[inner.params[0]] = counter
    body.can_leave = body.can_leave and not body.has_effect(inner)
    with body.inside(inner):
        for param, slot in slots.items():
            body.objects[param] = entry.peek(slot)
        body.block(inner)
        following = body.number(inner.returns[0])
        results = {p: _following(body, p, r, phis[p]) for p, r, _, _ in carried if p in starts}
        _keep_all(body, slots, {p: r for p, r, _, _ in carried})
        for param in phis:
            body.drop(param, phis[param][0])
        if is_late:
            turns = I64(long_turns(body.plan, node))
            with b.if_then(b.icmp_signed("==", counter, turns), likely=False):
                entry.give_gil()
    latch = b.block
    turn = b.add(counter, I64(1), flags=("nsw",))
    counter.add_incoming(turn, latch)
    for param, values in results.items():
        for phi, value in zip(phis[param], values, strict=True):
            phi.add_incoming(value, latch)
    b.cbranch(_goes_on(body, node, following, turn, count), work, done)
    b.position_at_end(done)
    last = {p: _either(body, (before, starts[p][0]), (latch, results[p][0])) for p in phis}
    gil.close()
    entry.loop_depth -= 1
    for param, _, _, output in carried:
        if param in slots:
            body.objects[output] = entry.peek(slots[param])
        elif param in phis and _is_memory(body, param):
            body.pointers[output] = last[param]
        elif param in phis:
            body.receive(output, last[param])


def _goes_on(
    body: Body, node: Node, condition: ll.Value, turn: ll.Value, count: ll.Value
) -> ll.Value:
    """Whether a loop has a turn of that number; nobody waits for the last one of an endless one."""
    if is_endless(body.plan, node):
        return condition
    return body.b.and_(condition, body.b.icmp_signed("<", turn, count))


def _either(body: Body, *values: tuple[ll.Block, ll.Value]) -> ll.Value:
    """The value that comes from the block in front of this one."""
    phi = body.b.phi(values[0][1].type)
    for block, value in values:
        phi.add_incoming(value, block)
    return phi


def _release_gil(body: Body, node: Node, count: ll.Value, gil: ExitStack) -> bool:
    """Run a quiet loop without the GIL where its count is a large one; whether a turn has to see
    how long it runs.
    """
    entry, turns = body.entry, long_turns(body.plan, node)
    is_late = is_endless(body.plan, node)
    is_short = body.plan.ranges.of(node.inputs[0])[1] <= turns
    if is_short or (is_late and entry.is_released) or not is_quiet(body.plan, node):
        return False
    is_long = ll.IntType(1)(0) if is_late else body.b.icmp_signed(">", count, I64(turns))
    gil.enter_context(entry.release_gil(is_long))
    return is_late


def _keep_all(body: Body, slots: Mapping[Value, Owned], values: Mapping[Value, Value]) -> None:
    """Put objects into their slots, all at once: each may be what another slot holds."""
    b, entry = body.b, body.entry
    objects = [body.object(values[param]) for param in slots]
    for obj in objects:
        call(b, "Py_IncRef", obj)
    for slot, obj in zip(slots.values(), objects, strict=True):
        entry.replace(slot, obj)


def _is_memory(body: Body, param: Value) -> bool:
    """Whether a loop carries a value in two memories that change places."""
    return isinstance(param.type, TensorType) and param not in body.plan.lists.handles


def _start(body: Body, param: Value, first: Value) -> list[ll.Value]:
    """What a carried value starts as: a number, list or handle; or memory to read, to write, and
    to write after that.
    """
    if not _is_memory(body, param):
        return [body.handed(first)]
    slots: list[ll.Value] = []
    for _ in range(2):
        body.allocate_buffer(body.plan.slots[param])
        slots.append(body.pointers.pop(body.plan.slots[param]))
    if first.node is not None and first.node.name == "prim::Uninitialized":
        return [slots[0], slots[1], slots[0]]
    if param not in body.plan.entering:
        return [body.pointers[body.plan.buffers[first].base], *slots]
    body.pointers[param] = slots[0]
    body.nest(body.plan.entering[param])
    return [slots[0], slots[1], slots[0]]


def _name(body: Body, param: Value, phis: list[ll.Value]) -> None:
    if _is_memory(body, param):
        body.pointers[param], body.pointers[body.plan.slots[param]] = phis[0], phis[1]
    else:
        body.receive(param, phis[0], is_owned=False)


def _following(body: Body, param: Value, result: Value, phis: list[ll.Value]) -> list[ll.Value]:
    """The next iteration reads what this one wrote, and writes where the one before did."""
    if _is_memory(body, param):
        return [phis[1], phis[2], phis[1]]
    return [body.handed(result)]


def allocate_all(body: Body, block: Block) -> None:
    """All memory that a block and those inside it need, in front of the control flow that repeats
    or skips it.
    """
    for item in body.plan.items[block]:
        if isinstance(item, Group):
            body.allocate_ahead(item)
        elif isinstance(item, Node) and item in body.plan.calls:
            allocate_call_ahead(body, body.plan.calls[item])
        elif isinstance(item, Node):
            for output in item.outputs:
                if (
                    item.name == "prim::If"
                    and output in body.plan.buffers
                    and output not in body.pointers
                    and output not in body.plan.lists.handles
                ):
                    body.allocate_buffer(output)
            for inner in item.blocks:
                allocate_all(body, inner)
