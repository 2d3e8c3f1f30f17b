"""Loop nests: what one kernel computes, before any loop order is chosen.

A nest runs over a *domain* of loop variables. With reductions in it, the domain splits in two:

    for each point of the outer variables                        (rows; the parallel loops)
        for phase in 0 .. P-1:
            for each point of the reduced variables              (the row; stays in cache between
            phases)
                combine the reductions of this phase; store the full-domain roots of this phase
            finish the reductions: row values, used by later phases
        store the row roots

A softmax is one nest with three phases. Without reductions there is one phase and every variable is
outer.

Everything is define-by-run: a nest names the values it must produce (`Root`, `Reduce`); their
operands are found by evaluating producers at an index, down to buffers in memory. So a producer
fuses into its consumers by construction.
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.index import Affine, Index, Var
from ir import Dim, DType, Node, Value, field, record

Key = tuple[object, ...]  # (value, index key)


@record(frozen=False, eq=False)
class Buffer:
    """Memory that holds a value: `base` is the value that owns it (itself, or what it is a view
    of); strides and offset in
    elements."""

    base: Value
    dtype: DType
    dims: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    offset: Dim = 0


@record(frozen=False, eq=False)
class Access:
    """One read or write at an affine address of a buffer; `buffer` None stands for an index used as
    a value.
    """

    buffer: Buffer | None
    address: Affine
    is_write: bool = False


@record(frozen=False, eq=False)
class Root:
    """Store `value` at `index` (in loop variables) into `buffer` at `address`."""

    value: Value
    index: Index
    buffer: Buffer
    address: Affine
    phase: int = 0


@record(frozen=False, eq=False)
class Reduce:
    """A reduction of this nest: `node` applied to its input at `index`, ready after `phase`. `kept`
    is the index key of its
    outputs; `position` the linear position of an element along the reduced dims (for argmax)."""

    node: Node
    index: Index
    kept: Key
    position: Affine
    phase: int = 0


@record(frozen=False, eq=False)
class Nest:
    """One kernel's work: see the module head."""

    domain: list[Var]
    reduced: list[Var] = field(default_factory=list)
    is_rowless: bool = False
    """Whether it reduces single elements: then no other reduction can bring rows."""
    roots: list[Root] = field(default_factory=list)
    reduces: list[Reduce] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    scalars: dict[Value, None] = field(default_factory=dict)  # numbers that the body computes
    sizes: list[Dim] = field(default_factory=list)  # symbolic sizes used as numbers
    phases: dict[Key, int] = field(
        default_factory=dict
    )  # first phase that can compute a value at an index
    loads: dict[Key, Buffer] = field(default_factory=dict)  # what is read from memory at an index
    sources: dict[Value, Buffer] = field(default_factory=dict)  # what lookups read
    uses: dict[Key, list[Key]] = field(
        default_factory=dict
    )  # what evaluating a value at an index visits
    cost: int = 0  # flop equivalents per point of the domain
    scan: Node | None = None  # a prefix along the one variable in `reduced`

    @property
    def outer(self) -> list[Var]:
        return [v for v in self.domain if v not in self.reduced]

    @property
    def phase_count(self) -> int:
        return 1 + max(
            [r.phase for r in self.reduces]
            + [r.phase for r in self.roots if self.is_full(r.index)],
            default=0,
        )

    def is_full(self, index: Sequence[Affine]) -> bool:
        """Whether an index moves with the reduced variables: the value lives in the row, not above
        it.
        """
        return any(v in self.reduced for i in index for v in i.terms)

    def reads(self) -> set[Value]:
        """The values whose buffers this nest reads."""
        return {a.buffer.base for a in self.accesses if a.buffer is not None and not a.is_write}

    def writes(self) -> set[Value]:
        return {r.buffer.base for r in self.roots}

    def __str__(self) -> str:
        loops = " ".join(
            f"{v}<{v.extent}{' reduced' if v in self.reduced else ''}" for v in self.domain
        )
        lines = [f"nest {loops or 'scalar'}"]
        lines += [f"  phase {r.phase}: {r.node.op.name} over {list(r.index)}" for r in self.reduces]
        lines += [
            f"  phase {r.phase}: %{r.buffer.base.name}[{r.address}]"
            f" = %{r.value.name}{list(r.index)}"
            for r in self.roots
        ]
        return "\n".join(lines)
