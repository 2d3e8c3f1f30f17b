"""Whether the body of a loop may change how many elements a container has that the loop goes over.

for v in work:              counted: nothing in the body resizes a list that may be `work`
    found.append(v)

for v in work:              each turn asks again, as Python's iterator does
    work.append(v - 1)

for key in table:           each turn tests that the size is the same, or raises
    table[key] += 1
"""

from __future__ import annotations

from collections.abc import Iterable

from ir import LISTS, RESIZING, DictType, Effect, ListType, Node, SetType, Value

_HARMLESS = ("prim::If", "prim::Loop", "prim::RaiseException", "prim::Print")


def may_resize(loop: Node, containers: Iterable[Value]) -> bool:
    """Whether anything in a loop may resize one of the lists, dicts or sets."""
    changed = [v for block in loop.blocks for node in block.walk() for v in _resized(node)]
    return any(_may_be_same(a, b) for a in containers for b in changed)


def _resized(node: Node) -> list[Value]:
    """The containers that a node may resize: of a call, all that it is given."""
    if node.op.effect is Effect.WRITE:
        is_dict = isinstance(node.inputs[0].type, DictType)
        return [node.inputs[0]] if is_dict or LISTS.get(node.name) in RESIZING else []
    if node.op.effect is Effect.SIDE and node.name not in _HARMLESS:
        return [v for v in node.inputs if isinstance(v.type, ListType | DictType | SetType)]
    return []


def _may_be_same(a: Value, b: Value) -> bool:
    """Whether two values may be one list: not if one was made here and is known under no other
    name.
    """
    if a is b:
        return True
    return a.type == b.type and not _is_private(a) and not _is_private(b)


def _is_private(value: Value) -> bool:
    node = value.node
    is_new = node is not None and (
        node.name == "prim::ListConstruct" or LISTS.get(node.name) in ("copy", "slice", "join")
    )
    return is_new and all(user.name in LISTS and at == 0 for user, at in value.uses)
