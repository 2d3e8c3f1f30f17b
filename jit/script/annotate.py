"""Python annotations to types: `typing` forms, PEP 585 and 604, strings, `# type:` comments,
torch's and numpy's classes.

An annotation is first evaluated to a Python object in the function's own globals and closure,
then mapped by `type_of_annotation`; what has no meaning for compiled code raises
UnsupportedError with the annotation's text.
"""

from __future__ import annotations

import ast
import collections
import collections.abc
import enum
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    DTYPE,
    FLOAT,
    GENERATOR,
    INT,
    LAYOUT,
    MEMORY_FORMAT,
    NONE,
    NUMBER,
    RANGE,
    SIZE,
    STR,
    TENSOR,
    DictType,
    Future,
    FutureType,
    ListType,
    ObjectType,
    OptionalType,
    SequenceType,
    SetType,
    Span,
    TupleType,
    Type,
    UnionType,
    UnsupportedError,
    optional,
)
from jit.declared import annotations_of

_PLAIN: dict[Any, Type] = {
    None: NONE, type(None): NONE, int: INT, torch.SymInt: INT, float: FLOAT, bool: BOOL,
    complex: COMPLEX, str: STR,
    torch.Tensor: TENSOR, np.ndarray: TENSOR, torch.device: DEVICE, torch.dtype: DTYPE,
    torch.layout: LAYOUT, torch.memory_format: MEMORY_FORMAT, torch.Generator: GENERATOR, Any: ANY,
    object: ANY, numbers.Number: NUMBER, torch.Size: SIZE, range: RANGE,
    list: ListType(TENSOR), dict: DictType(STR, TENSOR), inspect.Parameter.empty: TENSOR,
}  # fmt: skip

_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Iterable,
          collections.abc.Collection)  # fmt: skip
# Containers whose operations are Python's own.
_OBJECTS = (collections.defaultdict, collections.Counter, collections.deque, collections.ChainMap,
            collections.abc.Iterator, collections.abc.Generator)  # fmt: skip
_DICTS = (dict, collections.OrderedDict, collections.abc.Mapping, collections.abc.MutableMapping)
_SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_UNIONS = (typing.Union, types.UnionType)


def type_of_annotation(annotation: Any, span: Span | None = None) -> Type:
    """The type that an evaluated annotation names."""
    if annotation in (typing.List, typing.Dict):  # noqa: UP006
        annotation = typing.get_origin(annotation)
    if annotation in (typing.Callable, collections.abc.Callable):  # called in Python
        return ANY
    if _is_hashable(annotation) and annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return _class_type(annotation, span)
    if isinstance(annotation, typing.NewType):
        return type_of_annotation(annotation.__supertype__, span)
    if isinstance(annotation, typing.TypeVar):
        return type_of_annotation(annotation.__bound__ or Any, span)
    return _generic_type(annotation, span)


def _is_hashable(value: Any) -> bool:
    return getattr(type(value), "__hash__", None) is not None and not isinstance(
        value, list | tuple
    )


def _class_type(cls: type, span: Span | None) -> Type:
    if typing.is_typeddict(cls):
        items = typing.get_type_hints(cls).values()
        return DictType(STR, _union([type_of_annotation(item, span) for item in items]))
    if issubclass(cls, torch.Tensor):
        return TENSOR
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return named_tuple_type(cls)
    if issubclass(cls, enum.Enum):
        return ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)
    if cls is tuple:
        return ANY  # of elements that only the run knows
    if cls.__module__ in ("typing", "collections.abc"):
        raise _unknown(cls, span)
    return ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)


def named_tuple_type(cls: Any) -> TupleType:
    """The type of a NamedTuple class; a field without annotation is a Tensor, as in TorchScript."""
    hints = typing.get_type_hints(cls)
    elements = tuple(type_of_annotation(hints.get(f, torch.Tensor)) for f in cls._fields)
    return TupleType(elements, cls.__name__, tuple(cls._fields), cls)


