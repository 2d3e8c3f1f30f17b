"""What code compiled through a module depends on besides the attributes that it reads: the module's
hooks, the items of a container, and that no forward of its own hides that of its class.

Script modules watch these themselves (`jit.modules.watched`).
"""

from __future__ import annotations

from typing import Any

import torch

from jit.script.frame import Frame
from jit.script.resolve import MISSING, Capture, Lookup, snapshot
from jit.script.state import is_watched

Module = torch.nn.Module
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
ITEMS = "_modules"
_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)
_EVERYWHERE = ("_global_forward_pre_hooks", "_global_forward_hooks")


def depend_on(frame: Frame, obj: Any, name: str) -> None:
    """Note what other code would be compiled for, where an object is a module."""
    if not isinstance(obj, Module) or is_watched(obj, ITEMS):
        return
    own = vars(obj)
    for key in (*HOOKS, ITEMS) if isinstance(obj, _CONTAINERS) else HOOKS:
        if key in own:
            _record(frame, f"{name}.{key}", obj, key, own[key])
    if "forward" not in own:
        place, absent = (id(obj), "['forward']"), Lookup(obj, "forward")
        capture = Capture(f"{name}.forward", absent, "found", MISSING)
        frame.resolver.captures.setdefault(place, capture)


def depend_on_parts(frame: Frame, module: Module, name: str) -> None:
    """Note which modules are below a module."""
    for part in module.modules():
        if not is_watched(part, ITEMS):
            _record(frame, f"{name}.{ITEMS}", part, ITEMS, part._modules)


def hooks_of(frame: Frame, module: Module) -> tuple[dict[int, Any], dict[int, Any]]:
    """The hooks of a call, before and after: those of all modules, then its own."""
    before, after = dict(module._forward_pre_hooks), dict(module._forward_hooks)
    if is_watched(module, ITEMS):
        return before, after
    everywhere = vars(torch.nn.modules.module)
    for key in _EVERYWHERE:
        _record(frame, key, everywhere, key, everywhere[key])
    first, last = (everywhere[key] for key in _EVERYWHERE)
    return {**first, **before}, {**last, **after}


def _record(frame: Frame, name: str, holder: Any, key: str, value: Any) -> None:
    """Note a dependence by content, however large."""
    capture = Capture(name, holder, key, snapshot(value))
    frame.resolver.captures.setdefault((id(holder), key), capture)
