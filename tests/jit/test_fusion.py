"""Controls of the compiler: strict blocks, switched-off compilation, budgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import jit
from jit.fusion import _Budget

X = torch.randn(3, 3)


@pytest.fixture(autouse=True)
def strategy() -> Iterator[None]:
    before = _Budget.strategy
    yield
    _Budget.strategy = before


def test_a_strict_block_of_native_lines() -> None:
    @jit.script
    def f(x: torch.Tensor) -> torch.Tensor:
        y = torch.linalg.svdvals(x)  # called back, outside of the block
        with jit.strict_fusion():
            z = x.exp() + 1
        return z + y.sum()

    for _ in range(3):
        torch.testing.assert_close(f(X), X.exp() + 1 + torch.linalg.svdvals(X).sum())
    assert jit.stats(f).native


def test_a_strict_block_names_what_is_called_back() -> None:
    @jit.script
    def f(x: torch.Tensor) -> torch.Tensor:
        with torch.jit.strict_fusion():
            return torch.linalg.svdvals(x) + 1

    f(X)
    with pytest.raises(jit.StrictFusionError, match="linalg_svdvals") as caught:
        f(X)
    assert "return torch.linalg.svdvals(x) + 1\n" in str(caught.value)


def test_python_asks_for_strictness() -> None:
    f = jit.jit(lambda x: torch.linalg.svdvals(x) * 2)
    g = jit.jit(lambda x: torch.sigmoid(x) * 2)
    for h in (f, g):
        h(X)
    with jit.strict_fusion():
        g(X)
        with pytest.raises(jit.StrictFusionError, match="called back"):
            f(X)
    f(X)


def test_execution_without_optimization() -> None:
    f = jit.jit(lambda x: torch.sigmoid(x) * 2)
    with jit.optimized_execution(False):
        for _ in range(4):
            f(X)
        assert jit.stats(f).bailouts["not optimizing"] == 3
        with jit.optimized_execution(True):
            f(X)
    assert jit.stats(f).compilations == 1


def test_the_strategy_limits_compilations() -> None:
    default = jit.set_fusion_strategy([("STATIC", 1)])
    assert jit.set_fusion_strategy([("STATIC", 1)]) == [("STATIC", 1)]
    f = jit.jit(lambda x: torch.sigmoid(x) * 2)
    for size in (2, 2, 3, 4, 5):
        f(torch.randn(size))
    found = jit.stats(f)
    assert found.compilations == 1
    assert found.bailouts["size limit"]
    assert sum(depth for _, depth in default) > 1
    with pytest.raises(ValueError, match="expected"):
        jit.set_fusion_strategy([("OTHER", 1)])


def test_what_has_no_effect_here() -> None:
    jit.enable_onednn_fusion(True)
    assert jit.onednn_fusion_enabled()
    jit.enable_onednn_fusion(False)

    @jit.script
    def f(x: torch.Tensor) -> torch.Tensor:
        with torch.jit.fuser("fuser1"), jit.optimized_execution(True):
            return x * 2

    with jit.fuser("fuser1"):
        torch.testing.assert_close(f(X), X * 2)
    with pytest.raises(ValueError, match="no fuser 'nvfuser'"):
        jit.fuser("nvfuser")


def test_the_graph_of_a_plan() -> None:
    f = jit.script(lambda x: torch.sigmoid(x) * 2)
    assert str(f.graph_for(X)) == str(f.graph)  # no plan yet
    f(X)
    assert "Float(3, 3" in str(f.graph_for(X))
    state = f.get_debug_state()
    assert len(state.execution_plans) == 1
    assert state.execution_plans[0].graph is jit.last_executed_optimized_graph()
    assert state.graph is f.graph
