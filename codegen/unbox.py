"""Guards and unboxing of arguments: from `PyObject*` to the SSA values that a plan's body works
with.

Cheap tests come first and each parameter leaves at once; comparisons of sizes and strides are
collected, since one symbol may be bound by a later argument, and tested together at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import singledispatch

import llvmlite.ir as ll

from codegen import abi
from codegen.abi import DOUBLE, I32, I64, NULL, PTR, any_of, call, external, field, i64
from codegen.params import (
    AnyParam,
    BoolParam,
    ConstParam,
    DictParam,
    FloatParam,
    HeldParam,
    IntParam,
    ListParam,
    Param,
    SequenceParam,
    TensorParam,
    UnchangedParam,
)
from codegen.sizes import emit_size
from codegen.tensor_fields import Guards, Reader, TensorFields, reader
from codegen.tester import Tester
from ir import Dim, Sym, Symbol, contiguous_strides, record
from ir import field as record_field

_MINIMUM = 2
_PY_EQ = 2


@record
class BoundTensor:
    """A tensor argument: where its elements are, and its sizes and strides (in elements) as i64
    values.
    """

    obj: ll.Value
    param: TensorParam
    data: ll.Value
    sizes: tuple[ll.Value, ...]
    strides: tuple[ll.Value, ...]


@record
class BoundScalar:
    """An int (i64), float (double) or bool (i1) argument."""

    obj: ll.Value
    value: ll.Value


@record
class BoundObject:
    """An argument that stays boxed."""

    obj: ll.Value


@record
class BoundSequence:
    """The items of a tuple or list, or the keys and values of a dict."""

    obj: ll.Value
    items: tuple[Bound, ...]


@record
class BoundConstant:
    """An argument of one value only: it was compared, and code has it folded in."""

    obj: ll.Value


@record
class BoundList:
    """A list of numbers, copied to native memory (`codegen.lists.runtime`)."""

    obj: ll.Value
    header: ll.Value


Bound = BoundTensor | BoundScalar | BoundObject | BoundSequence | BoundConstant | BoundList


def are_disjoint(b: ll.IRBuilder, one: BoundTensor, other: BoundTensor) -> ll.Value:
    """Whether two tensors share no byte of memory: their ranges of addresses do not meet."""
    (first, last), (start, end) = _range(b, one), _range(b, other)
    return b.or_(b.icmp_unsigned("<=", last, start), b.icmp_unsigned("<=", end, first))


def _range(b: ll.IRBuilder, tensor: BoundTensor) -> tuple[ll.Value, ll.Value]:
    """The first address of the elements, and the one behind the last (strides are never
    negative); an empty tensor may get more than its nothing.
    """
    reach = i64(1)
    for size, stride in zip(tensor.sizes, tensor.strides, strict=True):
        reach = b.add(reach, b.mul(b.sub(size, i64(1)), stride))
    start = b.ptrtoint(tensor.data, I64)
    return start, b.add(start, b.mul(reach, i64(tensor.param.dtype.itemsize)))


def variables(bounds: Iterable[Bound]) -> Iterator[Bound]:
    """What varies among arguments, in order: items of sequences one by one, constants left out."""
    for bound in bounds:
        if isinstance(bound, BoundSequence):
            yield from variables(bound.items)
        elif not isinstance(bound, BoundConstant):
            yield bound


@record(frozen=False)
class Unboxer:
    """Emits the guards of one entry; `symbols` grows as sizes are met."""

    guards: Guards
    hold: Callable[[ll.Value], None]
    """Keeps an object alive until the entry returns."""
    symbols: dict[Symbol, ll.Value] = record_field(default_factory=dict)
    settled: frozenset[Symbol] = frozenset()
    """Symbols that need no test: what they stand for was tested, or is computed."""
    _pending: list[tuple[ll.Value, Dim]] = record_field(default_factory=list)
    _memory: list[ll.Value] = record_field(default_factory=list)
    """Where the elements are of tensors that must have memory."""
    _testers: dict[TensorParam, ll.Function] = record_field(default_factory=dict)
    _reader: Reader = record_field(default_factory=reader)

    @property
    def builder(self) -> ll.IRBuilder:
        return self.guards.builder

    def unbox(self, param: Param, obj: ll.Value) -> Bound:
        """Guard `obj` and read it."""
        return _unbox(param, obj, self)

    def captured(self, param: Param, obj: ll.Value) -> Bound:
        """The same for what is not passed: weights of equal sizes are tested by one function."""
        if isinstance(param, TensorParam) and _is_constant(param):
            return self._tested(param, obj)
        return _unbox(param, obj, self)

    def finish(self) -> None:
        """Emit the comparisons that were waiting for symbols: two tests for all of them, since
        LLVM makes a branch of each test.
        """
        b = self.builder
        sizes = [(value, emit_size(b, dim, self.symbols)) for value, dim in self._pending]
        differences = [b.xor(value, size) for value, size in sizes]
        new = [value for symbol, value in self.symbols.items() if symbol not in self.settled]
        signs = [x for value in new for x in (value, b.sub(value, i64(_MINIMUM)))]
        signs += [b.sub(b.ptrtoint(data, I64), i64(1)) for data in self._memory]
        self._pending.clear()
        self._memory.clear()
        if differences:
            self.guards.require(b.icmp_signed("==", any_of(b, differences), i64(0)))
        if signs:
            self.guards.require(b.icmp_signed(">=", any_of(b, signs), i64(0)))

    def type_is(self, obj: ll.Value, *names: str) -> None:
        """Require the exact type of an object to be one of those."""
        b = self.builder
        kind = field(b, obj, abi.OBJECT_TYPE, PTR)
        tests = [b.icmp_unsigned("==", kind, external(b.module, name)) for name in names]
        self.guards.require(any_of(b, tests))

    def bind(self, dim: Dim, value: ll.Value) -> ll.Value:
        """Note that `value` is the size `dim`; a constant stands for itself from now on."""
        symbol = _bare_symbol(dim)
        if symbol is not None and symbol not in self.symbols:
            self.symbols[symbol] = value
            return value
        self._pending.append((value, dim))
        if isinstance(dim, Sym):
            return value if symbol is None else self.symbols[symbol]
        return i64(dim)

    def tensor(self, param: TensorParam, obj: ll.Value) -> BoundTensor:
        """Guard and read a tensor."""
        self.type_is(obj, "relume_tensor_type", "relume_parameter_type")
        rank = len(param.dims)
        fields = self._reader.read(self.guards, obj, param.dtype, rank, param.is_mutated)
        sizes = tuple(
            self.bind(dim, self._item(fields.sizes, k)) for k, dim in enumerate(param.dims)
        )
        strides = self._strides(param, fields)
        self._require_memory(param, fields.data)
        return BoundTensor(obj, param, fields.data, sizes, strides)

    def held(self, param: TensorParam, obj: ll.Value) -> BoundTensor:
        """Read where the elements of a tensor are, which is all that may change of it."""
        data = self._reader.data(self.builder, obj, param.dtype)
        self._require_memory(param, data)
        return _of_constant_sizes(param, obj, data)

    def _tested(self, param: TensorParam, obj: ll.Value) -> BoundTensor:
        function = self._testers.get(param)
        if function is None:
            tester = Tester(self.guards, "tensor")
            unboxer = Unboxer(tester, self.hold)

            def read(tensor: ll.Value) -> ll.Value:
                data = unboxer.tensor(param, tensor).data
                unboxer.finish()
                return data

            function = self._testers[param] = tester.returning(read)
        data = self.builder.call(function, [obj])
        self.guards.require(self.builder.icmp_unsigned("!=", data, NULL))
        return _of_constant_sizes(param, obj, data)

    def _item(self, array: ll.Value, k: int) -> ll.Value:
        return field(self.builder, array, 8 * k)

    def _strides(self, param: TensorParam, fields: TensorFields) -> tuple[ll.Value, ...]:
        """Strides of dims of size 1, and all of empty tensors, mean nothing: not compared. But a
        symbol that only such a stride has is known from it, since the plan may assume things of it.
        """
        wanted = contiguous_strides(param.dims) if param.strides is None else param.strides
        is_empty = any(_is(dim, 0) for dim in param.dims)
        found = []
        for k, (dim, stride) in enumerate(zip(param.dims, wanted, strict=True)):
            value = self._item(fields.strides, k)
            if stride is None:
                found.append(value)
            elif is_empty or _is(dim, 1):
                symbol = _bare_symbol(stride)
                if symbol is not None:
                    self.symbols.setdefault(symbol, value)
                found.append(i64(stride) if isinstance(stride, int) else value)
            else:
                found.append(self.bind(stride, value))
        return tuple(found)

    def _require_memory(self, param: TensorParam, data: ll.Value) -> None:
        """A storage resized to nothing has no memory behind elements that the sizes promise."""
        if not any(_is(dim, 0) for dim in param.dims):
            self._memory.append(data)


def _is_constant(param: TensorParam) -> bool:
    """Whether a tensor has known sizes and strides, and elements."""
    numbers = (*param.dims, *(param.strides or ()))
    return 0 not in param.dims and all(isinstance(n, int) for n in numbers)


def _of_constant_sizes(param: TensorParam, obj: ll.Value, data: ll.Value) -> BoundTensor:
    strides = contiguous_strides(param.dims) if param.strides is None else param.strides
    sizes, steps = (tuple(map(i64, several)) for several in (param.dims, strides))
    return BoundTensor(obj, param, data, sizes, steps)


def _bare_symbol(dim: Dim) -> Symbol | None:
    if isinstance(dim, Sym) and len(dim.terms) == 1:
        monomial, coefficient = dim.terms[0]
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
            return monomial[0]
    return None


def _is(dim: Dim, value: int) -> bool:
    """Whether a size is this constant (`==` on a symbolic size would assume something)."""
    return isinstance(dim, int) and dim == value


@singledispatch
def _unbox(param: Param, obj: ll.Value, u: Unboxer) -> Bound:
    raise TypeError(f"not a parameter description: {param!r}")


@_unbox.register
def _(param: TensorParam, obj: ll.Value, u: Unboxer) -> Bound:
    return u.tensor(param, obj)


@_unbox.register
def _(param: HeldParam, obj: ll.Value, u: Unboxer) -> Bound:
    return BoundObject(obj) if param.tensor is None else u.held(param.tensor, obj)


@_unbox.register
def _(param: UnchangedParam, obj: ll.Value, u: Unboxer) -> Bound:
    u.guards.require(call(u.builder, "relume_unchanged", obj))
    return BoundSequence(obj, ())


@_unbox.register
def _(param: AnyParam, obj: ll.Value, u: Unboxer) -> Bound:
    return BoundObject(obj)


@_unbox.register
def _(param: IntParam, obj: ll.Value, u: Unboxer) -> Bound:
    u.type_is(obj, "PyLong_Type")
    value = _int_value(u, obj)
    return BoundScalar(obj, value if param.dim is None else u.bind(param.dim, value))


def _int_value(u: Unboxer, obj: ll.Value) -> ll.Value:
    """The value of an exact int; one beyond 64 bits is a miss."""
    b = u.builder
    overflow = abi.stack(b, I32)
    value = call(b, "PyLong_AsLongLongAndOverflow", obj, overflow)
    u.guards.require(b.icmp_signed("==", b.load(overflow, typ=I32), I32(0)))
    return value


@_unbox.register
def _(param: FloatParam, obj: ll.Value, u: Unboxer) -> Bound:
    if not param.accept_int:
        u.type_is(obj, "PyFloat_Type")
        return BoundScalar(obj, field(u.builder, obj, abi.FLOAT_VALUE, DOUBLE))
    b = u.builder
    slot = abi.stack(b, DOUBLE)
    is_float = b.icmp_unsigned(
        "==", field(b, obj, abi.OBJECT_TYPE, PTR), external(b.module, "PyFloat_Type")
    )
    with b.if_else(is_float, likely=True) as (then, otherwise):
        with then:
            b.store(field(b, obj, abi.FLOAT_VALUE, DOUBLE), slot)
        with otherwise:
            u.type_is(obj, "PyLong_Type")
            b.store(b.sitofp(_int_value(u, obj), DOUBLE), slot)
    return BoundScalar(obj, b.load(slot, typ=DOUBLE))


@_unbox.register
def _(param: BoolParam, obj: ll.Value, u: Unboxer) -> Bound:
    b = u.builder
    is_true = b.icmp_unsigned("==", obj, external(b.module, "_Py_TrueStruct"))
    is_false = b.icmp_unsigned("==", obj, external(b.module, "_Py_FalseStruct"))
    u.guards.require(b.or_(is_true, is_false))
    return BoundScalar(obj, is_true)


@_unbox.register
def _(param: ConstParam, obj: ll.Value, u: Unboxer) -> Bound:
    b, value = u.builder, param.value
    if type(value) is int and -(1 << 63) <= value < 1 << 63:
        u.type_is(obj, "PyLong_Type")
        u.guards.require(b.icmp_signed("==", _int_value(u, obj), i64(value)))
    elif type(value) is float:
        u.type_is(obj, "PyFloat_Type")
        bits = b.bitcast(
            ll.Constant(DOUBLE, value), I64
        )  # by bits: -0.0 is not 0.0, and NaN equals itself
        u.guards.require(b.icmp_unsigned("==", field(b, obj, abi.FLOAT_VALUE), bits))
    elif param.is_identity:
        u.guards.require(b.icmp_unsigned("==", obj, u.guards.constant(value)))
    else:
        _require_equal(u, obj, value)
    return BoundConstant(obj)


@_unbox.register
def _(param: ListParam, obj: ll.Value, u: Unboxer) -> Bound:
    b = u.builder
    header = call(b, f"relume_list_unbox_{param.element}", u.guards.chain, obj)
    u.guards.require(b.icmp_unsigned("!=", header, NULL))
    return BoundList(obj, header)


def _require_equal(u: Unboxer, obj: ll.Value, value: object) -> None:
    """The object itself; or an equal one of the same type, where equality is defined by value."""
    b, constant = u.builder, u.guards.constant(value)
    is_same = b.icmp_unsigned("==", obj, constant)
    if type(value).__eq__ is object.__eq__ or value is None or isinstance(value, bool):
        u.guards.require(is_same)
        return
    with b.if_then(b.not_(is_same), likely=False):
        kind = field(b, obj, abi.OBJECT_TYPE, PTR)
        u.guards.require(b.icmp_unsigned("==", kind, u.guards.constant(type(value))))
        answer = call(b, "PyObject_RichCompareBool", obj, constant, I32(_PY_EQ))
        with b.if_then(b.icmp_signed("<", answer, I32(0)), likely=False):
            call(b, "PyErr_Clear")
        u.guards.require(b.icmp_signed("==", answer, I32(1)))


@_unbox.register
def _(param: SequenceParam, obj: ll.Value, u: Unboxer) -> Bound:
    b = u.builder
    kind = "List" if param.is_list else "Tuple"
    u.type_is(obj, f"Py{kind}_Type")
    size = call(b, f"Py{kind}_Size", obj)
    u.guards.require(b.icmp_signed("==", size, i64(len(param.items))))
    items = []
    for k, item in enumerate(param.items):
        value = call(b, f"Py{kind}_GetItem", obj, i64(k))
        u.hold(value)
        items.append(u.unbox(item, value))
    return BoundSequence(obj, tuple(items))


@_unbox.register
def _(param: DictParam, obj: ll.Value, u: Unboxer) -> Bound:
    b = u.builder
    u.type_is(obj, "PyODict_Type" if param.is_ordered else "PyDict_Type")
    u.guards.require(b.icmp_signed("==", call(b, "PyDict_Size", obj), i64(len(param.items))))
    position, key, value = abi.stack(b, I64), abi.stack(b, PTR), abi.stack(b, PTR)
    b.store(i64(0), position)
    items = []
    for expected, item in param.items:
        call(b, "PyDict_Next", obj, position, key, value)
        for slot, demand in ((key, ConstParam(expected)), (value, item)):
            found = b.load(slot, typ=PTR)
            u.hold(found)
            items.append(u.unbox(demand, found))
    return BoundSequence(obj, tuple(items))
