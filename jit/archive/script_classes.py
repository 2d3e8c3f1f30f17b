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
    Builder,
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
    Value,
)
from jit.archive.spelling import class_at
from jit.archive.written_methods import find_method
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
        """The class of a type's objects if the code of its methods is known, None for others."""
        definition = class_at(type_)
        known = definition in self._described or getattr(definition, "kind", None) in _VALUES
        return definition if known else None

    def declare_field(self, definition: ClassDef, name: str, type_: Type) -> Type | None:
        """The type of a field; a new one is declared by its class's `__init__` only."""
        if name not in definition.fields and definition in self._open:
            definition.fields[name] = Field(type_)
        return definition.fields[name].type if name in definition.fields else None

    def compares(self, definition: ClassDef, name: str) -> bool:
        """Whether a class has a method to compare two objects, which is written then."""
        function = find_method(definition.python, name) if definition.python else None
        if function is not None and definition.kind not in _VALUES:
            self._method(definition, name, function, [definition.type, definition.type])
        return function is not None

    def property_getter(self, definition: ClassDef, name: str) -> bool:
        """Whether a name is that of a property."""
        return isinstance(getattr(definition.python, name, None), property)

    def call(
        self, builder: Builder, definition: ClassDef, name: str, given: Sequence[Value]
    ) -> Value | None:
        """A call of a method on its object and arguments; None without such a method."""
        function = find_method(definition.python, name) if definition.python else None
        if function is None:
            return None
        inputs = [*given, *map(builder.const, _left_out(function, len(given)))]
        types = [v.type for v in inputs]
        if definition.kind in _VALUES:
            return self._call_function(builder, definition, function, inputs, types)
        method, result = self._method(definition, name, function, types)
        return builder.node("prim::CallMethod", inputs, [result], {"name": method}).output

    def _method(
        self, definition: ClassDef, name: str, function: FunctionType, types: Sequence[Type]
    ) -> tuple[str, Type]:
        """The name in the class and the type of the result of a method for argument types."""
        key = (definition, name, tuple(types))
        if key not in self._methods:
            if key in self._started:
                raise CompileError(f"Could not export {function.__qualname__}: it calls itself")
            self._started.add(key)
            graph = self._generalize(self._compile(function, types))
            method = Method(_unique(name, definition), graph)
            definition.methods[method.name] = method
            self._methods[key] = (method.name, graph.returns[0].type)
        return self._methods[key]

    def _call_function(
        self,
        builder: Builder,
        definition: ClassDef,
        function: FunctionType,
        inputs: list[Value],
        types: list[Type],
    ) -> Value:
        """Enums and named tuples have no methods in archives: theirs are functions."""
        graph = self._compile(function, types)
        result = self._generalize(graph).returns[0].type
        attrs = {"graph": graph, "name": f"{definition.name}_{function.__name__}"}
        return builder.node("prim::CallFunction", inputs, [result], attrs).output

    def _compile(self, function: FunctionType, types: Sequence[Type]) -> Graph:
        graph: Graph = compile_function(function, list(map(python_type, types))).graph
        return graph


_VALUES = (ClassKind.ENUM, ClassKind.NAMED_TUPLE)


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


def _left_out(function: FunctionType, count: int) -> list[Any]:
    """The default values that a call with `count` arguments takes."""
    values = list(_defaults(function).values())
    missing = function.__code__.co_argcount - count
    return values[len(values) - missing :] if 0 < missing <= len(values) else []


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
