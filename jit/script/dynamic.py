"""Values whose Python class the run decides: `Any`, unions, objects of classes not compiled.

Operators, calls, attributes and subscripts on them are Python's own, called back through the
library, so that their meaning is eager's by construction. What they give is `Any` again, unless the
operation says more.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    RANGE,
    STR,
    TENSOR,
    DictType,
    ListType,
    ObjectType,
    OptionalType,
    SetType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    Value,
    registry,
)
from jit.script.frame import Frame
from jit.script.library import WithKeywords, call_method, call_named, get_slice, object_at
from jit.script.merging import merge_types
from jit.script.values import Arguments, Operand

_TOWER = (BOOL, INT, FLOAT, COMPLEX)
_STANDARD = sys.stdlib_module_names - {"__main__"} | {"numpy"}
_BITS = "&|^"


def is_dynamic(type_: Type) -> bool:
    """Whether only the run knows what operations on values of a type mean."""
    return type_ in (ANY, RANGE) or isinstance(type_, UnionType | ObjectType)


def is_dynamic_value(operand: Operand) -> bool:
    """Whether an operand is a run-time value of a dynamic type."""
    return isinstance(operand, Value) and is_dynamic(operand.type)


def has_dynamic(operands: Sequence[Operand]) -> bool:
    """Whether one of the operands is dynamic, or a list of such."""
    return any(
        isinstance(o, Value)
        and (is_dynamic(o.type) or (isinstance(o.type, ListType) and is_dynamic(o.type.element)))
        for o in operands
    )


def call_python(
    frame: Frame, function: Callable[..., Any], given: Arguments, name: str, result: Type = ANY
) -> Value:
    """Call a live Python object at run time, by its path where it has one."""
    args = [frame.require(a) for a in given.args]
    named = [frame.require(a) for a in given.kwargs.values()]
    path = path_of(function)
    if path is not None:
        keys = _names(frame, given.kwargs)
        return frame.python(call_named, [frame.constant(path), keys, *args, *named], result, path)
    if not named:
        return frame.python(function, args, result, name)
    call = WithKeywords(function, tuple(given.kwargs))
    return frame.python(call, [*args, *named], result, name)


def path_of(function: Any) -> str | None:
    """`module:qualified.name` of a public object that can be found again by it."""
    module = getattr(function, "__module__", None)
    if module is None and isinstance(getattr(function, "__self__", None), type):
        module = function.__self__.__module__  # of a class's own: `dict.fromkeys`
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    short = getattr(function, "__name__", None)
    if isinstance(short, str) and getattr(torch, short, None) is function:
        module, name = "torch", short  # whatever its builtin functions say of themselves
    if not isinstance(module, str) or not isinstance(name, str) or not is_foreign(module):
        return None
    path = f"{module}:{name}"
    try:
        return path if object_at(path) == function else None
    except (ImportError, AttributeError):
        return None


def is_foreign(module: str) -> bool:
    """Whether a module belongs to Python itself, numpy or torch."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in ("numpy", "torch")


def is_standard(obj: Any) -> bool:
    """Whether an object is of Python's standard library or of numpy, whose source is never
    compiled.
    """
    module = getattr(obj, "__module__", None)
    if module is None and isinstance(obj, types.BuiltinMethodType | types.MethodType):
        module = type(obj.__self__).__module__
    return isinstance(module, str) and module.partition(".")[0] in _STANDARD


def call_on(frame: Frame, owner: Value, name: str, given: Arguments, result: Type = ANY) -> Value:
    """`owner.name(...)`, found at run time."""
    args = [frame.require(a) for a in given.args]
    named = [frame.require(a) for a in given.kwargs.values()]
    keys = _names(frame, given.kwargs)
    return frame.python(
        call_method, [owner, frame.constant(name), keys, *args, *named], result, name
    )


def _names(frame: Frame, kwargs: Mapping[str, Operand]) -> Value:
    """The names of the last arguments, which are given by keyword."""
    names = [frame.constant(k) for k in kwargs]
    return frame.node("prim::ListConstruct", names, [ListType(STR)]).output


def attribute_of(frame: Frame, owner: Value, name: str) -> Value:
    """`owner.name`, read at run time."""
    result = STR if name in ("__name__", "__qualname__", "__module__") else ANY
    return frame.python(getattr, [owner, frame.constant(name)], result)


def slice_of(frame: Frame, owner: Value, ends: Sequence[Value], result: Type = ANY) -> Value:
    """`owner[start:stop:step]`."""
    return frame.python(get_slice, [owner, *ends], result)


def result_of_op(name: str) -> Type:
    """What torch's function of an op gives whatever it is called with."""
    overloads = registry.overloads(name)
    found = {tuple(type(r.type) for r in op.schema.returns) for op in overloads}
    return TENSOR if found == {(TensorType,)} else ANY


def binary_result(symbol: str, a: Type, b: Type) -> Type:
    """The type of `a symbol b` by Python, as far as it is known; with None it raises."""
    a, b = (t.element if isinstance(t, OptionalType) else t for t in (a, b))
    if isinstance(a, TensorType) or isinstance(b, TensorType):
        return TENSOR
    if a in _TOWER and b in _TOWER:
        return _number_result(symbol, a, b)
    if isinstance(a, SetType) and isinstance(b, SetType):
        return a if symbol in "-&" else SetType(merge_types(a.element, b.element))
    if isinstance(a, DictType) and isinstance(b, DictType):
        return DictType(merge_types(a.key, b.key), merge_types(a.value, b.value))
    if isinstance(a, ListType) and a == b:
        return a
    if a == STR and (symbol == "%" or b == STR or (symbol == "*" and b in (INT, BOOL))):
        return STR
    if symbol == "*" and b in (INT, BOOL) and isinstance(a, ListType):
        return a
    return STR if symbol == "*" and a in (INT, BOOL) and b == STR else ANY


def _number_result(symbol: str, a: Type, b: Type) -> Type:
    if symbol == "**" or a == b == BOOL:
        return BOOL if symbol in _BITS else ANY
    widest = max(a, b, key=_TOWER.index)
    return FLOAT if symbol == "/" and widest == INT else widest


def comparison_result(a: Type, b: Type) -> Type:
    """The type of a comparison: a bool, where no tensor or object may be compared."""
    return BOOL if _is_plain(a) and _is_plain(b) else ANY


def _is_plain(type_: Type) -> bool:
    match type_:
        case UnionType(members=members) | TupleType(elements=members):
            return all(map(_is_plain, members))
        case OptionalType(element=element) | ListType(element=element) | SetType(element=element):
            return _is_plain(element)
        case DictType(value=value):
            return _is_plain(value)
        case ObjectType(cls=cls):
            return isinstance(cls, type) and hasattr(cls, "__members__")
    return type_ != ANY and not isinstance(type_, TensorType)
