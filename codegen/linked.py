"""A plan as it runs: linked code, and the chain of entries that it is part of. Nothing here lowers:
a process that finds its plans in the cache loads no more than this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from codegen.engine import Library, Source
from codegen.record import Called, Record
from codegen.runtime import engine, slow_entry
from ir import Graph, Node, field, record

if TYPE_CHECKING:
    from codegen.kernel import Kernel
    from codegen.partition import Callback
    from codegen.prepare import Prepared

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
    callbacks: Mapping[str, Graph]
    """What the objects compute that the interpreter runs, by their names."""


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
        made = self.emit()
        source = made.source
        called = {name: Called(graph) for name, graph in made.callbacks.items()}
        return Record(
            tuple(self.library.parts),
            source.exports,
            source.imports,
            self.objects | called,
            self.kernel_count,
            tuple(guards),
        )


def relink_plan(found: Record, emit: Callable[[], Emitted]) -> Plan | None:
    """The plan of a record; None when its objects are no longer in the cache. `emit` makes what
    reports want to see, once.
    """
    imports = {name: id(value) for name, value in found.objects.items()}
    library = engine().relink(found.parts, found.exports, found.imports, imports)
    if library is None:
        return None
    return Plan(library, found.objects, found.kernels, cache(emit))


def install(library: Library, name: str = ENTRY, following: int | None = None) -> int:
    """Make a loaded entry ready: misses go to `following` (default: the interpreter). Returns
    the entry's address.
    """
    library.write_pointer(f"{name}.next", slow_entry() if following is None else following)
    return library.address(name)


def hits(library: Library, name: str = ENTRY) -> int:
    """How many calls passed the guards and stayed."""
    return library.read_i64(f"{name}.hits")


def faults(library: Library, name: str = ENTRY) -> int:
    """How many calls passed the guards, and then met what only the interpreter may serve."""
    return library.read_i64(f"{name}.faults")
