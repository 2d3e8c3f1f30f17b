"""The native entry of a plan: guards, unboxing, results, and the ways out.

An entry is a function with CPython's vectorcall signature. Its guards are straight-line code; each
one that fails goes to the *miss* path, which calls the next entry of the chain with the same
arguments (the global `<name>.next`, set when the plan is installed: another plan, or at the end the
interpreter). A call that passes counts in the global `<name>.hits`; one that leaves later, at a
`require` of the body, in `<name>.faults` instead.

    args ─► modes ─► each argument: type, fields ─► sizes ─► hits += 1 ─► body ─► box ─► result
              │ false         │                       │                     │ require  │ raise_if
              └───────────────┴───► miss: release, call next ◄──────────────┘          ▼
                                                                 error: release, return NULL

How a plan is emitted (n is a symbolic `Dim`):

    vector = TensorParam(float32, (n,))
    entry = EntryBuilder(module, "entry", [vector, vector, FloatParam()])
    a, b, scale = entry.args          # BoundTensor .data .sizes .strides; BoundScalar .value
    out = entry.alloc(float32, (n,))  # .data; released on every way out that does not return it
    entry.builder.call(kernel, [a.data, b.data, out.data, entry.size(n), scale.value])
    entry.finish(entry.box(out))      # also box_int, box_float, box_bool, box_object, ...
    entry.close()

    library = engine().load(module, entry.imports)
    set_entry(function, install(library), keep=(library, entry.constants))

Rules for bodies
  * Emit through `entry.builder`; blocks may be added freely. `finish` ends a path, and there may be
    several; `close` comes last.
  * `require(condition)` leaves to the miss path: only while nothing visible was done (no argument
    written). After that, only `raise_if`.
  * What must be released is `own`ed: it is kept in a stack slot that every way out looks at. `take`
    ends the ownership.
  * Between `release_gil` and its end the body neither leaves nor touches Python objects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CellType

import llvmlite.ir as ll

from codegen import torch_abi
from codegen.abi import (
    ARGUMENTS_OFFSET,
    ENTRY_TYPE,
    I32,
    I64,
    NULL,
    OBJECT_HEAD,
    PTR,
    any_of,
    call,
    external,
    field,
    function,
    i32,
    i64,
    offset,
    stack,
    string,
)
from codegen.params import Captured, HeldParam, Param, UnchangedParam
from codegen.sizes import emit_assumption, emit_size
from codegen.tensor_fields import ask
from codegen.unbox import Bound, BoundList, BoundTensor, Unboxer, are_disjoint, variables
from ir import Assumption, Dim, DType, Symbol, record
from ir import field as record_field

_LIKELY = (1 << 20, 1)
FEW_SLOTS = 16
POINTER = 8  # bytes
HANDLE, OBJECT = "aoti_torch_delete_tensor_object", "Py_DecRef"


@record
class Owned:
    """A resource of the entry: `slot` holds it until it is taken, then null; `release` names the
    function that frees it.
    """

    slot: ll.Value
    release: str


@record
class Output:
    """Memory that the entry owns: a tensor of torch's with its elements and the Python object, or
    the handle that becomes one, or a temporary.
    """

    data: ll.Value
    handle: Owned


@record(frozen=False)
class Constants:
    """Python objects that code refers to, each under a name that depends only on the order of
    first use.
    """

    prefix: str
    _names: dict[int, str] = record_field(default_factory=dict)
    _objects: list[object] = record_field(default_factory=list)

    def name(self, value: object) -> str:
        """The symbol whose address is that of `value`, which stays alive with this record."""
        if id(value) not in self._names:
            self._names[id(value)] = f"{self.prefix}.object{len(self._objects)}"
            self._objects.append(value)
        return self._names[id(value)]

    @property
    def imports(self) -> Mapping[str, int]:
        return {name: key for key, name in self._names.items()}

    @property
    def objects(self) -> dict[str, object]:
        """The objects by their symbols."""
        return dict(zip(self._names.values(), self._objects, strict=True))


class EntryBuilder:
    """Emits one entry; see the module head. Guards are emitted on construction, then the body's
    turn begins.
    """

    def __init__(
        self,
        module: ll.Module,
        name: str,
        params: Sequence[Param],
        *,
        keywords: Sequence[str] = (),
        captured: Sequence[Captured] = (),
        assumptions: Sequence[Assumption] = (),
        written: Collection[int] = (),
    ) -> None:
        """`keywords` are the names under which the last of `params` are passed, in call order;
        `written` are positions among what varies (`codegen.unbox.variables`) of tensors that the
        body writes, which must not overlap with any other.
        """
        self.module = module
        self.name = name
        self.constants = Constants(name)
        self.function = ll.Function(module, ENTRY_TYPE, name)
        self._callable, self._args, self._nargs, self._names = self.function.args
        self._next = self._global("next", PTR, NULL)
        self._owned: list[Owned] = []
        self.loop_depth = 0
        """How many loops of the body are around the builder."""
        self.is_released = False
        """Whether what is emitted runs without the GIL where that is worth it."""
        self._is_ever_released = False
        self._late: list[tuple[ll.Block, Callable[[], None]]] = []
        """Blocks of ways out, and what emits them when the body is complete."""
        self._chain: Owned | None = None
        self.builder = ll.IRBuilder(self.function.append_basic_block("entry"))
        self._slots = self.builder.alloca(PTR, i32(1))
        self._thread = self.builder.alloca(PTR)  # its saved state while the GIL is released
        self.builder.store(NULL, self._thread)
        self._body = self.function.append_basic_block("guards")
        self.builder.branch(self._body)  # the entry block stays open for stack slots
        self._target = self._miss = self.function.append_basic_block("miss")
        self._error = self._failed = self.function.append_basic_block("error")
        self._raises: dict[tuple[str, str, ll.Block], ll.Block] = {}
        self.builder.position_at_end(self._body)
        unboxer = Unboxer(self, self._hold)
        self.symbols: dict[Symbol, ll.Value] = unboxer.symbols
        self._guard_call(len(params), keywords)
        self._guard_modes()
        self.args: list[Bound] = [unboxer.unbox(p, self._argument(k)) for k, p in enumerate(params)]
        self.captured: list[Bound] = [
            unboxer.captured(c.param, self._captured(c)) for c in captured
        ]
        unboxer.finish()
        for assumption in assumptions:
            self.require(emit_assumption(self.builder, assumption, self.symbols))
        self._guard_overlap(written)
        self._count("hits", 1)
        self._target = self._leave()

    def _guard_overlap(self, written: Collection[int]) -> None:
        bounds = list(variables([*self.args, *self.captured]))
        for k in written:
            for i, other in enumerate(bounds):
                if i not in written or i > k:
                    self._guard_pair(bounds[k], other)

    def _guard_pair(self, target: Bound, other: Bound) -> None:
        if isinstance(target, BoundTensor) and isinstance(other, BoundTensor):
            self.require(are_disjoint(self.builder, target, other))
        elif isinstance(target, BoundList) and isinstance(other, BoundList):
            self.require(self.builder.icmp_unsigned("!=", target.obj, other.obj))

    # --- leaving ---

    def require(self, condition: ll.Value) -> None:
        """Go to the miss path unless the condition holds."""
        self._branch_unless(condition, self._target)

    def raise_if(self, condition: ll.Value, exception: str, message: str) -> None:
        """Raise a built-in exception (`"ZeroDivisionError"`) when the condition holds."""
        key = (exception, message, self._error)
        block = self._raises.get(key)
        if block is None:
            block = self._raises[key] = self._raising(exception, message)
        self._branch_if(condition, block)

    def _raising(self, exception: str, message: str) -> ll.Block:
        """A block that sets an error and leaves."""
        b, error = self.builder, self._error

        def emit() -> None:
            self._regain_gil()
            kind = b.load(external(self.module, f"PyExc_{exception}"), typ=PTR)
            call(b, "PyErr_SetString", kind, string(self.module, message))
            b.branch(error)

        return self._way_out("raise", emit)

    def _way_out(self, name: str, emit: Callable[[], None]) -> ll.Block:
        """A block that is emitted when the body is complete."""
        block = self.function.append_basic_block(name)
        self._late.append((block, emit))
        return block

    def propagate_if(self, condition: ll.Value) -> None:
        """Return the error that a called function has set, when the condition holds."""
        self._branch_if(condition, self._error)

    @contextmanager
    def unwinding(self) -> Iterator[None]:
        """Emit what errors from here on do on their way out."""
        b, block = self.builder, self.function.append_basic_block("unwind")
        with b.goto_block(block):
            self.take_gil()
            error = [stack(b, PTR) for _ in range(3)]
            call(b, "PyErr_Fetch", *error)
            yield
            call(b, "PyErr_Restore", *(b.load(part, typ=PTR) for part in error))
            b.branch(self._failed)
        self._error = block

    def finish(self, result: Owned) -> None:
        """Return an owned object; everything else that is owned is released."""
        value = self.take(result)
        self._release_all([owned for owned in self._owned if owned is not result])
        self.builder.ret(value)

    def close(self) -> None:
        """Emit the miss and error paths; call it when the body is complete."""
        b = self.builder
        for block, emit in self._late:
            b.position_at_end(block)
            emit()
        b.position_at_end(self._miss)
        self._abandon()
        following = b.load(self._next, typ=ENTRY_TYPE.as_pointer())
        args = (self._callable, self._args, self._nargs, self._names)
        b.ret(b.call(following, args, tail=True))
        b.position_at_end(self._failed)
        self._abandon()
        b.ret(NULL)
        self._slots.operands = [i32(max(len(self._owned), 1))]

    @contextmanager
    def raising(self, exception: str, message: str) -> Iterator[None]:
        """Where `require` raises instead of leaving."""
        target, self._target = self._target, self._raising(exception, message)
        yield
        self._target = target

    # --- resources ---

    @property
    def chain(self) -> ll.Value:
        """The first link of the chain of native lists (`codegen.lists.runtime`)."""
        if self._chain is None:
            self._chain = self.slot("relume_lists_free")
        return self._chain.slot

    def own(self, value: ll.Value, release: str) -> Owned:
        """Have `value` (a pointer, may be null) freed by C function `release` on the way out."""
        owned = self.slot(release)
        self.replace(owned, value)
        return owned

    def keep(self, owned: Owned, obj: ll.Value) -> None:
        """Put another reference to an object into a slot, in place of what was there."""
        call(self.builder, "Py_IncRef", obj)
        self.replace(owned, obj)

    def replace(self, owned: Owned, value: ll.Value) -> None:
        """Fill a slot; in a loop it may hold what the turn before has left."""
        b = self.builder
        old = b.load(owned.slot, typ=PTR) if self.loop_depth else None
        b.store(value, owned.slot)
        if old is not None:
            with b.if_then(b.icmp_unsigned("!=", old, NULL)):
                call(b, owned.release, old)

    def take(self, owned: Owned) -> ll.Value:
        """The resource, which is the caller's from now on."""
        value = self.builder.load(owned.slot, typ=PTR)
        self.builder.store(NULL, owned.slot)
        return value

    def alloc(
        self,
        dtype: DType,
        dims: Sequence[Dim | ll.Value],
        strides: Sequence[Dim | ll.Value] | None = None,
    ) -> Output:
        """A new dense tensor; large ones come from the buffer pool, small ones may be old ones that
        nobody has any more (not without the GIL). `strides` None means contiguous.
        """
        b = self.builder
        sizes = [self.size(dim) for dim in dims]
        steps = self._contiguous(sizes) if strides is None else [self.size(s) for s in strides]
        count = i64(dtype.itemsize)
        for size in sizes:
            count = b.mul(count, size)
        make, release = ("relume_alloc", HANDLE) if self.is_released else ("relume_result", OBJECT)
        handle = self.slot(release)
        self.replace(handle, NULL)
        shape, stride = self.array(sizes), self.array(steps)
        dtype_code = I32(dtype.code)
        data = call(b, make, i64(len(sizes)), shape, stride, dtype_code, count, handle.slot)
        is_missing = b.icmp_unsigned("==", b.load(handle.slot, typ=PTR), NULL)
        self.raise_if(is_missing, "RuntimeError", "no memory for a tensor")
        return Output(data, handle)

    def buffer(self, size: int | ll.Value) -> Output:
        """Memory of the pool for a large temporary, given back on every way out."""
        b = self.builder
        data = call(b, "relume_pool_acquire", i64(size))
        owned = self.own(data, "relume_pool_release")
        self.raise_if(b.icmp_unsigned("==", data, NULL), "MemoryError", "no memory for a temporary")
        return Output(data, owned)

    def release(self, owned: Owned) -> None:
        """Give a resource back before the way out."""
        call(self.builder, owned.release, self.take(owned))

    def size(self, dim: Dim | ll.Value) -> ll.Value:
        """The i64 value of a size; SSA values pass."""
        if isinstance(dim, ll.Value):
            return dim
        return emit_size(self.builder, dim, self.symbols)

    def mark_written(self, obj: ll.Value) -> None:
        """Count a write in the version counter of a tensor argument, as eager's in-place
        operators do.
        """
        if torch_abi.has("relume_bump_version"):
            call(self.builder, "relume_bump_version", offset(self.builder, obj, OBJECT_HEAD))
        else:
            self.call_python(self.constant(torch_abi.increment_version), [obj])

    # --- boxing ---

    def box(self, output: Output) -> Owned:
        """The Python object of a new tensor."""
        if output.handle.release == OBJECT:
            return output.handle
        return self.boxed(call(self.builder, "relume_box", self.take(output.handle)))

    def box_int(self, value: ll.Value) -> Owned:
        return self.boxed(call(self.builder, "PyLong_FromLongLong", value))

    def box_float(self, value: ll.Value) -> Owned:
        return self.boxed(call(self.builder, "PyFloat_FromDouble", value))

    def box_bool(self, value: ll.Value) -> Owned:
        return self.boxed(call(self.builder, "PyBool_FromLong", self.builder.zext(value, I64)))

    def box_object(self, obj: ll.Value) -> Owned:
        """An argument, or a constant (`entry.constant(value)`), as a result of its own."""
        call(self.builder, "Py_IncRef", obj)
        return self.own(obj, "Py_DecRef")

    def box_sequence(self, items: Sequence[Owned], is_list: bool = False) -> Owned:
        """A tuple or list that takes over its items."""
        b, kind = self.builder, "List" if is_list else "Tuple"
        made = self.boxed(call(b, f"Py{kind}_New", i64(len(items))))
        sequence = b.load(made.slot, typ=PTR)
        for k, item in enumerate(items):
            call(b, f"Py{kind}_SetItem", sequence, i64(k), self.take(item))
        return made

    def peek(self, owned: Owned) -> ll.Value:
        """The resource, which stays owned."""
        return self.builder.load(owned.slot, typ=PTR)

    def call_python(self, function: ll.Value, arguments: Sequence[ll.Value]) -> ll.Value:
        """Call a Python object with objects; the result is released on every way out, an error
        is propagated.
        """
        b = self.builder
        array = stack(b, PTR, len(arguments))
        for k, argument in enumerate(arguments):
            b.store(argument, b.gep(array, [i64(k)], source_etype=PTR))
        return self.peek(
            self.boxed(call(b, "PyObject_Vectorcall", function, array, i64(len(arguments)), NULL))
        )

    def unbox(self, param: Param, obj: ll.Value) -> Bound:
        """Guard and read an object that the body got from elsewhere; a miss starts over."""
        unboxer = Unboxer(self, self._hold, self.symbols, frozenset(self.symbols))
        bound = unboxer.unbox(param, obj)
        unboxer.finish()
        return bound

    def constant(self, value: object) -> ll.Value:
        """The address of a Python object."""
        return external(self.module, self.constants.name(value))

    @property
    def imports(self) -> Mapping[str, int]:
        """What the engine must bind besides the symbols that its resolver knows."""
        return self.constants.imports

    # --- the GIL ---

    @contextmanager
    def release_gil(self, condition: ll.Value | None = None) -> Iterator[None]:
        """Run the body without the GIL (only when `condition` holds, if given); inside, `give_gil`
        may release it later.
        """
        b = self.builder
        self._is_ever_released = True
        is_outermost = self._has_gil()
        with b.if_then(is_outermost if condition is None else b.and_(is_outermost, condition)):
            b.store(call(b, "PyEval_SaveThread"), self._thread)
        outside, self.is_released = self.is_released, True
        yield
        self.is_released = outside
        with b.if_then(is_outermost):
            self.take_gil()

    def give_gil(self) -> None:
        """Release the GIL, if it is held, up to the end of the `release_gil` around."""
        with self.builder.if_then(self._has_gil()):
            self.builder.store(call(self.builder, "PyEval_SaveThread"), self._thread)

    def take_gil(self) -> None:
        """Get the GIL back, if it was released."""
        b = self.builder
        with b.if_then(b.not_(self._has_gil()), likely=False):
            call(b, "PyEval_RestoreThread", b.load(self._thread, typ=PTR))
            b.store(NULL, self._thread)

    def _regain_gil(self) -> None:
        """The same on a way out, which is emitted last."""
        if self._is_ever_released:
            self.take_gil()

    def _has_gil(self) -> ll.Value:
        b = self.builder
        return b.icmp_unsigned("==", b.load(self._thread, typ=PTR), NULL)

    # --- private ---

    def _branch_unless(self, condition: ll.Value, target: ll.Block) -> None:
        b = self.builder
        following = b.append_basic_block("ok")
        b.cbranch(condition, following, target).set_weights(_LIKELY)
        b.position_at_end(following)

    def _branch_if(self, condition: ll.Value, target: ll.Block) -> None:
        b = self.builder
        following = b.append_basic_block("ok")
        b.cbranch(condition, target, following).set_weights(_LIKELY[::-1])
        b.position_at_end(following)

    def _global(self, name: str, kind: ll.Type, initial: ll.Constant) -> ll.GlobalVariable:
        made = ll.GlobalVariable(self.module, kind, f"{self.name}.{name}")
        made.initializer = initial
        return made

    def slot(self, release: str = "Py_DecRef") -> Owned:
        """An empty slot: what is stored there is released on every way out."""
        b = self.builder
        with b.goto_entry_block():
            slot = offset(b, self._slots, POINTER * len(self._owned))
            b.store(NULL, slot)
        owned = Owned(slot, release)
        self._owned.append(owned)
        return owned

    def _abandon(self) -> None:
        """Take the GIL and release everything, on a way out that few calls take."""
        self._regain_gil()
        if self._owned:
            self._release_by_table(self._owned)

    def _release_all(self, owned: Sequence[Owned]) -> None:
        """In line for few resources."""
        if len(owned) > FEW_SLOTS:
            self._release_by_table(self._owned)
            return
        b = self.builder
        for one in owned:
            value = b.load(one.slot, typ=PTR)
            with b.if_then(b.icmp_unsigned("!=", value, NULL)):
                call(b, one.release, value)

    def _release_by_table(self, owned: Sequence[Owned]) -> None:
        """One call for the first of the slots."""
        functions = [function(self.module, one.release) for one in owned]
        kind = ll.ArrayType(PTR, len(functions))
        name = f"{self.name}.releases{len(functions)}"
        table = self.module.globals.get(name)
        if table is None:
            table = ll.GlobalVariable(self.module, kind, name)
            table.linkage, table.global_constant = "internal", True
            table.initializer = ll.Constant(kind, [f.bitcast(PTR) for f in functions])
        call(self.builder, "relume_release", self._slots, table, i64(len(functions)))

    def _hold(self, obj: ll.Value) -> None:
        self.box_object(obj)

    def boxed(self, obj: ll.Value) -> Owned:
        """Own an object that a function has just made; null is its error, and propagates."""
        self.propagate_if(self.builder.icmp_unsigned("==", obj, NULL))
        return self.own(obj, "Py_DecRef")

    def _argument(self, k: int) -> ll.Value:
        return field(self.builder, self._args, 8 * k, PTR)

    def _captured(self, captured: Captured) -> ll.Value:
        """What a captured name holds now; one that is gone is a miss."""
        b, holder = self.builder, self.constant(captured.holder)
        if isinstance(captured.param, HeldParam | UnchangedParam):
            return holder
        if type(captured.holder) is dict:
            value = call(b, "PyDict_GetItem", holder, self.constant(captured.key))
            self.require(b.icmp_unsigned("!=", value, NULL))
            self._hold(value)
            return value
        if type(captured.holder) is CellType:
            value = call(b, "PyCell_Get", holder)
        else:
            value = call(b, "PyObject_GetAttr", holder, self.constant(captured.key))
        is_gone = b.icmp_unsigned("==", value, NULL)
        with b.if_then(is_gone, likely=False):
            call(b, "PyErr_Clear")
        self.require(b.not_(is_gone))
        self.own(value, "Py_DecRef")
        return value

    def _guard_call(self, count: int, keywords: Sequence[str]) -> None:
        """The number of positional arguments, and exactly the given keywords."""
        b = self.builder
        positional = b.and_(self._nargs, i64(ARGUMENTS_OFFSET - 1))
        if not keywords:
            given = any_of(b, [b.xor(positional, i64(count)), b.ptrtoint(self._names, I64)])
            self.require(b.icmp_unsigned("==", given, i64(0)))
            return
        is_count = b.icmp_unsigned("==", positional, i64(count - len(keywords)))
        self.require(b.and_(is_count, b.icmp_unsigned("!=", self._names, NULL)))
        size = call(b, "PyTuple_Size", self._names)
        self.require(b.icmp_signed("==", size, i64(len(keywords))))
        for k, keyword in enumerate(keywords):
            name = call(b, "PyTuple_GetItem", self._names, i64(k))
            self.require(b.icmp_unsigned("==", name, self.constant(sys.intern(keyword))))

    def _guard_modes(self) -> None:
        """No mode that changes what operators mean: see `torch_abi.DispatchState`."""
        b, state = self.builder, torch_abi.DISPATCH
        if state is None or not torch_abi.has("relume_function_modes"):
            self.require(ask(self, torch_abi.has_no_modes))
            return
        words = call(b, "__tls_get_addr", external(self.module, torch_abi.DISPATCH_TLS))
        included = b.and_(field(b, words, 0), i64(~state.inference_included))
        excluded = b.and_(field(b, words, 8), i64(~state.inference_excluded))
        modes = b.zext(call(b, "relume_function_modes"), I64)
        self.require(b.icmp_unsigned("==", any_of(b, [included, excluded, modes]), i64(0)))

    def _count(self, name: str, step: int) -> None:
        """Add to a counter of the entry; the GIL is held."""
        b = self.builder
        counter = self.module.globals.get(f"{self.name}.{name}") or self._global(name, I64, I64(0))
        b.store(b.add(b.load(counter, typ=I64), i64(step)), counter)

    def _leave(self) -> ll.Block:
        """The way to the miss path from here on: such a call is a fault, no hit."""

        def emit() -> None:
            self._regain_gil()
            self._count("hits", -1)
            self._count("faults", 1)
            self.builder.branch(self._miss)

        return self._way_out("leave", emit)

    def _contiguous(self, sizes: Sequence[ll.Value]) -> list[ll.Value]:
        steps: list[ll.Value] = []
        step = i64(1)
        for size in reversed(sizes):
            steps.insert(0, step)
            step = self.builder.mul(step, size)
        return steps

    def array(self, values: Sequence[ll.Value]) -> ll.Value:
        """The address of i64 values in the frame."""
        b = self.builder
        array = stack(b, I64, len(values))
        for k, value in enumerate(values):
            b.store(value, offset(b, array, 8 * k))
        return array
