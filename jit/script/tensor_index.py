"""Subscripts of tensors: by int, slice, None, Ellipsis, index tensor, mask and list; reading,
writing, updating.

Basic indices become views (`select`, `slice`, `unsqueeze`), left of an Ellipsis counted from
the front, right of it from the back; index tensors are gathered into one `index`. Assignment
writes into the view: `copy_`, `fill_`, `index_put_`. Where ints or slices follow an index
tensor, which may be a mask of unknown rank, the whole subscript is Python's, called back.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, TypeGuard

from ir import (
    INT,
    NONE,
    NUMBER,
    TENSOR,
    ListType,
    SequenceType,
    TensorType,
    Value,
    optional,
    record,
)
from jit.script.constants import constant_of, make_list, unpack
from jit.script.dynamic import is_dynamic
from jit.script.frame import Frame
from jit.script.library import tensor_getitem, tensor_setitem
from jit.script.operators import NUMBERS, as_list, is_tuple
from jit.script.values import Items, Operand, RangeOf


@record
class Slice:
    """`start:stop:step`, each None when absent."""

    start: Value | None
    stop: Value | None
    step: Value | None

    @property
    def is_full(self) -> bool:
        """Whether it is `:`."""
        return self.start is None and self.stop is None and self.step is None

    def ends(self, frame: Frame) -> list[Value]:
        """Start and stop as values."""
        return [frame.constant(None) if e is None else e for e in (self.start, self.stop)]

    def values(self, frame: Frame) -> list[Value]:
        """All three as values."""
        return [*self.ends(frame), frame.constant(None) if self.step is None else self.step]


Index = Operand | Slice | EllipsisType
Update = Callable[[Value], Operand]


@record
class _Place:
    """Where a subscript points: a view, and the list of index tensors still to be applied to it."""

    view: Value
    indices: Value | None


def read_item(frame: Frame, tensor: Value, index: Sequence[Index]) -> Value:
    """`tensor[index]`."""
    if (whole := _whole(index)) is not None:
        return frame.python(operator.getitem, [tensor, whole], TENSOR)
    parts = _parts(frame, tensor, index)
    place = _place(frame, tensor, parts)
    if place is None:
        return frame.python(tensor_getitem, [tensor, *_python_index(frame, parts)], TENSOR)
    if place.indices is None:
        return place.view
    return frame.op("aten::index", place.view, place.indices)


def write_item(frame: Frame, tensor: Value, index: Sequence[Index], item: Value) -> None:
    """`tensor[index] = item`."""
    if (whole := _whole(index)) is not None:
        frame.python(operator.setitem, [tensor, whole, item], NONE)
        return
    parts = _parts(frame, tensor, index)
    place = _place(frame, tensor, parts)
    if place is None:
        frame.python(tensor_setitem, [tensor, item, *_python_index(frame, parts)], NONE)
    else:
        _write(frame, place, item)


def update_item(frame: Frame, tensor: Value, index: Sequence[Index], update: Update) -> None:
    """`tensor[index] op= ...`: a view is changed in place, a gathered copy is stored again."""
    is_whole = _whole(index) is not None
    place = None if is_whole else _place(frame, tensor, _parts(frame, tensor, index))
    if place is None:
        item = frame.require(update(read_item(frame, tensor, index)))
        write_item(frame, tensor, index, item)
    elif place.indices is None:
        update(place.view)
    else:
        read = frame.op("aten::index", place.view, place.indices)
        frame.op("aten::index_put_", place.view, place.indices, update(read))


def _write(frame: Frame, place: _Place, item: Value) -> None:
    view = place.view
    if place.indices is not None:
        if not isinstance(item.type, TensorType):
            dtype, device = frame.op("prim::dtype", view), frame.op("prim::device", view)
            item = frame.op("aten::full", _list(frame, [], INT), item, dtype=dtype, device=device)
        frame.op("aten::index_put_", view, place.indices, item)
    elif isinstance(item.type, TensorType):
        frame.op("aten::copy_", view, item)
    elif item.type in NUMBERS:
        frame.op("aten::fill_", view, item)
    else:
        raise frame.mismatch(f"a {item.type} cannot be stored in a tensor")


# places -------------------------------------------------------------------------------------------


def _whole(index: Sequence[Index]) -> Value | None:
    """A subscript that is a list of tensors or a tuple of a length known at run time: Python's."""
    part = index[0] if len(index) == 1 else None
    type_ = part.type if isinstance(part, Value) else None
    is_open = isinstance(type_, SequenceType) or type_ == ListType(TENSOR)
    return part if is_open and isinstance(part, Value) else None


