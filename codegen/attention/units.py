"""The range function of attention: softmax(Q K' * scale + mask) V, with no matrix of scores.

    for each unit (one vector of queries of a product of the batch):
        panel = the queries, transposed
        for each KEYS keys:
            scores[key] = K's row times the panel, for all queries at once
            peak, alpha = the greatest score so far, e**(peak before - peak)
            scores = e**(scores - peak); total = total * alpha + their sum
            C = C * alpha + scores' V
        C /= total

Scores lie with keys as rows, so maxima and sums go across vectors and nothing is folded; both
products read K and V where they are, element by element (`codegen.products.microkernel`). All that
a unit writes but C stays in the level 1 cache. A query all of whose scores are -inf gives NaNs, or
zeros if the form is safe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import llvmlite.ir as ll

from codegen.abi import I32, I64, PTR, RANGE_TYPE, i64, offset
from codegen.frame import frame
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import carried, counted
from codegen.products.form import DTYPES, TALLEST
from codegen.products.form import Form as ProductForm
from codegen.products.microkernel import DEPTH, PACK_TYPE, TILE_TYPE, Emitter, smaller
from ir import DType, dtypes

KEYS = 256  # whose scores stay in the level 1 cache; a multiple of every vector's width
MOST_FEATURES = DEPTH
OPERANDS = ("q", "k", "v", "mask", "c")
SHARED = ("k", "v")  # by several heads of the others
WORDS = (
    *("queries", "keys", "features", "width"),
    *(f"{x}_step" for x in OPERANDS),  # from row to row, in bytes
    "scale",  # as bits of a float64
    *OPERANDS,  # addresses
)
"""The record that a range function gets; then per dim of the batch its size and, per operand, the
step in bytes. Rows are contiguous.
"""
_Step = Callable[[ll.Value, Sequence[ll.Value]], Sequence[ll.Value]]
_NAME = re.compile(r"relume_attend_(float\d\d)_(\d+)_([nmc])([ns])")


@dataclass(frozen=True, slots=True)
class Form:
    """What a function is made for: dtype, how many dims the batch has, whether there is a mask,
    whether queries see no key behind their own place, and whether queries without any key give
    zeros.
    """

    dtype: DType
    rank: int
    has_mask: bool
    is_causal: bool
    is_safe: bool

    @property
    def symbol(self) -> str:
        """The name of its range function."""
        mask = "c" if self.is_causal else "nm"[self.has_mask]
        return f"relume_attend_{self.dtype}_{self.rank}_{mask}{'ns'[self.is_safe]}"


def parse(name: str) -> Form | None:
    """The form of a function of that name; None for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    dtype, rank, mask, safe = match.groups()
    of = next(d for d in DTYPES if str(d) == dtype)
    return Form(of, int(rank), mask == "m", mask == "c", safe == "s")


@dataclass(frozen=True, slots=True)
class _Unit:
    """Where the operands of a unit start, its first query, how many it has, and the keys that they
    see.
    """

    place: dict[str, ll.Value]
    first: ll.Value
    width: ll.Value
    keys: ll.Value


