"""`isinstance` that looks into containers: `is_instance([1], List[int])`."""

from __future__ import annotations

import collections.abc
import types
import typing
from typing import Any

_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable)


def is_instance(obj: Any, target_type: Any) -> bool:
    """Whether `obj` is a value of a type, elements included, or of one in a tuple of types."""
    if isinstance(target_type, tuple):
        return any(is_instance(obj, t) for t in target_type)
    origin, args = typing.get_origin(target_type), typing.get_args(target_type)
    if target_type is None or target_type is Any:
        return target_type is Any or obj is None
    if origin in (typing.Union, types.UnionType):
        return any(is_instance(obj, t) for t in args)
    if origin is None:
        return isinstance(obj, target_type)
    return isinstance(obj, origin) and (not args or _holds(obj, origin, args))


def _holds(obj: Any, origin: Any, args: tuple[Any, ...]) -> bool:
    """Whether the elements of a container have the given types."""
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return all(is_instance(item, args[0]) for item in obj)
        return len(obj) == len(args) and all(map(is_instance, obj, args))
    if issubclass(origin, collections.abc.Mapping):
        key, value = args
        return all(is_instance(k, key) and is_instance(v, value) for k, v in obj.items())
    return origin not in _LISTS or all(is_instance(item, args[0]) for item in obj)
