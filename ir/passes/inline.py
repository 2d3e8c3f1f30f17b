"""Calls of graphs become the called graph's nodes. A graph that calls itself keeps that call.

    %y = prim::CallFunction[graph=g](%x)      ->      the nodes of g, %x for its parameter

Inlined nodes keep the spans of the source they came from.
"""

from __future__ import annotations

from ir.graph import Block, Graph, Node, copy_node


def run(graph: Graph) -> bool:
    """Inline every call that is not recursive."""
    return _inline_in(graph.block, (graph,))


def _inline_in(block: Block, callers: tuple[Graph, ...]) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _inline_in(inner, callers)
        callee = node.attrs.get("graph") if node.name == "prim::CallFunction" else None
        if isinstance(callee, Graph) and callee not in callers and _fits(node, callee):
            _inline(node, callee, callers)
            changed = True
    return changed


def _fits(node: Node, callee: Graph) -> bool:
    return len(node.inputs) == len(callee.params) and len(node.outputs) == len(callee.returns)


def _inline(call: Node, callee: Graph, callers: tuple[Graph, ...]) -> None:
    """Put a copy of the called graph, its own calls inlined, in the place of the call."""
    body = Block()
    env = dict(zip(callee.params, call.inputs, strict=True))
    for node in callee.block.nodes:
        body.append(copy_node(node, env))
    body.set_returns([env.get(v, v) for v in callee.returns])
    _inline_in(body, (*callers, callee))
    assert call.block is not None
    for output, value in zip(call.outputs, call.block.splice(body, call), strict=True):
        output.replace_all_uses_with(value)
    call.erase()
