"""User source: spans and the caret picture that every error shows.

A `Span` names a range of one line of a file; a node carries the span of the user code it came from.
Passes copy spans; a merged node keeps the first.
"""

from __future__ import annotations

import linecache

from ir.records import record


@record
class Span:
    """Columns [col, end_col) of `line` (from 1) in `file`; columns count from 0. `text` is the
    line when no file holds it."""

    file: str
    line: int
    col: int = 0
    end_col: int = 0
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"

    def source_line(self) -> str:
        """The line that the span lies in, without its newline; empty when it cannot be read."""
        if self.text is not None:
            return self.text
        return linecache.getline(self.file, self.line).rstrip("\n")

    def render(self) -> str:
        """Location, the source line and carets below the span."""
        line = self.source_line()
        head = f'  File "{self.file}", line {self.line}'
        if not line.strip():
            return head
        indent = len(line) - len(line.lstrip())
        start = max(self.col - indent, 0)
        width = max(min(self.end_col, len(line)) - self.col, 1)
        return f"{head}\n    {line.strip()}\n    {' ' * start}{'^' * width}"
