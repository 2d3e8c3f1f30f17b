"""Tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# The code is for the compiler:
# mypy: allow-untyped-calls


def width(index: Tensor) -> int:
    """How many dims an index takes."""
    return index.dim() if index.dtype == torch.bool or index.dtype == torch.uint8 else 1


def at_all(x: Tensor, indices: list[Tensor]) -> Tensor:
    """`x[indices]`."""
    found: list[Tensor | None] = []
    for index in indices:
        found.append(index)  # noqa: PERF402  as what may be None
    return torch.ops.aten.index(x, found)  # type: ignore[no-any-return]


def nested_list(x: Tensor) -> Any:
    """`tolist`, whatever the rank and the dtype are."""
    if x.is_complex() or x.dim() > 4:
        raise TypeError("archives make lists of real tensors with up to 4 dims")
    if x.is_floating_point():
        return _floats(x.double())
    if x.dtype == torch.bool:
        return _bools(x)
    return _ints(x.long())


def _floats(x: Tensor) -> Any:
    if x.dim() == 0:
        return float(x)
    if x.dim() == 1:
        one: list[float] = x.tolist()
        return one
    if x.dim() == 2:
        two: list[list[float]] = x.tolist()
        return two
    if x.dim() == 3:
        three: list[list[list[float]]] = x.tolist()
        return three
    four: list[list[list[list[float]]]] = x.tolist()
    return four


def _ints(x: Tensor) -> Any:
    if x.dim() == 0:
        return int(x)
    if x.dim() == 1:
        one: list[int] = x.tolist()
        return one
    if x.dim() == 2:
        two: list[list[int]] = x.tolist()
        return two
    if x.dim() == 3:
        three: list[list[list[int]]] = x.tolist()
        return three
    four: list[list[list[list[int]]]] = x.tolist()
    return four


def _bools(x: Tensor) -> Any:
    if x.dim() == 0:
        return bool(x)
    if x.dim() == 1:
        one: list[bool] = x.tolist()
        return one
    if x.dim() == 2:
        two: list[list[bool]] = x.tolist()
        return two
    if x.dim() == 3:
        three: list[list[list[bool]]] = x.tolist()
        return three
    four: list[list[list[list[bool]]]] = x.tolist()
    return four
