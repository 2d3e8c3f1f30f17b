"""What calls looked like: arguments of one kind, and which of their sizes varied.

Arguments are of one *kind* when plans for one serve the other but for sizes: passed in the same
shape, of the same types, dtypes, ranks, order of strides, constants, and with the same sizes 0 and
1. The remaining numbers (sizes, strides of non-contiguous tensors, ints that act as sizes) are the
*measures* of a call. A measure that never changed becomes a constant of the plan, one that did a
symbol; measures that always changed together share a symbol.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch

from ir import Dim, Facts, field, record
from jit.given import Role

Kind = tuple[object, ...]
Measured = tuple[int, ...]


_CONSTANTS = (str, bytes, complex, range, enum.Enum, type, FunctionType, BuiltinFunctionType,
              torch.Size, torch.dtype, torch.device, torch.layout, torch.memory_format)  # fmt: skip


def is_constant(value: object) -> bool:
    """Whether a plan is made for exactly this argument: neither a number, nor a container, nor an
    object with a state.
    """
    return isinstance(value, _CONSTANTS)


@record(frozen=False)
class _Measures:
    """Reads the kind and the measures of one call's arguments, in a fixed order."""

    values: list[int] = field(default_factory=list)

    def kind_of(self, value: Any, role: Role) -> Kind:
        """The kind of one argument; its measures are appended to `values`."""
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, bool) or value is None:
            return ("constant", value)
        if type(value) is int:
            return ("size", self._measure(value)) if role is Role.SIZE else ("int",)
        if type(value) is float:
            return ("float",)
        if role.takes(value):
            return ("list", role)
        if type(value) in (list, tuple):
            return (type(value), *(self.kind_of(v, role) for v in value))
        if type(value) is dict:
            return (dict, tuple(value), *(self.kind_of(v, role) for v in value.values()))
        return ("constant", type(value), value) if is_constant(value) else ("opaque", type(value))

    def _tensor(self, value: torch.Tensor) -> Kind:
        sizes = tuple(self._measure(size) for size in value.shape)
        if value.is_contiguous():
            return ("tensor", value.dtype, sizes)
        order = tuple(sorted(range(value.dim()), key=lambda k: (value.stride(k), k)))
        return (
            "tensor",
            value.dtype,
            sizes,
            order,
            tuple(self._measure(s) for s in value.stride()),
        )

    def _measure(self, value: int) -> int | None:
        """Append what may vary; 0, 1 and negative numbers are part of the kind."""
        if value < 2:
            return value
        self.values.append(value)
        return None


def observe(values: Sequence[Any], roles: Sequence[Role]) -> tuple[Kind, Measured]:
    """The kind of a call's values, which have these roles, and their measures."""
    measures = _Measures()
    kind = tuple(map(measures.kind_of, values, roles))
    return kind, tuple(measures.values)


@record(frozen=False)
class History:
    """What is known of the measures of all calls of one kind."""

    first: Measured
    varies: list[bool] = field(init=False)
    groups: list[int] = field(init=False)
    """Measures that were equal at every call have the same number."""
    compilations: int = 0
    missed: int = 0
    """Calls that came back from plans made for them."""
    covered: list[Measured] = field(default_factory=list)
    """The measures that the present plans were made for."""

    def __post_init__(self) -> None:
        self.varies = [False] * len(self.first)
        self.groups = _numbered(self.first)

    def add(self, measures: Measured) -> bool:
        """Learn from a call: whether it refines what is known of all calls."""
        varies = [v or a != b for v, a, b in zip(self.varies, self.first, measures, strict=True)]
        groups = _numbered(zip(self.groups, measures, strict=True))
        is_refined = varies != self.varies or groups != self.groups
        self.varies, self.groups = varies, groups
        return is_refined

    def cover(self, measures: Measured, is_refined: bool) -> None:
        """Note a compilation for these measures, which took the place of others if it refines."""
        self.compilations += 1
        if is_refined:
            self.covered.clear()
        self.covered.append(measures)

    def dims(self, measures: Measured, facts: Facts) -> list[Dim]:
        """A size for each measure of a call: constant where it never varied, else a symbol."""
        symbols: dict[int, Dim] = {}
        dims: list[Dim] = []
        for value, varies, group in zip(measures, self.varies, self.groups, strict=True):
            if varies and group not in symbols:
                symbols[group] = facts.symbol(value)
            dims.append(symbols[group] if varies else value)
        return dims


def _numbered(keys: Iterable[object]) -> list[int]:
    """Equal keys get equal numbers, in order of first occurrence."""
    numbers: dict[object, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]
