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
from typing import Any

import ir
from ir import (
    FLOAT,
    TENSOR,
    Block,
    Builder,
    Graph,
    ListType,
    Node,
    TupleType,
    Type,
    Value,
    constant_of,
    field,
    record,
)
from jit.captures import Extra, place_of
from jit.only_read import is_only_read
from jit.plainness import is_tensor
from jit.profile import is_constant
from jit.script.resolve import Capture

Place = tuple[int, str]


@record(frozen=False)
class BoundState:
    """Where to read each tensor that was an attribute, and the attributes that are part of the
    graph now.
    """

    extras: dict[Node, Extra] = field(default_factory=dict)
    captures: list[Capture] = field(default_factory=list)


def bind_state(graph: Graph, varying: Set[Place] = frozenset()) -> BoundState:
    """Bind the attributes that `graph` reads of objects it holds, in place: first plain data, then
    the tensors of those branches that are left.
    """
    work = _Binding(graph, varying)
    if work.run(tensors=False):
        for name in ("fold", "dce"):
            ir.PASSES[name].run(graph)
    work.run(tensors=True)
    return work.bound


class _Binding:
    """Binds the reads of one graph; each attribute is one value at its start."""

    def __init__(self, graph: Graph, varying: Set[Place]) -> None:
        self.graph = graph
        self.varying = varying
        self.changed = set(_changed(graph))
        self.late = set(_late_reads(graph.block, set()))
        self.bound = BoundState()
        self.made: dict[tuple[Place, Type], Value] = {}

    def run(self, tensors: bool) -> bool:
        """Bind attributes that are tensors, or those that are not; whether there were any."""
        found = False
        for node in list(self.graph.walk()):
            if node.name != "prim::GetAttr":
                continue
            obj, name = _object_of(node), node.attrs["name"]
            if obj is None or (id(obj), name) in self.changed or node in self.late:
                continue
            holder, key = place_of(obj, name)
            value = holder[key] if isinstance(holder, dict) else getattr(holder, key)
            if is_tensor(value) == tensors and (id(holder), key) not in self.varying:
                found |= self._bind(node, holder, key, value)
        return found

    def _bind(self, node: Node, holder: Any, key: str, value: Any) -> bool:
        place = (id(holder), key), node.output.type
        made = self.made.get(place)
        if made is None:
            builder = Builder.before(self.graph.block.nodes[0])
            builder.span = node.span
            made = _literal(builder, node.output, value)
            if made is None:
                return False
            self.made[place] = made
            self._record(made, holder, key, value)
        elif type(value) is list and not is_only_read(node.output):
            return False
        node.output.replace_all_uses_with(made)
        node.erase()
        return True

    def _record(self, made: Value, holder: Any, key: str, value: Any) -> None:
        if is_tensor(value):
            assert made.node is not None
            self.bound.extras[made.node] = Extra(holder, key)
        else:
            snapshot = value.copy() if type(value) is list else value
            self.bound.captures.append(Capture(key, holder, key, snapshot))


def _object_of(node: Node) -> Any:
    source = node.inputs[0].node
    return source.attrs.get("value") if source and source.name == "prim::Constant" else None


def _changed(graph: Graph) -> Iterator[Place]:
    for node in graph.walk():
        if node.name == "prim::SetAttr":
            yield id(_object_of(node)), node.attrs["name"]


def _late_reads(block: Block, exposed: set[int]) -> Iterator[Node]:
    """Reads of objects that Python functions had in hand before: `exposed` has their identities."""
    for node in block.nodes:
        if node.name == "prim::Loop":
            exposed.update(i for inner in node.blocks[0].walk() for i in _exposes(inner))
        for inner_block in node.blocks:
            yield from _late_reads(inner_block, exposed)
        if node.name == "prim::GetAttr" and id(_object_of(node)) in exposed:
            yield node
        exposed.update(_exposes(node))


def _exposes(node: Node) -> Iterator[int]:
    """The objects that a call back into Python may change: what it is given, and submodules."""
    for obj in node.attrs.get("objects", ()):
        yield from map(id, obj.modules() if hasattr(obj, "modules") else (obj,))


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
