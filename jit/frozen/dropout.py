"""Dropout that is switched off gives back its input, the very tensor: it disappears."""

from __future__ import annotations

from ir import Graph, Known

_DROPOUT = {
    f"aten::{kind}dropout{mark}"
    for kind in ("", "feature_", "alpha_", "feature_alpha_")
    for mark in ("", "_")
}


def drop_dropout(graph: Graph) -> None:
    """Remove dropout outside of training, in place."""
    known = Known()
    for node in list(graph.walk()):
        if node.name in _DROPOUT and known.get(node.inputs[2]) is False:
            node.output.replace_all_uses_with(node.inputs[0])
            node.erase()