def _parts(frame: Frame, tensor: Value, index: Sequence[Index]) -> list[Index]:
    """The indices one by one: a tuple alone counts as its elements, one among others and a list of
    numbers are tensors.
    """
    parts: list[Index] = []
    for part in index:
        if isinstance(part, Slice | EllipsisType):
            parts.append(part)
        elif is_tuple(part) and len(index) > 1:
            listed = as_list(frame, part)
            parts.append(frame.op("aten::tensor", listed, device=frame.op("prim::device", tensor)))
        elif isinstance(part, RangeOf):
            parts += _parts(frame, tensor, [as_list(frame, part)])
        elif is_tuple(part):
            parts += part.items if isinstance(part, Items) else unpack(frame, frame.require(part))
        elif isinstance(part, Value) and isinstance(part.type, ListType):
            parts.append(frame.op("aten::tensor", part, device=frame.op("prim::device", tensor)))
        else:
            parts.append(part)
    return parts


def _is_gather(part: Index | None) -> TypeGuard[Value]:
    return isinstance(part, Value) and isinstance(part.type, TensorType)


def _is_basic(part: Index) -> bool:
    """Whether a part of a subscript has a meaning here; Python knows that of a bool, say."""
    kinds = (NONE, INT, NUMBER)
    if isinstance(part, Slice):
        step = part.step and constant_of(part.step)
        is_open = any(v and is_dynamic(v.type) for v in (part.start, part.stop, part.step))
        return not is_open and (not isinstance(step, int) or step > 0)
    return not isinstance(part, Value) or part.type in kinds or _is_gather(part)


def _place(frame: Frame, tensor: Value, parts: Sequence[Index]) -> _Place | None:
    """Apply the basic indices; None where the rank of an index tensor would have to be known."""
    cut = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    front, back = parts[:cut], parts[cut + 1 :]
    last = max((i for i, p in enumerate(front) if _is_gather(p)), default=len(front))
    if any(not (isinstance(p, Slice) and p.is_full) and not _is_gather(p) for p in front[last:]):
        return None
    if any(map(_is_gather, back)) or not all(map(_is_basic, parts)):
        return None
    gathers: list[Value | None] = []
    dim = 0
    for part in front:
        if _is_gather(part):
            gathers += [None] * (dim - len(gathers)) + [part]
            dim += 1
        else:
            if any(gathers) and not isinstance(part, Slice):
                return None
            tensor, kept = _step(frame, tensor, part, dim)
            dim += kept
    dim = -1
    for part in reversed(back):
        tensor, kept = _step(frame, tensor, part, dim)
        dim -= kept
    if not any(gathers):
        return _Place(tensor, None)
    entries = [g if g is not None else frame.constant(None) for g in gathers]
    return _Place(tensor, _list(frame, entries, optional(TENSOR)))


def _step(frame: Frame, tensor: Value, part: Index, dim: int) -> tuple[Value, int]:
    """Apply one basic index at `dim`; the second result counts the dims it leaves there."""
    if isinstance(part, Slice):
        if part.is_full:
            return tensor, 1
        step = frame.constant(1) if part.step is None else part.step
        return frame.op("aten::slice", tensor, dim, *part.ends(frame), step), 1
    assert not isinstance(part, EllipsisType)
    item = frame.require(part)
    if item.type == NONE:
        return frame.op("aten::unsqueeze", tensor, dim), 1
    if item.type in (INT, NUMBER):
        return frame.op("aten::select", tensor, dim, item), 0
    raise frame.mismatch(f"a tensor cannot be indexed by a {item.type}")


def _list(frame: Frame, values: Sequence[Value], element: Any) -> Value:
    made = make_list(frame, values, element)
    assert made is not None
    return made


def _python_index(frame: Frame, parts: Sequence[Index]) -> list[Value]:
    """How many values each part of an index takes (three a slice, none an Ellipsis), and those
    values.
    """
    values: list[Value] = []
    shape: list[Value] = []
    for part in parts:
        before = len(values)
        if isinstance(part, Slice):
            values += part.values(frame)
        elif not isinstance(part, EllipsisType):
            values.append(frame.require(part))
        shape.append(frame.constant(len(values) - before))
    return [_list(frame, shape, INT), *values]
