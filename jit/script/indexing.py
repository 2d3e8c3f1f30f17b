"""Subscripts of lists, tuples, dicts, strings and objects known while compiling; tensors have
their own file.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping, Sequence
from enum import EnumMeta

from ir import (
    ANY,
    INT,
    NONE,
    RANGE,
    STR,
    DictType,
    ListType,
    ObjectType,
    TensorType,
    TupleType,
    Value,
)
from jit.script.choices import choose_item, choose_position
from jit.script.classes import call_special
from jit.script.constants import UNKNOWN, constant_of, lift, unpack
from jit.script.dynamic import is_dynamic, slice_of
from jit.script.frame import Frame
from jit.script.informed import item_as_declared
from jit.script.keywords import delete_keyword, get_keyword, set_keyword
from jit.script.library import delete_slice, set_slice
from jit.script.operators import as_list, rebuild
from jit.script.tensor_index import Index, Slice, read_item, write_item
from jit.script.values import Instance, Items, Keywords, Operand, PyObject, RangeOf


def read_index(frame: Frame, node: ast.expr) -> list[Index]:
    """Evaluate the inside of the brackets; the parts of a tuple of indices, one by one."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return [_read_part(frame, part) for part in parts]


def _read_part(frame: Frame, node: ast.expr) -> Index:
    if isinstance(node, ast.Slice):
        ends = [None if e is None else frame.value(e) for e in (node.lower, node.upper, node.step)]
        return Slice(*(None if v is None or v.type == NONE else v for v in ends))
    if isinstance(node, ast.Constant) and node.value is Ellipsis:
        return Ellipsis
    return frame.evaluate(node)


def _single(frame: Frame, index: Sequence[Index]) -> Operand | Slice:
    """The one index of a container; several are a tuple."""
    if len(index) == 1 and isinstance(index[0], Slice):
        return index[0]
    operands = [i for i in index if isinstance(i, Value) or not isinstance(i, Slice | type(...))]
    if len(operands) != len(index):
        raise frame.mismatch("several slices, or `...`, index tensors only")
    return operands[0] if len(operands) == 1 else rebuild(frame, operands)


def getitem(frame: Frame, owner: Operand, index: Sequence[Index]) -> Operand:
    """`owner[index]`."""
    if isinstance(owner, Value) and isinstance(owner.type, TensorType):
        return read_item(frame, owner, index)
    part = _single(frame, index)
    if isinstance(owner, RangeOf) and not isinstance(part, Slice):
        owner = as_list(frame, owner)
    if not isinstance(part, Slice):
        special = call_special(frame, "__getitem__", owner, part)
        if special is not None:
            return special
    match owner:
        case Items(items):
            return _static_item(frame, items, part)
        case Keywords() if not isinstance(part, Slice):
            return get_keyword(frame, owner, part)
        case PyObject():
            return _object_item(frame, owner, part)
    value = frame.require(owner)
    if not isinstance(part, Slice) and frame.unit.untyped.is_read_open(value):
        return frame.python(operator.getitem, [value, frame.require(part)], ANY)
    if isinstance(part, Value) and is_dynamic(part.type) and not isinstance(value.type, DictType):
        return frame.python(operator.getitem, [value, part], ANY)  # a slice, say
    if isinstance(value.type, TupleType):
        return _tuple_item(frame, value, part)
    if is_dynamic(value.type):
        return _dynamic_item(frame, value, part)
    if not isinstance(value.type, ListType | DictType) and value.type != STR:
        raise frame.mismatch(f"a value of type {value.type} cannot be indexed")
    if isinstance(part, Slice):
        step = frame.constant(1) if part.step is None else part.step
        piece = frame.op("aten::slice", value, *part.ends(frame), step)
        piece.type = value.type
        return piece
    item = value.type.value if isinstance(value.type, DictType) else None
    return frame.op_or_python("aten::__getitem__", operator.getitem, item, value, part)


def _dynamic_item(frame: Frame, value: Value, part: Operand | Slice) -> Value:
    is_range = value.type == RANGE
    if isinstance(part, Slice):
        return slice_of(frame, value, part.values(frame), RANGE if is_range else ANY)
    return frame.python(operator.getitem, [value, frame.require(part)], INT if is_range else ANY)


def _constant_index(part: Operand | Slice) -> object:
    if not isinstance(part, Slice):
        return constant_of(part)
    ends = [None if e is None else constant_of(e) for e in (part.start, part.stop, part.step)]
    return UNKNOWN if UNKNOWN in ends else slice(*ends)