def _generic_type(annotation: Any, span: Span | None) -> Type:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)

    def inner(index: int) -> Type:
        return type_of_annotation(args[index], span)

    if origin in _UNIONS:
        return _union([type_of_annotation(a, span) for a in args])
    if origin in _LISTS:
        return ListType(inner(0))
    if origin in _DICTS:
        return DictType(inner(0), inner(1))
    if origin in _SETS:
        return SetType(inner(0))
    if origin is tuple:
        return _tuple_type(args, span)
    if origin in (typing.Annotated, typing.Final, typing.ClassVar):
        return inner(0)
    if origin is collections.abc.Callable:
        return ANY
    if origin is typing.Literal:
        return _union([type_of_annotation(type(a), span) for a in args])
    if origin in _OBJECTS:
        return ANY
    if origin in (Future, torch.futures.Future, torch.jit.Future):
        return FutureType(inner(0))
    raise _unknown(annotation, span)


def _tuple_type(args: tuple[Any, ...], span: Span | None) -> Type:
    if len(args) == 2 and args[1] is Ellipsis:
        return SequenceType(type_of_annotation(args[0], span))
    elements = () if args == ((),) else args
    return TupleType(tuple(type_of_annotation(a, span) for a in elements))


def _union(members: list[Type]) -> Type:
    """Optional when None is a member; nested unions are flattened, and a union of one type is that
    type.
    """
    flat: list[Type] = []
    for member in members:
        parts = _members(member)
        flat += [p for p in parts if p not in flat]
    if ANY in flat:
        return ANY
    some = [m for m in flat if m != NONE]
    if not some:
        return NONE
    core = some[0] if len(some) == 1 else UnionType(tuple(some))
    return core if len(some) == len(flat) else optional(core)


def _members(type_: Type) -> tuple[Type, ...]:
    match type_:
        case UnionType(members=members):
            return members
        case OptionalType(element=element):
            return (*_members(element), NONE)
    return (type_,)


def _unknown(annotation: Any, span: Span | None) -> UnsupportedError:
    text = getattr(annotation, "__qualname__", None) or str(annotation)
    return UnsupportedError(
        f"the annotation {text} has no compiled type; use Tensor, int, float, bool, str, List, "
        "Dict, Tuple, Optional, a NamedTuple, an Enum or a class with source",
        span,
    )


def evaluate_annotation(text: str, names: Mapping[str, Any], span: Span | None) -> Any:
    """The Python object that an annotation's text stands for."""
    try:
        return resolved(eval(text, dict(names)), names)
    except Exception as error:
        message = f"the annotation {text!r} cannot be evaluated: {error}"
        raise UnsupportedError(message, span) from error


def resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    """An annotation whose parts may be names in quotes, with what these stand for; with a scope of
    its own, as `typing` would otherwise give what they stood for in the module before a reload.
    """
    if "ForwardRef" not in repr(annotation):
        return annotation
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, dict(names), {}, include_extras=True)["it"]
    except NameError:
        return annotation


def annotated_types(fn: Callable[..., Any]) -> dict[str, Type]:
    """What the annotations of a function say of its parameters, as far as they can be read."""
    found = {}
    for name, annotation in annotations_of(fn).items():
        try:
            if isinstance(annotation, str):
                annotation = evaluate_annotation(annotation, getattr(fn, "__globals__", {}), None)
            found[name] = type_of_annotation(annotation)
        except UnsupportedError:
            continue
    return found


def parse_type_comment(
    text: str, names: Mapping[str, Any], span: Span | None
) -> tuple[list[Type], Type]:
    """Parameter types and result type of a `# type: (int, Tensor) -> float` comment."""
    tree = ast.parse(text, mode="func_type")
    scope = {"Tensor": torch.Tensor, "torch": torch, **vars(typing), **names}

    def read(node: ast.expr) -> Type:
        return type_of_annotation(evaluate_annotation(ast.unparse(node), scope, span), span)

    return [read(node) for node in tree.argtypes], read(tree.returns)
