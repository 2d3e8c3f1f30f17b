"""Types in the code and the type tags of an archive: `Dict[str, List[Tensor]]`,
`Optional[__torch__.Class]`."""

from __future__ import annotations

import ast
from collections.abc import Callable

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    GENERATOR,
    INT,
    NONE,
    NUMBER,
    STR,
    TENSOR,
    DictType,
    FutureType,
    ListType,
    ParseError,
    SetType,
    TupleType,
    Type,
    UnionType,
    optional,
)
from jit.archive.source.files import spelled

ClassType = Callable[[str], Type]
MAX_TAG = 1 << 16

_NAMES: dict[str, Type] = {
    "Tensor": TENSOR,
    "int": INT,
    "float": FLOAT,
    "bool": BOOL,
    "str": STR,
    "complex": COMPLEX,
    "number": NUMBER,
    "Scalar": NUMBER,
    "NoneType": NONE,
    "None": NONE,
    "Device": DEVICE,
    "Generator": GENERATOR,
    "Any": ANY,
    "t": ANY,
    "AnyEnumType": ANY,
    "Capsule": ANY,
    "Stream": ANY,
    "QScheme": INT,
    "Layout": INT,
    "MemoryFormat": INT,
    "ScalarType": INT,
    "Dimname": STR,
}
_ARITY = {
    "List": 1,
    "Set": 1,
    "Optional": 1,
    "Future": 1,
    "Await": 1,
    "RRef": 1,
    "Final": 1,
    "Dict": 2,
}


def dotted(node: ast.expr) -> str | None:
    """`a.b.c` as text, None for another expression."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(spelled(node.attr))
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    names.append(spelled(node.id))
    return ".".join(reversed(names))


def read_type(node: ast.expr, class_type: ClassType) -> Type:
    """The type of an annotation; ParseError, without a place, when it names none."""
    if isinstance(node, ast.Constant) and node.value is None:
        return NONE
    if isinstance(node, ast.Subscript):
        return _generic(node, class_type)
    name = dotted(node)
    if name is not None and name in _NAMES:
        return _NAMES[name]
    if name is not None and name.startswith("__torch__."):
        return class_type(name)
    if name is not None and name.startswith("torch."):
        return read_type(ast.Name(name.rpartition(".")[2]), class_type)
    raise ParseError(f"{ast.unparse(node)[:200]!r} is no type")


def _generic(node: ast.Subscript, class_type: ClassType) -> Type:
    name = dotted(node.value)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    types = [read_type(part, class_type) for part in inner]
    if name is None or (_ARITY.get(name, len(types)) != len(types)):
        raise ParseError(f"{ast.unparse(node)[:200]!r} is no type")
    match name:
        case "List":
            return ListType(types[0])
        case "Set":
            return SetType(types[0])
        case "Dict":
            return DictType(types[0], types[1])
        case "Tuple":
            return TupleType(tuple(types))
        case "Optional":
            return optional(types[0])
        case "Union":
            return union(types)
        case "Future" | "Await":
            return FutureType(types[0])
        case "Final":
            return types[0]
    raise ParseError(f"{ast.unparse(node)[:200]!r} is no type")


def union(types: list[Type]) -> Type:
    """The type that holds any of these: Optional when None is among them."""
    some = tuple(dict.fromkeys(t for t in types if t != NONE))
    core = NONE if not some else some[0] if len(some) == 1 else UnionType(some)
    return optional(core) if NONE in types else core


def read_tag(text: str, class_type: ClassType) -> Type:
    """The type of a container's tag in a pickle."""
    if len(text) > MAX_TAG:
        raise ParseError("a type tag is too long")
    try:
        return read_type(ast.parse(text, mode="eval").body, class_type)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ParseError(f"{text[:200]!r} is no type") from None
