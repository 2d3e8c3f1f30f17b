"""What the next row reads is fetched while a row is computed.

The hardware follows runs through memory, but stops at the ends of pages, so at those of many rows.

* A row that is run through several times waits for memory in its first phase. The second phase has
  its row in cache and time to ask for the next row's elements at the same places.
* In a tile, the runs are short, and the next row of each is somewhere else.
"""

from __future__ import annotations

from codegen.index import Var
from codegen.nest import Access, Buffer, Nest
from codegen.schedule import Schedule
from ir import hint, product, record

PHASE = 1  # the first one that finds its row in cache
_ROWS = 4  # that share a cache: what is read and what is written, of this row and of the next one
_NEAR = 8  # the largest step of a run that is worth its lines


@record
class Ahead:
    """The variable of the rows, the reads of the next one, with the elements that each of them
    moves in a step, and the level of the cache that they are fetched into.
    """

    row: Var
    reads: tuple[tuple[Access, int], ...]
    level: int


def fetched_ahead(nest: Nest, plan: Schedule, caches: tuple[int, ...]) -> Ahead | None:
    """None where no phase has the row in cache, where all rows are near, or one is too long."""
    vector = plan.vector
    if vector is None:
        return None
    if plan.tile is not None:
        far = [(a, step) for a, step in _runs(nest, plan.tile, vector) if is_far(a.buffer, caches)]
        return Ahead(plan.tile, tuple(far), 1)
    if nest.phase_count <= PHASE or not plan.outer or plan.reduced != [vector]:
        return None
    reads = [(a, step) for a, step in _runs(nest, plan.outer[-1], vector) if step == 1]
    buffers = [a.buffer for a, _ in reads if a.buffer is not None]
    total = sum(_bytes(b) for b in set(buffers))
    row = sum(hint(vector.extent) * b.dtype.itemsize for b in buffers)
    level = next((k for k, size in enumerate(caches[:2], 1) if row * _ROWS <= size), None)
    if total <= caches[0] or level is None:
        return None
    return Ahead(plan.outer[-1], tuple(reads), level)


def is_far(buffer: Buffer | None, caches: tuple[int, ...]) -> bool:
    """Whether a buffer is larger than the level 2 cache."""
    return buffer is not None and _bytes(buffer) > caches[1]


def _bytes(buffer: Buffer) -> int:
    return hint(product(buffer.dims)) * buffer.dtype.itemsize


def _runs(nest: Nest, row: Var, vector: Var) -> list[tuple[Access, int]]:
    """The reads that differ from row to row, in small steps along the vector variable."""
    steps = [(a, a.address.coefficient(vector)) for a in nest.accesses if row in a.address.terms]
    return [
        (a, step)
        for a, step in steps
        if a.buffer is not None and not a.is_write and isinstance(step, int) and 0 < step <= _NEAR
    ]