class Attention:
    """Emits the range function of a form."""

    def __init__(self, emitter: Emitter, form: Form) -> None:
        self.emitter, self.form, self.dtype = emitter, form, form.dtype
        self.size, self.vector = form.dtype.itemsize, emitter.vector_bytes
        self.function = ll.Function(emitter.module, RANGE_TYPE, form.symbol)
        self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.s = Lanes(self.b, emitter.lanes, emitter.target.instructions)

    def emit(self) -> None:
        b, module = self.b, self.emitter.module
        begin, end, self.record = self.function.args
        self.word = {name: self._word(k) for k, name in enumerate(WORDS)}
        scale = Lane(self.s, b.bitcast(self.word["scale"], ll.DoubleType()), dtypes.float64)
        self.scale = self.s.splat(self.s.cast(scale, self.dtype))
        self.panel = frame(b, self.emitter.panel_bytes)
        self.scores = frame(b, KEYS * self.vector)
        self.factors = frame(b, self.vector)
        row, column = (ProductForm(self.dtype, TALLEST, is_c_transposed=x) for x in (False, True))
        self.row_tile = ll.Function(module, TILE_TYPE, row.tile)
        self.column_tile = ll.Function(module, TILE_TYPE, column.tile)
        pack = ProductForm(self.dtype, 0, is_b_transposed=True).pack
        self.pack = ll.Function(module, PACK_TYPE, pack)
        with counted(b, b.sub(end, begin)) as k:
            self._attend(self._unit(b.add(begin, k)))
        b.ret_void()

    def _word(self, k: int) -> ll.Value:
        return self.b.load(offset(self.b, self.record, 8 * k), typ=I64)

    def _unit(self, unit: ll.Value) -> _Unit:
        """Unit `unit`: queries run first, then the batch."""
        b, word, lanes = self.b, self.word, i64(self.emitter.lanes)
        blocks = _ceil(b, word["queries"], self.emitter.lanes)
        first, rest = b.mul(b.urem(unit, blocks), lanes), b.udiv(unit, blocks)
        place = {x: word[x] for x in OPERANDS}
        for x in ("q", "mask", "c"):
            place[x] = b.add(place[x], b.mul(first, word[f"{x}_step"]))
        for k in reversed(range(self.form.rank)):
            start = len(WORDS) + k * (1 + len(OPERANDS))
            extent = self._word(start)
            position, rest = b.urem(rest, extent), b.udiv(rest, extent)
            for j, x in enumerate(OPERANDS):
                place[x] = b.add(place[x], b.mul(position, self._word(start + 1 + j)))
        width, keys = smaller(b, lanes, b.sub(word["queries"], first)), word["keys"]
        if self.form.is_causal:
            keys = smaller(b, keys, b.add(first, width))
        return _Unit({x: b.inttoptr(p, PTR) for x, p in place.items()}, first, width, keys)

    def _attend(self, unit: _Unit) -> None:
        b, s, word = self.b, self.s, self.word
        arguments = unit.place["q"], word["q_step"], self.panel, word["features"], unit.width
        b.call(self.pack, arguments)
        least, zero = (s.splat(s.const(x, self.dtype)) for x in (-math.inf, 0.0))

        def part(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            before, total = (Lane(s, x, self.dtype) for x in state)
            first = b.mul(k, i64(KEYS))
            count = smaller(b, i64(KEYS), b.sub(unit.keys, first))
            self._score(unit, first, count)
            peak = s.maximum(before, self._peak(unit, first, count))
            safe = s.where(peak == -math.inf, zero, peak)
            alpha = s.exp(before - safe)
            total = s.fma(total, alpha, self._exponentials(safe, count))
            adds = b.icmp_unsigned("!=", k, i64(0))
            with b.if_then(adds):
                self._scale(unit, alpha)
            self._combine(unit, first, count, adds)
            return [peak.value, total.value]

        _, total = carried(b, _ceil(b, unit.keys, KEYS), [least.value, zero.value], part)
        sums = Lane(s, total, self.dtype)
        factor = s.splat(s.const(1.0, self.dtype)) / sums
        self._scale(unit, s.where(sums == 0.0, zero, factor) if self.form.is_safe else factor)

    def _nothing_ahead(self) -> tuple[ll.Value, ...]:
        """Keys and values are in a cache already: tiles have nothing to fetch."""
        return self.panel, i64(0), i64(0), i64(0)

    # scores ---------------------------------------------------------------------------------------
    def _score(self, unit: _Unit, first: ll.Value, count: ll.Value) -> None:
        """The products of queries and keys."""
        b, word, step = self.b, self.word, i64(self.vector)
        keys = offset(b, unit.place["k"], b.mul(first, word["k_step"]))
        with counted(b, _ceil(b, count, TALLEST)) as tile:
            row = b.mul(tile, i64(TALLEST))
            b.call(self.row_tile, [
                offset(b, keys, b.mul(row, word["k_step"])), word["k_step"], i64(self.size),
                self.panel, step, word["features"], offset(b, self.scores, b.mul(row, step)), step,
                b.sub(count, row), i64(self.emitter.lanes), ll.Constant(ll.IntType(1), 0),
                *self._nothing_ahead(),
            ])  # fmt: skip

    def _score_at(self, k: ll.Value) -> ll.Value:
        return offset(self.b, self.scores, self.b.mul(k, i64(self.vector)))

    def _peak(self, unit: _Unit, first: ll.Value, count: ll.Value) -> Lane:
        """The greatest scores; where some are masked, scaled scores with the mask are stored."""
        b, s = self.b, self.s
        if self.form.is_causal:
            return self._causal(b.sub(unit.first, first), count)
        if self.form.has_mask:
            mask = offset(b, unit.place["mask"], b.mul(first, i64(self.size)))
            return self._masked(mask, unit.width, count)

        def step(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            x = s.load(self._score_at(k), self.dtype) * self.scale
            return [s.maximum(Lane(s, state[0], self.dtype), x).value]

        return self._over(count, -math.inf, step)

    def _causal(self, first: ll.Value, count: ll.Value) -> Lane:
        """Keys behind a query's own place do not count; the first query is at `first`."""
        b, s = self.b, self.s
        start = Lane(s, b.trunc(first, I32), dtypes.int32)
        queries = s.splat(start) + s.iota(dtypes.int32)
        least = s.splat(s.const(-math.inf, self.dtype))

        def step(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            key = s.splat(Lane(s, b.trunc(k, I32), dtypes.int32))
            x = s.load(self._score_at(k), self.dtype) * self.scale
            x = s.where(key <= queries, x, least)
            s.store(self._score_at(k), x, self.dtype)
            return [s.maximum(Lane(s, state[0], self.dtype), x).value]

        return self._over(count, -math.inf, step)

    def _masked(self, mask: ll.Value, width: ll.Value, count: ll.Value) -> Lane:
        """The mask has queries as rows: squares of it are transposed in registers."""
        b, s, lanes = self.b, self.s, self.emitter.lanes
        last = b.sub(width, i64(1))
        numbers = [smaller(b, i64(i), last) for i in range(lanes)]
        rows = [offset(b, mask, b.mul(n, self.word["mask_step"])) for n in numbers]
        least = s.splat(s.const(-math.inf, self.dtype))

        def square(block: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            first = b.mul(block, i64(lanes))
            at, left = b.mul(first, i64(self.size)), b.sub(count, first)
            exists = s.tail_mask(left)
            found = s.transposed([s.load(offset(b, row, at), self.dtype, exists) for row in rows])
            peak = Lane(s, state[0], self.dtype)
            for i, x in enumerate(found):
                place = self._score_at(b.add(first, i64(i)))
                score = s.fma(s.load(place, self.dtype), self.scale, x)
                is_key = Lane(s, b.icmp_signed("<", i64(i), left), dtypes.bool_)
                score = s.where(s.splat(is_key), score, least)
                s.store(place, score, self.dtype)
                peak = s.maximum(peak, score)
            return [peak.value]

        return self._over(_ceil(b, count, lanes), -math.inf, square)

    def _exponentials(self, peak: Lane, count: ll.Value) -> Lane:
        """Scores become what they weigh; gives the sums."""
        s, is_scaled = self.s, self.form.has_mask or self.form.is_causal

        def step(k: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            x = s.load(self._score_at(k), self.dtype)
            power = s.exp(x - peak if is_scaled else s.fma(x, self.scale, -peak))
            s.store(self._score_at(k), power, self.dtype)
            return [(Lane(s, state[0], self.dtype) + power).value]

        return self._over(count, 0.0, step)

    def _over(self, count: ll.Value, start: float, step: _Step) -> Lane:
        """A vector that steps combine what they find with."""
        first = self.s.splat(self.s.const(start, self.dtype))
        (found,) = carried(self.b, count, [first.value], step)
        return Lane(self.s, found, self.dtype)

    # the result -----------------------------------------------------------------------------------
    def _combine(self, unit: _Unit, first: ll.Value, count: ll.Value, adds: ll.Value) -> None:
        """The products of scores and values."""
        b, word, size = self.b, self.word, i64(self.size)
        values = offset(b, unit.place["v"], b.mul(first, word["v_step"]))
        with counted(b, _ceil(b, word["width"], TALLEST)) as tile:
            column = b.mul(tile, i64(TALLEST))
            at = b.mul(column, size)
            b.call(self.column_tile, [
                offset(b, values, at), size, word["v_step"], self.scores, i64(self.vector), count,
                offset(b, unit.place["c"], at), word["c_step"], b.sub(word["width"], column),
                unit.width, adds, *self._nothing_ahead(),
            ])  # fmt: skip

    def _scale(self, unit: _Unit, factors: Lane) -> None:
        """Each row of the result times its factor."""
        b, s, lanes = self.b, self.s, self.emitter.lanes
        s.store(self.factors, factors, self.dtype)
        with counted(b, unit.width) as row:
            factor = s.load_scalar(offset(b, self.factors, b.mul(row, i64(self.size))), self.dtype)
            start = offset(b, unit.place["c"], b.mul(row, self.word["c_step"]))
            with counted(b, _ceil(b, self.word["width"], lanes)) as k:
                exists = s.tail_mask(b.sub(self.word["width"], b.mul(k, i64(lanes))))
                place = offset(b, start, b.mul(k, i64(self.vector)))
                x = s.load(place, self.dtype, exists)
                s.store(place, x * s.splat(factor), self.dtype, exists)


def _ceil(b: ll.IRBuilder, x: ll.Value, y: int) -> ll.Value:
    """How many times y it takes to cover x."""
    return b.udiv(b.add(x, i64(y - 1)), i64(y))
