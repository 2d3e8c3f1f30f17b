"""Enums in archives, which know members, their names and their values: a call of the class looks
the value up, members that are data as well (of an `IntEnum`, say) stand for it in operators, and
an `IntFlag` is an int.
"""

from __future__ import annotations

import enum
from typing import Any

from ir import STR, Builder, CompileError, Graph, Node, Value, class_of, constant_of, lookup
from jit.script import compile_function

# The body is for the compiler:
# ruff: noqa: ANN001, ANN202
# mypy: allow-untyped-defs


def _member_of(cls, value):
    for member in cls:
        if member.value == value:
            return member
    raise ValueError(f"{value!r} is not a valid {cls.__name__}")


_DATA = frozenset((int, float, str))


def is_flag(cls: Any) -> bool:
    """Whether the members of a class are ints in archives."""
    return isinstance(cls, type) and issubclass(cls, enum.IntFlag)


def lookup_graph(call: Node) -> Graph | None:
    """`Color(2)` as a graph, None for calls of anything else."""
    cls = call.attrs["function"]
    if not isinstance(cls, enum.EnumMeta) or len(call.inputs) != 1:
        return None
    try:
        types = [v.type for v in call.inputs]
        made = compile_function(_member_of, types, bound={"cls": cls})
    except CompileError:
        return None
    graph: Graph = made.graph
    graph.name = f"{cls.__name__}_of"
    return graph


def read_data(node: Node) -> None:
    """Let an operator take the values of members that are data as well."""
    for position, value in enumerate(node.inputs):
        definition = class_of(value.type)
        python = definition.python if definition is not None else None
        if isinstance(python, enum.EnumMeta) and not _DATA.isdisjoint(python.__mro__):
            node.replace(position, _value_of(Builder.before(node), value, python))


def _value_of(builder: Builder, member: Value, cls: enum.EnumMeta) -> Value:
    type_ = constant_of(next(iter(cls)).value)[1]
    return builder.node(lookup(f"prim::EnumValue.{type_}"), [member], [type_]).output


def read_attribute(builder: Builder, member: Value, cls: enum.EnumMeta, name: str) -> Value | None:
    """The name or the value of a member; None for anything else."""
    if name == "value":
        return _value_of(builder, member, cls)
    if name != "name":
        return None
    return builder.node(lookup("prim::EnumName"), [member], [STR]).output
