"""Rows of conversions and copies: `aten::to` in all its forms, `clone`, `contiguous`.

`to` gives its input back when nothing changes; it decomposes into nothing, or into `_to_copy`,
whose compute dtype is the target: the operand is cast, and the rule is the identity.
"""

from __future__ import annotations

from typing import Any

from ir.dtypes import (
    DType,
    bfloat16,
    by_code,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from ir.graph import Value
from ir.op import Pointwise, Rule
from ir.ops.factory import Tensor, composite, declare, pointwise
from ir.schema import Schema
from ir.strides import Layout, is_contiguous
from ir.typerules import TypeRule, filled, is_known, like
from ir.types import TENSOR, TensorType

CONTIGUOUS, PRESERVE = 0, 1  # torch's memory formats
STRIDED = 0  # torch's layout


def is_plain(device: Any = None, layout: Any = None, pin_memory: Any = None,
             memory_format: Any = None) -> bool:
    """Whether a result with these options is an ordinary CPU tensor in the format of its input."""
    return ((device is None or str(device) == "cpu") and layout in (None, STRIDED)
            and not pin_memory and memory_format in (None, PRESERVE))


def convert(b: Any, x: Tensor, dtype: DType) -> Tensor:
    """`x` in another dtype; itself when it has it."""
    return x if x.type.dtype is dtype else b.op("aten::_to_copy", x, dtype=dtype)


def widen(b: Any, x: Tensor) -> Tensor:
    """16-bit floats in float32, everything else as it is: what a composite computes in."""
    return convert(b, x, float32) if x.type.dtype in (float16, bfloat16) else x


def _target(dtype: DType | None, non_blocking: bool, **options: Any) -> str | DType | None:
    return (dtype or "self") if is_plain(**options) else None


_to_copy = pointwise(
    "_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, "
    "bool? pin_memory=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor",
    lambda s, x, **options: x, _target)


# to -----------------------------------------------------------------------------------------------
def _to(b: Any, x: Tensor, dtype: Any, copy: Any, **options: Any) -> Tensor | None:
    """`x` converted; None when something is not known."""
    dtype = by_code(dtype) if isinstance(dtype, int) else dtype
    own = x.type.dtype
    values = (dtype, copy, *options.values())
    if own is None or any(isinstance(v, Value) for v in values) or not is_plain(**options):
        return None
    if (dtype is None or dtype is own) and not copy:
        return x
    return b.op("aten::_to_copy", x, dtype=dtype or own)


composite("""
    to.dtype_layout(Tensor(a) self, *, ScalarType? dtype=None, Layout? layout=None, \
Device? device=None, bool? pin_memory=None, bool non_blocking=False, bool copy=False, \
MemoryFormat? memory_format=None) -> Tensor(a)
    """, lambda b, x, dtype, layout, device, pin_memory, non_blocking, copy, memory_format: _to(
        b, x, dtype, copy, device=device, layout=layout, pin_memory=pin_memory,
        memory_format=memory_format))
composite("""
    to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, \
bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)
    """, lambda b, x, device, dtype, non_blocking, copy, memory_format: _to(
        b, x, dtype, copy, device=device, memory_format=memory_format))
composite("""
    to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, \
MemoryFormat? memory_format=None) -> Tensor(a)
    """, lambda b, x, dtype, non_blocking, copy, memory_format: _to(
        b, x, dtype, copy, memory_format=memory_format))
composite("""
    to.other(Tensor(a) self, Tensor other, bool non_blocking=False, bool copy=False, \
MemoryFormat? memory_format=None) -> Tensor(a)
    """, lambda b, x, other, non_blocking, copy, memory_format: other.type.dtype and _to(
        b, x, other.type.dtype, copy, device=other.type.device, memory_format=memory_format))
composite("""
    to.prim_Device(Tensor(a) self, Device? device, int? dtype=None, bool non_blocking=False, \
bool copy=False) -> Tensor(b|a)
    """, lambda b, x, device, dtype, non_blocking, copy: _to(b, x, dtype, copy, device=device))
composite("""
    to.prim_dtype(Tensor(a) self, int? dtype=None, bool non_blocking=False, bool copy=False) \
-> Tensor(b|a)
    """, lambda b, x, dtype, non_blocking, copy: _to(b, x, dtype, copy))
composite("""
    to.prim_other(Tensor(a) self, bool non_blocking=False, bool copy=False) -> Tensor(b|a)
    """, lambda b, x, non_blocking, copy: _to(b, x, None, copy))
composite("type_as(Tensor self, Tensor other) -> Tensor",
          lambda b, x, other: other.type.dtype and _to(b, x, other.type.dtype, False))


def _cast_row(name: str, dtype: DType) -> None:
    composite(f"_cast_{name}(Tensor self, bool non_blocking=False) -> Tensor",
              lambda b, x, non_blocking: _to(b, x, dtype, False))


for _name, _dtype in (("Byte", uint8), ("Char", int8), ("Short", int16), ("Int", int32),
                      ("Long", int64), ("Half", float16), ("Float", float32), ("Double", float64)):
    _cast_row(_name, _dtype)


# copies -------------------------------------------------------------------------------------------
def _clone_type(rule: Rule, schema: Schema) -> TypeRule:
    def infer(self: TensorType, memory_format: Any) -> TensorType:
        if not self.is_complete or not is_known(memory_format):
            return TENSOR
        if memory_format == CONTIGUOUS:
            return filled(self.shape, self.dtype)
        return like(self) if memory_format in (None, PRESERVE) else TENSOR

    return infer


def _contiguous(b: Any, x: Tensor, memory_format: Any) -> Tensor | None:
    """Gives its input back when it is contiguous already; unknown strides refuse."""
    strides = x.type.strides
    if memory_format != CONTIGUOUS or strides is None or None in strides or not x.type.is_complete:
        return None
    if is_contiguous(Layout(x.type.shape, strides)):
        return x
    return b.op("aten::clone", x, memory_format=CONTIGUOUS)


def row_major(b: Any, x: Tensor) -> Tensor:
    """The same values in row-major order, as kernels of torch return that want input so."""
    copied = _contiguous(b, x, CONTIGUOUS)
    return x if copied is None else copied


clone = declare("clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor",
                lambda _: Pointwise(lambda s, x, memory_format: x, "self", ("self",)), _clone_type)
contiguous = composite(
    "contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)", _contiguous)
