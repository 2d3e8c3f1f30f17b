"""All ops by name: the compiled rows, completed by a source of opaque ones (torch's registry, once
the bridge is imported).

Overload choice depends on order, so for a name that the source knows its order holds, and a row
stands in the place of the overload of the same qualified name. Rows that the source does not know
come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ir.op import TABLE, Op

Source = Callable[[str], Sequence[Op]]
_sources: list[Source] = []
_merged: dict[str, tuple[int, tuple[Op, ...]]] = {}


def provide(source: Source) -> None:
    """Add a source of opaque ops: from a name such as `aten::add` to the overloads that it has."""
    _sources.append(source)
    _merged.clear()


def overloads(name: str) -> Sequence[Op]:
    """Every overload of `name`, in the order in which they are tried; empty for an unknown name."""
    rows = TABLE.overloads(name)
    merged = _merged.get(name)
    if merged is None or merged[0] != len(rows):  # rows may be declared after a first look
        merged = _merged[name] = (len(rows), _merge(name, rows))
    return merged[1]


def _merge(name: str, rows: Sequence[Op]) -> tuple[Op, ...]:
    opaque = [op for source in _sources for op in source(name)]
    known = {op.qualified for op in opaque}
    own = [op for op in rows if op.qualified not in known]
    return (*own, *(TABLE.get(op.qualified) or op for op in opaque))


def lookup(qualified: str) -> Op:
    """The op of a qualified name such as `aten::add.Tensor`; KeyError when there is none."""
    row = TABLE.get(qualified)
    if row is not None:
        return row
    for op in overloads(qualified.partition(".")[0]):
        if op.qualified == qualified:
            return op
    raise KeyError(f"no operator is called {qualified}")
