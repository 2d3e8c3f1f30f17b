"""Where an argument does not fit the type that its parameter declares.

Values are taken as Python has them: an int where a float is declared, a tuple where a list is, a
device's name where a device is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ir import (
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    STR,
    DictType,
    ListType,
    ObjectType,
    OptionalType,
    SetType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    type_text,
)

_CLASSES: Mapping[Type, Any] = {
    INT: (int, torch.dtype),  # a dtype is an int in TorchScript's programs
    FLOAT: (float, int),
    BOOL: bool,
    COMPLEX: (complex, float, int),
    NUMBER: (complex, float, int),
    STR: str,
    NONE: type(None),
    DEVICE: (torch.device, str),
}


def misfit(type_: Type, value: object, name: str) -> str | None:
    """What is wrong with a value for parameter `name`, for an error; None when it can be passed."""
    found = next(_misfits(type_, value, name), None)
    if found is None:
        return None
    path, culprit = found
    where = "" if path == name else f" ({path})"
    wanted = type_text(type_).partition("(")[0] if isinstance(type_, TensorType) else str(type_)
    return f"{wanted} for {name!r}, not {type(culprit).__qualname__}{where}"


def _misfits(type_: Type, value: Any, path: str) -> Iterator[tuple[str, object]]:
    """Where parts of a value do not fit, with what is there."""
    match type_:
        case TensorType():
            fits = isinstance(value, torch.Tensor)
        case OptionalType(element=element):
            fits = True
            if value is not None:
                yield from _misfits(element, value, path)
        case UnionType(members=members):
            fits = any(next(_misfits(m, value, path), None) is None for m in members)
        case ListType(element=element):
            fits = isinstance(value, list | tuple)
            for k, item in enumerate(value if fits else ()):
                yield from _misfits(element, item, f"{path}[{k}]")
        case SetType(element=element):
            fits = isinstance(value, set | frozenset)
            for item in value if fits else ():
                yield from _misfits(element, item, f"an element of {path}")
        case DictType(key=key, value=held):
            fits = isinstance(value, dict)
            for k, item in value.items() if fits else ():
                yield from _misfits(key, k, f"a key of {path}")
                yield from _misfits(held, item, f"{path}[{k!r}]")
        case TupleType(elements=elements):
            fits = isinstance(value, list | tuple) and len(value) == len(elements)
            for k, element in enumerate(elements if fits else ()):
                yield from _misfits(element, value[k], f"{path}[{k}]")
        case ObjectType(cls=cls):
            is_open = not isinstance(cls, type) or hasattr(cls, "__torch_script_interface__")
            fits = is_open or isinstance(value, cls)
        case _:
            fits = isinstance(value, _CLASSES.get(type_, object))
    if not fits:
        yield path, value
