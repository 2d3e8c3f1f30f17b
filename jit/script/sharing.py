"""Methods of modules that are alike are compiled once: the others get a copy of the graph, in which
their own modules, tensors and containers stand for those of the first.

    layers[0].forward ── compiled ──► graph, captures
    layers[1].forward ── structure equal ──► the same, with layers[1] for layers[0], and so inside

A method is shared when its code reaches nothing but the module itself and what leads to no module
(`Unit.outside` counts what else is read while it is compiled), and when no function that was made
for it holds a part. Within one script that is all; a later script, for which an `Example` is kept,
also asks whether anything has changed since.
"""

from __future__ import annotations

from collections.abc import Hashable
from types import FunctionType
from typing import Any

import torch

from ir import DType, Graph, Node, Type, record, replace
from jit.script.compiled import CompiledSource
from jit.script.frame import Callee, Frame, Unit
from jit.script.pysource import read_function
from jit.script.resolve import Capture, Lookup, same, snapshot
from jit.script.structure import Structure, is_part, is_plain_object, reach, structure
from jit.script.values import Operand, PyObject

Module = torch.nn.Module
Captures = dict[tuple[int, str], Capture]
_FREE = (Module, torch.Tensor, DType, Type)  # of these, what is no part may stand in any graph


class _Unshareable(Exception):
    """A graph holds something made for one module only."""


def shared_key(
    frame: Frame, fn: FunctionType, key: tuple[Any, ...], operands: list[Operand]
) -> tuple[Hashable, Structure] | None:
    """What calls of the same method on modules that are alike have in common, and the module's
    structure; None for other calls.
    """
    objects = [o.obj for o in operands if isinstance(o, PyObject)]
    if len(objects) != 1 or not isinstance(objects[0], Module):
        return None
    found = _structure_of(frame.unit, objects[0])
    span = frame.span if read_function(fn).is_library else None  # nodes have that of the call
    *head, keys = key
    pairs = zip(operands, keys, strict=True)
    kinds = tuple(None if isinstance(o, PyObject) else k for o, k in pairs)
    return (*head, kinds, span, found.shape), found


def _structure_of(unit: Unit, module: Module) -> Structure:
    """The structure of a module, with the attributes that the code changes."""
    found = unit.structures.get(id(module))
    if found is None:
        changed: dict[int, list[Any]] = {}
        for number, names in enumerate((unit.assigned, unit.frozen)):
            for holder, name in names:
                changed.setdefault(holder, []).append((number, name))

        def marks(part: Any) -> Hashable:
            return tuple(sorted(changed.get(id(part), ())))

        found = unit.structures[id(module)] = structure(module, marks)
    return found


def remember(unit: Unit, key: Hashable, callee: Callee, parts: tuple[Any, ...]) -> None:
    """Let a method that was compiled serve modules that are alike."""
    if callee.is_done and callee.result is not None and not callee.is_recursive:
        unit.shared[key] = (callee, parts)


def from_twin(unit: Unit, key: Hashable, found: Structure) -> Callee | None:
    """The method as compiled for a module that is alike; None without one."""
    callee, parts = unit.shared.get(key, (None, ()))
    if callee is None:
        return None
    exchange = {id(a): b for a, b in zip(parts, found.parts, strict=True) if a is not b}
    try:
        graph = _Exchange(exchange, unit.free).method(callee.graph)
        _capture_alike(unit.captures, exchange)
    except _Unshareable:
        del unit.shared[key]
        return None
    return replace(callee, graph=graph)


def _capture_alike(captures: Captures, exchange: dict[int, Any]) -> None:
    """What was read from parts is now read from those that stand for them, too."""
    for capture in list(captures.values()):
        holder = capture.holder
        mapping = holder.mapping if isinstance(holder, Lookup) else None
        if id(holder) in exchange:
            _capture(captures, capture, exchange[id(holder)], capture.key)
        elif id(mapping) in exchange:
            twin = Lookup(exchange[id(mapping)], holder.key)
            _capture(captures, capture, twin, f"[{holder.key!r}]")


