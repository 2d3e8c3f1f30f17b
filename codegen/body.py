"""The body of a plan: one pass over the prepared blocks, emitting kernels, registers, memory, calls
and results.

Where a value lives
    number (int, float, bool)      an SSA register
    stored tensor                  a pointer to its base: a new tensor that will be returned, an
    argument, or a temporary
    view of an object              made by torch's own view operator, so that it shares storage
    tuple, list                    its elements; built when it is returned
    anything else                  an object of the plan's, released on every way out
    constant                       nowhere: folded into code, or a Python object of the plan

`objects` holds what has a Python object already; `box` makes one for anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import llvmlite.ir as ll

from codegen import control
from codegen.abi import call
from codegen.callback import outline
from codegen.entry import EntryBuilder, Output, Owned
from codegen.kernel import Kernel, emit_kernel
from codegen.lanes import Lane, Lanes
from codegen.launch import launch
from codegen.nest import Nest
from codegen.operands import producer
from codegen.params import BoolParam, FloatParam, IntParam, Param
from codegen.partition import CONTROL, REGISTERS, STRUCTURE, Callback, Group, Item
from codegen.prepare import Prepared
from codegen.refuse import Refused
from codegen.structured import emit_call
from codegen.unbox import Bound, BoundScalar, BoundTensor, variables
from ir import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    Block,
    Element,
    ListType,
    Node,
    Scalar,
    Sym,
    TensorType,
    TupleType,
    Type,
    Value,
    View,
    product,
    to_torch,
)

I64 = ll.IntType(64)
STACK_BYTES = 16 << 10  # temporaries up to this size live on the stack
OF_KIND = {dtype.kind: dtype for dtype in REGISTERS.values()}
PARAMS: dict[Type, Param] = {INT: IntParam(), FLOAT: FloatParam(), BOOL: BoolParam()}
SEQUENCES = ("prim::TupleConstruct", "prim::ListConstruct")


@dataclass(eq=False, slots=True)
class Body:
    """State of emitting one plan's body into its entry."""

    entry: EntryBuilder
    plan: Prepared
    numbers: dict[Value, ll.Value] = field(default_factory=dict)
    pointers: dict[Value, ll.Value] = field(default_factory=dict)
    outputs: dict[Value, Output] = field(default_factory=dict)
    objects: dict[Value, ll.Value] = field(default_factory=dict)
    kernels: list[Kernel] = field(default_factory=list)
    wanted: set[Value] = field(
        default_factory=set
    )  # tensors that become objects: allocated as tensors from the start
    can_leave: bool = (
        True  # nothing visible happened yet: a failed guard may start over in the interpreter
    )

    @property
    def b(self) -> ll.IRBuilder:
        return self.entry.builder

    def emit(self) -> None:
        """Emit everything between the guards and the return."""
        graph = self.plan.graph
        self.wanted = _object_values(graph.block, self.plan)
        bounds = variables([*self.entry.args, *self.entry.captured])
        for value, bound in zip(graph.params, bounds, strict=True):
            self.objects[value] = bound.obj
            self.bind(value, bound)
        self.block(graph.block)
        self.entry.finish(self.result(graph.returns))

    def result(self, returns: Sequence[Value]) -> Owned:
        """What the plan returns: None for nothing, several values as a tuple."""
        if len(returns) == 1:
            return self.box(returns[0])
        if not returns:
            return self.entry.box_object(self.entry.constant(None))
        return self.entry.box_sequence([self.box(v) for v in returns])

    def bind(self, value: Value, bound: Bound) -> None:
        """Note where an unboxed value is."""
        if isinstance(bound, BoundTensor):
            self.pointers[value] = bound.data
        elif isinstance(bound, BoundScalar):
            self.numbers[value] = bound.value

    # blocks ---------------------------------------------------------------------------------------
    def block(self, block: Block) -> None:
        """The items of a block, then the copies into memory that control flow hands on."""
        for item in self.plan.items[block]:
            self.item(item)
        for nest in self.plan.copies.get(block, ()):
            self.nest(nest)

    def item(self, item: Item) -> None:
        if isinstance(item, Group):
            self.allocate(item)
            for nest in self.plan.lowered[item].nests:
                self.nest(nest)
        elif isinstance(item, Callback):
            self.call_back(item)
        else:
            self.node(item)

    def allocate(self, group: Group) -> None:
        """Memory for what a group stores, unless an enclosing loop has made it already."""
        for nest in self.plan.lowered[group].nests:
            for root in nest.roots:
                if root.buffer.base not in self.pointers:
                    self.allocate_buffer(root.buffer.base)

    def allocate_buffer(self, base: Value) -> None:
        """Memory for one value: a tensor of torch's when it becomes an object, else the stack or
        the pool.
        """
        buffer = self.plan.buffers[base]
        if base in self.wanted:
            output = self.entry.alloc(buffer.dtype, buffer.dims, buffer.strides)
            self.outputs[base], self.pointers[base] = output, output.data
            return
        size = product(buffer.dims) * buffer.dtype.itemsize
        if isinstance(size, int) and size <= STACK_BYTES:
            with self.b.goto_entry_block():
                slot = self.b.alloca(ll.ArrayType(ll.IntType(8), max(size, 1)))
                slot.align = 64
                self.pointers[base] = self.b.gep(slot, [I64(0)], source_etype=ll.IntType(8))
        else:
            self.pointers[base] = self.entry.buffer(self.entry.size(size))

    def nest(self, nest: Nest) -> None:
        """Emit a nest's kernel and call it."""
        kernel = emit_kernel(
            self.entry.module,
            f"kernel{len(self.kernels)}",
            nest,
            self.plan.schedules[nest],
            self.plan.known,
        )
        self.kernels.append(kernel)
        status = launch(
            self.entry,
            kernel,
            [
                *(self.pointers[v] for v in kernel.bases),
                *(self.entry.symbols[s] for s in kernel.symbols),
                *(self.number(v) for v in kernel.scalars),
            ],
        )
        if status is not None:
            self.leave_unless(self.b.icmp_unsigned("==", status, I64(0)))

    def leave_unless(self, condition: ll.Value) -> None:
        """Start over in the interpreter unless the condition holds; only while nothing visible was
        done.
        """
        if not self.can_leave:
            raise Refused("effect before guard")
        self.entry.require(condition)

    # nodes ----------------------------------------------------------------------------------------
    def node(self, node: Node) -> None:
        """A node outside of loop nests."""
        if isinstance(node.op.rule, Scalar | Element):
            self._register(node, node.op.rule)
        elif node in self.plan.calls:
            emit_call(self, self.plan.calls[node], self.plan.known, self.plan.buffers)
        elif node.name in CONTROL:
            (control.emit_if if node.name == "prim::If" else control.emit_loop)(self, node)
        elif node.name == "prim::TupleUnpack":
            self._unpack(node)
        elif node.name == "prim::unchecked_cast":
            self.same(node.inputs[0], node.output)
        elif node.name not in STRUCTURE:
            raise Refused("not native", node)

    def _register(self, node: Node, rule: Scalar | Element) -> None:
        """A number, from numbers or from the element of a tensor."""
        s = Lanes(self.b, 1)
        s.contracts = False  # Python rounds every operation
        s.on_fault = lambda condition, reason: self.leave_unless(self.b.not_(condition.value))
        result = rule.scalar(s, *(self._lane(s, v) for v in node.inputs))
        if node.output in self.plan.known:
            return
        self.numbers[node.output] = s.cast(result, REGISTERS[node.output.type]).value

    def _lane(self, s: Lanes, value: Value) -> Lane:
        if not isinstance(value.type, TensorType):
            return Lane(s, self.number(value), REGISTERS[value.type])
        assert value.type.dtype is not None
        at = self.plan.buffers[value].base if value in self.plan.buffers else value
        lane = s.load_scalar(self.pointers[at], value.type.dtype)
        return s.cast(lane, OF_KIND[value.type.dtype.kind])

    def _unpack(self, node: Node) -> None:
        source = node.inputs[0].node
        if source is None or source.name != "prim::TupleConstruct":
            raise Refused("not native", node)
        for inner, output in zip(source.inputs, node.outputs, strict=True):
            self.same(inner, output)

    def same(self, value: Value, name: Value) -> None:
        """`name` is another name of a value."""
        for table in (self.numbers, self.pointers, self.outputs, self.objects):
            if value in table:
                table[name] = table[value]

    def number(self, value: Value) -> ll.Value:
        """A number as a register."""
        if value in self.numbers:
            return self.numbers[value]
        if value not in self.plan.known:
            raise Refused("not native", value.node)
        return self._constant_number(self.plan.known[value])

    def _constant_number(self, number: Any) -> ll.Value:
        if isinstance(number, bool):
            return ll.IntType(1)(int(number))
        if isinstance(number, float):
            return ll.DoubleType()(number)
        return self.entry.size(number)

    # calling back ---------------------------------------------------------------------------------
    def call_back(self, callback: Callback) -> None:
        """Run nodes in the interpreter; numbers among the results are unboxed, everything else
        stays an object.
        """
        outlined = outline(callback, self.plan.known)
        objects = [self.object(v) for v in outlined.arguments]
        self.can_leave = self.can_leave and callback.is_pure
        result = self.entry.call_python(self.entry.constant(outlined.function), objects)
        if len(outlined.results) == 1:
            self._bind_result(outlined.results[0], result)
            return
        for k, value in enumerate(outlined.results):
            item = call(self.b, "PyTuple_GetItem", result, I64(k))
            self._bind_result(value, item)

    def _bind_result(self, value: Value, obj: ll.Value) -> None:
        self.objects[value] = obj
        if value.type in PARAMS:
            if not self.can_leave:
                raise Refused("effect before guard", value.node)
            self.bind(value, self.entry.unbox(PARAMS[value.type], obj))

    # objects --------------------------------------------------------------------------------------
    def object(self, value: Value) -> ll.Value:
        """A value as a Python object, borrowed from the plan."""
        if value not in self.objects:
            self.objects[value] = self.entry.peek(self.box(value))
        return self.objects[value]

    def box(self, value: Value) -> Owned:
        """A value as a Python object that the caller owns."""
        if value in self.objects:
            return self.entry.box_object(self.objects[value])
        if value in self.outputs:
            return self._box_output(value)
        if value in self.plan.known:
            return self._box_known(self.plan.known[value], value.type)
        if value in self.numbers:
            return self._box_number(value)
        return self._box_made(value)

    def _box_made(self, value: Value) -> Owned:
        source = producer(value)
        if (
            source is not None
            and source.node.name in SEQUENCES
            and not isinstance(value.type, TensorType)
        ):
            type_ = value.type
            if isinstance(type_, TupleType) and type_.cls is not None:
                return self._box_view(value)
            items = [self.box(v) for v in source.node.inputs]
            return self.entry.box_sequence(items, isinstance(value.type, ListType))
        if has_own_memory(value, self.plan) and value in self.pointers:
            return self._box_copy(value)
        return self._box_view(value)

    def _box_output(self, value: Value) -> Owned:
        """A new tensor; one that is returned twice is the same object."""
        made = self.entry.box(self.outputs.pop(value))
        self.objects[value] = self.entry.peek(made)
        return self.entry.box_object(self.objects[value])

    def _box_copy(self, value: Value) -> Owned:
        """A temporary that turned out to be a result: its memory is copied to a new tensor of the
        same layout.
        """
        buffer = self.plan.buffers[value]
        output = self.entry.alloc(buffer.dtype, buffer.dims, buffer.strides)
        size = self.entry.size(product(buffer.dims) * buffer.dtype.itemsize)
        call(self.b, "memcpy", output.data, self.pointers[buffer.base], size)
        made = self.entry.box(output)
        self.objects[value] = self.entry.peek(made)
        return self.entry.box_object(self.objects[value])

    def _box_view(self, value: Value) -> Owned:
        """A view of an object (or a named tuple), by the interpreter."""
        source = producer(value)
        if source is None:
            raise Refused("not native", value.node)
        nodes = [source.node] if value.node is source.node else [source.node, value.node]
        self.call_back(Callback([n for n in nodes if n is not None]))
        return self.entry.box_object(self.objects[value])

    def _box_number(self, value: Value) -> Owned:
        entry, number = self.entry, self.numbers[value]
        if value.type == INT:
            return entry.box_int(number)
        return entry.box_float(number) if value.type == FLOAT else entry.box_bool(number)

    def _box_known(self, known: Any, type_: Type) -> Owned:
        if isinstance(known, Sym):
            return self.entry.box_int(self.entry.size(known))
        if isinstance(type_, TupleType) and type_.cls is not None:
            return self._box_named(known, type_)
        if isinstance(known, list | tuple):
            types = element_types(type_, len(known))
            items = [self._box_known(k, t) for k, t in zip(known, types, strict=True)]
            return self.entry.box_sequence(items, isinstance(known, list))
        return self.entry.box_object(self.entry.constant(to_torch(known, type_)))

    def _box_named(self, known: Sequence[Any], type_: TupleType) -> Owned:
        """A named tuple of known values, as an object of its class."""
        if any(isinstance(k, Sym | list | tuple) for k in known):
            raise Refused("not native")
        items = [to_torch(k, t) for k, t in zip(known, type_.elements, strict=True)]
        return self.entry.box_object(self.entry.constant(type_.cls(*items)))


