"""What the schemas do not say about memory: aliases without a mark, views that may copy, and how to
write through a view as a value: the base with the elements that the view shows replaced.

    slice(x, 1, 2, 5)        cat([x[:, :2], new, x[:, 5:]], 1)
    select(x, 0, i)          cat([x[:i], new[None], x[i + 1:]], 0)
    transpose, permute, t    the inverse permutation of new
    view, squeeze ...        new in the sizes of the base

`INVERSES` has one row per view op: `inverse(b, base, new, params)` gets what is known of the other
parameters (anything that is not known is some object that is neither a number nor None nor a list)
and gives the new base, or None where it cannot tell. Views without a row (expand, strided slices)
are not written through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.dims import MINIMUM, Dim
from ir.graph import Value
from ir.types import TensorType

# Ops that may give their input back, or a view of it, although no mark of their schema says so.
UNMARKED = frozenset(
    f"aten::{name}" for name in (
        "_cast_Byte", "_cast_Char", "_cast_Double", "_cast_Float", "_cast_Half", "_cast_Int",
        "_cast_Long", "_cast_Short", "_unsafe_view", "alpha_dropout", "atleast_1d", "atleast_2d",
        "atleast_3d", "broadcast_tensors", "cartesian_prod", "dropout", "einsum",
        "feature_alpha_dropout", "feature_dropout", "meshgrid", "sum_to_size", "to_dense",
        "type_as", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes"))

# Views only where strides allow, copies elsewhere.
MAY_COPY = ("aten::reshape", "aten::flatten")

LAST = 2**62  # bounds beyond mean the end
Inverse = Callable[[Any, Value, Value, Sequence[Any]], Value | None]


def _cat(b: Any, base: Value, new: Value, dim: int, start: int, end: int | None) -> Value:
    """Elements [start, end) of one dim replaced; None is the end of the dim."""
    pieces = [new]
    if start > 0:
        pieces.insert(0, b.slice(base, dim, 0, start, 1))
    if end is not None:
        pieces.append(b.slice(base, dim, end, None, 1))
    result: Value = b.cat(pieces, dim) if len(pieces) > 1 else new
    return result


def _slice(b: Any, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    dim, start, end, step = params
    if not isinstance(dim, int) or step != 1 or not _is_bound(start) or not _is_bound(end):
        return None
    size = _size(base, dim)
    if not isinstance(size, int):  # a symbol is at least MINIMUM
        first = start or 0
        fits = 0 <= first <= MINIMUM and (end is None or end >= LAST)
        return _cat(b, base, new, dim, first, None) if fits else None
    first, last, _ = slice(start, end).indices(size)
    return _cat(b, base, new, dim, first, max(first, last) if last < size else None)


def _is_bound(value: Any) -> bool:
    return value is None or isinstance(value, int)


def _select(b: Any, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    dim, index = params
    if not isinstance(dim, int) or not isinstance(index, int):
        return None
    size = _size(base, dim)
    at = index + size if index < 0 else index
    if not isinstance(at, int) or not 0 <= at < (size if isinstance(size, int) else MINIMUM):
        return None
    end = None if at + 1 == size else at + 1
    return _cat(b, base, b.unsqueeze(new, dim), dim, at, end)


def _size(base: Value, dim: int) -> Dim:
    assert isinstance(base.type, TensorType)
    return base.type.shape[dim]


def _transpose(b: Any, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    if not all(isinstance(dim, int) for dim in params):
        return None
    result: Value = b.transpose(new, *params)
    return result


def _permute(b: Any, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    (dims,) = params
    if not isinstance(dims, list | tuple):
        return None
    order = [d % len(dims) for d in dims]
    result: Value = b.permute(new, [order.index(i) for i in range(len(order))])
    return result


def _reshape(b: Any, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    assert isinstance(base.type, TensorType)
    if not all(isinstance(d, int) for d in base.type.shape):
        return None
    result: Value = b.reshape(new, list(base.type.shape))
    return result


INVERSES: dict[str, Inverse] = {
    "aten::slice": _slice,
    "aten::select": _select,
    "aten::transpose": _transpose,
    "aten::permute": _permute,
    "aten::t": lambda b, base, new, params: b.t(new),
    "aten::view": _reshape,
    "aten::squeeze": _reshape,
    "aten::unsqueeze": _reshape,
    "aten::detach": lambda b, base, new, params: new,
    "aten::alias": lambda b, base, new, params: new,
}
