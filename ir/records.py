"""Small classes of named fields, as `dataclasses` makes them, in a twentieth of the time: whoever
imports us waits for two hundred of them.

    @record
    class Span:
        file: str
        line: int = 0

They have slots and the methods that their fields say (`__init__`, `__eq__`, `__hash__`,
`__repr__`, `__match_args__`); these are compiled when first called. That a record is frozen is
checked by the type checker, not at run time, where it means that equal records have equal hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from reprlib import recursive_repr
from typing import Any, NamedTuple, TypeVar, dataclass_transform, overload

C = TypeVar("C", bound=type)
T = TypeVar("T")
_MISSING: Any = object()


class Field(NamedTuple):
    """What is said of a field besides its name and type."""

    name: str
    default: Any = _MISSING
    factory: Callable[[], Any] | None = None
    init: bool = True
    compare: bool = True


def field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | None = None,
    init: bool = True,
    compare: bool = True,
) -> Any:
    """A field with a default made for each record, that `__init__` does not take, or that does not
    count for equality.
    """
    return Field("", default, default_factory, init, compare)


@overload
def record(cls: C, /) -> C: ...


@overload
def record(*, frozen: bool = True, eq: bool = True, slots: bool = True) -> Callable[[C], C]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: Any = None, /, *, frozen: bool = True, eq: bool = True, slots: bool = True) -> Any:
    """Make a class a record. Without `eq` each is equal to itself only; one that is not frozen has
    no hash otherwise. Without `slots` there can be cached properties.
    """
    if cls is None:
        return lambda cls: _make(cls, frozen, eq, slots)
    return _make(cls, frozen, eq, slots)


def _make(cls: Any, frozen: bool, eq: bool, slots: bool) -> Any:
    own = [
        _field(cls, n, slots)
        for n, kind in cls.__annotations__.items()
        if "ClassVar" not in str(kind)
    ]
    fields = tuple({f.name: f for f in (*getattr(cls, "__fields__", ()), *own)}.values())
    made: Any = _with_slots(cls, own) if slots else cls
    made.__fields__ = fields
    setattr(made, "__match_args__", tuple(f.name for f in fields if f.init))  # noqa: B010
    _define(made, "__init__", lambda: _initializer(fields, hasattr(made, "__post_init__")))
    if "__repr__" not in vars(made):
        made.__repr__ = _repr
    if eq:
        compared = [f.name for f in fields if f.compare]
        _define(made, "__eq__", lambda: _equality(compared))
        if frozen:
            _define(made, "__hash__", lambda: _hash(compared))
        elif "__hash__" not in vars(made):
            made.__hash__ = None
    return made


def is_record(obj: object) -> bool:
    """Whether an object's class is a record."""
    return hasattr(type(obj), "__fields__")


def replace(obj: T, **changes: Any) -> T:
    """A copy of a record with some fields changed."""
    kept = {f.name: getattr(obj, f.name) for f in type(obj).__fields__ if f.init}  # type: ignore[attr-defined]
    return type(obj)(**(kept | changes))


def _field(cls: type, name: str, slots: bool) -> Field:
    """A field as declared; a default stays with a class that has no slot of the name."""
    found = vars(cls).get(name, _MISSING)
    made = found._replace(name=name) if type(found) is Field else Field(name, found)
    if found is not _MISSING and (slots or made.default is _MISSING):
        delattr(cls, name)
    return made


def _with_slots(cls: type, own: Sequence[Field]) -> Any:
    """The class made again, as slots are given to it when it is made."""
    content = {k: v for k, v in vars(cls).items() if k not in ("__dict__", "__weakref__")}
    content["__slots__"] = tuple(f.name for f in own)
    made = type(cls)(cls.__name__, cls.__bases__, content)
    made.__qualname__ = cls.__qualname__
    return made


# methods ------------------------------------------------------------------------------------------
Source = tuple[str, dict[str, Any]]


def _define(cls: type, name: str, write: Callable[[], Source]) -> None:
    """Give a class a method, unless it has its own; `write` gives the text and what it refers to.
    The first call compiles it.
    """
    if vars(cls).get(name) is not None:
        return

    def compiled(self: Any, *args: Any, **kwargs: Any) -> Any:
        text, names = write()
        exec(text, names)
        method = names[name]
        method.__qualname__, method.__module__ = f"{cls.__qualname__}.{name}", cls.__module__
        setattr(cls, name, method)
        return method(self, *args, **kwargs)

    setattr(cls, name, compiled)


def _initializer(fields: Sequence[Field], has_post: bool) -> Source:
    names: dict[str, Any] = {"missing": _MISSING}
    params, lines = ["self"], ["pass"]
    for f in fields:
        value = f.name
        if f.factory is not None:
            names[f"make_{f.name}"], names[f"default_{f.name}"] = f.factory, _MISSING
            made = f"make_{f.name}()"
            value = f"{made} if {f.name} is missing else {f.name}" if f.init else made
        elif f.default is not _MISSING:
            names[f"default_{f.name}"] = f.default
            value = f.name if f.init else f"default_{f.name}"
        elif not f.init:
            continue  # set by __post_init__
        if f.init:
            has_default = f"default_{f.name}" in names
            params.append(f"{f.name}=default_{f.name}" if has_default else f.name)
        lines.append(f"self.{f.name} = {value}")
    if has_post:
        lines.append("self.__post_init__()")
    body = "".join(f"    {line}\n" for line in lines)
    return f"def __init__({', '.join(params)}):\n{body}", names


def _equality(names: Sequence[str]) -> Source:
    mine, other = (_tuple(owner, names) for owner in ("self", "other"))
    return (
        "def __eq__(self, other):\n"
        "    if self is other: return True\n"
        "    if other.__class__ is not self.__class__: return NotImplemented\n"
        f"    return {mine} == {other}\n"
    ), {}


def _hash(names: Sequence[str]) -> Source:
    return f"def __hash__(self): return hash({_tuple('self', names)})", {}


def _tuple(owner: str, names: Sequence[str]) -> str:
    return f"({''.join(f'{owner}.{name}, ' for name in names)})"


@recursive_repr("...")
def _repr(self: Any) -> str:
    parts = (f"{f.name}={getattr(self, f.name, '?')!r}" for f in type(self).__fields__)
    return f"{type(self).__qualname__}({', '.join(parts)})"
