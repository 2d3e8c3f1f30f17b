"""NumPy arrays in, NumPy arrays out: arrays become tensors over the same memory for a call, and
results arrays again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch


def has_arrays(values: Iterable[Any]) -> bool:
    """Whether any value is an array, or a list or tuple that holds one."""
    return any(
        isinstance(v, np.ndarray) or (type(v) in (list, tuple) and has_arrays(v)) for v in values
    )


def call_with_arrays(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function of tensors with arrays."""
    result = function(*map(_to_tensor, args), **{k: _to_tensor(v) for k, v in kwargs.items()})
    return _to_array(result)


def _to_tensor(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        is_usable = (
            value.flags.writeable and value.dtype.isnative and min(value.strides, default=0) >= 0
        )
        return torch.from_numpy(
            value if is_usable else value.astype(value.dtype.newbyteorder("="), order="C")
        )
    if type(value) in (list, tuple):
        return type(value)(map(_to_tensor, value))
    return value


def _to_array(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if type(value) in (list, tuple):
        return type(value)(map(_to_array, value))
    return value
