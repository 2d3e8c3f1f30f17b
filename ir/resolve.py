"""Overload choice: which operator a call means, and where each of its inputs comes from.

Overloads are tried in torch's order, at growing levels of tolerance; the first that fits at the lowest level is taken:

    EXACT     subtypes; an int for `int[2]`; a tuple for a list; defaults            as TorchScript's first try
    IMPLICIT  0-d tensor for a number, int for a dtype, str for a device, varargs    as TorchScript's second try
    EAGER     int for float, bool for int, a number for a tensor where torch allows  as torch's Python functions
    LOOSE     a tensor for a number of an operator without tensors (math.sqrt(x))

The result names sources, not values, so that the same choice serves graphs (`Builder`) and tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ir import types as T
from ir.errors import TypeMismatch
from ir.op import Op
from ir.registry import overloads
from ir.schema import Argument, Schema
from ir.source import Span

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


@dataclass(frozen=True, slots=True, eq=False)
class Actual:
    """One argument of a call: its type, its value when that is a constant, and the caller's own handle of it."""

    type: T.Type
    value: Any = UNKNOWN
    handle: Any = None

    @property
    def is_known(self) -> bool:
        return self.value is not UNKNOWN


@dataclass(frozen=True, slots=True)
class Given:
    """The argument as it is."""

    actual: Actual


@dataclass(frozen=True, slots=True)
class Fixed:
    """A constant: a default, or a converted constant argument."""

    value: Any
    type: T.Type


@dataclass(frozen=True, slots=True)
class Gathered:
    """A new list of several sources."""

    items: tuple[Source, ...]
    element: T.Type


@dataclass(frozen=True, slots=True)
class Spread:
    """The elements of a tuple as a list."""

    actual: Actual
    element: T.Type


@dataclass(frozen=True, slots=True)
class Converted:
    """The argument passed through an operator such as `aten::ScalarImplicit`."""

    operator: str
    actual: Actual


