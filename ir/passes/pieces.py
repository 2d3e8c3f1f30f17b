"""The list of a tensor's parts that is read at constant places becomes the parts.

    %l = aten::chunk(%x, 3, 1)                     %l = aten::chunk(%x, 3, 1)
    %y = aten::__getitem__(%l, 1)          ->      %a, %b, %c = prim::ListUnpack(%l)       %b for %y

How many parts there are is for inference to say. A list that is read in any other way stays; a
tuple that was made of one is read as well.
"""

from __future__ import annotations

from ir.abstract import Known, is_frozen
from ir.builder import Builder
from ir.graph import Graph, Node
from ir.op import View
from ir.ops.control import CONSTANT, LIST_UNPACK
from ir.ops.methods import GET_ITEM
from ir.types import TENSOR, ListType


def makes_pieces(node: Node) -> bool:
    """Whether a node cuts a tensor into a list of views."""
    return isinstance(node.op.rule, View) and isinstance(node.outputs[0].type, ListType)


def run(graph: Graph, known: Known | None = None) -> bool:
    """Unpack every such list; `known` is what inference found."""
    found = known if known is not None else Known()
    changes = [_unpack(node, found) for node in list(graph.walk()) if makes_pieces(node)]
    return any(changes)


def _unpack(node: Node, known: Known) -> bool:
    parts, users = known.abstract(node.output), [user for user, _ in node.output.uses]
    tuples = [user for user in users if "seals" in user.attrs]
    reads = [user for user in users if user not in tuples and user.op is not LIST_UNPACK]
    reads += [user for made in tuples for user, _ in made.output.uses]
    if not isinstance(parts, list) or not reads or not is_frozen(node.output):
        return False
    places = [_place(user) for user in reads]
    if any(place is None or not -len(parts) <= place < len(parts) for place in places):
        return False
    assert node.block is not None
    following = node.block.nodes[node.block.nodes.index(node) + 1]
    made = Builder.before(following).node(LIST_UNPACK, [node.output], [TENSOR] * len(parts))
    for user, place in zip(reads, places, strict=True):
        assert place is not None
        user.output.replace_all_uses_with(made.outputs[place])
        user.erase()
    for copy in tuples:
        copy.erase()
    return True


def _place(user: Node) -> int | None:
    """Where a node reads a list, if that is a constant."""
    index = user.inputs[1].node if user.name == GET_ITEM else None
    place = index.attrs["value"] if index is not None and index.op is CONSTANT else None
    return place if isinstance(place, int) else None
