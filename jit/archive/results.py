"""Results and parameters of types that archives do not have: there a method returns a list where
eager gives a size or a tuple of any length, an int where it gives a dtype, and a dict where it
gives or takes a set. Members of the archive, which torch does not read, say where, so that a loaded
method gives and takes what eager does.

    relume/results.json         {"forward": ["size", null]}       (Size, Tensor)
    relume/parameters.json      {"forward": {"names": "set"}}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ir import (
    BOOL,
    DTYPE,
    INT,
    NONE,
    SIZE,
    Builder,
    ClassDef,
    CompileError,
    DictType,
    Graph,
    ListType,
    Method,
    Program,
    SequenceType,
    SetType,
    TupleType,
    Type,
    Value,
    class_of,
    dtypes,
    replace,
    to_torch,
)
from jit.script.library import LIBRARY, as_size, library

MEMBER = "relume/results.json"
PARAMETERS = "relume/parameters.json"
MAX_BYTES = 1 << 20
Kind = str | list["Kind"] | dict[str, "Kind"] | None  # of a tuple, what its elements are; of a list


@library
def dtype_of(code: Any) -> Any:
    """A dtype by its number in archives; a dtype itself, as callers may pass one for an int."""
    return to_torch(dtypes.by_code(code), DTYPE) if isinstance(code, int) else code


@library
def members_of(items: Any) -> Any:
    """A set as archives have it; a dict itself, as callers may pass one."""
    return dict.fromkeys(items, True) if isinstance(items, set | frozenset) else items


@library
def set_of(items: dict[Any, bool]) -> set[Any]:
    """The set that archives have as a dict."""
    return set(items)


@library
def size_items(items: list[Any]) -> list[Any]:
    """Each of a list's items as a size."""
    return [as_size(item) for item in items]


@library
def tuple_items(items: list[Any]) -> list[Any]:
    """Each of a list's items as a tuple."""
    return [tuple(item) for item in items]


@library
def put_back(items: Any, members: dict[Any, bool]) -> None:
    """What code did to the dict of a set that it was given, done to the set."""
    if items is not members and items != members.keys():
        items.clear()
        items.update(members)


def results_of(
    definition: ClassDef, program: Program, declared: Mapping[Graph, list[Type]]
) -> dict[str, Kind]:
    """What the methods of the top module return. Methods that the code itself calls are left out:
    their callers take what archives have.
    """
    found: dict[str, Kind] = {}
    for name, method in _called_from_outside(definition, program):
        types = declared.get(method.graph, [])
        kind = _kind(types[0]) if len(types) == 1 else None
        if kind is not None:
            found[name] = kind
    return found


def parameters_of(
    definition: ClassDef, program: Program, declared: Mapping[Graph, Mapping[str, Type]]
) -> dict[str, dict[str, str]]:
    """The parameters of these methods that are sets."""
    found: dict[str, dict[str, str]] = {}
    for name, method in _called_from_outside(definition, program):
        types = declared.get(method.graph, {})
        sets = {param: "set" for param, type_ in types.items() if isinstance(type_, SetType)}
        if sets:
            found[name] = sets
    return found


def _called_from_outside(definition: ClassDef, program: Program) -> Iterator[tuple[str, Method]]:
    nodes = (node for method in program.methods() for node in method.graph.walk())
    calls = (n for n in nodes if n.name == "prim::CallMethod" or "method" in n.attrs)
    own = (n for n in calls if class_of(n.inputs[0].type) is definition)
    called = {n.attrs.get("method") or n.attrs["name"] for n in own}
    return ((n, m) for n, m in definition.methods.items() if n not in called)


def _kind(type_: Type) -> Kind:
    match type_:
        case SetType():
            return "set"
        case SequenceType(is_size=is_size):
            return "size" if is_size else "tuple"
        case TupleType(elements=elements):
            kinds = list(map(_kind, elements))
            return kinds if any(kinds) else None
        case ListType(element=element):
            kind = _kind(element)
            return None if kind is None else {"items": kind}
    return "dtype" if type_ == DTYPE else None


