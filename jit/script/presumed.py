"""The types of what functions give that call themselves without saying so: found by a first try, in
which they may be anything.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable

from ir import ANY, NONE, Type, Value, is_subtype
from jit.script.frame import Frame


class Presume(Exception):
    """Compile again: the recursive function at `place` gives a `type`."""

    def __init__(self, place: Hashable, type_: Type) -> None:
        super().__init__(str(type_))
        self.place, self.type = place, type_


def presumed_result(inner: Frame) -> Type:
    """The type that calls of a function have while it is compiled."""
    statements = (n for n in ast.walk(inner.source.node) if isinstance(n, ast.Return))
    is_silent = isinstance(inner.source.node, ast.FunctionDef) and all(
        n.value is None for n in statements
    )
    return NONE if is_silent else inner.unit.presumed.get(_place(inner), ANY)


def as_presumed(inner: Frame, value: Value, presumed: Type) -> Value:
    """The result of a function whose calls of itself were compiled for a `presumed` type."""
    place = _place(inner)
    if value.type == presumed:
        return value
    if presumed == ANY and place not in inner.unit.presumed:
        raise Presume(place, value.type)
    if not is_subtype(value.type, presumed):
        raise Presume(place, ANY)
    return inner.cast(value, presumed)


def _place(frame: Frame) -> Hashable:
    node = frame.source.node
    return frame.source.file, node.lineno, node.col_offset
