"""A plan: one specialized graph as machine code, from graph to a callable address.

    specialized graph ─► partition ─► lower ─► schedule
                         ─► entry (guards) ─► body (kernels) ─► engine ─► Plan
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import llvmlite.ir as ll

from codegen.body import Body
from codegen.callback import Compile
from codegen.engine import Library, Source
from codegen.entry import EntryBuilder, faults, hits, install
from codegen.kernel import Kernel
from codegen.params import Captured, Param
from codegen.partition import STRUCTURE, Callback
from codegen.prepare import Prepared, prepare
from codegen.refuse import Refused
from codegen.runtime import engine
from codegen.target import host
from ir import Aliases, Facts, Graph, Known, Node, Opaque, record


@record(frozen=False, eq=False)
class Plan:
    """Machine code for one specialization of a graph. `address` is its entry; a miss goes on to
    `following`.
    """

    prepared: Prepared
    library: Library
    entry: EntryBuilder
    params: Sequence[Param]
    captured: Sequence[Captured]
    kernels: Sequence[Kernel]
    llvm: str
    taken: Mapping[Node, Sequence[Node]]
    """Nodes that others do besides."""
    parts: Mapping[Callback, Callable[..., Any]]
    """Compiled functions that the plan calls, of what had to wait for types."""

    @property
    def address(self) -> int:
        return self.library.address(self.entry.name)

    @property
    def hits(self) -> int:
        """Calls that the plan served."""
        return hits(self.library, self.entry.name)

    @property
    def faults(self) -> int:
        """Calls that passed the guards and left from the body."""
        return faults(self.library, self.entry.name)

    def install(self, following: int | None = None) -> int:
        """Let misses go to another entry (default: the interpreter); the plan's own address."""
        return install(self.library, self.entry.name, following)


def compile_plan(
    graph: Graph,
    params: Sequence[Param],
    known: Known,
    facts: Facts,
    *,
    keywords: Sequence[str] = (),
    captured: Sequence[Captured] = (),
    taken: Mapping[Node, Sequence[Node]] = {},
    compile_later: Compile | None = None,
) -> Plan:
    """Compile a specialized graph. Raises Refused with the reason when no plan can be made.

    The graph's parameters are what varies among `params` and `captured`, in order
    (`codegen.unbox.variables`); `keywords` name the last of `params` where they are passed so;
    `taken` are nodes that others of the graph do besides, for the report; `compile_later` makes
    functions of graphs that only a run tells the types of.
    """
    prepared = prepare(graph, known, host().vector_bytes)
    prepared.positions.verify(facts)
    if _is_idle(prepared):
        raise Refused("nothing native")
    module = ll.Module()
    assumptions = list(facts.assumptions)
    entry = EntryBuilder(
        module,
        "entry",
        params,
        keywords=keywords,
        captured=captured,
        assumptions=assumptions,
        written=_written(graph),
    )
    body = Body(entry, prepared, compile_later)
    body.emit()
    entry.close()
    source = Source.of(module)
    library = engine().load(source, entry.imports)
    kernels, parts = body.kernels, body.parts
    return Plan(prepared, library, entry, params, captured, kernels, source.text, taken, parts)


def _written(graph: Graph) -> list[int]:
    """Positions of the parameters that the graph writes."""
    written = Aliases(graph).written_params(graph)
    return [k for k, param in enumerate(graph.params) if param in written]


def _is_idle(prepared: Prepared) -> bool:
    """Whether plans of this graph could do no more than call back."""
    items = [item for items in prepared.items.values() for item in items]
    has_work = any(isinstance(i, Node) and i.name not in STRUCTURE for i in items)
    called = [node for i in items if isinstance(i, Callback) for node in i.nodes]
    is_opaque = all(isinstance(n.op.rule, Opaque) for n in called if n.name not in STRUCTURE)
    return bool(called) and is_opaque and not has_work and not prepared.schedules
