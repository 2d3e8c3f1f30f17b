"""Expensive values of a row that several phases need are kept in the row of an output that is
written later anyway.

A softmax computes exp(x - max) for the sum and again for the result; its output row holds the
exponentials in between, so they are computed once and reread from the first-level cache.
"""

from __future__ import annotations

from codegen.cost import EXPENSIVE, node_cost
from codegen.index import index_key
from codegen.nest import Key, Nest, Root
from ir import TensorType, Value, opmath, record


@record(eq=False)
class Spill:
    """The value of `key`, computed in `phase`, rests at `root`'s place until the root itself is
    stored.
    """

    key: Key
    root: Root
    phase: int


def plan_spills(nest: Nest) -> dict[Key, Spill]:
    """Spills of a nest, by the (value, index) that is kept."""
    uses = nest.uses
    reached: dict[Key, set[int]] = {}
    full = [r for r in nest.roots if nest.is_full(r.index)]
    for reduce in nest.reduces:
        _reach((reduce.node.inputs[0], index_key(reduce.index)), reduce.phase, uses, reached)
    for root in full:
        _reach((root.value, index_key(root.index)), root.phase, uses, reached)
    last = {r.phase: r for r in full}.values()  # no root that is stored after it reads the spill
    spills: dict[Key, Spill] = {}
    free = list(full)
    for key, phases in reached.items():
        value = key[0]
        if len(phases) < 2 or not isinstance(value, Value) or node_cost(value.node) < EXPENSIVE:
            continue
        place = next((r for r in free if _fits(r, key, max(phases)) and r in last), None)
        if place is not None:
            free.remove(place)
            spills[key] = Spill(key, place, min(phases))
    return spills


def _fits(root: Root, key: Key, last: int) -> bool:
    value, position = key[0], key[1]
    assert isinstance(value, Value) and isinstance(value.type, TensorType)
    dtype = value.type.dtype
    return (
        root.phase >= last
        and root.value is not value
        and dtype is not None
        and dtype is root.buffer.dtype
        and opmath(dtype) is dtype
        and position == index_key(root.index)
    )


def _reach(key: Key, phase: int, uses: dict[Key, list[Key]], reached: dict[Key, set[int]]) -> None:
    phases = reached.setdefault(key, set())
    if phase in phases:
        return
    phases.add(phase)
    for operand in uses.get(key, ()):
        _reach(operand, phase, uses, reached)
