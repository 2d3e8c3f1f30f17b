"""Operands: what an expression means while its function is compiled.

An operand is either a graph `Value`, known at run time, or a `Static`: something that exists
only at compile time, such as a module, a function, a method bound to a value, a closure or a
range that a loop is about to iterate. A static operand never becomes an input of a node; using
it where a value is needed is an error that names it (`describe`).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from types import FunctionType
from typing import Any

from ir import Block, Type, Value, field, record


class Static:
    """Base of operands that exist only at compile time."""

    __slots__ = ()

    def describe(self) -> str:
        """For error messages: what this is."""
        return type(self).__name__.lower()


Operand = Value | Static


@record
class PyObject(Static):
    """A live Python object: module, function, class, or an object whose attributes are read at
    compile time.
    """

    obj: Any
    name: str

    def describe(self) -> str:
        kind = (
            "module"
            if hasattr(self.obj, "__spec__")
            else f"object of type {type(self.obj).__qualname__}"
        )
        return f"the Python {kind} {self.name!r}"


@record
class Method(Static):
    """An attribute that is about to be called: `x.add`, also of sequences known while compiling."""

    owner: Operand
    name: str

    def describe(self) -> str:
        what = (
            f"a value of type {self.owner.type}"
            if isinstance(self.owner, Value)
            else self.owner.describe()
        )
        return f"the method {self.name!r} of {what}"


@record(eq=False)
class Closure(Static):
    """A lambda or a nested `def`: compiled in place at each call, its free names read from the
    frame that defined it.
    """

    node: ast.FunctionDef | ast.Lambda
    frame: Any  # the defining frame
    defaults: dict[str, Operand]

    def describe(self) -> str:
        return "a nested function"


@record
class Items(Static):
    """A tuple or list display some of whose elements are static: its length and elements are
    known.
    """

    items: tuple[Operand, ...]

    def describe(self) -> str:
        return "a sequence of compile-time objects"


@record
class RangeOf(Static):
    """`range(start, stop, step)` on its way into a loop."""

    start: Value
    stop: Value
    step: Value

    def describe(self) -> str:
        return "a range"


@record
class ZipOf(Static):
    """`zip(...)`; `enumerate(x, start)` is `zip(count(start), x)`."""

    parts: tuple[Operand, ...]

    def describe(self) -> str:
        return "a zip"


@record(eq=False)
class GeneratorOf(Static):
    """A call of a generator function that has not begun to run."""

    source: PyObject | Closure
    node: ast.FunctionDef | ast.Lambda
    given: Arguments

    @property
    def name(self) -> str:
        """What the function is called."""
        return getattr(self.node, "name", "<lambda>")

    def describe(self) -> str:
        return f"the generator {self.name!r}"


@record
class CountOf(Static):
    """start, start + 1, ... without end: the counter of `enumerate`."""

    start: Value

    def describe(self) -> str:
        return "a counter"


@record
class StarOf(Static):
    """`*x` among the arguments of a call, of a list whose length is known at run time."""

    part: Value

    def describe(self) -> str:
        return "a list spread over arguments"


@record
class Perhaps(Static):
    """An item of `**x` among the arguments of a call that only a branch has set."""

    is_set: Value
    item: Value

    def describe(self) -> str:
        return "an argument that only some paths give"


@record
class ReversedOf(Static):
    """`reversed(x)`."""

    part: Operand

    def describe(self) -> str:
        return "a reversed sequence"


@record
class ViewOf(Static):
    """`d.keys()`, `d.values()` or `d.items()`: what the dict holds when it is gone over."""

    owner: Value
    name: str

    def describe(self) -> str:
        return f"the {self.name} of a dict"


@record
class IteratorOf(Static):
    """`map(...)` or `filter(...)`: an iterator over the items of `part`."""

    part: Operand

    def describe(self) -> str:
        return "an iterator"


# What can be gone over; the iterators among them, once.
ITERATORS = ZipOf | CountOf | ReversedOf | IteratorOf | GeneratorOf
ITERABLES = RangeOf | ViewOf | ITERATORS


@record
class PartialOf(Static):
    """A callable with arguments already given: `functools.partial`, or a method of a compile-time
    object.
    """

    function: Operand
    args: tuple[Operand, ...]
    kwargs: tuple[tuple[str, Operand], ...] = ()

    def describe(self) -> str:
        return "a partial function"


@record
class ChoiceOf(Static):
    """One of two compile-time operands, by a run-time condition: `sin if c else cos`."""

    condition: Value
    then: Static
    orelse: Static

    def describe(self) -> str:
        return f"{self.then.describe()} or {self.orelse.describe()}"


@record
class Keywords(Static):
    """The `**kwargs` of a function under compilation: names known, each an operand; made in
    `block`.
    """

    items: dict[str, Operand]
    block: Block = field(compare=False)

    def describe(self) -> str:
        return "keyword arguments"


@record
class Unbound(Static):
    """What a name holds that has no usable value here; reading it is an error with `reason`."""

    reason: str

    def describe(self) -> str:
        return self.reason


@record
class Instance(Static):
    """An object of a user class made in compiled code; its fields are variables of the scope."""

    cls: type
    number: int

    def describe(self) -> str:
        return f"an object of class {self.cls.__name__!r}"


@record
class SuperOf(Static):
    """`super()` of an instance: its class's attributes behind `start` in the method order."""

    instance: Instance
    start: type

    def describe(self) -> str:
        return f"super() of {self.instance.describe()}"


@record
class Narrowed(Static):
    """Under a path such as `a[0]` or `self.b`: the type that a test has shown its value to have."""

    type: Type

    def describe(self) -> str:
        return f"known to be a {self.type}"


@record(frozen=False)
class Arguments:
    """Arguments of a call, evaluated: `*` and `**` already spread."""

    args: list[Operand]
    kwargs: dict[str, Operand]


def class_of(operand: Static) -> type:
    """The Python class of what is known while compiling, as far as tests may ask for it."""
    match operand:
        case Items():
            return tuple
        case RangeOf():
            return range
        case ViewOf(name=name):
            return type(getattr({}, name)())
        case Closure():
            return FunctionType
    return object


def values_of(operands: Sequence[Operand]) -> list[Value] | None:
    """The operands as values, None when one of them is static."""
    found = [o for o in operands if isinstance(o, Value)]
    return found if len(found) == len(operands) else None


def is_lazy(operand: Operand) -> bool:
    """Whether going over an operand runs a generator."""
    match operand:
        case ZipOf(parts):
            return any(map(is_lazy, parts))
    return isinstance(operand, GeneratorOf)
