"""Operator schemas in ATen's grammar: `aten::add.Tensor(Tensor self, Tensor other, *, Scalar
alpha=1) -> Tensor`.

A parameter type may be followed by an alias mark, `(a)` (the result may share its storage) or
`(a!)` (it is written to), `?` (optional), `[]` or `[2]` (list; a fixed count also accepts one
scalar, broadcast).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any

from ir import types as T
from ir.errors import ParseError
from ir.records import record

_SCALAR_TYPES: dict[str, T.Type] = {
    "Tensor": T.TENSOR,
    "int": T.INT,
    "SymInt": T.INT,
    "float": T.FLOAT,
    "bool": T.BOOL,
    "complex": T.COMPLEX,
    "Scalar": T.NUMBER,
    "number": T.NUMBER,
    "str": T.STR,
    "NoneType": T.NONE,
    "Device": T.DEVICE,
    "ScalarType": T.DTYPE,
    "Layout": T.LAYOUT,
    "MemoryFormat": T.MEMORY_FORMAT,
    "Generator": T.GENERATOR,
    "Any": T.ANY,
    "AnyEnumType": T.ENUM,
    "SymBool": T.BOOL,
    "SymFloat": T.FLOAT,
}
_TYPE_VARIABLES = ("t", "t1", "t2", "tVal")
NO_DEFAULT = object()


@record
class Argument:
    """One parameter or result of a schema. `alias` is its alias set's name, `is_written` whether
    the op mutates it."""

    name: str
    type: T.Type
    default: Any = NO_DEFAULT
    kwarg_only: bool = False
    alias: str | None = None
    is_written: bool = False
    count: int | None = None  # of a list that also takes one scalar

    @property
    def has_default(self) -> bool:
        return self.default is not NO_DEFAULT


@record(slots=False)
class Schema:
    """A schema; `text` is its source. Parameters and results are parsed on first use, so that
    declaring hundreds of rows costs little."""

    name: str  # with namespace: aten::add
    overload: str
    text: str

    def __str__(self) -> str:
        return self.text

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """The parameters in order."""
        params, _, _ = self.text.partition("(")[2].rpartition(_ARROW)
        return tuple(_parse_params(params))

    @cached_property
    def returns(self) -> tuple[Argument, ...]:
        """The results in order."""
        return tuple(_parse_results(self.text.rpartition(_ARROW)[2]))

    @cached_property
    def result_types(self) -> tuple[T.Type, ...]:
        """The types of the results; a type variable as such."""
        return tuple(r.type for r in self.returns)

    @cached_property
    def is_vararg(self) -> bool:
        """Whether any number of inputs may follow the parameters: `(str self, ...)`."""
        return "...) ->" in self.text

    @property
    def qualified(self) -> str:
        """Name with overload: `aten::add.Tensor`."""
        return f"{self.name}.{self.overload}" if self.overload else self.name

    @cached_property
    def is_mutable(self) -> bool:
        return any(a.is_written for a in self.arguments)

    @cached_property
    def is_on_numbers(self) -> bool:
        """Whether no parameter is a tensor."""
        return not any(isinstance(a.type, T.TensorType) for a in self.arguments)

    @cached_property
    def returns_any(self) -> bool:
        """Whether nodes have any number of results: `-> ...`."""
        return self.text.endswith("-> ...")

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each parameter by name."""
        return {a.name: i for i, a in enumerate(self.arguments)}


_ARROW = ") -> "  # after the parameters
_PARAM = re.compile(
    r"""(?P<base>[\w.]+) (?P<marks>(?:\((?P<alias>[^)]*)\) | \? | \[\d*\])*)
        (?:\s+(?P<name>\w+))? (?:\s*=\s*(?P<default>.*))? $""",
    re.DOTALL | re.VERBOSE,
)


@cache
def parse_schema(text: str) -> Schema:
    """Parse one schema; the namespace defaults to `aten`. Raises ParseError with the text that
    does not fit."""
    schema = declared_schema(text)
    for part in (schema.arguments, schema.returns):
        assert isinstance(part, tuple)
    return schema


