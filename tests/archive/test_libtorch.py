"""Archives open in a process without Python: a C++ program of libtorch's headers prints the same
numbers.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import jit

TORCH = Path(torch.__file__).parent
SOURCE = Path(__file__).with_name("libtorch_reader.cpp")
COMPILER = shutil.which("g++")
HEADERS = TORCH / "include" / "torch" / "script.h"

pytestmark = pytest.mark.skipif(
    COMPILER is None or not HEADERS.exists(), reason="needs g++ and libtorch's headers"
)


class Branching(torch.nn.Module):
    """Parameters, a buffer, a submodule, a loop and a branch on data."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.GELU())
        self.register_buffer("shift", torch.linspace(-1, 1, 5))
        self.rounds = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x) + self.shift
        for i in range(self.rounds):
            if bool(y.sum() > i):
                y = y * 0.5
        return y


def scale(x: torch.Tensor, factor: float = 2.0) -> torch.Tensor:
    parts = [x, x * factor]
    return torch.cat(parts, dim=1).softmax(-1)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ program."""
    program = tmp_path_factory.mktemp("libtorch") / "reader"
    includes = [f"-I{TORCH}/include", f"-I{TORCH}/include/torch/csrc/api/include"]
    libraries = [f"-L{TORCH}/lib", f"-Wl,-rpath,{TORCH}/lib", "-ltorch", "-ltorch_cpu", "-lc10"]
    command = [str(COMPILER), "-std=c++20", "-O0", *includes, str(SOURCE), *libraries]
    subprocess.run([*command, "-o", str(program)], check=True, capture_output=True)
    return program


@pytest.mark.parametrize("make", [Branching, lambda: scale], ids=["module", "function"])
def test_program_without_python_agrees(
    make: Callable[[], Callable[..., torch.Tensor]], reader: Path, tmp_path: Path
) -> None:
    eager = make()
    jit.save(jit.script(eager), tmp_path / "made.pt")
    printed = subprocess.run(
        [str(reader), str(tmp_path / "made.pt")], check=True, capture_output=True, text=True
    ).stdout
    with torch.no_grad():
        expected = eager(torch.arange(12.0).reshape(3, 4) / 7)
    got = torch.tensor([float.fromhex(line) for line in printed.split()]).reshape(expected.shape)
    torch.testing.assert_close(got, expected)
