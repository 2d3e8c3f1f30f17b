"""The command line: what it finds in a file, what it prints and writes, how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jit.__main__ import main
from jit.workload import NotFound, find, find_all, load

FILE = '''
import torch
from jit import jit

@jit
def scaled(x: torch.Tensor) -> torch.Tensor:
    """Twice as much.

    More text.
    """
    return x * 2 + 1

def scaled_args():
    return (torch.ones(8),)

def scaled_numexpr(x):
    return x * 2 + 1

scaled_tolerance = (0.0, 0.5)

@jit
def alone(x: torch.Tensor) -> torch.Tensor:
    return x + 1
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "user_file.py"
    path.write_text(FILE)
    return path


def test_companions_are_found_by_name(file: Path) -> None:
    (work,) = find_all(load(file))
    assert work.title == "scaled: Twice as much"
    assert set(work.peers) == {"numexpr"}
    assert work.tolerance == (0.0, 0.5)


def test_what_is_missing_is_named(file: Path, tmp_path: Path) -> None:
    module = load(file)
    with pytest.raises(NotFound, match="no function nobody"):
        find(module, "nobody")
    with pytest.raises(NotFound, match="alone_args"):
        find(module, "alone")
    with pytest.raises(NotFound, match="no file"):
        load(tmp_path / "absent.py")


def test_compare(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    command = ["compare", f"{file}:scaled", "--against", "torch.jit,numexpr", "--rounds", "2"]
    assert main([*command, "--json", str(out)]) == 0
    assert "scaled: Twice as much" in capsys.readouterr().out
    rows = json.loads(out.read_text())["comparisons"][0]["rows"]
    assert [row["name"] for row in rows] == ["eager", "relume", "torch.jit", "numexpr"]


def test_arguments_from_the_command_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--args", "torch.zeros(3)", "--against", "eager", "--rounds", "2"]
    assert main(["compare", f"{file}:alone", *given]) == 0
    assert "relume" in capsys.readouterr().out


def test_explain(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", f"{file}:scaled", "--ir"]) == 0
    assert "return x * 2 + 1" in capsys.readouterr().out


def test_refusals_have_a_message_and_a_code(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(file)]) == 2
    assert "name the function" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["compare"], ["explain"]])
def test_help_states_the_convention(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert ("NAME_args()" if command else "COMMAND") in capsys.readouterr().out
