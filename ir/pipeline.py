"""The pipeline: from a front end's graph to one that code generation takes.

    script, trace, .pt ─► Graph
                            │  inline         calls of graphs
                            │  rebind         tensors that take on other sizes in place are others
                            │  unpack         reads of containers that the graph has made
                            │  fold           sizes, numbers, dtypes that are known
                            │  invariant      branches on constants, values that go around unchanged
                            │  unpack         what these branches have handed on
                            │  unroll         loops of few iterations over tensors
                            │  gather         lists that are only joined become the join's memory
                            │  unpack         lists composed of those that are known now
                            │  widen          products with each row of a tensor become one product
                            │  functionalize  in-place ops on memory of our own become values
                            │  decompose      composite rows
                            │  unpack         lists that these gave
                            │  fold, rules    algebra that is exact
                            │  cse, licm      repeated and loop-invariant work
                            ▼  dce            what nothing needs
                          Graph ─► groups ─► loop nests (codegen)

Every pass takes valid IR and leaves valid IR; `verify_between` checks that after each one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ir.abstract import Known, is_literal
from ir.builder import Builder
from ir.dims import Sym
from ir.errors import VerifyError
from ir.graph import Graph, Node, Value
from ir.ops.control import LOOP
from ir.ops.methods import LISTS
from ir.passes import (
    cse,
    dce,
    decompose,
    fold,
    functionalize,
    gather,
    inline,
    invariant,
    licm,
    pieces,
    rebind,
    rules,
    unpack,
    unroll,
    widen,
)
from ir.passes.infer import infer
from ir.records import record
from ir.verify import verify


@record
class Pass:
    """A named walk over a graph; `run` says whether it changed anything."""

    name: str
    run: Callable[[Graph], bool]


PASSES = {
    p.name: p for p in (
        Pass("inline", inline.run),
        Pass("rebind", rebind.run),
        Pass("unpack", unpack.run),
        Pass("fold", fold.run),
        Pass("invariant", invariant.run),
        Pass("unroll", unroll.run),
        Pass("gather", gather.run),
        Pass("widen", widen.run),
        Pass("functionalize", functionalize.run),
        Pass("pieces", pieces.run),
        Pass("decompose", decompose.run),
        Pass("rules", rules.run),
        Pass("cse", cse.run),
        Pass("licm", licm.run),
        Pass("dce", dce.run),
    )
}

PIPELINE = tuple(PASSES[name] for name in (
    "inline",
    "rebind",
    "unpack",
    "fold",
    "invariant",
    "unpack",
    "unroll",
    "gather",
    "unpack",
    "widen",
    "functionalize",
    "pieces",
    "decompose",
    "unpack",
    "fold",
    "rules",
    "cse",
    "licm",
    "dce",
))


_INFORMED: dict[str, tuple[Callable[[Node], bool], Callable[[Graph, Known], bool]]] = {
    "gather": (lambda node: LISTS.get(node.name) == "append", gather.run),
    "widen": (lambda node: node.op is LOOP, widen.run),
    "functionalize": (
        lambda node: node.op.inplace_of is not None,
        lambda graph, known: functionalize.run(graph),
    ),
    "pieces": (pieces.makes_pieces, pieces.run),
    "decompose": (lambda node: True, decompose.run),
}
"""Decompositions, lists and loops depend on symbolic sizes above all; the targets of writes may
have got their types by folding.
"""


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
    _settle_sizes(graph, known)
    run_pipeline(graph, [_informed(step, known) for step in PIPELINE])
    return infer(graph, known)


_SETTLING = ("inline", "unpack", "fold", "invariant", "unroll", "gather")


def _settle_sizes(graph: Graph, known: Mapping[Value, Any]) -> None:
    """Lists that loops fill, one number per dim of a tensor, may decide the sizes of other tensors,
    whose dims then say how often the next such loop runs.
    """
    names: Sequence[str] = _SETTLING
    while any(map(unroll.is_filling, graph.walk())):
        changes = [PASSES[name].run(graph) for name in names]
        if not any(changes):
            break
        infer(graph, known)
        names = _SETTLING[1:]  # the calls that are left are of graphs that call themselves


def _informed(step: Pass, known: Mapping[Value, Any]) -> Pass:
    """A pass that sees what inference finds, where the graph has what it looks for."""
    if step.name not in _INFORMED:
        return step
    concerns, informed = _INFORMED[step.name]

    def run(graph: Graph) -> bool:
        if any(map(concerns, graph.walk())):
            return informed(graph, infer(graph, known))
        return step.run(graph)

    return Pass(step.name, run)


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
