"""The report, line by line."""

from __future__ import annotations

import inspect

import pytest
import torch

import jit
from jit.explanation import LineReport
from tests.jit.support import run_warm


def scaled(v):
    return torch.sigmoid(v) * 2


@jit.jit
def mixed(x, y, n: int):
    z = torch.exp(x) + y
    z = scaled(z)
    w = torch.linalg.pinv(z)
    for i in range(n):
        n = n + i
    return w, z.sum(-1), n


@pytest.fixture(scope="module")
def explanation():
    run_warm(mixed, torch.rand(4, 3), torch.rand(4, 3), 3)
    return jit.explain(mixed, ir=True, asm=True)


def line_of(lines: list[LineReport], text: str) -> LineReport:
    (line,) = [line for line in lines if text in line.text]
    return line


def test_every_source_line_is_there(explanation) -> None:
    source = inspect.getsource(mixed.__wrapped__)
    own = [line.text for line in explanation.lines if line.file == __file__]
    assert own[: len(source.splitlines())] == source.splitlines()
    assert all(line.strip() in str(explanation) for line in source.splitlines())


def test_lines_say_where_they_run(explanation) -> None:
    lines = explanation.lines
    assert line_of(lines, "torch.exp(x)").details == ["kernel 0 (exp, add)"]
    assert line_of(lines, "torch.sigmoid(v)").details == ["kernel 0 (sigmoid, mul)"]
    assert line_of(lines, "pinv").tier == "called back"
    assert line_of(lines, "pinv").details == ["called back, not native (linalg_pinv)"]
    assert line_of(lines, "for i in").tier == "native"
    assert line_of(lines, "n = n + i").details == ["register (add)"]
    assert line_of(lines, "z = scaled(z)").tier == ""


def test_plans_kernels_and_code(explanation) -> None:
    (plan,) = explanation.plans
    assert plan.hits == 2
    assert "n: int" in plan.guards
    assert plan.kernels
    assert "nest" in plan.kernels[0]
    assert "aten::exp" in plan.ir
    assert "define" in plan.ir
    assert "ret" in plan.asm


def test_before_the_first_call() -> None:
    @jit.jit
    def f(x):
        return x

    found = jit.explain(f)
    assert not found.plans
    assert "no plan" in str(found)
    assert "return x" in str(found)


def test_refusals_are_told() -> None:
    @jit.jit
    def f(x):
        yield x

    with pytest.warns(jit.JitWarning):
        f(1)
    assert "refused" in str(jit.explain(f))
    assert jit.explain(f).refusals[0].reason == "not scriptable"


def test_bailouts_have_messages() -> None:
    @jit.jit
    def f(x):
        return x * 2

    f(torch.ones(2, requires_grad=True))
    assert "1 x needs gradient: an argument requires a gradient" in str(jit.explain(f))


def test_only_compiled_functions() -> None:
    with pytest.raises(TypeError, match="not a compiled function"):
        jit.explain(scaled)


def test_what_is_inside_of_a_called_loop_is_called() -> None:
    @jit.jit
    def f(x, n: int):
        y = torch.linalg.pinv(x)
        for _ in range(n):
            y = y * 2
        return y, x + 1

    run_warm(f, torch.rand(3, 3), 2)
    lines = jit.explain(f).lines
    assert line_of(lines, "y = y * 2").tier == "called back"
    assert line_of(lines, "return y, x + 1").tier == "native"
