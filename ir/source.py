"""User source: spans and the caret picture that every error shows.

A `Span` names a range of one line of a file; a node carries the span of the user code it came from.
Passes copy spans; a merged node keeps the first.
"""

from __future__ import annotations

import linecache
from typing import Protocol

from ir.records import field, record


class Origins(Protocol):
    """Where the code of a file comes from that was itself written by a program."""

    def find(self, line: int, col: int) -> Span | None:
        """What a position was written from, None when it is not known."""


@record
class Span:
    """Columns [col, end_col) of `line` (from 1) in `file`; columns count from 0. `text` is the
    line when no file holds it, `origins` is for a file that was written from others."""

    file: str
    line: int
    col: int = 0
    end_col: int = 0
    text: str | None = None
    origins: Origins | None = field(default=None, compare=False)

    @property
    def origin(self) -> Span:
        """The user's own code."""
        found = self.origins.find(self.line, self.col) if self.origins is not None else None
        return self if found is None else found

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"

    def source_line(self) -> str:
        """The line that the span lies in, without its newline; empty when it cannot be read."""
        if self.text is not None:
            return self.text
        return linecache.getline(self.file, self.line).rstrip("\n")

    def render(self) -> str:
        """Location, the source line and carets below the span; for code that was written from
        other code, those of that one, too.
        """
        origin = self.origin
        own = self._picture()
        return own if origin is self else f"{origin._picture()}\n  written as\n{own}"

    def _picture(self) -> str:
        line = self.source_line()
        head = f'  File "{self.file}", line {self.line}'
        if not line.strip():
            return head
        indent = len(line) - len(line.lstrip())
        start = max(self.col - indent, 0)
        width = max(min(self.end_col, len(line)) - self.col, 1)
        return f"{head}\n    {line.strip()}\n    {' ' * start}{'^' * width}"
