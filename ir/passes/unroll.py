"""Loops of few, known iterations over tensors become straight lines, so that their bodies fuse into
one loop nest; so do those that fill a list with a size or factor per dim, which is known then, or
read such a list.

A loop qualifies when it always runs its whole count, computes tensors, or fills or reads a list of
DIMS members at most, and stays below LIMIT nodes in all. Each iteration gets a copy of the body
with the counter as a constant. Inner loops go first; it ends because every unrolled loop
disappears.
"""

from __future__ import annotations

from typing import Any

from ir.builder import Builder
from ir.graph import Block, Graph, Node, Value, copy_node
from ir.op import Effect
from ir.ops.control import CONSTANT, LIST, LOOP
from ir.ops.methods import GET_ITEM, LISTS
from ir.types import FLOAT, INT, ListType, TensorType

LIMIT = 400  # nodes after unrolling
DIMS = 5  # of an image with all that is around it


def run(graph: Graph) -> bool:
    """Unroll what qualifies; whether anything did."""
    return _run_in(graph.block)


def _run_in(block: Block) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _run_in(inner)
        if node.op is LOOP and (count := _count(node)) is not None:
            _unroll(node, count)
            changed = True
    return changed


def _count(node: Node) -> int | None:
    """How often a qualifying loop runs."""
    body = node.blocks[0]
    count = _constant(node.inputs[0])
    if (
        type(count) is not int
        or _constant(node.inputs[1]) is not True
        or _constant(body.returns[0]) is not True
    ):
        return None
    count = max(count, 0)
    is_small = count * sum(1 for _ in body.walk()) <= LIMIT
    has_tensors = any(isinstance(v.type, TensorType) for v in node.outputs)
    is_short = count <= DIMS and (is_filling(node) or _is_reading(node))
    return count if is_small and (has_tensors or is_short) else None


def is_filling(node: Node) -> bool:
    """Whether all that a loop does is to append one number in each turn to a list."""
    if node.op is not LOOP:
        return False
    effects = [n for n in node.blocks[0].walk() if n.op.effect is not Effect.PURE]
    is_append = [LISTS.get(n.name) for n in effects] == ["append"]
    return is_append and effects[0].inputs[0].type in (ListType(INT), ListType(FLOAT))


def _is_reading(node: Node) -> bool:
    """Whether a loop reads members of a list of numbers that is displayed."""
    read = (n.inputs[0] for n in node.blocks[0].walk() if n.name == GET_ITEM)
    return any(v.type == ListType(INT) and v.node is not None and v.node.op is LIST for v in read)


def _constant(value: Value) -> Any:
    return (
        value.node.attrs.get("value")
        if value.node is not None and value.node.op is CONSTANT
        else None
    )


def _unroll(node: Node, count: int) -> None:
    body = node.blocks[0]
    builder = Builder.before(node)
    assert node.block is not None
    carried = list(node.inputs[2:])
    for iteration in range(count):
        env = dict(zip(body.params, [builder.const(iteration), *carried], strict=True))
        for inner in body.nodes:
            node.block.insert_before(copy_node(inner, env), node)
        carried = [env.get(v, v) for v in body.returns[1:]]
    for output, value in zip(node.outputs, carried, strict=True):
        output.replace_all_uses_with(value)
    node.erase()
