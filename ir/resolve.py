"""Overload choice: which operator a call means, and where each of its inputs comes from.

Overloads are tried in torch's order, at growing levels of tolerance; the first that fits is taken:

    EXACT     subtypes; an int for `int[2]`; a tuple for a list; defaults
    IMPLICIT  a 0-d tensor for a number, an int for a dtype, a str for a device, varargs
    EAGER     an int for a float, a bool for an int, a number for a tensor where torch allows it
    LOOSE     a tensor for a number of an operator without tensors (math.sqrt(x))

The first two are TorchScript's, the third is what torch's Python functions take beyond them.

The result names sources, not values, so that the same choice serves graphs (`Builder`) and tests.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

from ir import types as T
from ir.dtypes import ALL
from ir.errors import TypeMismatch
from ir.op import Op
from ir.records import record
from ir.registry import overloads
from ir.schema import Argument
from ir.source import Span
from ir.unify import Binding, substitute, unify

UNKNOWN: Any = type("UNKNOWN", (), {"__repr__": lambda self: "UNKNOWN", "__slots__": ()})()
NEAREST = 3  # overloads that an error lists

# Operators whose tensor parameters take Python numbers in eager code.
_NUMBERS_AS_TENSORS = frozenset(
    f"aten::{name}{suffix}"
    for suffix in ("", "_")
    for name in (
        "add",
        "sub",
        "subtract",
        "mul",
        "multiply",
        "div",
        "divide",
        "true_divide",
        "copy",
    )
)


class Level(IntEnum):
    """How much conversion a try allows."""

    EXACT = 0
    IMPLICIT = 1
    EAGER = 2
    LOOSE = 3


@record(eq=False)
class Actual:
    """One argument of a call: its type, its value if constant, the caller's own handle of it."""

    type: T.Type
    value: Any = UNKNOWN
    handle: Any = None

    @property
    def is_known(self) -> bool:
        return self.value is not UNKNOWN


@record
class Given:
    """The argument as it is."""

    actual: Actual


@record
class Fixed:
    """A constant: a default, or a converted constant argument."""

    value: Any
    type: T.Type


@record
class Gathered:
    """A new list of several sources."""

    items: tuple[Source, ...]
    element: T.Type


@record
class Spread:
    """The elements of a tuple as a list."""

    actual: Actual
    element: T.Type


@record
class Converted:
    """The argument passed through an operator such as `aten::ScalarImplicit`."""

    operator: str
    actual: Actual


Source = Given | Fixed | Gathered | Spread | Converted


@record
class Resolution:
    """The chosen operator, a source for each of its inputs in order, and its result types."""

    op: Op
    inputs: tuple[Source, ...]
    returns: tuple[T.Type, ...]


@record
class Misfit:
    """Why an overload does not fit; `progress` is the number of arguments that did."""

    reason: str
    progress: int


def resolve(
    name: str,
    args: Sequence[Actual],
    kwargs: Mapping[str, Actual] | None = None,
    span: Span | None = None,
) -> Resolution:
    """Choose an overload of `name` (`aten::add.Tensor` names one); TypeMismatch when none fits."""
    named = kwargs or {}
    base, _, overload = name.partition(".")
    known = overloads(base)
    key = (name, tuple(map(_shape, args)), tuple((k, _shape(a)) for k, a in named.items()))
    choice = _choices.get(key)
    if choice is not None and choice.among is known:
        return choice.resolution(args, named)
    candidates = [op for op in known if not overload or op.qualified == name]
    if not candidates:
        raise TypeMismatch(f"no operator is called {name}", span)
    misfits: list[tuple[Misfit, Op]] = []
    for level in Level:
        misfits.clear()
        for op in candidates:
            result = bind(op, args, named, level)
            if isinstance(result, Resolution):
                _remember(key, _Choice(known, op, level, _origins(result, args, named)))
                return result
            misfits.append((result, op))
    raise TypeMismatch(_explain(name, args, named, misfits), span)


