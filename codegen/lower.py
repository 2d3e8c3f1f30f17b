"""Group to loop nests: decide what is stored, and which values share a nest.

Values stored to memory ("roots") are the group's outputs, inputs of views that no affine index can
express, results of scans and joins, and expensive values that a broadcast would compute again and
again. Roots are visited from the last to the first; each is evaluated symbolically at its index,
which finds what it reads and which reductions it needs. A reduction joins its consumer's nest as an
earlier phase when its rows are the consumer's rows and fit the cache; otherwise it gets a nest of
its own.

Laws
  * A root joins a nest only if no other nest reads it from memory, so the order by data flow has no
    cycle.
  * A value that is stored may still be recomputed inside a nest that visits it at the very index of
    its store.
  * Chains of nodes, and of rows in phases, are cut at a fixed length by a store, so that what a
    nest costs to compile is bounded, however long its group is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from codegen.buffers import dense_strides, readable
from codegen.cost import EXPENSIVE, node_cost
from codegen.index import Affine, Index, Var, address, broadcast, index_key
from codegen.nest import Access, Buffer, Key, Nest, Reduce, Root
from codegen.operands import (
    Known,
    arguments,
    is_affine,
    lookup_place,
    node_of,
    position_index,
    producer,
    reduced_axes,
    shape,
    view_index,
)
from ir import (
    Create,
    Dim,
    Join,
    Lookup,
    Node,
    Pointwise,
    Reduction,
    Scan,
    Sym,
    TensorType,
    Value,
    View,
    contiguous_strides,
    field,
    hint,
    product,
    record,
    same_dim,
    view_strides,
)

ROW_LIMIT = (
    1 << 16
)  # elements of a row that may be visited in several phases (256 KiB of float32: inside L2)
MANY = 64  # times that a row may be computed again
DEEP = 64  # nodes in a row between loads and a store
PHASES = 8  # of one nest: each computes again what the ones before had from memory


def _same_elements(a: Sequence[Dim], b: Sequence[Dim]) -> bool:
    """Equal sizes but for dims of size 1; more than one element."""
    kept_a, kept_b = ([d for d in dims if not (isinstance(d, int) and d == 1)] for dims in (a, b))
    return bool(kept_a) and len(kept_a) == len(kept_b) and all(map(same_dim, kept_a, kept_b))


def _turns(node: Node) -> bool:
    """Whether a copy has its elements side by side along another dim than what it copies: phases
    over its rows would all read across memory.
    """
    types = [v.type for v in (node.inputs[0], node.outputs[0])]
    units = [_unit_dims(t) for t in types if isinstance(t, TensorType)]
    return all(units) and not set.intersection(*units)


def _unit_dims(type_: TensorType) -> set[int]:
    """The dims of more than one element whose elements are side by side."""
    steps = zip(type_.dims or (), type_.strides or (), strict=False)
    sizes = {k: size for k, (size, step) in enumerate(steps) if isinstance(step, int) and step == 1}
    return {k for k, size in sizes.items() if not (isinstance(size, int) and size == 1)}


class NotContiguous(Exception):
    """A reshape of memory whose strides do not allow it: `value` must be copied to a contiguous
    buffer first.
    """

    def __init__(self, value: Value) -> None:
        super().__init__(f"%{value.name} cannot be reinterpreted")
        self.value = value


@record(frozen=False)
class Lowered:
    """The nests of a group in execution order, the buffers of the values that they store or read,
    and which stored values only
    this group reads."""

    nests: list[Nest]
    buffers: dict[Value, Buffer]
    temporaries: list[Value]


def lower(
    nodes: Sequence[Node], outputs: Sequence[Value], known: Known, buffers: dict[Value, Buffer]
) -> Lowered:
    """Lower a group; `buffers` holds the memory of values from outside and receives that of stored
    values.
    """
    return Lowering(nodes, outputs, known, buffers).run()


def lower_copy(value: Value, target: Buffer, buffers: dict[Value, Buffer], known: Known) -> Nest:
    """The nest that copies a stored value into another buffer."""
    lowering = Lowering([], [], known, buffers)
    domain = lowering._vars(target.dims)
    nest = lowering._new_nest(domain)
    index = tuple(map(Affine.of, domain))
    lowering._add_root(
        nest, value, index, Access(target, address(index, target.strides, target.offset), True)
    )
    return nest


@record(frozen=False)
class Lowering:
    """State of lowering one group. `known` holds the constants and symbolic sizes that inference
    found.
    """

    nodes: Sequence[Node]
    outputs: Sequence[Value]
    known: Known
    buffers: dict[Value, Buffer]
    inside: set[Value] = field(default_factory=set)
    stored: dict[Value, None] = field(default_factory=dict)
    nests: list[Nest] = field(default_factory=list)
    inlined: dict[Value, dict[int, tuple[Nest, Index]]] = field(default_factory=dict)
    read_by: dict[Value, list[Nest]] = field(default_factory=dict)
    apart: set[Value] = field(default_factory=set)  # stored values that are always read from memory
    names: Any = field(default_factory=count)

    def run(self) -> Lowered:
        position = {node: i for i, node in enumerate(self.nodes)}
        self.inside = {v for n in self.nodes for v in n.outputs}
        self.stored = dict.fromkeys(v for v in self.outputs if v in self.inside)
        self._store_what_must_be()
        done: set[Value] = set()
        while pending := [v for v in self.stored if v not in done]:
            value = max(pending, key=lambda v: position.get(node_of(v), -1))
            done.add(value)
            self._place(value)
        temporaries = [v for v in self.stored if v not in self.outputs]
        return Lowered(self._ordered(), self.buffers, temporaries)

    # what is stored -------------------------------------------------------------------------------
    def _store_what_must_be(self) -> None:
        depths: dict[Value, int] = {}
        phases: dict[Value, int] = {}
        for node in self.nodes:
            if isinstance(node.op.rule, (Scan, Join)):
                self._store(node.outputs[0])
            elif isinstance(node.op.rule, Lookup):
                if self._source(node) is None:
                    self._store_apart(node.inputs[0])
            elif isinstance(node.op.rule, Reduction):
                if node.inputs[0] in self.inside and self._is_of_rows(
                    node.inputs[0], node.inputs[0], set()
                ):
                    self._store_apart(node.inputs[0])
            elif isinstance(node.op.rule, View):
                source = node.inputs[0]
                if source in self.inside and not is_affine(node, self.known):
                    self._store(source)
            elif node.inputs and phases.get(node.inputs[0], 0) and _turns(node):
                self._store_apart(node.inputs[0])
            self._cut_chain(node, depths, phases)

    def _cut_chain(self, node: Node, depths: dict[Value, int], phases: dict[Value, int]) -> None:
        """Store what ends a chain that is long enough; it is read from memory from there on."""
        is_reduction = isinstance(node.op.rule, Reduction)
        if is_reduction and phases.get(node.inputs[0], 0) >= PHASES:
            self._store_apart(node.inputs[0])
        inputs = [v for v in node.inputs if v in self.inside and v not in self.apart]
        depth = 1 + max((depths[v] for v in inputs), default=0)
        phase = is_reduction + max((phases[v] for v in inputs), default=0)
        for value in node.outputs:
            depths[value], phases[value] = depth, phase
            if depth > DEEP and isinstance(value.type, TensorType):
                self._store_apart(value)

    def _store_apart(self, value: Value) -> None:
        self._store(value)
        self.apart.add(value)

    def _is_of_rows(self, value: Value, top: Value, seen: set[Value]) -> bool:
        """Whether a reduction's input `top` has one element per row of another reduction: then it
        is stored, and that
        reduction can share a nest with what is computed from its rows."""
        source = producer(value)
        is_read = value in self.apart or value not in self.inside
        if source is None or value in seen or is_read:
            return False
        seen.add(value)
        if isinstance(source.node.op.rule, Reduction):
            return value is not top and _same_elements(shape(value), shape(top))
        if not isinstance(source.node.op.rule, (Pointwise, View)):
            return False
        return any(
            self._is_of_rows(v, top, seen)
            for v in source.node.inputs
            if isinstance(v.type, TensorType)
        )

    def _store(self, value: Value) -> None:
        self.stored.setdefault(value)

    def buffer(self, value: Value) -> Buffer:
        """The memory of a value: where it lies for one from outside, else laid out as its type says
        when that is dense.
        """
        if value not in self.inside:
            return readable(value, self.buffers, self.known)
        if value not in self.buffers:
            type_ = value.type
            assert isinstance(type_, TensorType) and type_.dtype is not None
            self.buffers[value] = Buffer(value, type_.dtype, type_.shape, dense_strides(type_))
        return self.buffers[value]

    # placing roots --------------------------------------------------------------------------------
    def _place(self, value: Value) -> None:
        node = value.node
        rule = node.op.rule if node is not None and value in self.inside else None
        if isinstance(rule, Join):
            self._place_join(value)
        elif isinstance(rule, Scan):
            self._place_scan(value)
        elif not self._join_existing(value):
            if isinstance(rule, Reduction):
                self._place_reduction(value)
            else:
                domain = self._vars(shape(value))
                self._add_root(self._new_nest(domain), value, tuple(map(Affine.of, domain)))

    def _join_existing(self, value: Value) -> bool:
        if self.read_by.get(value):
            return False
        for nest, index in self.inlined.get(value, {}).values():
            self._add_root(nest, value, index)
            return True
        for nest in self.nests:
            index_here = self._index_in(nest, value)
            if index_here is not None:
                self._add_root(nest, value, index_here)
                return True
        return False

    def _index_in(self, nest: Nest, value: Value) -> Index | None:
        """Where an existing nest could compute a value: over the same domain, and for a reduction,
        along the same rows.
        """
        node = node_of(value)
        is_reduction = isinstance(node.op.rule, Reduction)
        dims = shape(node.inputs[0] if is_reduction else value)
        if nest.scan is not None or len(dims) != len(nest.domain):
            return None
        if not all(same_dim(v.extent, d) for v, d in zip(nest.domain, dims, strict=True)):
            return None
        if not is_reduction:
            return tuple(map(Affine.of, nest.domain))
        axes, _ = reduced_axes(node, self.known)
        is_same = nest.reduced == [v for i, v in enumerate(nest.domain) if i in axes]
        return self._kept_index(node, nest.domain) if is_same else None

    def _kept_index(self, node: Node, domain: Sequence[Var]) -> Index:
        """The index of a reduction's result, in the variables of its input's domain."""
        axes, keepdim = reduced_axes(node, self.known)
        return tuple(
            Affine() if i in axes else Affine.of(v)
            for i, v in enumerate(domain)
            if keepdim or i not in axes
        )

    def _place_reduction(self, value: Value) -> None:
        node = node_of(value)
        axes, _ = reduced_axes(node, self.known)
        nest = self._new_nest(self._vars(shape(node.inputs[0])))
        nest.reduced = [v for i, v in enumerate(nest.domain) if i in axes]
        self._add_root(nest, value, self._kept_index(node, nest.domain))

    def _place_scan(self, value: Value) -> None:
        node = node_of(value)
        domain = self._vars(shape(value))
        nest = self._new_nest(domain)
        nest.scan = node
        axis = arguments(node, self.known)["dim"] % max(len(domain), 1)
        nest.reduced = [domain[axis]] if domain else []
        index = tuple(map(Affine.of, domain))
        self.visit(nest, node.inputs[0], index)
        self._add_root(nest, value, index, visit=False)

    def _place_join(self, value: Value) -> None:
        node = node_of(value)
        rule = node.op.rule
        assert isinstance(rule, Join)
        start: Dim = 0
        params = arguments(node, self.known)
        rank = len(shape(value))
        dim = params["dim"] % max(rank, 1)
        target = self.buffer(value)
        for piece in params["tensors"]:
            dims = list(shape(piece))
            if len(dims) == 1 and rank > 1 and hint(dims[0]) == 0:
                continue  # torch.cat skips legacy empty tensors
            domain = self._vars(dims)
            index = tuple(map(Affine.of, domain))
            where = [*index[:dim], Affine(), *index[dim:]] if rule.stacks else list(index)
            where[dim] = where[dim] + start
            nest = self._new_nest(domain)
            self._add_root(
                nest,
                piece,
                index,
                Access(target, address(where, target.strides, target.offset), True),
            )
            start = start + (1 if rule.stacks else dims[dim])

    def _add_root(
        self,
        nest: Nest,
        value: Value,
        index: Index,
        target: Access | None = None,
        visit: bool = True,
    ) -> None:
        is_own = target is None  # elsewhere goes a copy of what may be in memory
        if target is None:
            buffer = self.buffer(value)
            target = Access(buffer, address(index, buffer.strides, buffer.offset), True)
        reach = self._compute if is_own else self.visit
        phase = reach(nest, value, index) if visit else 0
        nest.accesses.append(target)
        assert target.buffer is not None
        nest.roots.append(Root(value, index, target.buffer, target.address, phase))

    def _new_nest(self, domain: list[Var]) -> Nest:
        nest = Nest(domain)
        self.nests.append(nest)
        return nest

    def _vars(self, dims: Iterable[Dim]) -> list[Var]:
        return [Var(f"i{next(self.names)}", d) for d in dims]

    # symbolic evaluation --------------------------------------------------------------------------
    def visit(self, nest: Nest, value: Value, index: Index) -> int:
        """Evaluate a value at an index for what it needs; the first phase in which the nest can
        compute it.
        """
        if value not in self.inside or self._reads_memory(nest, value, index):
            return self._read(nest, value, index)
        return self._compute(nest, value, index)

    def _compute(self, nest: Nest, value: Value, index: Index) -> int:
        if value not in self.inside:
            return self._read(nest, value, index)
        key = (value, index_key(index))
        if key not in nest.phases:
            nest.phases[key] = 0
            nest.phases[key] = self._compute_once(nest, value, index, key)
        return nest.phases[key]

    def _compute_once(self, nest: Nest, value: Value, index: Index, key: Key) -> int:
        source = producer(value)
        assert source is not None
        node = source.node
        if not nest.reduced or nest.is_full(index) or isinstance(node.op.rule, Reduction):
            nest.cost += node_cost(node)  # others are computed once per row
        match node.op.rule:
            case Pointwise():
                return max([self._operand(nest, v, index, key) for v in node.inputs], default=0)
            case View():
                inner = view_index(source, index, self.known, shape(value))
                if inner is None:
                    return self._load(nest, value, index, self._reinterpreted(value))
                self._store_if_repeated(nest, node.inputs[0], inner)
                return self._operand_at(nest, node.inputs[0], inner, key)
            case Create():
                nest.accesses += [Access(None, i) for i in index]
                return max([self._operand(nest, v, index, key) for v in node.inputs], default=0)
            case Lookup():
                return self._look_up(nest, node, index, key)
            case Reduction():
                return self._attach(nest, node, value, index)
        raise AssertionError(f"{node.op} is not part of a loop nest")

    def _look_up(self, nest: Nest, node: Node, index: Index, key: Key) -> int:
        """What a lookup reads must be in memory; its affine part is what loops care about."""
        place = lookup_place(node, index, self.known)
        source = self._source(node) or self._readable(node.inputs[0])
        nest.sources[node.inputs[0]] = source
        nest.accesses.append(Access(source, address(place.at, source.strides, source.offset)))
        self._note_read(nest, node.inputs[0], source)
        nest.sizes += [source.dims[k] for k, _ in place.positions]
        nest.sizes += [source.strides[k] for k, _ in place.positions]
        return max(
            (
                self._operand_at(nest, at.tensor, position_index(at), key)
                for _, at in place.positions
            ),
            default=0,
        )

    def _source(self, node: Node) -> Buffer | None:
        """What a lookup reads, where it lies outside; None for what the group computes."""
        base = value = node.inputs[0]
        while base in self.inside:
            source = producer(base)
            if source is None or not isinstance(source.node.op.rule, View):
                return None
            base = source.node.inputs[0]
        found = readable(value, self.buffers, self.known)
        if found.base is value and value is not base:
            del self.buffers[value]
            return None
        return found

    def _operand(self, nest: Nest, value: Value, index: Index, user: Key) -> int:
        if value in self.known:
            if isinstance(self.known[value], Sym):
                nest.sizes.append(self.known[value])
            return 0
        if isinstance(value.type, TensorType):
            inner = broadcast(index, shape(value))
            self._store_if_repeated(nest, value, inner)
            return self._operand_at(nest, value, inner, user)
        nest.scalars.setdefault(value)
        return 0

    def _operand_at(self, nest: Nest, value: Value, index: Index, user: Key) -> int:
        nest.uses.setdefault(user, []).append((value, index_key(index)))
        return self.visit(nest, value, index)

    def _store_if_repeated(self, nest: Nest, value: Value, index: Index) -> None:
        """A value under a broadcast, with the missing variable outside, is worth a buffer: an
        expensive one, and any that the rows of a reduction compute again and again.
        """
        if value not in self.inside or value in self.stored:
            return
        is_expensive = node_cost(value.node) >= EXPENSIVE
        is_computed = isinstance(node_of(value).op.rule, Pointwise)
        if not is_expensive and not (nest.reduced and is_computed):
            return
        used = {v for i in index for v in i.terms}
        positions = [k for k, v in enumerate(nest.domain) if v in used]
        missing = [
            v
            for k, v in enumerate(nest.domain)
            if v not in used and hint(v.extent) > 1 and positions and k < positions[-1]
        ]
        is_repeated = is_expensive or hint(product(v.extent for v in missing)) >= MANY
        if (
            missing
            and is_repeated
            and not isinstance(node_of(value).op.rule, Reduction)
            and not any(v in nest.reduced for v in missing)
        ):
            self._store(value)

    def _reads_memory(self, nest: Nest, value: Value, index: Index) -> bool:
        if value not in self.stored:
            return False
        is_apart = isinstance(node_of(value).op.rule, (Scan, Join)) or value in self.apart
        if is_apart or nest.scan is not None:  # a scan's nest stores nothing but the prefix
            return True
        dims = shape(value)  # one element of many is at 0, too, where a loop has one iteration
        identity = len(index) == len(nest.domain) and all(
            i.is_var(v) and same_dim(v.extent, d)
            for i, v, d in zip(index, nest.domain, dims, strict=True)
        )
        if identity or isinstance(node_of(value).op.rule, Reduction):
            self.inlined.setdefault(value, {})[id(nest)] = (nest, index)
            return False
        return True

    def _read(self, nest: Nest, value: Value, index: Index) -> int:
        return self._load(nest, value, index, self._readable(value))

    def _load(self, nest: Nest, value: Value, index: Index, buffer: Buffer) -> int:
        nest.loads[(value, index_key(index))] = buffer
        nest.accesses.append(Access(buffer, address(index, buffer.strides, buffer.offset)))
        self._note_read(nest, value, buffer)
        return 0

    def _note_read(self, nest: Nest, value: Value, buffer: Buffer) -> None:
        for memory in {buffer.base, self._owner(value)}:
            self.read_by.setdefault(memory, []).append(nest)

    def _owner(self, value: Value) -> Value:
        """The value of the group that a view of it reads, wherever its memory is: it may be
        computed in memory that is named after another value.
        """
        while value in self.inside and value not in self.stored:
            source = producer(value)
            if source is None or not isinstance(source.node.op.rule, View):
                break
            value = source.node.inputs[0]
        return value

    def _readable(self, value: Value) -> Buffer:
        """The buffer of a value in memory."""
        if (
            value in self.buffers
            or value in self.stored
            or value.node is None
            or value not in self.inside
        ):
            return self.buffer(value)
        found = self.buffers[value] = self._reinterpreted(value)
        return found

    def _reinterpreted(self, value: Value) -> Buffer:
        """A view that no index expresses: its input's memory under other strides."""
        assert value.node is not None
        source = self.buffer(value.node.inputs[0])
        strides = view_strides(source.dims, source.strides, shape(value))
        if strides is None:
            raise NotContiguous(value)
        return Buffer(source.base, source.dtype, shape(value), tuple(strides), source.offset)

    # reductions -----------------------------------------------------------------------------------
    def _attach(self, nest: Nest, node: Node, value: Value, index: Index) -> int:
        inner = self._row_index(nest, node, index)
        if inner is None:
            self.inlined.get(value, {}).pop(id(nest), None)
            self._store(value)
            return self._read(nest, value, index)
        nest.is_rowless |= not nest.reduced
        kept = index_key(index)
        for reduce in nest.reduces:
            if reduce.node is node and reduce.kept == kept:
                return reduce.phase + 1
        phase = self.visit(nest, node.inputs[0], inner)
        axes, _ = reduced_axes(node, self.known)
        dims = shape(node.inputs[0])
        along = [i for i in range(len(dims)) if i in axes]
        position = address(
            [inner[i] for i in along], contiguous_strides(tuple(dims[i] for i in along))
        )
        nest.reduces.append(Reduce(node, inner, kept, position, phase))
        nest.sizes += [dims[i] for i in along]
        rule = node.op.rule
        if isinstance(rule, Reduction) and rule.indexed:
            nest.accesses.append(Access(None, position))
        return phase + 1

    def _row_index(self, nest: Nest, node: Node, index: Index) -> Index | None:
        """The index of the reduction's input in this nest's variables, None when the rows do not
        agree.
        """
        axes, keepdim = reduced_axes(node, self.known)
        dims = shape(node.inputs[0])
        outer_index = [i for k, i in enumerate(index) if not (keepdim and k in axes)]
        kept: list[Var] = []
        for dim, position in zip(
            (d for k, d in enumerate(dims) if k not in axes), outer_index, strict=True
        ):
            if isinstance(dim, int) and dim == 1:
                continue
            var = next(iter(position.terms), None)
            if (
                var is None
                or not position.is_var(var)
                or not same_dim(var.extent, dim)
                or var in kept
            ):
                return None
            kept.append(var)
        wanted = [d for k, d in enumerate(dims) if k in axes]
        row = self._row_variables(nest, kept, wanted)
        if row is None:
            return None
        inner, outer = iter(row), iter(outer_index)
        return tuple(Affine.of(next(inner)) if k in axes else next(outer) for k in range(len(dims)))

    def _row_variables(self, nest: Nest, kept: list[Var], wanted: list[Dim]) -> list[Var] | None:
        real = [v for v in nest.domain if not (isinstance(v.extent, int) and v.extent == 1)]
        others = [v for v in real if v not in kept]
        if any(v not in real for v in kept) or nest.scan is not None:
            return None
        if nest.is_rowless and any(not isinstance(d, int) or d != 1 for d in wanted):
            return None
        if nest.reduced and set(others) != {v for v in nest.reduced if v in real}:
            return None
        if (
            not others
            and all(not (isinstance(d, int) and d == 1) for d in wanted)
            and not nest.reduced
        ):
            if hint(product(wanted)) > ROW_LIMIT and not nest.roots:
                return None
            nest.reduced = self._vars(wanted)
            nest.domain = nest.domain + nest.reduced
            return nest.reduced
        row, rest = [], list(others)
        for dim in wanted:
            if isinstance(dim, int) and dim == 1:
                row.append(Var("one", 1))
            elif rest and same_dim(rest[0].extent, dim):
                row.append(rest.pop(0))
            else:
                return None
        if rest:
            return None
        if not nest.reduced:
            if hint(product(wanted)) > ROW_LIMIT:
                return None
            nest.reduced = others
        return row

    # order ----------------------------------------------------------------------------------------
    def _ordered(self) -> list[Nest]:
        """Nests by data flow: one that reads a buffer comes after those that write it."""
        writers: dict[Value, list[Nest]] = {}
        for nest in self.nests:
            for value in nest.writes():
                writers.setdefault(value, []).append(nest)
        order: list[Nest] = []
        visiting: set[int] = set()

        def place(nest: Nest) -> None:
            if nest in order:
                return
            if id(nest) in visiting:
                raise AssertionError("loop nests depend on each other")
            visiting.add(id(nest))
            for value in nest.reads():
                for writer in writers.get(value, ()):
                    if writer is not nest:
                        place(writer)
            order.append(nest)

        for nest in reversed(self.nests):
            place(nest)
        return order
