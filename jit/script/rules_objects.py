"""Rules about objects: attributes by name, classes, print, warnings, partial functions."""

from __future__ import annotations

import functools
import inspect
import warnings

from ir import (
    ANY,
    INT,
    OptionalType,
    Value,
)
from jit.script.attributes import get_attribute, python_class
from jit.script.constants import constant_of
from jit.script.dynamic import is_dynamic
from jit.script.frame import Frame
from jit.script.modules import assign_attribute, super_of
from jit.script.rules import RULES, computed, rule
from jit.script.values import Arguments, Operand, PartialOf, PyObject

RULES.update({f: computed(f) for f in (issubclass, callable, inspect.signature)})


@rule(getattr)
def _getattr(frame: Frame, given: Arguments) -> Operand:
    owner, name = given.args[0], constant_of(given.args[1])
    if not isinstance(name, str):
        raise frame.unsupported("getattr needs a name known while compiling")
    if len(given.args) > 2 and not has_attribute(owner, name):
        return given.args[2]
    return get_attribute(frame, owner, name)


@rule(setattr)
def _setattr(frame: Frame, given: Arguments) -> Operand:
    owner, name, value = given.args
    known = constant_of(name)
    if not isinstance(known, str) or not isinstance(owner, PyObject):
        raise frame.unsupported("setattr needs an object and a name known while compiling")
    assign_attribute(frame, owner, known, value)
    return frame.constant(None)


@rule(hasattr)
def _hasattr(frame: Frame, given: Arguments) -> Operand:
    name = constant_of(given.args[1])
    if not isinstance(name, str):
        raise frame.unsupported("hasattr needs a name known while compiling")
    return frame.constant(has_attribute(given.args[0], name))


def has_attribute(owner: Operand, name: str) -> bool:
    """Whether an operand has an attribute, decided by its type."""
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
