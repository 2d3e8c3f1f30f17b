"""Subscripts: tensors by int, slice, None, Ellipsis, tensor, list; lists, tuples, dicts and
strings; and assignment to them.

Basic tensor indices become views (`select`, `slice`, `unsqueeze`), left of an Ellipsis counted
from the front, right of it from the back; index tensors are gathered into one `index`.
Assignment writes into the view: `copy_`, `fill_`, `index_put_`.
"""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass

from ir import INT, NONE, STR, TENSOR, DictType, ListType, TensorType, TupleType, Value, optional
from jit.script.constants import UNKNOWN, constant_of, lift, make_list, unpack
from jit.script.frame import Frame
from jit.script.operators import NUMBERS, as_list, is_tuple, rebuild
from jit.script.values import Items, Keywords, Operand, PyObject, RangeOf


@dataclass(frozen=True, slots=True)
class Slice:
    """`start:stop:step`, each None when absent."""

    start: Value | None
    stop: Value | None
    step: Value | None

    @property
    def is_full(self) -> bool:
        """`:`"""
        return self.start is None and self.stop is None and self.step is None


Index = Operand | Slice | type(Ellipsis)  # type: ignore[valid-type]


def read_index(frame: Frame, node: ast.expr) -> list[Index]:
    """Evaluate the inside of the brackets; the parts of a tuple of indices, one by one."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return [_read_part(frame, part) for part in parts]


def _read_part(frame: Frame, node: ast.expr) -> Index:
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        values = [None if e is None else frame.value(e) for e in ends]
        return Slice(*(None if v is None or v.type == NONE else v for v in values))
    if isinstance(node, ast.Constant) and node.value is Ellipsis:
        return Ellipsis
    return frame.evaluate(node)


def getitem(frame: Frame, owner: Operand, index: list[Index], is_display: bool) -> Operand:
    """`owner[index]`; `is_display` when the index was written as a tuple."""
    if isinstance(owner, Items):
        return _static_item(frame, list(owner.items), index)
    if isinstance(owner, Keywords):
        return _keyword(frame, owner, index)
    if isinstance(owner, RangeOf):
        owner = frame.require(owner)
    if isinstance(owner, PyObject):
        return _object_item(frame, owner, index)
    value = frame.require(owner)
    match value.type:
        case TensorType():
            view, indices = tensor_view(frame, value, index)
            return view if indices is None else frame.op("aten::index", view, indices)
        case TupleType():
            return _tuple_item(frame, value, index)
    if is_display and not isinstance(value.type, DictType):
        raise frame.mismatch(f"a {value.type} takes one index")
    if is_display:
        index = [rebuild(frame, [i for i in index if not isinstance(i, Slice)])]
    (part,) = index
    if isinstance(part, Slice):
        return _sequence_slice(frame, value, part)
    if not isinstance(value.type, ListType | DictType) and value.type != STR:
        raise frame.mismatch(f"a value of type {value.type} cannot be indexed")
    item = value.type.value if isinstance(value.type, DictType) else None
    return frame.op_or_python("aten::__getitem__", operator.getitem, item, value, part)


def _keyword(frame: Frame, owner: Keywords, index: list[Index]) -> Operand:
    key = _constant_index(index[0])
    if key not in owner.items:
        raise frame.mismatch(f"there is no keyword argument {key!r}")
    return owner.items[key]  # type: ignore[index]


def _sequence_slice(frame: Frame, value: Value, part: Slice) -> Value:
    step = frame.constant(1) if part.step is None else part.step
    ends = [frame.constant(None) if e is None else e for e in (part.start, part.stop)]
    return frame.op("aten::slice", value, *ends, step)


def _constant_index(part: Index) -> object:
    if isinstance(part, Slice):
        ends = [None if e is None else constant_of(e) for e in (part.start, part.stop, part.step)]
        return UNKNOWN if UNKNOWN in ends else slice(*ends)
    return UNKNOWN if part is Ellipsis else constant_of(part)


def _static_item(frame: Frame, items: list[Operand], index: list[Index]) -> Operand:
    key = _constant_index(index[0])
    if isinstance(key, slice):
        return rebuild(frame, items[key])
    if not isinstance(key, int):
        raise frame.unsupported(
            "this sequence is known only while compiling: index it with a constant"
        )
    try:
        return items[key]
    except IndexError:
        raise frame.mismatch(f"index {key} is out of range for {len(items)} elements") from None


def _tuple_item(frame: Frame, value: Value, index: list[Index]) -> Operand:
    assert isinstance(value.type, TupleType)
    key = _constant_index(index[0])
    if isinstance(key, slice):
        return rebuild(frame, list(unpack(frame, value))[key])
    if not isinstance(key, int):
        return frame.op("aten::__getitem__", as_list(frame, value), index[0])
    count = len(value.type.elements)
    if not -count <= key < count:
        raise frame.mismatch(f"index {key} is out of range for a tuple of {count} elements")
    return unpack(frame, value)[key]


def _object_item(frame: Frame, owner: PyObject, index: list[Index]) -> Operand:
    key = _constant_index(index[0])
    if key is UNKNOWN:
        raise frame.unsupported(
            f"{owner.describe()} is known only while compiling: index it with a constant"
        )
    try:
        found = owner.obj[key]
    except (KeyError, IndexError, TypeError) as error:
        raise frame.mismatch(f"{owner.describe()} has no item {key!r}: {error}") from error
    return lift(frame, found, f"{owner.name}[{key!r}]")


def tensor_view(frame: Frame, value: Value, index: list[Index]) -> tuple[Value, Value | None]:
    """The view that basic indices give, and the list of index tensors that remain to be applied to
    it.
    """
    parts = [p for part in index for p in _spread(frame, part)]
    cut = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    value, gathers, dim = _from_front(frame, value, parts[:cut])
    tail = parts[cut + 1 :]
    if any(_is_gather(p) for p in tail):
        if not all(_is_gather(p) for p in tail):
            raise frame.unsupported(
                "after `...`, use either slices and ints or index tensors: take them in two steps"
            )
        rank = frame.op("aten::dim", value)
        return value, _index_list(frame, gathers, tail, rank, dim)
    value = _from_back(frame, value, tail)
    return value, make_list(
        frame, [g or frame.constant(None) for g in gathers], optional(TENSOR)
    ) if any(gathers) else None


def _spread(frame: Frame, part: Index) -> list[Index]:
    """A tuple held in a variable counts as its elements; a list of numbers is an index tensor."""
    if isinstance(part, Slice) or part is Ellipsis:
        return [part]
    if is_tuple(part):
        return [*(part.items if isinstance(part, Items) else unpack(frame, part))]
    if isinstance(part, Value) and isinstance(part.type, ListType):
        return [
            part if isinstance(part.type.element, TensorType) else frame.op("aten::tensor", part)
        ]
    return [part]


def _is_gather(part: Index) -> bool:
    return isinstance(part, Value) and isinstance(part.type, TensorType)


def _from_front(
    frame: Frame, value: Value, parts: list[Index]
) -> tuple[Value, list[Value | None], int]:
    gathers: list[Value | None] = []
    dim = 0
    for part in parts:
        if _is_gather(part):
            gathers += [None] * (dim - len(gathers)) + [part]
            dim += 1
            continue
        if any(gathers) and not (isinstance(part, Slice) and part.is_full):
            _require_plain(frame, gathers)
        value, kept = _step(frame, value, part, dim)
        dim += kept
    return value, gathers, dim


def _require_plain(frame: Frame, gathers: list[Value | None]) -> None:
    """A mask of several dims would shift the dims after it, and its rank is not known here."""
    for gather in gathers:
        is_index = (
            gather is not None and gather.node is not None and gather.node.name == "aten::tensor"
        )
        if (
            gather is not None
            and not is_index
            and isinstance(gather.type, TensorType)
            and gather.type.dtype is None
        ):
            raise frame.unsupported(
                "an index tensor followed by an int or slice: the dims of a mask are not known here; "
                "write it in two steps, x[index][:, ...]"
            )


def _from_back(frame: Frame, value: Value, parts: list[Index]) -> Value:
    dim = -1
    for part in reversed(parts):
        value, kept = _step(frame, value, part, dim)
        dim -= kept
    return value


def _step(frame: Frame, value: Value, part: Index, dim: int) -> tuple[Value, int]:
    """Apply one basic index at `dim`; the second result counts the dims it leaves there."""
    if isinstance(part, Slice):
        if part.is_full:
            return value, 1
        ends = [frame.constant(None) if e is None else e for e in (part.start, part.stop)]
        step = frame.constant(1) if part.step is None else part.step
        return frame.op("aten::slice", value, dim, *ends, step), 1
    item = frame.require(part)
    if item.type == NONE:
        return frame.op("aten::unsqueeze", value, dim), 1
    if item.type == INT or item.type in NUMBERS[4:]:
        return frame.op("aten::select", value, dim, item), 0
    raise frame.mismatch(f"a tensor cannot be indexed by a {item.type}")


def _index_list(
    frame: Frame, gathers: list[Value | None], tail: list[Index], rank: Value, dim: int
) -> Value:
    """Index tensors at the last dims: absent entries for every dim before them."""
    absent = frame.op("aten::sub", rank, len(tail) + len(gathers))
    none_list = make_list(frame, [frame.constant(None)], optional(TENSOR))
    front = make_list(frame, [g or frame.constant(None) for g in gathers], optional(TENSOR))
    back = make_list(frame, [frame.require(p) for p in tail], optional(TENSOR))
    middle = frame.op("aten::mul", none_list, absent)
    return frame.op("aten::add", frame.op("aten::add", front, middle), back)


def setitem(frame: Frame, owner: Operand, index: list[Index], item: Operand) -> None:
    """`owner[index] = item`."""
    value = frame.require(owner)
    if isinstance(value.type, TensorType):
        view, indices = tensor_view(frame, value, index)
        _write(frame, view, indices, frame.require(item))
        return
    if not isinstance(value.type, ListType | DictType):
        raise frame.mismatch(f"items of a {value.type} cannot be assigned")
    (part,) = index if len(index) == 1 else [rebuild(frame, list(index))]
    if isinstance(part, Slice):
        ends = [
            frame.constant(None) if e is None else e for e in (part.start, part.stop, part.step)
        ]
        frame.python(_set_slice, [value, *ends, as_list(frame, item)], NONE)
        return
    adopt_item(frame, value, part, item)
    frame.op_or_python("aten::_set_item", operator.setitem, NONE, value, part, item)


def _set_slice(
    items: list[object], start: int | None, stop: int | None, step: int | None, new: list[object]
) -> None:
    items[slice(start, stop, step)] = new


def delitem(frame: Frame, owner: Operand, index: list[Index]) -> None:
    """`del owner[index]`."""
    value = frame.require(owner)
    (part,) = index if len(index) == 1 else [rebuild(frame, list(index))]
    if isinstance(part, Slice):
        ends = [
            frame.constant(None) if e is None else e for e in (part.start, part.stop, part.step)
        ]
        frame.python(_delete_slice, [value, *ends], NONE)
    else:
        frame.op_or_python("aten::Delete", operator.delitem, NONE, value, part)


def _delete_slice(
    items: list[object], start: int | None, stop: int | None, step: int | None
) -> None:
    del items[slice(start, stop, step)]


def adopt_item(frame: Frame, container: Value, key: Operand, item: Operand) -> None:
    """An empty dict whose types were left open takes those of its first entry."""
    if container in frame.unit.untyped and isinstance(container.type, DictType):
        frame.unit.untyped.discard(container)
        container.type = DictType(frame.require(key).type, frame.require(item).type)


def _write(frame: Frame, view: Value, indices: Value | None, item: Value) -> None:
    if indices is not None:
        if not isinstance(item.type, TensorType):
            like = {
                "dtype": frame.op("prim::dtype", view),
                "device": frame.op("prim::device", view),
            }
            item = frame.op("aten::full", make_list(frame, [], INT), item, **like)
        frame.op("aten::index_put_", view, indices, item)
    elif isinstance(item.type, TensorType):
        frame.op("aten::copy_", view, item)
    elif item.type in NUMBERS:
        frame.op("aten::fill_", view, item)
    else:
        raise frame.mismatch(f"a {item.type} cannot be stored in a tensor")
