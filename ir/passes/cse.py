"""Common subexpressions: a pure node that repeats one which dominates it is replaced by it.

Laws
  * Same op, same inputs, equal attributes and output types; constants are equal by type and text
    (so 0.0 and -0.0, 1 and True stay apart), other objects by identity.
  * Memory: results merge only where nobody can tell by writing (`Aliases.may_merge`), and nothing
    may write to what the node reads.
"""

from __future__ import annotations

from collections.abc import Hashable

from ir.alias import Aliases
from ir.dtypes import DType
from ir.graph import Block, Graph, Node

_BY_TEXT = (bool, int, float, complex, str, type(None), DType)


def run(graph: Graph) -> bool:
    """Merge repeated nodes."""
    return _merge_in(graph.block, {}, Aliases(graph))


def _merge_in(block: Block, outer: dict[Hashable, Node], aliases: Aliases) -> bool:
    known = dict(outer)
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _merge_in(inner, known, aliases)
        if node.blocks or not node.op.is_pure or any(map(aliases.is_written, node.inputs)):
            continue
        first = known.setdefault(_key(node), node)
        if first is not node and _may_merge(first, node, aliases):
            for old, new in zip(node.outputs, first.outputs, strict=True):
                old.replace_all_uses_with(new)
            node.erase()
            changed = True
    return changed


def _may_merge(a: Node, b: Node, aliases: Aliases) -> bool:
    return all(map(aliases.may_merge, a.outputs, b.outputs))


def _key(node: Node) -> Hashable:
    attrs = tuple((name, _attribute_key(value)) for name, value in node.attrs.items())
    types = tuple(value.type for value in node.outputs)
    return node.op, tuple(node.inputs), attrs, types


def _attribute_key(value: object) -> Hashable:
    return (type(value), repr(value)) if isinstance(value, _BY_TEXT) else id(value)
