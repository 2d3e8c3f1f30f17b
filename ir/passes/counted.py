"""What is known of how often a loop runs."""

from __future__ import annotations

from ir.abstract import Known
from ir.dims import Dim, Sym
from ir.graph import Node


def trip_count(loop: Node, known: Known) -> Dim | None:
    """How often a loop runs, when it never stops early and its count is known."""
    if not all(known.get(v) is True for v in (loop.inputs[1], loop.blocks[0].returns[0])):
        return None
    count = known.get(loop.inputs[0])
    return count if isinstance(count, Sym) or type(count) is int else None
