"""Tensors that native lists hold: handles.

    rows.append(y)        y : computed in memory of a handle; the list gets another reference
    t = rows[i]           t : the handle that was put there, so the same memory
    h = t if c else y     h : one of two handles

A handle is a header on the chain of native lists (`codegen.lists.runtime`), with the elements of
one tensor behind it, and references like those of a list. Nothing writes to a tensor that has a
handle (`codegen.lists.chosen`), so a copy may stand for it; but where the caller gets such tensors,
each is one object, made when its handle is.

What has a handle: what is put into a list or read from one, and what control flow makes of these.
"""

from __future__ import annotations

from typing import Protocol

import llvmlite.ir as ll

from codegen.abi import NULL, PTR, call, offset
from codegen.buffers import dense_strides, readable
from codegen.entry import EntryBuilder, Output, Owned
from codegen.lists.chosen import Lists
from codegen.lists.runtime import DATA, OBJECT
from codegen.nest import Nest
from codegen.operands import tensor_type
from codegen.params import TensorParam
from codegen.prepare import Prepared
from codegen.unbox import BoundTensor
from ir import Dim, TensorType, Value, hint, product

SMALL = 1 << 16
"""Bytes from which on memory is a tensor of torch's: its pages are recycled."""


class Body(Protocol):
    """What handles use of the body that they are part of (`codegen.body`)."""

    entry: EntryBuilder
    plan: Prepared
    pointers: dict[Value, ll.Value]
    outputs: dict[Value, Output]
    objects: dict[Value, ll.Value]
    handles: dict[Value, ll.Value]

    @property
    def b(self) -> ll.IRBuilder:
        """Where the next instruction goes."""

    @property
    def chosen(self) -> Lists:
        """Which lists are native."""

    @property
    def chain(self) -> ll.Value:
        """The first link of the chain of headers."""

    def nest(self, nest: Nest) -> None:
        """Emit a loop nest."""

    def object(self, value: Value) -> ll.Value:
        """A value as a Python object."""

    def own_list(self, value: Value, header: ll.Value) -> None:
        """Give up a reference at the end of the block."""

    def unbox_tensor(self, param: TensorParam, obj: ll.Value) -> BoundTensor:
        """Read an object that is a tensor."""


def bind(body: Body, value: Value, header: ll.Value) -> None:
    """Note the handle of a value, and where its elements are."""
    body.handles[value] = header
    body.pointers[value] = body.b.load(offset(body.b, header, DATA), typ=PTR)


def make(body: Body, value: Value) -> None:
    """A handle with memory for a value that is about to be computed."""
    _own(body, value, _new(body, value))


def hold(body: Body, value: Value) -> None:
    """A handle for a value that is somewhere already."""
    if value in body.handles:
        return
    nest = body.plan.held.get(value)
    if nest is None or value in body.objects or value in body.outputs:
        obj = body.object(value)
        _own(body, value, _of_object(body, _address(body, value, obj), obj))
        return
    header = _new(body, value)
    (root,) = nest.roots
    body.pointers[root.buffer.base] = body.b.load(offset(body.b, header, DATA), typ=PTR)
    body.nest(nest)
    body.handles[value] = header
    body.own_list(value, header)


def box(body: Body, header: ll.Value, type_: TensorType) -> Owned:
    """The Python object of a handle: made once."""
    b, entry = body.b, body.entry
    slot, at = entry.slot(), offset(b, header, OBJECT)
    known = b.load(at, typ=PTR)
    b.store(known, slot.slot)
    with b.if_then(b.icmp_unsigned("==", known, NULL)):
        made = _allocate(body, type_)
        source = b.load(offset(b, header, DATA), typ=PTR)
        call(b, "memcpy", made.data, source, entry.size(_bytes(type_)))
        obj = entry.take(entry.box(made))
        b.store(obj, at)
        b.store(obj, slot.slot)
    call(b, "Py_IncRef", entry.peek(slot))
    return slot


def _own(body: Body, value: Value, header: ll.Value) -> None:
    bind(body, value, header)
    body.own_list(value, header)


def _new(body: Body, value: Value) -> ll.Value:
    type_ = tensor_type(value)
    size = _bytes(type_)
    if value in body.chosen.escaping or hint(size) > SMALL:
        made = _allocate(body, type_)
        return _of_object(body, made.data, body.entry.peek(body.entry.box(made)))
    return _checked(body, call(body.b, "relume_handle_new", body.chain, body.entry.size(size)))


def _of_object(body: Body, data: ll.Value, obj: ll.Value) -> ll.Value:
    return _checked(body, call(body.b, "relume_handle_of", body.chain, data, obj))


def _checked(body: Body, header: ll.Value) -> ll.Value:
    is_none = body.b.icmp_unsigned("==", header, NULL)
    body.entry.raise_if(is_none, "MemoryError", "no memory for a tensor")
    return header


def _allocate(body: Body, type_: TensorType) -> Output:
    assert type_.dtype is not None
    return body.entry.alloc(type_.dtype, type_.shape, dense_strides(type_))


def _bytes(type_: TensorType) -> Dim:
    assert type_.dtype is not None
    return product(type_.shape) * type_.dtype.itemsize


def _address(body: Body, value: Value, obj: ll.Value) -> ll.Value:
    """Where the elements of a value are, which has an object."""
    if value in body.pointers:
        return body.pointers[value]
    buffer = readable(value, body.plan.buffers, body.plan.known)
    if buffer.base in body.pointers:
        start = body.entry.size(buffer.offset * buffer.dtype.itemsize)
        return offset(body.b, body.pointers[buffer.base], start)
    type_ = tensor_type(value)
    assert type_.dtype is not None
    return body.unbox_tensor(TensorParam(type_.dtype, type_.shape, type_.strides), obj).data
