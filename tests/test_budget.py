"""Sizes are guides (files of about 200 lines, functions of about 10): gross excess fails here.

Line width and annotations are the linter's business.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.imports import LAYERS, ROOT

FILE_LINES = 900
FUNCTION_LINES = 120


def complaints(path: str, source: str) -> Iterator[str]:
    """What is grossly too long in one source text."""
    length = len(source.splitlines())
    if length > FILE_LINES:
        yield f"{path}: {length} lines, more than {FILE_LINES}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name}: {length} lines, over {FUNCTION_LINES}"


def test_budget() -> None:
    paths = [path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")]
    found = [c for p in paths for c in complaints(str(p.relative_to(ROOT)), p.read_text())]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    ["\n" * (FILE_LINES + 1), "class C:\n  async def f(self):\n" + "    pass\n" * FUNCTION_LINES],
)
def test_excess_is_noticed(source: str) -> None:
    assert list(complaints("x.py", source))
