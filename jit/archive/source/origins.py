"""Where the code of an archive comes from: `<file>.py.debug_pkl`, beside each file of code.

    ("FORMAT_WITH_STRING_TABLE",
     ("def f(x):\\n", "    return x.view(7)\\n", "/home/me/model.py"),        texts
     ((120, (([1], 2, 31), 4, 20), 0), ...))                              origins

Code from byte 120 of the file on, up to the next entry, comes from the characters 4 to 20 of texts
1, which start at line 31 of the file of text 2. It is read when an error is shown, and what makes
no sense is as if it were not there: no archive depends on it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from ir import CompileError, Span, TupleType, erased_type_of
from jit.archive.unpickler import Unpickler

HEAD = "FORMAT_WITH_STRING_TABLE"
SUFFIX = ".debug_pkl"
_MAX_TEXT = 1 << 20  # characters that an entry may put together


class Origins:
    """The origins of the code in one file."""

    def __init__(self, text: str, read: Callable[[], bytes | None]) -> None:
        self._text = text
        self._read = read
        self._starts: list[int] = []  # of lines, in bytes
        self._entries: list[tuple[int, Any]] | None = None
        self._texts: Sequence[Any] = ()

    def find(self, line: int, col: int) -> Span | None:
        """Where the code of a position comes from; None when nothing says so."""
        if self._entries is None:
            self._load()
        assert self._entries is not None
        offset = self._starts[line - 1] + col if line <= len(self._starts) else -1
        place = bisect_right(self._entries, offset, key=lambda entry: entry[0])
        try:
            return self._span(self._entries[place - 1][1]) if place else None
        except (TypeError, ValueError, IndexError):
            return None

    def _load(self) -> None:
        self._starts = [0]
        for line in self._text.encode().splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        entries: list[tuple[int, Any]] = []
        match self._unpickled():
            case (str(), tuple() as texts, tuple() as found):
                self._texts = texts
                for entry in found:
                    match entry:
                        case (int(offset), place, *_):
                            entries.append((offset, place))
        self._entries = sorted(entries, key=lambda entry: entry[0])

    def _unpickled(self) -> Any:
        try:
            content = self._read()
            return None if content is None else Unpickler(content, _Plain(), SUFFIX).load()
        except (RuntimeError, ValueError, CompileError):
            return None

    def _span(self, place: Any) -> Span | None:
        """An entry as a span; torch's own entries may cover several lines."""
        (pieces, file, first), start, end = place
        text, name = "", self._texts[file]
        for piece in pieces:
            text += self._texts[piece]
            if len(text) > _MAX_TEXT:
                return None
        if not name or not 0 <= start <= end <= len(text):
            return None
        line = text.count("\n", 0, start)
        begin = text.rfind("\n", 0, start) + 1
        shown = text[begin:].partition("\n")[0]
        return Span(name, first + line, start - begin, min(end - begin, len(shown)), shown)


class _Plain:
    """Lists, tuples, numbers and texts: nothing else belongs into such a pickle."""

    def tag(self, value: Any, type_: str) -> Any:
        """A list."""
        return value

    def __getattr__(self, name: str) -> Any:
        def refuse(*args: Any) -> Any:
            raise CompileError(f"no {name} belongs into {SUFFIX}")

        return refuse


def origins_of(text: str, spans: Sequence[Span | None]) -> tuple[Any, TupleType] | None:
    """What to pickle for a text of code whose lines come from `spans`; None when nothing is known
    of any.
    """
    texts: dict[str, int] = {"": 0}
    entries: list[Any] = []
    offset, before = 0, None
    for line, span in zip(text.splitlines(keepends=True), spans, strict=True):
        shown = f"{span.source_line()}\n" if span is not None else ""
        if span != before and (span is None or shown.strip()):
            entries.append((offset, _entry(texts, span, shown), len(entries)))
        offset, before = offset + len(line.encode()), span
    if not any(span is not None for span in spans):
        return None
    made = (HEAD, tuple(texts), tuple(entries))
    type_ = erased_type_of(made)
    assert isinstance(type_, TupleType)
    return made, type_


def _entry(texts: dict[str, int], span: Span | None, shown: str) -> Any:
    if span is None:
        return ([0], 0, 0), 0, 0
    piece = texts.setdefault(shown, len(texts))
    end = min(max(span.end_col, span.col), len(shown) - 1)
    file = texts.setdefault(span.file, len(texts))
    return ([piece], file, span.line), min(span.col, end), end
