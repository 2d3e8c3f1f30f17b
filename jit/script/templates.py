"""Pieces of Python source of our own, compiled in the user's frame: what a builtin stands for."""

from __future__ import annotations

import ast
from functools import cache
from typing import TypeVar

from jit.script.frame import Frame
from jit.script.values import Operand

Tree = TypeVar("Tree", bound=ast.AST)


def comprehend(
    frame: Frame, text: str, source: Operand, function: Operand | None = None
) -> Operand:
    """Evaluate a comprehension of ours over `source`."""
    given = {"$source": source} | ({"$function": function} if function is not None else {})
    frame.scope.update(given)
    try:
        (statement,) = template(text).body
        assert isinstance(statement, ast.Expr)
        return frame.evaluate(statement.value)
    finally:
        for name in given:
            frame.scope.pop(name, None)


def accumulate(
    frame: Frame, step: str, first: Operand, rest: Operand, function: Operand | None = None
) -> Operand:
    """`total = step(total, item)` for every item of `rest`."""
    given = {"$total": first, "$rest": rest} | ({"$function": function} if function else {})
    frame.scope.update(given)
    (statement,) = template(f"for item in rest: total = {step}").body
    frame.execute(statement)
    result = frame.load("$total")
    for name in (*given, "$item"):
        frame.scope.pop(name, None)
    return result


@cache
def template(text: str) -> ast.Module:
    """The ast of a piece of source of ours; its names get a `$` so that they meet no user's."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = f"${node.id}"
    return without_positions(tree)


def without_positions(tree: Tree) -> Tree:
    """Source of ours has no place in the user's file: errors stand at the construct around it."""
    for node in ast.walk(tree):
        for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            if hasattr(node, name):
                delattr(node, name)
    return tree
