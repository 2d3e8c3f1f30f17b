"""Operators of torch called from native code: through its stable C interface, without Python.

    stack = [argument as one word ...]                     words: see `_Marshal`
    torch_call_dispatcher(name, overload, stack, version)  consumes the arguments
    stack = [handle of a new tensor ...]

What the results are is known before (the row's type rule), so the plan goes on natively; that they
are what the rule says is tested at each call, and a call that differs starts over in the
interpreter. So does one that fails: eager then raises the error.

Law of rows that are called so: results never share storage with an argument, for memory of the plan
does not outlive the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import llvmlite.ir as ll

from codegen import torch_abi
from codegen.abi import (
    I32,
    I64,
    NULL,
    OBJECT_HEAD,
    PTR,
    call,
    external,
    i64,
    offset,
    stack,
    string,
)
from codegen.entry import EntryBuilder, Output, Owned
from codegen.nest import Buffer
from codegen.operands import Known, arguments
from ir import (
    BOOL,
    FLOAT,
    INT,
    STR,
    Dim,
    ListType,
    Node,
    OptionalType,
    Sym,
    TensorType,
    Type,
    Value,
    record,
)

VERSION = (2 << 56) | (13 << 48)  # of torch's stable interface that this module speaks
SYMBOLS = (
    "torch_call_dispatcher",
    "torch_new_list_reserve_size",
    "torch_list_push_back",
    "torch_new_stable_ivalue",
    "torch_new_string_handle",
    "torch_exception_get_what_without_backtrace",
    "aoti_torch_create_tensor_from_blob",
    "aoti_torch_new_tensor_handle",
)


@cache
def is_available() -> bool:
    """Whether this build of torch has all that the calls need."""
    return all(map(torch_abi.has, SYMBOLS))


def can_call(node: Node, known: Known) -> bool:
    """Whether the arguments of a node have a form in the interface."""
    formals = {a.name: a.type for a in node.op.schema.arguments}
    return is_available() and all(
        _has_form(value, formals[name]) for name, value in arguments(node, known).items()
    )


def _has_form(value: Any, formal: Type) -> bool:
    if isinstance(formal, OptionalType):
        return value is None or _has_form(value, formal.element)
    if isinstance(formal, ListType):
        return isinstance(value, list | tuple) and all(_has_form(v, formal.element) for v in value)
    if isinstance(formal, TensorType):
        return isinstance(value, Value) and isinstance(value.type, TensorType)
    is_register = isinstance(value, Value) and value.type == formal
    kinds: dict[Type, Any] = {INT: int | Sym, FLOAT: int | float, BOOL: bool, STR: str}
    return formal in kinds and (
        isinstance(value, kinds[formal]) or (is_register and formal is not STR)
    )


class Body(Protocol):
    """What a call uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    pointers: dict[Value, ll.Value]
    outputs: dict[Value, Output]
    objects: dict[Value, ll.Value]
    can_leave: bool

    def number(self, value: Value) -> ll.Value:
        """A number as a register."""

    def leave_unless(self, condition: ll.Value) -> None:
        """Start over in the interpreter unless the condition holds."""


def emit_operator(body: Body, node: Node, known: Known, buffers: Mapping[Value, Buffer]) -> None:
    """Call the operator of a node; its results are bound as tensors of torch's."""
    entry, b = body.entry, body.entry.builder
    marshal = _Marshal(body, buffers)
    schema = node.op.schema
    formals = {a.name: a.type for a in schema.arguments}
    given = arguments(node, known)
    words = stack(b, I64, max(len(given), len(node.outputs)))
    for k, (name, value) in enumerate(given.items()):
        b.store(marshal.word(value, formals[name]), offset(b, words, 8 * k))
    names = [string(entry.module, text) for text in (schema.name, schema.overload)]
    with entry.release_gil():
        failed = call(b, "torch_call_dispatcher", *names, words, i64(VERSION))
    _succeed(body, b.icmp_unsigned("==", failed, I32(0)))
    handles = [b.load(offset(b, words, 8 * k), typ=I64) for k in range(len(node.outputs))]
    release = "aoti_torch_delete_tensor_object"
    owned = [entry.own(b.inttoptr(handle, PTR), release) for handle in handles]
    for value, handle in zip(node.outputs, owned, strict=True):
        _bind(body, value, handle)


def _succeed(body: Body, condition: ll.Value) -> None:
    """Go on when a call succeeded; an error after something visible was done is raised here."""
    if body.can_leave:
        body.leave_unless(condition)
        return
    b = body.entry.builder
    failed = b.not_(condition)
    with b.if_then(failed, likely=False):
        kind = b.load(external(b.module, "PyExc_RuntimeError"), typ=PTR)
        message = call(b, "torch_exception_get_what_without_backtrace")
        call(b, "PyErr_SetString", kind, message)
    body.entry.propagate_if(failed)


def _expect(body: Body, condition: ll.Value) -> None:
    """Go on when a result is what the type rule says."""
    if body.can_leave:
        body.leave_unless(condition)
    else:
        message = "an operator's result has other sizes or strides than it had in other calls"
        body.entry.raise_if(body.entry.builder.not_(condition), "RuntimeError", message)


_FIELDS = (("dtype", I32), ("dim", I64))


