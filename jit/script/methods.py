"""Methods of values that are more than an op of their name, constructors, and methods of
compile-time sequences.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch

from ir import (
    ANY,
    BOOL,
    INT,
    NONE,
    SIZE,
    STR,
    TENSOR,
    DictType,
    FutureType,
    ListType,
    ObjectType,
    OptionalType,
    SequenceType,
    SetType,
    TensorType,
    TupleType,
    Type,
    TypeMismatch,
    Value,
    is_subtype,
)
from jit.script import operators
from jit.script.annotate import named_tuple_type
from jit.script.attributes import has_op, is_enum, python_class
from jit.script.classes import construct as construct_instance
from jit.script.classes import is_compiled_class
from jit.script.constants import UNKNOWN, lift, unpack
from jit.script.dynamic import call_on, call_python
from jit.script.frame import Frame
from jit.script.functions import bind_named
from jit.script.informed import element_of, item_as_declared
from jit.script.keywords import call_keywords
from jit.script.known import known_value
from jit.script.library import set_slice
from jit.script.merging import merge_types
from jit.script.values import ITERABLES, Arguments, Keywords, Operand, PyObject, Static

MethodRule = Callable[[Frame, Value, Arguments], Operand]

_CASTS = {
    "float": torch.float32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "int": torch.int32,
    "long": torch.int64,
    "short": torch.int16,
    "char": torch.int8,
    "byte": torch.uint8,
    "bool": torch.bool,
    "cfloat": torch.complex64,
    "cdouble": torch.complex128,
}

# Tensor methods that are an op of another name.
_RENAMED = {
    "nelement": "numel",
    "ndimension": "dim",
    "__len__": "len",
    "__abs__": "abs",
    "__invert__": "bitwise_not",
}


def rule_of(type_: Type, name: str) -> MethodRule | None:
    """The rule for a method of a type, None when the op of its name does."""
    match type_:
        case TensorType():
            return _tensor_rule(name)
        case SequenceType() if not hasattr(tuple, name):
            return lambda frame, owner, given: call_on(
                frame, owner, name, given, INT if name == "numel" else ANY
            )
        case ListType() if name == "extend":
            return _extend
        case ListType() if name == "sort":
            return _sort
        case TupleType() if name in ("index", "count"):
            return _search(name)
        case TupleType(fields=fields) if name == "_replace" and fields:
            return _replace
        case SetType() if hasattr(set, name):
            return _set_method(name)
        case DictType() if name == "update":
            return _update
        case DictType() if name == "move_to_end":
            return lambda frame, owner, given: call_on(frame, owner, name, given, NONE)
        case TupleType(fields=fields) if name == "_asdict" and fields:
            return _as_dict
        case FutureType():
            return METHODS_OF_FUTURES.get(name)
        case ObjectType() | OptionalType():
            return None
    return None


def _search(name: str) -> MethodRule:
    """`index` and `count` of a tuple."""

    def apply(frame: Frame, owner: Value, given: Arguments) -> Operand:
        known = [known_value(o) for o in (owner, *given.args)]
        if UNKNOWN not in known and (name == "count" or known[1] in known[0]):
            return frame.constant(getattr(known[0], name)(*known[1:]))
        return frame.op(f"aten::{name}", operators.as_list(frame, owner), *given.args)

    return apply


METHODS_OF_FUTURES: dict[str, MethodRule] = {}

# Methods of sets and what they give: the set's type, its element, or this.
_SAME, _ELEMENT = object(), object()
_SET_METHODS: dict[str, Any] = {
    **dict.fromkeys(("add", "discard", "remove", "clear", "update"), NONE),
    **dict.fromkeys(
        ("intersection_update", "difference_update", "symmetric_difference_update"), NONE
    ),
    **dict.fromkeys(("intersection", "difference", "copy"), _SAME),
    **dict.fromkeys(("issubset", "issuperset", "isdisjoint"), BOOL),
    "pop": _ELEMENT,
}


def _set_method(name: str) -> MethodRule:
    """Python's method; there are no ops on sets."""

    def apply(frame: Frame, owner: Value, given: Arguments) -> Operand:
        assert isinstance(owner.type, SetType)
        args = [_as_iterable(frame, a) if name != "add" else a for a in given.args]
        if name in ("add", "update", "symmetric_difference_update"):
            _adopt_members(frame, owner, name, args)
        kind = _SET_METHODS.get(name, ANY)
        result = owner.type if kind is _SAME else owner.type.element if kind is _ELEMENT else kind
        if name in ("union", "symmetric_difference"):
            result = SetType(reduce(merge_types, map(_member, args), owner.type.element))
        return call_on(frame, owner, name, Arguments([*args], given.kwargs), result)

    return apply


