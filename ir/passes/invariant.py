"""Outputs that never vary: a value that goes around a loop unchanged, or comes out of both
branches, is the value from outside; a branch on a constant is the branch taken.

    %r = prim::Loop(%n, %go, %x)                   %x for %p and %r
      block0(%i, %p):                 ->
        -> (%c, %p)
"""

from __future__ import annotations

from ir.graph import Block, Graph, Node, Value, copy_node


def run(graph: Graph) -> bool:
    """Replace outputs that do not vary; `dce` removes them."""
    return _run_in(graph.block)


def _run_in(block: Block) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _run_in(inner)
        if node.name == "prim::Loop":
            changed |= _loop(node)
        elif node.name == "prim::If":
            changed |= _take_branch(node) if _is_constant(node.inputs[0]) else _branches(node)
    return changed


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


def _is_constant(value: Value) -> bool:
    return value.node is not None and value.node.name == "prim::Constant"


def _take_branch(node: Node) -> bool:
    condition = node.inputs[0].node
    assert condition is not None and node.block is not None
    taken: Block = node.blocks[0 if condition.attrs["value"] else 1]
    env: dict[Value, Value] = {}
    for inner in taken.nodes:
        node.block.insert_before(copy_node(inner, env), node)
    for output, value in zip(node.outputs, taken.returns, strict=True):
        output.replace_all_uses_with(env.get(value, value))
    node.erase()
    return True
