"""Subscripts of tensors as single operators.

Torch's C++ code for `x[...]` looks at sizes and values of the example: a slice over the whole
length is dropped, an integer tensor becomes an int, an assigned value is expanded to sizes. Here
every part becomes its own operator instead.
"""

from __future__ import annotations

from typing import Any

import torch

_aten: Any = torch.ops.aten


def read_item(tensor: torch.Tensor, index: Any) -> torch.Tensor:
    """`tensor[index]`."""
    view, picks = _view(tensor, index)
    result: torch.Tensor = _aten.index.Tensor(view, picks) if picks else view
    return result if result is not tensor else _aten.alias.default(tensor)


def write_item(tensor: torch.Tensor, index: Any, value: Any) -> None:
    """`tensor[index] = value`."""
    view, picks = _view(tensor, index)
    if isinstance(value, torch.Tensor):
        while value.dim() > max(view.dim(), 1) and not picks:
            value = _aten.squeeze.dim(value, 0)
    elif not picks:
        _aten.fill_.Scalar(view, value)
        return
    else:
        value = _aten.full.default([], value, dtype=tensor.dtype, device=tensor.device)
    if picks:
        _aten.index_put_.default(view, picks, value)
    else:
        _aten.copy_.default(view, value)


def _view(tensor: torch.Tensor, index: Any) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """The view that ints, slices, None and `...` select, and the tensors that index its dims."""
    parts = list(index) if isinstance(index, tuple) else [index]
    view, dim = tensor, 0
    picks: dict[int, torch.Tensor] = {}
    for position, part in enumerate(parts):
        match part:
            case None:
                view, dim = _aten.unsqueeze.default(view, dim), dim + 1
            case slice():
                view, dim = _slice(view, dim, part), dim + 1
            case bool():
                view = _aten.unsqueeze.default(view, dim)
                picks[dim], dim = torch.tensor([part]), dim + 1
            case int() | torch.SymInt():
                view = _aten.select.int(view, dim, part)
            case _ if part is Ellipsis:
                dim = view.dim() - sum(map(_width, parts[position + 1 :]))
            case _:
                pick = part if isinstance(part, torch.Tensor) else torch.as_tensor(part)
                picks[dim], dim = pick, dim + _width(pick)
    return view, [picks.get(d) for d in range(max(picks) + 1)] if picks else []


def _slice(view: torch.Tensor, dim: int, part: slice) -> torch.Tensor:
    step = 1 if part.step is None else part.step
    if step <= 0:
        raise ValueError("step must be greater than zero")
    piece: torch.Tensor = _aten.slice.Tensor(view, dim, part.start, part.stop, step)
    return piece


def _width(part: Any) -> int:
    """How many dims of the tensor a part takes."""
    if part is None or isinstance(part, bool):
        return 0
    if isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8):
        return part.dim()
    return 1
