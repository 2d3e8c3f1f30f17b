"""Counters of a function."""

from __future__ import annotations

import pytest
import torch

import jit


def test_counts_add_up() -> None:
    @jit.jit
    def f(x, y, scale: float = 1.0):
        return x * scale + y

    calls = 0
    for n in (3, 3, 4, 5):
        f(torch.ones(n), torch.ones(n), scale=2.0)
        calls += 1
    f(torch.ones(3, requires_grad=True), torch.ones(3))
    found = jit.stats(f)
    assert found.native + found.interpreted == calls + 1
    assert found.bailouts == {"observing": 1, "needs gradient": 1}
    assert found.compilations == len(found.plans) == 2
    assert [plan.is_retired for plan in found.plans] == [True, False]
    assert 0 < found.compile_seconds == sum(plan.seconds for plan in found.plans)


def test_guards_are_readable() -> None:
    @jit.jit(warm=0)
    def f(x, n: int, mode: str):
        return x * n if mode == "times" else x

    f(torch.ones(2, 3), 4, mode="times")
    (plan,) = jit.stats(f).plans
    assert plan.guards == ("x: float32[2, 3]", "n: int", "mode: 'times'")
    assert str(plan).endswith("x: float32[2, 3]; n: int; mode: 'times'")


def test_text() -> None:
    @jit.jit(warm=0)
    def f(x):
        return x + 1

    f(torch.ones(2))
    f(torch.ones(2, requires_grad=True))
    text = str(jit.stats(f))
    assert text.startswith("f: 1 calls native, 1 interpreted; 1 compilations in ")
    assert "1 x needs gradient: an argument requires a gradient" in text


def test_traces_have_counters() -> None:
    traced = jit.trace(lambda pair: pair[0] + pair[1] * 2, ((torch.ones(3), torch.ones(3)),))
    for _ in range(3):
        traced((torch.ones(3), torch.ones(3)))
    assert jit.stats(traced).native == 2
    assert "kernel 0" in str(jit.explain(traced))


def test_methods_and_other_callables() -> None:
    class Model:
        @jit.jit
        def forward(self, x):
            return x

    assert jit.stats(Model().forward).name == "forward"
    with pytest.raises(TypeError, match="not a compiled function"):
        jit.stats(torch.exp)
