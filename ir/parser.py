"""Reads the text form of a graph (`ir.printer`) back; the round trip is exact.

    graph  = "graph" "(" params ")" ":" node* "return" "(" values ")"
    node   = [outputs] "=" symbol ["[" attrs "]"] "(" values ")" ["# file:line:col"] block*
    block  = "block0" "(" params ")" ":" node* "->" "(" values ")"
    param  = output = "%name" ":" type

Laws
  * A node names its op; the overload is the first one, in the registry's order and at the lowest
    level of tolerance (`ir.resolve`), that takes operands of these types as they are. A symbol
    with an overload (`aten::add.Scalar`) decides for itself.
  * Names are unique in a text, whatever the block; whether a definition reaches a use is for
    `ir.verify` to say.
  * Symbolic sizes of one text belong to one `Facts`.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ir import types as T
from ir.graph import Block, Graph, Node, Value
from ir.lexer import Text, Token
from ir.op import Op
from ir.operands import takes
from ir.printer import CONSTANT, Elided
from ir.registry import overloads
from ir.resolve import Level
from ir.source import Span
from ir.type_parser import Cursor, TypeParser, dtype_of_name

_SPAN = re.compile(r"# (.*):(\d+):(\d+)$")


def parse_graph(text: str, *, name: str = "graph", file: str = "<text>", first_line: int = 1,
                objects: Mapping[str, Any] | None = None,
                hints: Mapping[str, int] | None = None) -> Graph:
    """The graph that `text` shows. `objects` are what `<name>` attributes stand for (an `Elided`
    otherwise), `hints` the observed values of symbolic sizes."""
    cursor = Cursor(Text(text, file, first_line))
    return _GraphParser(cursor, TypeParser(cursor, hints or {}), objects or {}).graph(name)


class _GraphParser:
    def __init__(self, cursor: Cursor, types: TypeParser, objects: Mapping[str, Any]) -> None:
        self.cursor = cursor
        self.types = types
        self.objects = objects
        self.values: dict[str, Value] = {}

    def graph(self, name: str) -> Graph:
        graph = Graph(name)
        self.cursor.expect("graph")
        self.params(graph.block)
        self.nodes(graph.block)
        self.cursor.expect("return")
        graph.block.set_returns(self.operands())
        self.cursor.expect_kind("end", "the end of the graph")
        return graph

    def params(self, block: Block) -> None:
        self.cursor.expect("(")
        for token, type_ in self.cursor.list_until(")", self.definition):
            self.define(token, block.add_param(type_, token.text[1:]))
        self.cursor.expect(":")

    def definition(self) -> tuple[Token, T.Type]:
        token = self.cursor.expect_kind("value", "a value")
        self.cursor.expect(":")
        return token, self.types.type()

    def define(self, token: Token, value: Value) -> None:
        if token.text in self.values:
            raise self.cursor.error(f"{token.text} is defined twice", token)
        self.values[token.text] = value

    def nodes(self, block: Block) -> None:
        while self.cursor.peek.kind == "value" or self.cursor.peek.text == "=":
            self.node(block)

    def node(self, block: Block) -> None:
        outputs = []
        while self.cursor.peek.kind == "value":
            outputs.append(self.definition())
            self.cursor.accept(",")
        self.cursor.expect("=")
        symbol = self.cursor.expect_kind("symbol", "an operator")
        attrs = self.attributes() if self.cursor.peek.text == "[" else {}
        inputs = self.operands()
        op = self.operator(symbol, inputs)
        if op.name == CONSTANT and len(outputs) == 1:
            attrs["value"] = _typed(attrs.get("value"), outputs[0][1])
        node = Node(op, inputs, (), attrs, self.span())
        for token, type_ in outputs:
            self.define(token, node.add_output(type_, token.text[1:]))
        block.append(node)
        while re.fullmatch(r"block\d+", self.cursor.peek.text):
            self.block(node)

    def block(self, node: Node) -> None:
        self.cursor.next()
        block = node.add_block()
        self.params(block)
        self.nodes(block)
        self.cursor.expect("->")
        block.set_returns(self.operands())

    def operands(self) -> list[Value]:
        self.cursor.expect("(")
        return self.cursor.list_until(")", self.operand)

    def operand(self) -> Value:
        token = self.cursor.expect_kind("value", "a value")
        if token.text not in self.values:
            raise self.cursor.error(f"{token.text} is not defined", token)
        return self.values[token.text]

    def span(self) -> Span | None:
        if self.cursor.peek.kind != "span":
            return None
        match = _SPAN.match(self.cursor.next().text)
        assert match is not None
        return Span(match[1], int(match[2]), int(match[3]))

    def operator(self, symbol: Token, inputs: Sequence[Value]) -> Op:
        """The overload that takes `inputs`."""
        base, _, overload = symbol.text.partition(".")
        candidates = [op for op in overloads(base) if overload in ("", op.schema.overload)]
        if not candidates:
            raise self.cursor.error(f"no operator is called {symbol.text}", symbol)
        types = [v.type for v in inputs]
        for level in Level:
            for op in candidates:
                if takes(op, types, level):
                    return op
        found = ", ".join(map(str, types))
        known = "".join(f"\n  {op.schema}" for op in candidates)
        message = f"no overload of {symbol.text} takes ({found}); known are{known}"
        raise self.cursor.error(message, symbol)

    # attributes -------------------------------------------------------------------------------

    def attributes(self) -> dict[str, Any]:
        self.cursor.expect("[")
        return dict(self.cursor.list_until("]", self.attribute))

    def attribute(self) -> tuple[str, Any]:
        name = self.cursor.expect_kind("name", "an attribute").text
        self.cursor.expect("=")
        return name, self.literal()

    def literal(self) -> Any:
        token = self.cursor.peek
        match token.kind:
            case "number":
                return self.number()
            case "string":
                return ast.literal_eval(self.cursor.next().text)
            case "elided":
                text = self.cursor.next().text[1:-1]
                return self.objects.get(text, Elided(text))
            case "name" if token.text not in ("inf", "nan"):
                return self.named()
            case "name":
                return self.number()
        if token.text == "-":
            return self.number()
        if token.text not in _CONTAINERS:
            raise self.cursor.error("expected a literal", token)
        return _CONTAINERS[token.text](self)

    def number(self) -> Any:
        """A number; a complex one as a sum: `1.+2.j`."""
        number = self.signed()
        if self.cursor.peek.text not in ("+", "-"):
            return number
        self.cursor.accept("+")
        return complex(number, self.signed())

    def signed(self) -> int | float:
        """A real number, or the imaginary part of a complex one without its `j`."""
        sign = -1 if self.cursor.accept("-") else 1
        token = self.cursor.next()
        text = token.text.removesuffix("j")
        if text not in ("inf", "nan") and token.kind != "number":
            raise self.cursor.error("expected a number", token)
        return sign * (int(text) if text.isdigit() else float(text))

    def named(self) -> Any:
        token = self.cursor.peek
        if token.text in _NAMED:
            return _NAMED[self.cursor.next().text]
        found = dtype_of_name(token.text) or getattr(builtins, token.text, None)
        if found is None or (isinstance(found, type) and not issubclass(found, BaseException)):
            return self.types.type()
        self.cursor.next()
        return found

    def sequence(self, close: str) -> list[Any]:
        self.cursor.next()
        return self.cursor.list_until(close, self.literal)

    def parenthesis(self) -> Any:
        return tuple(self.sequence(")"))

    def mapping(self) -> dict[Any, Any]:
        self.cursor.next()
        return dict(self.cursor.list_until("}", self.entry))

    def entry(self) -> tuple[Any, Any]:
        key = self.literal()
        self.cursor.expect(":")
        return key, self.literal()


_NAMED = {"None": None, "True": True, "False": False}
_CONTAINERS: dict[str, Callable[[_GraphParser], Any]] = {
    "[": lambda p: p.sequence("]"),
    "(": lambda p: p.parenthesis(),
    "{": lambda p: p.mapping(),
}


def _typed(value: Any, type_: T.Type) -> Any:
    """A constant in the type that the text gives it: TorchScript prints True as 1."""
    if type_ == T.BOOL and isinstance(value, int):
        return bool(value)
    if type_ == T.FLOAT and isinstance(value, int):
        return float(value)
    return value

