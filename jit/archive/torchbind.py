"""Objects of torch's C++ registry of classes: the packed weights of quantized layers.

An object is made by packing a weight of one element, and then given its state by the class's own
`__setstate__`, which checks what it is given. Other classes of the registry are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ir import CompileError

PREFIX = "__torch__.torch.classes."


def _weight(rank: int) -> torch.Tensor:
    return torch.quantize_per_tensor(torch.ones([1] * rank), 1.0, 0, torch.qint8)


def _linear() -> Any:
    return torch.ops.quantized.linear_prepack(_weight(2), None)


def _conv2d() -> Any:
    return torch.ops.quantized.conv2d_prepack(_weight(4), None, [1] * 2, [0] * 2, [1] * 2, 1)


def _conv3d() -> Any:
    return torch.ops.quantized.conv3d_prepack(_weight(5), None, [1] * 3, [0] * 3, [1] * 3, 1)


def _embedding() -> Any:
    scale, zero = torch.ones(1), torch.zeros(1)
    weight = torch.quantize_per_channel(torch.ones(1, 1), scale, zero, 0, torch.quint8)
    return torch.ops.quantized.embedding_bag_prepack(weight)


_BLANKS: dict[str, Callable[[], Any]] = {
    "quantized.LinearPackedParamsBase": _linear,
    "quantized.Conv2dPackedParamsBase": _conv2d,
    "quantized.Conv3dPackedParamsBase": _conv3d,
    "quantized.EmbeddingPackedParamsBase": _embedding,
}


def result_of(name: str, method: str) -> str | None:
    """The annotation of what a method of a registered class returns, None when there is no such
    method.
    """
    blank = _BLANKS.get(name.removeprefix(PREFIX))
    made = blank() if blank is not None else None
    if made is None or method not in made._method_names():
        return None
    (result,) = made._get_method(method).schema.returns
    return str(result.type.annotation_str)


def make_bound_object(name: str, state: Any) -> Any:
    """An object of a registered class with a state; CompileError for another class, RuntimeError
    for a state that is none of the class.
    """
    blank = _BLANKS.get(name.removeprefix(PREFIX))
    if blank is None:
        raise CompileError(f"objects of {name} are not supported")
    made = blank()
    made._get_method("__setstate__")(state)
    return made
