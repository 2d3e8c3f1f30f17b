"""Python source of a function object: its text, its ast with the file's own positions, and spans.

The text is parsed where it stands: an indented `def` is put below `if 1:` instead of being
dedented, and below as many empty lines as the file has above it, so that positions and multi-line
strings are the file's own. Decorators are not part of the function.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from types import CodeType, FunctionType
from typing import Any

import torch

from ir import Span, UnsupportedError, record
from jit.script.names import local_names

FunctionNode = ast.FunctionDef | ast.Lambda
_TORCH = os.path.dirname(torch.__file__)
_ATTEMPTS = 8  # to find the end of a definition by parsing


@record
class FunctionSource:
    """The definition of one function: `node` carries line numbers and columns of `file`. A nested
    function, which is compiled where it is called, has no `code`.
    """

    node: FunctionNode
    file: str
    code: CodeType | None = None

    @property
    def name(self) -> str:
        """The function's name, `<lambda>` for a lambda."""
        return self.node.name if isinstance(self.node, ast.FunctionDef) else "<lambda>"

    @property
    def is_library(self) -> bool:
        """Whether the function is torch's own."""
        return self.file.startswith(_TORCH)

    def is_local(self, name: str) -> bool:
        """Whether a name is a variable of the function. Its code knows of most that they are none;
        of others, from Python 3.12 on, they may be a comprehension's.
        """
        code = self.code
        if code is not None and name not in code.co_varnames and name not in code.co_cellvars:
            return False
        return name in local_names(self.node)

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
    return _read_code(_Definition(fn.__code__, fn.__globals__))


@record(eq=False)
class _Definition:
    """A code object, equal to itself only: code of another file, or of an edited and reloaded one,
    may compare equal to it. `names` are the globals of its module, whose loader may have the text.
    """

    code: CodeType
    names: dict[str, Any]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Definition) and self.code is other.code

    def __hash__(self) -> int:
        return id(self.code)


@lru_cache(maxsize=512)
def _read_code(definition: _Definition) -> FunctionSource:
    code = definition.code
    lines = _file_lines(definition)
    if code.co_name == "<lambda>":
        return FunctionSource(_find_lambda(code, "".join(lines)), code.co_filename, code)
    tree = _parse_definition(lines, code.co_firstlineno, _last_line(code))
    node = next(_definitions(tree, code), None)
    if node is None:
        raise UnsupportedError(_no_source(code))
    return FunctionSource(node, code.co_filename, code)


def _file_lines(definition: _Definition) -> list[str]:
    """All lines of the file that code is from."""
    name = definition.code.co_filename
    linecache.checkcache(name)
    try:
        return linecache.getlines(name, definition.names) or inspect.findsource(definition.code)[0]
    except (OSError, TypeError) as error:
        raise UnsupportedError(_no_source(definition.code)) from error


def _last_line(code: CodeType) -> int:
    """The last line that has instructions: the definition's last one, or one further up."""
    return max(line for *_, line in code.co_lines() if line is not None)


def has_text(fn: FunctionType, pattern: str) -> bool:
    """Whether a pattern occurs in the text of a function, which is not parsed for that."""
    code = fn.__code__
    lines = _file_lines(_Definition(code, fn.__globals__))
    text = "".join(lines[code.co_firstlineno - 1 : _last_line(code)])
    return re.search(pattern, text, re.MULTILINE) is not None


def _no_source(code: CodeType) -> str:
    return (
        f"the source of {code.co_name!r} ({code.co_filename}) cannot be read; scripting compiles "
        "source text: put the function in a file, or trace it"
    )


def _parse_definition(lines: list[str], first: int, last: int) -> ast.Module:
    """Parse the definition on the lines from number `first` on, which has instructions up to line
    `last`; an empty module where the text is not what it was when the code was compiled.

    It ends before a line that is indented no deeper. Such lines also stand in its strings and
    brackets, but what ends there does not parse; where there are many, the tokenizer finds the end.
    """
    text = lines[first - 1 :]
    for end in islice(_ends(text, last - first + 1), _ATTEMPTS):
        with suppress(SyntaxError):
            return _parse("".join(text[:end]), first)
    with suppress(SyntaxError):
        return _parse("".join(inspect.getblock(text)), first)
    return ast.Module([], [])


def _ends(lines: list[str], least: int) -> Iterator[int]:
    """Where the statement on the first line may end, that has `least` lines or more: before lines
    that are no deeper.
    """
    margin = _indentation(lines[0]) if lines else 0
    for number, line in enumerate(lines[least:], least):
        if _indentation(line) <= margin and not line.isspace() and line.lstrip()[0] != "#":
            yield number
    yield len(lines)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _parse(text: str, first: int) -> ast.Module:
    """Parse text that starts at line `first` of its file, indented or not, at that place."""
    above, indented = "\n" * (first - 1), text[:1].isspace()
    text = f"{above[1:]}if 1:\n{text}" if indented else above + text
    try:
        return ast.parse(text, type_comments=True)
    except SyntaxError:  # comments that look like type comments but are none
        return ast.parse(text)


def _definitions(tree: ast.Module, code: CodeType) -> Iterator[ast.FunctionDef]:
    name = code.co_name
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == name:
            raise UnsupportedError(
                f"async function {name!r} cannot be compiled; make it a plain function",
                span_of(node, code.co_filename),
            )
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield node


@lru_cache(maxsize=8)
def _parse_file(text: str) -> ast.Module:
    return ast.parse(text)


def _find_lambda(code: CodeType, text: str) -> ast.Lambda:
    """The lambda expression of a file that a code object was compiled from: same line, and where
    a line has several, the innermost that has all of the code.
    """
    tree = _parse_file(text)
    nodes = [
        n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno == code.co_firstlineno
    ]
    if len(nodes) > 1:
        nodes = [n for n in nodes if _starts_at(code, n)] or nodes
    if not nodes:
        raise UnsupportedError(_no_source(code))
    return max(nodes, key=lambda n: (n.body.lineno, n.body.col_offset))


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
