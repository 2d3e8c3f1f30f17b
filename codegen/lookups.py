"""Members of a table at positions that are data, read in place: embeddings, index_select, gather.

    for each axis in front of the positions
        for each position p                        unless it is in range, leave
            for each axis of a member              out[...] = table[..., p, ...]

Large results call torch's operator, which has threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import llvmlite.ir as ll

from codegen.abi import I64, i64
from codegen.entry import EntryBuilder
from codegen.loops import counted
from codegen.lower import dense_strides, readable
from codegen.nest import Buffer, Nest
from codegen.operands import Known, arguments, shape, tensor_type
from ir import Dim, Lookup, Node, Structured, TensorType, Value, dtypes, hint, product, same_dim

LARGEST = 1 << 14  # elements of the result: more are worth threads


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the result: its size, and a step along it in the result, the positions and the
    table."""

    size: Dim
    out: Dim
    index: Dim | None
    table: Dim


@dataclass(frozen=True, slots=True)
class Read:
    """A lookup ready to be emitted."""

    node: Node
    out: Buffer
    index: Buffer
    table: Buffer
    lookup: Lookup
    copies: tuple[Nest, ...] = ()

    def memory(self) -> Sequence[Value]:
        """What it needs memory for."""
        return self.node.outputs

    @property
    def dim(self) -> int:
        """The dim of the table that is looked up."""
        return int(self.lookup.dim % len(self.table.dims))

    def axes(self) -> list[Axis]:
        """The axes of the result, in order."""
        out, index, table = self.out, self.index, self.table
        if self.lookup.is_each:
            steps = [0 if k == self.dim else s for k, s in enumerate(table.strides)]
            parts = zip(out.dims, out.strides, index.strides, steps, strict=True)
            return [Axis(*part) for part in parts]
        inner: list[tuple[Dim | None, Dim]] = [(s, 0) for s in index.strides]
        members: list[tuple[Dim | None, Dim]] = [(None, s) for s in table.strides]
        steps_of = [*members[: self.dim], *inner, *members[self.dim + 1 :]]
        return [
            Axis(size, step, at, moved)
            for size, step, (at, moved) in zip(out.dims, out.strides, steps_of, strict=True)
        ]


class Body(Protocol):
    """What a lookup uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    pointers: dict[Value, ll.Value]
    can_leave: bool

    def leave_unless(self, condition: ll.Value) -> None:
        """Start over in the interpreter unless the condition holds."""


def lookup_of(node: Node, known: Known) -> Lookup | None:
    """What a node looks up, when it is done here."""
    rule = node.op.rule
    if not isinstance(rule, Structured) or rule.lookup is None:
        return None
    found = rule.lookup(**arguments(node, known))
    if found is None or not isinstance(found.dim, int):
        return None
    operands = (found.table, found.index)
    if not all(isinstance(v, Value) and isinstance(v.type, TensorType) for v in operands):
        return None
    is_index = tensor_type(found.index).dtype in (dtypes.int64, dtypes.int32)
    is_small = hint(product(shape(node.output))) <= LARGEST
    is_fit = bool(shape(found.table)) and (not found.is_each or _is_within(found))
    return found if is_index and is_small and is_fit else None


def _is_within(lookup: Lookup) -> bool:
    """Whether no position lies outside of the table along any dim but that which is looked up."""
    index, table = shape(lookup.index), shape(lookup.table)
    others = [k for k in range(len(table)) if k != lookup.dim % len(table)]
    return len(index) == len(table) and all(
        same_dim(index[k], table[k])
        or (isinstance(i := index[k], int) and isinstance(t := table[k], int) and i <= t)
        for k in others
    )


def prepare_lookup(node: Node, lookup: Lookup, buffers: dict[Value, Buffer], known: Known) -> Read:
    """Find the operands and place the result."""
    type_ = tensor_type(node.output)
    assert type_.dtype is not None
    out = Buffer(node.output, type_.dtype, type_.shape, dense_strides(type_))
    buffers[node.output] = out
    index, table = (readable(v, buffers, known) for v in (lookup.index, lookup.table))
    return Read(node, out, index, table, lookup)


def emit_lookup(body: Body, read: Read) -> None:
    """The loops."""
    axes, size = read.axes(), body.entry.size
    last = max((k for k, axis in enumerate(axes) if axis.index is not None), default=-1)
    start = [size(x.offset) for x in (read.out, read.index, read.table)]
    _Emitter(body, read, axes, last).axis(0, *start)


@dataclass(frozen=True, slots=True)
class _Emitter:
    """State of emitting one lookup; `last` is the innermost axis that the positions have."""

    body: Body
    read: Read
    axes: Sequence[Axis]
    last: int

    def axis(self, k: int, out: ll.Value, index: ll.Value, table: ll.Value) -> None:
        """The loops from axis k on, at offsets in elements."""
        body, b = self.body, self.body.entry.builder
        if k == self.last + 1:
            step = body.entry.size(self.read.table.strides[self.read.dim])
            table = b.add(table, b.mul(self.position(index), step))
        if k == len(self.axes):
            bits = ll.IntType(8 * self.read.out.dtype.itemsize)
            b.store(
                b.load(self.address(self.read.table, table), typ=bits),
                self.address(self.read.out, out),
            )
            return
        axis = self.axes[k]
        with counted(b, body.entry.size(axis.size)) as i:
            steps = (axis.out, axis.index or 0, axis.table)
            moved = [
                b.add(at, b.mul(i, body.entry.size(step)))
                for at, step in zip((out, index, table), steps, strict=True)
            ]
            self.axis(k + 1, *moved)

    def position(self, index: ll.Value) -> ll.Value:
        """The position at an offset, in range."""
        body, b = self.body, self.body.entry.builder
        where = self.read.index
        found = b.load(self.address(where, index), typ=ll.IntType(where.dtype.bits))
        found = found if found.type == I64 else b.sext(found, I64)
        size = body.entry.size(self.read.table.dims[self.read.dim])
        if self.read.lookup.is_wrapping:
            found = b.select(b.icmp_signed("<", found, i64(0)), b.add(found, size), found)
        is_inside = b.icmp_unsigned("<", found, size)
        if body.can_leave:
            body.leave_unless(is_inside)
        else:
            body.entry.raise_if(b.not_(is_inside), "IndexError", "index out of range in self")
        return found

    def address(self, buffer: Buffer, at: ll.Value) -> ll.Value:
        """Where an element is."""
        kind = ll.IntType(8 * buffer.dtype.itemsize)
        return self.body.entry.builder.gep(self.body.pointers[buffer.base], [at], source_etype=kind)
