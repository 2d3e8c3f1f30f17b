"""How a nest runs: loop order, merged loops, the vector variable and its width, what runs in
parallel.

  outer variables (first one parallel) > reduced variables, one of all being the vector variable,
  always innermost of its kind

* The vector variable is the one along which most accesses are contiguous. When it is a reduced
  variable, accumulators are folded across lanes after the row; when it is an outer variable, each
  lane keeps its own accumulator.
* Loops that every access treats as one are merged: the outer variable stays at 0, the inner one
  runs further.
* When operands are contiguous along two different variables, both run in tiles, in which some are
  transposed (`codegen.tile`).
* A reduction of everything has no outer loop to run in parallel: its row is cut into chunks
  (`codegen.split`).
* Vectors may be several registers wide: that unrolls the loop and hides latency, most of it where
  chains of arithmetic are long, and it reads more of each row where columns are reduced.
* Results larger than the caches are written around them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen.cost import STREAM_COST
from codegen.index import Affine, Var, merges
from codegen.nest import Access, Nest, Root
from ir import Dim, Reduction, hint, product, record, size_max

REGISTERS = 2  # per vector: enough independent work, without spilling
CHEAP = 24  # flop equivalents per point up to which memory or latency sets the pace
SUM_REGISTERS = 4  # cheap reductions wait for their accumulators: more of them
COLUMN_REGISTERS = 8  # of sums down columns: whole runs of cache lines of each row
COLUMN_COST = 40  # flop equivalents per point up to which these set the pace
DEEP = 48  # flop equivalents per point whose dependences are longer than a CPU looks ahead
DEEP_PER_STREAM = 16  # per run through memory: below, those set the pace
DEEP_REGISTERS = 4
SPLIT_WORK = 1 << 20  # flop equivalents from which a single row is split
CHUNKS, MIN_CHUNK = 64, 1 << 14  # at most so many chunks, of at least so many elements
FEW, GATHER_COST = 16, 64  # iterations that leave lanes idle; flop equivalents worth gathering for
FEW_INDEXED = 32  # elements whose positions take as long to fold across lanes as to gather
LINE = 64  # bytes of a cache line
STREAMING = 2  # flop equivalents per byte up to which memory behind the caches sets the pace
GRAIN = 1 << 19  # flop equivalents below which a second thread costs more than it saves


@record(frozen=False, eq=False)
class Schedule:
    """The decisions for one nest; `width` lanes along `vector` (None: scalar code). `tile` is the
    last outer loop but one, when it
    runs in tiles with the vector variable."""

    outer: list[Var]
    reduced: list[Var]
    vector: Var | None
    width: int
    is_parallel: bool
    tile: Var | None = None
    chunk: Dim | None = (
        None  # elements of the outermost reduced loop per chunk, when the row is split
    )

    @property
    def chunks(self) -> Dim:
        """How many chunks the row is cut into."""
        extent = self.reduced[0].extent
        return 1 if self.chunk is None else (extent + (self.chunk - 1)) // self.chunk

    def __str__(self) -> str:
        loops = [
            f"{v}<{v.extent}" + (f" x{self.width}" if v is self.vector else "") for v in self.outer
        ]
        row = [
            f"{v}<{v.extent}" + (f" x{self.width}" if v is self.vector else "")
            for v in self.reduced
        ]
        return f"{'parallel ' if self.is_parallel else ''}for {' '.join(loops) or '-'}" + (
            f" row {' '.join(row)}" if row else ""
        )


def schedule(nest: Nest, register_bytes: int, threads: bool = True) -> Schedule:
    """Choose a schedule; merging changes the extents of the nest's variables."""
    addresses = [a.address for a in nest.accesses]
    outer = [v for v in nest.outer if not _is_one(v)]
    reduced = [v for v in nest.reduced if not _is_one(v)]
    outer = _merged(_ordered(outer, nest.accesses), addresses)
    reduced = _merged(_ordered(reduced, nest.accesses), addresses) if nest.scan is None else reduced
    vector = _vector_variable(nest, outer, reduced)
    tile = _tile_variable(nest, outer, vector) if not nest.reduced else None
    _move_last(outer, tile)
    _move_last(outer, vector)
    _move_last(reduced, vector)
    points = hint(product(v.extent for v in [*outer, *reduced]))
    work = points * max(nest.cost, STREAM_COST * len(_streams(nest, vector)), 1)
    width = _width(nest, vector, register_bytes, is_tiled=tile is not None)
    chunk = _chunk(nest, outer, reduced, width) if threads and work > SPLIT_WORK else None
    is_parallel = threads and work > GRAIN and (bool(outer) or chunk is not None)
    return Schedule(outer, reduced, vector if width > 1 else None, width, is_parallel, tile, chunk)


