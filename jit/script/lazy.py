"""Operands whose items are computed as they are asked for: generators, zips, views of dicts."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from types import FunctionType

from ir import ANY, DictType, ListType, TupleType, TypeMismatch, UnsupportedError, Value
from jit.script.frame import Frame
from jit.script.pysource import read_function
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


@cache
def consumed_parameters(function: FunctionType) -> frozenset[int | str]:
    """The places and names of the parameters of a function that it reads once: as what a `for`
    outside of other loops goes over.
    """
    try:
        source = read_function(function)
    except UnsupportedError:
        return frozenset()
    spec = source.node.args
    reads = Counter(n.id for n in ast.walk(source.node) if isinstance(n, ast.Name))
    over = {n for statement in source.body for n in _gone_over(statement) if reads[n] == 1}
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    return frozenset((*over, *(i for i, name in enumerate(names) if name in over)))


def _gone_over(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.For(iter=ast.Name(id=name)) | ast.YieldFrom(value=ast.Name(id=name)):
            yield name
        case ast.If() | ast.With() | ast.Expr():
            for child in ast.iter_child_nodes(node):
                yield from _gone_over(child)


def is_endless(operand: GeneratorOf) -> bool:
    """Whether a `while True` has neither break nor return."""
    loops = [n for n in ast.walk(operand.node) if isinstance(n, ast.While)]
    return any(
        isinstance(loop.test, ast.Constant)
        and bool(loop.test.value)
        and not any(isinstance(n, ast.Break | ast.Return | ast.Raise) for n in ast.walk(loop))
        for loop in loops
    )
