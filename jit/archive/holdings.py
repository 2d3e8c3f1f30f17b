"""The tree of modules that an archive holds: submodules, and the modules in plain lists, tuples and
dicts of a module, as if it had put them into a `ModuleList` or `ModuleDict`.

    self.blocks = [Block(), Block()]        blocks : __torch__.torch.nn...container.ModuleList
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from jit.script.state import INTERNAL

Module = torch.nn.Module
MACHINERY = frozenset(vars(Module())) | INTERNAL
"""Attributes that every module has."""


class Holdings:
    """A container is made for an attribute that holds a module which nothing else has held: others
    add nothing, and may lead back up.
    """

    def __init__(self, root: Module) -> None:
        self._children: dict[int, dict[str, Module | None]] = {}
        self._met = set(map(id, root.modules()))
        self.modules = self.below(root)

    def children(self, module: Module) -> Mapping[str, Module | None]:
        """What a module holds, by name."""
        found = self._children.get(id(module))
        if found is None:
            found = self._children[id(module)] = dict(module._modules)
            for name, container in _contained(module):
                inner = set(map(id, container.modules())) - {id(container)}
                if not inner <= self._met:
                    found[name] = container
                    self._met |= inner
        return found

    def below(self, module: Module) -> list[Module]:
        """A module and all below it, each once."""
        found: dict[int, Module] = {}
        pending = [module]
        while pending:
            module = pending.pop()
            if found.setdefault(id(module), module) is module:
                pending += [c for c in self.children(module).values() if c is not None]
        return list(found.values())

    def identities(self, module: Module) -> set[int]:
        """Of modules and tensors from a module down."""
        modules = self.below(module)
        return {id(held) for m in modules for held in (m, *own_tensors(m).values())}

    def path(self, module: Module, wanted: Module) -> list[str] | None:
        """The names that lead from a module down to another one; None where it is not below."""
        pending: list[tuple[Module, list[str]]] = [(module, [])]
        met: set[int] = set()
        while pending:
            module, names = pending.pop()
            if module is wanted:
                return names
            if id(module) not in met:
                met.add(id(module))
                held = list(self.children(module).items())
                pending += [(c, [*names, name]) for name, c in reversed(held) if c is not None]
        return None

    def attribute(self, owner: Any, name: str) -> Any:
        """An attribute of an object of the archive."""
        held = self._children.get(id(owner), {})
        return held[name] if name in held else getattr(owner, name)


def own_tensors(module: Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a module itself."""
    held = {**module._parameters, **module._buffers}
    return {name: tensor for name, tensor in held.items() if tensor is not None}


def _contained(module: Module) -> Iterator[tuple[str, Module]]:
    """The containers that attributes of a module stand for."""
    for name, value in vars(module).items():
        if name in MACHINERY:
            continue
        if isinstance(value, list | tuple) and _are_modules(value):
            yield name, torch.nn.ModuleList(value)
        elif isinstance(value, dict) and _are_modules(value.values()):
            yield name, torch.nn.ModuleDict({str(key): item for key, item in value.items()})


def _are_modules(items: Any) -> bool:
    return bool(items) and all(isinstance(item, Module) for item in items)
