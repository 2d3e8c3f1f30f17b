"""Sets in archives: dicts whose keys are the members.

    %s : Set(int) = prim::SetConstruct(%a)          %s : Dict(int, bool) = ...(%a, %true)
    %t = prim::PythonOp[operator_or](%s, %r)  ==>   %t = prim::CallFunction[union](%s, %r)
    %l = prim::PythonOp[list](%t)                   %l = aten::keys(%t)

Members come in the order in which they were put in, which for sets is not defined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir import (
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    STR,
    TENSOR,
    Builder,
    CompileError,
    DictType,
    Graph,
    Node,
    SetType,
    Type,
    Value,
)
from jit.archive.torchscript import sets as do
from jit.script.library import library_name

_MEMBERS = (INT, FLOAT, COMPLEX, STR, BOOL, TENSOR)

_METHODS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        do.union, do.intersection, do.difference, do.symmetric_difference, do.update,
        do.difference_update, do.intersection_update, do.add, do.discard, do.remove, do.pop,
        do.clear, do.copy, do.issubset, do.issuperset, do.isdisjoint,
    )
}  # fmt: skip
_OPERATORS: dict[str, Callable[..., Any]] = {
    "and": do.intersection, "or": do.union, "sub": do.difference, "xor": do.symmetric_difference,
    "iand": do.intersection, "ior": do.union, "isub": do.difference,
    "ixor": do.symmetric_difference, "eq": do.equal, "ne": do.unequal, "le": do.issubset,
    "ge": do.issuperset, "lt": do.less, "gt": do.greater,
}  # fmt: skip
_TESTS = {"bool": do.is_filled, "operator_truth": do.is_filled, "operator_not": do.is_empty}
_BOUNDARIES = ("members_of", "set_of", "put_back")  # of `jit.archive.results`
_OF_ITEMS = frozenset(("sum", "min", "max", "any", "all", "sorted_plain", "tuple", "extreme_by"))
_OF_DICTS = frozenset(("len", "operator_contains"))  # as for sets
_STORES = frozenset(("aten::append", "aten::insert", "aten::_set_item"))  # in lists and dicts
_IN_TURN = (do.union, do.intersection, do.difference)  # with several others
_TAKE_KEYS = (do.add, do.discard, do.remove)
FUNCTIONS = frozenset((*_METHODS.values(), *_OPERATORS.values(), *_TESTS.values(), do.members))


def member_type(type_: SetType) -> Type:
    """The type of a set's do.members, which must be one that dicts may have as keys."""
    if type_.element not in _MEMBERS:
        raise CompileError(
            f"Could not export a {type_}: sets are dicts in archives, whose keys are numbers, text "
            "or tensors"
        )
    return type_.element


def lower_sets(graph: Graph) -> None:
    """Change a graph in place; CompileError for what sets do and dicts cannot."""
    found = {v for v in graph.block.values() if isinstance(v.type, SetType)}
    if not found:
        return
    for value in found:
        assert isinstance(value.type, SetType)
        value.type = DictType(value.type.element, BOOL)
    for node in list(graph.walk()):
        if not found.isdisjoint((*node.inputs, *node.outputs)):
            _lower(node, found)


def _lower(node: Node, sets: set[Value]) -> None:
    if node.name == "prim::SetConstruct":
        true = Builder.before(node).const(True)
        pairs = [v for key in node.inputs for v in (key, true)]
        made = Builder.before(node).node("prim::DictConstruct", pairs, [node.output.type]).output
        sets.add(made)
        _replace(node, made)
    elif node.name == "prim::PythonOp":
        _lower_call(node, library_name(node.attrs["function"]) or node.attrs["name"], sets)
    elif node.name.startswith("aten::") and not _takes_dicts(node, sets):
        raise _refused(node, node.name.removeprefix("aten::"))


def _takes_dicts(node: Node, sets: set[Value]) -> bool:
    """Whether an operator has dicts where these sets are, as it does in code that was loaded."""
    if node.name in _STORES:
        return True
    pairs = zip(node.op.schema.arguments, node.inputs, strict=False)
    return all(isinstance(f.type, DictType) for f, value in pairs if value in sets)


def _lower_call(node: Node, name: str, sets: set[Value]) -> None:
    operator = name.removeprefix("operator_").strip("_")
    if name in ("set", "frozenset"):
        _call(node, do.copy if node.inputs[0] in sets else do.members, list(node.inputs))
    elif name == "list":
        _replace(node, _items(node, node.inputs[0]))
    elif name in _BOUNDARIES:
        node.output.replace_all_uses_with(node.inputs[0])
        node.erase()
    elif name in _TESTS:
        _call(node, _TESTS[name], list(node.inputs))
    elif name in _OF_ITEMS:
        node.set_inputs([_items(node, v) if v in sets else v for v in node.inputs])
    elif name == "call_method" and node.inputs[0] in sets:
        _lower_method(node, sets)
    elif operator in _OPERATORS and sets.issuperset(node.inputs):
        _call(node, _OPERATORS[operator], list(node.inputs))
    elif name not in _OF_DICTS or node.inputs[0] not in sets:
        raise _refused(node, name)


def _lower_method(node: Node, sets: set[Value]) -> None:
    owner, name, _, *args = node.inputs
    known = name.node.attrs.get("value") if name.node is not None else None
    function = _METHODS.get(str(known))
    while function in _IN_TURN and len(args) > 1:
        owner = _make(node, function, [owner, _as_set_of(node, args.pop(0), sets)], owner.type)
    if function is None or len(args) != function.__code__.co_argcount - 1:
        raise _refused(node, str(known))
    if function not in _TAKE_KEYS:
        args = [_as_set_of(node, v, sets) for v in args]
    _call(node, function, [owner, *args])


def _make(node: Node, function: Callable[..., Any], inputs: list[Value], type_: Type) -> Value:
    attrs = {"function": function, "name": function.__name__}
    return Builder.before(node).node("prim::PythonOp", inputs, [type_], attrs).output


def _as_set_of(node: Node, items: Value, sets: set[Value]) -> Value:
    """The dict of what another iterable gives."""
    if items in sets:
        return items
    element = getattr(items.type, "element", None)
    if element is None:
        raise _refused(node, f"an operation with a {items.type}")
    return _make(node, do.members, [items], DictType(element, BOOL))


def _items(node: Node, value: Value) -> Value:
    made: Value = Builder.before(node).op("aten::keys", value)
    return made


def _call(node: Node, function: Callable[..., Any], inputs: list[Value]) -> None:
    node.attrs = {"function": function, "name": function.__name__}
    node.set_inputs(inputs)


def _replace(node: Node, value: Value) -> None:
    node.output.replace_all_uses_with(value)
    node.erase()


def _refused(node: Node, what: str) -> CompileError:
    return CompileError(f"Could not export {what} of a set: archives have dicts instead", node.span)
