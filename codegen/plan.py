"""A plan: one specialized graph as machine code, from graph to a callable address.

    specialized graph ─► partition ─► lower ─► schedule ─► entry (guards) ─► body (kernels) ─► engine ─► Plan
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import llvmlite.ir as ll

from codegen.body import Body
from codegen.engine import Library
from codegen.entry import EntryBuilder, hits, install
from codegen.operands import Known
from codegen.params import Param
from codegen.prepare import Prepared, prepare
from codegen.runtime import engine
from codegen.target import host
from ir import Facts, Graph


@dataclass(eq=False, slots=True)
class Plan:
    """Machine code for one specialization of a graph. `address` is its entry; a miss goes on to `following`."""

    prepared: Prepared
    library: Library
    entry: EntryBuilder
    params: Sequence[Param]
    llvm: str

    @property
    def address(self) -> int:
        return self.library.address(self.entry.name)

    @property
    def hits(self) -> int:
        """Calls that passed the guards."""
        return hits(self.library, self.entry.name)

    def install(self, following: int | None = None) -> int:
        """Let misses go to another entry (default: the interpreter); the plan's own address."""
        return install(self.library, self.entry.name, following)


def compile_plan(graph: Graph, params: Sequence[Param], known: Known, facts: Facts) -> Plan:
    """Compile a specialized graph. Raises Refused with the reason when no plan can be made."""
    prepared = prepare(graph, known, host().vector_bytes)
    module = ll.Module()
    entry = EntryBuilder(module, "entry", params, assumptions=list(facts.assumptions))
    Body(entry, prepared).emit()
    entry.close()
    library = engine().load(module, entry.imports)
    return Plan(prepared, library, entry, params, str(module))
