"""Python source of a function object: its text, its ast with the file's own positions, and spans.

The text is parsed where it stands: an indented `def` is put below `if 1:` instead of being
dedented, so columns and multi-line strings are the file's own, and line numbers are shifted
back. Decorators are not part of the function.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType

import torch

from ir import Span, UnsupportedError

FunctionNode = ast.FunctionDef | ast.Lambda
_TORCH = os.path.dirname(torch.__file__)


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """The definition of one function: `node` carries line numbers and columns of `file`."""

    node: FunctionNode
    file: str

    @property
    def name(self) -> str:
        """The function's name, `<lambda>` for a lambda."""
        return self.node.name if isinstance(self.node, ast.FunctionDef) else "<lambda>"

    @property
    def is_library(self) -> bool:
        """Whether the function is torch's own."""
        return self.file.startswith(_TORCH)

    @property
    def body(self) -> list[ast.stmt]:
        """Statements; a lambda's expression becomes a return."""
        if isinstance(self.node, ast.Lambda):
            value = self.node.body
            return [ast.copy_location(ast.Return(value), value)]
        return self.node.body

    def span(self, node: ast.AST) -> Span:
        """Where `node` stands in the file; columns are characters."""
        return span_of(node, self.file)


@lru_cache(maxsize=4096)
def span_of(node: ast.AST, file: str) -> Span:
    """The span of an ast node that carries positions of `file`; a node of several lines ends with
    its first.
    """
    line: int = getattr(node, "lineno", 1)
    text = linecache.getline(file, line).rstrip("\n")
    col = _characters(text, getattr(node, "col_offset", 0))
    end_line, end = getattr(node, "end_lineno", line), getattr(node, "end_col_offset", 0)
    return Span(file, line, col, _characters(text, end) if end_line == line else len(text))


def _characters(text: str, byte_offset: int) -> int:
    """Python's ast counts columns in bytes of UTF-8."""
    if text.isascii():
        return byte_offset
    return len(text.encode()[:byte_offset].decode(errors="ignore"))


def read_function(fn: FunctionType) -> FunctionSource:
    """The source of a Python function or lambda; UnsupportedError when there is none to read."""
    return _read_code(fn.__code__)


@lru_cache(maxsize=512)
def _read_code(code: CodeType) -> FunctionSource:
    try:
        lines, first = inspect.getsourcelines(code)
    except (OSError, TypeError) as error:
        raise UnsupportedError(_no_source(code)) from error
    if code.co_name == "<lambda>":
        return FunctionSource(_find_lambda(code), code.co_filename)
    node = next(_definitions(_parse("".join(lines), max(first, 1)), code.co_name), None)
    if node is None:
        raise UnsupportedError(_no_source(code))
    return FunctionSource(node, code.co_filename)


def _no_source(code: CodeType) -> str:
    return (
        f"the source of {code.co_name!r} ({code.co_filename}) cannot be read; scripting compiles "
        "source text: put the function in a file, or trace it"
    )


def _parse(text: str, first_line: int) -> ast.Module:
    """Parse text that starts at `first_line` of its file, indented or not."""
    if text[:1].isspace():
        text, first_line = "if 1:\n" + text, first_line - 1
    try:
        tree = ast.parse(text, type_comments=True)
    except SyntaxError:  # comments that look like type comments but are none
        tree = ast.parse(text)
    return ast.increment_lineno(tree, first_line - 1)


def _definitions(tree: ast.Module, name: str) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == name:
            raise UnsupportedError(
                f"async function {name!r} cannot be compiled; make it a plain function"
            )
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield node


def _find_lambda(code: CodeType) -> ast.Lambda:
    """The lambda expression that a code object was compiled from: same line, and same code when a
    line has several.
    """
    tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    nodes = [
        n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno == code.co_firstlineno
    ]
    if len(nodes) > 1:
        nodes = [n for n in nodes if _starts_at(code, n)] or nodes
    if not nodes:
        raise UnsupportedError(_no_source(code))
    return nodes[0]


def _starts_at(code: CodeType, node: ast.Lambda) -> bool:
    """Whether the code's instructions lie inside the lambda's body."""
    body = node.body
    spots = [
        p for p in code.co_positions() if p[2] is not None and p[0] is not None and p[1] is not None
    ]
    inside = [
        (body.lineno, body.col_offset) <= (line, col)
        for line, _, col, _ in spots
        if (line, col) != (line, 0)
    ]
    ends = [
        (line, col) <= (body.end_lineno, body.end_col_offset) for _, line, _, col in spots if col
    ]
    return all(inside) and all(ends)
