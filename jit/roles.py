"""What an int parameter is for: a number that lanes and registers compute with, or one that decides
sizes.

A number stays in a register and any value is served by one plan; one that decides sizes (a dim, an
index bound, a count) becomes a constant of the plan, or a symbol when it varies.
"""

from __future__ import annotations

from ir import INT, Control, Graph, ListType, Node, Pointwise, Scalar, TupleType, Type, Value

_NUMBERS = ("prim::Return", "prim::If", "prim::Loop")  # take a number as it comes


def size_roles(graph: Graph) -> list[bool]:
    """For each parameter, whether it is an int, or holds some, that decides sizes."""
    return [_has_ints(value.type) and _decides(value, set()) for value in graph.params]


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


def _decides_in(node: Node, position: int, seen: set[Value]) -> bool:
    rule = node.op.rule
    if isinstance(rule, Pointwise):
        return node.op.schema.arguments[position].name not in rule.operands
    if isinstance(rule, Scalar) or node.name in ("prim::TupleConstruct", "prim::TupleUnpack"):
        return any(_decides(v, seen) for v in node.outputs)
    if isinstance(rule, Control):
        return node.name not in _NUMBERS
    return True
