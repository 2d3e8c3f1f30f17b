"""Emit a scheduled nest as one LLVM function.

    i32 kernel(ptr base ..., i64 symbol ..., number scalar ..., i64 begin, i64 end)       0, or 1 when an element faulted

A value is evaluated at an index by evaluating its producer's operands there, down to loads. Each lane is emitted in the
outermost loop that it depends on (`codegen.evaluate`); this file walks the nest: outer loops, rows, phases, stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ll

from codegen.index import Var
from codegen.lanes import Lane
from codegen.nest import Nest, Reduce, Root
from codegen.operands import Known, element_dtype, reduced_axes
from codegen.schedule import Schedule
from codegen.tile import TileEmitter
from ir import Dim, DType, Node, Reduction, Scan, Symbol, Value, dtypes, opmath, product

I64, I32 = ll.IntType(64), ll.IntType(32)


@dataclass(eq=False, slots=True)
class Kernel:
    """An emitted nest: its function, what must be passed, in order, and the iterations of its parallel loop."""

    function: ll.Function
    nest: Nest
    schedule: Schedule
    bases: list[Value]
    symbols: list[Symbol]
    scalars: list[Value]
    steps: Dim
    can_fault: bool


def emit_kernel(module: ll.Module, name: str, nest: Nest, plan: Schedule, known: Known) -> Kernel:
    """Emit the nest into the module as an internal function."""
    return KernelEmitter(module, name, nest, plan, known).emit()


class KernelEmitter(TileEmitter):
    """Walks one nest."""

    def emit(self) -> Kernel:
        self._outer(0)
        self.at(0)
        self.b.ret(self.b.load(self.fault_flag, typ=I32) if self.fault_flag is not None else I32(0))
        return Kernel(self.function, self.nest, self.plan, self.bases, self.symbols, self.scalars, self._steps(),
                      self.fault_flag is not None)

    def _steps(self) -> Dim:
        if not self.plan.is_parallel:
            return 1
        var = self.plan.outer[0]
        return (var.extent + (self.width - 1)) // self.width if self._is_stepped(var) else var.extent

    def _is_stepped(self, var: Var) -> bool:
        """Whether a step of the parallel loop is a whole vector (or row of tiles) of `var`."""
        return var is self.plan.vector or var is self.plan.tile

    def _outer(self, level: int) -> None:
        if level == len(self.plan.outer):
            self.row()
            return
        var = self.plan.outer[level]
        start, stop = self._share(var) if level == 0 and self.plan.is_parallel else (I64(0), self.dim(var.extent))
        if var is self.plan.tile:
            self.tiles(var, self.plan.outer[-1], start, stop)
            return

        def body(carried: Sequence[Lane]) -> Sequence[Lane]:
            self._outer(level + 1)
            return ()

        self.vector_loop(var, self._step(var), start, stop, (), body)

    def _step(self, var: Var) -> int:
        return self.width if var is self.plan.vector else 1

    def _share(self, var: Var) -> tuple[ll.Value, ll.Value]:
        """This call's part of the parallel loop, in iterations of `var`."""
        if not self._is_stepped(var):
            return self.begin, self.end
        width, extent = I64(self.width), self.dim(var.extent)
        start, stop = self.b.mul(self.begin, width), self.b.mul(self.end, width)
        return start, self.b.select(self.b.icmp_signed("<", stop, extent), stop, extent)

    # rows ----------------------------------------------------------------------------------------------------
    def row(self) -> None:
        nest = self.nest
        full = [r for r in nest.roots if nest.is_full(r.index)]
        if nest.scan is not None:
            self._scan(nest.scan)
            return
        if nest.reduced:
            for self.phase in range(nest.phase_count):
                self._pass([r for r in nest.reduces if r.phase == self.phase], [r for r in full if r.phase == self.phase])
            self.phase = nest.phase_count
        for root in nest.roots:
            if root not in full or not nest.reduced:
                self.store(root)

    def _pass(self, reduces: Sequence[Reduce], roots: Sequence[Root]) -> None:
        """One phase: run over the row, combining `reduces` and storing `roots`."""
        starts = [self._initial(r) for r in reduces]
        flat = [lane for start in starts for lane in start]
        final = iter(self._reduced(0, flat, reduces, roots, [len(s) for s in starts]))
        for reduce, start in zip(reduces, starts, strict=True):
            self._finish(reduce, [next(final) for _ in start])

    def _reduced(self, level: int, carried: Sequence[Lane], reduces: Sequence[Reduce], roots: Sequence[Root],
                 sizes: Sequence[int]) -> list[Lane]:
        if level == len(self.plan.reduced):
            lanes = iter(carried)
            combined = [lane for r, size in zip(reduces, sizes, strict=True)
                        for lane in self._combine(r, [next(lanes) for _ in range(size)])]
            for root in roots:
                self.store(root)
            return combined
        var = self.plan.reduced[level]
        return self.vector_loop(var, self._step(var), I64(0), self.dim(var.extent), carried,
                                lambda lanes: self._reduced(level + 1, lanes, reduces, roots, sizes))

    def _initial(self, reduce: Reduce) -> list[Lane]:
        rule = reduce.node.op.rule
        assert isinstance(rule, Reduction)
        first = [self._first_position(reduce)] if rule.indexed else []
        lanes = _tuple(rule.init(self.s, self._accumulator_dtype(reduce), *first))
        is_wide = self.plan.vector is not None
        return [self.s.splat(lane) if is_wide else lane for lane in lanes]

    def _position_dtype(self, reduce: Reduce) -> DType:
        """Positions count in int32 where the row is known to be short enough: twice as many fit a register."""
        count = self._count_of(reduce)
        return dtypes.int32 if isinstance(count, int) and count < 1 << 31 else dtypes.int64

    def _first_position(self, reduce: Reduce) -> Lane:
        """The position of the first element that each lane meets."""
        dtype = self._position_dtype(reduce)
        step = reduce.position.coefficient(self.plan.vector) if self.plan.vector is not None else 0
        if isinstance(step, int) and step == 0:
            return self.s.const(0, dtype)
        return self.s.iota(dtype) * self.s.cast(Lane(self.s, self.dim(step), dtypes.int64), dtype)

    def _accumulator_dtype(self, reduce: Reduce) -> DType:
        rule = reduce.node.op.rule
        assert isinstance(rule, Reduction)
        return opmath(rule.accumulate(element_dtype(reduce.node, self.known)))

    def _combine(self, reduce: Reduce, old: Sequence[Lane]) -> list[Lane]:
        rule = reduce.node.op.rule
        assert isinstance(rule, Reduction)
        x = self.s.cast(self.lane(reduce.node.inputs[0], reduce.index), self._accumulator_dtype(reduce))
        x = self.s.splat(x) if self.plan.vector is not None else x
        position = self.index_lane(reduce.position, self._position_dtype(reduce)) if rule.indexed else None
        new = _tuple((rule.step or rule.combine)(self.s, _single(old), rule.lift(self.s, x, position)))
        if self.mask is None or self.plan.vector not in self.plan.reduced:
            return list(new)
        return [self.s.where(self.mask, n, o) for n, o in zip(new, old, strict=True)]

    def _finish(self, reduce: Reduce, lanes: list[Lane]) -> None:
        """Fold the accumulators and remember the reduction's results in the row's scope."""
        rule = reduce.node.op.rule
        assert isinstance(rule, Reduction)
        if self.plan.vector in self.plan.reduced and self.plan.vector is not None:
            lanes = self._fold(rule, lanes)
        results = _tuple(rule.finish(self.s, _single(lanes), self._count(reduce)))
        for value, lane in zip(reduce.node.outputs, results, strict=True):
            self.scopes[-1].lanes[(value, reduce.kept)] = self.to_type(lane, value)

    def _count(self, reduce: Reduce) -> Lane:
        return Lane(self.s, self.dim(self._count_of(reduce)), dtypes.int64)

    def _count_of(self, reduce: Reduce) -> Dim:
        """How many elements the reduction combines."""
        axes, _ = reduced_axes(reduce.node, self.known)
        dims = reduce.node.inputs[0].type.shape
        return product(dims[k] for k in axes if k < len(dims))

    def _fold(self, rule: Reduction, lanes: list[Lane]) -> list[Lane]:
        """Combine the elements of vector accumulators by halving."""
        width = self.width
        while width > 1:
            width //= 2
            low = [self.s.slice(lane, 0, width) for lane in lanes]
            high = [self.s.slice(lane, width, width) for lane in lanes]
            lanes = list(_tuple(rule.combine(self.s, _single(low), _single(high))))
        return lanes

    # scans ---------------------------------------------------------------------------------------------------
    def _scan(self, node: Node) -> None:
        """Prefix along the one reduced variable: lane-wise when another variable is vectorized, else by shifts in a vector."""
        rule = node.op.rule
        assert isinstance(rule, Scan)
        (root,) = self.nest.roots
        dtype = opmath(rule.accumulate(element_dtype(node, self.known)))
        start = rule.init(self.s, dtype)
        if not self.plan.reduced:
            self.store_lane(root, self.s.cast(self.lane(node.inputs[0], root.index), dtype))
            return
        var = self.plan.reduced[0]
        along = self.plan.vector is var
        neutral = self.s.splat(start)
        start = neutral if self.plan.vector is not None and not along else start

        def body(carried: Sequence[Lane]) -> Sequence[Lane]:
            x = self.s.cast(self.lane(node.inputs[0], root.index), dtype)
            total = self._prefix(rule, self.s.splat(x), neutral) if along else x
            total = rule.combine(self.s, carried[0], total)
            self.store_lane(root, total)
            return [self.s.slice(total, self.width - 1, 1) if along else total]

        self.vector_loop(var, self._step(var), I64(0), self.dim(var.extent), [start], body)

    def _prefix(self, rule: Scan, x: Lane, neutral: Lane) -> Lane:
        """Inclusive prefix inside one vector, in log2(width) shifts."""
        distance = 1
        while distance < self.width:
            x = rule.combine(self.s, self.s.shifted(x, distance, neutral), x)
            distance *= 2
        return x



def _tuple(lanes: Lane | Sequence[Lane]) -> tuple[Lane, ...]:
    return (lanes,) if isinstance(lanes, Lane) else tuple(lanes)


def _single(lanes: Sequence[Lane]) -> Any:
    """An accumulator as rules take it: a lane, or a tuple of lanes when there are several."""
    return lanes[0] if len(lanes) == 1 else tuple(lanes)
