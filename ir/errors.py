"""The exception tree of the compiler. Errors about user code carry a span and print the user's
line with a caret."""

from __future__ import annotations

from ir.source import Span


class CompileError(RuntimeError):
    """User code that cannot be compiled: what was found, what was expected, how to fix it."""

    def __init__(self, message: str, span: Span | None = None) -> None:
        self.message = message
        self.span = span
        super().__init__(f"{message}\n{span.render()}" if span else message)


class UnsupportedError(CompileError, NotImplementedError):
    """A construct outside the scripted language."""


class TypeMismatch(CompileError, TypeError):
    """A value whose type does not fit where it is used."""


class ParseError(CompileError):
    """Malformed text: a schema, a graph's printed form or an archive's code."""


class VerifyError(AssertionError):
    """Invalid IR: a bug in a pass, never the user's fault."""


class TypeRuleError(Exception):
    """A type rule met operands that eager would refuse (incompatible shapes, dtypes); the
    interpreter raises the real error."""
