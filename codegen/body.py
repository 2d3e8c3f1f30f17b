"""The body of a plan: one pass over the prepared blocks, emitting kernels, registers, memory, calls
and results.

Where a value lives
    number (int, float, bool)      an SSA register
    stored tensor                  a pointer to its base: a new tensor that will be returned, an
    argument, or a temporary
    view of an object              made by torch's own view operator, so that it shares storage
    tuple, list                    its elements; built when it is returned
    list that is written or counted, of numbers or such lists: native memory (`codegen.lists.ops`)
    anything else                  an object of the plan's, released on every way out
    constant                       nowhere: folded into code, or a Python object of the plan

`objects` holds what has a Python object already; `box` makes one for anything else.

Leaving
    While nothing visible was done, a failed guard starts over in the interpreter: lists are private
    copies, which are written back to the arguments at the very end, and where an error propagates.
    After a callback with effects the node that failed is called back instead, so that Python raises
    its own exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.ir as ll

from codegen import control
from codegen.abi import call, offset
from codegen.callback import Compile, Outlined, outline
from codegen.entry import EntryBuilder, Output, Owned
from codegen.faults import FAULTS
from codegen.fusible import REGISTERS
from codegen.kernel import Kernel, emit_kernel
from codegen.lanes.lanes import Lane, Lanes
from codegen.launch import launch
from codegen.lists import handles
from codegen.lists import ops as list_ops
from codegen.lists.chosen import Lists
from codegen.lists.ops import List
from codegen.liveness import dying
from codegen.nest import Nest
from codegen.objects import SEQUENCES, called_with, is_stored, object_values, viewed_outside
from codegen.operands import producer, tensor_type
from codegen.params import BoolParam, FloatParam, IntParam, Param, TensorParam
from codegen.partition import (
    CONTROL,
    RAISE,
    STRUCTURE,
    Callback,
    Group,
    Item,
    nodes_of,
)
from codegen.prepare import Prepared
from codegen.ranges import Ranges
from codegen.refuse import Refused
from codegen.structured import emit_call
from codegen.twins import Signature, signature
from codegen.unbox import Bound, BoundList, BoundScalar, BoundTensor, variables
from ir import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    MINIMUM,
    Block,
    Element,
    Graph,
    ListType,
    Node,
    Scalar,
    Sym,
    TensorType,
    TupleType,
    Type,
    Value,
    field,
    product,
    record,
    to_torch,
)

I64 = ll.IntType(64)
STACK_BYTES = 16 << 10  # temporaries up to this size live on the stack
OF_KIND = {dtype.kind: dtype for dtype in REGISTERS.values()}
PARAMS: dict[Type, Param] = {INT: IntParam(), FLOAT: FloatParam(), BOOL: BoolParam()}
BEYOND = "a Python number beyond what compiled code holds, after a visible effect"


@record(frozen=False, eq=False)
class Body:
    """State of emitting one plan's body into its entry."""

    entry: EntryBuilder
    plan: Prepared
    compile_later: Compile | None = None
    numbers: dict[Value, ll.Value] = field(default_factory=dict)
    pointers: dict[Value, ll.Value] = field(default_factory=dict)
    outputs: dict[Value, Output] = field(default_factory=dict)
    temporaries: dict[Value, Owned] = field(default_factory=dict)
    objects: dict[Value, ll.Value] = field(default_factory=dict)
    lists: dict[Value, List] = field(default_factory=dict)
    handles: dict[Value, ll.Value] = field(default_factory=dict)
    scopes: list[list[tuple[Value, ll.Value]]] = field(default_factory=list)
    """For each block around the builder, the references to lists that it gives up at its end."""
    kernels: list[Kernel] = field(default_factory=list)
    emitted: dict[Signature, Kernel] = field(default_factory=dict)
    wanted: set[Value] = field(
        default_factory=set
    )  # tensors that become objects: allocated as tensors from the start
    parts: dict[Callback, Callable[..., Any]] = field(default_factory=dict)
    """Compiled functions of callbacks that resume native code."""
    callbacks: dict[str, Graph] = field(default_factory=dict)
    """What the other callbacks run, by the names of their functions."""
    can_leave: bool = (
        True  # nothing visible happened yet: a failed guard may start over in the interpreter
    )

    @property
    def b(self) -> ll.IRBuilder:
        return self.entry.builder

    @property
    def chosen(self) -> Lists:
        return self.plan.lists

    @property
    def ranges(self) -> Ranges:
        return self.plan.ranges

    @property
    def chain(self) -> ll.Value:
        """The first link of the chain of native lists."""
        return self.entry.chain

    def emit(self) -> None:
        """Emit everything between the guards and the return."""
        graph = self.plan.graph
        self.wanted = object_values(self.plan)
        bounds = variables([*self.entry.args, *self.entry.captured])
        for value, bound in zip(graph.params, bounds, strict=True):
            self.objects[value] = bound.obj
            self.bind(value, bound)
            if value in self.chosen.handles:
                handles.hold(self, value)
        if any(self._written_lists()):
            with self.entry.unwinding():
                self.write_back()
        self.block(graph.block)
        result = self.result(graph.returns)
        self.write_back()
        self.entry.finish(result)

    def _written_lists(self) -> Iterator[Value]:
        """List arguments that the plan changes."""
        written = self.plan.aliases.is_written
        return (v for v in self.plan.graph.params if v in self.lists and written(v))

    def write_back(self) -> None:
        """Give the caller's lists what their native twins hold."""
        for param in self._written_lists():
            list_ops.write_back(self, self.lists[param], self.objects[param])

    def result(self, returns: Sequence[Value]) -> Owned:
        """What the plan returns: None for nothing, several values as a tuple."""
        if len(returns) == 1 and returns[0] in self.outputs:  # nobody else will ask for it
            return self.entry.box(self.outputs.pop(returns[0]))
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
        elif isinstance(bound, BoundList) and value in self.chosen.native:
            list_ops.bind(self, value, bound.header)

    # blocks ---------------------------------------------------------------------------------------
    def block(self, block: Block) -> None:
        """The items of a block, then the copies into memory that control flow hands on."""
        dead = dying(self.plan) if block is self.plan.graph.block else {}
        for position, item in enumerate(self.plan.items[block]):
            self.item(item)
            for base in dead.get(position, ()):
                if base in self.temporaries:
                    self.entry.release(self.temporaries.pop(base))
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
        for node in nodes_of(item):
            for output in node.outputs:
                if output in self.chosen.handles:
                    handles.hold(self, output)

    @contextmanager
    def inside(self, block: Block) -> Iterator[None]:
        """The scope of an inner block: objects made there are not known outside; references to
        lists end there.
        """
        objects = dict(self.objects)
        self.scopes.append([])
        yield
        for value, header in self.scopes.pop():
            self.drop(value, header)
        self.objects = objects

    def has_effect(self, block: Block) -> bool:
        """Whether a block does anything visible."""
        return any(
            not item.is_pure
            if isinstance(item, Callback)
            else isinstance(item, Node) and any(map(self.has_effect, item.blocks))
            for item in self.plan.items[block]
        )

    def allocate(self, group: Group) -> None:
        """Memory for what a group stores, unless an enclosing loop has made it already."""
        for nest in self.plan.lowered[group].nests:
            for root in nest.roots:
                if root.buffer.base not in self.pointers:
                    self.allocate_buffer(root.buffer.base)

    def allocate_ahead(self, group: Group) -> None:
        """Memory for what a group stores, in front of the loop that repeats it; a tensor that
        becomes an object is a new one each time.
        """
        for nest in self.plan.lowered[group].nests:
            for root in nest.roots:
                base = root.buffer.base
                if base not in self.pointers and not self.is_new_each_time(base):
                    self.allocate_buffer(base)

    def is_new_each_time(self, base: Value) -> bool:
        """Whether a value has other memory in each turn of a loop: objects and lists hold it."""
        return base in self.wanted or base in self.chosen.handles

    def allocate_buffer(self, base: Value) -> None:
        """Memory for one value: a tensor of torch's when it becomes an object, else the stack or
        the pool.
        """
        buffer = self.plan.buffers[base]
        if base in self.chosen.handles:
            handles.make(self, base)
            return
        if base in self.wanted:
            output = self.entry.alloc(buffer.dtype, buffer.dims, buffer.strides)
            self.outputs[base], self.pointers[base] = output, output.data
            return
        size = product(buffer.dims) * buffer.dtype.itemsize
        if isinstance(size, int) and size <= STACK_BYTES:
            with self.b.goto_entry_block():
                slot = self.b.alloca(ll.ArrayType(ll.IntType(8), max(size, 1)))
                slot.align = 64
                address = self.b.gep(slot, [I64(0)], source_etype=ll.IntType(8))
                address.type = ll.PointerType()  # whose elements may be read as any type
                self.pointers[base] = address
        else:
            made = self.entry.buffer(self.entry.size(size))
            self.pointers[base], self.temporaries[base] = made.data, made.handle

    def nest(self, nest: Nest) -> None:
        """Call a nest's kernel."""
        kernel = self.kernel(nest)
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
            self._leave_if_faulted(status)

    def kernel(self, nest: Nest) -> Kernel:
        """The kernel of a nest: emitted, unless that of an equal one serves it."""
        plan, known = self.plan.schedules[nest], self.plan.known
        key = signature(nest, plan, known)
        twin = self.emitted.get(key)
        if twin is not None:
            return twin.serving(nest, plan)
        name = f"kernel{len(self.emitted)}"
        made = self.emitted[key] = emit_kernel(self.entry.module, name, nest, plan, known)
        return made

    def _leave_if_faulted(self, status: ll.Value) -> None:
        is_fine = self.b.icmp_unsigned("==", status, I64(0))
        if self.can_leave:
            self.entry.require(is_fine)
            return
        with self.b.if_then(self.b.not_(is_fine), likely=False):
            self.entry.take_gil()
            for fault in FAULTS.values():
                is_met = self.b.icmp_unsigned("!=", self.b.and_(status, I64(fault.bit)), I64(0))
                self.entry.raise_if(is_met, fault.exception, fault.message)

    def leave_unless(self, condition: ll.Value, node: Node | None = None) -> None:
        """Start over in the interpreter unless the condition holds; after a visible effect, have
        Python itself raise what the node raises.
        """
        if self.can_leave:
            self.entry.require(condition)
            return
        with self.b.if_then(self.b.not_(condition), likely=False):
            self.entry.take_gil()
            if node is not None and all(map(self._is_boxable, node.inputs)):
                outlined = outline(Callback([node]), self.plan.known)
                arguments = [self._box_fresh(v) for v in outlined.arguments]
                self.entry.call_python(self._function(outlined), arguments)
            self.entry.raise_if(ll.IntType(1)(1), "OverflowError", BEYOND)

    def _is_boxable(self, value: Value) -> bool:
        """Whether an object can be made of a value in passing."""
        tables = (self.numbers, self.lists, self.handles, self.objects, self.plan.known)
        return any(value in table for table in tables)

    def _box_fresh(self, value: Value) -> ll.Value:
        """An object of a value as it is now, which nobody else will see."""
        entry = self.entry
        if value in self.lists:
            return entry.peek(list_ops.box_copy(self, self.lists[value]))
        if value in self.numbers:
            return entry.peek(self._box_number(value))
        if value in self.handles or value in self.objects:
            return self.object(value)
        return entry.peek(self._box_known(self.plan.known[value], value.type))

    # nodes ----------------------------------------------------------------------------------------
    def node(self, node: Node) -> None:
        """A node outside of loop nests."""
        if self.chosen.touches(node) and node.name not in CONTROL:
            self._on_lists(node)
        elif isinstance(node.op.rule, Scalar | Element):
            self._register(node, node.op.rule)
        elif node in self.plan.calls:
            emit_call(self, self.plan.calls[node], self.plan.known, self.plan.buffers)
        elif node in self.plan.stores:
            self._store(node)
        elif node.name in CONTROL:
            (control.emit_if if node.name == "prim::If" else control.emit_loop)(self, node)
        elif node.name == "prim::Uninitialized" and node.output in self.chosen.handles:
            list_ops.bind_nothing(self, node.output)
        elif node.name == "prim::TupleUnpack":
            self._unpack(node)
        elif node.name == "prim::unchecked_cast":
            self._cast(node.inputs[0], node.output)
        elif node.name == RAISE:
            self._raise(node)
        elif node.name not in STRUCTURE and node not in self.plan.facts.puts:
            raise Refused("not native", node)
        elif node.name == "prim::ListConstruct" and self.plan.aliases.is_written(node.output):
            self.object(node.output)  # one object from the start: whoever changes it changes this

    def _store(self, node: Node) -> None:
        """Write a tensor: of the caller's, where the value is not there already, or of the plan."""
        for nest in self.plan.stores[node]:
            self.nest(nest)
        if node in self.plan.facts.last_writes:
            self.entry.mark_written(self.objects[node.inputs[0]])
            self.can_leave = False

    def _raise(self, node: Node) -> None:
        """Python raises: in the interpreter that starts over, or called back."""
        if self.can_leave:
            self.entry.require(ll.IntType(1)(0))
        else:
            self.entry.take_gil()
            self.call_back(Callback([node]))

    def _on_lists(self, node: Node) -> None:
        """An operator on lists, or a list in native memory."""
        if self.chosen.is_operation(node):
            list_ops.emit(self, node)
        elif node.name == "prim::ListConstruct":
            items = [list_ops.item_of(self, v) for v in node.inputs]
            list_ops.construct(self, node.output, items, node)
        elif node.name == "prim::Constant":
            items = [self._constant_number(k) for k in self.plan.known[node.output]]
            list_ops.construct(self, node.output, items, node)
        elif node.name == "prim::Uninitialized":
            list_ops.bind_nothing(self, node.output)
        elif node.name == "prim::TupleUnpack":
            self._unpack(node)
        if self.scopes and list_ops.is_owner(self.chosen, node):
            for output in node.outputs:
                if output in self.lists or output in self.handles:
                    self.own_list(output, list_ops.item_of(self, output))

    def own_list(self, value: Value, header: ll.Value) -> None:
        """Give up a reference at the end of the block, when a loop may come by again."""
        if self.entry.loop_depth:
            self.scopes[-1].append((value, header))

    def handed(self, value: Value) -> ll.Value:
        """A number, list or handle as control flow hands it on: the taker owns a reference."""
        item = list_ops.item_of(self, value)
        if self.chosen.is_held(value):
            list_ops.retain(self, value.type, item)
        return item

    def receive(self, value: Value, register: ll.Value, is_owned: bool = True) -> None:
        """Note a number, list or handle that control flow has handed on."""
        list_ops.bind_item(self, value, register)
        if is_owned and self.chosen.is_held(value):
            self.own_list(value, register)

    def drop(self, value: Value, register: ll.Value) -> None:
        """Give up the reference to a list or handle that goes out of use; others have none."""
        if self.chosen.is_held(value):
            list_ops.release(self, value.type, register)

    def box_for(self, node: Node) -> None:
        """Make the objects that callbacks inside read of tensors outside: a tensor becomes an
        object once, not in every turn of a loop.
        """
        inside = {v for b in node.blocks for v in b.values()}
        for value in called_with(node, self.plan):
            outer = viewed_outside(value, inside)
            if outer is not None and not self._is_boxable(outer):
                self.object(outer)

    def _register(self, node: Node, rule: Scalar | Element) -> None:
        """A number, from numbers or from the element of a tensor."""
        s = Lanes(self.b, 1)
        s.contracts = False  # Python rounds every operation
        s.is_bounded = node in self.ranges.exact
        s.on_fault = lambda condition, reason: self.leave_unless(self.b.not_(condition.value), node)
        result = rule.scalar(s, *(self._lane(s, v) for v in node.inputs))
        number = s.cast(result, REGISTERS[node.output.type]).value
        symbol = self.plan.positions.of.get(node.output)
        if symbol is not None:
            self.entry.symbols[symbol] = self.b.add(number, I64(MINIMUM))
        elif node.output in self.plan.known:
            return
        self.numbers[node.output] = number

    def _lane(self, s: Lanes, value: Value) -> Lane:
        if not isinstance(value.type, TensorType):
            if value.type not in REGISTERS:  # a value of another type, where control never comes
                raise Refused("not native", value.node)
            return Lane(s, self.number(value), REGISTERS[value.type])
        buffer = self.plan.buffers[value]
        start = self.entry.size(buffer.offset * buffer.dtype.itemsize)
        lane = s.load_scalar(offset(self.b, self.pointers[buffer.base], start), buffer.dtype)
        return s.cast(lane, OF_KIND[buffer.dtype.kind])

    def _unpack(self, node: Node) -> None:
        source = node.inputs[0].node
        if source is None or source.name != "prim::TupleConstruct":
            raise Refused("not native", node)
        for inner, output in zip(source.inputs, node.outputs, strict=True):
            self.same(inner, output)

    def _cast(self, value: Value, output: Value) -> None:
        """The same value; an object that is known to be a number, as a register."""
        if output.type in PARAMS and value.type not in PARAMS:
            self._bind_result(output, self.object(value))
        else:
            self.same(value, output)

    def same(self, value: Value, name: Value) -> None:
        """`name` is another name of a value."""
        tables: list[dict[Value, Any]] = [
            self.numbers,
            self.pointers,
            self.outputs,
            self.objects,
            self.lists,
            self.handles,
        ]
        for table in tables:
            if value in table:
                table[name] = table[value]

    def number(self, value: Value) -> ll.Value:
        """A number as a register."""
        if value in self.numbers:
            return self.numbers[value]
        if value.node is not None and value.node.name == "prim::Uninitialized":
            return ll.Constant(control.register_type(value.type), 0)
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
        outlined = outline(callback, self.plan.known, self.compile_later)
        if outlined.is_part:
            self.parts[callback] = outlined.function
        objects = [self.object(v) for v in outlined.arguments]
        self.can_leave = self.can_leave and callback.is_pure
        result = self.entry.call_python(self._function(outlined), objects)
        if len(outlined.results) == 1:
            self._bind_result(outlined.results[0], result)
            return
        for k, value in enumerate(outlined.results):
            item = call(self.b, "PyTuple_GetItem", result, I64(k))
            self._bind_result(value, item)

    def _function(self, outlined: Outlined) -> ll.Value:
        """The function of a callback, as an object of the plan."""
        if not outlined.is_part:
            name = self.entry.constants.name(outlined.function)
            self.callbacks[name] = outlined.graph
        return self.entry.constant(outlined.function)

    def _bind_result(self, value: Value, obj: ll.Value) -> None:
        if value in self.chosen.native:
            list_ops.unbox(self, value, obj)
            if self.plan.aliases.is_written(value):
                list_ops.part(self, self.lists[value])
            self.own_list(value, self.lists[value].header)
            return
        self.objects[value] = obj
        if value.type in PARAMS:
            with self._leaving():
                self.bind(value, self.entry.unbox(PARAMS[value.type], obj))

    def unbox_tensor(self, param: TensorParam, obj: ll.Value) -> BoundTensor:
        """Read an object that is a tensor of known sizes and strides."""
        with self._leaving():
            bound = self.entry.unbox(param, obj)
        assert isinstance(bound, BoundTensor)
        return bound

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """Where failed guards of the entry may start over, or else raise."""
        if self.can_leave:
            yield
        else:
            with self.entry.raising("OverflowError", BEYOND):
                yield

    # objects --------------------------------------------------------------------------------------
    def object(self, value: Value) -> ll.Value:
        """A value as a Python object, borrowed from the plan."""
        if value in self.lists:  # as it is now
            return self.entry.peek(list_ops.box_copy(self, self.lists[value]))
        if value in self.handles:
            return self.entry.peek(self.box(value))
        if value not in self.objects:
            self.objects[value] = self.entry.peek(self.box(value))
        return self.objects[value]

    def box(self, value: Value) -> Owned:
        """A value as a Python object that the caller owns."""
        if value in self.lists:
            return list_ops.box(self, self.lists[value])
        if value in self.handles:
            return handles.box(self, self.handles[value], tensor_type(value))
        if value.node is not None and value.node.name == "prim::Uninitialized":
            return self.entry.box_object(self.entry.constant(None))
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
            made = self.entry.box_sequence(items, isinstance(value.type, ListType))
            self.objects[value] = self.entry.peek(made)  # one object, however often it is handed on
            return self.entry.box_object(self.objects[value])
        if is_stored(value, self.plan) and self.plan.buffers[value].base in self.pointers:
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
        """A register, whatever type the value has been given since."""
        entry, number = self.entry, self.numbers[value]
        if number.type == control.I64:
            return entry.box_int(number)
        is_float = isinstance(number.type, ll.DoubleType)
        return entry.box_float(number) if is_float else entry.box_bool(number)

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
