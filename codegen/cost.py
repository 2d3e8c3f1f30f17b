"""What a scalar rule costs, in flop equivalents: the rule is run once on a builder that only
counts.

The unit is one slot of a fused multiply-add counted as two, so an addition costs 2 and an inlined
exp about 40; the scheduler uses costs to choose vector widths, to decide between storing and
computing again, and whether threads pay.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from codegen.lanes.mathlib.work import COST
from ir import DType, Node, Op, Pointwise, Reduction, dtypes

EXPENSIVE = 20
MEMORY_COST = 20  # a point takes at least as long as its loads and stores from the level 2 cache
STREAM_COST = 8  # the part of one load or store in that
BASIC = 2  # an arithmetic operation, a comparison, a select
DIVISION = 16
INDEXED = 12  # a step of argmax: a comparison and two masked moves


def node_cost(node: Node | None) -> int:
    """Flop equivalents per element of a pointwise node or a reduction; other kinds count as one
    operation.
    """
    if node is None:
        return BASIC
    rule = node.op.rule
    if isinstance(rule, Reduction) and rule.indexed:
        return INDEXED
    return _rule_cost(node.op) if isinstance(rule, Pointwise) else BASIC


@cache
def _rule_cost(op: Op) -> int:
    rule = op.rule
    assert isinstance(rule, Pointwise)
    counter = _Counter()
    lane = _CountedLane(counter, dtypes.float32)
    constants = {
        a.name: a.default if a.has_default else None
        for a in op.schema.arguments
        if a.name not in rule.operands
    }
    try:
        rule.scalar(counter, *[lane] * len(rule.operands), **constants)
    except (
        TypeError,
        KeyError,
        ValueError,
    ):  # a rule for integers only, or one that needs its constants
        return BASIC * 4
    return max(counter.total, BASIC)


class _Counter:
    """A builder whose every function counts and gives a lane."""

    def __init__(self) -> None:
        self.total = 0

    def const(self, value: Any, dtype: DType) -> _CountedLane:
        return _CountedLane(self, dtype)

    def known(self, x: Any) -> None:
        return None

    def fault(self, condition: Any, reason: str) -> None:
        self.total += BASIC

    def __getattr__(self, name: str) -> Any:
        def count(*operands: Any) -> _CountedLane:
            self.total += COST.get(name, BASIC)
            return _CountedLane(self, dtypes.float32)

        return count


class _CountedLane:
    def __init__(self, counter: _Counter, dtype: DType) -> None:
        self.counter, self.dtype = counter, dtype

    def _count(self, *_: Any) -> _CountedLane:
        self.counter.total += BASIC
        return self

    def _divide(self, *_: Any) -> _CountedLane:
        self.counter.total += DIVISION
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __and__ = __rand__ = (
        __or__
    ) = __ror__ = _count
    __xor__ = __rxor__ = __invert__ = __lshift__ = __rshift__ = __lt__ = __le__ = __gt__ = (
        __ge__
    ) = _count
    __eq__ = __ne__ = _count  # type: ignore[assignment]
    __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __rfloordiv__ = __rmod__ = _divide
    __hash__ = object.__hash__
