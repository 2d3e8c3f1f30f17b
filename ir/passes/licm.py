"""Loop-invariant code: pure nodes that read nothing of the loop move in front of it.

    prim::Loop(%n, %go, %a)                     %y = aten::exp(%x)
      block0(%i, %p):                   ->      prim::Loop(%n, %go, %a)
        %y = aten::exp(%x)                        block0(%i, %p):

Law: a loop may run zero times, so only nodes that cannot fail move: constants, and rows with a
native rule whose result types are complete (their sizes are known to fit). Memory that is written
to anywhere does not move, and each iteration's own fresh memory stays its own if it escapes.
"""

from __future__ import annotations

from ir.alias import Aliases
from ir.graph import Block, Graph, Node, Value
from ir.op import Control, Effect, Element, Opaque, Scalar
from ir.types import TensorType


def run(graph: Graph) -> bool:
    """Hoist out of every loop, inner loops first."""
    return _run_in(graph.block, Aliases(graph))


def _run_in(block: Block, aliases: Aliases) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _run_in(inner, aliases)
            if inner.params:
                changed |= _hoist(node, inner, aliases)
    return changed


def _hoist(loop: Node, body: Block, aliases: Aliases) -> bool:
    inside: set[Value] = set(body.params)
    changed = False
    for node in list(body.nodes):
        if inside.isdisjoint(node.inputs) and _may_move(node, aliases):
            body.nodes.remove(node)
            assert loop.block is not None
            loop.block.insert_before(node, loop)
            changed = True
        else:
            inside.update(node.outputs)
    return changed


def _may_move(node: Node, aliases: Aliases) -> bool:
    if node.blocks or not node.op.is_pure:
        return False
    if any(map(aliases.is_written, (*node.inputs, *node.outputs))):
        return False
    if not node.inputs and isinstance(node.op.rule, Control):  # a constant
        return node.op.effect is Effect.PURE
    return (not isinstance(node.op.rule, Control | Element | Opaque | Scalar)
            and all(isinstance(v.type, TensorType) and v.type.is_complete and not aliases.escapes(v)
                    for v in node.outputs))
