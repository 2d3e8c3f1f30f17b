"""Long functions compile: what a nest costs to compile does not depend on how long its group is."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import jit
from jit.executor import Compiled

X = torch.linspace(-2, 2, 64)


def _chain(step: Callable[[Tensor, Tensor], Tensor], length: int) -> Callable[[Tensor], Tensor]:
    def chain(x: Tensor) -> Tensor:
        y = x
        for _ in range(length):
            y = step(y, x)
        return y

    return chain


def _compiled(function: Callable[[Tensor], Tensor], tolerance: float = 1e-5) -> Compiled:
    traced = jit.trace(function, (X,), check_trace=False)
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(traced(X), function(X), atol=tolerance, rtol=tolerance)
    (compiled,) = traced.executor.compiled
    assert compiled.plan.hits == 2
    return compiled


def _kernels(compiled: Compiled) -> int:
    return len(re.findall(r'^define [^@]*@"?kernel\d+"?\(', compiled.plan.llvm, re.M))


STEPS = {
    "pointwise": lambda y, x: y * 0.5 + x,
    "softmax": lambda y, x: torch.softmax(y + x, 0),
    "norm": lambda y, x: torch.layer_norm(y + x, [64]),
    "sum": lambda y, x: y - y.sum() * 0.01,
    "sum of one element": lambda y, x: y.sum(0, keepdim=True) * 0.1,
}


@pytest.mark.parametrize("name", STEPS)
def test_long_chains_have_few_kernels(name: str) -> None:
    short, long = (_compiled(_chain(STEPS[name], length)) for length in (40, 160))
    assert _kernels(long) <= _kernels(short) + 2


def test_branches_of_a_long_chain_meet_again() -> None:
    def f(x: Tensor) -> Tensor:
        y, z = x, x + 1
        for _ in range(100):
            y, z = y * 0.5 + z, z - y * 0.25
        return y + z

    _compiled(f)
