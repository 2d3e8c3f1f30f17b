"""Operands of calls in memory: where they are, or copied as the call wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from codegen.buffers import readable
from codegen.lower import lower_copy
from codegen.nest import Buffer, Nest
from codegen.operands import Known
from ir import Dim, Value


class Placing:
    """Finds the operands of one call; `copies` are the nests that must run in front of it."""

    def __init__(self, buffers: dict[Value, Buffer], known: Known) -> None:
        self.buffers, self.known = buffers, known
        self.copies: list[Nest] = []

    def operand(
        self, value: Value, strides: Sequence[Dim], fits: Callable[[Buffer], bool]
    ) -> Buffer:
        """Where a value is, or its copy with the given strides."""
        found = readable(value, self.buffers, self.known)
        if fits(found):
            return found
        copy = Value(value.type, f"{value.name or 'operand'}.copy")
        made = Buffer(copy, found.dtype, found.dims, tuple(strides))
        self.buffers[copy] = made
        self.copies.append(lower_copy(value, made, self.buffers, self.known))
        return made