def _bind(body: Body, value: Value, handle: Owned) -> None:
    """Test that a result is what its type says, and note where it is."""
    b, type_ = body.entry.builder, value.type
    assert isinstance(type_, TensorType) and type_.dtype is not None
    tensor = body.entry.peek(handle)
    code, rank = (_asked(b, f"aoti_torch_get_{x}", tensor, k) for x, k in _FIELDS)
    is_dtype = b.icmp_signed("==", code, I32(type_.dtype.code))
    is_rank = b.icmp_signed("==", rank, i64(len(type_.shape)))
    _expect(body, b.and_(is_dtype, is_rank))
    _expect(body, _has_layout(body, tensor, type_))
    data = _asked(b, "aoti_torch_get_data_ptr", tensor, PTR)
    body.outputs[value] = Output(data, handle)
    body.pointers[value] = data


def _has_layout(body: Body, tensor: ll.Value, type_: TensorType) -> ll.Value:
    """Whether sizes are the type's, and strides of more than one element."""
    b = body.entry.builder
    sizes = _asked(b, "aoti_torch_get_sizes", tensor, PTR)
    strides = _asked(b, "aoti_torch_get_strides", tensor, PTR)
    fits: ll.Value = ll.IntType(1)(1)
    assert type_.strides is not None
    for k, (size, stride) in enumerate(zip(type_.shape, type_.strides, strict=True)):
        fits = b.and_(fits, _is_word(body, sizes, k, size))
        if not isinstance(size, int) or size > 1:
            assert stride is not None
            fits = b.and_(fits, _is_word(body, strides, k, stride))
    return fits


def _is_word(body: Body, array: ll.Value, k: int, wanted: Dim) -> ll.Value:
    b = body.entry.builder
    found = b.load(offset(b, array, 8 * k), typ=I64)
    return b.icmp_signed("==", found, body.entry.size(wanted))


def _asked(b: ll.IRBuilder, name: str, tensor: ll.Value, kind: ll.Type) -> ll.Value:
    """What a getter of torch's writes to its second argument."""
    slot = stack(b, kind)
    call(b, name, tensor, slot)
    return b.load(slot, typ=kind)


def _strides(value: Value, buffer: Buffer) -> Sequence[Dim]:
    """The strides of memory as eager's tensor has them: operators ask those of dims of size 1, too,
    which say nothing here, for the layout of their results.
    """
    type_ = value.type
    assert isinstance(type_, TensorType) and type_.strides is not None
    return [
        shown if isinstance(size, int) and size == 1 and shown is not None else own
        for size, own, shown in zip(buffer.dims, buffer.strides, type_.strides, strict=True)
    ]


@record
class _Marshal:
    """Arguments as words, by their type in the schema.

    Tensor    a handle, which the call deletes      int, bool   itself
    str       a handle of a copy                    float       its bits
    T[]       a handle of a list of words           T?          null, or the address of a word
    """

    body: Body
    buffers: Mapping[Value, Buffer]

    @property
    def b(self) -> ll.IRBuilder:
        return self.body.entry.builder

    def word(self, value: Any, formal: Type) -> ll.Value:
        """One argument."""
        if isinstance(formal, OptionalType):
            return i64(0) if value is None else self._present(self.word(value, formal.element))
        if isinstance(formal, ListType):
            return self._list([self.word(v, formal.element) for v in value])
        if isinstance(formal, TensorType):
            return self._pointer(self._tensor(value))
        if formal == STR:
            return self._text(value)
        return self._number(value, formal)

    def _pointer(self, value: ll.Value) -> ll.Value:
        return self.b.ptrtoint(value, I64)

    def _made(self, name: str, *args: ll.Value) -> ll.Value:
        """What a constructor of torch's writes to its last argument."""
        slot = stack(self.b, PTR)
        self.b.store(NULL, slot)
        call(self.b, name, *args, slot)
        return self.b.load(slot, typ=PTR)

    def _present(self, word: ll.Value) -> ll.Value:
        room = self._made("torch_new_stable_ivalue")
        self.b.store(word, room)
        return self._pointer(room)

    def _list(self, words: Sequence[ll.Value]) -> ll.Value:
        made = self._made("torch_new_list_reserve_size", i64(len(words)))
        for word in words:
            call(self.b, "torch_list_push_back", made, word)
        return self._pointer(made)

    def _text(self, text: str) -> ll.Value:
        data = string(self.b.module, text)
        return self._pointer(self._made("torch_new_string_handle", data, i64(len(text.encode()))))

    def _number(self, value: Any, formal: Type) -> ll.Value:
        if isinstance(value, Value):
            number = self.body.number(value)
            if formal == FLOAT:
                return self.b.bitcast(number, I64)
            return self.b.zext(number, I64) if formal == BOOL else number
        if formal == FLOAT:
            return ll.Constant(ll.DoubleType(), float(value)).bitcast(I64)
        return self.body.entry.size(int(value) if isinstance(value, bool) else value)

    def _tensor(self, value: Value) -> ll.Value:
        """A handle of an object's tensor, or of a tensor over memory of the plan."""
        if value in self.body.objects:
            tensor = offset(self.b, self.body.objects[value], OBJECT_HEAD)
            return self._made("aoti_torch_new_tensor_handle", tensor)
        buffer, entry = self.buffers[value], self.body.entry
        start = entry.size(buffer.offset * buffer.dtype.itemsize)
        data = offset(self.b, self.body.pointers[buffer.base], start)
        layout = (buffer.dims, _strides(value, buffer))
        arrays = [entry.array([entry.size(d) for d in x]) for x in layout]
        code, cpu, index = I32(buffer.dtype.code), I32(0), I32(-1)
        rank = i64(len(buffer.dims))
        return self._made(
            "aoti_torch_create_tensor_from_blob", data, rank, *arrays, i64(0), code, cpu, index
        )
