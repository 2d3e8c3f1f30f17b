"""Evaluate values at an index: the define-by-run half of a kernel.

`lane(value, index)` is a load for a value in memory, and otherwise the producer's rule applied to
its operands at their indices. The lane is emitted in, and remembered by, the innermost scope among
those of the loops that it depends on: what depends on no loop is computed once per call, what
depends on the row only, once per row.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import llvmlite.ir as ll

from codegen.faults import FAULTS, OUT_OF_RANGE
from codegen.index import Affine, Index, address, broadcast, index_key
from codegen.lanes.lanes import Lane
from codegen.nest import Buffer, Nest, Root
from codegen.operands import (
    Known,
    arguments,
    lookup_place,
    pointwise_dtype,
    position_index,
    producer,
    view_index,
)
from codegen.schedule import LINE, Schedule, is_streaming, past_caches
from codegen.scopes import Key, LoopEmitter, Scope
from codegen.sizes import emit_size
from codegen.spill import Spill, plan_spills
from codegen.target import host
from ir import (
    Create,
    Dim,
    DType,
    Lookup,
    Node,
    Pointwise,
    Sym,
    Symbol,
    TensorType,
    Value,
    View,
    dtypes,
    opmath,
    symbols_of,
)

I64, I32, BIT, PTR = ll.IntType(64), ll.IntType(32), ll.IntType(1), ll.PointerType()
HALF_VECTORS = ('"min-legal-vector-width"="256"', '"prefer-vector-width"="256"')
NUMBERS = {
    "int": (I64, dtypes.int64),
    "float": (ll.DoubleType(), dtypes.float64),
    "bool": (BIT, dtypes.bool_),
}


class Evaluator(LoopEmitter):
    """Lanes of one nest's values; owns the kernel's function and its arguments."""

    def __init__(
        self, module: ll.Module, name: str, nest: Nest, plan: Schedule, known: Known
    ) -> None:
        self.nest, self.plan, self.known = nest, plan, known
        self.bases = bases_of(nest)
        self.symbols = sorted(_symbols(nest), key=lambda s: s.name)
        self.scalars = list(nest.scalars)
        numbers = [NUMBERS[str(v.type)][0] for v in self.scalars]
        partials = [PTR] if plan.chunk is not None else []
        types = (
            [PTR] * len(self.bases) + [I64] * len(self.symbols) + numbers + partials + [I64, I64]
        )
        function = ll.Function(module, ll.FunctionType(I32, types), name)
        function.linkage = "internal"
        function.attributes.add("nounwind")
        instructions = host().instructions
        if host().halves_vectors and is_streaming(nest, plan, host().caches[1]):
            set.update(function.attributes, HALF_VECTORS)  # llvmlite knows few attributes
            instructions = frozenset()  # those of whole vectors cannot be halved
        super().__init__(function, plan.width, instructions)
        args = iter(function.args)
        self.base_of = {v: next(args) for v in self.bases}
        self.symbol_of = {s: next(args) for s in self.symbols}
        self.scalar_of = {v: next(args) for v in self.scalars}
        if partials:
            self.partials = next(args)
        self.begin, self.end = next(args), next(args)
        self.spills: dict[Key, Spill] = plan_spills(nest)
        self.past_caches = past_caches(nest, plan, host().caches[2])
        self.phase = 0
        self.fault_flag: ll.Value | None = None
        self.s.on_fault, self.s.beside = self._on_fault, self._beside

    # values ---------------------------------------------------------------------------------------
    def lane(self, value: Value, index: Index) -> Lane:
        """The value at an index, in the dtype in which lanes of its type compute."""
        key = (value, index_key(index))
        for scope in reversed(self.scopes):
            if key in scope.lanes:
                return scope.lanes[key]
        spill = self.spills.get(key)
        if spill is not None and self.phase > spill.phase:
            return self._load(spill.root.buffer, spill.root.address)
        lane, depth = self._evaluate(value, index)
        self.scopes[depth].lanes[key] = lane
        if spill is not None:
            self._write(spill.root, lane)
        return lane

    def _evaluate(self, value: Value, index: Index) -> tuple[Lane, int]:
        buffer = self.nest.loads.get((value, index_key(index)))
        if buffer is not None:
            where = address(index, buffer.strides, buffer.offset)
            return self._load(buffer, where), self.depth_of(where)
        source = producer(value)
        assert source is not None and isinstance(value.type, TensorType)
        node = source.node
        match node.op.rule:
            case Pointwise():
                return self._pointwise(node, node.op.rule, index)
            case View():
                inner = view_index(source, index, self.known, value.type.shape)
                assert inner is not None
                return self.lane(node.inputs[0], inner), self._lane_depth(node.inputs[0], inner)
            case Lookup():
                return self._look_up(node, index)
            case Create():
                return self._create(node, node.op.rule, index)
        raise AssertionError(f"{node.op} was not reached by lowering")

    def _pointwise(self, node: Node, rule: Pointwise, index: Index) -> tuple[Lane, int]:
        params = arguments(node, self.known)
        operands = [params.pop(name) for name in rule.operands]
        depth = 0
        lanes: list[Lane | int | float] = []
        for operand in operands:
            if isinstance(operand, Value) and isinstance(operand.type, TensorType):
                inner = broadcast(index, operand.type.shape)
                lanes.append(self.lane(operand, inner))
                depth = max(depth, self._lane_depth(operand, inner))
            else:
                lanes.append(self._number(operand))
        with self.emitting(depth):
            dtype = pointwise_dtype(node, rule, self.known)
            cast = [
                self._cast_operand(x, None if name in rule.own else dtype)
                for x, name in zip(lanes, rule.operands, strict=True)
            ]
            lane = self.to_type(rule.scalar(self.s, *cast, **params), node.outputs[0])
        return lane, depth

    def _cast_operand(self, x: Any, dtype: DType | None) -> Any:
        if x is None or dtype is None:
            return x
        return (
            self.s.cast(x, opmath(dtype)) if isinstance(x, Lane) else self.s.const(x, opmath(dtype))
        )

    def _number(self, number: Any) -> Any:
        """A parameter that is no tensor: a register for what the body computes or a symbolic size,
        else the constant itself.
        """
        if isinstance(number, Value):
            return Lane(self.s, self.scalar_of[number], NUMBERS[str(number.type)][1])
        return Lane(self.s, self.dim(number), dtypes.int64) if isinstance(number, Sym) else number

    def _look_up(self, node: Node, index: Index) -> tuple[Lane, int]:
        """The elements at data positions; one outside of the tensor faults."""
        buffer, place = self.nest.sources[node.inputs[0]], lookup_place(node, index, self.known)
        where = address(place.at, buffer.strides, buffer.offset)
        found = [(k, at, position_index(at)) for k, at in place.positions]
        lanes = [self.lane(at.tensor, inner) for _, at, inner in found]
        depth = max(
            (self._lane_depth(at.tensor, inner) for _, at, inner in found), default=0
        )
        depth = max(depth, self.depth_of(where))
        self.offset(where)  # the parts land in their own scopes
        with self.emitting(depth):
            total = Lane(self.s, self.offset(where), dtypes.int64)
            for lane, (k, at, _) in zip(lanes, found, strict=True):
                position = self._position(lane, self.dim(buffer.dims[k]), at.wraps)
                total = total + position * Lane(self.s, self.dim(buffer.strides[k]), dtypes.int64)
            return self._load_at(buffer, total, where), depth

    def _position(self, lane: Lane, size: ll.Value, wraps: bool) -> Lane:
        """A position that is inside of a dim."""
        position, extent = self.s.cast(lane, dtypes.int64), Lane(self.s, size, dtypes.int64)
        if wraps:
            position = self.s.where(position < 0, position + extent, position)
        is_outside = (position < 0) | (position >= extent)
        self.s.fault(is_outside, OUT_OF_RANGE)
        return self.s.where(is_outside, 0, position)

    def _load_at(self, buffer: Buffer, total: Lane, where: Affine) -> Lane:
        """A load at `total` elements, which moves with `where` along the vector."""
        step = where.coefficient(self.plan.vector) if self.plan.vector is not None else 0
        if total.width == 1:
            return self._load_from(buffer, total.value, step)
        total = total + self.s.iota(dtypes.int64) * Lane(self.s, self.dim(step), dtypes.int64)
        base = self.pointer(buffer, I64(0))
        return self.s.gather_at(base, total, buffer.dtype, self.mask)

    def _create(self, node: Node, rule: Create, index: Index) -> tuple[Lane, int]:
        params = arguments(node, self.known)
        depth = self.depth_of(*index)
        positions = [self.index_lane(i) for i in index]
        type_ = node.outputs[0].type
        assert isinstance(type_, TensorType) and type_.dtype is not None
        with self.emitting(depth):
            numbers = {k: self._number(v) for k, v in params.items()}
            lane = rule.scalar(self.s, positions, opmath(type_.dtype), **numbers)
            return self.to_type(lane, node.outputs[0]), depth

    def to_type(self, lane: Lane, value: Value) -> Lane:
        """A lane in the compute dtype of the value's type."""
        type_ = value.type
        assert isinstance(type_, TensorType) and type_.dtype is not None
        return self.s.cast(lane, opmath(type_.dtype))

    def index_lane(self, index: Affine, dtype: DType = dtypes.int64) -> Lane:
        """An index as an integer lane."""
        vector = self.plan.vector
        step = index.coefficient(vector) if vector is not None else 0
        base = self.s.cast(Lane(self.s, self.offset(index), dtypes.int64), dtype)
        if isinstance(step, int) and step == 0:
            return base
        with self.emitting(self.depth_of(index)):
            return base + self.s.iota(dtype) * self.s.cast(
                Lane(self.s, self.dim(step), dtypes.int64), dtype
            )

    # depth ----------------------------------------------------------------------------------------
    def depth_of(self, *indices: Affine) -> int:
        return max((self.depth.get(v, 0) for i in indices for v in i.terms), default=0)

    def _beside(self, lane: Lane) -> AbstractContextManager[None]:
        """Emit in the scope of a lane's computation; in this one if it is not known."""
        found = (
            depth
            for depth, scope in enumerate(self.scopes)
            if any(known.value is lane.value for known in scope.lanes.values())
        )
        return self.emitting(next(found, self.current))

    def _lane_depth(self, value: Value, index: Index) -> int:
        key = (value, index_key(index))
        return next(
            (d for d in range(len(self.scopes) - 1, -1, -1) if key in self.scopes[d].lanes),
            len(self.scopes) - 1,
        )

    # memory ---------------------------------------------------------------------------------------
    def dim(self, dim: Dim) -> ll.Value:
        """A size as i64, computed once in front of all loops."""
        if isinstance(dim, int):
            return I64(dim)
        known = self.scopes[0].offsets
        key = ("dim", str(dim))
        if key not in known:
            with self.emitting(0):
                known[key] = emit_size(self.b, dim, self.symbol_of)
        return known[key]

    def offset(self, where: Affine) -> ll.Value:
        """An address in elements; each loop adds its part in its own scope."""
        by_depth: dict[int, list[tuple[Any, Dim]]] = {}
        for var, step in where.terms.items():
            if var in self.position:
                by_depth.setdefault(self.depth[var], []).append((var, step))
        total = self.dim(where.const)
        prefix: tuple[object, ...] = ("offset", str(where.const))
        for depth in sorted(by_depth):
            prefix = (*prefix, *((id(v), str(c)) for v, c in by_depth[depth]))
            total = self._partial(self.scopes[depth], depth, prefix, total, by_depth[depth])
        return total

    def _partial(
        self, scope: Scope, depth: int, key: Key, base: ll.Value, terms: list[tuple[Any, Dim]]
    ) -> ll.Value:
        if key not in scope.offsets:
            steps = [self.dim(step) for _, step in terms]
            with self.emitting(depth):
                for (var, step), size in zip(terms, steps, strict=True):
                    moved = self.position[var]
                    if not (isinstance(step, int) and step == 1):
                        moved = self.b.mul(moved, size, flags=("nsw",))
                    base = moved if _is_zero(base) else self.b.add(base, moved, flags=("nsw",))
                scope.offsets[key] = base
        return scope.offsets[key]

    def pointer(self, buffer: Buffer, offset: ll.Value) -> ll.Value:
        """The address of the element at an offset."""
        return self.b.gep(
            self.base_of[buffer.base],
            [offset],
            inbounds=True,
            source_etype=self.s.memory_type(buffer.dtype),
        )

    def tile_lane(self, buffer: Buffer, where: Affine) -> Lane | None:
        """The lane from a tile that is transposed; None when the access needs none (see
        `codegen.tile`).
        """
        return None

    def _load(self, buffer: Buffer, where: Affine) -> Lane:
        found = self.tile_lane(buffer, where)
        if found is not None:
            return found
        depth = self.depth_of(where)
        self.offset(where)  # the parts land in their own scopes
        with self.emitting(depth):
            step = where.coefficient(self.plan.vector) if self.plan.vector is not None else 0
            return self._load_from(buffer, self.offset(where), step)

    def _load_from(self, buffer: Buffer, offset: ll.Value, step: Dim) -> Lane:
        pointer = self.pointer(buffer, offset)
        if isinstance(step, int) and step == 0:
            return self.s.load_scalar(pointer, buffer.dtype)
        if isinstance(step, int) and step == 1:
            return self.s.load(pointer, buffer.dtype, self.mask)
        stride = step if isinstance(step, int) else self.dim(step)
        return self.s.gather(pointer, stride, buffer.dtype, self.mask)

    def store(self, root: Root) -> None:
        """Evaluate a root and write it."""
        self.store_lane(root, self.lane(root.value, root.index))

    def store_lane(self, root: Root, lane: Lane) -> None:
        self.at(-1)
        self._write(root, lane)

    def _write(self, root: Root, lane: Lane) -> None:
        buffer, where = root.buffer, root.address
        pointer = self.pointer(buffer, self.offset(where))
        step = where.coefficient(self.plan.vector) if self.plan.vector is not None else 0
        lane = self.s.cast(lane, opmath(buffer.dtype))
        if isinstance(step, int) and step == 0:
            self.s.store_scalar(pointer, lane, buffer.dtype)
        elif isinstance(step, int) and step == 1:
            if root in self.past_caches and self.mask is None:
                self.s.store_past_caches(pointer, lane, buffer.dtype, self.run_alignment(root))
            else:
                self.s.store(pointer, self.s.splat(lane), buffer.dtype, self.mask)
        else:
            stride = step if isinstance(step, int) else self.dim(step)
            self.s.scatter(pointer, stride, self.s.splat(lane), buffer.dtype, self.mask)

    def run_alignment(self, root: Root) -> int:
        """How the vectors of a root that is written around the caches are aligned."""
        return min(LINE, self.width * root.buffer.dtype.itemsize)

    def _on_fault(self, condition: Lane, reason: str) -> None:
        """Note that a live element faulted; the caller of the kernel bails out."""
        if self.fault_flag is None:
            self.fault_flag = self.local(I32, I32(0))
        if self.mask is not None and condition.width > 1:
            condition = condition & self.mask
        raised = self.b.select(self.s.any(condition), I32(FAULTS[reason].bit), I32(0))
        self.b.store(self.b.or_(self.b.load(self.fault_flag, typ=I32), raised), self.fault_flag)

    def local(self, kind: ll.Type, start: ll.Value | None = None) -> ll.AllocaInstr:
        """Memory of the function's own, which may start as a value."""
        first = self.function.entry_basic_block
        entry = ll.IRBuilder(first)
        entry.position_at_start(first)
        place = entry.alloca(kind)
        place.type = PTR
        if start is not None:
            entry.store(start, place)
        if self.b.block is first:  # its end has moved
            self.b.position_at_end(first)
        return place


def bases_of(nest: Nest) -> list[Value]:
    """The values whose memory a nest's kernel is given, in order."""
    return list(dict.fromkeys(a.buffer.base for a in nest.accesses if a.buffer is not None))


def _is_zero(value: ll.Value) -> bool:
    return isinstance(value, ll.Constant) and value.constant == 0


def _symbols(nest: Nest) -> set[Symbol]:
    """Every symbol that a size, stride or index of the nest mentions."""
    dims: list[Dim] = [*nest.sizes, *(v.extent for v in nest.domain)]
    for access in nest.accesses:
        dims += [access.address.const, *access.address.terms.values()]
    return {s for d in dims for s in symbols_of(d)}
