"""Ops that start or run autograd inside a function. Plans serve calls that record nothing, so a
graph with one of these is left to eager.
"""

from __future__ import annotations

from collections.abc import Iterator

from ir.graph import Graph, Node
from ir.ops.control import CALL

AUTOGRAD = frozenset(
    f"aten::{name}"
    for name in ("requires_grad_", "backward", "_backward", "grad", "retain_grad", "set_data")
)


def autograd_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph, and of the graphs that it calls, that concern gradients."""
    seen: set[Graph] = set()
    pending = [graph]
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for node in current.walk():
            if node.name in AUTOGRAD:
                yield node
            elif node.op is CALL:
                pending.append(node.attrs["graph"])
