"""Generated graphs that mix arithmetic, views, in-place writes, branches and loops: after the
pipeline, the interpreter gives the same results and leaves the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ir import types as T
from ir.builder import Builder
from ir.dtypes import float32
from ir.graph import Block, Graph, Value
from ir.interpreter import Interpreter
from ir.parser import parse_graph
from ir.pipeline import PASSES, PIPELINE, run_pipeline

ROWS, COLUMNS = 3, 4
MATRIX = T.TensorType(float32, (ROWS, COLUMNS), (COLUMNS, 1))

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Program:
    """A graph under construction: two matrices and a flag in, some values out."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.graph = Graph("generated")
        self.params = [self.graph.block.add_param(MATRIX, name) for name in "xy"]
        self.flag = self.graph.block.add_param(T.BOOL, "flag")
        values = self.fill(self.graph.block, list(self.params), depth=0)
        count = draw(st.integers(1, 3))
        self.graph.block.set_returns([self.pick(values) for _ in range(count)])

    def pick(self, values: list[Value]) -> Value:
        return values[self.draw(st.integers(0, len(values) - 1))]

    def fill(self, block: Block, visible: list[Value], depth: int) -> list[Value]:
        """Append random nodes; the values that can be read at the end."""
        values = list(visible)
        for _ in range(self.draw(st.integers(1, 6 if depth == 0 else 3))):
            kinds = [self.compute, self.compute, self.view, self.write, self.write]
            kinds += [self.branch, self.loop] if depth < 2 else []
            made = self.pick(kinds)(Builder(block), values, depth)
            values += made
        return values

    def compute(self, b: Builder, values: list[Value], depth: int) -> list[Value]:
        x = self.pick(values)
        match self.draw(st.integers(0, 5)):
            case 0:
                return [b.tanh(x)]
            case 1:
                return [b.neg(x)]
            case 2:
                return [b.mul(x, self.draw(st.sampled_from([1, 2.0, -0.5])))]
            case 3:
                return [b.add(x, self.like(values, x))]
            case 4:
                return [b.clone(x)]
        return [b.div(x, 4.0)]

    def like(self, values: list[Value], x: Value) -> Value:
        """A value of the sizes of `x`."""
        return self.pick([v for v in values if v.type.shape == x.type.shape])

    def view(self, b: Builder, values: list[Value], depth: int) -> list[Value]:
        x = self.pick(values)
        rank = len(x.type.shape)
        match self.draw(st.integers(0, 3)):
            case 0 if rank == 2:
                return [b.t(x)]
            case 1 if rank:
                dim = self.draw(st.integers(0, rank - 1))
                index = self.draw(st.integers(-1, 1)) if x.type.shape[dim] > 1 else 0
                return [b.select(x, dim, index)]
            case 2 if rank:
                start = self.draw(st.integers(0, 2))
                return [b.slice(x, 0, start, start + self.draw(st.integers(1, 2)), 1)]
        return [b.unsqueeze(x, 0)]

    def write(self, b: Builder, values: list[Value], depth: int) -> list[Value]:
        x = self.pick(values)
        match self.draw(st.integers(0, 4)):
            case 0:
                return [b.mul_(x, 0.5)]
            case 1:
                return [b.add_(x, self.like(values, x))]
            case 2:
                return [b.copy_(x, self.like(values, x))]
            case 3:
                return [b.fill_(x, 2.0)]
        return [b.zero_(x)]

    def branch(self, b: Builder, values: list[Value], depth: int) -> list[Value]:
        node = b.node("prim::If", [self.flag])
        inner = [self.fill(node.add_block(), values, depth + 1) for _ in range(2)]
        first = self.pick(inner[0])
        same = [v for v in inner[1] if v.type.shape == first.type.shape]
        if not same or self.draw(st.booleans()):
            return []
        for block, value in zip(node.blocks, (first, self.pick(same)), strict=True):
            block.add_return(value)
        return [node.add_output(T.join(*(block.returns[0].type for block in node.blocks)))]

    def loop(self, b: Builder, values: list[Value], depth: int) -> list[Value]:
        start = self.pick(values)
        go = b.const(True)
        node = b.node("prim::Loop", [b.const(self.draw(st.integers(0, 2))), go])
        body = node.add_block()
        body.add_param(T.INT, "i")
        body.add_return(go)
        if not self.draw(st.booleans()):
            self.fill(body, values, depth + 1)
            return []
        type_ = T.TensorType(float32, start.type.dims)
        node.add_input(start)
        carried = body.add_param(type_)
        inner = self.fill(body, [*values, carried], depth + 1)
        body.add_return(self.like(inner, carried))
        return [node.add_output(type_)]


@st.composite
def programs(draw: Draw) -> Graph:
    return Program(draw).graph


def outcome(graph: Graph, flag: bool) -> list[torch.Tensor] | str:
    """Results and arguments after a call, each copied; the error's type when there is one."""
    args = [torch.linspace(-1, 1, ROWS * COLUMNS).reshape(ROWS, COLUMNS) * k for k in (1, 3)]
    try:
        results = Interpreter(graph).run(*args, flag)
    except RuntimeError as error:
        return type(error).__name__
    results = results if isinstance(results, tuple) else (results,)
    shared = [
        torch.tensor(r.untyped_storage().data_ptr() == a.untyped_storage().data_ptr())
        for r in results
        for a in args
    ]
    return [*(r.clone() for r in results), *args, *shared]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.booleans())
def test_pipeline_keeps_meaning(graph: Graph, flag: bool) -> None:
    check(graph, flag, PIPELINE)


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.booleans())
def test_pass_keeps_meaning(name: str, graph: Graph, flag: bool) -> None:
    check(graph, flag, [PASSES[name]])


def check(graph: Graph, flag: bool, passes: Any) -> None:
    text = str(graph)
    assert str(parse_graph(text)) == text
    expected = outcome(graph, flag)
    found = outcome(run_pipeline(graph.copy(), passes, verify_between=True), flag)
    assert type(found) is type(expected), (found, expected)
    if isinstance(expected, str):
        assert found == expected
        return
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
