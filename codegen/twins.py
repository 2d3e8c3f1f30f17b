"""Nests that are the same but for the names of their values: one kernel serves them all.

    signature(nest of layer 0) == signature(nest of layer 1)      the same code, other memory

A signature has everything that emitting a kernel looks at, with values, buffers and loop variables
numbered in the order in which they are met: what is evaluated at which index, in which phase, by
which node on which operands (constants by value), where it is read from and written to, and the
schedule. Equal layers of a model give equal nests, so a kernel is emitted for the first only.
"""

from __future__ import annotations

from typing import Any

from codegen.index import Affine, Index, Var, index_key
from codegen.nest import Buffer, Key, Nest
from codegen.operands import Known, producer
from codegen.schedule import Schedule
from ir import Dim, Node, Value

Signature = tuple[object, ...]


def signature(nest: Nest, plan: Schedule, known: Known) -> Signature:
    """What a scheduled nest is, as a hashable value."""
    return _Signature(nest, known).made(plan)


class _Signature:
    """One walk over a nest; the tables hold the numbers given so far."""

    def __init__(self, nest: Nest, known: Known) -> None:
        self.nest, self.known = nest, known
        self.vars = {id(var): k for k, var in enumerate(nest.domain)}
        self.scalars = {value: k for k, value in enumerate(nest.scalars)}
        self.values: dict[Value, int] = {}
        self.visits: dict[object, int] = {}
        self.lines: list[Signature] = []

    def made(self, plan: Schedule) -> Signature:
        nest = self.nest
        accesses = [
            (a.buffer and self.buffer(a.buffer), self.affine(a.address), a.is_write)
            for a in nest.accesses
        ]
        reduces = [
            (self.node(r.node), self.visit(r.node.inputs[0], r.index), self.places(r.kept),
             self.affine(r.position), r.phase)
            for r in nest.reduces
        ]  # fmt: skip
        scan = nest.scan and (
            self.node(nest.scan), self.visit(nest.scan.inputs[0], nest.roots[0].index)
        )  # fmt: skip
        roots = [
            (None if scan else self.visit(r.value, r.index), self.value(r.value),
             self.buffer(r.buffer), self.affine(r.address), r.phase)
            for r in nest.roots
        ]  # fmt: skip
        return (
            tuple(accesses),
            tuple((self.value(v), self.buffer(b)) for v, b in nest.sources.items()),
            tuple(reduces),
            tuple(roots),
            tuple(self.lines),
            scan,
            tuple(str(v.extent) for v in nest.domain),
            self.numbers(nest.reduced),
            tuple(value.type for value in nest.scalars),
            tuple(map(str, nest.sizes)),
            nest.cost,
            self.schedule(plan),
        )

    def schedule(self, plan: Schedule) -> Signature:
        chosen = [v for v in (plan.vector, plan.tile) if v is not None]
        return (
            *map(self.numbers, (plan.outer, plan.reduced, chosen)),
            plan.vector is None,
            plan.width,
            plan.is_parallel,
            str(plan.chunk),
        )

    def numbers(self, variables: list[Var]) -> tuple[int, ...]:
        return tuple(self.vars[id(v)] for v in variables)

    # values ---------------------------------------------------------------------------------------
    def visit(self, value: Value, index: Index) -> int:
        """The number of a value at an index, after what evaluating it there visits."""
        return self.visit_key((value, index_key(index)))

    def visit_key(self, key: Key) -> int:
        found = self.visits.get(key)
        if found is not None:
            return found
        value, position = key
        assert isinstance(value, Value)
        loaded = self.nest.loads.get(key)
        how: object
        if loaded is not None:
            how = self.buffer(loaded)
        else:
            source = producer(value)
            assert source is not None
            operands = tuple(map(self.visit_key, self.nest.uses.get(key, ())))
            how = (self.node(source.node), source.piece, operands)
        self.lines.append(
            (self.value(value), value.type, self.places(position), self.nest.phases.get(key), how)
        )
        number = self.visits[key] = len(self.visits)
        return number

    def value(self, value: Value) -> int:
        return self.values.setdefault(value, len(self.values))

    def node(self, node: Node) -> Signature:
        return (
            node.op.qualified,
            tuple((name, id(value)) for name, value in node.attrs.items()),
            tuple(map(self.operand, node.inputs)),
            tuple((self.value(v), v.type) for v in node.outputs),
        )

    def operand(self, value: Value) -> Signature:
        if value in self.known:
            constant = self.known[value]
            return "known", type(constant), repr(constant)
        if value in self.scalars:
            return "scalar", self.scalars[value], value.type
        if value.node is not None and value.node.name == "prim::ListConstruct":
            return "list", *map(self.operand, value.node.inputs)
        return "value", self.value(value), value.type

    # places ---------------------------------------------------------------------------------------
    def buffer(self, buffer: Buffer) -> Signature:
        dims: tuple[Dim, ...] = (*buffer.dims, *buffer.strides, buffer.offset)
        return self.value(buffer.base), buffer.dtype, len(buffer.dims), *map(str, dims)

    def affine(self, where: Affine) -> object:
        return self.place(where.key())

    def places(self, positions: Any) -> Signature:
        return tuple(map(self.place, positions))

    def place(self, position: Any) -> Signature:
        """An index (`Affine.key`) in numbered variables."""
        terms, const = position
        return *sorted((self.vars[var], step) for var, step in terms), const
