"""Emit a scheduled nest as one LLVM function.

    i32 kernel(ptr base ..., i64 symbol ..., number scalar ..., [ptr partials,] i64 begin, i64 end)

Returns 0, or 1 when an element faulted; `partials` only for split rows.

A value is evaluated at an index by evaluating its producer's operands there, down to loads. Each
lane is emitted in the outermost loop that it depends on (`codegen.evaluate`); this file walks the
nest: outer loops, rows, phases, stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llvmlite.ir as ll

from codegen.evaluate import bases_of
from codegen.index import Var
from codegen.lanes.lanes import Lane
from codegen.nest import Nest
from codegen.operands import Known, element_dtype
from codegen.schedule import CHUNKS, Schedule, starts_at_lines
from codegen.scopes import Body
from codegen.split import SplitEmitter
from ir import Dim, DType, Node, Scan, Symbol, Value, opmath, record, replace

I64, I32 = ll.IntType(64), ll.IntType(32)
FEW_VECTORS = 8  # in a row


@record(frozen=False, eq=False)
class Kernel:
    """An emitted nest: its function, what must be passed, in order, and the iterations of its
    parallel loop.
    """

    function: ll.Function
    nest: Nest
    schedule: Schedule
    bases: list[Value]
    symbols: list[Symbol]
    scalars: list[Value]
    steps: Dim
    can_fault: bool
    finish: ll.Function | None = None  # combines the chunks of a split row
    partial_words: int = 0

    def serving(self, nest: Nest, plan: Schedule) -> Kernel:
        """The same code for a nest that differs in the names of its values only."""
        return replace(
            self, nest=nest, schedule=plan, bases=bases_of(nest), scalars=list(nest.scalars)
        )


def emit_kernel(module: ll.Module, name: str, nest: Nest, plan: Schedule, known: Known) -> Kernel:
    """Emit the nest into the module as an internal function (two for a split row)."""
    kernel = KernelEmitter(module, name, nest, plan, known).emit()
    if plan.chunk is not None:
        last = KernelEmitter(module, f"{name}.finish", nest, plan, known)
        kernel.finish = last.emit(last.combine_chunks).function
        kernel.partial_words = 2 * len(nest.reduces) * CHUNKS
    return kernel


class KernelEmitter(SplitEmitter):
    """Walks one nest."""

    def emit(self, walk: Callable[[], None] | None = None) -> Kernel:
        """The whole function; `walk` emits its work (default: the share of the parallel loop, or
        all).
        """
        if walk is not None:
            walk()
        elif self.plan.chunk is not None:
            self.chunks()
        else:
            self._outer(0)
        self.at(0)
        if self.past_caches:
            self.b.fence("seq_cst")
        self.b.ret(self.b.load(self.fault_flag, typ=I32) if self.fault_flag is not None else I32(0))
        return Kernel(
            self.function,
            self.nest,
            self.plan,
            self.bases,
            self.symbols,
            self.scalars,
            self._steps(),
            self.fault_flag is not None,
        )

    def _steps(self) -> Dim:
        if not self.plan.is_parallel:
            return 1
        if self.plan.chunk is not None:
            return self.plan.chunks
        var = self.plan.outer[0]
        return (
            (var.extent + (self.width - 1)) // self.width if self._is_stepped(var) else var.extent
        )

    def _is_stepped(self, var: Var) -> bool:
        """Whether a step of the parallel loop is a whole vector (or row of tiles) of `var`."""
        return var is self.plan.vector or var is self.plan.tile

    def _outer(self, level: int) -> None:
        if level == len(self.plan.outer):
            self.row()
            return
        var = self.plan.outer[level]
        start, stop = (
            self._share(var) if level == 0 and self.plan.is_parallel else (I64(0), self._stop(var))
        )
        if var is self.plan.tile:
            self._tiles(var, start, stop)
            return
        if self.nest.scan is not None and var is self.plan.vector and self._rereads_exactly():
            self._scan_down(self.nest.scan, var, start, stop)
            return

        def body(carried: Sequence[Lane]) -> Sequence[Lane]:
            self._outer(level + 1)
            return ()

        self._run(var, start, stop, (), body)

    def _run(
        self, var: Var, start: ll.Value, stop: ll.Value, carried: Sequence[Lane], body: Body
    ) -> None:
        """The loop over an outer variable."""
        if self._is_whole(var):
            assert isinstance(var.extent, int)
            last = var.extent - self.width if var.extent % self.width else None
            self.loop(var, start, stop, self.width, carried, body, last=last)
            return
        head = self._head(var, start, stop)
        self.vector_loop(var, self.step(var), start, stop, carried, body, head=head)

    def _tiles(self, u: Var, start: ll.Value, stop: ll.Value) -> None:
        """The two innermost loops where operands are transposed."""
        v = self.plan.outer[-1]

        def point(_: Sequence[Lane]) -> Sequence[Lane]:
            self.row()
            self.fetch_ahead()
            return ()

        def row(low: ll.Value, high: ll.Value) -> None:
            self.vector_loop(v, self.width, low, high, (), point, head=self._head(v, low, high))

        self.tiles(u, v, start, stop, row)

    def _is_whole(self, var: Var) -> bool:
        """Whether a loop runs in whole vectors, of which the last one may overlap the one before:
        it writes the same elements again, if nothing that is written is read. Short rows take less
        time with a rest.
        """
        extent, nest = var.extent, self.nest
        if var is not self.plan.vector or not isinstance(extent, int) or extent < self.width:
            return False
        if self.past_caches:
            return extent % self.width == 0 and self._is_aligned(var)
        is_repeatable = not self.spills and nest.reads().isdisjoint(nest.writes())
        is_long = extent >= FEW_VECTORS * self.width
        return extent % self.width == 0 or (is_repeatable and is_long)

    def _is_aligned(self, var: Var) -> bool:
        """Whether the vectors of what is written around the caches start at cache lines."""
        return all(starts_at_lines(r, var) for r in self.past_caches)

    def _head(self, var: Var, start: ll.Value, stop: ll.Value) -> ll.Value | None:
        """The elements in front of the first whole vector of a root that is written around the
        caches, when its runs may start anywhere.
        """
        if var is not self.plan.vector or self._is_aligned(var):
            return None
        (root,) = self.past_caches
        first = self.b.add(self.offset(root.address.without(var)), start)
        address = self.b.ptrtoint(self.pointer(root.buffer, first), I64)
        beyond = self.b.and_(self.b.neg(address), I64(self.run_alignment(root) - 1))
        head = self.b.udiv(beyond, I64(root.buffer.dtype.itemsize))
        left = self.b.sub(stop, start)
        return self.b.select(self.b.icmp_signed("<", head, left), head, left)

    def _share(self, var: Var) -> tuple[ll.Value, ll.Value]:
        """This call's part of the parallel loop, in iterations of `var`."""
        if not self._is_stepped(var):
            return self.begin, self.end
        width, extent = I64(self.width), self.dim(var.extent)
        start, stop = self.b.mul(self.begin, width), self.b.mul(self.end, width)
        if self._is_whole(var):
            return start, stop
        return start, self.b.select(self.b.icmp_signed("<", stop, extent), stop, extent)

    def _stop(self, var: Var) -> ll.Value:
        """Where a loop over all of a variable ends."""
        if self._is_whole(var):
            assert isinstance(var.extent, int)
            return I64(-(-var.extent // self.width) * self.width)
        return self.dim(var.extent)

    # rows -----------------------------------------------------------------------------------------
    def row(self) -> None:
        nest = self.nest
        full = [r for r in nest.roots if nest.is_full(r.index)]
        if nest.scan is not None:
            self._scan(nest.scan)
            return
        if nest.reduced or nest.reduces:  # a 0-d row has one element and no loop
            inside = full if nest.reduced else []
            for self.phase in range(nest.phase_count):
                self.reduce(
                    [r for r in nest.reduces if r.phase == self.phase],
                    [r for r in inside if r.phase == self.phase],
                )
            self.phase = nest.phase_count
        lone = [root for root in nest.roots if root not in full or not nest.reduced]
        if nest.reads() & nest.writes():  # all is read before anything is written
            for root, lane in [(root, self.lane(root.value, root.index)) for root in lone]:
                self.store_lane(root, lane)
            return
        for root in lone:
            self.store(root)

    # scans ----------------------------------------------------------------------------------------
    def _scan(self, node: Node) -> None:
        """Prefix along the one reduced variable: lane-wise when another variable is vectorized,
        else by shifts in a vector.
        """
        rule = node.op.rule
        assert isinstance(rule, Scan)
        (root,) = self.nest.roots
        dtype = self._scan_dtype(node)
        start = rule.init(self.s, dtype)
        if not self.plan.reduced:
            self.store_lane(root, self.s.cast(self.lane(node.inputs[0], root.index), dtype))
            return
        var = self.plan.reduced[0]
        along = self.plan.vector is var
        neutral = fill = self.s.splat(start)
        if dtype.is_float and self.s.known(start) == 0:
            fill = self.s.splat(self.s.const(-0.0, dtype))  # neutral to -0.0, too

        def body(carried: Sequence[Lane]) -> Sequence[Lane]:
            x = self.s.cast(self.lane(node.inputs[0], root.index), dtype)
            own = self._prefix(rule, self.s.splat(x), fill) if along else x
            total = rule.combine(self.s, carried[0], own)
            self.store_lane(root, total)
            if not along:
                return [total]
            last = self.s.slice(own, self.width - 1, 1)
            return [rule.combine(self.s, carried[0], self.s.splat(last))]

        start = start if self.plan.vector is None else neutral
        self.vector_loop(var, self.step(var), I64(0), self.dim(var.extent), [start], body)

    def _rereads_exactly(self) -> bool:
        """Whether the prefix so far can be read from the result as it was; a symbolic size is
        never 0.
        """
        assert self.nest.scan is not None
        (root,) = self.nest.roots
        is_exact = self._scan_dtype(self.nest.scan) is root.buffer.dtype
        rows = [v.extent for v in self.plan.reduced]
        return is_exact and bool(rows) and not (isinstance(rows[0], int) and rows[0] == 0)

    def _scan_dtype(self, node: Node) -> DType:
        rule = node.op.rule
        assert isinstance(rule, Scan)
        return opmath(rule.accumulate(element_dtype(node, self.known)))

    def _scan_down(self, node: Node, columns: Var, start: ll.Value, stop: ll.Value) -> None:
        """Prefix down the columns, row by row: memory is run through in its order, and the row
        before is read back from the first-level cache.
        """
        rule, (rows,), (root,) = node.op.rule, self.plan.reduced, self.nest.roots
        assert isinstance(rule, Scan)
        dtype = self._scan_dtype(node)
        before = root.address + -1 * root.address.coefficient(rows)

        def element(carried: Sequence[Lane]) -> Sequence[Lane]:
            x = self.s.cast(self.lane(node.inputs[0], root.index), dtype)
            so_far = carried[0] if carried else self._load(root.buffer, before)
            self.store_lane(root, rule.combine(self.s, so_far, x))
            return carried

        def row(first: Sequence[Lane]) -> Sequence[Lane]:
            self._run(columns, start, stop, first, element)
            return ()

        neutral = self.s.splat(rule.init(self.s, dtype))
        self.once(rows, I64(0), (), lambda _: row([neutral]))
        self.loop(rows, I64(1), self.dim(rows.extent), 1, (), row)

    def _prefix(self, rule: Scan, x: Lane, fill: Lane) -> Lane:
        """Inclusive prefix inside one vector, in log2(width) shifts: vectors wait for each other
        only where their prefixes are combined with all before. (Zeros would be shifted in by an
        instruction that waits for what its target held: those of the vector before.)
        """
        distance = 1
        while distance < self.width:
            x = rule.combine(self.s, self.s.shifted(x, distance, fill), x)
            distance *= 2
        return x
