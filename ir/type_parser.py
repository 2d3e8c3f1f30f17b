"""Types in text: in TorchScript's spelling (`ir.printer`) and as Python annotates them.

    Tensor   Float(2, *, s0, strides=[6, *, 1], requires_grad=0, device=cpu)   Float(...)   Float()
    int[]  List[int]      Tensor?  Optional[Tensor]      (int, str)  Tuple[int, str]
    Dict(str, int)  Dict[str, int]      Union(float, int)  Union[float, int]      Future[int]

A size is an integer, `*` (unknown) or an expression over symbols: `2*s0 + 1`, `max(s0, 4)`,
`((s0) // (2))`. Other names are classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ir import dtypes
from ir import types as T
from ir.dims import MINIMUM, Dim, Facts, Sym, size_max, size_min
from ir.dtypes import DType
from ir.errors import ParseError
from ir.lexer import Text, Token

Item = TypeVar("Item")

_DTYPES = {name: dtype for dtype, name in T.TENSOR_NAMES.items()}
_SCALARS = {
    t.name: t for t in (
        T.INT, T.FLOAT, T.BOOL, T.COMPLEX, T.NUMBER, T.STR, T.NONE, T.DEVICE, T.DTYPE, T.LAYOUT,
        T.MEMORY_FORMAT, T.GENERATOR, T.ANY, T.RANGE)
} | {"None": T.NONE, "number": T.NUMBER, "Layout": T.LAYOUT, "MemoryFormat": T.MEMORY_FORMAT}


def dtype_of_name(name: str) -> DType | None:
    """The dtype that attributes spell `torch.float32`."""
    head, _, rest = name.partition(".")
    known = {d.name: d for d in dtypes.ALL}
    return known.get(rest) if head == "torch" else None


class Cursor:
    """The tokens of a text, one ahead."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._tokens: Iterator[Token] = text.tokens()
        self.peek = next(self._tokens)

    def next(self) -> Token:
        """Take one token."""
        token = self.peek
        if token.kind != "end":
            self.peek = next(self._tokens)
        return token

    def accept(self, text: str) -> bool:
        """Take the next token if it is `text`."""
        if self.peek.text != text:
            return False
        self.next()
        return True

    def expect(self, text: str) -> Token:
        """Take the next token, which must be `text`."""
        if self.peek.text != text:
            raise self.error(f"expected '{text}'", self.peek)
        return self.next()

    def expect_kind(self, kind: str, what: str) -> Token:
        """Take the next token, which must be of a kind."""
        if self.peek.kind != kind:
            raise self.error(f"expected {what}", self.peek)
        return self.next()

    def list_until(self, close: str, item: Callable[[], Item]) -> list[Item]:
        """Items separated by commas, and the closing mark; a comma may stand behind the last."""
        items: list[Item] = []
        while not self.accept(close):
            items.append(item())
            if not self.accept(","):
                self.expect(close)
                break
        return items

    def error(self, message: str, token: Token) -> ParseError:
        """An error at a token, saying what was found."""
        found = f", found '{token.text}'" if message.startswith("expected") and token.text else ""
        return self._text.error(message + found, token)


