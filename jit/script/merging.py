"""Types where paths meet."""

from __future__ import annotations

import functools

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    TENSOR,
    ListType,
    OptionalType,
    SequenceType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    join,
)

_MOST = 6  # alternatives of a union; a type that grows in a loop must end
_SCALARS = (BOOL, INT, FLOAT, COMPLEX, NUMBER)


def merge_types(a: Type, b: Type) -> Type:
    """The type of a variable where paths meet: the join, `Scalar` for numbers of different kinds,
    otherwise a union, on whose values Python itself operates.
    """
    joined = join(a, b)
    if type(joined) is ListType and isinstance(a, SequenceType) != isinstance(b, SequenceType):
        joined = None  # a tuple on one path, a list on the other
    if joined is not None:
        return joined
    if a in _SCALARS and b in _SCALARS:
        return NUMBER
    members = tuple(dict.fromkeys(m for t in (a, b) for m in _alternatives(t)))
    return UnionType(members) if len(members) <= _MOST else ANY


def of_any_length(type_: TupleType) -> SequenceType:
    """The type of a tuple (of at least one element) without its length."""
    return SequenceType(functools.reduce(merge_types, type_.elements))


def _alternatives(type_: Type) -> list[Type]:
    match type_:
        case UnionType(members=members):
            return list(members)
        case OptionalType(element=element):
            return [*_alternatives(element), NONE]
        case TensorType():
            return [TENSOR]
    return [type_]
