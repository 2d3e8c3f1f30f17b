"""Views of one tensor that must not become tensors of their own: whoever writes to one of them sees
it in the others.

    y = x * 2;  return y[0], y.t()        one memory: that of y
    y = x * 2;  return y[:2], y[2:]       nobody can tell
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

from codegen.index import Affine, Var
from codegen.operands import Known, producer, shape, view_index
from ir import Aliases, Dim, Node, Value, View

Range = tuple[Dim, Dim]


def shared_views(
    values: Iterable[Value], inside: Collection[Node], aliases: Aliases, known: Known
) -> dict[Value, list[Value]]:
    """Those of the values that are views of one tensor, which nodes `inside` make, and overlap
    where that shows: by this tensor."""
    views: dict[Value, list[Value]] = {}
    for value in values:
        base = viewed_inside(value, inside)
        if base is not None:
            views.setdefault(base, []).append(value)
    return {
        base: shown
        for base, shown in views.items()
        if (aliases.is_written(base) or aliases.escapes(base))
        and any(_may_overlap(a, b, base, known) for a, b in combinations(shown, 2))
    }


def viewed_inside(value: Value, inside: Collection[Node]) -> Value | None:
    """What a value is a view of, through nodes `inside` that one of them begins."""
    base = value
    while (source := producer(base)) is not None and isinstance(source.node.op.rule, View):
        if source.node not in inside or source.node.op.rule.copies:
            return None
        base = source.node.inputs[0]
    return None if base is value or base.node not in inside else base


def _may_overlap(a: Value, b: Value, base: Value, known: Known) -> bool:
    """Whether two views may show the same element: unless their indices of some dim differ."""
    first, second = _shown(a, base, known), _shown(b, base, known)
    if first is None or second is None:
        return True
    return not any(
        high < other_low or other_high < low
        for (low, high), (other_low, other_high) in zip(first, second, strict=True)
    )


def _shown(value: Value, base: Value, known: Known) -> Sequence[Range] | None:
    """The first and last index that a view shows of each dim of its base; None where it is not
    affine."""
    index: Sequence[Affine] | None
    index = [Affine.of(Var(f"v{k}", d)) for k, d in enumerate(shape(value))]
    while value is not base:
        source = producer(value)
        assert source is not None
        index = view_index(source, tuple(index), known, shape(value))
        if index is None:
            return None
        value = source.node.inputs[0]
    return [_range(position) for position in index]


def _range(position: Affine) -> Range:
    low = high = position.const
    for var, step in position.terms.items():
        reach = step * (var.extent - 1)
        low, high = (low + reach, high) if step < 0 else (low, high + reach)
    return low, high
