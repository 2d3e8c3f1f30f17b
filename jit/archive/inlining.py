"""Which nodes are written inside the expression that reads them, and which get a variable.

A node is written where its only reader stands if nothing would be evaluated in another order:
reading a node's inputs from last to first must meet the preceding nodes one by one.

    %a = aten::mul(%x, %y)                    torch.add(torch.mul(x, y), torch.neg(z))
    %b = aten::neg(%z)             ==>
    %c = aten::add(%a, %b)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ir import Block, Node, Value

STATEMENTS = frozenset(("prim::Enter", "prim::TupleUnpack", "prim::ListUnpack", "prim::fork"))
_PLAIN = re.compile(r"_\d*|\d+")


def is_meaningful(name: str | None) -> bool:
    """Whether a value has a name that its author chose."""
    return name is not None and _PLAIN.fullmatch(name) is None


def inlined(block: Block) -> set[Node]:
    """The nodes of a block, and of those inside, that need no variable."""
    found: set[Node] = set()
    for inner in _blocks(block):
        _scan(inner, found)
    return found


def _blocks(block: Block) -> Iterator[Block]:
    yield block
    for node in block.walk():
        yield from node.blocks


def _scan(block: Block, found: set[Node]) -> None:
    before = _predecessors(block)
    for root in (block.returning, *reversed(block.nodes)):
        if root not in found:
            _scan_tree(root, before, found)


def _predecessors(block: Block) -> dict[Node, Node | None]:
    """The node before each that is no constant."""
    before: dict[Node, Node | None] = {}
    last: Node | None = None
    for node in (*block.nodes, block.returning):
        before[node] = last
        if node.name != "prim::Constant":
            last = node
    return before


def _scan_tree(root: Node, before: dict[Node, Node | None], found: set[Node]) -> None:
    """Collect the nodes written inside `root`."""
    cursor = before[root]
    stack = [reversed(root.inputs)]
    while stack:
        value = next(stack[-1], None)
        if value is None:
            stack.pop()
        elif value.node is not None and value.node is cursor and _may_inline(value):
            found.add(cursor)
            stack.append(reversed(cursor.inputs))
            cursor = before[cursor]


def _may_inline(value: Value) -> bool:
    node = value.node
    assert node is not None
    if len(node.outputs) != 1 or len(value.uses) != 1 or node.blocks or node.name in STATEMENTS:
        return False
    ((user, position),) = value.uses
    if is_meaningful(value.name) and user.name != "prim::Return":
        return False
    is_carried = user.name == "prim::Loop" and position >= 2
    # Readers learn types from an isinstance in a condition; ours are in casts already.
    return not is_carried and node.name != "prim::isinstance"