def _static_item(frame: Frame, items: tuple[Operand, ...], part: Operand | Slice) -> Operand:
    key = _constant_index(part)
    if isinstance(key, slice):
        return rebuild(frame, items[key])
    if not isinstance(key, int):
        chosen = None
        if isinstance(part, Value) and part.type == INT:
            chosen = choose_position(frame, items, part)
        if chosen is not None:
            return chosen
        raise frame.unsupported(
            "this sequence is known only while compiling: index it with a constant"
        )
    if not -len(items) <= key < len(items):
        raise frame.mismatch(f"index {key} is out of range for {len(items)} elements")
    return items[key]


def _tuple_item(frame: Frame, value: Value, part: Operand | Slice) -> Operand:
    if _constant_index(part) is UNKNOWN:
        items = as_list(frame, value)
        if not isinstance(part, Slice):
            return frame.op("aten::__getitem__", items, part)
        return slice_of(frame, value, part.values(frame), items.type)
    return _static_item(frame, tuple(unpack(frame, value)), part)


def _object_item(frame: Frame, owner: PyObject, part: Operand | Slice) -> Operand:
    key = _constant_index(part)
    chosen = choose_item(frame, owner, part) if isinstance(part, Value) and key is UNKNOWN else None
    if chosen is not None:
        return chosen
    if key is UNKNOWN and isinstance(owner.obj, EnumMeta) and isinstance(part, Value):
        member = ObjectType(f"{owner.obj.__module__}.{owner.obj.__qualname__}", owner.obj)
        return frame.python(operator.getitem, [frame.require(owner), part], member)
    if key is UNKNOWN and isinstance(owner.obj, dict) and type(owner.obj) is not dict:
        return _dynamic_item(frame, frame.require(owner), part)  # a Counter, say
    if key is UNKNOWN:
        raise frame.unsupported(
            f"{owner.describe()} is known only while compiling: index it with a constant"
        )
    try:
        found = owner.obj[key]
    except (KeyError, IndexError, TypeError) as error:
        raise frame.mismatch(f"{owner.describe()} has no item {key!r}: {error}") from error
    if isinstance(owner.obj, Mapping):
        frame.resolver.record_item(owner.name, owner.obj, key)
    return lift(frame, found, f"{owner.name}[{key!r}]")


def setitem(frame: Frame, owner: Operand, index: Sequence[Index], item: Operand) -> None:
    """`owner[index] = item`."""
    if isinstance(owner, Instance):
        key = _single(frame, index)
        if not isinstance(key, Slice) and call_special(frame, "__setitem__", owner, key, item):
            return
    if isinstance(owner, Keywords):
        key = _single(frame, index)
        if not isinstance(key, Slice):
            set_keyword(frame, owner, key, item)
            return
    value = frame.require(owner)
    if isinstance(value.type, TensorType):
        write_item(frame, value, index, frame.require(item))
        return
    frame.change(value)
    if not isinstance(value.type, ListType | DictType) and not is_dynamic(value.type):
        raise frame.mismatch(f"items of a {value.type} cannot be assigned")
    part = _single(frame, index)
    if isinstance(part, Slice):
        new = as_list(frame, item)
        frame.python(set_slice, [value, *part.values(frame), new], NONE)
    elif is_dynamic(value.type):
        frame.python(operator.setitem, [value, frame.require(part), frame.require(item)], NONE)
    else:
        item = _adopt_item(frame, value, part, item)
        frame.op_or_python("aten::_set_item", operator.setitem, NONE, value, part, item)


def delitem(frame: Frame, owner: Operand, index: Sequence[Index]) -> None:
    """`del owner[index]`."""
    part = _single(frame, index)
    if isinstance(owner, Keywords) and not isinstance(part, Slice):
        delete_keyword(frame, owner, part)
        return
    value = frame.require(owner)
    frame.change(value)
    if isinstance(part, Slice):
        frame.python(delete_slice, [value, *part.values(frame)], NONE)
    else:
        frame.op_or_python("aten::Delete", operator.delitem, NONE, value, part)


def _adopt_item(frame: Frame, container: Value, key: Operand, item: Operand) -> Value:
    """An entry decides the type of an empty dict, and may widen that of any list or dict; of one
    that is not known, the declaration says what it is.
    """
    value = item_as_declared(frame, container, frame.require(item))
    type_ = value.type.erased() if isinstance(value.type, TensorType) else value.type
    if isinstance(container.type, DictType):
        frame.unit.untyped.admit(container, DictType(frame.require(key).type, type_), value)
    elif isinstance(container.type, ListType):
        frame.unit.untyped.admit(container, ListType(type_), value)
    return value
