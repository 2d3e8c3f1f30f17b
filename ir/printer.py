"""TorchScript's text form of a graph, which `ir.parser` reads back exactly.

    graph(%x : Tensor,
          %c : bool):
      %2 : int = prim::Constant[value=1]() # f.py:2:11
      %y : Tensor = prim::If(%c) # f.py:3:4
        block0():
          %4 : Tensor = aten::add(%x, %x, %2)
          -> (%4)
        block1():
          -> (%x)
      return (%y)

Laws
  * Every value has one name in one text: its own if that is free, else its own with `.1`, `.2` ...;
    values without a name get the smallest free number, in order of definition.
  * Types, numbers and strings are spelled as TorchScript spells them; other attributes are Python
    literals. What has no literal (tensors, modules, functions) prints as `<Tensor>` and is read
    back as an `Elided` of that text.
  * This module lies below `ir.graph`, so that `str(graph)` may call it; it reads graphs through
    the protocols below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

from ir.dtypes import DType
from ir.records import record
from ir.source import Span
from ir.types import (
    DictType,
    FutureType,
    ListType,
    OptionalType,
    TupleType,
    Type,
    UnionType,
)


class ValueLike(Protocol):
    """What the printer reads of a value."""

    @property
    def name(self) -> str | None: ...
    @property
    def type(self) -> Type: ...


class OpLike(Protocol):
    """What the printer reads of an op."""

    @property
    def name(self) -> str: ...


class NodeLike(Protocol):
    """What the printer reads of a node."""

    @property
    def op(self) -> OpLike: ...
    @property
    def inputs(self) -> Sequence[ValueLike]: ...
    @property
    def outputs(self) -> Sequence[ValueLike]: ...
    @property
    def attrs(self) -> Mapping[str, Any]: ...
    @property
    def blocks(self) -> Sequence[BlockLike]: ...
    @property
    def span(self) -> Span | None: ...


class BlockLike(Protocol):
    """What the printer reads of a block."""

    @property
    def params(self) -> Sequence[ValueLike]: ...
    @property
    def nodes(self) -> Sequence[NodeLike]: ...
    @property
    def returns(self) -> Sequence[ValueLike]: ...


@record
class Elided:
    """Stands, in a graph read from text, for an attribute that has no literal."""

    text: str

    def __str__(self) -> str:
        return f"<{self.text}>"


def print_block(block: BlockLike) -> str:
    """The text of a graph, given its block."""
    return "\n".join(line.text for line in print_lines(block)) + "\n"


@record
class Line:
    """One printed line and the node that it shows, if any (a node's own line, not its blocks')."""

    text: str
    node: NodeLike | None = None


def print_lines(block: BlockLike) -> Iterator[Line]:
    """The lines of a graph's text, each with its node: what errors are drawn into."""
    names = Names(block)
    head = ",\n      ".join(names.define(v) for v in block.params)
    for text in f"graph({head}):".split("\n"):
        yield Line(text)
    yield from _node_lines(block.nodes, names, "  ")
    yield Line(f"  return {names.read(block.returns)}")


def _node_lines(nodes: Sequence[NodeLike], names: Names, indent: str) -> Iterator[Line]:
    for node in nodes:
        yield Line(indent + print_node(node, names), node)
        for i, block in enumerate(node.blocks):
            head = ", ".join(names.define(v) for v in block.params)
            yield Line(f"{indent}  block{i}({head}):")
            yield from _node_lines(block.nodes, names, indent + "    ")
            yield Line(f"{indent}    -> {names.read(block.returns)}")


def print_node(node: NodeLike, names: Names) -> str:
    """One node without its blocks: `%y : Tensor = aten::add(%x, %x, %2) # file:line:col`."""
    outputs = ", ".join(names.define(v) for v in node.outputs)
    attrs = ", ".join(_attribute_texts(node))
    brackets = f"[{attrs}]" if attrs else ""
    span = f" # {node.span}" if node.span else ""
    return f"{outputs} = {node.op.name}{brackets}{names.read(node.inputs)}{span}"


