"""Which integers a register can hold: intervals of a graph's ints.

    %n = aten::len(%l)                0 .. 2**48
    %i = the counter of a loop        0 .. count - 1
    %m = aten::add(%i, 1)             1 .. count        so the sum needs no test for overflow

Arithmetic is exact (`ir.ops.python`): a result outside of 64 bits is a fault. So intervals are cut
to 64 bits, and what was cut is what needs the test. A value that goes around a loop keeps each
bound that one turn does not move; a bound that moves is given up.
"""

from __future__ import annotations

from codegen.operands import Known
from ir import (
    BOUNDS,
    INT,
    LENGTHS,
    LISTS,
    WHOLE,
    Block,
    Graph,
    Interval,
    Node,
    Sym,
    Value,
    field,
    record,
)

_SIZES: Interval = (0, (1 << 62) - 1)
_COUNTS = ("length", "index", "count")
"""What operators tell of containers (`ir.LISTS`)."""


@record(frozen=False)
class Ranges:
    """The intervals of one graph; `exact` holds the nodes whose results always fit 64 bits."""

    known: Known
    _of: dict[Value, Interval] = field(default_factory=dict)
    exact: set[Node] = field(default_factory=set)

    def of(self, value: Value) -> Interval:
        """The least and the greatest value of an int."""
        if value in self._of:
            return self._of[value]
        found = self.known.get(value)
        if isinstance(found, int):
            return (int(found), int(found))
        return _SIZES if isinstance(found, Sym) else WHOLE

    def is_natural(self, value: Value) -> bool:
        """Whether an int is never negative."""
        return self.of(value)[0] >= 0

    # walking --------------------------------------------------------------------------------------
    def block(self, block: Block) -> None:
        """Follow the nodes of a block in order."""
        for node in block.nodes:
            if node.name == "prim::Loop":
                self._loop(node)
            elif node.name == "prim::If":
                for inner in node.blocks:
                    self.block(inner)
                for output, *results in zip(
                    node.outputs, *(b.returns for b in node.blocks), strict=True
                ):
                    self._set(output, _hull(*map(self.of, results)))
            elif node.op in BOUNDS:
                self._apply(node)
            elif LISTS.get(node.name) in _COUNTS:
                self._set(node.output, LENGTHS)

    def _apply(self, node: Node) -> None:
        result = BOUNDS[node.op](*(self.of(v) for v in node.inputs))
        self._set(node.output, _cut(result))
        if _cut(result) == result:
            self.exact.add(node)
        else:
            self.exact.discard(node)

    def _loop(self, node: Node) -> None:
        body = node.blocks[0]
        carried = list(zip(body.params[1:], body.returns[1:], node.inputs[2:], strict=True))
        most = self.of(node.inputs[0])[1]
        self._set(body.params[0], (0, max(most - 1, 0)))
        for param, _, first in carried:
            self._set(param, self.of(first))
        self.block(body)
        while moved := [p for p, r, _ in carried if p.type == INT and not self._holds(p, r)]:
            results = {p: r for p, r, _ in carried}
            for param in moved:
                self._set(param, _widened(self.of(param), self.of(results[param])))
            self.block(body)
        for output, (param, _, _) in zip(node.outputs, carried, strict=True):
            self._set(output, self.of(param))

    def _holds(self, param: Value, result: Value) -> bool:
        (low, high), (least, greatest) = self.of(param), self.of(result)
        return low <= least and greatest <= high

    def _set(self, value: Value, interval: Interval) -> None:
        if value.type == INT:
            self._of[value] = interval


def ranges_of(graph: Graph, known: Known) -> Ranges:
    """The intervals of a graph's ints."""
    made = Ranges(known)
    made.block(graph.block)
    return made


def _cut(interval: Interval) -> Interval:
    return max(interval[0], WHOLE[0]), min(interval[1], WHOLE[1])


def _hull(*intervals: Interval) -> Interval:
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _widened(now: Interval, then: Interval) -> Interval:
    low = now[0] if then[0] >= now[0] else 0 if then[0] >= 0 else WHOLE[0]
    high = now[1] if then[1] <= now[1] else WHOLE[1]
    return low, high
