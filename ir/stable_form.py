"""A graph as text that is the same in every process, so that what was made from it once is found
again.

The text has everything that decides what is computed: operators by their schemas, operands by
number, types, constants by value. It leaves out names and spans, which are for people, and
constants that nobody reads. Values without a stable form (tensors, objects with a state, functions
that no module holds) raise `Unstable`.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Collection, Sequence
from types import BuiltinFunctionType, FunctionType
from typing import Any

from ir.dtypes import DType
from ir.graph import Block, Graph, Node, Value
from ir.records import is_record
from ir.types import ObjectType, TupleType, Type

_BY_REPR = (bool, int, float, complex, str, bytes, range, type(None))


class Unstable(ValueError):
    """A value whose text would differ from one process to the next."""


def canonical(graph: Graph, tensors: Collection[Node] = ()) -> str:
    """The text of a graph, whose constants `tensors` hold any tensors. Raises Unstable."""
    return "\n".join(_Writer(tensors, {graph: 0}).block(graph.block))


def stable(value: Any) -> str:
    """The text of a constant: plain data, types, enum members, what a module holds under a name,
    and containers and records of such. Raises Unstable.
    """
    if type(value) in _BY_REPR:
        return repr(value)
    if isinstance(value, Type):
        return f"type {_type_text(value)}"
    if isinstance(value, DType):
        return f"dtype {value.name}"
    if isinstance(value, enum.Enum):
        return f"{_path(type(value))}.{value.name}={stable(value.value)}"
    if is_record(value) and _is_frozen(type(value)):
        fields = [stable(getattr(value, f.name)) for f in type(value).__fields__]
        return f"{_path(type(value))}({', '.join(fields)})"
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return _path(value)
    if type(value) in (list, tuple):
        return f"{type(value).__name__}({', '.join(map(stable, value))})"
    if type(value) is dict:
        pairs = (f"{stable(key)}: {stable(item)}" for key, item in value.items())
        return f"dict({', '.join(pairs)})"
    raise Unstable(type(value).__qualname__)


def _is_frozen(cls: Any) -> bool:
    """Whether a record is what its fields are."""
    return cls.__hash__ is not None and cls.__hash__ is not object.__hash__


def _path(thing: Any) -> str:
    """Where a module holds a class or function."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not thing:
        raise Unstable(f"{module}.{name}")
    return f"{module}.{name}"


def _type_text(type_: Type) -> str:
    """A type as it is printed, with the class behind it where that counts."""
    if isinstance(type_, ObjectType | TupleType) and type_.cls is not None:
        return f"{type_} of {_path(type_.cls)}"
    return str(type_)


class _Writer:
    """Numbers values in the order of their definitions."""

    def __init__(self, tensors: Collection[Node], graphs: dict[Graph, int]) -> None:
        self.tensors = tensors
        self.graphs = graphs
        """The graphs met so far, which may call each other."""
        self.numbers: dict[Value, int] = {}
        self.types: dict[int, str] = {}

    def block(self, block: Block) -> list[str]:
        lines = [f"({self._defined(block.params)})"]
        for node in block.nodes:
            if node.name == "prim::Constant" and not node.output.uses:
                continue
            lines.append(self._node(node))
            for inner in node.blocks:
                lines += ["{", *self.block(inner), "}"]
        return [*lines, f"-> {self._read(block.returns)}"]

    def _node(self, node: Node) -> str:
        read, defined = self._read(node.inputs), self._defined(node.outputs)
        attrs = [f" {k}={self._attribute(node, v)}" for k, v in node.attrs.items()]
        return f"{defined} = {node.op.qualified}({read}){''.join(attrs)}"

    def _attribute(self, node: Node, value: Any) -> str:
        if isinstance(value, Graph):
            return self._graph(value)
        return "tensor" if node in self.tensors else stable(value)

    def _graph(self, graph: Graph) -> str:
        if graph in self.graphs:
            return f"graph {self.graphs[graph]}"
        self.graphs[graph] = len(self.graphs)
        body = _Writer(self.tensors, self.graphs).block(graph.block)
        return "\n".join([f"graph {self.graphs[graph]} {{", *body, "}"])

    def _defined(self, values: Sequence[Value]) -> str:
        number, numbers = self.numbers.setdefault, self.numbers
        return ", ".join([f"{number(v, len(numbers))}: {self._type(v.type)}" for v in values])

    def _read(self, values: Sequence[Value]) -> str:
        number, numbers = self.numbers.setdefault, self.numbers
        return ", ".join([str(number(v, len(numbers))) for v in values])

    def _type(self, type_: Type) -> str:
        found = self.types.get(id(type_))
        if found is None:
            found = self.types[id(type_)] = _type_text(type_)
        return found
