"""Types of Python values, without torch: what constants carry, and what the interpreter meets
besides tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ir import types as T
from ir.dims import Sym
from ir.dtypes import DType

_SCALARS: dict[type, T.Type] = {
    bool: T.BOOL,
    int: T.INT,
    float: T.FLOAT,
    complex: T.COMPLEX,
    str: T.STR,
    type(None): T.NONE,
    DType: T.DTYPE,
    Sym: T.INT,
    range: T.RANGE,
}


def object_type(value: object) -> T.Type:
    """The type of an object that is neither a scalar nor a container: its class."""
    cls = type(value)
    return T.ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)


def scalar_type(value: object) -> T.Type | None:
    """The type of a Python scalar, None for anything else."""
    return _SCALARS.get(type(value))


def type_of_literal(value: object, leaf: Callable[[object], T.Type] = object_type) -> T.Type:
    """The type of a Python value; `leaf` types what is not Python's own (tensors, devices ...)."""
    known = scalar_type(value)
    if known is not None:
        return known
    match value:
        case tuple() if type(value) is tuple or hasattr(value, "_fields"):
            return tuple_type(value, leaf)
        case list():
            return T.ListType(common_type(type_of_literal(v, leaf) for v in value))
        case set() | frozenset():
            return T.SetType(common_type(type_of_literal(v, leaf) for v in value))
        case dict():
            keys = common_type((type_of_literal(k, leaf) for k in value), T.STR)
            return T.DictType(keys, common_type(type_of_literal(v, leaf) for v in value.values()))
        case _:
            return leaf(value)


def tuple_type(
    value: tuple[object, ...], leaf: Callable[[object], T.Type] = object_type
) -> T.TupleType:
    """The type of a tuple, with names for a NamedTuple."""
    elements = tuple(type_of_literal(v, leaf) for v in value)
    cls = type(value)
    if cls is tuple or not hasattr(cls, "_fields"):
        return T.TupleType(elements)
    return T.TupleType(elements, cls.__name__, tuple(cls._fields), cls)


def common_type(types: Iterable[T.Type], empty: T.Type = T.TENSOR) -> T.Type:
    """The type of a container's elements; Any when they differ, `empty` for none."""
    result: T.Type | None = None
    for type_ in types:
        result = type_ if result is None else T.join(result, type_) or T.ANY
    return empty if result is None else result
