"""A row that is cut into chunks: each chunk's accumulators go to memory, and a second function
combines them.

    i32 kernel(..., ptr partials, begin, end)        reduces chunks begin .. end-1, one partial each
    i32 kernel.finish(..., ptr partials, 0, chunks)  combines all partials, stores the row roots

A partial is one 8-byte slot per lane of the accumulators.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.index import Var
from codegen.lanes.lanes import Lane
from codegen.rows import Accumulator, RowEmitter

I64, PTR = ll.IntType(64), ll.PointerType()
SLOT = 8


class SplitEmitter(RowEmitter):
    """Adds chunks to the evaluator."""

    partials: ll.Value
    limits: tuple[ll.Value, ll.Value] | None = None

    def bounds(self, var: Var) -> tuple[ll.Value, ll.Value]:
        if self.limits is not None and var is self.plan.reduced[0]:
            return self.limits
        return super().bounds(var)

    def chunks(self) -> None:
        """Reduce the chunks of this call's share."""
        chunk, length = Var("chunk", 1), self.plan.chunk
        assert length is not None
        size, extent = self.dim(length), self.dim(self.plan.reduced[0].extent)
        accumulators = [self.accumulator(r) for r in self.nest.reduces]
        stored = [r for r in self.nest.roots if self.nest.is_full(r.index)]

        def one_chunk(_: Sequence[Lane]) -> Sequence[Lane]:
            low = self.b.mul(self.position[chunk], size)
            end = self.b.add(low, size)
            self.limits = low, self.b.select(self.b.icmp_signed("<", end, extent), end, extent)
            for k, lane in self._slots(self.totals(accumulators, stored)):
                self.b.store(lane.value, self._slot(self.position[chunk], k, accumulators))
            self.limits = None
            return ()

        self.loop(chunk, self.begin, self.end, 1, (), one_chunk)

    def combine_chunks(self) -> None:
        """Combine the partials in order and store what the nest produces."""
        accumulators = [self.accumulator(r) for r in self.nest.reduces]
        chunk = Var("chunk", 1)
        first = [self.start_total(a, width=1) for a in accumulators]

        def one_more(carried: Sequence[Lane]) -> Sequence[Lane]:
            rest, result, k = list(carried), [], 0
            for accumulator in accumulators:
                old = [rest.pop(0) for _ in range(accumulator.size)]
                new = []
                for lane in old:
                    new.append(
                        Lane(
                            self.s,
                            self.b.load(
                                self._slot(self.position[chunk], k, accumulators),
                                typ=lane.value.type,
                            ),
                            lane.dtype,
                        )
                    )
                    k += 1
                result += self.merged(accumulator, old, new)
            return result

        final = self.loop(
            chunk, I64(0), self.end, 1, [lane for lanes in first for lane in lanes], one_more
        )
        for accumulator in accumulators:
            self.finish(accumulator, [final.pop(0) for _ in range(accumulator.size)])
        for root in self.nest.roots:
            if not self.nest.is_full(root.index):
                self.store(root)

    def _slots(self, totals: Sequence[Sequence[Lane]]) -> list[tuple[int, Lane]]:
        return list(enumerate(lane for lanes in totals for lane in lanes))

    def _slot(self, chunk: ll.Value, k: int, accumulators: Sequence[Accumulator]) -> ll.Value:
        per_chunk = sum(a.size for a in accumulators)
        index = self.b.add(self.b.mul(chunk, I64(per_chunk)), I64(k))
        return self.b.gep(self.partials, [index], source_etype=I64)
