"""The state of a traced module: where it keeps tensors, and what a run changes.

A tensor of the module is read by name when the graph runs, so that `to()`, `load_state_dict` and
assignments are seen:

    %w : Tensor = prim::GetAttr[name="weight"](%linear)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ir import record

Module = torch.nn.Module


@record
class Attribute:
    """An attribute of one module, and what it held."""

    owner: Module
    name: str
    value: Any

    @property
    def now(self) -> Any:
        """What it holds now, None when it is gone."""
        return getattr(self.owner, self.name, None)


def module_of(fn: Callable[..., Any]) -> Module | None:
    """The module that a traced callable is, or is a method of."""
    owner = fn if isinstance(fn, Module) else getattr(fn, "__self__", None)
    return owner if isinstance(owner, Module) else None


class ModuleState:
    """The attributes of a module and its submodules, as they are now."""

    def __init__(self, root: Module | None) -> None:
        modules = root.modules() if root is not None else ()
        self._attributes = [a for module in modules for a in _attributes(module)]
        tensors = [a for a in self._attributes if isinstance(a.value, torch.Tensor)]
        self._places = {id(a.value): a for a in reversed(tensors)}

    def place_of(self, tensor: torch.Tensor) -> Attribute | None:
        """The first attribute that holds a tensor."""
        return self._places.get(id(tensor))

    def replaced(self) -> Iterator[Attribute]:
        """The attributes that hold something else by now, with what they held."""
        for attribute in self._attributes:
            now = attribute.now
            if now is not attribute.value and not _equal(now, attribute.value):
                yield attribute

    def restore(self) -> None:
        """Let attributes that were replaced hold again what they held."""
        for attribute in self.replaced():
            setattr(attribute.owner, attribute.name, attribute.value)


def _equal(a: Any, b: Any) -> bool:
    """Whether plain data did not change."""
    plain = int | float | str | torch.Size | torch.dtype | torch.device
    return type(a) is type(b) and isinstance(a, plain) and bool(a == b)


_OWN = frozenset(vars(Module()))


def _attributes(module: Module) -> Iterator[Attribute]:
    """Parameters, buffers, and attributes of the user's."""
    for held in (module._parameters, module._buffers):
        for name, value in held.items():
            yield Attribute(module, name, value)
    for name, value in vars(module).items():
        if name not in _OWN and not name.startswith("_forward"):
            yield Attribute(module, name, value)
