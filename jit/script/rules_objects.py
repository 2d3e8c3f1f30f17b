"""Rules about objects: attributes by name, classes, print, warnings, partial functions."""

from __future__ import annotations

import functools
import inspect
import warnings

from ir import (
    ANY,
    BOOL,
    INT,
    OptionalType,
    Value,
)
from jit.script.attributes import get_attribute, python_class
from jit.script.classes import field_key
from jit.script.constants import constant_of
from jit.script.dynamic import is_dynamic, is_dynamic_value
from jit.script.frame import Frame
from jit.script.modules import super_of
from jit.script.rules import RULES, computed, rule
from jit.script.structure import class_attribute
from jit.script.targets import set_attribute
from jit.script.values import (
    Arguments,
    Closure,
    Instance,
    Method,
    Operand,
    PartialOf,
    PyObject,
    RangeOf,
    ViewOf,
    class_of,
)

RULES.update({f: computed(f) for f in (issubclass, inspect.signature)})


@rule(callable)
def _callable(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    if isinstance(operand, Value) and is_dynamic(operand.type):
        return frame.python(callable, [operand], BOOL)
    if isinstance(operand, PyObject | Instance):
        return frame.constant(
            callable(operand.obj)
            if isinstance(operand, PyObject)
            else class_attribute(operand.cls, "__call__") is not None
        )
    return frame.constant(isinstance(operand, Closure | Method | PartialOf))


@rule(getattr)
def _getattr(frame: Frame, given: Arguments) -> Operand:
    owner, name = given.args[0], constant_of(given.args[1])
    if not isinstance(name, str) and isinstance(owner, PyObject) and frame.reads:
        raise frame.unsupported("getattr needs a name known while compiling")  # as constants may be
    if not isinstance(name, str) or is_dynamic_value(owner):
        return frame.python(getattr, [frame.require(a) for a in given.args], ANY)
    if len(given.args) > 2 and not has_attribute(frame, owner, name):
        return given.args[2]
    return get_attribute(frame, owner, name)


@rule(setattr)
def _setattr(frame: Frame, given: Arguments) -> Operand:
    owner, name, value = given.args
    known = constant_of(name)
    if not isinstance(known, str):
        raise frame.unsupported("setattr needs a name known while compiling")
    set_attribute(frame, owner, known, value)
    return frame.constant(None)


@rule(hasattr)
def _hasattr(frame: Frame, given: Arguments) -> Operand:
    name = constant_of(given.args[1])
    if not isinstance(name, str):
        raise frame.unsupported("hasattr needs a name known while compiling")
    owner = given.args[0]
    if isinstance(owner, Value) and is_dynamic(owner.type):
        return frame.python(hasattr, [owner, frame.constant(name)], BOOL)
    return frame.constant(has_attribute(frame, owner, name))


def has_attribute(frame: Frame, owner: Operand, name: str) -> bool:
    """Whether an operand has an attribute, decided by its type."""
    if isinstance(owner, Instance):
        return field_key(owner, name) in frame.scope or hasattr(owner.cls, name)
    if isinstance(owner, PyObject):
        return hasattr(owner.obj, name)
    if isinstance(owner, Value):
        return hasattr(python_class(owner), name)
    return False


@rule(type)
def _type(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    if isinstance(operand, PyObject):
        return PyObject(type(operand.obj), f"type({operand.name})")
    if isinstance(operand, Instance):
        return PyObject(operand.cls, operand.cls.__name__)
    if isinstance(operand, RangeOf | ViewOf):
        return PyObject(class_of(operand), class_of(operand).__name__)
    value = frame.require(operand)
    if is_dynamic(value.type) or isinstance(value.type, OptionalType):
        return frame.python(type, [value], ANY)
    return PyObject(python_class(value), python_class(value).__name__)


@rule(print)
def _print(frame: Frame, given: Arguments) -> Operand:
    sep, end = (
        constant_of(given.kwargs[k]) if k in given.kwargs else d
        for k, d in (("sep", " "), ("end", "\n"))
    )
    if (
        set(given.kwargs) - {"sep", "end", "flush"}
        or not isinstance(sep, str)
        or not isinstance(end, str)
    ):
        raise frame.unsupported(
            "print takes values, sep, end and flush in compiled code, sep and end constant"
        )
    attrs = {} if (sep, end) == (" ", "\n") else {"sep": sep, "end": end}
    frame.node("prim::Print", [frame.require(a) for a in given.args], (), **attrs)
    return frame.constant(None)


@rule(warnings.warn)
def _warn(frame: Frame, given: Arguments) -> Operand:
    frame.node(
        "prim::PythonOp",
        [frame.require(given.args[0])],
        (),
        function=warnings.warn,
        name="warnings.warn",
    )
    return frame.constant(None)


@rule(functools.partial)
def _partial(frame: Frame, given: Arguments) -> Operand:
    return PartialOf(given.args[0], tuple(given.args[1:]), tuple(given.kwargs.items()))


@rule(super)
def _super(frame: Frame, given: Arguments) -> Operand:
    return super_of(frame, given)


@rule(id)
def _id(frame: Frame, given: Arguments) -> Operand:
    return frame.python(id, [frame.require(given.args[0])], INT)
