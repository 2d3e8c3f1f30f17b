"""`jit.jit(module)`: the module itself, its forward compiled."""

from __future__ import annotations

from typing import Any

import torch

from jit.config import Config
from jit.function import ScriptFunction


def is_module(obj: Any) -> bool:
    """Whether an object is a module."""
    return isinstance(obj, torch.nn.Module)


def swap_forward(module: Any, config: Config, is_strict: bool) -> Any:
    """Let `module(...)` run compiled; the same module. Calls still go through nn.Module's own, so
    hooks, modes and weights are what they are at the time of the call.
    """
    if not isinstance(vars(module).get("forward"), ScriptFunction):
        module.forward = ScriptFunction(module.forward, config=config, is_strict=is_strict)
    return module
