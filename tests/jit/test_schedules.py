"""Schedules that only some machines or sizes choose, forced on small inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from codegen import evaluate
from codegen.schedule import DEEP_REGISTERS, past_caches
from codegen.target import Target, host
from jit import explain, jit


@pytest.mark.parametrize("size", [1, 40, 1000])
def test_half_vectors_compute_what_whole_ones_do(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exponential too: its instruction for whole vectors cannot be halved."""
    monkeypatch.setattr(evaluate, "is_streaming", lambda *_: True)
    monkeypatch.setattr(Target, "halves_vectors", True)

    def f(x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(k > 0, torch.exp(x), x * 0.5) + k, x.cumsum(0)

    x, k = torch.randint(-8, 8, (size,)) / 4, torch.randint(-5, 5, (size,))  # sums are exact
    g = jit(f)
    for _ in range(3):
        torch.testing.assert_close(g(x, k), f(x, k))


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1000])
def test_deep_chains_run_in_wide_vectors(size: int) -> None:
    def f(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        a = torch.erf(torch.log(x / y) / torch.sqrt(x)) * torch.exp(-y)
        b = torch.erf(torch.tanh(x - y) * torch.sigmoid(y)) + torch.sin(a)
        return a, b

    x, y = torch.rand(size) + 0.5, torch.rand(size) + 0.5
    g = jit(f)
    for _ in range(3):
        torch.testing.assert_close(g(x, y), f(x, y))
    assert size < 64 or f"<{size} x{DEEP_REGISTERS * host().lanes(32)}" in str(explain(g))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int8])
@pytest.mark.parametrize("columns", [1, 7, 40, 64, 1001])
def test_results_written_around_the_caches(
    dtype: torch.dtype, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that start anywhere, and memory that one loop runs through."""
    monkeypatch.setattr(evaluate, "past_caches", lambda nest, plan, _: past_caches(nest, plan, 0))

    def outer(x: Tensor, y: Tensor) -> Tensor:
        return x[:, None] * y + x[:, None]

    def both(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x * y

    x, y = (torch.randint(-5, 5, (n,)).to(dtype) for n in (9, columns))
    for f, args in ((outer, (x, y)), (both, (y, y))):
        g = jit(f)
        for _ in range(3):
            torch.testing.assert_close(g(*args), f(*args))
        assert columns < 40 or "!nontemporal" in str(explain(g, ir=True))
