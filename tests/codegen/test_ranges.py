"""Intervals of ints: what the length of a container and the element of a range can be."""

from __future__ import annotations

import math

import pytest

import jit
from codegen.ranges import ranges_of
from ir import INT, LENGTHS, WHOLE, Interval, Known
from ir.parser import parse_graph


def intervals(text: str) -> dict[str, Interval]:
    graph = parse_graph(text)
    nodes = [n for n in graph.walk() if n.name == "prim::Constant"]
    ranges = ranges_of(graph, Known({n.output: n.attrs["value"] for n in nodes}))
    return {
        v.name: ranges.of(v) for n in graph.walk() for v in n.outputs if v.type == INT and v.name
    }


def test_lengths_and_elements_of_ranges_fit_a_register() -> None:
    found = intervals("""
graph(%l : float[], %k : int):
  %three : int = prim::Constant[value=3]()
  %n : int = aten::len(%l)
  %j : int = aten::__derive_index(%n, %three, %three)
  %m : int = aten::mul(%j, %three)
  %w : int = aten::__derive_index(%k, %three, %three)
  return (%m, %w)
""")
    most = LENGTHS[1]
    assert found["n"] == (0, most)
    assert found["j"] == (3, 3 + 3 * most)
    assert found["m"] == (9, 9 + 9 * most)
    assert found["w"] == WHOLE


def root(x: float) -> float:
    return math.sqrt(x)


@pytest.mark.parametrize("x", [0.0, -0.0, 2.0, 5e-324, 1.7e308, math.inf])
def test_square_roots(x: float) -> None:
    f = jit.script(root)
    for _ in range(3):
        assert str(f(x)) == str(math.sqrt(x))


def test_square_roots_of_what_has_none() -> None:
    f = jit.script(root)
    for _ in range(3):
        assert math.isnan(f(math.nan))
        for x in (-1.0, -5e-324, -math.inf):
            with pytest.raises(ValueError, match=r"math domain error|expected a nonnegative"):
                f(x)
