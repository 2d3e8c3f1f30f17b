"""NumPy arrays in, NumPy arrays out: arrays become tensors over the same memory for a call, and
results arrays again. NumPy's numbers become Python's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

import numpy as np
import torch

_MAKERS = frozenset(("as_tensor", "asarray", "from_numpy", "tensor"))


def has_numpy(values: Iterable[Any]) -> bool:
    """Whether any value is NumPy's, or a list or tuple that holds one."""
    return _holds(values, (np.ndarray, np.generic))


def as_torch(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A call's arguments with tensors for arrays and Python's numbers for NumPy's."""
    return tuple(map(_to_torch, args)), {k: _to_torch(v) for k, v in kwargs.items()}


def as_given(result: Any, given: Iterable[Any]) -> Any:
    """A result as arrays when arrays were given."""
    return _to_array(result) if _holds(given, (np.ndarray,)) else result


def makes_tensors(function: Callable[..., Any] | None) -> bool:
    """Whether a function makes tensors of arrays itself: then its results are tensors."""
    names = function.__code__.co_names if isinstance(function, FunctionType) else ()
    return not _MAKERS.isdisjoint(names)


def names_numpy(function: Callable[..., Any] | None) -> bool:
    """Whether a function's body names NumPy or one of its functions, which mean torch's there: run
    as it is on tensors, it would do something else.
    """
    if not isinstance(function, FunctionType):
        return False
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    return any(v is np or isinstance(v, np.ufunc) for v in (*named, *_filled(function)))


def _filled(function: FunctionType) -> Iterator[Any]:
    """What the closure holds so far."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a name that is bound later
            yield cell.cell_contents


def _holds(values: Iterable[Any], classes: tuple[type, ...]) -> bool:
    return any(
        isinstance(v, classes) or (type(v) in (list, tuple) and _holds(v, classes)) for v in values
    )


def _to_torch(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        is_usable = value.flags.writeable and min(value.strides, default=0) >= 0
        is_usable = is_usable and value.dtype.isnative
        native = value.dtype.newbyteorder("=")
        return torch.from_numpy(value if is_usable else value.astype(native, order="C"))
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_to_torch, value))
    return value


def _to_array(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()[()]  # without dims a number, as NumPy's functions give it
    if type(value) in (list, tuple):
        return type(value)(map(_to_array, value))
    return value
