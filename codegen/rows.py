"""Reductions inside a kernel: accumulators, the loops over a row, and the fold across lanes.

An accumulator has as many lanes as vectors have (each lane sums its own elements), or one when
nothing is vectorized. Along a vectorized row the lanes are folded afterwards, by halving.

Long float32 sums lose accuracy, so a row of more than PER_LANE elements for each lane is summed
block by block, and the blocks' sums in float64:

    total = 0.0 (float64)
    for each block:   lanes = 0; for each vector of the block: lanes += x;   total += fold(lanes)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import llvmlite.ir as ll

from codegen.ahead import PHASE, Ahead, fetched_ahead
from codegen.index import Var
from codegen.lanes.lanes import Lane
from codegen.lanes.shuffles import part
from codegen.nest import Reduce, Root
from codegen.operands import element_dtype, reduced_axes, shape
from codegen.schedule import CHEAP, LINE, SUM_REGISTERS
from codegen.target import host
from codegen.tile import TileEmitter
from ir import Dim, DType, Reduction, dtypes, hint, opmath, product, record

I64, BYTE = ll.IntType(64), ll.IntType(8)
UNROLL = 8  # vectors of a short row that are written out, so that rows overlap in the pipeline
MANY_ROWS = 16  # that are worth accumulators which must be combined afterwards
PER_LANE = 512  # elements that one lane adds up in float32


@record(frozen=False, eq=False)
class Accumulator:
    """One reduction of the running pass: how many lanes its state has, and whether blocks are
    summed in float64.
    """

    reduce: Reduce
    rule: Reduction
    dtype: DType
    is_blocked: bool
    size: int = 0


class RowEmitter(TileEmitter):
    """Adds reductions to the evaluator."""

    def step(self, var: Var) -> int:
        """Elements per iteration of a loop."""
        return self.width if var is self.plan.vector else 1

    @property
    def is_along(self) -> bool:
        """Whether the row itself is vectorized, so that lanes must be folded."""
        return self.plan.vector is not None and self.plan.vector in self.plan.reduced

    @property
    def block(self) -> int:
        """The elements of a row that are summed in float32."""
        return PER_LANE * (self.width if self.is_along else 1)

    def reduce(self, reduces: Sequence[Reduce], roots: Sequence[Root]) -> None:
        """One phase: run over the row, combining `reduces` and storing `roots`."""
        accumulators = [self.accumulator(r) for r in reduces]
        for accumulator, lanes in zip(accumulators, self.totals(accumulators, roots), strict=True):
            self.finish(accumulator, lanes)

    def accumulator(self, reduce: Reduce) -> Accumulator:
        rule = reduce.node.op.rule
        assert isinstance(rule, Reduction)
        dtype = opmath(rule.accumulate(element_dtype(reduce.node, self.known)))
        is_long = hint(self.count(reduce)) > self.block
        is_blocked = rule.is_sum and dtype is dtypes.float32 and is_long
        return Accumulator(reduce, rule, dtype, is_blocked)

    def totals(
        self, accumulators: Sequence[Accumulator], roots: Sequence[Root]
    ) -> list[list[Lane]]:
        """The folded state of every accumulator after the row."""
        starts = [self.start_total(a) for a in accumulators]
        final = self._loops(0, [lane for start in starts for lane in start], accumulators, roots)
        return [
            lanes if a.is_blocked else self.folded(a.rule, lanes)
            for a, lanes in zip(accumulators, _split(final, accumulators), strict=True)
        ]

    def start_total(self, accumulator: Accumulator, width: int | None = None) -> list[Lane]:
        """The neutral state in front of the row; of `width` 1 for folded states."""
        if not accumulator.is_blocked:
            return self._start(accumulator, width)
        zero = self.s.const(0.0, dtypes.float64)
        accumulator.size = 1
        return [self.s.splat(zero) if self.plan.vector is not None and not self.is_along else zero]

    def _start(self, accumulator: Accumulator, width: int | None = None) -> list[Lane]:
        """The neutral state, one lane each per vector lane."""
        rule = accumulator.rule
        is_wide = self.plan.vector is not None and width != 1
        first = [self._first_position(accumulator.reduce)] if rule.indexed and is_wide else []
        if rule.indexed and not is_wide:
            first = [self.s.const(0, self._position_dtype(accumulator.reduce))]
        lanes = _tuple(rule.init(self.s, accumulator.dtype, *first))
        accumulator.size = len(lanes)
        return [self.s.splat(lane) if is_wide else lane for lane in lanes]

    def merged(
        self, accumulator: Accumulator, old: Sequence[Lane], new: Sequence[Lane]
    ) -> list[Lane]:
        """Two folded states as one, the first one in front."""
        return list(_tuple(accumulator.rule.combine(self.s, _single(old), _single(new))))

    def _loops(
        self,
        level: int,
        carried: Sequence[Lane],
        accumulators: Sequence[Accumulator],
        roots: Sequence[Root],
    ) -> list[Lane]:
        if level == len(self.plan.reduced):
            return self._element(carried, accumulators, roots)
        var = self.plan.reduced[level]
        low, high = self.bounds(var)
        if level == len(self.plan.reduced) - 1 and any(a.is_blocked for a in accumulators):
            return self._blocks(var, low, high, carried, accumulators, roots)
        if level == len(self.plan.reduced) - 1:
            return self._elements(var, low, high, carried, accumulators, roots, UNROLL)
        return self.vector_loop(
            var,
            self.step(var),
            low,
            high,
            carried,
            lambda lanes: self._loops(level + 1, lanes, accumulators, roots),
        )

    def _elements(
        self,
        var: Var,
        low: ll.Value,
        high: ll.Value,
        carried: Sequence[Lane],
        accumulators: Sequence[Accumulator],
        roots: Sequence[Root],
        unroll: int = 1,
    ) -> list[Lane]:
        """The innermost loop of a row, or of a part of it."""

        def element(lanes: Sequence[Lane]) -> list[Lane]:
            return self._element(lanes, accumulators, roots)

        copies = self._copies(var, accumulators)
        if copies == 1:
            return self.vector_loop(var, self.step(var), low, high, carried, element, unroll)

        def several(lanes: Sequence[Lane]) -> list[Lane]:
            first, size, after = self.position[var], len(carried), list[Lane]()
            for k in range(copies):
                mine = lanes[k * size : (k + 1) * size]
                after += self.once(var, self.b.add(first, I64(k)), mine, element)
            return after

        neutral = [lane for a in accumulators for lane in self._start(a)]
        end = self.loop(var, low, high, copies, [*carried, *neutral * (copies - 1)], several)
        total = end[: len(carried)]
        for k in range(1, copies):
            parts = _split(end[k * len(carried) :], accumulators)
            pairs = zip(accumulators, _split(total, accumulators), parts, strict=True)
            total = [lane for a, old, new in pairs for lane in self.merged(a, old, new)]
        count = self.b.sub(high, low)
        rest = self.b.add(low, self.b.sub(count, self.b.urem(count, I64(copies))))
        return self.loop(var, rest, high, 1, total, element)

    def _copies(self, var: Var, accumulators: Sequence[Accumulator]) -> int:
        """How many rows of few columns are combined side by side, each into accumulators of its
        own: one row's would wait for the last one's.
        """
        is_narrow = self.plan.vector is not None and not self.is_along
        is_ordered = any(a.rule.indexed for a in accumulators)
        if not is_narrow or is_ordered or self.nest.cost > CHEAP or hint(var.extent) < MANY_ROWS:
            return 1
        return max(SUM_REGISTERS * host().lanes(32) // self.width, 1)

    def bounds(self, var: Var) -> tuple[ll.Value, ll.Value]:
        """Where the loop over a reduced variable starts and stops."""
        return I64(0), self.dim(var.extent)

    def _blocks(
        self,
        var: Var,
        low: ll.Value,
        high: ll.Value,
        carried: Sequence[Lane],
        accumulators: Sequence[Accumulator],
        roots: Sequence[Root],
    ) -> list[Lane]:
        """The innermost loop, block by block."""
        length = self.block
        block = Var("block", 1)
        count = self.b.udiv(self.b.add(self.b.sub(high, low), I64(length - 1)), I64(length))

        def one_block(totals: Sequence[Lane]) -> Sequence[Lane]:
            start = self.b.add(low, self.b.mul(self.position[block], I64(length)))
            stop = self.b.add(start, I64(length))
            stop = self.b.select(self.b.icmp_signed("<", stop, high), stop, high)
            outer = _split(totals, accumulators)
            inner = [
                self._start(a) if a.is_blocked else t
                for a, t in zip(accumulators, outer, strict=True)
            ]
            lanes = self._elements(
                var,
                start,
                stop,
                [x for lanes in inner for x in lanes],
                accumulators,
                roots,
            )
            return [
                x
                for a, t, new in zip(accumulators, outer, _split(lanes, accumulators), strict=True)
                for x in (self._add_block(a, t, new) if a.is_blocked else new)
            ]

        return self.loop(block, I64(0), count, 1, carried, one_block)

    def _add_block(
        self, accumulator: Accumulator, total: Sequence[Lane], lanes: list[Lane]
    ) -> list[Lane]:
        (block,) = self.folded(accumulator.rule, lanes)
        return [total[0] + self.s.cast(block, dtypes.float64)]

    def _element(
        self, carried: Sequence[Lane], accumulators: Sequence[Accumulator], roots: Sequence[Root]
    ) -> list[Lane]:
        combined = [
            lane
            for a, old in zip(accumulators, _split(carried, accumulators), strict=True)
            for lane in self._combined(a, old)
        ]
        for root in roots:
            self.store(root)
        if self.phase == PHASE:
            self.fetch_ahead()
        return combined

    @cached_property
    def ahead(self) -> Ahead | None:
        """What is fetched for the next row."""
        return fetched_ahead(self.nest, self.plan, host().caches)

    def fetch_ahead(self) -> None:
        """Fetch what the next row reads where this vector is in its row."""
        ahead = self.ahead
        if ahead is None or self.mask is not None:
            return
        for read, step in ahead.reads:
            buffer, next_row = read.buffer, read.address.coefficient(ahead.row)
            assert buffer is not None
            where = self.b.add(self.offset(read.address), self.dim(next_row))
            first = self.pointer(buffer, where)
            for line in range(0, self.width * step * buffer.dtype.itemsize, LINE):
                self.s.fetch(self.b.gep(first, [I64(line)], source_etype=BYTE), ahead.level)

    def _combined(self, accumulator: Accumulator, old: Sequence[Lane]) -> list[Lane]:
        rule, reduce = accumulator.rule, accumulator.reduce
        x = self.s.cast(self.lane(reduce.node.inputs[0], reduce.index), accumulator.dtype)
        x = self.s.splat(x) if self.plan.vector is not None else x
        mask = self.mask if self.is_along else None
        if mask is not None and rule.is_bitwise:  # a choice between masks would shuffle bits
            x = x & mask | rule.init(self.s, accumulator.dtype) & (mask ^ True)
        position = (
            self.index_lane(reduce.position, self._position_dtype(reduce)) if rule.indexed else None
        )
        new = _tuple(
            (rule.step or rule.combine)(self.s, _single(old), rule.lift(self.s, x, position))
        )
        if mask is None or rule.is_bitwise:
            return list(new)
        return [self.s.where(mask, n, o) for n, o in zip(new, old, strict=True)]

    def _position_dtype(self, reduce: Reduce) -> DType:
        """Positions count in int32 where the row is known to be short enough: twice as many fit a
        register.
        """
        count = self.count(reduce)
        return dtypes.int32 if isinstance(count, int) and count < 1 << 31 else dtypes.int64

    def _first_position(self, reduce: Reduce) -> Lane:
        """The position of the first element that each lane meets."""
        dtype = self._position_dtype(reduce)
        step = reduce.position.coefficient(self.plan.vector) if self.plan.vector is not None else 0
        if isinstance(step, int) and step == 0:
            return self.s.const(0, dtype)
        return self.s.iota(dtype) * self.s.cast(Lane(self.s, self.dim(step), dtypes.int64), dtype)

    def folded(self, rule: Reduction, lanes: list[Lane]) -> list[Lane]:
        """Combine the elements of vector accumulators by halving, if the row is what is
        vectorized.
        """
        if not self.is_along:
            return lanes
        if rule.among_numbers is not None and lanes[0].dtype.is_float:
            return [self._folded_once(rule.among_numbers, *lanes)]
        if rule.is_bitwise and self.width <= I64.width:
            return [self._folded_bits(rule.combine, *lanes)]
        width = self.width
        while width > 1:
            width //= 2
            low, high = _halves(lanes, width)
            lanes = list(_tuple(rule.combine(self.s, _single(low), _single(high))))
        return lanes

    def _folded_once(self, combine: Callable[..., Lane], lane: Lane) -> Lane:
        """All elements combined as if there were no NaN; one look at them tells whether there is
        one.
        """
        (low,), (high,) = _halves([lane], self.width // 2)
        is_nan = self.s.any(self.s.unordered(low, high))
        number = self.s.reduce(lane, lambda a, b: combine(self.s, a, b))
        nan = self.s.const(math.nan, lane.dtype)
        return self.s.where(Lane(self.s, is_nan, dtypes.bool_), nan, number)

    def _folded_bits(self, combine: Callable[..., Lane], mask: Lane) -> Lane:
        """All bits of a mask combined, in a general register: machines hardly shuffle masks."""
        whole = self.b.bitcast(mask.value, ll.IntType(self.width))
        width, bits = self.width, Lane(self.s, self._widened(whole), dtypes.int64)
        while width > 1:
            width //= 2
            bits = combine(self.s, bits, bits >> width)
        return self.s.cast(bits & 1, dtypes.bool_)

    def _widened(self, bits: ll.Value) -> ll.Value:
        return bits if bits.type == I64 else self.b.zext(bits, I64)

    def finish(self, accumulator: Accumulator, lanes: Sequence[Lane]) -> None:
        """Remember a reduction's results in the row's scope."""
        reduce = accumulator.reduce
        count = Lane(self.s, self.dim(self.count(reduce)), dtypes.int64)
        results = _tuple(accumulator.rule.finish(self.s, _single(lanes), count))
        for value, lane in zip(reduce.node.outputs, results, strict=True):
            self.scopes[-1].lanes[(value, reduce.kept)] = self.to_type(lane, value)

    def count(self, reduce: Reduce) -> Dim:
        """How many elements the reduction combines."""
        axes, _ = reduced_axes(reduce.node, self.known)
        dims = shape(reduce.node.inputs[0])
        return product(dims[k] for k in axes if k < len(dims))


def _split(lanes: Sequence[Lane], accumulators: Sequence[Accumulator]) -> list[list[Lane]]:
    rest = iter(lanes)
    return [[next(rest) for _ in range(a.size)] for a in accumulators]


def _halves(lanes: Sequence[Lane], width: int) -> tuple[list[Lane], list[Lane]]:
    """The first and the last `width` elements of some lanes."""
    low, high = ([part(x.s, x, start, width) for x in lanes] for start in (0, width))
    return low, high


def _tuple(lanes: Lane | Sequence[Lane]) -> tuple[Lane, ...]:
    return (lanes,) if isinstance(lanes, Lane) else tuple(lanes)


def _single(lanes: Sequence[Lane]) -> Any:
    """An accumulator as rules take it: a lane, or a tuple of lanes when there are several."""
    return lanes[0] if len(lanes) == 1 else tuple(lanes)
