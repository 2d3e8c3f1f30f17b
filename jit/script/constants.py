"""Python objects to operands and back: what a captured object means, and which Python value a
graph constant holds.
"""

from __future__ import annotations

import collections
import enum
import functools
import itertools
import types
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ir import ANY, NONE, RANGE, STR, TENSOR, DictType, ListType, ObjectType, TupleType, Type, Value
from jit.script import library
from jit.script.annotate import named_tuple_type
from jit.script.dynamic import attribute_of, call_on, is_dynamic
from jit.script.frame import Frame
from jit.script.lazy import iterator
from jit.script.merging import merge_types
from jit.script.structure_guards import depend_on
from jit.script.values import (
    Arguments,
    CountOf,
    GeneratorOf,
    Instance,
    Items,
    IteratorOf,
    Method,
    Operand,
    PartialOf,
    PyObject,
    RangeOf,
    ReversedOf,
    Static,
    ViewOf,
    ZipOf,
    values_of,
)

_ATOMS = (
    bool,
    int,
    float,
    complex,
    str,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    torch.Generator,
    torch.Tensor,
)
_STATIC = (types.FunctionType, types.MethodType, types.ModuleType, type, torch.nn.Module)
UNKNOWN = object()


def constant_of(operand: Operand) -> Any:
    """The Python value of a constant of the graph, `UNKNOWN` for anything else."""
    node = operand.node if isinstance(operand, Value) else None
    return node.attrs.get("value") if node and node.name == "prim::Constant" else UNKNOWN


def lift(frame: Frame, obj: Any, name: str) -> Operand:
    """The operand that a live Python object stands for; plain data become constants, the rest
    stays static.
    """
    if isinstance(obj, _STATIC):
        depend_on(frame, obj, name)
        return PyObject(obj, name)
    if obj is None or (isinstance(obj, _ATOMS) and not isinstance(obj, enum.Enum)):
        return frame.constant(obj)
    if isinstance(obj, np.generic):
        return frame.constant(obj.item())
    if isinstance(obj, np.ndarray):
        return frame.constant(torch.from_numpy(obj))
    if isinstance(obj, enum.Enum):
        return frame.constant(obj)
    if isinstance(obj, tuple | list):
        return lift_sequence(frame, obj, name)
    if isinstance(obj, range):
        return RangeOf(*(frame.constant(n) for n in (obj.start, obj.stop, obj.step)))
    if type(obj) in (dict, collections.OrderedDict):
        return _lift_dict(frame, obj, name)
    if isinstance(obj, functools.partial):
        args = tuple(lift(frame, a, name) for a in obj.args)
        kwargs = tuple((k, lift(frame, v, name)) for k, v in obj.keywords.items())
        return PartialOf(PyObject(obj.func, name), args, kwargs)
    return PyObject(obj, name)


def lift_sequence(frame: Frame, obj: Sequence[Any], name: str) -> Operand:
    """A captured tuple or list, by value."""
    items = [lift(frame, item, f"{name}[{i}]") for i, item in enumerate(obj)]
    values = values_of(items)
    if values is None:
        return Items(tuple(items))
    if hasattr(obj, "_fields"):
        return frame.node("prim::TupleConstruct", values, [named_tuple_type(type(obj))]).output
    if isinstance(obj, tuple):
        return make_tuple(frame, values)
    return empty_list(frame) if not values else make_list(frame, values)


def empty_list(frame: Frame) -> Value:
    """A list whose element type the first element decides."""
    made = make_list(frame, [], TENSOR)
    frame.unit.untyped.add(made)
    return made


def _lift_dict(frame: Frame, obj: dict[Any, Any], name: str) -> Operand:
    pairs = [(lift(frame, k, name), lift(frame, v, f"{name}[{k!r}]")) for k, v in obj.items()]
    flat = values_of([o for pair in pairs for o in pair])
    if flat is None:
        return PyObject(obj, name)
    if not flat:
        empty = frame.node("prim::DictConstruct", (), [DictType(STR, TENSOR)]).output
        frame.unit.untyped.add(empty)
        return empty
    return make_dict(frame, flat[::2], flat[1::2])


def make_tuple(frame: Frame, values: Sequence[Value]) -> Value:
    """A tuple of values."""
    return frame.node(
        "prim::TupleConstruct", values, [TupleType(tuple(v.type for v in values))]
    ).output


def common_type(values: Sequence[Value]) -> Type:
    """The join of the values' types, a union where they differ."""
    return functools.reduce(merge_types, (v.type for v in values))


def make_list(frame: Frame, values: Sequence[Value], element: Type | None = None) -> Value:
    """A list of values (at least one, or `element` given)."""
    element = element or common_type(values)
    return frame.node("prim::ListConstruct", values, [ListType(element)]).output


def make_dict(frame: Frame, keys: Sequence[Value], values: Sequence[Value]) -> Value:
    """A dict of at least one entry."""
    key, value = common_type(keys), common_type(values)
    flat = [x for pair in zip(keys, values, strict=True) for x in pair]
    return frame.node("prim::DictConstruct", flat, [DictType(key, value)]).output


def unpack(frame: Frame, value: Value) -> list[Value]:
    """The elements of a tuple; of a tuple under construction, without a node."""
    assert isinstance(value.type, TupleType)
    if value.node is not None and value.node.name == "prim::TupleConstruct":
        return list(value.node.inputs)
    return frame.node("prim::TupleUnpack", [value], value.type.elements).outputs


def materialize(frame: Frame, operand: Static) -> Value:
    """A static operand as a value: sequences, ranges and captured data; anything else is an error
    that names it.
    """
    match operand:
        case Items(items):
            return make_tuple(frame, [frame.require(i) for i in items])
        case GeneratorOf() | ZipOf() | ReversedOf() | IteratorOf():
            return iterator(frame, operand)
        case CountOf(start):
            return frame.python(itertools.count, [start], ANY)
        case RangeOf(start, stop, step):
            return frame.python(range, [start, stop, step], RANGE)
        case ViewOf(owner, name):
            return call_on(frame, owner, name, Arguments([], {}))
        case PyObject(obj, name):
            lifted = lift(frame, obj, name)
            return lifted if isinstance(lifted, Value) else object_value(frame, obj)
        case PartialOf():
            return _partial(frame, operand)
        case Method(owner=Value() as owner, name=name) if is_dynamic(owner.type):
            return attribute_of(frame, owner, name)
    raise frame.unsupported(f"{operand.describe()} cannot be used as a value in compiled code")


def _partial(frame: Frame, operand: PartialOf) -> Value:
    """A bound method or a partial function, as Python has it."""
    function, first = operand.function, operand.args[0] if operand.args else None
    name = getattr(function.obj, "__name__", "") if isinstance(function, PyObject) else ""
    if isinstance(first, Instance) and name in dir(first.cls) and len(operand.args) == 1:
        return attribute_of(frame, frame.require(first), name)
    keys = [frame.constant(k) for k, _ in operand.kwargs]
    given = [function, *operand.args, *(v for _, v in operand.kwargs)]
    values = [frame.require(o) for o in given]
    target = object_value(frame, functools.partial)
    return frame.python(library.call, [target, make_list(frame, keys, STR), *values], ANY)


def object_value(frame: Frame, obj: Any) -> Value:
    """A live object as a constant of the graph."""
    value, cls = frame.constant(obj), type(obj)
    value.type = ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)
    return value


def none(frame: Frame) -> Value:
    """The constant None."""
    value = frame.constant(None)
    assert value.type == NONE
    return value
