"""Results of types that archives do not have: there a method returns a list where eager gives a
size or a tuple of any length, and an int where it gives a dtype. A member of the archive, which
torch does not read, says where, so that a loaded method gives what eager does.

    relume/results.json     {"forward": ["size", null]}       (Size, Tensor)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ir import (
    DTYPE,
    INT,
    SIZE,
    Builder,
    ClassDef,
    CompileError,
    Graph,
    ListType,
    Program,
    SequenceType,
    TupleType,
    Type,
    Value,
    dtypes,
    to_torch,
)
from jit.script.library import as_size, library

MEMBER = "relume/results.json"
MAX_BYTES = 1 << 20
Kind = str | list["Kind"] | None  # what a value is; of a tuple, what its elements are


@library
def dtype_of(code: Any) -> Any:
    """A dtype by its number in archives; a dtype itself, as callers may pass one for an int."""
    return to_torch(dtypes.by_code(code), DTYPE) if isinstance(code, int) else code


def results_of(
    definition: ClassDef, program: Program, declared: Mapping[Graph, list[Type]]
) -> dict[str, Kind]:
    """What the methods of the top module return. Methods that the code itself calls are left out:
    their callers take what archives have.
    """
    nodes = (node for method in program.methods() for node in method.graph.walk())
    called = {node.attrs["name"] for node in nodes if node.name == "prim::CallMethod"}
    found: dict[str, Kind] = {}
    for name, method in definition.methods.items():
        types = declared.get(method.graph, [])
        kind = _kind(types[0]) if len(types) == 1 and name not in called else None
        if kind is not None:
            found[name] = kind
    return found


def _kind(type_: Type) -> Kind:
    match type_:
        case SequenceType(is_size=is_size):
            return "size" if is_size else "tuple"
        case TupleType(elements=elements):
            kinds = list(map(_kind, elements))
            return kinds if any(kinds) else None
    return "dtype" if type_ == DTYPE else None


def restore_results(definition: ClassDef, member: bytes) -> None:
    """Let methods of the top module return what `MEMBER` says; CompileError when it says what
    cannot be.
    """
    try:
        kinds = json.loads(member) if len(member) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        kinds = None
    if not isinstance(kinds, dict):
        raise CompileError(f"{MEMBER} is damaged")
    for name, kind in kinds.items():
        if name not in definition.methods:
            raise CompileError(f"{MEMBER}: there is no method {name!r}")
        graph = definition.methods[name].graph
        (result,) = graph.returns
        graph.block.set_returns([_restored(Builder(graph.block), result, kind)])


def _restored(builder: Builder, value: Value, kind: Any) -> Value:
    type_ = value.type
    match kind:
        case None:
            return value
        case "size" if type_ == ListType(INT):
            return _call(builder, as_size, value, SIZE)
        case "tuple" if isinstance(type_, ListType):
            return _call(builder, tuple, value, SequenceType(type_.element))
        case "dtype" if type_ == INT:
            return _call(builder, dtype_of, value, DTYPE)
        case list() if isinstance(type_, TupleType) and len(kind) == len(type_.elements):
            parts = builder.node("prim::TupleUnpack", [value], type_.elements).outputs
            made = [_restored(builder, p, k) for p, k in zip(parts, kind, strict=True)]
            return builder.tuple_(made, replace(type_, elements=tuple(v.type for v in made)))
    raise CompileError(f"{MEMBER}: a {type_} is no {str(kind)[:100]}")


def _call(builder: Builder, function: Callable[..., Any], value: Value, type_: Type) -> Value:
    attrs = {"function": function, "name": function.__name__}
    return builder.node("prim::PythonOp", [value], [type_], attrs).output
