"""Nested inputs and outputs: taken apart into tensors and traced numbers, and put together again.

`flatten` gives the leaves and a `Structure`, which says how they were nested and holds everything
else as constants. Two objects fit the same graph when their structures are equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import SUPPORTED_NODES

from ir import ANY, STR, TENSOR, DictType, ListType, TupleType, Type, erased_type_of, record
from jit.trace.recorder import TracedNumber


@record
class Structure:
    """One level: `kind` is the class of a container, `LEAF` or `CONSTANT`; `keys` name the parts of
    a dict or dataclass; `constant` is what a constant holds, or what torch's pytrees keep of a
    class that is registered there.
    """

    kind: Any
    parts: tuple[Structure, ...] = ()
    keys: tuple[Any, ...] = ()
    constant: Any = None

    @property
    def is_plain(self) -> bool:
        """A leaf, or a tuple of at least two leaves: what a graph returns by itself."""
        return self.kind is LEAF or (
            self.kind is tuple and len(self.parts) > 1 and all(p.kind is LEAF for p in self.parts)
        )

    @property
    def leaf_count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is LEAF else sum(part.leaf_count for part in self.parts)

    @property
    def type(self) -> Type:
        """The type of such an object; ANY where it holds what has none of its own."""
        if self.kind is LEAF:
            return TENSOR
        if self.kind is CONSTANT:
            return erased_type_of(self.constant)
        elements = tuple(part.type for part in self.parts)
        if issubclass(self.kind, tuple):
            cls = self.kind if hasattr(self.kind, "_fields") else None
            return TupleType(elements, cls and cls.__name__, getattr(cls, "_fields", ()), cls)
        if len(set(elements)) == 1:
            if self.kind is list:
                return ListType(elements[0])
            if self.kind is dict and all(isinstance(key, str) for key in self.keys):
                return DictType(STR, elements[0])
        return ANY

    def constants(self) -> Iterator[Any]:
        """Everything that is no tensor."""
        if self.kind is CONSTANT:
            yield self.constant
        for part in self.parts:
            yield from part.constants()

    def __str__(self) -> str:
        if self.kind is LEAF:
            return "tensor"
        if self.kind is CONSTANT:
            return repr(self.constant)
        names = [f"{key}: " for key in self.keys] or [""] * len(self.parts)
        parts = ", ".join(n + str(p) for n, p in zip(names, self.parts, strict=True))
        return f"{self.kind.__name__}({parts})"

    def rebuild(self, leaves: Sequence[Any]) -> Any:
        """The object with these leaves."""
        return self._rebuild(iter(leaves))

    def _rebuild(self, leaves: Iterator[Any]) -> Any:
        if self.kind is LEAF:
            return next(leaves)
        if self.kind is CONSTANT:
            return self.constant
        return self.build([part._rebuild(leaves) for part in self.parts])

    def build(self, parts: Sequence[Any]) -> Any:
        """The container with these parts."""
        if hasattr(self.kind, "_fields"):
            return self.kind(*parts)
        if issubclass(self.kind, list | tuple):  # torch.Size and torch.return_types, too
            return self.kind(parts)
        if dataclasses.is_dataclass(self.kind) or issubclass(self.kind, dict):
            return _build_named(self.kind, dict(zip(self.keys, parts, strict=True)))
        return SUPPORTED_NODES[self.kind].unflatten_fn(list(parts), self.constant)


LEAF = "leaf"
CONSTANT = "constant"


def _build_named(cls: Any, parts: dict[Any, Any]) -> Any:
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else None
    if fields is None:
        return parts if cls is dict else cls(parts)
    made: Any = cls(**{f.name: parts[f.name] for f in fields if f.init})
    for field in fields:
        if not field.init:
            object.__setattr__(made, field.name, parts[field.name])
    return made


def outline(example: tuple[Sequence[Any], Mapping[str, Any]]) -> list[Any] | None:
    """Example inputs, with tensors that have sizes but no contents; None where they are no plain
    data.
    """
    args, kwargs = example
    leaves, structure = flatten([*args, *kwargs.values()])
    if not all(isinstance(t, torch.Tensor) and t.layout is torch.strided for t in leaves):
        return None
    if not all(c is None or type(c) in (bool, int, float, str) for c in structure.constants()):
        return None
    made = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta") for t in leaves]
    rebuilt: list[Any] = structure.rebuild(made)
    return rebuilt


def flatten(thing: Any) -> tuple[list[Any], Structure]:
    """Tensors and traced numbers in order, and how they are nested."""
    leaves: list[Any] = []
    return leaves, _take_apart(thing, leaves.append)


def _take_apart(thing: Any, keep: Callable[[Any], None]) -> Structure:
    if isinstance(thing, torch.Tensor | TracedNumber):
        keep(thing)
        return Structure(LEAF)
    cls = type(thing)
    if isinstance(thing, list | tuple):
        if isinstance(thing, list):
            cls = list
        return Structure(cls, tuple(_take_apart(v, keep) for v in thing))
    items: Mapping[Any, Any] | None = None
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        items = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}
    elif isinstance(thing, dict):
        items = thing
    elif cls in SUPPORTED_NODES:
        parts, rest = SUPPORTED_NODES[cls].flatten_fn(thing)
        return Structure(cls, tuple(_take_apart(v, keep) for v in parts), constant=rest)
    if items is None:
        return Structure(CONSTANT, constant=thing)
    return Structure(cls, tuple(_take_apart(v, keep) for v in items.values()), tuple(items))


def clone_leaves(thing: Any) -> Any:
    """A copy whose tensors can be written to: the same tensor twice stays one."""
    leaves, structure = flatten(thing)
    copies = {id(t): _clone(t) for t in leaves}
    return structure.rebuild([copies[id(t)] for t in leaves])


def _clone(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
