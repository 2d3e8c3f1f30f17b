"""What a class needs of a program, in the order in which it is first needed: what archives hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ir import (
    ClassDef,
    DictType,
    FutureType,
    ListType,
    Method,
    Node,
    OptionalType,
    Program,
    TupleType,
    Type,
    UnionType,
)
from jit.archive.generalize import values_of
from jit.archive.source_writer import called_function
from jit.archive.spelling import class_at


def reachable(roots: Sequence[ClassDef], program: Program) -> Program:
    """The classes and functions that `roots` need."""
    found = Program()
    pending: list[ClassDef | str] = [*roots]
    for thing in pending:
        if isinstance(thing, ClassDef):
            if thing.name not in found.classes:
                found.classes[thing.name] = thing
                pending += _needs_of_class(thing)
        elif thing not in found.functions:
            found.functions[thing] = program.functions[thing]
            pending += _needs_of_method(program.functions[thing])
    return found


def _needs_of_class(definition: ClassDef) -> Iterator[ClassDef | str]:
    for field in definition.fields.values():
        yield from _classes_in(field.type)
    for type_, _ in definition.constants.values():
        yield from _classes_in(type_)
    for method in definition.methods.values():
        yield from _needs_of_method(method)


def _needs_of_method(method: Method) -> Iterator[ClassDef | str]:
    for value in (*method.graph.params, *method.graph.returns):
        yield from _classes_in(value.type)
    for node in method.graph.walk():
        yield from _needs_of_node(node)
    for value in values_of(method.graph.block):
        yield from _classes_in(value.type)


def _needs_of_node(node: Node) -> Iterator[ClassDef | str]:
    name = called_function(node)
    if name is not None:
        yield name
    for type_ in node.attrs.get("types", ()):
        yield from _classes_in(type_)
    for value in node.outputs:
        yield from _classes_in(value.type)


def _classes_in(type_: Type) -> Iterator[ClassDef]:
    definition = class_at(type_)
    if definition is not None:
        yield definition
    for part in _parts(type_):
        yield from _classes_in(part)


def _parts(type_: Type) -> tuple[Type, ...]:
    """The types that a type is made of."""
    match type_:
        case (
            ListType(element=element) | OptionalType(element=element) | FutureType(element=element)
        ):
            return (element,)
        case DictType(key=key, value=value):
            return (key, value)
        case TupleType(elements=parts) | UnionType(members=parts):
            return parts
    return ()
