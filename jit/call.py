"""One call of a compiled function: what was passed, in which shape, and which parameter each value
is for.

The *shape* of a call is its number of positional arguments and its keywords in order. Binding it
to a signature is done once: positions are bound instead of values, so that each parameter knows
where a call of that shape keeps its value.

    def f(x, y=2, *rest, scale=1.0)        f(a, b, c, scale=s)        positions 0 1 2 3
    sources                                x: 0    y: 1    rest: (2,)    scale: 3
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ir import record, replace
from jit.declared import signature_of

Shape = tuple[int, tuple[str, ...]]


@record
class Default:
    """A parameter that was not passed."""

    name: str
    value: object


Source = int | tuple[int, ...] | dict[str, int] | Default


@record
class Binding:
    """Where the parameters of a function find their values in calls of one shape; `names` are the
    positions' names.
    """

    shape: Shape
    sources: tuple[Source, ...]
    names: tuple[str, ...]

    def flat(self) -> Binding:
        """The binding of a function of which each value passed is a parameter."""
        return Binding(self.shape, tuple(range(len(self.names))), self.names)

    def values(self, passed: Sequence[Any]) -> tuple[Any, ...]:
        """The value of each parameter, given what was passed."""
        return tuple(_value(source, passed) for source in self.sources)


def _value(source: Source, passed: Sequence[Any]) -> Any:
    match source:
        case int():
            return passed[source]
        case tuple():
            return tuple(passed[k] for k in source)
        case dict():
            return {name: passed[k] for name, k in source.items()}
        case Default(value=value):
            return value


def bind(signature: inspect.Signature, shape: Shape) -> Binding:
    """Bind a shape to a signature; TypeError when calls of this shape do not fit."""
    positional, keywords = shape
    positions = {name: positional + k for k, name in enumerate(keywords)}
    found = signature.bind(*range(positional), **positions).arguments
    sources = tuple(found.get(p.name, _missing(p)) for p in signature.parameters.values())
    return Binding(shape, sources, _position_names(signature, sources, positional + len(keywords)))


def own_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function itself, whatever it wraps."""
    return signature_of(function, follow_wrapped=False)


def is_wrapper(function: Callable[..., Any] | None) -> bool:
    """Whether a function hands its arguments on to the function that it wraps."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return bool(code and hasattr(function, "__wrapped__") and code.co_flags & inspect.CO_VARARGS)


def bind_wrapped(function: Callable[..., Any]) -> tuple[inspect.Signature, Binding]:
    """The signature of what a function wraps, and the call that passes all of its parameters."""
    signature = signature_of(function)
    kinds = [(p.name, p.kind is p.KEYWORD_ONLY) for p in signature.parameters.values()]
    keywords = tuple(name for name, by_keyword in kinds if by_keyword)
    binding = bind(own_signature(function), (len(kinds) - len(keywords), keywords))
    return signature, replace(binding, names=tuple(name for name, _ in kinds))


def is_open(function: Callable[..., Any] | None) -> bool:
    """Whether a function tells calls of different shapes apart: it takes any keywords, or hands its
    arguments on to the function that it wraps.
    """
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        return False
    return bool(code.co_flags & inspect.CO_VARKEYWORDS) or is_wrapper(function)


def _missing(parameter: inspect.Parameter) -> Source:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return ()
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return {}
    return Default(parameter.name, parameter.default)


def _position_names(
    signature: inspect.Signature, sources: Sequence[Source], count: int
) -> tuple[str, ...]:
    names = [""] * count
    for name, source in zip(signature.parameters, sources, strict=True):
        match source:
            case int():
                names[source] = name
            case tuple():
                for k, position in enumerate(source):
                    names[position] = f"{name}[{k}]"
            case dict():
                for key, position in source.items():
                    names[position] = key
    return tuple(names)


@record(frozen=False)
class Call:
    """A call under way. `passed` holds the positional arguments, then those passed by keyword."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    passed: tuple[Any, ...]
    binding: Binding
    fits: bool = True
    """Whether a graph of fixed types takes these values."""

    def again(self) -> Any:
        """Repeat the call through the native entry."""
        return self.function(*self.args, **self.kwargs)

    @property
    def bound(self) -> tuple[Any, ...]:
        """The value of each parameter."""
        return self.binding.values(self.passed)
