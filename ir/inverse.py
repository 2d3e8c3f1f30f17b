"""Writing through a view, as a value: the base with the elements that the view shows replaced.

    slice(x, 1, 2, 5)        cat([x[:, :2], new, x[:, 5:]], 1)
    select(x, 0, i)          cat([x[:i], new[None], x[i + 1:]], 0)
    transpose, permute, t    the inverse permutation of new
    view, squeeze ...        new in the sizes of the base

One row per view op; views without a row (expand, strided slices, sizes that are not known) are not
written through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.abstract import Known
from ir.builder import Builder
from ir.dims import MINIMUM, Dim
from ir.graph import Node, Value
from ir.resolve import UNKNOWN
from ir.types import TensorType

LAST = 2**62  # bounds beyond mean the end
Inverse = Callable[[Builder, Value, Value, Sequence[Any]], Value | None]


def write_through(b: Builder, view: Node, base: Value, new: Value, known: Known) -> Value | None:
    """`base` with what `view` shows of it replaced by `new`; None where that cannot be written."""
    rule = INVERSES.get(view.name)
    type_ = base.type
    if rule is None or not isinstance(type_, TensorType) or not type_.is_complete:
        return None
    params = [known.get(v, UNKNOWN) for v in view.inputs[1:]]
    return rule(b, base, new, params)


def _cat(b: Builder, base: Value, new: Value, dim: int, start: int, end: int | None) -> Value:
    """Elements [start, end) of one dim replaced; None is the end of the dim."""
    pieces = [new]
    if start > 0:
        pieces.insert(0, b.slice(base, dim, 0, start, 1))
    if end is not None:
        pieces.append(b.slice(base, dim, end, None, 1))
    result: Value = b.cat(pieces, dim) if len(pieces) > 1 else new
    return result


def _slice(b: Builder, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    dim, start, end, step = params
    if not isinstance(dim, int) or step != 1 or UNKNOWN in (start, end):
        return None
    size = _size(base, dim)
    if not isinstance(size, int):  # a symbol is at least MINIMUM
        first = start or 0
        fits = 0 <= first <= MINIMUM and (end is None or end >= LAST)
        return _cat(b, base, new, dim, first, None) if fits else None
    first, last, _ = slice(start, end).indices(size)
    return _cat(b, base, new, dim, first, max(first, last) if last < size else None)


def _select(b: Builder, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
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


def _transpose(b: Builder, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    result: Value | None = b.transpose(new, *params) if UNKNOWN not in params else None
    return result


def _permute(b: Builder, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
    (dims,) = params
    if dims is UNKNOWN:
        return None
    order = [d % len(dims) for d in dims]
    result: Value = b.permute(new, [order.index(i) for i in range(len(order))])
    return result


def _reshape(b: Builder, base: Value, new: Value, params: Sequence[Any]) -> Value | None:
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
