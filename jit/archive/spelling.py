"""How archives spell types, constants and identifiers.

What has no literal (tensors, objects, text outside ASCII) lives in the constants table and is
written as `CONSTANTS.cN`.
"""

from __future__ import annotations

import enum
import keyword
import math
import re
from collections.abc import Iterable
from typing import Any

from ir import (
    ANY,
    DEVICE,
    DTYPE,
    FLOAT,
    LAYOUT,
    MEMORY_FORMAT,
    NUMBER,
    RANGE,
    ClassDef,
    DictType,
    DType,
    FutureType,
    ListType,
    ObjectType,
    OptionalType,
    Prim,
    SetType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    class_of,
)

_RESERVED = frozenset(
    (
        *("_", "as", "aten", "attribute", "CONSTANTS", "fork", "getattr", "ops", "__torch__"),
        *("inf", "nan", "infj", "nanj", "uninitialized", "unchecked_cast", "annotate", "torch"),
        *("isinstance", "int", "float", "bool", "str", "print", "sorted", "range"),
    )
)
_PRIMS: dict[Type, str] = {
    NUMBER: "number",
    DTYPE: "int",
    LAYOUT: "int",
    MEMORY_FORMAT: "int",
    RANGE: "List[int]",
}
_WHOLE = 1e10
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# names --------------------------------------------------------------------------------------------
def is_identifier(name: str) -> bool:
    """Whether archives may write a name as it is: ASCII, no keyword of Python."""
    return _IDENTIFIER.fullmatch(name) is not None and not keyword.iskeyword(name)


def is_reserved(name: str) -> bool:
    """Whether a name means something in the dialect, so that no variable may have it."""
    return name in _RESERVED or keyword.iskeyword(name)


def as_identifier(name: str) -> str:
    """A name with everything replaced that archives cannot write."""
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{cleaned}" if not cleaned or cleaned[0].isdigit() else cleaned


# types --------------------------------------------------------------------------------------------
def annotation(type_: Type) -> str:
    """A type as archives annotate it: `Optional[List[Tensor]]`, `__torch__.package.Class`."""
    match type_:
        case TensorType():
            return "Tensor"
        case Prim(name=name):
            return _PRIMS.get(type_, name)
        case ListType(element=element):
            return f"List[{annotation(element)}]"
        case DictType(key=key, value=value):
            return f"Dict[{annotation(key)}, {annotation(value)}]"
        case TupleType(elements=elements, name=None):
            return f"Tuple[{', '.join(map(annotation, elements)) or '()'}]"
        case TupleType(name=str(name)) | ObjectType(name=name):
            return name
        case OptionalType(element=element):
            return f"Optional[{annotation(element)}]"
        case UnionType(members=members):
            return f"Union[{', '.join(sorted(map(annotation, members)))}]"
        case FutureType(element=element):
            return f"Future[{annotation(element)}]"
        case SetType():
            raise TypeError(f"archives have no type for {type_}")
    raise TypeError(f"archives have no type for {type_}")


def is_written(type_: Type) -> bool:
    """Whether archives have a type."""
    try:
        annotation(type_)
    except TypeError:
        return False
    return True


def is_inferred(type_: Type) -> bool:
    """Whether a reader finds an element type from the elements; otherwise the container is
    annotated.
    """
    definition = class_of(type_)
    is_open = definition is not None and definition.is_interface
    is_open = is_open or isinstance(type_, OptionalType | UnionType)
    return not is_open and type_ not in (ANY, NUMBER)


# constants ----------------------------------------------------------------------------------------
class Constants:
    """The constants table of one archive: values without a literal, each once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.types: list[Type] = []
        self._known: dict[object, int] = {}

    def reference(self, value: Any, type_: Type) -> str:
        """How code refers to a value of the table, which it joins if it is new."""
        key = value if isinstance(value, str) else id(value)
        found = self._known.setdefault(key, len(self.values))
        if found == len(self.values):
            self.values.append(value)
            self.types.append(type_)
        return f"CONSTANTS.c{found}"


def quoted(text: str) -> str:
    """A string literal; only for ASCII."""
    return f'"{"".join(_ESCAPES.get(char, char) for char in text)}"'


_ESCAPES = {chr(code): f"\\{code:03o}" for code in (*range(32), 127)}
_ESCAPES |= dict(zip("\\\"'\a\b\f\n\t\v", (f"\\{char}" for char in "\\\"'abfntv"), strict=True))


def float_literal(value: float) -> str:
    """17 significant digits, which tell any two floats apart; `1.` for whole numbers."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value.is_integer() and abs(value) < _WHOLE:
        return f"{value:.0f}."
    return f"{value:.17g}"


def _complex_literal(value: complex) -> str:
    imaginary = float_literal(value.imag)
    return f"{float_literal(value.real)}{'' if imaginary[0] == '-' else '+'}{imaginary}j"


def literal(value: Any, type_: Type, constants: Constants) -> str:
    """A constant of a type as source text."""
    if isinstance(type_, OptionalType) and value is not None:
        return literal(value, type_.element, constants)
    match value:
        case None:
            return "None"
        case bool():
            return str(value)
        case DType():
            return str(value.code)
        case enum.Enum():
            return f"{annotation(type_)}.{value.name}"
        case int():
            return float_literal(float(value)) if type_ == FLOAT else _int_literal(value)
        case float():
            return float_literal(value)
        case complex():
            return _complex_literal(value)
        case str() if type_ == DEVICE:
            return f"torch.device({quoted(value)})"
        case str() if value.isascii():
            return quoted(value)
        case list() if isinstance(type_, ListType):
            return _list_literal(value, type_, constants)
        case dict() if isinstance(type_, DictType):
            return _dict_literal(value, type_, constants)
        case tuple() if isinstance(type_, TupleType):
            items = (literal(v, t, constants) for v, t in zip(value, type_.elements, strict=True))
            return f"{type_.name or ''}{tuple_text(items)}"
    return constants.reference(value, type_)


def _int_literal(value: int) -> str:
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"archives hold integers of 64 bits, not {value}")
    return str(value)


def _list_literal(value: list[Any], type_: ListType, constants: Constants) -> str:
    text = f"[{', '.join(literal(v, type_.element, constants) for v in value)}]"
    is_plain = value and is_inferred(type_.element)
    return text if is_plain else f"annotate({annotation(type_)}, {text})"


def _dict_literal(value: dict[Any, Any], type_: DictType, constants: Constants) -> str:
    pairs = (
        f"{literal(k, type_.key, constants)}: {literal(v, type_.value, constants)}"
        for k, v in value.items()
    )
    text = f"{{{', '.join(pairs)}}}"
    is_plain = value and is_inferred(type_.value)
    return text if is_plain else f"annotate({annotation(type_)}, {text})"


def tuple_text(items: Iterable[str]) -> str:
    """A tuple display."""
    parts = list(items)
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def class_at(type_: Type) -> ClassDef | None:
    """The class that a type names, None for other types."""
    if isinstance(type_, TupleType):
        return type_.cls if isinstance(type_.cls, ClassDef) else None
    return class_of(type_)
