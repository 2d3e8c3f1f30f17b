"""Calls of graphs become the called graph's nodes. A graph that calls itself keeps that call.

    %y = prim::CallFunction[graph=g](%x)      ->      the nodes of g, %x for its parameter

Inlined nodes keep the spans of the source they came from.
"""

from __future__ import annotations

from ir.graph import Block, Graph, Node, copy_node


def run(graph: Graph) -> bool:
    """Inline every call that is not recursive."""
    recursive = {graph}
    _collect_recursive(graph, [], set(), recursive)
    return _inline_in(graph.block, recursive)


def _collect_recursive(
    graph: Graph, callers: list[Graph], seen: set[Graph], recursive: set[Graph]
) -> None:
    """Find the graphs that call themselves, through others or not."""
    if graph in callers:
        recursive.update(callers[callers.index(graph) :])
    if graph in seen:
        return
    seen.add(graph)
    callers.append(graph)
    for node in graph.walk():
        callee = _callee(node)
        if callee is not None:
            _collect_recursive(callee, callers, seen, recursive)
    callers.pop()


def _callee(node: Node) -> Graph | None:
    callee = node.attrs.get("graph") if node.name == "prim::CallFunction" else None
    return callee if isinstance(callee, Graph) else None


def _inline_in(block: Block, recursive: set[Graph]) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _inline_in(inner, recursive)
        callee = _callee(node)
        if callee is not None and callee not in recursive and _fits(node, callee):
            _inline(node, callee, recursive)
            changed = True
    return changed


def _fits(node: Node, callee: Graph) -> bool:
    return len(node.inputs) == len(callee.params) and len(node.outputs) == len(callee.returns)


def _inline(call: Node, callee: Graph, recursive: set[Graph]) -> None:
    """Put a copy of the called graph, its own calls inlined, in the place of the call."""
    body = Block()
    env = dict(zip(callee.params, call.inputs, strict=True))
    for node in callee.block.nodes:
        body.append(copy_node(node, env))
    body.set_returns([env.get(v, v) for v in callee.returns])
    _inline_in(body, recursive)
    assert call.block is not None
    for output, value in zip(call.outputs, call.block.splice(body, call), strict=True):
        output.replace_all_uses_with(value)
    call.erase()
