"""Dicts of a module that compiled code depends on, submodules and hooks, which tell when they
change.

Compiled code holds submodules and hooks themselves. The modules whose methods were compiled
through a module are its *dependents*; a change of structure drops their compiled methods, and the
next call compiles anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

import torch

from jit.script.state import COMPILED_HOOKS, DEPENDENTS, WATCHED

R = TypeVar("R")


def _telling(change: Callable[..., R]) -> Callable[..., R]:
    """A method of `dict` that changes it, and says so."""

    def changed(self: Watched, *args: Any, **kwargs: Any) -> R:
        try:
            return change(self, *args, **kwargs)
        finally:
            invalidate(self.dependents)

    return changed


class Watched(OrderedDict[Any, Any]):
    """A dict that drops compiled methods of its `dependents` when it changes."""

    def __init__(self, items: Any = (), dependents: WeakSet[torch.nn.Module] | None = None) -> None:
        self.dependents: WeakSet[torch.nn.Module] = WeakSet() if dependents is None else dependents
        super().__init__(items)

    __setitem__ = _telling(OrderedDict.__setitem__)
    __delitem__ = _telling(OrderedDict.__delitem__)
    clear = _telling(OrderedDict.clear)
    pop = _telling(OrderedDict.pop)
    popitem = _telling(OrderedDict.popitem)
    move_to_end = _telling(OrderedDict.move_to_end)

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (list(self.items()),)


def watch(module: torch.nn.Module) -> None:
    """Let a module tell its dependents about changes of structure. The hooks that it has now are
    compiled, later ones run in Python.
    """
    own = vars(module)
    hooks = (*own["_forward_hooks"], *own["_forward_pre_hooks"])
    own.setdefault(COMPILED_HOOKS, frozenset(hooks))
    dependents: WeakSet[torch.nn.Module] = WeakSet()
    own[DEPENDENTS] = dependents
    for name in WATCHED:
        own[name] = Watched(own[name], dependents)


def depend(dependent: torch.nn.Module) -> None:
    """Note that methods of `dependent` were compiled through every module below it."""
    for module in dependent.modules():
        found = vars(module).get(DEPENDENTS)
        if found is not None:
            found.add(dependent)


def invalidate(dependents: WeakSet[torch.nn.Module]) -> None:
    """Drop compiled methods."""
    for module in list(dependents):
        drop = getattr(module, "_drop_compiled", None)
        if drop is not None:
            drop()
    dependents.clear()
