"""Objects of user classes that are made inside compiled code: their fields are variables.

    p = Point(1, 2)        `p` is an `Instance`, known while compiling; its fields are the scope's
    p.x += 3               `$object0.x`, `$object0.y`, and take part in merges and loops like any
    return p.norm()        variable; methods are compiled in place

So an object costs nothing at run time as long as it stays inside. Where it leaves (returned, stored
in a list, passed to Python), it becomes a Python object (`$object0.@`), which its fields are read
from and written to from then on.
"""

from __future__ import annotations

import collections
import dataclasses
import inspect
from types import FunctionType
from typing import Any

from ir import NONE, ObjectType, TupleType, Value
from jit.script.constants import lift
from jit.script.dynamic import attribute_of
from jit.script.frame import LIVE, OBJECT, Frame
from jit.script.resolve import is_stable
from jit.script.structure import class_attribute
from jit.script.values import Arguments, Instance, Operand, PartialOf, PyObject, SuperOf, Unbound

_PLAIN_SET = vars(object)["__setattr__"]  # a frozen dataclass has another one

_NAMED_TUPLE = collections.namedtuple("_NAMED_TUPLE", "")  # what all of them have

# What makes objects more than their fields: Python makes them, and operates on them.
_SPECIAL = ("__new__", "__slots__", "__getattr__", "__getattribute__", "__delattr__")


def is_compiled_class(cls: type) -> bool:
    """Whether objects of a class can be made of fields: a plain user class of Python."""
    if type(cls) is not type or is_stable(cls):
        return False
    own = [c for c in cls.__mro__ if c is not object]
    special = any(name in vars(c) for c in own for name in _SPECIAL) or any(
        "__setattr__" in vars(c) and has_source(vars(c)["__setattr__"]) for c in own
    )
    init = class_attribute(cls, "__init__")
    return not special and (isinstance(init, FunctionType) or init is object.__init__)


def construct(frame: Frame, cls: type, given: Arguments) -> Operand:
    """Make an object: run `__init__`, whose assignments create the fields."""
    instance = Instance(cls, frame.unit.next_object())
    frame.unit.instances[field_key(instance, LIVE)] = instance
    if dataclasses.is_dataclass(cls):
        _init_dataclass(frame, instance, given)
    elif isinstance(class_attribute(cls, "__init__"), FunctionType):
        init = PyObject(cls.__init__, f"{cls.__name__}.__init__")  # type: ignore[misc]
        frame.unit.services.call(frame, init, Arguments([instance, *given.args], given.kwargs))
    elif given.args or given.kwargs:
        raise frame.mismatch(f"{cls.__name__}() takes no arguments")
    return instance


def _init_dataclass(frame: Frame, instance: Instance, given: Arguments) -> None:
    """The `__init__` that `dataclass` generates has no source; it assigns the fields."""
    fields = [f for f in dataclasses.fields(instance.cls) if f.init]
    if len(given.args) > len(fields):
        raise frame.mismatch(f"{instance.cls.__name__}() takes {len(fields)} arguments")
    bound = dict(zip((f.name for f in fields), given.args, strict=False)) | given.kwargs
    for field in dataclasses.fields(instance.cls):
        operand = bound.pop(field.name, None)
        if operand is None:
            operand = _default(frame, instance, field)
        store_field(frame, instance, field.name, operand)
    if bound:
        name = next(iter(bound))
        raise frame.mismatch(f"{instance.cls.__name__}() has no argument {name!r}")
    post = find_method(instance, "__post_init__")
    if post is not None:
        frame.call(post)


def _default(frame: Frame, instance: Instance, field: dataclasses.Field[Any]) -> Operand:
    name = f"{instance.cls.__name__}.{field.name}"
    if field.default is not dataclasses.MISSING:
        frame.reads_outside(field.default)
        return lift(frame, field.default, name)
    if field.default_factory is not dataclasses.MISSING:
        return frame.call(PyObject(field.default_factory, name))
    raise frame.mismatch(f"{instance.cls.__name__}() misses the argument {field.name!r}")


def field_key(instance: Instance, name: str) -> str:
    """The variable that holds a field."""
    return f"{OBJECT}{instance.number}.{name}"


def set_field(frame: Frame, instance: Instance, name: str, operand: Operand) -> None:
    """`instance.name = operand`."""
    live = live_object(frame, instance)
    if live is None and class_attribute(instance.cls, "__setattr__") is not _PLAIN_SET:
        live = materialize_instance(frame, instance)
    if live is not None:
        frame.python(setattr, [live, frame.constant(name), frame.require(operand)], NONE)
        return
    found = class_attribute(instance.cls, name)
    if isinstance(found, property):
        frame.call(PyObject(setter_of(frame, found, name), name), instance, operand)
        return
    store_field(frame, instance, name, operand)


def setter_of(frame: Frame, found: property, name: str) -> Any:
    """What assigns a property."""
    if found.fset is None:
        raise frame.mismatch(f"the property {name!r} has no setter")
    return found.fset


def store_field(frame: Frame, instance: Instance, name: str, operand: Operand) -> None:
    """Set a field of an object that has not left compiled code."""
    frame.scope[field_key(instance, name)] = operand
    for watch in frame.unit.watches:
        watch.note(frame, field_key(instance, name), operand)


