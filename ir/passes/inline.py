"""Calls of graphs become the called graph's nodes. A graph that calls itself keeps that call.

    %y = prim::CallFunction[graph=g](%x)      ->      the nodes of g, %x for its parameter

Inlined nodes keep the spans of the source they came from.
"""

from __future__ import annotations

from ir.graph import Block, Graph, Node, Value, copy_block, copy_node


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
            _splice(node, _expanded(callee, (*callers, callee)))
            changed = True
    return changed


def _fits(node: Node, callee: Graph) -> bool:
    return len(node.inputs) == len(callee.params) and len(node.outputs) == len(callee.returns)


def _expanded(callee: Graph, callers: tuple[Graph, ...]) -> Block:
    """A copy of the called graph with its own calls inlined."""
    copy = Block()
    copy_block(callee.block, copy, {})
    _inline_in(copy, callers)
    return copy


def _splice(call: Node, body: Block) -> None:
    assert call.block is not None
    env: dict[Value, Value] = dict(zip(body.params, call.inputs, strict=True))
    for node in body.nodes:
        call.block.insert_before(copy_node(node, env), call)
    for output, value in zip(call.outputs, body.returns, strict=True):
        output.replace_all_uses_with(env.get(value, value))
    call.erase()
