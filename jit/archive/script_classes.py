"""User classes in archives: fields, `__init__`, and the methods that the code calls, compiled with
`self` an object whose fields have types.

Fields are those that `__init__` assigns, or that a dataclass declares. A method is written once
for each list of argument types that it is called with.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from ir import (
    ClassDef,
    ClassKind,
    CompileError,
    DictType,
    Field,
    Graph,
    ListType,
    Method,
    ObjectType,
    OptionalType,
    TupleType,
    Type,
    class_of,
)
from jit.script import compile_function
from jit.script.annotate import named_tuple_type, type_of_annotation
from jit.script.classes import is_compiled_class

Generalize = Callable[[Graph], Graph]
Generic = Callable[[Type], Type]
_Key = tuple[ClassDef, str, tuple[Type, ...]]


class ScriptClasses:
    """The user classes of one program."""

    def __init__(self, generalize: Generalize, generic_type: Generic) -> None:
        self._generalize = generalize
        self._generic_type = generic_type
        self._open: set[ClassDef] = set()  # whose `__init__` is being compiled
        self._described: set[ClassDef] = set()
        self._methods: dict[_Key, tuple[str, Type]] = {}
        self._started: set[_Key] = set()

    def describe(self, cls: type, definition: ClassDef) -> None:
        """Fill in a class; CompileError when its `__init__` does not compile."""
        definition.kind = ClassKind.CLASS
        self._described.add(definition)
        if dataclasses.is_dataclass(cls):
            hints = typing.get_type_hints(cls)
            for field in dataclasses.fields(cls):
                type_ = type_of_annotation(hints[field.name])
                definition.fields[field.name] = Field(self._generic_type(type_))
        elif isinstance(init := getattr(cls, "__init__", None), FunctionType):
            self._open.add(definition)
            owner = {next(iter(init.__code__.co_varnames)): python_type(definition.type)}
            graph = self._generalize(compile_function(init, untyped=owner).graph)
            self._open.discard(definition)
            definition.methods["__init__"] = Method("__init__", graph, _defaults(init))

    # what `retype` asks -----------------------------------------------------------------------

    def class_of_objects(self, type_: Type) -> ClassDef | None:
        """The class of a type's objects if they are made of fields, None for other types."""
        definition = class_of(type_)
        return definition if definition in self._described else None

    def declare_field(self, definition: ClassDef, name: str, type_: Type) -> Type | None:
        """The type of a field; a new one is declared by its class's `__init__` only."""
        if name not in definition.fields and definition in self._open:
            definition.fields[name] = Field(type_)
        return definition.fields[name].type if name in definition.fields else None

    def property_getter(self, definition: ClassDef, name: str) -> bool:
        """Whether a name is that of a property."""
        return isinstance(getattr(definition.python, name, None), property)

    def method_result(
        self, definition: ClassDef, name: str, types: Sequence[Type]
    ) -> tuple[str, Type] | None:
        """The name in the class and the type of the result of a method for argument types; None
        without such a method.
        """
        function = getattr(definition.python, name, None)
        if isinstance(function, property):
            function = function.fget
        if not isinstance(function, FunctionType):
            return None
        key = (definition, name, tuple(types))
        if key not in self._methods:
            if key in self._started:
                raise CompileError(f"Could not export {function.__qualname__}: it calls itself")
            self._started.add(key)
            own = [python_type(t) for t in (definition.type, *types)]
            graph = self._generalize(compile_function(function, own).graph)
            method = Method(_unique(name, definition), graph)
            definition.methods[method.name] = method
            self._methods[key] = (method.name, graph.returns[0].type)
        return self._methods[key]

    def left_out(self, definition: ClassDef, name: str, count: int) -> list[Any]:
        """The default values that a call of a method with `count` arguments takes."""
        function = getattr(definition.python, name, None)
        if not isinstance(function, FunctionType):
            return []
        values = list(_defaults(function).values())
        missing = function.__code__.co_argcount - count
        return values[len(values) - missing :] if 0 < missing <= len(values) else []


def is_script_class(cls: Any) -> bool:
    """Whether archives can have a class of Python as one of theirs."""
    return isinstance(cls, type) and not issubclass(cls, BaseException) and is_compiled_class(cls)


def python_type(type_: Type) -> Type:
    """A generic type as the front end has it: classes are those of Python."""
    match type_:
        case ObjectType(name=name, cls=ClassDef(python=type() as cls)):
            return ObjectType(name, cls)
        case TupleType(cls=ClassDef(python=type() as cls)):
            return named_tuple_type(cls)
        case TupleType(elements=elements, name=None):
            return TupleType(tuple(map(python_type, elements)))
        case ListType(element=element):
            return ListType(python_type(element))
        case OptionalType(element=element):
            return OptionalType(python_type(element))
        case DictType(key=key, value=value):
            return DictType(python_type(key), python_type(value))
    return type_


def _defaults(function: FunctionType) -> dict[str, Any]:
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    values = function.__defaults__ or ()
    return dict(zip(names[len(names) - len(values) :], values, strict=True))


def _unique(name: str, definition: ClassDef) -> str:
    """A free name among the methods of a class."""
    unique, number = name, 0
    while unique in definition.methods:
        number += 1
        unique = f"{name}{number}"
    return unique
