"""Elements between memory and lanes: unit-stride, strided and masked loads and stores.

Here a dtype is the dtype in MEMORY. bool occupies a byte that holds 0 or 1 and becomes an `i1`
lane; float16 and bfloat16 become float32 lanes; the rest is as it is. A mask is a bool lane:
elements where it is false are not touched in memory, and are zero in the lane. Pointers need the
alignment of one element only, unless the caller says more.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.lanes.constants import places, zeros
from codegen.lanes.lane import Lane, LaneBuilder
from ir import DType, dtypes

_STORED: dict[DType, ll.Type] = {
    dtypes.bool_: ll.IntType(8),
    dtypes.float16: ll.HalfType(),
    dtypes.bfloat16: ll.IntType(16),
}
_I32, _I64 = ll.IntType(32), ll.IntType(64)
NEAR = 8  # strides up to which loading what lies between costs less than a gather


def memory_type(s: LaneBuilder, dtype: DType, width: int = 1) -> ll.Type:
    """The LLVM type of `width` elements in memory."""
    element = _STORED.get(dtype) or s.llvm_type(dtype, 1)
    return element if width == 1 else ll.VectorType(element, width)


def load_scalar(s: LaneBuilder, ptr: ll.Value, dtype: DType) -> Lane:
    """The one element at `ptr`, as a scalar lane."""
    return _from_memory(
        s, s.builder.load(ptr, typ=memory_type(s, dtype), align=dtype.itemsize), dtype
    )


def load(
    s: LaneBuilder, ptr: ll.Value, dtype: DType, mask: Lane | None = None, align: int | None = None
) -> Lane:
    """`s.width` neighboring elements."""
    kind = memory_type(s, dtype, s.width)
    align = align or dtype.itemsize
    if mask is None:
        return _from_memory(s, s.builder.load(ptr, typ=kind, align=align), dtype)
    if s.width == 1:
        return _load_if(s, ptr, dtype, mask)
    raw = s.call(
        "llvm.masked.load",
        kind,
        ptr,
        _I32(align),
        mask.value,
        zeros(kind),
        mangled=[kind, ptr.type],
    )
    return _from_memory(s, raw, dtype)


def store(
    s: LaneBuilder,
    ptr: ll.Value,
    x: Lane,
    dtype: DType,
    mask: Lane | None = None,
    align: int | None = None,
) -> None:
    """`s.width` neighboring elements written; a scalar lane is splat first."""
    raw = _to_memory(s, s.splat(x), dtype)
    align = align or dtype.itemsize
    if mask is None:
        s.builder.store(raw, ptr, align=align)
    elif s.width == 1:
        with s.builder.if_then(mask.value):
            s.builder.store(raw, ptr, align=align)
    else:
        void = ll.VoidType()
        s.call(
            "llvm.masked.store",
            void,
            raw,
            ptr,
            _I32(align),
            mask.value,
            mangled=[raw.type, ptr.type],
        )


def store_past_caches(s: LaneBuilder, ptr: ll.Value, x: Lane, dtype: DType, align: int) -> None:
    """`s.width` neighboring elements written around the caches, at an address of that alignment.

    Other threads see them after a fence only.
    """
    raw = _to_memory(s, s.splat(x), dtype)
    written = s.builder.store(raw, ptr, align=align)
    written.set_metadata("nontemporal", s.builder.module.add_metadata([_I32(1)]))


def fetch(s: LaneBuilder, ptr: ll.Value, level: int) -> None:
    """Ask for the cache line at an address, which need not exist, into the cache of that level."""
    read, keep, data = _I32(0), _I32(4 - level), _I32(1)
    s.call("llvm.prefetch", ll.VoidType(), ptr, read, keep, data, mangled=[ptr.type])


def store_scalar(s: LaneBuilder, ptr: ll.Value, x: Lane, dtype: DType) -> None:
    """One element written from a scalar lane."""
    s.builder.store(_to_memory(s, x, dtype), ptr, align=dtype.itemsize)


def gather(
    s: LaneBuilder, ptr: ll.Value, stride: int | ll.Value, dtype: DType, mask: Lane | None = None
) -> Lane:
    """The elements at `ptr`, `ptr + stride`, ...; the stride (an `i64`) counts elements.

    Stride 0 gives a scalar lane (under a mask: the caller has at least one live element).
    """
    if stride == 0:
        return load_scalar(s, ptr, dtype)
    if stride == 1 or s.width == 1:
        return load(s, ptr, dtype, mask)
    if mask is None and isinstance(stride, int) and abs(stride) <= NEAR:
        return _from_memory(s, _near(s, ptr, stride, dtype), dtype)
    kind = memory_type(s, dtype, s.width)
    where = _addresses(s, ptr, stride, dtype)
    live = s.splat(s.const(True, dtypes.bool_)) if mask is None else mask
    return _from_memory(s, _gather(s, kind, where, dtype, live), dtype)


def gather_at(
    s: LaneBuilder, ptr: ll.Value, offsets: Lane, dtype: DType, mask: Lane | None = None
) -> Lane:
    """The elements at `ptr + offsets`, an int64 lane that counts elements."""
    kind = memory_type(s, dtype, offsets.width)
    where = s.builder.gep(ptr, [offsets.value], source_etype=memory_type(s, dtype))
    where.type = ll.VectorType(ptr.type, offsets.width)
    live = s.splat(s.const(True, dtypes.bool_), offsets.width) if mask is None else mask
    return _from_memory(s, _gather(s, kind, where, dtype, live), dtype)


def _near(s: LaneBuilder, ptr: ll.Value, stride: int, dtype: DType) -> ll.Value:
    """A gather of elements so near to each other that whole vectors are loaded and shuffled; the
    first and the last byte touched are those of a gather.
    """
    width, step = s.width, abs(stride)
    span = (width - 1) * step + 1
    kind, element = memory_type(s, dtype, width), memory_type(s, dtype)
    wanted = [i * step if stride > 0 else (width - 1 - i) * step for i in range(width)]
    origin = 0 if stride > 0 else 1 - span
    found: ll.Value = ll.Constant(kind, ll.Undefined)
    for low in range(0, span, width):
        start = min(low, span - width)
        at = s.builder.gep(ptr, [_I64(origin + start)], source_etype=element)
        raw = s.builder.load(at, typ=kind, align=dtype.itemsize)
        chosen = [
            width + min(p - start, width - 1) if p >= low else i for i, p in enumerate(wanted)
        ]
        found = s.builder.shuffle_vector(found, raw, places(*chosen))
    return found


def scatter(
    s: LaneBuilder,
    ptr: ll.Value,
    stride: int | ll.Value,
    x: Lane,
    dtype: DType,
    mask: Lane | None = None,
) -> None:
    """The elements written to `ptr`, `ptr + stride`, ..., in this order."""
    if stride == 1 or s.width == 1:
        return store(s, ptr, x, dtype, mask)
    raw = _to_memory(s, s.splat(x), dtype)
    where = _addresses(s, ptr, stride, dtype)
    live = s.splat(s.const(True, dtypes.bool_)) if mask is None else mask
    align = _I32(dtype.itemsize)
    s.call(
        "llvm.masked.scatter",
        ll.VoidType(),
        raw,
        where,
        align,
        live.value,
        mangled=[raw.type, where.type],
    )
    return None


def tail_mask(s: LaneBuilder, remaining: ll.Value) -> Lane:
    """True for the first `remaining` elements; `remaining` is an `i64` in 0..2**31."""
    count = Lane(s, s.builder.trunc(remaining, _I32), dtypes.int32)
    return s.iota(dtypes.int32) < s.splat(count)


def lookup(s: LaneBuilder, name: str, table: Sequence[float], index: Lane) -> Lane:
    """`table[index]` for an int64 lane in range; the float64 table is a module constant."""
    kind = ll.ArrayType(ll.DoubleType(), len(table))
    symbol = s.builder.module.globals.get(name)
    if symbol is None:
        symbol = ll.GlobalVariable(s.builder.module, kind, name)
        symbol.linkage, symbol.global_constant = "private", True
        symbol.initializer = ll.Constant(kind, list(table))
    where = s.builder.gep(symbol, [index.value], source_etype=ll.DoubleType())
    if index.width == 1:
        return load_scalar(s, where, dtypes.float64)
    where.type = ll.VectorType(ll.PointerType(), index.width)
    live = s.splat(s.const(True, dtypes.bool_), index.width)
    kind = memory_type(s, dtypes.float64, index.width)
    return Lane(s, _gather(s, kind, where, dtypes.float64, live), dtypes.float64)


def _gather(s: LaneBuilder, kind: ll.Type, where: ll.Value, dtype: DType, live: Lane) -> ll.Value:
    align = _I32(dtype.itemsize)
    mangled = [kind, where.type]
    return s.call(
        "llvm.masked.gather", kind, where, align, live.value, zeros(kind), mangled=mangled
    )


def _addresses(s: LaneBuilder, ptr: ll.Value, stride: int | ll.Value, dtype: DType) -> ll.Value:
    """A vector of pointers; 32-bit indices (constant strides) halve the gather instructions."""
    if isinstance(stride, int):
        narrow = abs(stride) * s.width < 1 << 31
        index = s.iota(dtypes.int32 if narrow else dtypes.int64) * stride
    else:
        index = s.iota(dtypes.int64) * Lane(s, stride, dtypes.int64)
    where = s.builder.gep(ptr, [index.value], source_etype=memory_type(s, dtype))
    where.type = ll.VectorType(ptr.type, s.width)  # llvmlite takes the result for a scalar pointer
    return where


def _load_if(s: LaneBuilder, ptr: ll.Value, dtype: DType, mask: Lane) -> Lane:
    """One element under a mask: a branch, since there are no masked scalar loads."""
    before = s.builder.block
    zero = ll.Constant(memory_type(s, dtype), 0)
    with s.builder.if_then(mask.value):
        raw = s.builder.load(ptr, typ=zero.type, align=dtype.itemsize)
        inside = s.builder.block
    phi = s.builder.phi(zero.type)
    phi.add_incoming(zero, before)
    phi.add_incoming(raw, inside)
    return _from_memory(s, phi, dtype)


def _from_memory(s: LaneBuilder, raw: ll.Value, dtype: DType) -> Lane:
    width = raw.type.count if isinstance(raw.type, ll.VectorType) else 1
    if dtype is dtypes.bool_:
        return Lane(s, raw, dtypes.uint8) != 0
    if dtype is dtypes.float16:
        return Lane(s, s.builder.fpext(raw, s.llvm_type(dtypes.float32, width)), dtypes.float32)
    if dtype is dtypes.bfloat16:
        return _from_upper_half(s, raw, width)
    return Lane(s, raw, dtype)


def _from_upper_half(s: LaneBuilder, raw: ll.Value, width: int) -> Lane:
    """float32 lanes whose upper halves are 16-bit integers: one shuffle, where a shift takes two
    operations.
    """
    if width == 1:
        bits = Lane(s, s.builder.zext(raw, _I32), dtypes.int32)
        return s.bitcast(bits << 16, dtypes.float32)
    mask = places(*(k // 2 if k % 2 else width for k in range(2 * width)))
    halves = s.builder.shuffle_vector(raw, zeros(raw.type), mask)
    kind = s.llvm_type(dtypes.float32, width)
    return Lane(s, s.builder.bitcast(halves, kind), dtypes.float32)


def _upper_half(s: LaneBuilder, bits: Lane, stored: ll.Type) -> ll.Value:
    """The upper halves of int32 lanes."""
    if bits.width == 1:
        return s.builder.trunc(s.logical_shift_right(bits, 16).value, stored)
    halves = s.builder.bitcast(bits.value, ll.VectorType(stored.element, 2 * bits.width))
    return s.builder.shuffle_vector(halves, halves, places(*range(1, 2 * bits.width, 2)))


def _to_memory(s: LaneBuilder, x: Lane, dtype: DType) -> ll.Value:
    stored = memory_type(s, dtype, x.width)
    if dtype is dtypes.bool_:
        return s.builder.zext(s.cast(x, dtype).value, stored)
    if dtype is dtypes.float16:
        return s.builder.fptrunc(s.cast(x, dtypes.float32).value, stored)
    if dtype is dtypes.bfloat16:
        return _upper_half(s, s.bfloat16_bits(s.cast(x, dtypes.float32)), stored)
    if x.dtype is not dtype:
        raise TypeError(f"a {x.dtype} lane stored as {dtype}; cast before storing")
    return x.value