# choices made before ------------------------------------------------------------------------------
@record
class _Choice:
    """The first overload, of those that a name had then, and the level at which it fits. Where that
    takes arguments as they are, `origins` has the position, name or default of each input.
    """

    among: Sequence[Op]
    op: Op
    level: Level
    origins: tuple[tuple[int | str | Fixed, ...], tuple[T.Type, ...]] | None

    def resolution(self, args: Sequence[Actual], kwargs: Mapping[str, Actual]) -> Resolution:
        """The same choice for other arguments of the same shapes."""
        if self.origins is None:
            result = bind(self.op, args, kwargs, self.level)
            assert isinstance(result, Resolution)
            return result
        origins, returns = self.origins
        inputs = [
            o if isinstance(o, Fixed) else Given(kwargs[o] if isinstance(o, str) else args[o])
            for o in origins
        ]
        return Resolution(self.op, tuple(inputs), returns)


def _origins(
    result: Resolution, args: Sequence[Actual], kwargs: Mapping[str, Actual]
) -> tuple[tuple[int | str | Fixed, ...], tuple[T.Type, ...]] | None:
    """Where inputs come from; None when one is made of its argument."""
    places: dict[int, int | str] = {id(a): i for i, a in enumerate(args)}
    places.update((id(a), name) for name, a in kwargs.items())
    found: list[int | str | Fixed] = []
    for source in result.inputs:
        if isinstance(source, Given):
            found.append(places.pop(id(source.actual)))
        elif isinstance(source, Fixed):
            found.append(source)
    has_classes = any(map(_has_class, result.returns))  # which are more than their names
    is_plain = len(found) == len(result.inputs) and not places and not has_classes
    return (tuple(found), result.returns) if is_plain else None


def _has_class(type_: T.Type) -> bool:
    match type_:
        case T.ObjectType(cls=cls) | T.TupleType(cls=cls) if cls is not None:
            return True
        case T.TupleType(elements=parts) | T.UnionType(members=parts):
            return any(map(_has_class, parts))
        case T.ListType(element=element) | T.OptionalType(element=element):
            return _has_class(element)
        case T.SetType(element=element) | T.FutureType(element=element):
            return _has_class(element)
        case T.DictType(key=key, value=value):
            return _has_class(key) or _has_class(value)
    return False


_MOST_CHOICES = 4096
_choices: dict[Hashable, _Choice] = {}


def _remember(key: Hashable, choice: _Choice) -> None:
    if len(_choices) >= _MOST_CHOICES:
        _choices.clear()
    _choices[key] = choice


def _shape(given: Actual) -> Hashable:
    """All of an argument that overload choice looks at: of values, the items of sequences and
    whether an int is the code of a dtype, layout or memory format.
    """
    if not given.is_known:
        return given.type
    if _is_sequence(given.type):
        return (given.type, tuple(map(_shape, _items(given))))
    return (T.INT, given.value) if given.type == T.INT and given.value in _CODES else given.type


def _explain(
    name: str,
    args: Sequence[Actual],
    kwargs: Mapping[str, Actual],
    misfits: Sequence[tuple[Misfit, Op]],
) -> str:
    found = ", ".join([*(str(a.type) for a in args), *(f"{k}={a.type}" for k, a in kwargs.items())])
    sensible = [m for m in misfits if "out" in kwargs or "out" not in m[1].schema.index] or misfits
    nearest = sorted(sensible, key=lambda m: -m[0].progress)[:NEAREST]
    lines = "".join(f"\n  {_signature(op)}\n    {misfit.reason}" for misfit, op in nearest)
    return f"{name} takes no arguments ({found}); the nearest overloads are:{lines}"


def _signature(op: Op) -> str:
    return op.qualified + op.schema.text[op.schema.text.index("(") :]


def bind(
    op: Op, args: Sequence[Actual], kwargs: Mapping[str, Actual], level: Level
) -> Resolution | Misfit:
    """Try one overload at one level."""
    return _Try(op, args, kwargs, level).bind()