def restore_results(definition: ClassDef, member: bytes) -> None:
    """Let methods of the top module return what `MEMBER` says; CompileError when it says what
    cannot be.
    """
    for graph, kind in _methods_in(definition, MEMBER, member):
        (result,) = graph.returns
        span = result.node.span if result.node is not None else None
        graph.block.set_returns([_restored(Builder(graph.block, span), result, kind)])


def restore_parameters(definition: ClassDef, member: bytes) -> None:
    """Let them take what `PARAMETERS` says."""
    for graph, kinds in _methods_in(definition, PARAMETERS, member):
        params = {param.name: param for param in graph.block.params}
        for name, kind in kinds.items() if isinstance(kinds, dict) else ():
            param = params.get(name)
            if kind != "set" or param is None or not _is_set(param.type):
                raise CompileError(f"{PARAMETERS}: {str(name)[:100]!r} is no set")
            _take_set(graph, param)


def _methods_in(definition: ClassDef, where: str, member: bytes) -> Iterator[tuple[Graph, Any]]:
    """What a member says, by the graph of the method of which it says it."""
    try:
        kinds = json.loads(member) if len(member) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        kinds = None
    if not isinstance(kinds, dict):
        raise CompileError(f"{where} is damaged")
    for name, kind in kinds.items():
        if name not in definition.methods:
            raise CompileError(f"{where}: there is no method {name!r}")
        yield definition.methods[name].graph, kind


def _is_set(type_: Type) -> bool:
    return isinstance(type_, DictType) and type_.value == BOOL


def _take_set(graph: Graph, param: Value) -> None:
    """Let a parameter be a set; what the code does to it is done to the caller's."""
    assert isinstance(param.type, DictType)
    block = graph.block  # which is read now, if it was not: then the parameter has uses
    users = list(param.uses)
    builder = Builder.before(block.nodes[0]) if block.nodes else Builder(block)
    members = _call(builder, members_of, [param], param.type)
    for user, position in users:
        user.replace(position, members)
    param.type = SetType(param.type.key)
    _call(Builder(graph.block), put_back, [param, members])


def _restored(builder: Builder, value: Value, kind: Any) -> Value:
    type_ = value.type
    match kind:
        case None:
            return value
        case "size" if type_ == ListType(INT):
            return _call(builder, as_size, [value], SIZE)
        case "tuple" if isinstance(type_, ListType):
            return _call(builder, tuple, [value], SequenceType(type_.element))
        case "dtype" if type_ == INT:
            return _call(builder, dtype_of, [value], DTYPE)
        case "set" if isinstance(type_, DictType) and _is_set(type_):
            return _call(builder, set_of, [value], SetType(type_.key))
        case {"items": "size" | "tuple" as each} if _holds_lists(type_):
            result = SIZE if each == "size" else SequenceType(type_.element.element)  # type: ignore[attr-defined]
            return _call(builder, LIBRARY[f"{each}_items"], [value], ListType(result))
        case list() if isinstance(type_, TupleType) and len(kind) == len(type_.elements):
            parts = builder.node("prim::TupleUnpack", [value], type_.elements).outputs
            made = [_restored(builder, p, k) for p, k in zip(parts, kind, strict=True)]
            return builder.tuple_(made, replace(type_, elements=tuple(v.type for v in made)))
    raise CompileError(f"{MEMBER}: a {type_} is no {str(kind)[:100]}")


def _holds_lists(type_: Type) -> bool:
    return isinstance(type_, ListType) and isinstance(type_.element, ListType)


def _call(
    builder: Builder, function: Callable[..., Any], values: list[Value], type_: Type = NONE
) -> Value:
    attrs = {"function": function, "name": function.__name__}
    return builder.node("prim::PythonOp", values, [type_], attrs).output