class TypeParser:
    """Reads types; all symbols belong to `facts`."""

    def __init__(self, cursor: Cursor, hints: Mapping[str, int]) -> None:
        self.cursor = cursor
        self.hints = hints
        self.facts = Facts()

    def type(self) -> T.Type:
        """One type with its suffixes."""
        result = self._base()
        while self.cursor.peek.text in ("?", "["):
            if self.cursor.accept("?"):
                result = T.OptionalType(result)
            else:
                self.cursor.expect("[")
                self.cursor.expect("]")
                result = T.ListType(result)
        return result

    def _base(self) -> T.Type:
        if self.cursor.accept("("):
            return T.TupleType(tuple(self.cursor.list_until(")", self.type)))
        token = self.cursor.expect_kind("name", "a type")
        if token.text in _DTYPES or token.text == "Tensor":
            return self._tensor(_DTYPES.get(token.text))
        if token.text in _GENERIC:
            return self._generic(token)
        return _SCALARS.get(token.text) or T.ObjectType(token.text)

    def _generic(self, token: Token) -> T.Type:
        close = {"[": "]", "(": ")"}.get(self.cursor.next().text)
        if close is None:
            raise self.cursor.error("expected the types of the elements of", token)
        if token.text == "Tuple" and self.cursor.accept("("):  # Tuple[()]
            self.cursor.expect(")")
            self.cursor.expect(close)
            return T.TupleType(())
        elements = self.cursor.list_until(close, self.type)
        count = _ARITY.get(token.text, len(elements))
        if len(elements) != count:
            raise self.cursor.error(f"{token.text} takes {count} types, not {len(elements)}", token)
        return _GENERIC[token.text](*elements)

    # tensors ----------------------------------------------------------------------------------

    def _tensor(self, dtype: DType | None) -> T.TensorType:
        if not self.cursor.accept("("):
            return T.TensorType(dtype)
        dims: list[Dim | None] | None = []
        facts: dict[str, Any] = {}
        while not self.cursor.accept(")"):
            if self.cursor.accept("..."):
                dims = None
            elif self.cursor.peek.text in _FACTS:
                name = self.cursor.next().text
                self.cursor.expect("=")
                facts[name] = _FACTS[name](self)
            elif dims is not None:
                dims.append(self.dim())
            if self.cursor.peek.text != ")":
                self.cursor.expect(",")
        if dims == []:
            facts["strides"] = ()
        return T.TensorType(dtype, None if dims is None else tuple(dims), **facts)

    def strides(self) -> tuple[Dim | None, ...]:
        """`[3, *, 1]`"""
        self.cursor.expect("[")
        return tuple(self.cursor.list_until("]", self.dim))

    def flag(self) -> bool:
        """`0` or `1`"""
        return self.cursor.expect_kind("number", "0 or 1").text == "1"

    def device(self) -> str:
        """`cpu`, `cuda:0`"""
        name = self.cursor.expect_kind("name", "a device").text
        return f"{name}:{self.cursor.next().text}" if self.cursor.accept(":") else name

    # sizes ------------------------------------------------------------------------------------

    def dim(self) -> Dim | None:
        """A size, None for `*`."""
        return None if self.cursor.accept("*") else self._sum()

    def _sum(self) -> Dim:
        result = -self._product() if self.cursor.accept("-") else self._product()
        while self.cursor.peek.text in ("+", "-"):
            sign = 1 if self.cursor.next().text == "+" else -1
            result = result + self._product() * sign
        return result

    def _product(self) -> Dim:
        result = self._factor()
        while self.cursor.peek.text in ("*", "//", "%"):
            operator = self.cursor.next().text
            other = self._factor()
            result = (result * other if operator == "*"
                      else result // other if operator == "//" else result % other)
        return result

    def _factor(self) -> Dim:
        if self.cursor.accept("("):
            result = self._sum()
            self.cursor.expect(")")
            return result
        token = self.cursor.next()
        if token.kind == "number":
            return int(token.text)
        if token.text in ("max", "min"):
            self.cursor.expect("(")
            left, right = self.cursor.list_until(")", self._sum)
            return (size_max if token.text == "max" else size_min)(left, right)
        return self._symbol(token)

    def _symbol(self, token: Token) -> Dim:
        if token.text[:1] != "s" or not token.text[1:].isdigit():
            raise self.cursor.error("expected a size", token)
        while len(self.facts.symbols) <= int(token.text[1:]):
            name = f"s{len(self.facts.symbols)}"
            self.facts.symbol(self.hints.get(name, MINIMUM + 5 + len(self.facts.symbols)))
        return Sym({(self.facts.symbols[int(token.text[1:])],): 1}, self.facts)


_FACTS: dict[str, Callable[[TypeParser], Any]] = {
    "strides": TypeParser.strides,
    "requires_grad": TypeParser.flag,
    "device": TypeParser.device,
}
_ARITY = {"List": 1, "Set": 1, "Optional": 1, "Future": 1, "Dict": 2}
_GENERIC: dict[str, Callable[..., T.Type]] = {
    "List": T.ListType,
    "Set": T.SetType,
    "Optional": T.OptionalType,
    "Future": T.FutureType,
    "Dict": T.DictType,
    "Tuple": lambda *elements: T.TupleType(elements),
    "Union": lambda *members: T.UnionType(members),
}
