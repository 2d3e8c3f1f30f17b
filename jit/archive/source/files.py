"""Source files of an archive, and where a qualified name is defined.

`__torch__.package.module.Class` is defined in `code/__torch__/package/module.py`. A file is parsed
when one of its names is first asked for.
"""

from __future__ import annotations

import ast
import re
from functools import cached_property, partial

from ir import ParseError, Span, record
from jit.archive.reader import ArchiveReader
from jit.archive.source.origins import SUFFIX, Origins

Definition = ast.ClassDef | ast.FunctionDef
MAX_CODE = 64 << 20
PSEUDO_FILE = "<archive>"  # what the parser is told that it parses, and looks for to quote a line

# Python's keywords that are plain names in TorchScript, which writes them as they are.
_PLAIN = ["async", "await", "except", "finally", "lambda", "nonlocal", "try", "yield"]
_SUFFIX = "__keyword"
_STRING = r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_WORDS = re.compile(rf"{_STRING}|(?P<word>\b(?:{'|'.join(_PLAIN)})\b)")


def spelled(name: str) -> str:
    """A name of the syntax tree as the archive spells it."""
    return name.removesuffix(_SUFFIX)


@record(slots=False)
class SourceFile:
    """One member of code: its name in messages and its text."""

    name: str
    text: str
    origins: Origins | None = None

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.split("\n")

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        """Classes and functions by name."""
        return {
            spelled(node.name): node
            for node in self._tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        }

    @cached_property
    def _tree(self) -> ast.Module:
        if len(self.text) > MAX_CODE:
            raise ParseError(f"{self.name} is too long: {len(self.text)} characters")
        text = self.text
        if any(word in text for word in _PLAIN):
            text = _WORDS.sub(lambda m: m[0] + _SUFFIX if m["word"] else m[0], text)
        try:
            return ast.parse(text, PSEUDO_FILE)
        except SyntaxError as error:
            line, col = error.lineno or 1, max((error.offset or 1) - 1, 0)
            raise ParseError(f"this is not valid code: {error.msg}", self._at(line, col)) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ParseError(f"{self.name} cannot be parsed: {error}") from None

    def _at(self, line: int, col: int, end: int | None = None) -> Span:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return Span(self.name, line, col, col + 1 if end is None else end, text, self.origins)

    def span(self, node: ast.AST) -> Span:
        """Where a node stands."""
        line: int = getattr(node, "lineno", 1)
        col: int = getattr(node, "col_offset", 0)
        last, end = getattr(node, "end_lineno", line), getattr(node, "end_col_offset", col + 1)
        width = len(self.lines[line - 1]) if line <= len(self.lines) else col
        return self._at(line, col, end if last == line else width)


class SourceFiles:
    """All code of an archive."""

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._files: dict[str, SourceFile | None] = {}

    @property
    def name(self) -> str:
        """The archive's name in messages."""
        return self._reader.name

    def paths(self) -> list[str]:
        """The members that hold code."""
        return [n for n in self._reader.names("code/") if n.endswith(".py")]

    def file(self, path: str) -> SourceFile | None:
        """One file by its member's name, None when there is none."""
        if path not in self._files:
            found = None
            if path in self._reader:
                text = self._text(path)
                origins = Origins(text, partial(self._debug, path + SUFFIX))
                found = SourceFile(f"{self._reader.name}:{path}", text, origins)
            self._files[path] = found
        return self._files[path]

    def _debug(self, member: str) -> bytes | None:
        return self._reader.read(member) if member in self._reader else None

    def _text(self, path: str) -> str:
        try:
            return self._reader.read(path).decode()
        except UnicodeDecodeError as error:
            raise self._reader.error(path, f"it is not UTF-8 ({error.reason})") from None

    def find(self, name: str) -> tuple[SourceFile, Definition] | None:
        """Where a qualified name is defined."""
        module, _, last = name.rpartition(".")
        file = self.file(f"code/{module.replace('.', '/')}.py")
        node = file.definitions.get(last) if file else None
        return (file, node) if file and node else None
