"""The pipeline: from a front end's graph to one that code generation takes.

    script, trace, .pt ─► Graph
                            │  inline         calls of graphs
                            │  unpack         reads of containers that the graph has made
                            │  fold           sizes, numbers, dtypes that are known
                            │  invariant      branches on constants, values that go around unchanged
                            │  unroll         loops of few iterations over tensors
                            │  functionalize  in-place ops on memory of our own become values
                            │  decompose      composite rows
                            │  fold, rules    algebra that is exact
                            │  cse, licm      repeated and loop-invariant work
                            ▼  dce            what nothing needs
                          Graph ─► groups ─► loop nests (codegen)

Every pass takes valid IR and leaves valid IR; `verify_between` checks that after each one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ir.abstract import Known, is_literal
from ir.builder import Builder
from ir.dims import Sym
from ir.errors import VerifyError
from ir.graph import Graph, Value
from ir.passes import (
    cse,
    dce,
    decompose,
    fold,
    functionalize,
    inline,
    invariant,
    licm,
    rules,
    unpack,
    unroll,
)
from ir.passes.infer import infer
from ir.verify import verify


@dataclass(frozen=True, slots=True)
class Pass:
    """A named walk over a graph; `run` says whether it changed anything."""

    name: str
    run: Callable[[Graph], bool]


PASSES = {
    p.name: p for p in (
        Pass("inline", inline.run),
        Pass("unpack", unpack.run),
        Pass("fold", fold.run),
        Pass("invariant", invariant.run),
        Pass("unroll", unroll.run),
        Pass("functionalize", functionalize.run),
        Pass("decompose", decompose.run),
        Pass("rules", rules.run),
        Pass("cse", cse.run),
        Pass("licm", licm.run),
        Pass("dce", dce.run),
    )
}

PIPELINE = tuple(PASSES[name] for name in (
    "inline",
    "unpack",
    "fold",
    "invariant",
    "unroll",
    "functionalize",
    "decompose",
    "fold",
    "rules",
    "cse",
    "licm",
    "dce",
))


class Watcher(Protocol):
    """Who follows a pipeline: called after every pass."""

    def after(self, step: Pass, graph: Graph, changed: bool, seconds: float) -> None: ...


def run_pipeline(graph: Graph, passes: Iterable[Pass] = PIPELINE, *, verify_between: bool = False,
                 watcher: Watcher | None = None) -> Graph:
    """Run passes over `graph`, which they change; the same graph."""
    for step in passes:
        start = time.perf_counter()
        changed = step.run(graph)
        seconds = time.perf_counter() - start
        if verify_between:
            _verify_after(step, graph)
        if watcher is not None:
            watcher.after(step, graph, changed, seconds)
    return graph


def optimize(graph: Graph, known: Mapping[Value, Any]) -> Known:
    """Bring a specialized graph into the form that code generation takes; what is known of its
    values afterwards. Parameters are typed; `known` ones are constants or symbolic sizes."""
    builder = Builder.before(graph.block.nodes[0]) if graph.block.nodes else Builder(graph.block)
    for value, constant in known.items():
        if is_literal(constant) and not isinstance(constant, Sym):
            value.replace_all_uses_with(builder.const(constant, value.type))
    infer(graph, known)
    run_pipeline(graph, [_informed(step, known) for step in PIPELINE])
    return infer(graph, known)


def _informed(step: Pass, known: Mapping[Value, Any]) -> Pass:
    """Decompositions see what inference finds, symbolic sizes above all; so do writes, whose
    targets may have got their types by folding.
    """
    if step is PASSES["decompose"]:
        return Pass(step.name, lambda graph: decompose.run(graph, infer(graph, known)))
    if step is PASSES["functionalize"]:
        return Pass(step.name, lambda graph: _functionalize(graph, known))
    return step


def _functionalize(graph: Graph, known: Mapping[Value, Any]) -> bool:
    if any(node.op.inplace_of is not None for node in graph.walk()):
        infer(graph, known)
    return functionalize.run(graph)


def _verify_after(step: Pass, graph: Graph) -> None:
    try:
        verify(graph)
    except VerifyError as error:
        raise VerifyError(f"after pass '{step.name}': {error}") from None


class Dump:
    """A watcher that prints time and, where it changed, text after every pass."""

    def __init__(self, write: Callable[[str], object] = print) -> None:
        self.write = write

    def after(self, step: Pass, graph: Graph, changed: bool, seconds: float) -> None:
        """Print one step."""
        self.write(f"# {step.name}: {seconds * 1e6:.0f} us{'' if changed else ', no change'}")
        if changed:
            self.write(str(graph))