def _capture(captures: Captures, like: Capture, holder: Any, key: str) -> None:
    value = replace(like, holder=holder).read()
    if is_plain_object(holder) and not (same(value, like.value) or is_plain_object(value)):
        raise _Unshareable  # its class gives what its dict does not say
    place = holder.mapping if isinstance(holder, Lookup) else holder
    captures.setdefault((id(place), key), replace(like, holder=holder, value=snapshot(value)))


@record(frozen=False, eq=False, slots=False)
class Example:
    """A method of a module as one script compiled it, for later scripts of modules that are alike.
    Whoever owns the method keeps it: it holds the module.
    """

    module: Module
    shape: Hashable
    source: CompiledSource

    @staticmethod
    def of(module: Module, source: CompiledSource) -> Example | None:
        """The example that a compiled method makes; None when others may not have it."""
        found = structure(module, _no_marks)
        is_shareable = source.is_shareable and not found.is_unique
        return Example(module, found.shape, source) if is_shareable else None

    def graph_for(self, module: Module) -> Graph | None:
        """The method for a module that is alike; None when it is not, or when something that was
        read while compiling has changed since.
        """
        here, there = structure(module, _no_marks), structure(self.module, _no_marks)
        if not here.shape == self.shape == there.shape or not self.source.is_current():
            return None
        exchange = {id(a): b for a, b in zip(there.parts, here.parts, strict=True) if a is not b}
        captures = {(id(c.holder), c.key): c for c in self.source.captures}
        try:
            graph = _Exchange(exchange, {}).method(self.source.graph)
            _capture_alike(captures, exchange)
        except _Unshareable:
            return None
        return graph


def _no_marks(part: Any) -> Hashable:
    return ()


class _Exchange:
    """One copy of a graph and of those that it calls; `parts` has, by identity, what stands for
    what.
    """

    def __init__(self, parts: dict[int, Any], free: dict[Graph, bool]) -> None:
        self.parts = parts
        self.free = free
        self.made: dict[Graph, Graph] = {}

    def method(self, graph: Graph) -> Graph:
        """The copy of a method: each module has its own graphs."""
        if graph not in self.made:
            self.made[graph] = made = graph.copy()
            for node in made.walk():
                for name, value in _held(node):
                    is_method = isinstance(value, Graph) and "receiver" in node.attrs
                    node.attrs[name] = self.method(value) if is_method else self.value(value)
        return self.made[graph]

    def value(self, value: Any) -> Any:
        if isinstance(value, Graph):  # of a function: itself where it holds no part of any module
            return value if is_free(value, self.free) else self.method(value)
        if id(value) in self.parts:
            return self.parts[id(value)]
        if isinstance(value, tuple):
            new = tuple(map(self.value, value))
            return value if all(a is b for a, b in zip(new, value, strict=True)) else new
        reached = [] if isinstance(value, _FREE) else reach(value)
        if reached is None or any(id(o) in self.parts for o in reached):
            raise _Unshareable
        return value


def is_free(graph: Graph, known: dict[Graph, bool]) -> bool:
    """Whether a graph, and all that it calls, holds nothing that could be a part of a module."""
    if graph not in known:
        known[graph] = False  # one that calls itself is copied
        known[graph] = all(_is_free(v, known) for n in graph.walk() for _, v in _held(n))
    return known[graph]


def _is_free(value: Any, known: dict[Graph, bool]) -> bool:
    if isinstance(value, Graph):
        return is_free(value, known)
    if isinstance(value, Module | torch.Tensor):
        return False
    reached = [] if isinstance(value, _FREE) else reach(value)
    return reached is not None and not any(map(is_part, reached))


def _held(node: Node) -> list[tuple[str, Any]]:
    """The attributes of a node that may hold objects; the function of a call is that of the key."""
    is_call = node.name == "prim::CallFunction"
    return [(n, v) for n, v in node.attrs.items() if not (is_call and n == "function")]
