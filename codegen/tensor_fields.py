"""Reading a tensor object's fields in generated code: directly by `torch_abi.LAYOUT`, or through
torch's C functions.

Both readers answer the same questions. `DirectReader` costs about 1 ns a field. `ShimReader` serves
builds of torch whose layout the probe did not understand: whether a tensor is plain is then asked
of Python.
"""

from __future__ import annotations

from typing import Protocol

import llvmlite.ir as ll

from codegen import abi, torch_abi
from codegen.abi import I8, I16, I32, I64, NULL, PTR, any_of, call, field, i64, offset
from codegen.torch_abi import TensorLayout
from ir import DType, record


class Guards(Protocol):
    """Where a reader takes its tests: each `require` leaves for the miss path when its condition
    is false.
    """

    @property
    def builder(self) -> ll.IRBuilder: ...
    @property
    def chain(self) -> ll.Value: ...
    def require(self, condition: ll.Value) -> None: ...
    def constant(self, value: object) -> ll.Value: ...


@record
class TensorFields:
    """The fields of one tensor argument, after its guards: arrays of sizes and strides, and the
    data pointer.
    """

    sizes: ll.Value
    strides: ll.Value
    data: ll.Value


class Reader(Protocol):
    """Guards and reads a tensor object whose exact type is already known."""

    def read(
        self, guards: Guards, obj: ll.Value, dtype: DType, rank: int, is_mutated: bool
    ) -> TensorFields: ...

    def data(self, b: ll.IRBuilder, obj: ll.Value, dtype: DType) -> ll.Value:
        """Where the elements are of a tensor that needs no guards."""


def reader() -> Reader:
    """The best reader that this build of torch allows."""
    return ShimReader() if torch_abi.LAYOUT is None else DirectReader(torch_abi.LAYOUT)


@record
class DirectReader:
    """Loads from the TensorImpl."""

    at: TensorLayout

    def read(
        self, guards: Guards, obj: ll.Value, dtype: DType, rank: int, is_mutated: bool
    ) -> TensorFields:
        b, at = guards.builder, self.at
        impl = field(b, obj, at.impl, PTR)
        guards.require(self._is_plain(b, impl, dtype, rank, is_mutated))
        self._require_no_gradient(guards, impl)
        sizes, strides = self._dims(b, impl, rank)
        data = _mutable_data(b, obj) if is_mutated else self._data(b, impl, dtype)
        return TensorFields(sizes, strides, data)

    def data(self, b: ll.IRBuilder, obj: ll.Value, dtype: DType) -> ll.Value:
        return self._data(b, field(b, obj, self.at.impl, PTR), dtype)

    def _is_plain(
        self, b: ll.IRBuilder, impl: ll.Value, dtype: DType, rank: int, is_mutated: bool
    ) -> ll.Value:
        at = self.at
        keys = field(b, impl, at.key_set)
        if not is_mutated:
            keys = b.or_(keys, i64(at.plain_keys & ~at.inference_keys))
        differences = (
            b.xor(keys, i64(at.plain_keys)),
            b.xor(b.zext(field(b, impl, at.dtype, I16), I64), i64(dtype.code)),
            b.xor(field(b, impl, at.rank), i64(rank)),
        )
        return b.icmp_unsigned("==", any_of(b, differences), i64(0))  # one test, and one branch

    def _require_no_gradient(self, guards: Guards, impl: ll.Value) -> None:
        """Without autograd metadata there is nothing to ask; with it the runtime looks closer."""
        b = guards.builder
        meta = field(b, impl, self.at.autograd_meta, PTR)
        with b.if_then(b.icmp_unsigned("!=", meta, NULL), likely=False):
            guards.require(b.icmp_unsigned("==", call(b, "relume_is_tracked", meta), I8(0)))

    def _dims(self, b: ll.IRBuilder, impl: ll.Value, rank: int) -> tuple[ll.Value, ll.Value]:
        at = self.at
        if rank <= torch_abi.INLINE_RANK:
            return offset(b, impl, at.sizes), offset(b, impl, at.strides)
        array = field(b, impl, at.sizes, PTR)
        return array, offset(b, array, rank * 8)

    def _data(self, b: ll.IRBuilder, impl: ll.Value, dtype: DType) -> ll.Value:
        at = self.at
        base = field(b, field(b, impl, at.storage, PTR), at.storage_data, PTR)
        start = b.mul(field(b, impl, at.storage_offset), i64(dtype.itemsize))
        return offset(b, base, start)


@record
class ShimReader:
    """Calls torch's C functions; a tensor's object head is followed by what they call a handle."""

    def read(
        self, guards: Guards, obj: ll.Value, dtype: DType, rank: int, is_mutated: bool
    ) -> TensorFields:
        b = guards.builder
        guards.require(
            ask(guards, torch_abi.is_plain_mutable if is_mutated else torch_abi.is_plain, obj)
        )
        handle = offset(b, obj, abi.OBJECT_HEAD)
        is_dtype = b.icmp_unsigned(
            "==", _out(b, "aoti_torch_get_dtype", handle, I32), I32(dtype.code)
        )
        is_rank = b.icmp_unsigned("==", _out(b, "aoti_torch_get_dim", handle, I64), i64(rank))
        guards.require(b.and_(is_dtype, is_rank))
        sizes = _out(b, "aoti_torch_get_sizes", handle, PTR)
        strides = _out(b, "aoti_torch_get_strides", handle, PTR)
        return TensorFields(sizes, strides, _mutable_data(b, obj))

    def data(self, b: ll.IRBuilder, obj: ll.Value, dtype: DType) -> ll.Value:
        return _mutable_data(b, obj)


def _out(b: ll.IRBuilder, name: str, handle: ll.Value, kind: ll.Type) -> ll.Value:
    """A field that a C function stores where its last argument points."""
    slot = abi.stack(b, kind)
    call(b, name, handle, slot)
    return b.load(slot, typ=kind)


def _mutable_data(b: ll.IRBuilder, obj: ll.Value) -> ll.Value:
    """The data pointer for writing: torch materializes copy-on-write memory first."""
    return _out(b, "aoti_torch_get_data_ptr", offset(b, obj, abi.OBJECT_HEAD), PTR)


def ask(guards: Guards, predicate: object, *args: ll.Value) -> ll.Value:
    """Whether a Python predicate, which must not raise, returns True."""
    b = guards.builder
    frame = abi.stack(b, PTR, len(args))
    for k, arg in enumerate(args):
        b.store(arg, offset(b, frame, 8 * k))
    answer = call(b, "PyObject_Vectorcall", guards.constant(predicate), frame, i64(len(args)), NULL)
    guards.require(b.icmp_unsigned("!=", answer, NULL))
    call(b, "Py_DecRef", answer)
    return b.icmp_unsigned("==", answer, abi.external(b.module, "_Py_TrueStruct"))