Source = Given | Fixed | Gathered | Spread | Converted
Binding = dict[T.Type, T.Type]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The chosen operator, a source for each of its inputs in order, and the types that its schema promises."""

    op: Op
    inputs: tuple[Source, ...]
    returns: tuple[T.Type, ...]


@dataclass(frozen=True, slots=True)
class _Misfit:
    """Why an overload does not fit; `progress` is the number of arguments that did."""

    reason: str
    progress: int


def resolve(
    name: str,
    args: Sequence[Actual],
    kwargs: Mapping[str, Actual] | None = None,
    span: Span | None = None,
) -> Resolution:
    """Choose an overload of `name` (`aten::add`; `aten::add.Tensor` names one); TypeMismatch when none fits."""
    base, _, overload = name.partition(".")
    candidates = [op for op in overloads(base) if not overload or op.qualified == name]
    if not candidates:
        raise TypeMismatch(f"no operator is called {name}", span)
    misfits: list[tuple[_Misfit, Op]] = []
    for level in Level:
        misfits.clear()
        for op in candidates:
            result = bind(op, args, kwargs or {}, level)
            if isinstance(result, Resolution):
                return result
            misfits.append((result, op))
    raise TypeMismatch(_explain(name, args, kwargs or {}, misfits), span)


def _explain(
    name: str,
    args: Sequence[Actual],
    kwargs: Mapping[str, Actual],
    misfits: list[tuple[_Misfit, Op]],
) -> str:
    found = ", ".join([*(str(a.type) for a in args), *(f"{k}={a.type}" for k, a in kwargs.items())])
    sensible = [m for m in misfits if "out" in kwargs or "out" not in m[1].schema.index] or misfits
    nearest = sorted(sensible, key=lambda m: -m[0].progress)[:NEAREST]
    lines = "".join(f"\n  {op.schema}\n    {misfit.reason}" for misfit, op in nearest)
    return f"{name} takes no arguments ({found}); the nearest overloads are:{lines}"


def bind(
    op: Op, args: Sequence[Actual], kwargs: Mapping[str, Actual], level: Level
) -> Resolution | _Misfit:
    """Try one overload at one level."""
    schema, used, sources = op.schema, 0, []
    binding: Binding = {}
    for position, formal in enumerate(schema.arguments):
        if not formal.kwarg_only and used < len(args):
            if formal.name in kwargs:
                return _Misfit(f"argument '{formal.name}' is given twice", position)
            if (
                level >= Level.IMPLICIT
                and _takes_rest(schema, position)
                and not _is_sequence(args[used].type)
            ):
                source = _gather(formal, args[used:], level, binding)
                given, used = args[used], len(args)
            else:
                given, used = args[used], used + 1
                source = _fit(op, formal, given, level, binding)
        elif formal.name in kwargs:
            given = kwargs[formal.name]
            source = _fit(op, formal, given, level, binding)
        elif formal.has_default:
            sources.append(Fixed(formal.default, formal.type))
            continue
        else:
            return _Misfit(f"argument '{formal.name}' of type {formal.type} is missing", position)
        if source is None:
            return _Misfit(
                f"expected {formal.type} for argument '{formal.name}', found {given.type}", position
            )
        sources.append(source)
    return _finish(op, args, kwargs, used, sources, binding)


def _finish(
    op: Op,
    args: Sequence[Actual],
    kwargs: Mapping[str, Actual],
    used: int,
    sources: list[Source],
    binding: Binding,
) -> Resolution | _Misfit:
    schema = op.schema
    if schema.is_vararg:
        sources.extend(Given(a) for a in args[used:])
    elif used < len(args):
        takes = sum(not a.kwarg_only for a in schema.arguments)
        return _Misfit(f"expected at most {takes} positional arguments, found {len(args)}", used)
    unexpected = [k for k in kwargs if k not in schema.index]
    if unexpected:
        return _Misfit(f"there is no argument '{unexpected[0]}'", used)
    return Resolution(
        op, tuple(sources), tuple(substitute(r.type, binding) for r in schema.returns)
    )


def _takes_rest(schema: Schema, position: int) -> bool:
    """Whether the parameter collects the remaining positional arguments: `x.view(2, 3)`."""
    following = schema.arguments[position + 1 :]
    formal = schema.arguments[position]
    return (
        isinstance(formal.type, T.ListType)
        and formal.count is None
        and formal.type.element in (T.INT, T.TENSOR)
        and all(a.kwarg_only for a in following)
    )


def _is_sequence(type_: T.Type) -> bool:
    return isinstance(type_, T.ListType | T.TupleType)


def _gather(
    formal: Argument, args: Sequence[Actual], level: Level, binding: Binding
) -> Source | None:
    assert isinstance(formal.type, T.ListType)
    items = tuple(_fit_type(formal.type.element, a, level, binding) for a in args)
    return None if None in items else Gathered(items, formal.type.element)  # type: ignore[arg-type]


def _fit(op: Op, formal: Argument, given: Actual, level: Level, binding: Binding) -> Source | None:
    """A source for one parameter from one argument; None when the argument does not fit."""
    source = _fit_type(formal.type, given, level, binding)
    if source is not None:
        return None if level < Level.LOOSE and _is_loose(op, formal, source, given) else source
    element = _list_element(formal.type)
    if formal.count is not None and element is not None:  # one number stands for all of `int[2]`
        item = _fit_type(element, given, level, binding)
        return None if item is None else Gathered((item,) * formal.count, element)
    if (
        level >= Level.EAGER
        and formal.type == T.TENSOR
        and op.name in _NUMBERS_AS_TENSORS
        and given.type in T.SCALARS
    ):
        return Given(given)
    return None


def _list_element(type_: T.Type) -> T.Type | None:
    if isinstance(type_, T.OptionalType):
        return _list_element(type_.element)
    return type_.element if isinstance(type_, T.ListType) else None


def _is_loose(op: Op, formal: Argument, source: Source, given: Actual) -> bool:
    """For an operator on numbers alone: a tensor is no number, and `Scalar` is for numbers of unknown type."""
    if any(isinstance(a.type, T.TensorType) for a in op.schema.arguments):
        return False
    from_tensor = isinstance(source, Converted) and isinstance(given.type, T.TensorType)
    return from_tensor or (formal.type == T.NUMBER and given.type != T.NUMBER)


def _fit_type(formal: T.Type, given: Actual, level: Level, binding: Binding) -> Source | None:
    if T.is_subtype(given.type, formal) or unify(formal, given.type, binding):
        return Given(given)
    if isinstance(formal, T.OptionalType):
        return None if given.type == T.NONE else _fit_type(formal.element, given, level, binding)
    if isinstance(formal, T.ListType):
        return _fit_list(formal, given, level, binding)
    if level >= Level.IMPLICIT:
        return _convert(formal, given, level)
    return None


def _fit_list(formal: T.ListType, given: Actual, level: Level, binding: Binding) -> Source | None:
    element = formal.element
    match given.type:
        case T.ListType(element=own):
            if given.is_known and not given.value:
                return Fixed((), formal)
            if given.is_known or own == element:
                return (
                    _fit_items(formal, given, [own] * len(given.value), level, binding)
                    if given.is_known
                    else None
                )
            return Given(given) if T.is_subtype(own, element) else None
        case T.TupleType(elements=own_types):
            if given.is_known:
                return _fit_items(formal, given, own_types, level, binding)
            fits = [_fit_type(element, Actual(t), Level.EXACT, binding) for t in own_types]
            return None if None in fits else Spread(given, element)
    return None


def _fit_items(
    formal: T.ListType, given: Actual, types: Sequence[T.Type], level: Level, binding: Binding
) -> Source | None:
    items = [
        item if isinstance(item, Actual) else Actual(t, item, item)
        for t, item in zip(types, given.value, strict=True)
    ]
    return _gather(Argument("", formal), items, level, binding)


_FROM_TENSOR = {
    T.INT: "aten::IntImplicit",
    T.FLOAT: "aten::FloatImplicit",
    T.COMPLEX: "aten::ComplexImplicit",
    T.NUMBER: "aten::ScalarImplicit",
}
_FROM_NUMBER = {T.INT: "aten::Int", T.FLOAT: "aten::Float"}
_AS_IS = {  # the reference takes these as they are
    T.DTYPE: (T.INT,),
    T.LAYOUT: (T.INT,),
    T.MEMORY_FORMAT: (T.INT,),
    T.DEVICE: (T.STR, T.INT),
    T.INT: (T.DTYPE,),
}


def _convert(formal: T.Type, given: Actual, level: Level) -> Source | None:
    found = given.type
    if found in _AS_IS.get(formal, ()):  # type: ignore[call-overload]
        return Given(given)
    if isinstance(found, T.TensorType):
        operator = _FROM_TENSOR.get(formal)  # type: ignore[call-overload]
        return Converted(operator, given) if operator and not found.dims else None
    if found == T.NUMBER and formal in _FROM_NUMBER:
        return Converted(_FROM_NUMBER[formal], given)  # type: ignore[index]
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


# generic schemas ----------------------------------------------------------------------------------
def unify(formal: T.Type, found: T.Type, binding: Binding) -> bool:
    """Bind the type variables of `formal` so that `found` fits; False when it has none, or none that do."""
    match formal, found:
        case T.TypeVar(), _:
            return _bind_variable(formal, found, binding)
        case T.ListType(element=a), T.ListType(element=b):
            return b == a or a == T.ANY or unify(a, b, binding)
        case T.OptionalType(element=a), _:
            return unify(a, found.element if isinstance(found, T.OptionalType) else found, binding)
        case T.DictType(key=ka, value=va), T.DictType(key=kb, value=vb):
            return (ka == kb or T.is_subtype(kb, ka)) and (va == vb or unify(va, vb, binding))
        case T.TupleType(elements=xs), T.TupleType(elements=ys):
            return len(xs) == len(ys) and all(
                T.is_subtype(y, x) or unify(x, y, binding) for x, y in zip(xs, ys, strict=True)
            )
        case T.FutureType(element=a), T.FutureType(element=b):
            return a == b or unify(a, b, binding)
    return False


def _bind_variable(variable: T.Type, found: T.Type, binding: Binding) -> bool:
    bound = binding.setdefault(variable, found)
    if T.is_subtype(found, bound):
        return True
    joined = T.join(bound, found) if isinstance(found, T.TensorType) else None
    if joined is None:
        return False
    binding[variable] = joined
    return True


def substitute(type_: T.Type, binding: Binding) -> T.Type:
    """A type with its variables replaced; one that was not bound is Any."""
    match type_:
        case T.TypeVar():
            return binding.get(type_, T.ANY)
        case T.ListType(element=element):
            return T.ListType(substitute(element, binding))
        case T.OptionalType(element=element):
            return T.optional(substitute(element, binding))
        case T.DictType(key=key, value=value):
            return T.DictType(substitute(key, binding), substitute(value, binding))
        case T.TupleType(elements=elements) if type_.name is None:
            return T.TupleType(tuple(substitute(e, binding) for e in elements))
        case T.FutureType(element=element):
            return T.FutureType(substitute(element, binding))
    return type_