def _as_iterable(frame: Frame, operand: Operand) -> Value:
    """An argument of a set's method; sequences known while compiling as lists."""
    if isinstance(operand, Value) and not isinstance(operand.type, TupleType):
        return operand
    return frame.require(frame.call(PyObject(list, "list"), operand))


def _member(operand: Operand) -> Type:
    """The type of what an iterable gives."""
    match operand.type if isinstance(operand, Value) else None:
        case ListType(element=element) | SetType(element=element):
            return element
        case DictType(key=key):
            return key
        case type_ if type_ == STR:
            return STR
    return ANY


def _adopt_members(frame: Frame, owner: Value, name: str, args: Sequence[Operand]) -> None:
    """What is put into a set has the type of its members, which the first decides."""
    assert isinstance(owner.type, SetType)
    for operand in args:
        added = frame.require(operand).type if name == "add" else _member(operand)
        frame.unit.untyped.admit(owner, SetType(added))
        if not is_subtype(added, owner.type.element):
            raise frame.mismatch(
                f"a {added} cannot be added to a {owner.type}; annotate it with a Union"
            )


def _tensor_rule(name: str) -> MethodRule | None:
    if name in _CASTS:
        return lambda frame, owner, given: frame.op("aten::to", owner, _CASTS[name], **given.kwargs)
    if name in _RENAMED:
        return lambda frame, owner, given: frame.op(
            f"aten::{_RENAMED[name]}", owner, *given.args, **given.kwargs
        )
    return _TENSOR_RULES.get(name)


def _tolist(frame: Frame, owner: Value, given: Arguments) -> Operand:
    """`x.tolist()`: an annotation of what it is assigned to gives the result a type."""
    return frame.python(torch.Tensor.tolist, [owner], frame.hint or ANY)


def _item(frame: Frame, owner: Value, given: Arguments) -> Operand:
    return frame.op("aten::item", owner)


def _new_tensor(frame: Frame, owner: Value, given: Arguments) -> Operand:
    like = {"dtype": frame.op("prim::dtype", owner), "device": frame.op("prim::device", owner)}
    return frame.op("aten::tensor", given.args[0], **{**like, **given.kwargs})


def _size(frame: Frame, owner: Value, given: Arguments) -> Operand:
    result = frame.op("aten::size", owner, *given.args, **given.kwargs)
    if isinstance(result.type, ListType):
        result.type = SIZE
    return result


_TENSOR_RULES: dict[str, MethodRule] = {
    "tolist": _tolist,
    "item": _item,
    "new_tensor": _new_tensor,
    "size": _size,
    "nonzero": lambda frame, owner, given: frame.call(
        PyObject(torch.nonzero, "torch.nonzero"), owner, **given.kwargs
    ),
}


def _extend(frame: Frame, owner: Value, given: Arguments) -> Operand:
    addition = operators.as_list(frame, given.args[0])
    operators.adopt_element(frame, owner, addition)
    return frame.op("aten::extend", owner, addition)


def _sort(frame: Frame, owner: Value, given: Arguments) -> Operand:
    reverse = frame.require(given.kwargs.get("reverse") or frame.constant(False))
    if operators.is_sortable(owner) and "key" not in given.kwargs and reverse.type == BOOL:
        return frame.op("aten::sort", owner, reverse)
    frame.change(owner)
    ordered = frame.call(PyObject(sorted, "sorted"), owner, **given.kwargs)
    nothing = frame.constant(None)
    return frame.python(set_slice, [owner, nothing, nothing, nothing, frame.require(ordered)], NONE)


