"""Dead code: what neither the returns nor an effect needs is removed, with the outputs of branches
and the carried values of loops that only feed themselves.

Mark and sweep. A node is needed when it has an effect (see `Op.is_pure`; a node with blocks has
those of its blocks) or when one of its outputs is needed. Setting items of a dict that the graph
makes, and does nothing else with, has none. Output i of a node with blocks needs
return i of each block (counted from the end, after a loop's condition); a parameter of a loop needs
the initial value and the next one.
"""

from __future__ import annotations

from ir.graph import Block, Graph, Node, Value
from ir.ops.control import DICT
from ir.ops.methods import LISTS


def run(graph: Graph) -> bool:
    """Remove dead nodes, outputs and carried values."""
    marks = _Marks()
    marks.block(graph.block)
    marks.need(graph.returns)
    marks.drain()
    return _sweep(graph.block, marks)


class _Marks:
    def __init__(self) -> None:
        self.values: set[Value] = set()
        self.nodes: set[Node] = set()
        self._work: list[Value] = []

    def need(self, values: list[Value]) -> None:
        for value in values:
            if value not in self.values:
                self.values.add(value)
                self._work.append(value)

    def block(self, block: Block) -> bool:
        """Mark what has an effect; whether there is any."""
        found = False
        for node in block.nodes:
            inner = [self.block(b) for b in node.blocks]
            if any(inner) if node.blocks else not (node.op.is_pure or _is_unseen(node)):
                self.node(node)
                found = True
        return found

    def node(self, node: Node) -> None:
        if node in self.nodes:
            return
        self.nodes.add(node)
        carried = _carried(node)
        self.need(node.inputs[: len(node.inputs) - carried] if carried else node.inputs)
        for block in node.blocks:
            self.need(block.returns[: len(block.returns) - len(node.outputs)])

    def drain(self) -> None:
        while self._work:
            value = self._work.pop()
            if value.node is not None:
                self.node(value.node)
                self._output(value.node, value.node.outputs.index(value))
            elif value.block is not None and value.block.owner is not None:
                owner = value.block.owner
                self.node(owner)
                position = value.block.params.index(value) - len(value.block.params)
                if -position <= len(owner.outputs):
                    self._output(owner, len(owner.outputs) + position)

    def _output(self, node: Node, position: int) -> None:
        """What output `position` of a node with blocks stands for."""
        back = position - len(node.outputs)
        for block in node.blocks:
            self.need([block.returns[back]])
            if _carried(node):
                self.need([block.params[back], node.inputs[back], node.outputs[position]])


def _is_unseen(node: Node) -> bool:
    """Whether a node sets an item of a dict that nobody reads."""
    if not _sets_item(node) or node.inputs[0].node is None or node.inputs[0].node.op is not DICT:
        return False
    return all(_sets_item(user) and at == 0 for user, at in node.inputs[0].uses)


def _sets_item(node: Node) -> bool:
    return LISTS.get(node.name) == "set"


def _carried(node: Node) -> int:
    """How many values go round in a node's block."""
    return len(node.outputs) if node.blocks and node.blocks[0].params else 0


def _sweep(block: Block, marks: _Marks) -> bool:
    """Last node first, so that nothing reads what is removed."""
    changed = False
    for node in reversed(list(block.nodes)):
        if node not in marks.nodes:
            node.erase()
            changed = True
        elif node.blocks:
            changed |= _sweep_inside(node, marks)
    return changed


def _sweep_inside(node: Node, marks: _Marks) -> bool:
    count, is_loop = len(node.outputs), _carried(node) > 0
    dead = {i - count for i, v in enumerate(node.outputs) if v not in marks.values}
    for block in node.blocks:
        block.set_returns(_without(block.returns, dead))
    changed = bool(dead)
    for block in node.blocks:
        changed |= _sweep(block, marks)
    if is_loop:
        node.set_inputs(_without(node.inputs, dead))
        node.blocks[0].params[:] = _without(node.blocks[0].params, dead)
    for back in sorted(dead, reverse=True):
        node.remove_output(count + back)
    return changed


def _without(values: list[Value], dead: set[int]) -> list[Value]:
    """All values but those at positions that count from the end."""
    return [v for i, v in enumerate(values) if i - len(values) not in dead]