class _Try:
    """One overload at one level: walks the parameters and collects a source for each."""

    def __init__(
        self, op: Op, args: Sequence[Actual], kwargs: Mapping[str, Actual], level: Level
    ) -> None:
        self.op = op
        self.args = args
        self.kwargs = kwargs
        self.level = level
        self.binding: Binding = {}
        self.used = 0  # positional arguments

    def bind(self) -> Resolution | Misfit:
        sources: list[Source] = []
        for position, formal in enumerate(self.op.schema.arguments):
            source = self._source(position, formal)
            if isinstance(source, str):
                return Misfit(source, position)
            sources.append(source)
        schema = self.op.schema
        if schema.is_vararg:
            sources.extend(Given(a) for a in self.args[self.used :])
        elif self.used < len(self.args):
            most = sum(not a.kwarg_only for a in schema.arguments)
            reason = f"expected at most {most} positional arguments, found {len(self.args)}"
            return Misfit(reason, self.used)
        unexpected = [k for k in self.kwargs if k not in schema.index]
        if unexpected:
            return Misfit(f"there is no argument '{unexpected[0]}'", self.used)
        returns = tuple(substitute(t, self.binding) for t in schema.result_types)
        return Resolution(self.op, tuple(sources), returns)

    def _source(self, position: int, formal: Argument) -> Source | str:
        """The source of one parameter, or why there is none."""
        found: Source | None
        if not formal.kwarg_only and self.used < len(self.args):
            if formal.name in self.kwargs:
                return f"argument '{formal.name}' is given twice"
            given = self.args[self.used]
            if self.level and self._takes_rest(position) and not _is_sequence(given.type):
                found = self._gather(formal.type, self.args[self.used :])
                self.used = len(self.args)
            else:
                found = self._fit(formal, given)
                self.used += 1
        elif formal.name in self.kwargs:
            given = self.kwargs[formal.name]
            found = self._fit(formal, given)
        elif formal.has_default:
            return Fixed(formal.default, formal.type)
        else:
            return f"argument '{formal.name}' of type {formal.type} is missing"
        if found is None:
            return f"expected {formal.type} for argument '{formal.name}', found {given.type}"
        return found

    def _takes_rest(self, position: int) -> bool:
        """Whether the parameter collects the remaining positional arguments: `x.view(2, 3)`."""
        formal, *following = self.op.schema.arguments[position:]
        return (
            isinstance(formal.type, T.ListType)
            and formal.count is None
            and formal.type.element in (T.INT, T.TENSOR)
            and all(a.kwarg_only for a in following)
        )

    def _fit(self, formal: Argument, given: Actual) -> Source | None:
        """A source for one parameter from one argument; None when the argument does not fit."""
        source = self._fit_type(formal.type, given)
        if source is not None:
            return None if self._is_too_loose(formal, source, given) else source
        element = _list_element(formal.type)
        if formal.count is not None and element is not None:  # one number is all of an `int[2]`
            item = self._fit_type(element, given)
            return None if item is None else Gathered((item,) * formal.count, element)
        return Given(given) if self._is_number_as_tensor(formal, given) else None

    def _is_too_loose(self, formal: Argument, source: Source, given: Actual) -> bool:
        """For an operator on numbers alone: a tensor is none, `Scalar` is for unknown types."""
        if not self.op.schema.is_on_numbers or self.level >= Level.LOOSE:
            return False
        if isinstance(given.type, T.TensorType):
            return isinstance(source, Converted)
        if T.NUMBER in self._types():
            return formal.type != T.NUMBER and given.type == T.NUMBER and len(self.args) > 1
        return formal.type == T.NUMBER

    def _types(self) -> Iterator[T.Type]:
        """The types of all arguments."""
        return (a.type for a in (*self.args, *self.kwargs.values()))

    def _is_number_as_tensor(self, formal: Argument, given: Actual) -> bool:
        return (
            self.level >= Level.EAGER
            and formal.type == T.TENSOR
            and self.op.name in _NUMBERS_AS_TENSORS
            and given.type in T.SCALARS
            and any(isinstance(t, T.TensorType) for t in self._types())
        )

    def _fit_type(self, formal: T.Type, given: Actual) -> Source | None:
        if T.is_subtype(given.type, formal) or unify(formal, given.type, self.binding):
            return Given(given)
        if isinstance(formal, T.OptionalType):
            if isinstance(given.type, T.OptionalType):
                taken = _AS_IS.get(formal.element, ())
                return Given(given) if given.type.element in taken else None
            return None if given.type == T.NONE else self._fit_type(formal.element, given)
        if isinstance(formal, T.ListType):
            return self._fit_list(formal, given)
        return convert(formal, given, self.level) if self.level >= Level.IMPLICIT else None

    def _fit_list(self, formal: T.ListType, given: Actual) -> Source | None:
        """A list or tuple for a list: item by item where the items are known."""
        if not _is_sequence(given.type):
            return None
        if given.is_known:
            return self._gather(formal, _items(given)) if given.value else Fixed((), formal)
        if isinstance(given.type, T.ListType):
            element = given.type.element
            is_taken = self.level >= Level.EAGER and element in _LISTS_AS_THEY_ARE.get(formal, ())
            return Given(given) if is_taken or T.is_subtype(element, formal.element) else None
        assert isinstance(given.type, T.TupleType)
        fits = all(T.is_subtype(t, formal.element) for t in given.type.elements)
        return Spread(given, formal.element) if fits else None

    def _gather(self, formal: T.Type, args: Sequence[Actual]) -> Source | None:
        assert isinstance(formal, T.ListType)
        items: list[Source] = []
        for given in args:
            item = self._fit_type(formal.element, given)
            if item is None:
                return None
            items.append(item)
        return Gathered(tuple(items), formal.element)