def declared_schema(text: str) -> Schema:
    """A schema whose parameters are parsed, and refused, on first use."""
    head, _, signature = text.partition("(")
    namespace, _, qualified = head.strip().rpartition("::")
    name, _, overload = qualified.partition(".")
    if not name.isidentifier() or _ARROW not in signature:
        raise ParseError(f"not an operator schema: {text!r}")
    return Schema(f"{namespace or 'aten'}::{name}", overload, text.strip())


def _parse_params(text: str) -> Iterator[Argument]:
    kwarg_only = False
    for item in _split(text):
        if item == "*":
            kwarg_only = True
        elif item != "...":
            yield _parse_param(item, kwarg_only)


def _parse_results(text: str) -> Iterator[Argument]:
    result = text.strip()
    items = _split(result[1:-1]) if result.startswith("(") and result.endswith(")") else [result]
    return (_parse_param(item, False) for item in items if item and item != "...")


@cache  # few parameters are those of one operator only
def _parse_param(text: str, kwarg_only: bool) -> Argument:
    type_, text = _parse_base(text)
    match = _PARAM.match(text)
    if match is None:
        raise ParseError(f"not a schema parameter: {text!r}")
    count: int | None = None
    for mark in re.findall(r"\([^)]*\)|\?|\[\d*\]", match["marks"]):
        if mark == "?":
            type_ = T.optional(type_)
        elif mark.startswith("["):
            type_ = T.ListType(type_)
            count = int(mark[1:-1]) if mark != "[]" else None
    alias = match["alias"]
    default = (
        NO_DEFAULT if match["default"] is None else _parse_default(match["default"].strip(), type_)
    )
    if count is not None and isinstance(default, int):  # `int[2] padding=0`
        default = (default,) * count
    return Argument(
        match["name"] or "",
        type_,
        default,
        kwarg_only,
        (alias and alias.split("!")[0].split("|")[0].strip()) or None,
        bool(alias and "!" in alias),
        count,
    )


_GENERIC = re.compile(r"(Dict|Future)?\(")


def _parse_base(text: str) -> tuple[T.Type, str]:
    """The type before any mark, and the text with `_` in its place: `Dict(str, t)(a!) self`,
    `(int, t)[] x`."""
    generic = _GENERIC.match(text)
    if generic is None:
        base = re.match(r"[\w.]+", text)
        name = base[0] if base else ""
        return _base_type(name), "_" + text[len(name) :]
    end = next(
        i
        for i in range(generic.end(), len(text))
        if text.count("(", 0, i + 1) == text.count(")", 0, i + 1)
    )
    inner = tuple(_parse_param(item, False).type for item in _split(text[generic.end() : end]))
    rest = "_" + text[end + 1 :]
    match generic[1], inner:
        case "Dict", (key, value):
            return T.DictType(key, value), rest
        case "Future", (element,):
            return T.FutureType(element), rest
    return T.TupleType(inner), rest


def _base_type(name: str) -> T.Type:
    if name in _TYPE_VARIABLES:
        return T.TypeVar(name)
    return _SCALAR_TYPES.get(name, T.ANY)


_NAMED_DEFAULTS: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "Mean": 1,
    "contiguous_format": 0,
    "long": 4,
    "strided": 0,
    "inf": float("inf"),
    "-inf": -float("inf"),
    "nan": float("nan"),
}


def _parse_default(text: str, type_: T.Type) -> Any:
    if text in _NAMED_DEFAULTS:
        return _NAMED_DEFAULTS[text]
    if text[:1] in "\"'":
        return ast.literal_eval(text)
    if text.startswith("["):
        return tuple(_parse_default(item, type_) for item in _split(text[1:-1]))
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text  # an enumerator that only torch knows


def _split(text: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    items, depth, quote, start = [], 0, "", 0
    for i, ch in enumerate(text):
        if quote:
            quote = "" if ch == quote else quote
        elif ch in "\"'":
            quote = ch
        elif ch in "([":
            depth += 1
        elif ch in ")]":
            depth -= 1
        elif ch == "," and depth == 0:
            items.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return [*items, last] if last else items
