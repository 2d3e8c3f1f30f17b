"""Attribute access: parts of tensors and other values, attributes of compile-time objects."""

from __future__ import annotations

import ast
import enum

import torch

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    DTYPE,
    FLOAT,
    GENERATOR,
    INT,
    NONE,
    RANGE,
    SIZE,
    STR,
    DictType,
    ListType,
    ObjectType,
    OptionalType,
    SequenceType,
    SetType,
    TensorType,
    TupleType,
    Type,
    Value,
    registry,
)
from jit.script.classes import find_method, get_field, is_written, super_attribute
from jit.script.constants import lift, unpack
from jit.script.dynamic import attribute_of, is_dynamic
from jit.script.expressions import narrowed
from jit.script.frame import Frame, expression
from jit.script.modules import object_attribute
from jit.script.scope import conditional, raise_exception, select
from jit.script.values import (
    ChoiceOf,
    Instance,
    Items,
    Method,
    Operand,
    PyObject,
    RangeOf,
    Static,
    SuperOf,
)

# Tensor attributes that are one op of another name.
TENSOR_ATTRIBUTES: dict[str, str] = {
    "shape": "aten::size",
    "ndim": "aten::dim",
    "T": "aten::numpy_T",
    "mT": "aten::mT",
    "H": "aten::matrix_H",
    "mH": "aten::mH",
    "real": "aten::real",
    "imag": "aten::imag",
    "dtype": "prim::dtype",
    "device": "prim::device",
    "layout": "prim::layout",
    "requires_grad": "prim::requires_grad",
    "is_cuda": "prim::is_cuda",
    "is_sparse": "prim::is_sparse",
    "is_quantized": "prim::is_quantized",
    "is_leaf": "aten::is_leaf",
    "is_mkldnn": "prim::is_mkldnn",
    "is_meta": "prim::is_meta",
    "data": "prim::data",
    "grad": "prim::grad",
    "itemsize": "prim::itemsize",
    "nbytes": "prim::nbytes",
    "is_nested": "prim::is_nested",
    "is_cpu": "prim::is_cpu",
    "is_mps": "prim::is_mps",
    "is_xpu": "prim::is_xpu",
}


_CLASSES: dict[Type, type] = {
    INT: int, FLOAT: float, BOOL: bool, COMPLEX: complex, STR: str, NONE: type(None),
    DEVICE: torch.device, RANGE: range, GENERATOR: torch.Generator,
}  # fmt: skip


@expression(ast.Attribute)
def _attribute(frame: Frame, node: ast.Attribute) -> Operand:
    return narrowed(frame, node, get_attribute(frame, frame.evaluate(node.value), node.attr))


def get_attribute(
    frame: Frame, owner: Operand, name: str, *, is_called: bool = False
) -> Operand:
    """`owner.name`, perhaps about to be called."""
    if isinstance(owner, Value) and name == "__class__":
        return frame.call(PyObject(type, "type"), owner)
    if isinstance(owner, Value):
        return _value_attribute(frame, owner, name, is_called)
    if isinstance(owner, Instance):
        return get_field(frame, owner, name)
    if isinstance(owner, SuperOf):
        return super_attribute(frame, owner, name)
    if isinstance(owner, PyObject):
        return object_attribute(frame, owner, name)
    if isinstance(owner, RangeOf) and name in ("start", "stop", "step"):
        return {"start": owner.start, "stop": owner.stop, "step": owner.step}[name]
    if isinstance(owner, ChoiceOf):
        return _choice_attribute(frame, owner, name)
    return Method(owner, name)


def _choice_attribute(frame: Frame, owner: ChoiceOf, name: str) -> Operand:
    """An attribute of one of two objects: a method or submodule stays a choice, data are read on
    each path.
    """
    one = _one_of(owner)
    if callable(getattr(type(one), name, None)) or name in getattr(one, "_modules", ()):
        then, orelse = (get_attribute(frame, o, name) for o in (owner.then, owner.orelse))
        if isinstance(then, Static) and isinstance(orelse, Static):
            return ChoiceOf(owner.condition, then, orelse)
    return select(
        frame,
        owner.condition,
        lambda: get_attribute(frame, owner.then, name),
        lambda: get_attribute(frame, owner.orelse, name),
    )


