"""After compiling: outputs of If and Loop that nothing reads are taken away, and nodes left
without use and effect.

Merges and loops make an output for every variable that differs, whether or not it is read
later.
"""

from __future__ import annotations

from ir import Block, Graph, Node

_STRUCTURE = ("prim::If", "prim::Loop")


def prune(graph: Graph) -> None:
    """Remove unread outputs, last node first, until nothing changes."""
    while _prune_block(graph.block):
        pass


def _prune_block(block: Block) -> bool:
    changed = False
    for node in reversed(list(block.nodes)):
        if node.name == "prim::If":
            changed |= _prune_if(node)
        elif node.name == "prim::Loop":
            changed |= _prune_loop(node)
        for inner in node.blocks:
            changed |= _prune_block(inner)
        if _is_unused(node):
            node.erase()
            changed = True
    return changed


def _is_unused(node: Node) -> bool:
    if any(v.uses for v in node.outputs):
        return False
    if node.name in _STRUCTURE:
        return not any(block.nodes for block in node.blocks) and not node.outputs
    return bool(node.outputs) and node.op.is_pure and not node.blocks


def _prune_if(node: Node) -> bool:
    dead = [i for i, v in enumerate(node.outputs) if not v.uses]
    for position in reversed(dead):
        for block in node.blocks:
            _remove_return(block, position)
        node.remove_output(position)
    return bool(dead)


def _prune_loop(node: Node) -> bool:
    """A carried value is dead when nothing reads the output, and the parameter only feeds its own
    return.
    """
    (block,) = node.blocks
    dead = []
    for i, output in enumerate(node.outputs):
        param = block.params[i + 1]
        own = (block.returning, i + 1)
        if not output.uses and all(use == own for use in param.uses):
            dead.append(i)
    for position in reversed(dead):
        _remove_return(block, position + 1)
        inputs = list(node.inputs)
        del inputs[position + 2]
        node.set_inputs(inputs)
        del block.params[position + 1]
        node.remove_output(position)
    return bool(dead)


def _remove_return(block: Block, position: int) -> None:
    values = list(block.returns)
    del values[position]
    block.set_returns(values)
