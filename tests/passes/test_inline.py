"""Inlining: calls hold graphs, which have no text."""

from __future__ import annotations

from ir import types as T
from ir.graph import Graph, Node
from ir.interpreter import Interpreter
from ir.parser import parse_graph
from ir.passes import inline
from ir.registry import lookup
from ir.verify import verify

CALL = lookup("prim::CallFunction")

SQUARE = """
graph(%x : int):
  %y : int = aten::mul(%x, %x) # square.py:2:11
  return (%y)
"""


def call(graph: Graph, callee: Graph) -> None:
    """Let `graph` return what `callee` makes of what it has returned so far."""
    node = Node(CALL, graph.returns, [T.INT], {"graph": callee, "name": callee.name})
    graph.block.append(node)
    graph.block.set_returns([node.output])


def test_nested_calls_become_nodes() -> None:
    inner, outer = parse_graph(SQUARE, name="inner"), parse_graph(SQUARE, name="outer")
    call(outer, inner)
    graph = parse_graph(SQUARE)
    call(graph, outer)
    assert Interpreter(graph).run(3) == 3**8
    assert inline.run(graph)
    verify(graph)
    assert [n.name for n in graph.walk()] == ["aten::mul"] * 3
    assert Interpreter(graph).run(3) == 3**8
    assert str(graph.block.nodes[2].span) == "square.py:2:11"
    assert [n.name for n in outer.walk()] == ["aten::mul", "prim::CallFunction"]  # untouched


def test_a_recursive_call_stays() -> None:
    graph = parse_graph(SQUARE, name="again")
    call(graph, graph)
    assert not inline.run(graph)
    caller = parse_graph(SQUARE, name="caller")
    call(caller, graph)
    assert inline.run(caller)
    verify(caller)
    assert [n.name for n in caller.walk()] == ["aten::mul", "aten::mul", "prim::CallFunction"]


def test_calls_in_blocks() -> None:
    graph = parse_graph("""
graph(%x : int, %p : bool):
  %y : int = prim::If(%p)
    block0():
      -> (%x)
    block1():
      -> (%x)
  return (%y)
""")
    block = graph.block.nodes[0].blocks[0]
    node = Node(CALL, block.returns, [T.INT], {"graph": parse_graph(SQUARE), "name": "square"})
    block.append(node)
    block.set_returns([node.output])
    assert inline.run(graph)
    verify(graph)
    assert (Interpreter(graph).run(3, True), Interpreter(graph).run(3, False)) == (9, 3)