def _one_of(owner: Static) -> object:
    while isinstance(owner, ChoiceOf):
        owner = owner.then
    return owner.obj if isinstance(owner, PyObject) else None


def _value_attribute(frame: Frame, owner: Value, name: str, is_called: bool) -> Operand:
    match owner.type:
        case TensorType():
            return _tensor_attribute(frame, owner, name)
        case TupleType(fields=fields) if name in fields:
            return unpack(frame, owner)[fields.index(name)]
        case TupleType(fields=fields) if name == "_fields" and fields:
            return Items(tuple(frame.constant(field) for field in fields))
        case TupleType(cls=cls) if cls is not None and is_written(cls, name):
            return _of_class(frame, owner, cls, name)
        case ObjectType(cls=cls) if is_enum(cls) and name in ("name", "value"):
            return _enum_attribute(frame, owner, name)
        case type_ if type_ == DEVICE and name in ("type", "index"):
            return frame.op(f"prim::{name}", owner)
        case type_ if name in ("real", "imag", "numerator", "denominator") and type_ in _CLASSES:
            part = FLOAT if type_ == COMPLEX else type_
            return frame.python(getattr, [owner, frame.constant(name)], part)
        case type_ if type_ == DTYPE and not is_called:
            kinds = {"itemsize": INT, "is_floating_point": BOOL, "is_complex": BOOL}
            return frame.python(
                getattr, [owner, frame.constant(name)], kinds.get(name, ANY)
            )
        case type_ if is_dynamic(type_) and not is_called:
            return attribute_of(frame, owner, name)
        case type_ if type_ == NONE and frame.may_be_unreachable:
            return attribute_of(frame, owner, name)  # raises, should control ever come here
        case OptionalType(element=element):
            _raise_if_none(frame, owner, name)
            return _value_attribute(frame, frame.cast(owner, element), name, is_called)
    return Method(owner, name)


def _raise_if_none(frame: Frame, owner: Value, name: str) -> None:
    message = frame.constant(f"'NoneType' object has no attribute {name!r}")
    conditional(
        frame,
        frame.op("aten::__is__", owner, None),
        lambda: raise_exception(frame, AttributeError, message),
        lambda: None,
    )


def _of_class(frame: Frame, owner: Value, cls: type, name: str) -> Operand:
    """What the user's class of named tuples defines: methods, properties, constants."""
    method = find_method(owner, name)
    if method is not None:
        return method
    found = vars(cls)[name]
    if isinstance(found, property):
        return frame.call(PyObject(found.fget, name), owner)
    frame.reads_outside(found)
    return lift(frame, found, f"{cls.__name__}.{name}")


def _tensor_attribute(frame: Frame, owner: Value, name: str) -> Operand:
    op = TENSOR_ATTRIBUTES.get(name)
    if op is None:
        if not hasattr(torch.Tensor, name):
            raise frame.mismatch(f"a Tensor has no attribute {name!r}")
        return Method(owner, name)
    result = frame.op(op, owner)
    if name == "shape":
        result.type = SIZE
    return result


def _enum_attribute(frame: Frame, owner: Value, name: str) -> Operand:
    assert isinstance(owner.type, ObjectType)
    op = "prim::EnumName" if name == "name" else "prim::EnumValue"
    result = frame.op(op, owner)
    members = list(owner.type.cls)
    kinds: set[Type] = {frame.constant(getattr(m, name)).type for m in members}
    if len(kinds) == 1:
        result.type = kinds.pop()
    return result


def is_enum(cls: object) -> bool:
    """Whether a class is an enumeration."""
    return isinstance(cls, type) and issubclass(cls, enum.Enum)


def has_op(name: str) -> bool:
    """Whether an op of this name exists."""
    return bool(registry.overloads(name))


def python_class(value: Value) -> type:
    """The Python class of the values of a type."""
    match value.type:
        case TensorType():
            return torch.Tensor
        case SequenceType(is_size=is_size):
            return torch.Size if is_size else tuple
        case ListType():
            return list
        case DictType():
            return dict
        case SetType():
            return set
        case TupleType(cls=cls):
            return cls or tuple
    return _CLASSES.get(value.type) or getattr(value.type, "cls", None) or object
