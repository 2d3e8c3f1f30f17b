"""Pieces of Python source of our own, compiled in the user's frame: what a builtin stands for."""

from __future__ import annotations

import ast
from functools import cache

from jit.script.frame import Frame
from jit.script.values import Operand


def comprehend(frame: Frame, text: str, source: Operand) -> Operand:
    """Evaluate a comprehension of ours over an operand; its names get a `$` so that they meet no
    name of the user.
    """
    frame.scope["$source"] = source
    try:
        return frame.evaluate(template(text).body[0].value)  # type: ignore[attr-defined]
    finally:
        frame.scope.pop("$source", None)


@cache
def template(text: str) -> ast.Module:
    """The ast of a piece of source of ours."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = f"${node.id}"
    return tree