def _update(frame: Frame, owner: Value, given: Arguments) -> Operand:
    """`d.update(...)` with a dict, pairs or keywords."""
    frame.change(owner)
    addition = frame.require(frame.call(PyObject(dict, "dict"), *given.args, **given.kwargs))
    if addition not in frame.unit.untyped:
        frame.unit.untyped.admit(owner, addition.type)
    return frame.op("aten::update", owner, addition)


def _as_dict(frame: Frame, owner: Value, given: Arguments) -> Operand:
    """`_asdict` of a NamedTuple."""
    assert isinstance(owner.type, TupleType)
    return frame.call(
        PyObject(dict, "dict"), **dict(zip(owner.type.fields, unpack(frame, owner), strict=True))
    )


def _replace(frame: Frame, owner: Value, given: Arguments) -> Operand:
    """`_replace` of a NamedTuple."""
    assert isinstance(owner.type, TupleType)
    parts = [
        given.kwargs.get(f, old)
        for f, old in zip(owner.type.fields, unpack(frame, owner), strict=True)
    ]
    return frame.node(
        "prim::TupleConstruct", [frame.require(p) for p in parts], [owner.type]
    ).output


# Methods of Python's types without an op of their meaning, and what they return.
_STR_RESULTS: dict[str, Type] = {
    **dict.fromkeys(("casefold", "removeprefix", "removesuffix", "translate", "format_map"), STR),
    **dict.fromkeys(("isascii", "startswith", "endswith"), BOOL),
    **dict.fromkeys(("index", "rindex", "find", "rfind", "count"), INT),
    **dict.fromkeys(("split", "rsplit", "splitlines"), ListType(STR)),
    **dict.fromkeys(("strip", "lstrip", "rstrip", "replace", "join", "format", "center"), STR),
}
_NUMBER_RESULTS: dict[str, Type] = {
    **dict.fromkeys(("bit_length", "bit_count"), INT),
    "is_integer": BOOL,
    "hex": STR,
    "as_integer_ratio": TupleType((INT, INT)),
}
_CHANGES = frozenset(("append", "extend", "insert", "update", "setdefault"))


def call_builtin(frame: Frame, owner: Value, name: str, given: Arguments) -> Operand:
    """A method of a str, number, list, dict or set: an op, or where none fits Python's method."""
    if not hasattr(python_class(owner), name):
        raise frame.mismatch(f"a value of type {owner.type} has no attribute {name!r}")
    if owner.type in operators.NUMBERS:
        result = owner.type if name == "conjugate" else _NUMBER_RESULTS.get(name, ANY)
        return call_on(frame, owner, name, given, result)
    if owner.type == STR:
        folded = _fold_method(frame, owner, name, given)
        if folded is not None:
            return folded
    result = _STR_RESULTS.get(name, ANY) if owner.type == STR else ANY
    if not has_op(f"aten::{name}") or isinstance(owner.type, SetType):
        return call_on(frame, owner, name, given, result)
    try:
        found = frame.op(f"aten::{name}", owner, *given.args, **given.kwargs)
        return frame.constant(None) if name == "append" else found  # the op gives the list
    except TypeMismatch:
        if isinstance(owner.type, DictType):
            return _dict_method(frame, owner, owner.type, name, given)
        if name in _CHANGES:
            raise
        return call_on(frame, owner, name, given, result)


def _dict_method(
    frame: Frame, owner: Value, type_: DictType, name: str, given: Arguments
) -> Operand:
    """Python's method of a dict whose keys no op takes."""
    key, value = type_.key, type_.value
    default = frame.require(given.args[1]).type if len(given.args) > 1 else NONE
    results: dict[str, Type] = {
        "get": merge_types(value, default),
        "pop": merge_types(value, default) if len(given.args) > 1 else value,
        "setdefault": value,
        "popitem": TupleType((key, value)),
        "copy": type_,
        "clear": NONE,
        "update": NONE,
    }
    if name in _CHANGES and len(given.args) > 1 and not is_subtype(default, value):
        raise frame.mismatch(f"a {default} cannot be put into a {type_}")
    return call_on(frame, owner, name, given, results.get(name, ANY))


