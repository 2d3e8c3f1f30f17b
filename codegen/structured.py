"""Structured nodes of a plan: where their operands lie, and the call.

The result of such a node is a planned tensor: its type is known, so what follows stays native. A
product reads its operands in place as far as BLAS can (`codegen.product`) and writes to memory of
the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import llvmlite.ir as ll

from codegen import blas
from codegen.abi import offset
from codegen.entry import EntryBuilder
from codegen.lower import lower_copy, readable
from codegen.nest import Buffer, Nest
from codegen.operands import Known
from codegen.product import Product, is_readable, product_of
from ir import Node, Structured, TensorType, Value, contiguous_strides


@dataclass(frozen=True, slots=True)
class Call:
    """A product ready to be emitted: its operands in memory, after some were copied."""

    node: Node
    product: Product
    operands: tuple[Buffer, Buffer]
    copies: tuple[Nest, ...]

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        return [*self.node.outputs, *(r.buffer.base for n in self.copies for r in n.roots)]


def is_called(node: Node) -> bool:
    """Whether a node, whose types are complete, has a native call."""
    rule = node.op.rule
    if not isinstance(rule, Structured) or not rule.is_product:
        return False
    type_ = node.output.type
    return (
        isinstance(type_, TensorType)
        and type_.dtype is not None
        and blas.routine(type_.dtype) is not None
    )


def prepare_call(node: Node, buffers: dict[Value, Buffer], known: Known) -> Call:
    """Find the operands; those that BLAS cannot read are copied first."""
    operands, copies = [], []
    for k, value in enumerate(node.inputs[:2]):
        found = readable(value, buffers, known)
        if not is_readable(found, is_left=k == 0):
            found = _row_major(value, buffers)
            copies.append(lower_copy(value, found, buffers, known))
        operands.append(found)
    left, right = operands
    return Call(node, product_of(left, right), (left, right), tuple(copies))


def _row_major(value: Value, buffers: dict[Value, Buffer]) -> Buffer:
    type_ = value.type
    assert isinstance(type_, TensorType) and type_.dtype is not None
    copy = Value(type_, f"{value.name or 'operand'}.copy")
    strides = contiguous_strides(type_.shape)
    buffers[copy] = Buffer(copy, type_.dtype, type_.shape, strides)
    return buffers[copy]


class Body(Protocol):
    """What a call uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    pointers: dict[Value, ll.Value]

    def nest(self, nest: Nest) -> None:
        """Emit a loop nest."""

    def allocate_buffer(self, base: Value) -> None:
        """Memory for one value."""


def allocate_call(body: Body, call: Call) -> None:
    """Memory for a call's results and copies, unless an enclosing loop has made it already."""
    for base in call.memory():
        if base not in body.pointers:
            body.allocate_buffer(base)


def emit_call(body: Body, call: Call) -> None:
    """Copies, then the call."""
    allocate_call(body, call)
    for nest in call.copies:
        body.nest(nest)
    left, right = (_pointer(body, operand) for operand in call.operands)
    result = body.pointers[call.node.output]
    blas.emit_product(body.entry, call.product, call.operands[0].dtype, left, right, result)


def _pointer(body: Body, buffer: Buffer) -> ll.Value:
    start = body.entry.size(buffer.offset * buffer.dtype.itemsize)
    return offset(body.entry.builder, body.pointers[buffer.base], start)
