"""Which calls plans may serve at all: the checks behind the native guards, asked in Python when a
call has missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

import torch

from codegen import has_no_modes, is_plain

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor, of any class."""
    return isinstance(value, torch.Tensor)


def is_module(value: object) -> TypeGuard[torch.nn.Module]:
    """Whether a value is a module."""
    return isinstance(value, torch.nn.Module)


def bailout_reason(values: Iterable[Any]) -> str | None:
    """The row of the reason table that keeps a call out of the native tier; None when a plan may
    serve it.
    """
    if not has_no_modes():
        return "dispatch mode"
    for value in values:
        reason = _reason(value)
        if reason is not None:
            return reason
    return None


def _reason(value: Any) -> str | None:
    if isinstance(value, torch.Tensor):
        return _tensor_reason(value)
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_reason, value)), None)
    if isinstance(value, dict):
        return next(filter(None, map(_reason, value.values())), None)
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return "number out of range"
    return None


def _tensor_reason(tensor: torch.Tensor) -> str | None:
    if type(tensor) not in _PLAIN_TYPES:
        return "tensor subclass"
    if tensor.requires_grad and torch.is_grad_enabled():
        return "needs gradient"
    return None if is_plain(tensor) else "tensor layout"
