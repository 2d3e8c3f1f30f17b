"""`isinstance` on types: decided while compiling where the static type allows, otherwise the test
left for run time.
"""

from __future__ import annotations

import collections.abc
import typing
from typing import Any

import torch

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    DTYPE,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    RANGE,
    STR,
    DictType,
    ListType,
    ObjectType,
    OptionalType,
    SequenceType,
    SetType,
    Span,
    TensorType,
    TupleType,
    Type,
    UnionType,
    is_subtype,
    optional,
    record,
)
from jit.script.annotate import type_of_annotation

# The Python class of values of a type without parameters.
_CLASSES: dict[Type, type] = {
    INT: int,
    FLOAT: float,
    BOOL: bool,
    COMPLEX: complex,
    STR: str,
    NONE: type(None),
    DEVICE: torch.device,
    DTYPE: torch.dtype,
    RANGE: range,
}

# What values of no known type are that are instances of a class without parameters.
_BARE: dict[Any, Type] = {list: ListType(ANY), dict: DictType(ANY, ANY)}


@record
class Verdict:
    """A test for run time, and the type of its subject where it holds and where not (None: nothing
    learned).
    """

    tested: tuple[Type, ...]
    classes: tuple[Any, ...]
    when_true: Type | None
    when_false: Type | None


def isinstance_of(type_: Type, classes: tuple[Any, ...], span: Span | None) -> bool | Verdict:
    """Whether values of `type_` are instances of one of `classes`."""
    members = members_of(type_)
    answers = [_any(answer_one(m, c) for c in classes) for m in members]
    if all(a is True for a in answers):
        return True
    if all(a is False for a in answers):
        return False
    tested = tuple(type_of_annotation(c, span) for c in classes)
    if members == [type_] and type_ in (ANY, NUMBER):
        shown = _BARE.get(classes[0], tested[0]) if len(tested) == 1 else None
        return Verdict(tested, classes, shown, None)
    yes = [m for m, a in zip(members, answers, strict=True) if a is not False]
    no = [m for m, a in zip(members, answers, strict=True) if a is not True]
    return Verdict(tested, classes, union_of(yes), union_of(no))


def members_of(type_: Type) -> list[Type]:
    """The alternatives of an Optional or Union."""
    if isinstance(type_, OptionalType):
        return [*members_of(type_.element), NONE]
    return list(type_.members) if isinstance(type_, UnionType) else [type_]


def union_of(members: list[Type]) -> Type:
    """The type that holds any of the members."""
    some = [m for m in members if m != NONE]
    if not some:
        return NONE
    core = some[0] if len(some) == 1 else UnionType(tuple(some))
    return core if len(some) == len(members) else optional(core)


def _any(answers: typing.Iterable[bool | None]) -> bool | None:
    """Three-valued or."""
    seen = set(answers)
    return True if True in seen else None if None in seen else False


def answer_one(type_: Type, cls: Any) -> bool | None:
    """Whether values of a type that is no union are instances of one class; None when the run must
    tell.
    """
    if type_ in (ANY, NUMBER):
        return None
    if type_ in _CLASSES:
        return isinstance(cls, type) and issubclass(_CLASSES[type_], cls)
    origin = typing.get_origin(cls) or cls
    match type_:
        case TensorType():
            return _tensor_answer(origin)
        case SequenceType(is_size=is_size):
            return _generic_answer(type_, cls, origin, torch.Size if is_size else tuple)
        case ListType():
            return _generic_answer(type_, cls, origin, list)
        case DictType():
            return _generic_answer(type_, cls, origin, dict)
        case SetType():
            return _generic_answer(type_, cls, origin, set)
        case TupleType(cls=named):
            return _generic_answer(type_, cls, origin, named or tuple)
        case ObjectType(cls=owner) if isinstance(origin, type) and isinstance(owner, type):
            return (
                True if issubclass(owner, origin) else None if issubclass(origin, owner) else False
            )
    return False


def _tensor_answer(cls: Any) -> bool | None:
    if not isinstance(cls, type):
        return False
    return (
        True if issubclass(torch.Tensor, cls) else None if issubclass(cls, torch.Tensor) else False
    )


def _generic_answer(type_: Type, cls: Any, origin: Any, actual: type) -> bool:
    if not isinstance(origin, type) or not issubclass(actual, origin):
        return False
    if not typing.get_args(cls) or origin in (collections.abc.Sequence, collections.abc.Iterable):
        return True
    return is_subtype(type_, type_of_annotation(cls))
