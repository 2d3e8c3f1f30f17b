"""A plan: one specialized graph as machine code, from graph to a callable address.

    specialized graph ─► partition ─► lower ─► schedule
                         ─► entry (guards) ─► body (kernels) ─► engine ─► Plan
                                                                  ▲
                        object cache: Record ─────────────────────┘

A plan that was linked from a record of the cache was not lowered in this process: what only reports
want to see of it (`emitted`) is made when they ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
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
from codegen.record import Record
from codegen.refuse import Refused
from codegen.runtime import engine
from codegen.target import host
from ir import Aliases, Facts, Graph, Known, Node, Opaque, field, record

ENTRY = "entry"


@record
class Emitted:
    """A specialized graph as LLVM IR, with what it was made by way of."""

    prepared: Prepared
    kernels: Sequence[Kernel]
    source: Source
    objects: dict[str, object]
    """Python objects that the code refers to, by name."""
    imports: Mapping[str, int]
    taken: Mapping[Node, Sequence[Node]]
    """Nodes that others do besides."""
    parts: Mapping[Callback, Callable[..., Any]]
    """Compiled functions that the plan calls, of what had to wait for types."""


@record(frozen=False, eq=False)
class Plan:
    """Machine code for one specialization of a graph. `address` is its entry; a miss goes on to
    `following`.
    """

    library: Library
    objects: dict[str, object]
    """What the code refers to lives as long as the plan."""
    kernel_count: int
    emit: Callable[[], Emitted]
    parts: Mapping[Callback, Callable[..., Any]] = field(default_factory=dict)
    """Compiled functions that the plan calls, of what had to wait for types; a plan that has some
    has no record.
    """

    @property
    def prepared(self) -> Prepared:
        return self.emit().prepared

    @property
    def kernels(self) -> Sequence[Kernel]:
        return self.emit().kernels

    @property
    def llvm(self) -> str:
        return self.emit().source.text

    @property
    def taken(self) -> Mapping[Node, Sequence[Node]]:
        return self.emit().taken

    @property
    def address(self) -> int:
        return self.library.address(ENTRY)

    @property
    def hits(self) -> int:
        """Calls that the plan served."""
        return hits(self.library, ENTRY)

    @property
    def faults(self) -> int:
        """Calls that passed the guards and left from the body."""
        return faults(self.library, ENTRY)

    def install(self, following: int | None = None) -> int:
        """Let misses go to another entry (default: the interpreter); the plan's own address."""
        return install(self.library, ENTRY, following)

    def to_record(self, guards: Sequence[str]) -> Record:
        """What the cache needs to link the plan again."""
        source = self.emit().source
        return Record(
            tuple(self.library.parts),
            source.exports,
            source.imports,
            self.objects,
            self.kernel_count,
            tuple(guards),
        )


def compile_plan(made: Emitted) -> Plan:
    """The second half of compiling: LLVM's work."""
    library = engine().load(made.source, made.imports)
    return Plan(library, made.objects, len(made.kernels), lambda: made, made.parts)


def relink_plan(found: Record, emit: Callable[[], Emitted]) -> Plan | None:
    """The plan of a record; None when its objects are no longer in the cache. `emit` makes what
    reports want to see, once.
    """
    imports = {name: id(value) for name, value in found.objects.items()}
    library = engine().relink(found.parts, found.exports, found.imports, imports)
    if library is None:
        return None
    return Plan(library, found.objects, found.kernels, cache(emit))


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
    module = ll.Module()
    entry = EntryBuilder(
        module,
        ENTRY,
        params,
        keywords=keywords,
        captured=captured,
        assumptions=list(facts.assumptions),
        written=_written(graph),
    )
    body = Body(entry, prepared, compile_later)
    body.emit()
    entry.close()
    source, objects = Source.of(module), entry.constants.objects
    return Emitted(prepared, body.kernels, source, objects, entry.imports, taken, body.parts)


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
