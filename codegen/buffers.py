"""Where values lie in memory: the layout of new buffers, and views as part of what they view."""

from __future__ import annotations

from codegen.index import Affine, Var, address
from codegen.nest import Buffer
from codegen.operands import Known, producer, view_index
from ir import Dim, TensorType, Value, View, contiguous_strides, strides, view_strides


def _complete(given: tuple[Dim | None, ...] | None) -> tuple[Dim, ...] | None:
    """Strides when all of them are known."""
    known = tuple(s for s in given or () if s is not None)
    return known if given is not None and len(known) == len(given) else None


def dense_strides(type_: TensorType) -> tuple[Dim, ...]:
    """Strides for a new buffer of this type: its own where they are dense, else row-major."""
    own = _complete(type_.strides)
    if own is not None and strides.is_dense(strides.Layout(type_.shape, own)):
        return own
    return contiguous_strides(type_.shape)


def readable(value: Value, buffers: dict[Value, Buffer], known: Known) -> Buffer:
    """The memory of a value from outside: its own, or for a view that nothing stores, part of its
    base's.
    """
    if value not in buffers:
        type_ = value.type
        assert isinstance(type_, TensorType) and type_.dtype is not None
        buffers[value] = _viewed(value, type_, buffers, known) or Buffer(
            value, type_.dtype, type_.shape, _given_strides(type_)
        )
    return buffers[value]


def _given_strides(type_: TensorType) -> tuple[Dim, ...]:
    own = _complete(type_.strides)
    return dense_strides(type_) if own is None else own


def _viewed(
    value: Value, type_: TensorType, buffers: dict[Value, Buffer], known: Known
) -> Buffer | None:
    """A view as strides and offset in the memory of what it views."""
    source = producer(value)
    if source is None or not isinstance(source.node.op.rule, View):
        return None
    base = readable(source.node.inputs[0], buffers, known)
    domain = [Var(f"v{k}", d) for k, d in enumerate(type_.shape)]
    inner = view_index(source, tuple(map(Affine.of, domain)), known, type_.shape)
    if inner is None:
        strides_ = view_strides(base.dims, base.strides, type_.shape)
        return (
            None
            if strides_ is None
            else Buffer(base.base, base.dtype, type_.shape, tuple(strides_), base.offset)
        )
    where = address(inner, base.strides, base.offset)
    return Buffer(
        base.base, base.dtype, type_.shape, tuple(where.coefficient(v) for v in domain), where.const
    )
