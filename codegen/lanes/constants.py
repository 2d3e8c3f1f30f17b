"""Vector constants that print fast: equal ones are one object, since llvmlite prints a constant
once, and have LLVM's short form where there is one.
"""

from __future__ import annotations

from functools import cache

import llvmlite.ir as ll

_I32 = ll.IntType(32)


class Short(ll.FormattedConstant):  # type: ignore[misc]
    """A vector constant in one of LLVM's short forms."""

    def __init__(self, vector: ll.VectorType, text: str) -> None:
        self.type = vector
        self.constant = text


class Splat(Short):
    """A vector constant with equal elements."""

    def __init__(self, vector: ll.VectorType, element: ll.Constant) -> None:
        super().__init__(vector, f"splat ({element.type} {element.get_reference()})")
        self.element = element


@cache
def zeros(vector: ll.VectorType) -> ll.Constant:
    """A vector of zeros."""
    return Short(vector, "zeroinitializer")


@cache
def places(*positions: int) -> ll.Constant:
    """A mask of `shuffle_vector`."""
    return ll.Constant(ll.VectorType(_I32, len(positions)), list(positions))
