"""Tests a trace: record again, run both, and name the user's line where they first differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
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
        for keeps in (_is_written, lambda value: True):  # all values only where the ends differ
            torch.set_rng_state(state)
            args, kwargs = clone_leaves(inputs)
            with _kept(made.graph, fn):
                again = trace_graph(fn, args, kwargs, normal=normal, is_quiet=True, keeps=keeps)
            is_random = not torch.equal(state, torch.get_rng_state())
            parted = _first_difference(made.graph, again.graph)
            if parted is not None:
                raise TracingCheckError(
                    _explain("the function does something else when it runs again", *parted)
                )
            torch.set_rng_state(state)
            comparison = _Comparison(made.graph, again, tolerance)
            with _kept(made.graph, fn):
                Interpreter(made.graph).run(*clone_leaves(leaves), observer=comparison)
            if comparison.parted is None:
                return is_random
            what = "the graph computes something else than the function"
            difference = _explain(what, *comparison.parted)
    raise TracingCheckError(difference)


def _is_written(value: Value) -> bool:
    return value.node is not None and value.node.op.effect is Effect.WRITE


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


class _Comparison:
    """An observer that compares what a graph computes with the results of its twin, and notes the
    first nodes whose results differ. It keeps nothing else: the check of a large model needs no
    more memory than its run.
    """

    def __init__(self, graph: Graph, again: TracedGraph, tolerance: float) -> None:
        self.parted: tuple[Node, Node] | None = None
        self._tolerance = tolerance
        self._expected = {
            value: (again.results[other], (node, twin))
            for node, twin in zip(graph.block.nodes, again.graph.block.nodes, strict=True)
            for value, other in zip(node.outputs, twin.outputs, strict=True)
            if other in again.results
        }

    def observe(self, value: Value, result: object) -> None:
        if self.parted is None and value in self._expected and isinstance(result, torch.Tensor):
            expected, nodes = self._expected[value]
            if not _agree(result.detach(), expected, self._tolerance):
                self.parted = nodes


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
