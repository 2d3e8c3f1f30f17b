"""`defaultdict`s of numbers and texts as dicts, which archives have; reading puts a key in.

    d = defaultdict(int)              d : Dict[str, int] = {}
    n = d["a"]               ==>      if "a" not in d:
                                          d["a"] = 0
                                      n = d["a"]

The type of the keys is that of the first one that the code uses. Outside of the graph it is a dict.
"""

from __future__ import annotations

from typing import Any

from ir import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    STR,
    Builder,
    CompileError,
    DictType,
    Graph,
    Node,
    Type,
    Value,
)
from jit.archive.retype import lower_operator
from jit.script.library import LIBRARY, library_name

_NAME = "collections:defaultdict"
_DEFAULTS: dict[Any, tuple[Type, Any]] = {
    int: (INT, 0), float: (FLOAT, 0.0), str: (STR, ""), bool: (BOOL, False),
}  # fmt: skip
_READS = ("aten::__getitem__", "operator_getitem")
_WITH_KEYS = ("operator_getitem", "operator_setitem", "operator_contains", "operator_delitem")


def lower_default_dicts(graph: Graph) -> None:
    """Change a graph in place; CompileError for one whose missing items are something else."""
    for node in list(graph.walk()):
        if _is_call(node, "call_named") and _known(node.inputs[0]) == _NAME:
            _lower(node)


def _lower(made: Node) -> None:
    factory = _known(made.inputs[2]) if len(made.inputs) == 3 else None
    if factory not in _DEFAULTS:
        raise CompileError(
            f"Could not export a defaultdict of {getattr(factory, '__name__', factory)!r}: in "
            "archives what is missing is an int, a float, a bool or a text; use a dict, and "
            "`if key not in d: d[key] = ...`",
            made.span,
        )
    element, default = _DEFAULTS[factory]
    _drop_casts(made.output)
    type_ = made.output.type
    if not isinstance(type_, DictType):
        type_ = DictType(_key_type(made), element)
    items = Builder.before(made).node("prim::DictConstruct", [], [type_]).output
    items.name = made.output.name
    uses = list(made.output.uses)
    made.output.replace_all_uses_with(items)
    given = list(made.inputs)
    made.erase()
    for value in given:  # archives have no classes as values
        if value.node is not None and not value.uses:
            value.node.erase()
    for user, position in uses:
        if position == 0 and (user.name in _READS or _library(user) in _READS):
            _put_in(user, default)
        lower_typed(user)


def _drop_casts(value: Value) -> None:
    """A declared type is that of the dict."""
    for user, _ in list(value.uses):
        if user.name == "prim::unchecked_cast":
            value.type = user.output.type
            user.output.replace_all_uses_with(value)
            user.erase()


def _key_type(made: Node) -> Type:
    keys = [u.inputs[1].type for u, i in made.output.uses if i == 0 and _library(u) in _WITH_KEYS]
    if not keys or keys[0] == ANY:
        raise CompileError(
            "Could not export a defaultdict whose keys have no known type: annotate it, as in "
            "`d: dict[str, int] = defaultdict(int)`",
            made.span,
        )
    return keys[0]


def _put_in(read: Node, default: Any) -> None:
    """Put the default in front of reading a key that is not there."""
    items, key = read.inputs
    builder = Builder.before(read)
    missing = builder.op("aten::__not__", builder.op("aten::__contains__", items, key))
    test = builder.node("prim::If", [missing])
    inside = Builder(test.add_block(), read.span)
    inside.op("aten::_set_item", items, key, inside.const(default))
    test.add_block()


def lower_typed(node: Node) -> None:
    """Let a callback into Python be the operator of its types, and what takes its result, too."""
    name = _library(node)
    if name is None:
        return
    users = [user for output in node.outputs for user, _ in output.uses]
    if lower_operator(node, name):
        for user in users:
            lower_typed(user)


def _library(node: Node) -> str | None:
    return library_name(node.attrs["function"]) if node.name == "prim::PythonOp" else None


def _is_call(node: Node, name: str) -> bool:
    return node.name == "prim::PythonOp" and node.attrs.get("function") is LIBRARY[name]


def _known(value: Value) -> Any:
    return value.node.attrs.get("value") if value.node is not None else None
