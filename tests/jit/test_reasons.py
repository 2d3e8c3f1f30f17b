"""The table of reasons: every name that code uses is a row, and every row is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from jit.reasons import REASONS, Counters

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [p for layer in ("jit", "codegen") for p in (ROOT / layer).rglob("*.py")]
NAMING = ("Refused", "count", "bail", "_refuse")  # calls that name a reason among their arguments


def literals(path: Path) -> Iterator[tuple[str, str]]:
    """The texts that calls of `NAMING` are given, with their place."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name in NAMING:
            for argument in node.args:
                if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                    continue
                if not argument.value.isspace():  # lines that `str.count` counts
                    yield argument.value, f"{path.name}:{node.lineno}"


def test_every_name_is_a_row() -> None:
    found = [(text, where) for path in SOURCES for text, where in literals(path)]
    assert len({text for text, _ in found}) > 5
    assert not [(text, where) for text, where in found if text not in REASONS]


def test_every_row_is_used() -> None:
    texts = {
        node.value
        for path in SOURCES
        if path.name != "reasons.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not set(REASONS) - texts


def test_rows_say_something() -> None:
    for row in REASONS.values():
        assert row.kind in ("refuse", "bailout", "aside", "event")
        assert len(row.message.split()) >= 5


def test_unknown_names_are_bugs() -> None:
    with pytest.raises(KeyError, match="no row"):
        Counters().count("bad luck")
