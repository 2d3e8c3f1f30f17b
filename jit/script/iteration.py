"""What a loop goes over: elements known while compiling (the loop is unrolled) or a length and an
element by index.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from functools import reduce

from ir import ANY, INT, RANGE, STR, DictType, ListType, SetType, TensorType, Value, record
from jit.script.classes import find_method
from jit.script.constants import constant_of, lift
from jit.script.dynamic import is_dynamic
from jit.script.frame import Frame
from jit.script.iterators import as_generator
from jit.script.lazy import collect, listed
from jit.script.operators import as_list, elements, is_tuple
from jit.script.values import (
    CountOf,
    GeneratorOf,
    Instance,
    Items,
    IteratorOf,
    Keywords,
    Operand,
    PartialOf,
    PyObject,
    RangeOf,
    ReversedOf,
    ViewOf,
    ZipOf,
    is_lazy,
)


@record
class Indexed:
    """A loop at run time: `length` (None: endless) and the element at an index; the lists that it
    goes over, and how to ask for the length again after one of them has changed; the dicts and sets
    that must keep their sizes meanwhile.
    """

    length: Value | None
    element: Callable[[Value], Operand]
    lists: Sequence[Value] = ()
    measure: Callable[[], Value | None] | None = None
    watched: Sequence[Value] = ()

    def length_now(self) -> Value | None:
        """The length where the frame stands."""
        return self.measure() if self.measure is not None else self.length


_SHORT = 16

Iteration = Indexed | Sequence[Operand]


def opened(frame: Frame, operand: Operand) -> Operand:
    """What the `__iter__` of an object gives: a generator, or an iterator as one, or what it is an
    iterator over.
    """
    method = find_method(operand, "__iter__")
    function = method.function if isinstance(method, PartialOf) else None
    if method is None or not isinstance(function, PyObject):
        return operand
    if inspect.isgeneratorfunction(function.obj):
        return frame.call(method)
    made = frame.call(method)
    return as_generator(made) or frame.require(made) if isinstance(made, Instance) else made


def settled(frame: Frame, operand: Operand) -> Operand:
    """What can be gone over more than once: a generator, or an object of Python's, which may be an
    iterator, as a list.
    """
    if isinstance(operand, Value) and is_dynamic(operand.type):
        element = INT if operand.type == RANGE else ANY
        return frame.python(list, [operand], ListType(element))
    operand = opened(frame, operand)
    if isinstance(operand, Instance):
        return settled(frame, frame.require(operand))
    return collect(frame, operand) if is_lazy(operand) else operand


def iteration(frame: Frame, operand: Operand) -> Iteration:
    """How to go over an operand."""
    match operand:
        case GeneratorOf():
            return _value(frame, collect(frame, operand))
        case RangeOf():
            return _range(frame, operand)
        case ZipOf(parts):
            return _zip(frame, parts)
        case CountOf(start):
            return Indexed(None, lambda i: _plus(frame, i, start))
        case ReversedOf(part):
            return _reversed(frame, part)
        case IteratorOf(part):
            return iteration(frame, part)
        case ViewOf(owner):
            return _fresh(frame, listed(frame, operand), owner)
        case Keywords(items):
            return [frame.constant(key) for key in items]
        case PyObject(obj, name):
            return _object(frame, obj, name)
    if is_tuple(operand):
        return elements(frame, operand)
    names = _names(operand)
    return names if names is not None else _value(frame, frame.require(operand))


def _names(operand: Operand) -> Sequence[Value] | None:
    """The items of a list of constant strings that nothing has changed, such as names of
    attributes, which are of more use as constants.
    """
    if not isinstance(operand, Value) or operand.type != ListType(STR) or operand.node is None:
        return None
    items = operand.node.inputs
    is_display = operand.node.name == "prim::ListConstruct" and 0 < len(items) <= _SHORT
    if not is_display or any(not user.op.is_pure for user, _ in operand.uses):
        return None
    return items if all(isinstance(constant_of(i), str) for i in items) else None


def _plus(frame: Frame, index: Value, start: Value) -> Value:
    return index if constant_of(start) == 0 else frame.op("aten::add", index, start)


def _range(frame: Frame, r: RangeOf) -> Indexed:
    if constant_of(r.start) == 0 and constant_of(r.step) == 1:
        return Indexed(r.stop, lambda i: i)
    length = frame.op("aten::__range_length", r.start, r.stop, r.step)
    return Indexed(length, lambda i: frame.op("aten::__derive_index", i, r.start, r.step))


def _value(frame: Frame, value: Value) -> Indexed:
    match value.type:
        case ListType():
            return Indexed(
                frame.op("aten::len", value),
                lambda i: _item(frame, value, i),
                [value],
                lambda: frame.op("aten::len", value),
            )
        case TensorType():
            return Indexed(
                frame.op("aten::len", value), lambda i: frame.op("aten::select", value, 0, i)
            )
        case DictType():
            return _fresh(frame, listed(frame, ViewOf(value, "keys")), value)
        case SetType(element=element):
            return _fresh(frame, frame.python(list, [value], ListType(element)), value)
        case type_ if type_ == STR:
            return Indexed(
                frame.op("aten::len", value), lambda i: frame.op("aten::__getitem__", value, i)
            )
    if is_dynamic(value.type):
        return _value(frame, frame.require(settled(frame, value)))
    raise frame.mismatch(f"a value of type {value.type} cannot be iterated over")


def _fresh(frame: Frame, value: Value, owner: Value) -> Indexed:
    """A list that nothing else holds, of what a dict or set holds."""
    length = frame.op("aten::len", value)
    return Indexed(length, lambda i: _item(frame, value, i), watched=[owner])


def _item(frame: Frame, value: Value, index: Value) -> Value:
    """An element of a list; one whose type is open may hold anything."""
    if frame.unit.untyped.is_read_open(value):
        return frame.python(operator.getitem, [value, index], ANY)
    return frame.op("aten::__getitem__", value, index)


def _object(frame: Frame, obj: object, name: str) -> list[Operand]:
    """A Python container of objects known while compiling."""
    try:
        items = list(obj)  # type: ignore[call-overload]
    except TypeError:
        raise frame.mismatch(f"the Python object {name!r} cannot be iterated over") from None
    return [lift(frame, item, f"{name}[{i}]") for i, item in enumerate(items)]


def _reversed(frame: Frame, part: Operand) -> Iteration:
    inner = iteration(frame, part)
    if not isinstance(inner, Indexed):
        return list(reversed(inner))
    length, element = inner.length, inner.element
    if length is None:
        raise frame.mismatch("an endless sequence cannot be reversed")
    last = frame.op("aten::sub", length, 1)
    return Indexed(length, lambda i: element(frame.op("aten::sub", last, i)))


def _zip(frame: Frame, parts: tuple[Operand, ...]) -> Iteration:
    found = [iteration(frame, part) for part in parts]
    known = [len(f) for f in found if not isinstance(f, Indexed)]
    endless = [isinstance(f, Indexed) and f.length is None for f in found]
    if known and all(e or not isinstance(f, Indexed) for e, f in zip(endless, found, strict=True)):
        return [Items(tuple(_at(frame, f, i) for f in found)) for i in range(min(known))]
    runtime = [indexed(frame, f) for f in found]
    return Indexed(
        least(frame, [item.length for item in runtime]),
        lambda i: Items(tuple(item.element(i) for item in runtime)),
        [value for item in runtime for value in item.lists],
        lambda: least(frame, [item.length_now() for item in runtime]),
        [value for item in runtime for value in item.watched],
    )


def least(frame: Frame, lengths: Sequence[Value | None]) -> Value | None:
    """The shortest of some lengths, of which None has no end."""
    finite = [length for length in lengths if length is not None]
    return reduce(lambda a, b: frame.op("prim::min", a, b), finite) if finite else None


def _at(frame: Frame, found: Iteration, index: int) -> Operand:
    return found.element(frame.constant(index)) if isinstance(found, Indexed) else found[index]


def indexed(frame: Frame, items: Iteration) -> Indexed:
    """A sequence of known length in a loop whose length is not: as a list."""
    if isinstance(items, Indexed):
        return items
    return _value(frame, as_list(frame, frame.require(Items(tuple(items)))))
