"""Operands whose items are computed as they are asked for: generators, zips, views of dicts."""

from __future__ import annotations

import ast

from ir import ANY, DictType, ListType, TupleType, TypeMismatch, Value
from jit.script.frame import Frame
from jit.script.templates import comprehend
from jit.script.values import GeneratorOf, Operand, ViewOf


def collect(frame: Frame, operand: Operand) -> Value:
    """The items of a lazy operand as a list."""
    if isinstance(operand, GeneratorOf) and is_endless(operand):
        raise frame.unsupported(
            f"the generator {operand.name!r} has no end: go over it in a `for` that breaks, or "
            "with zip or next"
        )
    return frame.require(comprehend(frame, "[x for x in source]", operand))


def listed(frame: Frame, view: ViewOf) -> Value:
    """What a view of a dict holds now, as a new list."""
    type_ = view.owner.type
    assert isinstance(type_, DictType)
    if not frame.unit.untyped.is_read_open(view.owner):
        try:
            return frame.op(f"aten::{view.name}", view.owner)
        except TypeMismatch:  # no op takes such keys
            pass
    pair = TupleType((type_.key, type_.value))
    items = {"keys": type_.key, "values": type_.value, "items": pair}
    return frame.python(list, [frame.require(view)], ListType(items[view.name]))


def iterator(frame: Frame, operand: Operand) -> Value:
    """An iterator that is kept: Python's over a list of its items."""
    nodes = ast.walk(operand.node) if isinstance(operand, GeneratorOf) else ()
    if isinstance(operand, GeneratorOf) and any(isinstance(n, ast.Nonlocal) for n in nodes):
        raise frame.unsupported(
            f"a kept generator is computed at once, but {operand.name!r} assigns variables of "
            "the function around it (nonlocal): go over it directly"
        )
    return frame.python(iter, [collect(frame, operand)], ANY)


def is_endless(operand: GeneratorOf) -> bool:
    """Whether a `while True` has neither break nor return."""
    loops = [n for n in ast.walk(operand.node) if isinstance(n, ast.While)]
    return any(
        isinstance(loop.test, ast.Constant)
        and bool(loop.test.value)
        and not any(isinstance(n, ast.Break | ast.Return | ast.Raise) for n in ast.walk(loop))
        for loop in loops
    )
