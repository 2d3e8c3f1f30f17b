"""The k best members of a dim, for small k and small dims: one pass that keeps them in order.

    for each member x[i]:  unless it beats the last one kept, go on;
                           move what it beats one place down, put it there

A NaN counts as greater than every number; of equal members the first ones are kept. Larger cases
call torch's operator, which has threads and selects in linear time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import llvmlite.ir as ll

from codegen.abi import I64, PTR, VOID, i64
from codegen.buffers import dense_strides, readable
from codegen.entry import EntryBuilder
from codegen.loops import counted
from codegen.nest import Buffer, Nest
from codegen.operands import Known, arguments, shape, tensor_type
from ir import DType, Node, Structured, Value, dtypes, hint, product, record

MOST = 16  # members that are kept
LONGEST = 1 << 10  # members of the dim
LARGEST = 1 << 14  # elements of the tensor: more are worth threads

_ELEMENTS: dict[DType, ll.Type] = {
    dtypes.float32: ll.FloatType(),
    dtypes.float64: ll.DoubleType(),
    dtypes.int32: ll.IntType(32),
    dtypes.int64: I64,
}


@record
class Best:
    """A selection ready to be emitted: of `count` members along `dim`."""

    node: Node
    source: Buffer
    values: Buffer
    places: Buffer
    dim: int
    count: int
    is_largest: bool
    copies: tuple[Nest, ...] = ()

    def memory(self) -> Sequence[Value]:
        """What it needs memory for."""
        return self.node.outputs


class Body(Protocol):
    """What a selection uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    pointers: dict[Value, ll.Value]


def is_best(node: Node, known: Known) -> bool:
    """Whether a node is a selection that is done here."""
    rule = node.op.rule
    if not isinstance(rule, Structured) or not rule.is_best:
        return False
    given, source = arguments(node, known), node.inputs[0]
    count, dim, dims = given["k"], given["dim"], shape(source)
    if not isinstance(count, int) or not isinstance(dim, int) or not dims or not given["sorted"]:
        return False
    length = dims[dim]
    return (
        tensor_type(source).dtype in _ELEMENTS
        and isinstance(length, int)
        and 0 < count <= min(length, MOST)
        and length <= LONGEST
        and hint(product(dims)) <= LARGEST
        and isinstance(given["largest"], bool)
    )


def prepare_best(node: Node, buffers: dict[Value, Buffer], known: Known) -> Best:
    """Find the operand and place the results."""
    given, source = arguments(node, known), node.inputs[0]
    for output in node.outputs:
        type_ = tensor_type(output)
        assert type_.dtype is not None
        buffers[output] = Buffer(output, type_.dtype, type_.shape, dense_strides(type_))
    values, places = (buffers[v] for v in node.outputs)
    read = readable(source, buffers, known)
    dim = given["dim"] % len(read.dims)
    return Best(node, read, values, places, dim, given["k"], given["largest"])


def emit_best(body: Body, best: Best) -> None:
    """One call of the row function for each row."""
    function = _row_function(body.entry.module, best)
    buffers = (best.source, best.values, best.places)
    _rows(body, best, function, 0, [body.entry.size(x.offset) for x in buffers])


def _rows(
    body: Body, best: Best, function: ll.Function, axis: int, starts: Sequence[ll.Value]
) -> None:
    """The loops over the other dims; `starts` are offsets in elements."""
    entry, b = body.entry, body.entry.builder
    buffers = (best.source, best.values, best.places)
    if axis == len(best.source.dims):
        rows = [
            b.gep(body.pointers[x.base], [at], source_etype=_ELEMENTS[x.dtype])
            for x, at in zip(buffers, starts, strict=True)
        ]
        steps = [entry.size(x.strides[best.dim]) for x in (best.source, best.values)]
        b.call(function, [*rows, entry.size(best.source.dims[best.dim]), *steps])
    elif axis == best.dim:
        _rows(body, best, function, axis + 1, starts)
    else:
        with counted(b, entry.size(best.source.dims[axis])) as index:
            moved = [
                b.add(at, b.mul(index, entry.size(x.strides[axis])))
                for x, at in zip(buffers, starts, strict=True)
            ]
            _rows(body, best, function, axis + 1, moved)


def _row_function(module: ll.Module, best: Best) -> ll.Function:
    """`void(row, values, places, length, step of the row, step of the results)`."""
    dtype, order = best.source.dtype, "largest" if best.is_largest else "smallest"
    name = f"best.{dtype.name}.{best.count}.{order}"
    known = module.globals.get(name)
    if isinstance(known, ll.Function):
        return known
    signature = ll.FunctionType(VOID, [PTR, PTR, PTR, I64, I64, I64])
    function = ll.Function(module, signature, name)
    function.linkage = "internal"
    b = ll.IRBuilder(function.append_basic_block("entry"))
    _Row(b, _ELEMENTS[dtype], best.count, best.is_largest, *function.args).emit()
    return function


@record(frozen=False)
class _Row:
    """State of emitting the row function."""

    b: ll.IRBuilder
    element: ll.Type
    count: int
    is_largest: bool
    row: ll.Value
    values: ll.Value
    places: ll.Value
    length: ll.Value
    step: ll.Value
    out_step: ll.Value

    def emit(self) -> None:
        """The pass over the members."""
        b = self.b
        with counted(b, self.length) as index:
            x = b.load(self._at(self.row, index, self.step), typ=self.element)
            last = b.load(self._value(i64(self.count - 1)), typ=self.element)
            is_early = b.icmp_unsigned("<", index, i64(self.count))
            with b.if_then(b.or_(is_early, self._beats(x, last))):
                self._insert(x, index, b.select(is_early, index, i64(self.count - 1)))
        b.ret_void()

    def _insert(self, x: ll.Value, index: ll.Value, free: ll.Value) -> None:
        """Put a member where it belongs, at the free place or above."""
        b = self.b
        before = b.block
        test, compare, move, done = (
            b.append_basic_block(f"insert.{part}") for part in ("test", "compare", "move", "done")
        )
        b.branch(test)
        b.position_at_end(test)
        place = b.phi(I64)
        place.add_incoming(free, before)
        b.cbranch(b.icmp_signed(">", place, i64(0)), compare, done)
        b.position_at_end(compare)
        above = b.sub(place, i64(1))
        other = b.load(self._value(above), typ=self.element)
        b.cbranch(self._beats(x, other), move, done)
        b.position_at_end(move)
        b.store(other, self._value(place))
        b.store(b.load(self._place(above), typ=I64), self._place(place))
        place.add_incoming(above, move)
        b.branch(test)
        b.position_at_end(done)
        b.store(x, self._value(place))
        b.store(index, self._place(place))

    def _at(self, base: ll.Value, index: ll.Value, step: ll.Value) -> ll.Value:
        return self.b.gep(base, [self.b.mul(index, step)], source_etype=self.element)

    def _value(self, place: ll.Value) -> ll.Value:
        return self._at(self.values, place, self.out_step)

    def _place(self, place: ll.Value) -> ll.Value:
        return self.b.gep(self.places, [self.b.mul(place, self.out_step)], source_etype=I64)

    def _beats(self, x: ll.Value, y: ll.Value) -> ll.Value:
        """Whether x comes in front of y."""
        b, relation = self.b, ">" if self.is_largest else "<"
        if isinstance(self.element, ll.IntType):
            return b.icmp_signed(relation, x, y)
        great, small = (x, y) if self.is_largest else (y, x)
        is_nan = b.and_(b.fcmp_unordered("uno", great, great), b.fcmp_ordered("ord", small, small))
        return b.or_(b.fcmp_ordered(relation, x, y), is_nan)
