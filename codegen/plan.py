"""A plan: one specialized graph as machine code, from graph to a callable address.

    specialized graph ─► partition ─► lower ─► schedule
                         ─► entry (guards) ─► body (kernels) ─► engine ─► Plan
                                                                  ▲
                        object cache: Record ─────────────────────┘

A plan that was linked from a record of the cache was not lowered in this process: what only reports
want to see of it (`emitted`) is made when they ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import llvmlite.ir as ll

from codegen.body import Body
from codegen.callback import Compile
from codegen.engine import Source
from codegen.entry import EntryBuilder
from codegen.linked import ENTRY, Emitted, Plan
from codegen.params import Captured, Param, with_writes
from codegen.partition import STRUCTURE, Callback
from codegen.prepare import Prepared, prepare
from codegen.refuse import Refused
from codegen.runtime import engine
from codegen.target import host
from ir import Aliases, Facts, Graph, Known, Node, Opaque, replace


def compile_plan(made: Emitted) -> Plan:
    """The second half of compiling: LLVM's work."""
    library = engine().load(made.source, made.imports)
    return Plan(library, made.objects, len(made.kernels), lambda: made, made.parts)


def emit(
    graph: Graph,
    params: Sequence[Param],
    known: Known,
    facts: Facts,
    *,
    keywords: Sequence[str] = (),
    captured: Sequence[Captured] = (),
    taken: Mapping[Node, Sequence[Node]] = {},
    compile_later: Compile | None = None,
) -> Emitted:
    """The first half of compiling a specialized graph: everything but LLVM's work. Raises Refused
    with the reason when no plan can be made.

    The graph's parameters are what varies among `params` and `captured`, in order
    (`codegen.unbox.variables`); `keywords` name the last of `params` where they are passed so;
    `taken` are nodes that others of the graph do besides, for the report; `compile_later` makes
    functions of graphs that only a run tells the types of.
    """
    prepared = prepare(graph, known, host().vector_bytes)
    prepared.positions.verify(facts)
    if _is_idle(prepared):
        raise Refused("nothing native")
    module, written = ll.Module(), _written(graph)
    expected = with_writes([*params, *(c.param for c in captured)], written)
    entry = EntryBuilder(
        module,
        ENTRY,
        expected[: len(params)],
        keywords=keywords,
        captured=list(map(_expecting, captured, expected[len(params) :])),
        assumptions=list(facts.assumptions),
        written=written,
    )
    body = Body(entry, prepared, compile_later)
    body.emit()
    entry.close()
    source, objects = Source.of(module), entry.constants.objects
    return Emitted(
        prepared,
        body.kernels,
        source,
        objects,
        entry.imports,
        taken,
        body.parts,
        body.callbacks,
    )


def _expecting(captured: Captured, param: Param) -> Captured:
    return replace(captured, param=param)


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