class Names:
    """One name per value of a graph."""

    def __init__(self, block: BlockLike) -> None:
        self._names: dict[ValueLike, str] = {}
        unnamed: list[ValueLike] = []
        taken: set[str] = set()
        for value in _definitions(block):
            if value.name is None:
                unnamed.append(value)
            else:
                self._names[value] = _free(value.name, taken)
        numbers = (str(n) for n in count() if str(n) not in taken)
        self._names.update(zip(unnamed, numbers, strict=False))

    def __getitem__(self, value: ValueLike) -> str:
        return "%" + self._names.get(value, f"{value.name}?")  # `?`: not defined in this graph

    def define(self, value: ValueLike) -> str:
        """A value where it is defined: `%x : Tensor`."""
        return f"{self[value]} : {type_text(value.type)}"

    def read(self, values: Sequence[ValueLike]) -> str:
        """Values where they are read: `(%x, %y)`."""
        return f"({', '.join(self[v] for v in values)})"


def _definitions(block: BlockLike) -> Iterator[ValueLike]:
    yield from block.params
    for node in block.nodes:
        yield from node.outputs
        for inner in node.blocks:
            yield from _definitions(inner)


def _free(name: str, taken: set[str]) -> str:
    candidates = (f"{name}.{n}" if n else name for n in count())
    chosen = next(c for c in candidates if c not in taken)
    taken.add(chosen)
    return chosen


def type_text(type_: Type) -> str:
    """TorchScript's spelling of a type: `int[]`, `Tensor?`, `(Tensor, int)`, `Dict(str, int)`."""
    match type_:
        case ListType(element=element):
            return f"{type_text(element)}[]"
        case OptionalType(element=element):
            return f"{type_text(element)}?"
        case TupleType(elements=elements, name=None):
            return f"({', '.join(map(type_text, elements))})"
        case DictType(key=key, value=value):
            return f"Dict({type_text(key)}, {type_text(value)})"
        case UnionType(members=members):
            return f"Union({', '.join(sorted(map(type_text, members)))})"
        case FutureType(element=element):
            return f"Future[{type_text(element)}]"
    return str(type_)


def _attribute_texts(node: NodeLike) -> Iterator[str]:
    """TorchScript shows no value for None, and bools as numbers."""
    for key, value in node.attrs.items():
        if node.op.name == CONSTANT and (value is None or isinstance(value, bool)):
            if value is not None:
                yield f"{key}={int(value)}"
        else:
            yield f"{key}={literal(value)}"


def literal(value: object) -> str:
    """An attribute's text: a Python literal, `torch.float32`, an exception, or `<what it is>`."""
    match value:
        case None | bool() | int():
            return repr(value)
        case float():
            return _float_text(value)
        case complex():
            return f"{_float_text(value.real)}{'' if _is_negative(value.imag) else '+'}" + (
                f"{_float_text(value.imag)}j")
        case DType():
            return f"torch.{value}"
        case Type():
            return type_text(value)
        case Elided():
            return str(value)
        case str():
            return f'"{value.translate(_ESCAPES)}"'
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case tuple():
            return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
        case dict():
            return f"{{{', '.join(f'{literal(k)}: {literal(v)}' for k, v in value.items())}}}"
        case type() if issubclass(value, BaseException) and value.__module__ == "builtins":
            return value.__name__
    return f"<{getattr(value, '__qualname__', None) or type(value).__name__}>"


def _float_text(value: float) -> str:
    """17 digits, which tell any two floats apart; `1.` for whole numbers."""
    if value.is_integer() and abs(value) < WHOLE:
        return f"{value:.0f}."
    return f"{value:.17g}"


def _is_negative(value: float) -> bool:
    return math.copysign(1, value) < 0


WHOLE = 1e10
CONSTANT = "prim::Constant"
_NAMED_ESCAPES = zip("\\\"'\a\b\f\n\r\t\v", "\\\"'abfnrtv", strict=True)
_ESCAPES = {code: f"\\{code:03o}" for code in (*range(32), 127)}
_ESCAPES |= {ord(char): f"\\{name}" for char, name in _NAMED_ESCAPES}
