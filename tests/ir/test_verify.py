"""Laws that no text can break: each is broken by hand and must be named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ir import types as T
from ir.errors import VerifyError
from ir.graph import Graph, Node
from ir.parser import parse_graph
from ir.registry import lookup
from ir.verify import problems, verify

TEXT = """
graph(%x : Tensor, %p : bool):
  %1 : int = prim::Constant[value=1]()
  %a : Tensor = aten::add(%x, %x, %1)
  %y : Tensor = prim::If(%p)
    block0():
      -> (%a)
    block1():
      -> (%x)
  return (%y)
"""


def add(graph: Graph) -> Node:
    return graph.block.nodes[1]


def foreign_block(graph: Graph) -> None:
    add(graph).block = Graph().block


def foreign_owner(graph: Graph) -> None:
    graph.block.nodes[2].blocks[0].owner = add(graph)


def defined_by_two(graph: Graph) -> None:
    graph.block.nodes[2].outputs.append(add(graph).output)


def unlisted_use(graph: Graph) -> None:
    graph.params[0].uses.pop()


def stale_use(graph: Graph) -> None:
    graph.params[0].uses.append((add(graph), 2))


def input_missing(graph: Graph) -> None:
    node = add(graph)
    node.inputs[2].uses.remove((node, 2))
    node.inputs.pop()


def output_too_many(graph: Graph) -> None:
    add(graph).add_output(T.TENSOR)


def wrong_operand(graph: Graph) -> None:
    node = add(graph)
    node.replace(0, node.inputs[2])
    node.replace(2, graph.params[0])


def owns_a_block(graph: Graph) -> None:
    add(graph).add_block()


def use_before_definition(graph: Graph) -> None:
    nodes = graph.block.nodes
    nodes[1], nodes[2] = nodes[2], nodes[1]


def constant_without_value(graph: Graph) -> None:
    graph.block.nodes[0].attrs.clear()


BREACHES = [
    (1, foreign_block),
    (1, foreign_owner),
    (2, defined_by_two),
    (3, use_before_definition),
    (4, unlisted_use),
    (4, stale_use),
    (5, input_missing),
    (5, output_too_many),
    (6, wrong_operand),
    (8, constant_without_value),
    (12, owns_a_block),
]


@pytest.mark.parametrize(("law", "breach"), BREACHES)
def test_breach_is_named(law: int, breach: Callable[[Graph], None]) -> None:
    graph = parse_graph(TEXT)
    verify(graph)
    breach(graph)
    assert law in [p.law for p in problems(graph)]
    with pytest.raises(VerifyError, match=rf"error: \({law}\)"):
        verify(graph)


def test_scalars_of_unknown_kind_are_narrowed() -> None:
    graph = Graph()
    x = graph.block.add_param(T.TENSOR, "x")
    node = graph.block.append(Node(lookup("aten::item"), [x], [T.FLOAT]))
    graph.block.add_return(node.output)
    verify(graph)
