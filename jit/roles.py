"""What a parameter is for: a number that lanes and registers compute with, one that decides sizes,
or a list that native code works on.

A number stays in a register and any value is served by one plan; one that decides sizes (a dim, an
index bound, a count) becomes a constant of the plan, or a symbol when it varies. A list of numbers
that is counted, searched, changed or read at places that vary is taken as a whole, whatever its
length; any other list is as good as its items.
"""

from __future__ import annotations

from ir import (
    BOOL,
    FLOAT,
    INT,
    LISTS,
    Control,
    Graph,
    Join,
    ListType,
    Node,
    Pointwise,
    Scalar,
    TensorType,
    TupleType,
    Type,
    Value,
    View,
)
from jit.given import Role

# Take a number as it comes.
_NUMBERS = ("prim::Return", "prim::If", "prim::Loop", "prim::Print", "prim::RaiseException")
_BUILDERS = ("prim::TupleConstruct", "prim::TupleUnpack", "prim::ListConstruct")


_LISTS: dict[Type, Role] = {INT: Role.INTS, FLOAT: Role.FLOATS, BOOL: Role.BOOLS}


def roles(graph: Graph) -> list[Role]:
    """The role of each parameter, or of what it holds."""
    return [_role(value) for value in graph.params]


def _role(value: Value) -> Role:
    is_size = _has_ints(value.type) and _decides(value, set())
    users = [user for user, _ in value.uses]
    is_whole = isinstance(value.type, ListType) and any(map(_is_whole, users))
    if is_whole and (not is_size or any(not user.op.is_pure for user in users)):
        assert isinstance(value.type, ListType)
        return _LISTS.get(value.type.element, Role.NUMBER)
    return Role.SIZE if is_size else Role.NUMBER


def _is_whole(user: Node) -> bool:
    """Whether a user takes a list as a whole: more than an item at a known place, or what a call
    may read one by one.
    """
    if LISTS.get(user.name) == "get":
        index = user.inputs[1].node
        return index is None or index.name != "prim::Constant"
    if user.name in LISTS or isinstance(user.op.rule, Control):
        return user.name != "prim::ListUnpack"
    return False


def _has_ints(type_: Type) -> bool:
    match type_:
        case ListType(element=element):
            return _has_ints(element)
        case TupleType(elements=elements):
            return any(map(_has_ints, elements))
    return type_ == INT


def _decides(value: Value, seen: set[Value]) -> bool:
    if value in seen:
        return False
    seen.add(value)
    return any(_decides_in(node, position, seen) for node, position in value.uses)


def _counts_pieces(node: Node) -> bool:
    """Whether a loop's count says how many pieces a tensor is joined from."""
    lists = [
        inner.inputs[0]
        for block in node.blocks
        for inner in block.nodes
        if LISTS.get(inner.name) == "append"
    ]
    return any(isinstance(user.op.rule, Join) for v in lists for user, _ in v.uses)


def _decides_in(node: Node, position: int, seen: set[Value]) -> bool:
    rule = node.op.rule
    if isinstance(rule, Pointwise):
        return node.op.schema.arguments[position].name not in rule.operands
    if isinstance(rule, View) and rule.position is not None:
        return node.op.schema.arguments[position].name != rule.position
    if isinstance(rule, Scalar) or node.name in _BUILDERS:
        return any(_decides(v, seen) for v in node.outputs)
    if node.name in LISTS and any(isinstance(v.type, ListType) for v in node.inputs):
        lists = [v for v in node.inputs if isinstance(v.type, ListType)]
        return any(_decides(v, seen) for v in (*lists, *node.outputs))
    if isinstance(rule, Control):
        return node.name not in _NUMBERS or (position == 0 and _counts_pieces(node))
    if any(isinstance(v.type, TensorType) for v in (*node.inputs, *node.outputs)):
        return True
    return any(_decides(v, seen) for v in node.outputs)