def _fold_method(frame: Frame, owner: Value, name: str, given: Arguments) -> Operand | None:
    """A method of a constant string on constants: computed now."""
    known = [known_value(a) for a in (owner, *given.args)]
    if UNKNOWN in known or given.kwargs or name not in _STR_RESULTS:
        return None
    text, *args = known
    try:
        return lift(frame, getattr(text, name)(*args), name)
    except (TypeError, ValueError):
        return None  # it is raised when control comes here


# Which argument of a method is, or stands for, an element.
_ITEM = {
    (ListType, "append"): 0,
    (ListType, "insert"): 1,
    (DictType, "setdefault"): 1,
    (DictType, "get"): 1,
    (DictType, "pop"): 1,
}


def adopt_types(frame: Frame, owner: Value, name: str, given: Arguments) -> None:
    """An empty list whose element type is open takes that of the first element put into it; an open
    one that is put into a container, that of its elements.
    """
    position = _ITEM.get((type(owner.type), name))
    if position is None or len(given.args) <= position:
        return
    item, untyped = frame.require(given.args[position]), frame.unit.untyped
    if owner not in untyped:
        element = element_of(owner.type)
        if item in untyped and type(item.type) is type(element) and not untyped.is_deep(owner):
            untyped.settle(item, element)
            return
        given.args[position] = item = item_as_declared(frame, owner, item)
    type_ = item.type.erased() if isinstance(item.type, TensorType) else item.type
    if isinstance(owner.type, ListType):
        untyped.admit(owner, ListType(type_), item)
    elif owner in untyped or name == "setdefault":
        untyped.admit(owner, DictType(frame.require(given.args[0]).type, type_), item)


def construct(frame: Frame, cls: type, name: str, given: Arguments) -> Operand:
    """A call of a class: named tuples, and objects made of constants while compiling."""
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple(frame, cls, given)
    if typing.is_typeddict(cls):
        return frame.call(PyObject(dict, "dict"), *given.args, **given.kwargs)
    if issubclass(cls, BaseException):
        return call_python(frame, cls, given, name, _object_of(cls))
    if is_compiled_class(cls):
        return construct_instance(frame, cls, given)
    if is_enum(cls):
        return call_python(frame, cls, given, name, _object_of(cls))
    return _known_object(frame, cls, name, given)


def _named_tuple(frame: Frame, cls: Any, given: Arguments) -> Operand:
    defaults = {k: lift(frame, v, f"{cls.__name__}.{k}") for k, v in cls._field_defaults.items()}
    bound = bind_named(frame, cls.__name__, list(cls._fields), given, defaults)
    values = [frame.require(bound[f]) for f in cls._fields]
    return frame.node("prim::TupleConstruct", values, [named_tuple_type(cls)]).output


_CONTEXTS = (
    torch.no_grad,
    torch.enable_grad,
    torch.inference_mode,
    torch.set_grad_enabled,
    torch.profiler.record_function,
    torch.autocast,  # changes what ops compute, which no pass knows: such graphs get no plan
    torch.amp.autocast,
)


def _known_object(frame: Frame, cls: type, name: str, given: Arguments) -> Operand:
    """Context managers of torch, made at run time."""
    if cls not in _CONTEXTS:
        is_tensor = issubclass(cls, torch.Tensor) or isinstance(cls, type(torch.FloatTensor))
        return call_python(frame, cls, given, name, TENSOR if is_tensor else _object_of(cls))
    bound = inspect.signature(cls).bind(*given.args, **given.kwargs)
    if given.kwargs:
        bound.apply_defaults()
    args = [a if isinstance(a, Value | Static) else frame.constant(a) for a in bound.args]
    return frame.python(cls, [frame.require(a) for a in args], _object_of(cls))


def _object_of(cls: type) -> Type:
    return ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)


def call_static(frame: Frame, owner: Operand, name: str, given: Arguments) -> Operand:
    """Methods of sequences and keyword arguments known while compiling."""
    if isinstance(owner, Keywords):
        return call_keywords(frame, owner, name, given)
    if isinstance(owner, ITERABLES):
        return call_on(frame, frame.require(owner), name, given)
    assert isinstance(owner, Static)
    raise frame.unsupported(f"{owner.describe()} has no method {name!r} in compiled code")
