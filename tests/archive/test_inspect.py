"""`inspect`, and archives on the command line."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from jit import inspect
from jit.__main__ import main
from tests.archive.saved import Detector, Tagger, saved


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tagger.pt"
    path.write_bytes(saved(Tagger()))
    return path


def test_summary(tagger: Path) -> None:
    found = inspect(tagger)
    assert found.root == "__torch__.tests.archive.saved.Tagger" and found.version == 3
    assert [m.signature for m in found.methods] == [
        "forward(tokens: Tensor, limit: int=10) -> Tuple[Tensor, List[int]]"
    ]
    assert "limit: int=10" in found.code
    assert str(found.weights["embed.weight"]) == "Float(20, 6)"
    assert found.weight_bytes == 4 * sum(p.numel() for p in Tagger().parameters())
    assert found.operators["aten::lstm_cell"] == 1
    assert "embed.weight" in str(found)


def test_nothing_is_executed() -> None:
    found = inspect_bytes(saved(Detector()))
    assert found.weights["anchors"].sizes == (2, 4)


def inspect_bytes(archive: bytes):
    return inspect(io.BytesIO(archive))


def test_shell(tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tagger), "--code"]) == 0
    assert "aten::lstm_cell" in capsys.readouterr().out
    np.save(tmp_path / "x.npy", np.arange(4))
    assert main(["run", str(tagger), "--input", str(tmp_path / "x.npy"), "--calls", "2"]) == 0
    out = capsys.readouterr().out
    assert "output[0]: float32" in out and "median call" in out
    assert main(["run", str(tagger), "--input", "random:3:int64", "--calls", "1"]) == 0
    assert main(["run", str(tagger), "--input", "what"]) == 2
    assert "is no input" in capsys.readouterr().err


def test_random_inputs_of_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "traced.pt")
    torch.jit.save(torch.jit.trace(nn.Linear(4, 3), torch.ones(2, 4)), path)
    assert main(["run", path, "--input", "random", "--calls", "1"]) == 0
    assert "float32[2, 3]" in capsys.readouterr().out


def test_diff(tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.pt"
    torch.manual_seed(1)
    other.write_bytes(saved(Tagger()))
    assert main(["diff", str(tagger), str(tagger)]) == 0
    assert capsys.readouterr().out == "no differences\n"
    assert main(["diff", str(tagger), str(other)]) == 1
    assert "weight embed.weight: other values in Float(20, 6)" in capsys.readouterr().out


class Batch(nn.Module):
    def forward(this, batch: dict[str, torch.Tensor], n: int = 2) -> torch.Tensor:
        return batch["x"] * n

    @torch.jit.export
    def text(this, k: int) -> str:
        return str(k)


def test_inputs_of_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, weights = str(tmp_path / "batch.pt"), str(tmp_path / "x.safetensors")
    torch.jit.save(torch.jit.script(Batch()), path)
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2)
    )
    assert main(["run", path, "--input", weights, "--input", "3"]) == 1  # two for the first
    assert main(["run", path, "--input", weights]) == 0
    assert "float32[2] [2.0, 4.0]" in capsys.readouterr().out
    assert main(["run", path, "--method", "text", "--input", "7"]) == 0
    assert "output: '7'" in capsys.readouterr().out


def test_errors_on_the_command_line(
    tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path), str(tmp_path / "none.pt"), __file__]
    for file in files:
        assert main(["inspect", file]) == main(["run", file]) == 2
        assert capsys.readouterr().err.count("python -m jit: ") == 2
    run = ["run", str(tagger)]
    assert main([*run, "--input", "none.npy"]) == main([*run, "--method", "none"]) == 2
    assert "has no method 'none', only forward" in capsys.readouterr().err
    for inputs in (["--input", "random:3"], []):  # of a wrong dtype, and none
        assert main([*run, *inputs]) == 1
        err = capsys.readouterr().err
        assert "Error" in err and "Traceback" not in err
