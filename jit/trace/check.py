"""Tests a trace: record again, run both, and name the user's line where they first differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ir import Aliases, Effect, Graph, Interpreter, Node, Value
from jit.trace.recorder import TracerWarning
from jit.trace.state import ModuleState, module_of
from jit.trace.structure import clone_leaves, flatten
from jit.trace.tracer import Arguments, Spelling, TracedGraph, trace_graph


class TracingCheckError(Exception):
    """A trace does not do what the function does; the message names the line where they part."""


def check_trace(
    fn: Callable[..., Any],
    made: TracedGraph,
    inputs: Sequence[Arguments],
    tolerance: float,
    normal: Spelling,
) -> None:
    """Compare a trace with its function on every set of inputs; TracingCheckError at the first
    difference.
    """
    is_random = False
    for arguments in inputs:
        is_random |= _check_one(fn, made, clone_leaves(arguments), tolerance, normal)
    if is_random:
        _note_random(made.graph)


def _note_random(graph: Graph) -> None:
    random = [n for n in graph.walk() if n.op.effect is Effect.RANDOM or n.name.endswith("dropout")]
    lines = "\n".join(f"{n.name}\n{n.span.render()}" if n.span else n.name for n in random)
    text = f"the trace has nondeterministic nodes; it was compared under one seed:\n{lines}"
    warnings.warn(text, TracerWarning, stacklevel=4)


def _check_one(
    fn: Callable[..., Any],
    made: TracedGraph,
    inputs: Arguments,
    tolerance: float,
    normal: Spelling,
) -> bool:
    """Compare on one set of inputs; whether random numbers were drawn."""
    leaves, structure = flatten(normal(*clone_leaves(inputs)))
    if structure != made.in_structure:
        raise TracingCheckError(
            "the inputs to check with are nested unlike the example's, or hold other constants"
        )
    with torch.random.fork_rng(devices=()):
        state = torch.get_rng_state()
        args, kwargs = clone_leaves(inputs)
        with _kept(made.graph, fn):
            again = trace_graph(
                fn, args, kwargs, normal=normal, is_quiet=True, keeps_results=True
            )
        is_random = not torch.equal(state, torch.get_rng_state())
        parted = _first_difference(made.graph, again.graph)
        if parted is not None:
            raise TracingCheckError(
                _explain("the function does something else when it runs again", *parted)
            )
        torch.set_rng_state(state)
        observed: dict[Value, Any] = {}
        with _kept(made.graph, fn):
            Interpreter(made.graph).run(*leaves, observer=_Keep(observed))
    _compare(made.graph, observed, again, tolerance)
    return is_random


@contextmanager
def _kept(graph: Graph, fn: Callable[..., Any]) -> Iterator[None]:
    """Leave tensors that the graph reads from outside and writes to, such as running statistics,
    and the module's attributes as they were.
    """
    aliases = Aliases(graph)
    written = [t for value, t in _outside(graph) if aliases.is_written(value)]
    before = [tensor.detach().clone() for tensor in written]
    state = ModuleState(module_of(fn))
    try:
        yield
    finally:
        state.restore()
        for tensor, value in zip(written, before, strict=True):
            tensor.detach().copy_(value)


def _outside(graph: Graph) -> Iterator[tuple[Value, torch.Tensor]]:
    """The tensors that a graph holds or reads from a module."""
    for node in graph.block.nodes:
        found = node.attrs.get("value")
        if node.name == "prim::GetAttr":
            source = node.inputs[0].node
            found = source and getattr(source.attrs["value"], node.attrs["name"])
        if isinstance(found, torch.Tensor):
            yield node.output, found


class _Keep:
    """An observer that keeps a copy of every tensor."""

    def __init__(self, results: dict[Value, Any]) -> None:
        self._results = results

    def observe(self, value: Value, result: object) -> None:
        if isinstance(result, torch.Tensor):
            self._results[value] = result.detach().clone()


def _first_difference(a: Graph, b: Graph) -> tuple[Node | None, Node | None] | None:
    """The first pair of nodes that are not the same operator on the same constants."""
    for first, second in zip(a.block.nodes, b.block.nodes, strict=False):
        if first.name != second.name or not _same_attributes(first, second):
            return first, second
    nodes, others = a.block.nodes, b.block.nodes
    if len(nodes) == len(others):
        return None
    common = min(len(nodes), len(others))
    return (nodes[common] if common < len(nodes) else None), (
        others[common] if common < len(others) else None
    )


def _same_attributes(a: Node, b: Node) -> bool:
    x, y = a.attrs.get("value"), b.attrs.get("value")
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return x is y or (x.dtype == y.dtype and x.shape == y.shape and bool(torch.equal(x, y)))
    return type(x) is type(y) and (x == y or repr(x) == repr(y))


def _compare(
    graph: Graph, observed: Mapping[Value, Any], again: TracedGraph, tolerance: float
) -> None:
    for node, twin in zip(graph.block.nodes, again.graph.block.nodes, strict=True):
        for value, other in zip(node.outputs, twin.outputs, strict=True):
            if (
                value in observed
                and other in again.results
                and not _agree(observed[value], again.results[other], tolerance)
            ):
                raise TracingCheckError(
                    _explain("the graph computes something else than the function", node, twin)
                )


def _agree(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not (a.is_floating_point() or a.is_complex()):
        return bool(torch.equal(a, b))
    return bool(torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))


def _explain(what: str, first: Node | None, second: Node | None) -> str:
    """The users' lines of the traced node and of its counterpart."""

    def show(label: str, node: Node | None) -> str:
        if node is None:
            return f"{label}: nothing"
        user = (
            node
            if node.name != "prim::Constant" or not node.output.uses
            else node.output.uses[0][0]
        )
        span = node.span or user.span
        attrs = f" of {node.attrs['value']!r}" if "value" in node.attrs else ""
        return f"{label}: {node.name}{attrs}" + (f"\n{span.render()}" if span else "")

    return f"{what}; they part here:\n{show('traced', first)}\n{show('now', second)}"