def live_object(frame: Frame, instance: Instance) -> Value | None:
    """The Python object that an instance has become, None when it is still made of variables."""
    binding = frame.scope.get(field_key(instance, LIVE))
    if isinstance(binding, Unbound):
        raise frame.unsupported(
            f"an object of class {instance.cls.__name__!r} cannot be used here: {binding.reason}"
        )
    return binding if isinstance(binding, Value) else None


def get_field(frame: Frame, instance: Instance, name: str) -> Operand:
    """`instance.name`: a field, a method, a property or an attribute of the class."""
    live = live_object(frame, instance)
    if live is not None and not hasattr(instance.cls, name):
        return attribute_of(frame, live, name)
    binding = frame.scope.get(field_key(instance, name))
    if isinstance(binding, Unbound):
        raise frame.mismatch(f"the field {name!r} cannot be read here: {binding.reason}")
    if binding is not None and not isinstance(binding, bool):
        return binding if live is None else attribute_of(frame, live, name)
    if name == "__class__":
        return PyObject(instance.cls, instance.cls.__name__)
    found = class_attribute(instance.cls, name)
    if isinstance(found, property) and found.fget is not None:
        return frame.call(PyObject(found.fget, name), instance)
    method = find_method(instance, name)
    if method is not None:
        return method
    if not hasattr(instance.cls, name):
        raise frame.mismatch(f"a {instance.cls.__name__} has no attribute {name!r}")
    if hasattr(type(found), "__get__"):
        return attribute_of(frame, materialize_instance(frame, instance), name)  # Python's to say
    frame.reads_outside(getattr(instance.cls, name))
    return lift(frame, getattr(instance.cls, name), f"{instance.cls.__name__}.{name}")


def find_method(operand: Operand, name: str) -> Operand | None:
    """A method of an instance or a named tuple, bound; None when its class does not define it."""
    cls = operand.cls if isinstance(operand, Instance) else _tuple_class(operand)
    if cls is None or not (isinstance(operand, Instance) or is_written(cls, name)):
        return None
    found = class_attribute(cls, name)
    if isinstance(found, staticmethod):
        return PyObject(found.__func__, name)
    if isinstance(found, classmethod):
        return PartialOf(PyObject(found.__func__, name), (PyObject(cls, cls.__name__),))
    if not isinstance(found, FunctionType) or not has_source(found):
        return None
    return PartialOf(PyObject(found, f"{cls.__name__}.{name}"), (operand,))


def _tuple_class(operand: Operand) -> type | None:
    """The class of a named tuple."""
    type_ = operand.type if isinstance(operand, Value) else None
    return type_.cls if isinstance(type_, TupleType) else None


def is_written(cls: type, name: str) -> bool:
    """Whether the user wrote this attribute of a class of named tuples."""
    found = class_attribute(cls, name)
    if isinstance(found, FunctionType):
        return found.__code__.co_filename != collections.__file__ and has_source(found)
    return found is not None and not hasattr(_NAMED_TUPLE, name) and name not in cls._fields  # type: ignore[attr-defined]


def super_attribute(frame: Frame, owner: SuperOf, name: str) -> Operand:
    """`super().name` of an instance."""
    order = owner.instance.cls.__mro__
    after = order[order.index(owner.start) + 1 :]
    found = next((vars(c)[name] for c in after if name in vars(c)), None)
    if found is object.__init__:
        return PyObject(_do_nothing, "object.__init__")
    if not isinstance(found, FunctionType):
        raise frame.mismatch(f"{owner.describe()} has no method {name!r}")
    return PartialOf(PyObject(found, f"super().{name}"), (owner.instance,))


def _do_nothing() -> None:
    """What `object.__init__` does."""


def call_special(frame: Frame, name: str, owner: Operand, *args: Operand) -> Operand | None:
    """`owner.__name__(*args)` where the class of an instance defines it."""
    method = find_method(owner, name)
    return None if method is None else frame.call(method, *args)


def has_source(function: FunctionType) -> bool:
    """Whether a method was written by someone, and not generated (by `dataclass`, say)."""
    return not inspect.unwrap(function).__code__.co_filename.startswith("<")


def materialize_instance(frame: Frame, instance: Instance) -> Value:
    """The Python object with the instance's fields, which from now on it stands for."""
    live = live_object(frame, instance)
    if live is not None:
        return live
    cls, prefix = instance.cls, field_key(instance, "")
    fields = {k.removeprefix(prefix): v for k, v in frame.scope.items() if k.startswith(prefix)}
    type_ = ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)
    made = frame.node("prim::CreateObject", (), [type_]).output
    key = field_key(instance, LIVE)
    frame.scope[key] = made
    for watch in frame.unit.watches:
        watch.lose(key)
    for name, operand in fields.items():
        if isinstance(operand, Unbound):
            raise frame.mismatch(f"the field {name!r} cannot be read here: {operand.reason}")
        if not isinstance(operand, bool):
            frame.node("prim::SetAttr", [made, frame.require(operand)], name=name)
    return made
