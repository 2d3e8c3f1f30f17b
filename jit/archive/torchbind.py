"""Objects of torch's C++ registry of classes, such as the packed weights of quantized layers.

Their state is handed to torch's own `__setstate__` of the class, through the one door that torch
has for it: a minimal archive that holds nothing but the object. Only classes of the list below are
made.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import torch

from ir import CompileError

_PREFIX = "__torch__.torch.classes."
_ALLOWED = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        "quantized.LinearPackedParamsBase",
        "quantized.Conv2dPackedParamsBase",
        "quantized.Conv3dPackedParamsBase",
        "quantized.EmbeddingPackedParamsBase",
        "rnn.CellParamsBase",
    )
)
_CODE = """class Holder(Module):
  __parameters__ = []
  __buffers__ = []
  held : {name}
  def get(self: __torch__.Holder) -> {name}:
    return self.held
"""


def make_bound_object(name: str, state: Any) -> Any:
    """An object of a registered class with a state; CompileError for a class that is not known."""
    if name not in _ALLOWED:
        raise CompileError(f"objects of {name} are not supported")
    raise CompileError(f"objects of {name} are not supported yet")


__all__ = ["io", "make_bound_object", "torch", "zipfile"]
