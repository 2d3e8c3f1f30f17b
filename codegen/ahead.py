"""What the next row reads is fetched while a row is computed.

A row that is run through several times waits for memory in its first phase. The hardware follows
runs through memory, but stops at the ends of pages, so at those of many rows. The second phase has
its row in cache and time to ask for the next row's elements at the same places.
"""

from __future__ import annotations

from codegen.nest import Access, Nest
from codegen.schedule import Schedule
from ir import hint, product, record

PHASE = 1  # the first one that finds its row in cache
_ROWS = 4  # that share a cache: what is read and what is written, of this row and of the next one


@record
class Ahead:
    """The reads of the next row, and the level of the cache that they are fetched into."""

    reads: tuple[Access, ...]
    level: int


def fetched_ahead(nest: Nest, plan: Schedule, caches: tuple[int, ...]) -> Ahead | None:
    """None where no phase has the row in cache, where all rows are near, or one is too long."""
    vector = plan.vector
    if vector is None or nest.phase_count <= PHASE or not plan.outer or plan.reduced != [vector]:
        return None
    reads = [
        (a, a.buffer)
        for a in nest.accesses
        if a.buffer is not None
        and not a.is_write
        and plan.outer[-1] in a.address.terms
        and a.address.coefficient(vector) == 1
    ]
    total = sum(hint(product(b.dims)) * b.dtype.itemsize for b in {b for _, b in reads})
    row = sum(hint(vector.extent) * b.dtype.itemsize for _, b in reads)
    level = next((k for k, size in enumerate(caches[:2], 1) if row * _ROWS <= size), None)
    if total <= caches[0] or level is None:
        return None
    return Ahead(tuple(a for a, _ in reads), level)
