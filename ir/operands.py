"""Whether an op takes operands of given types as they are: what the parser and the verifier ask."""

from __future__ import annotations

from collections.abc import Sequence

from ir.op import Op
from ir.resolve import Actual, Given, Level, Resolution, bind
from ir.types import Type


def takes(op: Op, types: Sequence[Type], level: Level) -> Resolution | None:
    """The binding of all parameters of `op`, in the schema's order, to operands of these types
    without any conversion; None when it does not take them at this level of tolerance."""
    arguments = op.schema.arguments
    if len(types) < len(arguments) or (len(types) > len(arguments) and not op.schema.is_vararg):
        return None
    actuals = [Actual(t) for t in types]
    named = {a.name: x for a, x in zip(arguments, actuals, strict=False) if a.kwarg_only}
    placed = [x for x in actuals if all(x is not n for n in named.values())]
    result = bind(op, placed, named, level)
    if isinstance(result, Resolution) and all(isinstance(s, Given) for s in result.inputs):
        return result
    return None
