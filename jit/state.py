"""Binding of state: reads of a module's attributes become what the attributes hold now.

    %w : Tensor = prim::GetAttr[name="weight"](%self)      a tensor that is read at each call
    %p : float = prim::GetAttr[name="p"](%self)            a constant, and a guard (`Capture`)

So a plan is specialized to configuration and mode (`training`) as if they were written in the code.
An attribute that the graph itself changes, or that a Python function called from it may change,
is left to be read when the code runs; so is one that keeps changing between calls (`varying`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from ir import FLOAT, TENSOR, Builder, Graph, ListType, Node, TupleType, Value, constant_of
from jit.captures import Extra
from jit.plainness import is_tensor
from jit.profile import is_constant
from jit.script.resolve import Capture
from jit.specialize import is_only_read

Place = tuple[int, str]


@dataclass(slots=True)
class BoundState:
    """Where to read each tensor that was an attribute, and the attributes that are part of the
    graph now.
    """

    extras: dict[Node, Extra] = field(default_factory=dict)
    captures: list[Capture] = field(default_factory=list)


def bind_state(graph: Graph, varying: Set[Place] = frozenset()) -> BoundState:
    """Bind the attributes that `graph` reads of objects it holds, in place."""
    bound, changed = BoundState(), set(_changed(graph))
    exposed = {id(obj) for node in graph.walk() for obj in node.attrs.get("objects", ())}
    for node in list(graph.walk()):
        if node.name != "prim::GetAttr":
            continue
        obj, name = _object_of(node), node.attrs["name"]
        if obj is None or (id(obj), name) in changed or id(obj) in exposed:
            continue
        holder, key = place_of(obj, name)
        if (id(holder), key) not in varying:
            _bind(bound, node, holder, key)
    return bound


def place_of(obj: Any, name: str) -> tuple[Any, str]:
    """Where an attribute is kept: a dict of the object's own where there is one, which is read
    faster than the attribute.
    """
    own = getattr(obj, "__dict__", {})
    for held in (own, own.get("_parameters"), own.get("_buffers")):
        if type(held) is dict and name in held:
            return held, name
    return obj, name


def _object_of(node: Node) -> Any:
    source = node.inputs[0].node
    return source.attrs.get("value") if source and source.name == "prim::Constant" else None


def _changed(graph: Graph) -> Iterator[Place]:
    for node in graph.walk():
        if node.name == "prim::SetAttr":
            yield id(_object_of(node)), node.attrs["name"]


def _bind(bound: BoundState, node: Node, holder: Any, key: str) -> None:
    value = holder[key] if isinstance(holder, dict) else getattr(holder, key)
    builder = Builder.before(node)
    builder.span = node.span
    made = _literal(builder, node.output, value)
    if made is None:
        return
    if is_tensor(value):
        assert made.node is not None
        bound.extras[made.node] = Extra(holder, key)
    else:
        snapshot = value.copy() if type(value) is list else value
        bound.captures.append(Capture(key, holder, key, snapshot))
    node.output.replace_all_uses_with(made)
    node.erase()


def _literal(builder: Builder, read: Value, value: Any) -> Value | None:
    """The value as part of the graph; None for what stays to be read."""
    if is_tensor(value):
        return builder.const(value, TENSOR)
    if isinstance(value, int) and read.type == FLOAT:
        return builder.const(float(value))
    if isinstance(value, enum.Enum):
        return builder.const(value, read.type)
    if _is_plain(value):
        return builder.const(*constant_of(value))
    if type(value) is list and isinstance(read.type, ListType) and is_only_read(read):
        items = [builder.const(*constant_of(item)) for item in value if _is_plain(item)]
        return builder.list_(items, read.type.element) if len(items) == len(value) else None
    if type(value) is tuple and isinstance(read.type, TupleType) and all(map(_is_plain, value)):
        return builder.tuple_([builder.const(*constant_of(item)) for item in value])
    return None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str) or is_constant(value)
