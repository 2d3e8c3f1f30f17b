"""What a graph reads besides its arguments: captured names whose values are folded in, and tensors
that it holds.

Values of captured names are guarded at each call; the tensors are read at each call (*extras*:
arguments that nobody passes), so that optimizer steps, `load_state_dict` and hand-made changes are
seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import chain
from types import CellType, ModuleType
from typing import Any

from codegen import Captured, ConstParam, DictParam, Param, SequenceParam, UnchangedParam
from ir import Graph, Node, record, replace
from jit.plainness import is_tensor
from jit.script.resolve import DICTS, MISSING, Capture, Lookup
from jit.script.structure_guards import HOOKS, ITEMS

_PLAIN_GET: Any = object.__getattribute__
_BY_VALUE = (int, float, complex, str, bytes, range)


@record
class Extra:
    """A value that is read from `holder` under `key` at each call; one that `is_held` never changes
    but for its elements, and plans hold it.
    """

    holder: object
    key: str
    is_held: bool = False

    def read(self) -> Any:
        """What it is now; LookupError when it is gone."""
        if isinstance(self.holder, dict):
            return self.holder[self.key]
        try:
            return (
                self.holder.cell_contents
                if isinstance(self.holder, CellType)
                else getattr(self.holder, self.key)
            )
        except (ValueError, AttributeError) as error:
            raise LookupError(self.key) from error


def tensor_constants(graph: Graph) -> list[Node]:
    """The constants of a graph that are tensors, in order."""
    return [
        n for n in graph.walk() if n.name == "prim::Constant" and is_tensor(n.attrs.get("value"))
    ]


def split(
    graph: Graph, captures: Sequence[Capture], known: Mapping[Node, Extra], is_frozen: bool
) -> tuple[list[Extra], list[Capture]]:
    """Where to read each tensor constant: the place that is `known`, its captured name, or a place
    of our own; and the captured names that remain, whose values are part of the graph. Other
    constants of a graph that `is_frozen` are held.
    """
    captures = [_at_place(c) for c in captures]
    holders = {id(c.value): Extra(c.holder, c.key) for c in captures}
    nodes = tensor_constants(graph)
    tensors = [node.attrs["value"] for node in nodes]
    extras = [
        known.get(node) or holders.get(id(t)) or Extra({"tensor": t}, "tensor", is_frozen)
        for node, t in zip(nodes, tensors, strict=True)
    ]
    read = set(map(id, tensors))
    return extras, [c for c in captures if id(c.value) not in read]


def place_of(obj: Any, name: str) -> tuple[Any, str]:
    """Where an attribute is kept: a dict of the object's own where there is one, which is read
    faster than the attribute.
    """
    cls = type(obj)
    is_plain = cls.__getattribute__ is _PLAIN_GET
    if not is_plain or hasattr(inspect.getattr_static(cls, name, None), "__set__"):
        return obj, name
    own = getattr(obj, "__dict__", {})
    for held in (own, *map(own.get, ("_parameters", "_buffers", "_modules"))):
        if type(held) is dict and name in held:
            return held, name
    return obj, name


def _at_place(capture: Capture) -> Capture:
    """A captured name, read where it is kept."""
    if isinstance(capture.holder, dict | CellType | type | ModuleType):
        return capture
    holder, key = place_of(capture.holder, capture.key)
    return capture if holder is capture.holder else replace(capture, holder=holder, key=key)


def guards(captures: Sequence[Capture]) -> list[Captured]:
    """A guard for every captured name; one for all that is known of the structure of modules."""
    found: list[Captured] = []
    structure: list[tuple[Any, ...]] = []
    for capture in captures:
        entries = _entries(capture)
        if entries is not None:
            structure.append(entries)
        else:
            found.append(Captured(capture.holder, capture.key, _guard(capture)))
    if structure:
        found.append(Captured(tuple(structure), "structure", UnchangedParam(len(structure))))
    return found


def _guard(capture: Capture) -> Param:
    return ConstParam(capture.value, True) if capture.is_live else _same(capture.value)


def _entries(capture: Capture) -> tuple[Any, ...] | None:
    """A dict of a module's as `UnchangedParam` takes it; None for any other captured name."""
    holder, value = capture.holder, capture.value
    if isinstance(holder, Lookup) and value is MISSING:
        return (holder.entries, holder.key)
    if capture.key in (*HOOKS, ITEMS) and type(value) in DICTS:
        return (capture.read(), *chain.from_iterable(value.items()))
    return None


def _same(value: Any) -> Param:
    """The guard that a captured value has not changed: plain data by value, everything else by
    identity.
    """
    if type(value) in (list, tuple):
        return SequenceParam(tuple(map(_same, value)), isinstance(value, list))
    if type(value) in DICTS:
        items = tuple((key, _same(item)) for key, item in value.items())
        return DictParam(items, is_ordered=type(value) is not dict)
    return ConstParam(value, is_identity=type(value) not in _BY_VALUE)


def are_current(captures: Sequence[Capture]) -> bool:
    """Whether every captured name still holds what was compiled."""
    return all(
        c.read() is c.value if c.is_live else _equal(c.read(), c.value) for c in captures
    )


def _equal(now: Any, then: Any) -> bool:
    """What `_same` guards, asked in Python."""
    if type(now) is not type(then):
        return False
    if type(then) in (list, tuple):
        return len(now) == len(then) and all(map(_equal, now, then))
    if type(then) in DICTS:
        return list(now) == list(then) and all(_equal(now[k], then[k]) for k in then)
    if type(then) is float:
        return repr(now) == repr(then)
    return bool(now == then) if type(then) in _BY_VALUE else now is then
