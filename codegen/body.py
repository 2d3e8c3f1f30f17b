"""The body of a plan: one pass over the prepared blocks, emitting kernels, registers, memory and results.

Where a value lives
    number (int, float, bool)      an SSA register
    stored tensor                  a pointer to its base: a new tensor that will be returned, an argument, or a temporary
    view of an object              made by torch's own view operator, so that it shares storage
    tuple, list                    its elements; built when it is returned
    constant                       nowhere: folded into code, or a Python object of the plan
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import llvmlite.ir as ll

from codegen.entry import EntryBuilder, Output, Owned
from codegen.kernel import Kernel, emit_kernel
from codegen.lanes import Lane, Lanes
from codegen.launch import launch
from codegen.nest import Buffer
from codegen.operands import Known, producer
from codegen.partition import Group
from codegen.prepare import Prepared
from codegen.refuse import Refused
from codegen.unbox import Bound, BoundObject, BoundScalar, BoundTensor
from ir import BOOL, FLOAT, INT, Dim, ListType, Node, Scalar, Sym, TensorType, TupleType, Value, View, dtypes, product

I64 = ll.IntType(64)
STACK_BYTES = 16 << 10  # temporaries up to this size live on the stack
REGISTERS = {INT: dtypes.int64, FLOAT: dtypes.float64, BOOL: dtypes.bool_}


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

    @property
    def b(self) -> ll.IRBuilder:
        return self.entry.builder

    def emit(self) -> None:
        """Emit everything between the guards and the return."""
        for value, bound in zip(self.plan.graph.params, self.entry.args, strict=True):
            self._bind(value, bound)
        self.block_items()
        (result,) = self.plan.graph.returns
        self.entry.finish(self.box(result))

    def _bind(self, value: Value, bound: Bound) -> None:
        self.objects[value] = bound.obj
        if isinstance(bound, BoundTensor):
            self.pointers[value] = bound.data
        elif isinstance(bound, BoundScalar):
            self.numbers[value] = bound.value

    def block_items(self) -> None:
        returned = _returned_tensors(self.plan.graph.returns)
        for item in self.plan.items[self.plan.graph.block]:
            if isinstance(item, Group):
                self.group(item, returned)
            else:
                self.node(item)

    # groups --------------------------------------------------------------------------------------------------
    def group(self, group: Group, returned: set[Value]) -> None:
        """Memory for what the group stores, then its kernels in order."""
        lowered = self.plan.lowered[group]
        for nest in lowered.nests:
            for root in nest.roots:
                base = root.buffer.base
                if base not in self.pointers:
                    self._allocate(self.plan.buffers[base], base in returned)
        for nest, plan in zip(lowered.nests, self.plan.schedules[group], strict=True):
            kernel = emit_kernel(self.entry.module, f"kernel{len(self.kernels)}", nest, plan, self.plan.known)
            self.kernels.append(kernel)
            status = launch(self.entry, kernel, [*(self.pointers[v] for v in kernel.bases),
                                                 *(self.entry.symbols[s] for s in kernel.symbols),
                                                 *(self.number(v) for v in kernel.scalars)])
            if status is not None:
                self.entry.require(self.b.icmp_unsigned("==", status, I64(0)))

    def _allocate(self, buffer: Buffer, is_returned: bool) -> None:
        if is_returned:
            output = self.entry.alloc(buffer.dtype, buffer.dims, buffer.strides)
            self.outputs[buffer.base], self.pointers[buffer.base] = output, output.data
            return
        size = product(buffer.dims) * buffer.dtype.itemsize
        if isinstance(size, int) and size <= STACK_BYTES:
            with self.b.goto_entry_block():
                slot = self.b.alloca(ll.ArrayType(ll.IntType(8), max(size, 1)))
                slot.align = 64
            self.pointers[buffer.base] = slot
        else:
            self.pointers[buffer.base] = self.entry.buffer(self.entry.size(size))

    # nodes ---------------------------------------------------------------------------------------------------
    def node(self, node: Node) -> None:
        """A node outside of loop nests: arithmetic on registers, or structure that exists only until it is returned."""
        if all(v in self.plan.known or not isinstance(v.type, TensorType) and v.type not in REGISTERS for v in node.outputs):
            if node.op.is_pure:
                return
        if isinstance(node.op.rule, Scalar):
            self._register(node, node.op.rule)
            return
        raise Refused("not native", node)

    def _register(self, node: Node, rule: Scalar) -> None:
        s = Lanes(self.b, 1)
        operands = [Lane(s, self.number(v), REGISTERS[v.type]) for v in node.inputs]
        result = rule.scalar(s, *operands)
        self.numbers[node.output] = s.cast(result, REGISTERS[node.output.type]).value

    def number(self, value: Value) -> ll.Value:
        """A number as a register."""
        if value not in self.numbers:
            self.numbers[value] = self._constant_number(self.plan.known[value])
        return self.numbers[value]

    def _constant_number(self, number: Any) -> ll.Value:
        if isinstance(number, bool):
            return ll.IntType(1)(int(number))
        if isinstance(number, float):
            return ll.DoubleType()(number)
        return self.entry.size(number)

    # results -------------------------------------------------------------------------------------------------
    def box(self, value: Value) -> Owned:
        """A value as a Python object that the caller owns."""
        if value in self.outputs:
            return self._box_output(value)
        if value in self.objects:
            return self.entry.box_object(self.objects[value])
        if value in self.plan.known:
            return self._box_known(self.plan.known[value], value)
        if value in self.numbers:
            return self._box_number(value)
        node = value.node
        if node is not None and node.op.name in ("prim::TupleConstruct", "prim::ListConstruct"):
            items = [self.box(v) for v in node.inputs]
            return self.entry.box_sequence(items, isinstance(value.type, ListType))
        raise Refused("not native", node)

    def _box_output(self, value: Value) -> Owned:
        """A new tensor; one that is returned twice is the same object."""
        made = self.entry.box(self.outputs.pop(value))
        self.objects[value] = self.b.load(made.slot, typ=ll.PointerType())
        return made

    def _box_number(self, value: Value) -> Owned:
        box = {INT: self.entry.box_int, FLOAT: self.entry.box_float, BOOL: self.entry.box_bool}[value.type]
        return box(self.numbers[value])

    def _box_known(self, known: Any, value: Value) -> Owned:
        if isinstance(known, Sym):
            return self.entry.box_int(self.entry.size(known))
        if isinstance(known, list | tuple) and any(isinstance(k, Sym) for k in known):
            items = [self._box_known(k, value) for k in known]
            return self.entry.box_sequence(items, isinstance(known, list))
        return self.entry.box_object(self.entry.constant(known))


def _returned_tensors(values: Any) -> set[Value]:
    """Tensors that a result is made of, through tuples and lists."""
    found: set[Value] = set()
    for value in values:
        node = value.node
        if node is not None and node.op.name in ("prim::TupleConstruct", "prim::ListConstruct"):
            found |= _returned_tensors(node.inputs)
        elif isinstance(value.type, TensorType):
            found.add(value)
    return found
