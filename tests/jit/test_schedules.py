"""Schedules that only some machines or sizes choose, forced on small inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from codegen import evaluate
from codegen.target import Target
from jit import jit


@pytest.mark.parametrize("size", [1, 40, 1000])
def test_half_vectors_compute_what_whole_ones_do(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exponential too: its instruction for whole vectors cannot be halved."""
    monkeypatch.setattr(evaluate, "is_streaming", lambda *_: True)
    monkeypatch.setattr(Target, "halves_vectors", True)

    def f(x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(k > 0, torch.exp(x), x * 0.5) + k, x.cumsum(0)

    x, k = torch.randn(size), torch.randint(-5, 5, (size,))
    g = jit(f)
    for _ in range(3):
        torch.testing.assert_close(g(x, k), f(x, k))