def is_streaming(nest: Nest, plan: Schedule, cache_bytes: int) -> bool:
    """Whether a nest waits for memory: little arithmetic on more than the cache holds."""
    moved = {
        a.buffer
        for a in nest.accesses
        if a.buffer is not None and plan.vector is not None and plan.vector in a.address.terms
    }
    per_point = sum(b.dtype.itemsize for b in moved)
    total = sum(hint(product(b.dims)) * b.dtype.itemsize for b in moved)
    is_single = plan.tile is None and nest.phase_count == 1  # rows stay in cache between phases
    sizes = [b.dtype.itemsize for b in moved]
    if max(sizes, default=0) >= 8 * min(sizes, default=1):  # less than a byte of each mask
        return False
    return is_single and total > cache_bytes and nest.cost <= STREAMING * per_point


def past_caches(nest: Nest, plan: Schedule, cache_bytes: int) -> list[Root]:
    """The roots that are written around the caches: new memory that is larger than those, whole
    lines of it one after the other. Nobody reads it there before it is evicted, and a line that is
    overwritten need not be read first.
    """
    vector = plan.vector
    if vector not in plan.outer or nest.reduces:
        return []
    large = [
        r
        for r in nest.roots
        if r.buffer.base is r.value
        and hint(product(r.buffer.dims)) * r.buffer.dtype.itemsize > cache_bytes
        and is_unit(r.address, vector)
    ]
    return large if len(large) == 1 or all(starts_at_lines(r, vector) for r in large) else []


def starts_at_lines(root: Root, vector: Var) -> bool:
    """Whether whatever runs along `vector` starts at a cache line, if the buffer does."""
    size, where = root.buffer.dtype.itemsize, root.address
    starts = [where.const, *(c for v, c in where.terms.items() if v is not vector)]
    return all(isinstance(c, int) and c * size % LINE == 0 for c in starts)


