"""NumPy arrays in, NumPy arrays out: arrays become tensors over the same memory for a call, and
results arrays again. NumPy's numbers become Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch


def has_numpy(values: Iterable[Any]) -> bool:
    """Whether any value is NumPy's, or a list or tuple that holds one."""
    return _holds(values, (np.ndarray, np.generic))


def call_with_numpy(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function of tensors and numbers with NumPy's."""
    result = function(*map(_to_torch, args), **{k: _to_torch(v) for k, v in kwargs.items()})
    has_arrays = _holds((*args, *kwargs.values()), (np.ndarray,))
    return _to_array(result) if has_arrays else result


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
        return value.detach().numpy()
    if type(value) in (list, tuple):
        return type(value)(map(_to_array, value))
    return value
