"""What the text tests cannot show: frees, observers, notes of errors, speed of the executor."""

from __future__ import annotations

import time
import weakref
from typing import Any

import pytest
import torch

from ir.graph import Value
from ir.interpreter import Interpreter
from ir.parser import parse_graph
from ir.source import Span

CHAIN = """
graph(%x : Tensor):
  %a : Tensor = aten::exp(%x)
  %b : Tensor = aten::neg(%a)
  %c : Tensor = aten::relu(%b)
  %d : Tensor = aten::tanh(%c)
  return (%d)
"""

LOOP = """
graph(%x : Tensor, %n : int, %p : bool):
  %go : bool = prim::Constant[value=True]()
  %a : Tensor = aten::exp(%x)
  %r : Tensor = prim::Loop(%n, %go, %a)
    block0(%i : int, %q : Tensor):
      %b : Tensor = aten::neg(%q)
      %c : Tensor = prim::If(%p)
        block0():
          -> (%b)
        block1():
          %d : Tensor = aten::relu(%b)
          -> (%d)
      -> (%go, %c)
  return (%r)
"""


class Liveness:
    """Notes how many of the observed tensors are alive whenever one is seen."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, weakref.ref[torch.Tensor]]] = []
        self.alive: dict[str | None, list[str | None]] = {}

    def observe(self, value: Value, result: object) -> None:
        if isinstance(result, torch.Tensor):
            self.seen = [(n, r) for n, r in self.seen if r() is not None and r() is not result]
            self.alive[value.name] = [name for name, _ in self.seen]
            self.seen.append((value.name, weakref.ref(result)))


def test_values_die_at_their_last_use() -> None:
    watch = Liveness()
    Interpreter(parse_graph(CHAIN)).run(torch.ones(2), observer=watch)
    assert watch.alive == {"x": [], "a": ["x"], "b": ["x", "a"], "c": ["x", "b"], "d": ["x", "c"]}


def test_values_die_inside_branches_and_loops() -> None:
    watch = Liveness()
    Interpreter(parse_graph(LOOP)).run(torch.ones(2), 2, False, observer=watch)
    assert watch.alive["b"] == ["x", "q"]  # not %a: the loop holds it as %q
    assert watch.alive["d"] == ["x", "b"]


def test_observer_sees_every_result_in_order() -> None:
    seen: list[tuple[str | None, Any]] = []

    class Observer:
        def observe(self, value: Value, result: object) -> None:
            seen.append((value.name, result))

    Interpreter(parse_graph(LOOP)).run(torch.tensor(0.0), 1, True, observer=Observer())
    assert [name for name, _ in seen] == ["x", "n", "p", "a", "i", "q", "b", "c", "r"]
    assert dict(seen)["r"] == torch.tensor(-1.0)


def test_an_error_shows_the_users_line() -> None:
    graph = parse_graph(CHAIN)
    graph.block.nodes[1].span = Span("user.py", 7, 4, 8, "    y = -a")
    with pytest.raises(RuntimeError) as caught:
        Interpreter(graph).run("no tensor")
    assert not getattr(caught.value, "__notes__", [])  # aten::exp has no span
    text = CHAIN.replace("%a : Tensor = aten::exp(%x)", "%a : Tensor = aten::alias(%x)")
    graph = parse_graph(text)
    graph.block.nodes[1].span = Span("user.py", 7, 8, 10, "    y = -a")
    with pytest.raises(RuntimeError) as caught:
        Interpreter(graph).run(torch.tensor(True))  # torch refuses to negate a bool
    assert caught.value.__notes__ == ['  File "user.py", line 7\n    y = -a\n        ^^']


def test_wrong_arity_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        Interpreter(parse_graph(CHAIN)).run(1, 2)


def test_several_returns_and_none() -> None:
    two = parse_graph("graph(%a : int, %b : str):\n  return (%b, %a)")
    assert Interpreter(two).run(1, "x") == ("x", 1)
    none = parse_graph("graph(%a : int):\n  return ()")
    assert Interpreter(none).run(1) is None


def test_overhead_per_node() -> None:
    """At most 250 ns per node over the op; a loose bound, since machines differ."""
    lines = ["  %v1 : int = aten::add(%x, %x)"]
    lines += [f"  %v{i} : int = aten::add(%v{i - 1}, %x)" for i in range(2, 501)]
    graph = parse_graph("graph(%x : int):\n" + "\n".join(lines) + "\n  return (%v500)")
    run = Interpreter(graph).function
    assert run(1) == 501
    best = min(_seconds(run) for _ in range(20))
    assert best / 500 < 1e-6


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run(1)
    return time.perf_counter() - start
