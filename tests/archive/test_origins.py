"""Errors of loaded modules show the user's own file and line, whoever wrote the archive."""

from __future__ import annotations

import io
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

import jit
from tests.archive.mutations import members, packed
from tests.archive.saved import saved

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
X = torch.ones(2, 2)


class Failing(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.inner(x)
        total = hidden * 2
        if total.dim() == 3:
            raise ValueError("three dims")
        return total.view(7, 7)


def shown(module: Any, x: torch.Tensor) -> str:
    with pytest.raises((RuntimeError, ValueError)) as caught:
        module(x)
    return "".join(traceback.format_exception_only(caught.value))


def lines_of(text: str) -> tuple[str, ...]:
    source = Path(__file__).read_text().split("\n")
    return __file__, f"line {1 + next(i for i, line in enumerate(source) if text in line)}"


@pytest.mark.parametrize("by_torch", [True, False])
def test_errors_show_the_original(by_torch: bool) -> None:
    archive = saved(Failing()) if by_torch else jit.script(Failing()).save_to_buffer()
    again = jit.load(io.BytesIO(archive)).save_to_buffer()
    for content in (archive, again):
        module = jit.load(io.BytesIO(content))
        for _ in range(3):
            text = shown(module, X)
            assert all(part in text for part in lines_of("total.view(" + "7, 7)"))
            assert "written as" in text and "torch.view(" in text
        text = shown(module, X[None])
        assert all(part in text for part in lines_of("raise ValueError" + '("three'))


def test_torch_shows_what_relume_wrote() -> None:
    text = shown(torch.jit.load(io.BytesIO(jit.script(Failing()).save_to_buffer())), X)
    assert "original code" in text and all(p in text for p in lines_of("total.view(" + "7, 7)"))


@pytest.mark.parametrize("damage", [b"", b"\x80\x02N.", b"\x80\x02cos\nsystem\n.", None])
def test_archives_do_not_need_them(damage: bytes | None) -> None:
    content = dict(members(saved(Failing())))
    for name in [n for n in content if n.endswith(".debug_pkl")]:
        del content[name]
        if damage is not None:
            content[name] = damage
    text = shown(jit.load(io.BytesIO(packed(content))), X)
    assert "torch.view(" in text and "written as" not in text