def element_types(type_: Type, count: int) -> Sequence[Type]:
    """The types of a sequence's elements, as far as its own type tells them."""
    if isinstance(type_, TupleType):
        return type_.elements
    return [type_.element if isinstance(type_, ListType) else ANY] * count


def has_own_memory(value: Value, plan: Prepared) -> bool:
    """Whether a tensor was stored; the memory of a view that was only read is its base's."""
    return value in plan.buffers and plan.buffers[value].base is value


def _object_values(block: Block, plan: Prepared) -> set[Value]:
    """Tensors stored by the graph's own block that become Python objects: returned, or read by a
    callback.
    """
    wanted: set[Value] = set()
    for value in block.returns:
        wanted |= _tensors_of(value, plan)
    for item in plan.items[block]:
        if isinstance(item, Callback):
            for node in item.nodes:
                for value in node.inputs:
                    wanted |= _tensors_of(value, plan)
    return wanted


def _tensors_of(value: Value, plan: Prepared) -> set[Value]:
    """The stored tensors that an object is made of: through tuples, lists and views."""
    source = producer(value)
    if has_own_memory(value, plan):
        is_loop = source is not None and source.node.name == "prim::Loop"
        return set() if is_loop else {value}
    if source is None:
        return set()
    if source.node.name in SEQUENCES or source.node.name == "prim::TupleUnpack":
        return {t for v in source.node.inputs for t in _tensors_of(v, plan)}
    return (
        _tensors_of(source.node.inputs[0], plan) if isinstance(source.node.op.rule, View) else set()
    )
