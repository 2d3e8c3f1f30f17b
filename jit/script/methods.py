"""Methods of values that are more than an op of their name, constructors, and methods of
compile-time sequences.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ir import (
    BOOL,
    NONE,
    STR,
    DictType,
    FutureType,
    ListType,
    ObjectType,
    OptionalType,
    SetType,
    TensorType,
    TupleType,
    Type,
    Value,
)
from jit.script import operators
from jit.script.annotate import named_tuple_type
from jit.script.classes import construct as construct_instance
from jit.script.classes import is_compiled_class
from jit.script.constants import constant_of, lift, unpack
from jit.script.frame import Frame
from jit.script.functions import bind_named
from jit.script.values import Arguments, Items, Keywords, Operand, Static

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
        case ListType() if name == "extend":
            return _extend
        case TupleType() if name in ("index", "count"):
            return lambda frame, owner, given: frame.op(
                f"aten::{name}", operators.as_list(frame, owner), *given.args
            )
        case TupleType(fields=fields) if name == "_replace" and fields:
            return _replace
        case SetType() if name in _SET_METHODS:
            return _set_method(name)
        case FutureType():
            return METHODS_OF_FUTURES.get(name)
        case ObjectType() | OptionalType():
            return None
    return None


METHODS_OF_FUTURES: dict[str, MethodRule] = {}

# Methods of sets, and whether they give a set; there are no ops for them.
_SET_METHODS = {
    "add": False, "discard": False, "remove": False, "clear": False, "update": False,
    "union": True, "intersection": True, "difference": True, "copy": True,
}  # fmt: skip


def _set_method(name: str) -> MethodRule:
    def apply(frame: Frame, owner: Value, given: Arguments) -> Operand:
        result = owner.type if _SET_METHODS[name] else NONE
        return frame.python(getattr(set, name), [owner, *map(frame.require, given.args)], result)

    return apply


def _tensor_rule(name: str) -> MethodRule | None:
    if name in _CASTS:
        return lambda frame, owner, given: frame.op("aten::to", owner, _CASTS[name], **given.kwargs)
    if name in _RENAMED:
        return lambda frame, owner, given: frame.op(
            f"aten::{_RENAMED[name]}", owner, *given.args, **given.kwargs
        )
    return _TENSOR_RULES.get(name)


def _tolist(frame: Frame, owner: Value, given: Arguments) -> Operand:
    """`x.tolist()`: the type of the result comes from the annotation of what it is assigned to."""
    if frame.hint is None:
        raise frame.unsupported(
            "the type of tolist() depends on the tensor: annotate it, `v: List[float] = x.tolist()`"
        )
    return frame.python(torch.Tensor.tolist, [owner], frame.hint)


def _item(frame: Frame, owner: Value, given: Arguments) -> Operand:
    return frame.op("aten::item", owner)


def _new_tensor(frame: Frame, owner: Value, given: Arguments) -> Operand:
    like = {"dtype": frame.op("prim::dtype", owner), "device": frame.op("prim::device", owner)}
    return frame.op("aten::tensor", given.args[0], **{**like, **given.kwargs})


_TENSOR_RULES: dict[str, MethodRule] = {"tolist": _tolist, "item": _item, "new_tensor": _new_tensor}


def _extend(frame: Frame, owner: Value, given: Arguments) -> Operand:
    addition = operators.as_list(frame, given.args[0])
    operators.adopt_element(frame, owner, addition)
    return frame.op("aten::extend", owner, addition)


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


# Methods of str without an op, and what they return.
_STR_METHODS: dict[str, Type] = {
    "casefold": STR,
    "removeprefix": STR,
    "removesuffix": STR,
    "isascii": BOOL,
}


def call_str(frame: Frame, owner: Value, name: str, given: Arguments) -> Operand:
    """A method of str."""
    if name == "format":
        return frame.op("aten::format", owner, *given.args)
    if name in _STR_METHODS:
        return frame.python(
            getattr(str, name), [owner, *map(frame.require, given.args)], _STR_METHODS[name]
        )
    return frame.op(f"aten::{name}", owner, *given.args, **given.kwargs)


def adopt_types(frame: Frame, owner: Value, name: str, given: Arguments) -> None:
    """An empty list whose element type is open takes that of the first element put into it."""
    position = {"append": 0, "insert": 1, "setdefault": 1}.get(name)
    if owner not in frame.unit.untyped or position is None or len(given.args) <= position:
        return
    item = frame.require(given.args[position]).type
    if isinstance(owner.type, ListType):
        element = item.erased() if isinstance(item, TensorType) else item
        frame.unit.untyped.settle(owner, ListType(element))
    elif isinstance(owner.type, DictType):
        frame.unit.untyped.settle(owner, DictType(frame.require(given.args[0]).type, item))


def construct(frame: Frame, cls: type, name: str, given: Arguments) -> Operand:
    """A call of a class: named tuples, and objects made of constants while compiling."""
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple(frame, cls, given)
    if issubclass(cls, BaseException):
        raise frame.unsupported(
            "an exception is made where it is raised in compiled code: raise Class(message)"
        )
    if is_compiled_class(cls):
        return construct_instance(frame, cls, given)
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
        raise frame.unsupported(f"objects of class {name} cannot be made in compiled code")
    bound = inspect.signature(cls).bind(*given.args, **given.kwargs)
    if given.kwargs:
        bound.apply_defaults()
    args = [a if isinstance(a, Value | Static) else frame.constant(a) for a in bound.args]
    type_ = ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)
    return frame.python(cls, [frame.require(a) for a in args], type_)


def call_static(frame: Frame, owner: Operand, name: str, given: Arguments) -> Operand:
    """Methods of sequences and keyword arguments known while compiling."""
    if isinstance(owner, Keywords):
        match name, given.args:
            case "get", [key, *default]:
                fallback = default[0] if default else frame.constant(None)
                return owner.items.get(str(constant_of(key)), fallback)
            case "items", []:
                return Items(tuple(Items((frame.constant(k), v)) for k, v in owner.items.items()))
            case "keys", []:
                return Items(tuple(frame.constant(k) for k in owner.items))
            case "values", []:
                return Items(tuple(owner.items.values()))
    assert isinstance(owner, Static)
    raise frame.unsupported(f"{owner.describe()} has no method {name!r} in compiled code")
