"""Loops that touch no Python object: these run without the GIL, once they have run for a while.

    counted                  the GIL is released in front of the loop, if it is a long one
    ended by a condition     in the turn that shows that the loop is a long one
    around such a loop       in front, so that the inner one need not look

Where the GIL was released already, it is left alone; every way out takes it back first
(`codegen.entry`).
"""

from __future__ import annotations

from codegen.lists.chosen import ELEMENTS, element_of, verb_of
from codegen.partition import CONTROL, RAISE, STRUCTURE, Group
from codegen.prepare import Prepared, is_object
from codegen.structured import Multiply
from ir import Block, Element, ListType, Node, Scalar

LONG = 4096
"""Turns after which a loop has taken longer than releasing the GIL, whatever a turn does."""
LONG_OVER_TENSORS = 16
LONG_AROUND_ENDLESS = 1
ENDLESS = 1 << 62
"""Counts from here on are no counts: a condition ends the loop."""


def is_quiet(plan: Prepared, loop: Node) -> bool:
    """Whether a loop touches no Python object."""
    (body,) = loop.blocks
    return not any(is_object(plan, p) for p in body.params) and _is_quiet_block(plan, body)


def is_endless(plan: Prepared, loop: Node) -> bool:
    """Whether only a condition ends a loop."""
    return plan.ranges.of(loop.inputs[0])[0] >= ENDLESS


def long_turns(plan: Prepared, loop: Node) -> int:
    """How many turns make a loop a long one."""
    items = [item for block in _blocks(loop) for item in plan.items.get(block, ())]
    loops = (i for i in items if isinstance(i, Node) and i.name == "prim::Loop")
    if any(is_endless(plan, inner) for inner in loops):
        return LONG_AROUND_ENDLESS
    has_tensors = any(isinstance(i, Group) or i in plan.calls for i in items)
    return LONG_OVER_TENSORS if has_tensors else LONG


def _blocks(node: Node) -> list[Block]:
    return [b for block in node.blocks for b in (block, *_inner(block))]


def _inner(block: Block) -> list[Block]:
    return [b for node in block.nodes for b in _blocks(node)]


def _is_quiet_block(plan: Prepared, block: Block) -> bool:
    return all(
        isinstance(item, Group) or (isinstance(item, Node) and _is_quiet_node(plan, item))
        for item in plan.items[block]
    )


def _is_quiet_node(plan: Prepared, node: Node) -> bool:
    if node.name in CONTROL:
        outputs = any(is_object(plan, v) for v in node.outputs)
        return not outputs and all(_is_quiet_block(plan, b) for b in node.blocks)
    if plan.lists.touches(node):
        return _is_quiet_list(plan, node)
    if node.name in STRUCTURE:
        return not plan.aliases.is_written(node.outputs[0]) if node.outputs else True
    is_number = isinstance(node.op.rule, Scalar | Element)
    is_product = isinstance(plan.calls.get(node), Multiply)
    return is_number or is_product or node.name == RAISE or node in plan.facts.puts


def _is_quiet_list(plan: Prepared, node: Node) -> bool:
    """Lists of numbers hold no objects; what order NaNs have, Python tells."""
    lists = [v for v in (*node.inputs, *node.outputs) if isinstance(v.type, ListType)]
    is_flat = all(v in plan.lists.native and element_of(v) in ELEMENTS for v in lists)
    return is_flat and verb_of(node) != "sort"
