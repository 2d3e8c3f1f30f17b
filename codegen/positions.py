"""Views at positions that the run computes: `x[i]` in a loop over i.

    %y = aten::select(%x, %dim, %i)          %p = prim::position(%i, %size)
                                      ->     %y = aten::select(%x, %dim, %p)

A position is a number of the body, tested once, and from there on a symbol like those of sizes:
index maps, offsets and kernels take it as they take any size (`ir.dims`). Symbols are at least 2,
so a position is a symbol less 2.

Sizes are known before the call; positions are not. So no plan may rest on a relation that holds for
some positions only: what is assumed of one is refused (`Positions.verify`).
"""

from __future__ import annotations

from codegen.operands import shape
from codegen.refuse import Refused
from ir import (
    MINIMUM,
    POSITION,
    Builder,
    Dim,
    Facts,
    Graph,
    Known,
    Node,
    Put,
    Sym,
    Symbol,
    TensorType,
    Value,
    View,
    field,
    record,
    same_dim,
    symbols_of,
)


@record(frozen=False)
class Positions(Facts):
    """The positions of one graph: the symbol of each, and what the body has tested of it."""

    of: dict[Value, Symbol] = field(default_factory=dict)
    _tested: list[tuple[Sym, Dim]] = field(default_factory=list)

    def add(self, value: Value, size: Dim) -> Sym:
        """A number that is an index of a dim of this size."""
        symbol = self.of[value] = Symbol(f"at{len(self.of)}", MINIMUM)
        position = Sym({(symbol,): 1}, self) - MINIMUM
        assert isinstance(position, Sym)
        self._tested.append((position, size))
        return position

    def assume(self, relation: str, left: Dim, right: Dim) -> None:
        """What the test of a position implies needs no other."""
        for position, size in self._tested:
            is_least = relation == "<=" and left == 0 and position.same(right)
            if is_least or (relation == "<" and position.same(left) and same_dim(size, right)):
                return
        raise _unknowable(f"{left} {relation} {right}")

    def verify(self, facts: Facts) -> None:
        """Refuse a plan whose guards would ask for positions."""
        symbols = set(self.of.values())
        for assumption in facts.assumptions:
            if (symbols_of(assumption.left) | symbols_of(assumption.right)) & symbols:
                raise _unknowable(str(assumption))


def _unknowable(relation: str) -> Refused:
    return Refused("not native", detail=f"{relation} is not known before the call")


def place(graph: Graph, known: Known) -> Positions:
    """Give every view of the graph whose position is a number of the run a symbol for it."""
    positions = Positions()
    for node in list(graph.walk()):
        varying = _varying(node, known)
        if varying is not None:
            at, dim = varying
            value, size = _position(node, at, dim, known)
            known.record(value, positions.add(value, size))
            node.replace(at, value)
    return positions


def _varying(node: Node, known: Known) -> tuple[int, int] | None:
    """Which input of a view is a position that varies, and along which dim."""
    rule = node.op.rule
    if not isinstance(rule, View | Put) or rule.position is None:
        return None
    names = [a.name for a in node.op.schema.arguments]
    at = names.index(rule.position)
    base, dim = node.inputs[0].type, known.get(node.inputs[names.index("dim")])
    is_typed = isinstance(base, TensorType) and base.is_complete
    if not is_typed or not isinstance(dim, int) or node.inputs[at] in known:
        return None
    return at, dim


def _position(node: Node, at: int, dim: int, known: Known) -> tuple[Value, Dim]:
    """The position as a number of the body, and the size that bounds it."""
    base = node.inputs[0]
    builder = Builder.before(_anchor(node, base, node.inputs[at]))
    size = shape(base)[dim]
    if isinstance(node.op.rule, Put):
        bound = node.inputs[[a.name for a in node.op.schema.arguments].index("size")]
    elif isinstance(size, Sym):
        bound = builder.size(base, dim)
        known.record(bound, size)
    else:
        bound = builder.const(size)
    return builder.op(POSITION.name, node.inputs[at], bound), size


def _anchor(node: Node, *read: Value) -> Node:
    """Where to test a position: as soon as its block has what that reads."""
    block = node.block
    assert block is not None
    inside = [v.node for v in read if v.node is not None and v.node.block is block]
    last = max((block.nodes.index(n) for n in inside), default=-1)
    return block.nodes[last + 1]