def _is_sequence(type_: T.Type) -> bool:
    return isinstance(type_, T.ListType | T.TupleType)


def _list_element(type_: T.Type) -> T.Type | None:
    if isinstance(type_, T.OptionalType):
        return _list_element(type_.element)
    return type_.element if isinstance(type_, T.ListType) else None


def _items(given: Actual) -> list[Actual]:
    """The items of a known list or tuple; those of a constant have no handles of their own."""
    if isinstance(given.type, T.TupleType):
        types: Sequence[T.Type] = given.type.elements
    else:
        assert isinstance(given.type, T.ListType)
        types = [given.type.element] * len(given.value)
    return [
        item if isinstance(item, Actual) else Actual(type_, item, item)
        for type_, item in zip(types, given.value, strict=True)
    ]


# conversions --------------------------------------------------------------------------------------
_FROM_TENSOR: dict[T.Type, str] = {
    T.INT: "aten::IntImplicit",
    T.FLOAT: "aten::FloatImplicit",
    T.COMPLEX: "aten::ComplexImplicit",
    T.NUMBER: "aten::ScalarImplicit",
}
_FROM_NUMBER: dict[T.Type, str] = {T.INT: "aten::Int", T.FLOAT: "aten::Float"}
_AS_IS: dict[T.Type, tuple[T.Type, ...]] = {  # the reference takes these as they are
    T.DTYPE: (T.INT,),
    T.LAYOUT: (T.INT,),
    T.MEMORY_FORMAT: (T.INT,),
    T.DEVICE: (T.STR, T.INT),
}
_LISTS_AS_THEY_ARE: dict[T.Type, tuple[T.Type, ...]] = {T.ListType(T.FLOAT): (T.INT,)}
_CODED: dict[T.Type, Mapping[int, object]] = {  # in TorchScript's programs these are ints
    T.DTYPE: {dtype.code: dtype for dtype in ALL},
    T.LAYOUT: {code: code for code in range(8)},
    T.MEMORY_FORMAT: {code: code for code in range(4)},
}


_CODES = frozenset(code for codes in _CODED.values() for code in codes)


def convert(formal: T.Type, given: Actual, level: Level) -> Source | None:
    """A source of type `formal` by conversion at a level; None when there is none."""
    found = given.type
    if found == T.INT and given.is_known and given.value in _CODED.get(formal, ()):
        return Fixed(_CODED[formal][given.value], formal)
    if found in _AS_IS.get(formal, ()):
        return Given(given)
    if formal == T.INT and found in (T.DTYPE, T.LAYOUT):
        return Converted("aten::Int", given)
    if isinstance(found, T.TensorType):
        operator = _FROM_TENSOR.get(formal)
        return Converted(operator, given) if operator and not found.dims else None
    if found == T.NUMBER and formal in _FROM_NUMBER:
        return Converted(_FROM_NUMBER[formal], given)
    if level < Level.EAGER:
        return None
    if formal == T.FLOAT and found in (T.INT, T.BOOL):
        return (
            Fixed(float(given.value), T.FLOAT)
            if given.is_known
            else Converted("aten::Float", given)
        )
    if formal == T.INT and found == T.BOOL:
        return Fixed(int(given.value), T.INT) if given.is_known else Converted("aten::Int", given)
    return None
