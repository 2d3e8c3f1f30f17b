"""After compiling: outputs of If and Loop that nothing reads are taken away, and nodes left
without use and effect.

Merges and loops make an output for every variable that differs, whether or not it is read
later.
"""

from __future__ import annotations

from ir import Block, Graph, Node

_STRUCTURE = ("prim::If", "prim::Loop")


def prune(graph: Graph) -> None:
    """Remove unread outputs, last node first: whatever reads a value was decided on before it,
    except for the next iteration of a loop.
    """
    _prune_block(graph.block)


def _prune_block(block: Block) -> None:
    for node in reversed(list(block.nodes)):
        if node.blocks:
            _prune_structure(node)
        if _is_unused(node):
            node.erase()


def _prune_structure(node: Node) -> None:
    if node.name == "prim::If":
        _prune_if(node)
    _prune_inner(node)
    while node.name == "prim::Loop" and _prune_loop(node):
        _prune_inner(node)


def _prune_inner(node: Node) -> None:
    for block in node.blocks:
        _prune_block(block)


def _is_unused(node: Node) -> bool:
    for value in node.outputs:
        if value.uses:
            return False
    if node.blocks:
        is_empty = not any(block.nodes for block in node.blocks) and not node.outputs
        return is_empty and node.name in _STRUCTURE
    return bool(node.outputs) and node.op.is_pure


def _prune_if(node: Node) -> None:
    dead = [i for i, v in enumerate(node.outputs) if not v.uses]
    for position in reversed(dead):
        for block in node.blocks:
            _remove_return(block, position)
        node.remove_output(position)


def _prune_loop(node: Node) -> bool:
    """Whether there were dead carried values: nothing reads the output, and the parameter only
    feeds its own return.
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
