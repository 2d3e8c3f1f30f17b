"""Tokens of the text form, each with its place, and errors that point at one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ir.errors import ParseError
from ir.records import record
from ir.source import Span

# In order of precedence; a span is the comment behind a node, every other comment is blank.
_TOKENS = re.compile(
    r"""(?P<span>\#[ ][^#\n]*?:\d+:\d+(?=[ \t]*(?:$|\#)))
      | (?P<blank>\s+|\#[^\n]*)
      | (?P<value>%[\w.$?]+)
      | (?P<symbol>\w+::[\w.]+)
      | (?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?j?)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<elided><(?:[^<>]|<[^<>]*>)*>)
      | (?P<name>[A-Za-z_][\w.]*)
      | (?P<mark>->|\.\.\.|//|[-+*%()\[\]{}:,=?])""",
    re.VERBOSE | re.MULTILINE,
)


@record
class Token:
    """A piece of text: `kind` is a group of the pattern above, or `end`."""

    kind: str
    text: str
    offset: int


class Text:
    """A text to be parsed; `file` and `first_line` say where it stands, for errors."""

    def __init__(self, text: str, file: str = "<text>", first_line: int = 1) -> None:
        self.text = text
        self.file = file
        self.first_line = first_line

    def tokens(self) -> Iterator[Token]:
        """Every token but blanks, then `end`."""
        offset = 0
        while offset < len(self.text):
            match = _TOKENS.match(self.text, offset)
            if match is None:
                raise self.error("unexpected character", Token("", self.text[offset], offset))
            if match.lastgroup != "blank":
                yield Token(str(match.lastgroup), match[0], offset)
            offset = match.end()
        yield Token("end", "", len(self.text))

    def span(self, token: Token) -> Span:
        """The place of a token."""
        line = self.text.count("\n", 0, token.offset)
        start = self.text.rfind("\n", 0, token.offset) + 1
        column = token.offset - start
        content = self.text[start:].split("\n", 1)[0]
        return Span(self.file, self.first_line + line, column, column + len(token.text), content)

    def error(self, message: str, token: Token) -> ParseError:
        """An error at a token."""
        return ParseError(message, self.span(token))