def _chunk(nest: Nest, outer: list[Var], reduced: list[Var], width: int) -> Dim | None:
    """The chunk of a row that is worth splitting: nothing but one pass over it, and one row
    only.
    """
    if (
        outer
        or not reduced
        or nest.scan is not None
        or nest.phase_count > 2
        or any(r.phase for r in nest.reduces)
    ):
        return None
    if any(nest.is_full(r.index) and r.phase for r in nest.roots):
        return None
    extent = reduced[0].extent
    least = max(MIN_CHUNK // max(hint(product(v.extent for v in reduced[1:])), 1), 1)
    return (size_max(least, (extent + (CHUNKS - 1)) // CHUNKS) + (width - 1)) // width * width


def _tile_variable(nest: Nest, outer: list[Var], vector: Var | None) -> Var | None:
    """The variable along which operands are contiguous that are not so along the vector
    variable.
    """
    if vector not in outer:
        return None
    across = [
        a.address
        for a in nest.accesses
        if a.buffer is not None and not a.is_write and not is_unit(a.address, vector)
    ]
    for var in outer:
        if (
            var is not vector
            and min(hint(var.extent), hint(vector.extent)) >= 32
            and any(is_unit(a, var) and hint(a.coefficient(vector)) != 0 for a in across)
        ):
            return var
    return None


def is_unit(address: Affine, var: Var) -> bool:
    """Whether a step of the variable moves to the next element."""
    step = address.coefficient(var)
    return isinstance(step, int) and step == 1


def _is_one(var: Var) -> bool:
    return isinstance(var.extent, int) and var.extent == 1


def _vector_variable(nest: Nest, outer: list[Var], reduced: list[Var]) -> Var | None:
    """The variable with the most contiguous accesses; reduced variables win ties, then inner
    ones. Where there is much to compute, gathering costs less than lanes that stay idle; so it
    does where folding lanes takes longer than a short row.
    """
    candidates = [*outer, *reduced]
    rules = [r.node.op.rule for r in nest.reduces]
    is_indexed = any(isinstance(rule, Reduction) and rule.indexed for rule in rules)
    few = FEW_INDEXED if is_indexed else FEW if nest.cost >= GATHER_COST else 0
    candidates = [v for v in candidates if hint(v.extent) >= few] or candidates
    if not candidates:
        return None
    return max(candidates, key=lambda v: (_contiguity(v, nest.accesses), candidates.index(v)))


def _contiguity(var: Var, accesses: Sequence[Access]) -> float:
    """Bytes that vectors along `var` move contiguously, less those that they gather."""
    score = 0.0
    for access in accesses:
        if access.buffer is None:
            continue
        step = access.address.coefficient(var)
        times = math.prod(max(hint(v.extent), 1) for v in access.address.terms)
        size = access.buffer.dtype.itemsize * (2 if access.is_write else 1) * times
        if isinstance(step, int) and step in (0, 1):
            score += size if step else size * 0.1
        else:
            score -= size
    is_short = hint(var.extent) < 4
    return -math.inf if is_short and score <= 0 else score / 100 if is_short else score


def _move_last(variables: list[Var], var: Var | None) -> None:
    if var in variables:
        variables.remove(var)
        variables.append(var)


def _ordered(variables: list[Var], accesses: Sequence[Access]) -> list[Var]:
    """Outermost first: by the distance that a step moves in memory, writes counting most."""

    def distance(var: Var) -> tuple[int, int]:
        steps = [abs(hint(a.address.coefficient(var))) for a in accesses if a.buffer is not None]
        writes = [abs(hint(a.address.coefficient(var))) for a in accesses if a.is_write]
        return max(writes, default=0), max(steps, default=0)

    return sorted(variables, key=distance, reverse=True)


def _merged(variables: list[Var], addresses: Sequence[Affine]) -> list[Var]:
    """Fold each loop into its inner neighbor when every address moves through both as through
    one.
    """
    result = list(variables)
    for position in range(len(result) - 2, -1, -1):
        outer, inner = result[position], result[position + 1]
        if merges(outer, inner, addresses):
            inner.extent = inner.extent * outer.extent
            del result[position]
    return result


def _is_misaligned(nest: Nest, vector: Var, register_bytes: int) -> bool:
    """Whether rows that are written start anywhere: stores that straddle two cache lines then set
    the pace, and vectors of one register leave the shortest rests.
    """
    for access in nest.accesses:
        is_rare = bool(nest.reduced) and not nest.is_full([access.address])
        if access.buffer is not None and access.is_write and not is_rare:
            if vector not in access.address.terms:
                continue
            steps = [c for v, c in access.address.terms.items() if v is not vector]
            size = access.buffer.dtype.itemsize
            if any(isinstance(c, int) and c * size % register_bytes for c in steps):
                return True
    return False


def _streams(nest: Nest, vector: Var | None) -> set[tuple[object, ...]]:
    """The different runs through memory along a variable; the last item says whether of writes."""
    return {
        (a.buffer, a.address.key(), a.is_write)
        for a in nest.accesses
        if a.buffer is not None and vector in a.address.terms
    }


def _is_deep(nest: Nest, vector: Var) -> bool:
    """Whether only more vectors side by side keep the CPU busy: long chains between few runs
    through memory, one of them written.
    """
    streams = _streams(nest, vector)
    is_written = any(is_write for *_, is_write in streams)
    return is_written and nest.cost >= max(DEEP, DEEP_PER_STREAM * len(streams))


def _column_registers(columns: int) -> int:
    """Registers for so many vectors of columns: enough for accumulators not to wait for each
    other, and more where that leaves few lanes idle at the end.
    """
    if columns >= 4 * COLUMN_REGISTERS:
        return COLUMN_REGISTERS
    return min(SUM_REGISTERS, 1 << (columns - 1).bit_length())


def _width(nest: Nest, vector: Var | None, register_bytes: int, is_tiled: bool) -> int:
    if vector is None:
        return 1
    size = max(
        [
            a.buffer.dtype.itemsize
            for a in nest.accesses
            if a.buffer is not None and vector in a.address.terms
        ],
        default=4,
    )
    lanes = register_bytes // max(size, 4)
    is_cheap_sum = bool(nest.reduces) and nest.cost <= CHEAP
    is_deep = _is_deep(nest, vector)
    registers = SUM_REGISTERS if is_cheap_sum else DEEP_REGISTERS if is_deep else REGISTERS
    if nest.reduces and vector in nest.outer and nest.cost <= COLUMN_COST:
        registers = max(registers, _column_registers(-(-hint(vector.extent) // lanes)))
    if (
        is_tiled
        or nest.scan is not None
        or (not nest.reduces and any(a.buffer is None for a in nest.accesses))
    ):
        registers = 1
    if not is_tiled and nest.cost <= CHEAP and _is_misaligned(nest, vector, register_bytes):
        registers = 1
    width = lanes * registers
    while width > 1 and isinstance(vector.extent, int) and width // 2 >= vector.extent:
        width //= 2
    return width
