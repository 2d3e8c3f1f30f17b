"""Alias sets: what shares memory, what is written, what escapes."""

from __future__ import annotations

import pytest

from ir.alias import Aliases
from ir.graph import Graph, Value
from ir.parser import parse_graph

TEXT = """
graph(%x : Tensor, %n : int, %go : bool, %s : List[int]):
  %a : Tensor = aten::exp(%x)
  %v : Tensor = aten::view(%a, %s)
  %b : Tensor = aten::neg(%v)
  %w : Tensor = aten::add_(%v, %b, %n)
  %l : List[Tensor] = prim::ListConstruct(%b)
  %r : Tensor = prim::Loop(%n, %go, %x)
    block0(%i : int, %q : Tensor):
      %t : Tensor = aten::t(%q)
      -> (%go, %t)
  %e : List[Tensor] = prim::ListConstruct()
  %f : List[Tensor] = aten::append(%e, %r)
  %o : Tensor = aten::tanh(%b)
  return (%o)
"""


@pytest.fixture
def values() -> dict[str, Value]:
    graph = parse_graph(TEXT)
    nodes = list(graph.walk())
    found = [*graph.params, *(v for n in nodes for v in n.outputs)]
    found += [p for n in nodes for b in n.blocks for p in b.params]
    return {str(v.name): v for v in found} | {"graph": graph}  # type: ignore[dict-item]


def aliases(values: dict[str, Value]) -> Aliases:
    graph = values["graph"]
    assert isinstance(graph, Graph)
    return Aliases(graph)


@pytest.mark.parametrize(
    ("a", "b", "together"),
    [("a", "v", True), ("a", "w", True), ("b", "l", True), ("x", "q", True), ("x", "r", True),
     ("x", "t", True), ("r", "e", True), ("a", "x", False), ("a", "b", False), ("o", "b", False),
     ("n", "n", False)],
)
def test_may_alias(values: dict[str, Value], a: str, b: str, together: bool) -> None:
    assert aliases(values).may_alias(values[a], values[b]) is together


def test_written_external_escaping(values: dict[str, Value]) -> None:
    sets = aliases(values)
    names = [n for n in values if n != "graph"]
    assert {n for n in names if sets.is_written(values[n])} == {"a", "v", "w", "e", "f"}
    assert {n for n in names if sets.is_external(values[n])} == {
        "x", "q", "r", "t", "e", "f", "s"}
    assert {n for n in names if sets.escapes(values[n])} == {
        "x", "q", "r", "t", "e", "f", "s", "o"}


def test_calls_may_write_what_is_outside() -> None:
    graph = parse_graph("""
graph(%x : Tensor):
  %a : Tensor = aten::exp(%x)
  %b : Tensor = aten::exp(%x)
   = prim::PythonOp[function=<f>](%a)
  return (%b)
""")
    sets = Aliases(graph)
    a, b = (graph.block.nodes[i].output for i in (0, 1))
    assert sets.is_written(graph.params[0]) and sets.is_written(a) and sets.escapes(a)
    assert not sets.is_written(b)


def test_values_of_dicts() -> None:
    graph = parse_graph("""
        graph(%d : Dict(int, int[])):
          %k : int = prim::Constant[value=1]()
          %one : int[] = aten::__getitem__(%d, %k)
          %copy : Dict(int, int[]) = aten::copy(%d)
          %other : int[] = prim::ListConstruct(%k)
          %all : int[][] = aten::values(%copy)
          return (%all)
        """)
    (d,) = graph.params
    aliases = Aliases(graph)
    one, copy, other, values = (n.output for n in graph.block.nodes[1:])
    assert all(aliases.may_alias(d, v) for v in (one, copy, values))
    assert not aliases.may_alias(d, other)
