"""Text tests: graphs in text form, with what is expected written beside them.

A file `tests/passes/*.ir`, `tests/ir/*.ir` starts with its test and holds cases:

    # test: passes cse dce                 run these passes (verifier in between), compare the text
    # case: repeated_add                   a name, then a graph, then checks
    graph(%x : Tensor): ...
    # check: aten::add                     appears in the result, after the checks before
    # check-not: aten::mul                 does not appear between its neighbors
    # run: (tensor([1., 2.]), 3) = ...     arguments; results before and after the passes agree,
                                           also with the right side where there is one

    # test: verify / parse                 the text is refused: `# error: text` on the line itself
    # test: print                          the text comes back from printer and parser as it is

`BLESS=1 pytest tests/test_text.py` rewrites the checks of `passes` files from the results: one
`# check:` per printed line.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from ir.errors import ParseError
from ir.graph import Graph
from ir.interpreter import Interpreter
from ir.parser import parse_graph
from ir.pipeline import PASSES, run_pipeline
from ir.printer import print_lines
from ir.verify import problems, verify

ROOT = Path(__file__).resolve().parent
FILES = sorted(p for folder in ("ir", "passes") for p in (ROOT / folder).glob("*.ir"))
DIRECTIVE = re.compile(r"^# (check|check-not|run|objects): ?(.*)$")
ERROR = re.compile(r"# error: (.*)$")


@dataclass
class Case:
    """One graph of a file with what is written around it."""

    name: str
    first_line: int
    text: str = ""
    checks: list[tuple[str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


@dataclass
class File:
    path: Path
    test: list[str]
    cases: list[Case]


def read(path: Path) -> File:
    """Split a file into cases."""
    test: list[str] = []
    cases: list[Case] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        directive = DIRECTIVE.match(line)
        if line.startswith("# test:"):
            test = line.split()[2:]
        elif line.startswith("# case:"):
            cases.append(Case(line.split(": ", 1)[1], number + 1))
        elif directive and directive[1] == "run":
            cases[-1].runs.append(directive[2])
        elif directive:
            cases[-1].checks.append((directive[1], directive[2]))
        elif cases:
            cases[-1].text += line + "\n"
    assert test and cases, f"{path}: no test or no case"
    return File(path, test, cases)


def all_cases() -> Iterator[Any]:
    for path in FILES:
        file = read(path)
        for case in file.cases:
            yield pytest.param(file, case, id=f"{path.stem}-{case.name}")


def parse(file: File, case: Case) -> Graph:
    return parse_graph(case.text, name=case.name, file=str(file.path), first_line=case.first_line)


@pytest.mark.parametrize(("file", "case"), list(all_cases()))
def test_case(file: File, case: Case) -> None:
    kind, *names = file.test
    if kind == "parse":
        check_parse_error(file, case)
        return
    graph = parse(file, case)
    check_round_trip(case, graph)
    if kind == "verify":
        check_verify_errors(case, graph)
        return
    verify(graph)
    if kind == "print":
        assert str(graph).strip() == case.text.strip()
        return
    result = run_pipeline(graph.copy(), [PASSES[n] for n in names], verify_between=True)
    if case.checks and not os.environ.get("BLESS"):
        check_output(case, str(result))
    for line in case.runs:
        check_run(line, graph, result)
    assert case.checks or case.runs, "a case without check or run cannot fail"


def check_round_trip(case: Case, graph: Graph) -> None:
    again = str(parse_graph(str(graph), name=case.name))
    assert again == str(graph)


def check_output(case: Case, text: str) -> None:
    """Checks match substrings in order; a `check-not` holds up to the next check."""
    position = 0
    absent: list[str] = []
    for kind, expected in [*case.checks, ("check", "")]:
        if kind == "check-not":
            absent.append(expected)
            continue
        found = text.find(expected, position) if expected else len(text)
        assert found >= 0, f"not found: {expected}\nin\n{text}"
        for forbidden in absent:
            assert forbidden not in text[position:found], f"found: {forbidden}\nin\n{text}"
        position, absent = found + len(expected), []


def check_run(line: str, before: Graph, after: Graph) -> None:
    """Arguments are evaluated for each run, so that mutated ones are compared too."""
    left, _, right = line.partition(" = ")
    names = {**vars(torch), "torch": torch, "nan": float("nan"), "inf": float("inf")}
    expected = run(before, eval(left, names))
    assert_same(run(after, eval(left, names)), expected)
    if right.startswith("raises "):
        assert expected[0] == right.removeprefix("raises "), expected
    elif right:
        assert_same(expected[1], eval(right, names))


def run(graph: Graph, args: tuple[Any, ...]) -> tuple[str, Any, tuple[Any, ...]]:
    """How a call ended, its result, and the arguments afterwards."""
    try:
        result = copy.deepcopy(Interpreter(graph).run(*args))
    except Exception as error:  # noqa: BLE001  (any error is compared)
        return type(error).__name__, str(error).split("\n")[0], ()
    return "returned", result, args


def assert_same(found: Any, expected: Any) -> None:
    """Bit for bit, up to the payload of NaN."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor) and found.dtype is expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        if found.dtype.is_floating_point:
            assert torch.equal(found.signbit(), expected.signbit())
    elif isinstance(expected, tuple | list):
        assert type(found) is type(expected) and len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    else:
        assert type(found) is type(expected)
        assert found == expected or (found != found and expected != expected)


def expected_errors(case: Case) -> list[tuple[int, str]]:
    lines = case.text.splitlines()
    return [(i, m[1]) for i, line in enumerate(lines) if (m := ERROR.search(line))]


def check_parse_error(file: File, case: Case) -> None:
    ((line, text),) = expected_errors(case)
    with pytest.raises(ParseError) as caught:
        parse(file, case)
    span = caught.value.span
    assert text in caught.value.message
    assert span is not None and span.line == case.first_line + line


def check_verify_errors(case: Case, graph: Graph) -> None:
    """Each error stands on the line of the node that is complained about."""
    printed = {line.node: line.text.strip() for line in print_lines(graph.block)}
    found = [(printed[p.node] if p.node else "return", str(p)) for p in problems(graph)]
    expected = expected_errors(case)
    assert expected, "a verify case expects an error"
    assert len(found) == len(expected), found
    lines = case.text.splitlines()
    for (number, text), (line, message) in zip(expected, found, strict=True):
        assert text in message
        assert lines[number].strip().startswith(line)


@pytest.mark.skipif(not os.environ.get("BLESS"), reason="BLESS=1 rewrites the checks")
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_bless(path: Path) -> None:
    file = read(path)
    if file.test[0] == "passes":
        path.write_text(blessed(file))


def blessed(file: File) -> str:
    """The file with checks as the passes' results say now."""
    head = file.path.read_text().partition("# case:")[0]
    parts = [head.rstrip("\n")]
    for case in file.cases:
        passes = [PASSES[n] for n in file.test[1:]]
        result = run_pipeline(parse(file, case), passes, verify_between=True)
        checks = [f"# check: {line.strip()}" for line in str(result).splitlines()]
        runs = [f"# run: {line}" for line in case.runs]
        parts.append("\n".join([f"# case: {case.name}", case.text.strip(), *checks, *runs]))
    return "\n\n".join(parts) + "\n"
