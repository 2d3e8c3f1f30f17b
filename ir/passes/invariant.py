"""Outputs that never vary: a value that goes around a loop unchanged, or comes out of both
branches, is the value from outside; a branch on a constant is the branch taken.

    %r = prim::Loop(%n, %go, %x)                   %x for %p and %r
      block0(%i, %p):                 ->
        -> (%c, %p)
"""

from __future__ import annotations

from ir.graph import Block, Graph, Node, Value


def run(graph: Graph) -> bool:
    """Replace outputs that do not vary; `dce` removes them."""
    return _run_in(graph.block)


def _run_in(block: Block) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _run_in(inner)
        taken = taken_branch(node)
        if taken is not None:
            take_branch(node, taken)
            changed = True
        else:
            changed |= simplify(node)
    return changed


def simplify(node: Node) -> bool:
    """Replace the outputs of one node that do not vary."""
    if node.name == "prim::Loop":
        return _loop(node)
    return node.name == "prim::If" and _branches(node)


def taken_branch(node: Node) -> Block | None:
    """The block of a branch on a constant that runs; None for any other node."""
    if node.name != "prim::If":
        return None
    condition = node.inputs[0].node
    if condition is None or condition.name != "prim::Constant":
        return None
    return node.blocks[0 if condition.attrs["value"] else 1]


def take_branch(node: Node, taken: Block) -> None:
    """Put the nodes of a block of a branch in the place of the branch."""
    assert node.block is not None
    for output, value in zip(node.outputs, node.block.splice(taken, node), strict=True):
        output.replace_all_uses_with(value)
    node.erase()


def _loop(node: Node) -> bool:
    (body,) = node.blocks
    changed = False
    carried = zip(node.inputs[2:], body.params[1:], body.returns[1:], node.outputs, strict=True)
    for initial, param, following, output in carried:
        if following in (param, initial) and initial.type == param.type == output.type:
            changed |= _replace(param, initial) | _replace(output, initial)
    return changed


def _branches(node: Node) -> bool:
    changed = False
    for a, b, output in zip(*(block.returns for block in node.blocks), node.outputs, strict=True):
        if a is b and a.type == output.type:  # one value of both branches is defined outside
            changed |= _replace(output, a)
    return changed


def _replace(old: Value, new: Value) -> bool:
    had_uses = bool(old.uses)
    old.replace_all_uses_with(new)
    return had_uses
