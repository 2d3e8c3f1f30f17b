"""Structured nodes of a plan: where their operands lie, and the call.

The result of such a node is a planned tensor: its type is known, so what follows stays native.
Products read their operands in place as far as BLAS can (`codegen.products.product`) and write to
memory of the plan, and so do convolutions (`codegen.images.convolve`) and attention
(`codegen.attention.attend`); all other nodes are calls of torch's operators (`codegen.shim`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import llvmlite.ir as ll

from codegen import shim
from codegen.abi import offset
from codegen.attention.attend import ATTEND, Attend, emit_attend, prepare_attend
from codegen.best import Best, emit_best, is_best, prepare_best
from codegen.buffers import dense_strides, readable
from codegen.images.convolve import (
    CONVOLVE,
    PANELS,
    Convolve,
    Pack,
    emit_convolve,
    emit_pack,
    prepare_convolve,
    prepare_pack,
)
from codegen.images.strips import Joined, Strips, emit_strips
from codegen.lower import lower_copy
from codegen.nest import Buffer, Nest
from codegen.operands import Known, tensors_of
from codegen.products.multiply import can_multiply, emit_product
from codegen.products.product import Product, is_readable, product_of
from ir import Composite, Dim, Node, Structured, TensorType, Value, contiguous_strides, record


@record
class Multiply:
    """A product ready to be emitted: its operands in memory, after some were copied."""

    node: Node
    product: Product
    operands: tuple[Buffer, Buffer]
    copies: tuple[Nest, ...]

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        return [*self.node.outputs, *(r.buffer.base for n in self.copies for r in n.roots)]


@record
class Operator:
    """A call of an operator, which makes its own results."""

    node: Node
    copies: tuple[Nest, ...] = ()

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        return ()


Call = Multiply | Operator | Convolve | Pack | Best | Attend | Strips | Joined


def is_called(node: Node, known: Known) -> bool:
    """Whether a node, whose tensors have complete types, has a native call.

    A composite row that was not decomposed and states its types is called as a whole.
    """
    rule = node.op.rule
    if isinstance(rule, Composite):
        return node.op.infer is not None and node.op.is_pure and shim.can_call(node, known)
    is_own_op = node.op in (CONVOLVE, PANELS, ATTEND)
    is_ours = _is_native(node) or is_own_op or is_best(node, known)
    return isinstance(rule, Structured) and (is_ours or shim.can_call(node, known))


def _is_native(node: Node) -> bool:
    """Whether it is a product that we do, or BLAS."""
    rule, type_ = node.op.rule, node.outputs[0].type
    is_product = isinstance(rule, Structured) and rule.is_product
    return is_product and isinstance(type_, TensorType) and can_multiply(type_.dtype)


def prepare_call(node: Node, buffers: dict[Value, Buffer], known: Known) -> Call:
    """Find the operands and place the results; operands that BLAS cannot read are copied first."""
    if node.op is CONVOLVE:
        return prepare_convolve(node, buffers, known)
    if node.op is PANELS:
        return prepare_pack(node, buffers, known)
    if node.op is ATTEND:
        return prepare_attend(node, buffers, known)
    if is_best(node, known):
        return prepare_best(node, buffers, known)
    for output in node.outputs:
        buffers[output] = _buffer(output, dense_strides(_type(output)))
    if not _is_native(node):
        for value in tensors_of(node, known):
            readable(value, buffers, known)
        return Operator(node)
    operands, copies = [], []
    for k, value in enumerate(node.inputs[:2]):
        found = readable(value, buffers, known)
        if not is_readable(found, is_left=k == 0):
            copy = Value(value.type, f"{value.name or 'operand'}.copy")
            found = buffers[copy] = _buffer(copy, contiguous_strides(_type(value).shape))
            copies.append(lower_copy(value, found, buffers, known))
        operands.append(found)
    left, right = operands
    return Multiply(node, product_of(left, right), (left, right), tuple(copies))


def _type(value: Value) -> TensorType:
    assert isinstance(value.type, TensorType)
    return value.type


def _buffer(value: Value, strides: tuple[Dim, ...]) -> Buffer:
    type_ = _type(value)
    assert type_.dtype is not None
    return Buffer(value, type_.dtype, type_.shape, strides)


class Body(shim.Body, Protocol):
    """What a call uses of the body that it is part of (`codegen.body`)."""

    def nest(self, nest: Nest) -> None:
        """Emit a loop nest."""

    def allocate_buffer(self, base: Value) -> None:
        """Memory for one value."""

    def is_new_each_time(self, base: Value) -> bool:
        """Whether a value has other memory in each turn of a loop."""


class Allocator(Protocol):
    """What making memory uses of a body."""

    pointers: dict[Value, ll.Value]

    def allocate_buffer(self, base: Value) -> None:
        """Memory for one value."""

    def is_new_each_time(self, base: Value) -> bool:
        """Whether a value has other memory in each turn of a loop."""


def allocate_call_ahead(body: Allocator, call: Call) -> None:
    """Memory for a call's results and copies, in front of the loop that repeats it."""
    for base in call.memory():
        if base not in body.pointers and not body.is_new_each_time(base):
            body.allocate_buffer(base)


def allocate_call(body: Allocator, call: Call) -> None:
    """Memory for a call's results and copies, unless an enclosing loop has made it already."""
    for base in call.memory():
        if base not in body.pointers:
            body.allocate_buffer(base)


def emit_call(body: Body, call: Call, known: Known, buffers: dict[Value, Buffer]) -> None:
    """Copies, then the call."""
    if isinstance(call, Operator):
        shim.emit_operator(body, call.node, known, buffers)
        return
    allocate_call(body, call)
    for nest in call.copies:
        body.nest(nest)
    if isinstance(call, Convolve):
        emit_convolve(body, call, known)
        return
    if isinstance(call, Pack):
        emit_pack(body, call, known)
        return
    if isinstance(call, Strips):
        emit_strips(body, call, known)
        return
    if isinstance(call, Joined):
        return
    if isinstance(call, Attend):
        emit_attend(body, call)
        return
    if isinstance(call, Best):
        emit_best(body, call)
        return
    places = [*(_pointer(body, x) for x in call.operands), body.pointers[call.node.output]]
    emit_product(body.entry, call.product, call.operands[0].dtype, places)


def _pointer(body: Body, buffer: Buffer) -> ll.Value:
    start = body.entry.size(buffer.offset * buffer.dtype.itemsize)
    return offset(body.entry.builder, body.pointers[buffer.base], start)
