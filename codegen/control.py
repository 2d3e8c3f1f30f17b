"""Native control flow: `prim::If` and `prim::Loop` as branches of the body.

Numbers merge in phis. A tensor that a branch hands on is written into the memory of the `If`'s
output. A tensor that a loop carries has two memories in turn: an iteration reads one (the
parameter) and writes the other (its slot), and at the back edge they change places; the first one
read is the initial value's own, in whatever memory that is, if its layout fits.
"""

from __future__ import annotations

from typing import Protocol

import llvmlite.ir as ll

from codegen.entry import EntryBuilder
from codegen.nest import Nest
from codegen.partition import Group
from codegen.prepare import Prepared
from codegen.structured import allocate_call
from ir import BOOL, FLOAT, INT, Block, Node, TensorType, Value

I64 = ll.IntType(64)
TYPES: dict[object, ll.Type] = {INT: I64, FLOAT: ll.DoubleType(), BOOL: ll.IntType(1)}


class Body(Protocol):
    """What control flow uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    plan: Prepared
    numbers: dict[Value, ll.Value]
    pointers: dict[Value, ll.Value]

    @property
    def b(self) -> ll.IRBuilder:
        """Where the next instruction goes."""

    def block(self, block: Block) -> None:
        """Emit the items of an inner block."""

    def nest(self, nest: Nest) -> None:
        """Emit a loop nest."""

    def number(self, value: Value) -> ll.Value:
        """A number as a register."""

    def allocate(self, group: Group) -> None:
        """Memory for what a group stores."""

    def allocate_buffer(self, base: Value) -> None:
        """Memory for one value."""


def emit_if(body: Body, node: Node) -> None:
    """A branch; its outputs are phis of numbers, or memory that both sides wrote."""
    b = body.b
    for output in node.outputs:
        if isinstance(output.type, TensorType) and output not in body.pointers:
            body.allocate_buffer(output)
    for block in node.blocks:
        allocate_all(body, block)
    done = b.append_basic_block("if.done")
    sides = [b.append_basic_block(name) for name in ("if.then", "if.else")]
    b.cbranch(body.number(node.inputs[0]), *sides)
    ends = []
    for side, block in zip(sides, node.blocks, strict=True):
        b.position_at_end(side)
        body.block(block)
        results = [
            None if isinstance(v.type, TensorType) or o in body.plan.known else body.number(v)
            for v, o in zip(block.returns, node.outputs, strict=True)
        ]
        ends.append((b.block, results))
        b.branch(done)
    b.position_at_end(done)
    for k, output in enumerate(node.outputs):
        if ends[0][1][k] is not None:
            phi = b.phi(TYPES[output.type])
            for block, results in ends:
                phi.add_incoming(results[k], block)
            body.numbers[output] = phi


def emit_loop(body: Body, node: Node) -> None:
    """for (i = 0; i < count and condition; i++)."""
    b, inner = body.b, node.blocks[0]
    carried = list(
        zip(inner.params[1:], inner.returns[1:], node.inputs[2:], node.outputs, strict=True)
    )
    allocate_all(body, inner)
    starts = {p: _start(body, p, first) for p, _, first, _ in carried if p not in body.plan.known}
    count, condition = body.number(node.inputs[0]), body.number(node.inputs[1])
    before = b.block
    header, work, done = (b.append_basic_block(f"loop.{part}") for part in ("test", "body", "done"))
    b.branch(header)
    b.position_at_end(header)
    counter, go_on = b.phi(I64), b.phi(ll.IntType(1))
    counter.add_incoming(I64(0), before)
    go_on.add_incoming(condition, before)
    phis = {p: [b.phi(v.type) for v in values] for p, values in starts.items()}
    for param, values in starts.items():
        for phi, value in zip(phis[param], values, strict=True):
            phi.add_incoming(value, before)
        _name(body, param, phis[param])
    body.numbers[inner.params[0]] = counter
    b.cbranch(b.and_(go_on, b.icmp_signed("<", counter, count)), work, done)
    b.position_at_end(work)
    body.block(inner)
    following = body.number(inner.returns[0])
    results = {p: _following(body, p, r, phis[p]) for p, r, _, _ in carried if p in starts}
    latch = b.block
    counter.add_incoming(b.add(counter, I64(1)), latch)
    go_on.add_incoming(following, latch)
    for param, values in results.items():
        for phi, value in zip(phis[param], values, strict=True):
            phi.add_incoming(value, latch)
    b.branch(header)
    b.position_at_end(done)
    for param, _, _, output in carried:
        if param in phis:
            (body.pointers if isinstance(param.type, TensorType) else body.numbers)[output] = phis[
                param
            ][0]


def _start(body: Body, param: Value, first: Value) -> list[ll.Value]:
    """What a carried value starts as: a number; or memory to read, to write, and to write after
    that.
    """
    if not isinstance(param.type, TensorType):
        return [body.number(first)]
    slots = []
    for _ in range(2):
        body.allocate_buffer(body.plan.slots[param])
        slots.append(body.pointers.pop(body.plan.slots[param]))
    if param not in body.plan.entering:
        return [body.pointers[body.plan.buffers[first].base], *slots]
    body.pointers[param] = slots[0]
    body.nest(body.plan.entering[param])
    return [slots[0], slots[1], slots[0]]


def _name(body: Body, param: Value, phis: list[ll.Value]) -> None:
    if isinstance(param.type, TensorType):
        body.pointers[param], body.pointers[body.plan.slots[param]] = phis[0], phis[1]
    else:
        body.numbers[param] = phis[0]


def _following(body: Body, param: Value, result: Value, phis: list[ll.Value]) -> list[ll.Value]:
    """The next iteration reads what this one wrote, and writes where the one before did."""
    if isinstance(param.type, TensorType):
        return [phis[1], phis[2], phis[1]]
    return [body.number(result)]


def allocate_all(body: Body, block: Block) -> None:
    """All memory that a block and those inside it need, in front of the control flow that repeats
    or skips it.
    """
    for item in body.plan.items[block]:
        if isinstance(item, Group):
            body.allocate(item)
        elif isinstance(item, Node) and item in body.plan.calls:
            allocate_call(body, body.plan.calls[item])
        elif isinstance(item, Node):
            for output in item.outputs:
                if (
                    item.name == "prim::If"
                    and isinstance(output.type, TensorType)
                    and output not in body.pointers
                ):
                    body.allocate_buffer(output)
            for inner in item.blocks:
                allocate_all(body, inner)
