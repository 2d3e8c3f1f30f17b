"""The pipeline: order, watchers, verification in between, a second run that finds nothing."""

from __future__ import annotations

import pytest

from ir.errors import VerifyError
from ir.graph import Graph
from ir.parser import parse_graph
from ir.pipeline import PIPELINE, Dump, Pass, run_pipeline

TEXT = """
graph(%x : Float(3, strides=[1])):
  %1 : int = prim::Constant[value=1]()
  %2 : int = prim::Constant[value=2]()
  %3 : int = aten::add(%1, %2)
  %a : Float(3, strides=[1]) = aten::mul(%x, %3)
  %b : Float(3, strides=[1]) = aten::mul(%x, %3)
  %c : Float(3, strides=[1]) = aten::add_(%a, %b, %1)
  return (%c)
"""


def test_names_of_the_steps() -> None:
    seen: list[str] = []

    class Watcher:
        def after(self, step: Pass, graph: Graph, changed: bool, seconds: float) -> None:
            seen.append(step.name)

    run_pipeline(parse_graph(TEXT), verify_between=True, watcher=Watcher())
    assert seen == [p.name for p in PIPELINE]


def test_a_second_run_changes_nothing() -> None:
    graph = run_pipeline(parse_graph(TEXT))
    text = str(graph)
    assert not any(step.run(graph) for step in PIPELINE)
    assert str(graph) == text


def test_a_breach_names_the_pass() -> None:
    def breach(graph: Graph) -> bool:
        graph.params[0].uses.clear()
        return True

    with pytest.raises(VerifyError, match="after pass 'careless'"):
        run_pipeline(parse_graph(TEXT), [Pass("careless", breach)], verify_between=True)


def test_dump_shows_time_and_text() -> None:
    lines: list[str] = []
    run_pipeline(parse_graph(TEXT), watcher=Dump(lines.append))
    heads = [line for line in lines if line.startswith("#")]
    assert len(heads) == len(PIPELINE) and " us" in heads[0]
    assert any("no change" in line for line in heads)
    assert any(line.startswith("graph(") for line in lines)
