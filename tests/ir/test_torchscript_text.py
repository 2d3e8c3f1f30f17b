"""The text form is TorchScript's: what torch prints is read, checked, and printed as it was."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ir import types as T
from ir.parser import parse_graph
from ir.printer import type_text
from ir.verify import verify

with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    def arithmetic(x, y: float, n: int):
        return x * 0.1 + y - 1e-5 + n / 3 + 1e30 + 123456789.0 + 2j

    def control(x, n: int, w: torch.Tensor | None):
        if w is not None:
            x = x + w
        for i in range(n):
            x = x.softmax(-1)
            if i > 3:
                raise ValueError("big %d" % i)  # noqa: UP031
        while bool(x.sum() > 1):
            x = x / 2.0
        return x

    def containers(a: list[int], d: dict[str, list[int]], t: tuple[int, str], u: int | float):
        a.append(len(d))
        d["a\tb\"'"] = a
        return (t[0], t[1]), [1, 2], {"x": 1.5}, a, u, f"{a}"

    def tensors(x):
        y = torch.zeros([2, 3], dtype=torch.float64)
        y[0, 1:] = x.view(-1)[:2].to(torch.float64)
        return y.t(), x.size(0), x[None, ..., 0], torch.cat([x, x], 0), torch.relu_(x.clone())

    def strings(s: str, flag: bool, any_: Any, device: torch.device, g: torch.Generator):
        print(s, flag)
        assert flag, "no"
        return s.upper() if flag else None

    SCRIPTED = [arithmetic, control, containers, tensors, strings]
    TEXTS = [str(torch.jit.script(f).graph) for f in SCRIPTED]
    TRACED = torch.jit.trace(lambda x: (x * x).t().exp(), torch.ones(2, 3))


@pytest.mark.parametrize("text", TEXTS, ids=[f.__name__ for f in SCRIPTED])
def test_scripted_text_comes_back(text: str) -> None:
    graph = parse_graph(text)
    verify(graph)
    assert str(graph) == text


def test_traced_text_comes_back() -> None:
    text = str(TRACED.graph)
    graph = parse_graph(text)
    verify(graph)
    assert str(graph) == text


@pytest.mark.parametrize(
    "type_",
    [
        T.ListType(T.OptionalType(T.TENSOR)),
        T.OptionalType(T.ListType(T.INT)),
        T.TupleType(()),
        T.TupleType((T.INT, T.TupleType((T.STR,)))),
        T.DictType(T.STR, T.ListType(T.FLOAT)),
        T.UnionType((T.FLOAT, T.INT)),
        T.FutureType(T.INT),
        T.ObjectType("__torch__.Model"),
        T.TensorType(None, None, None, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("spell", [type_text, str], ids=["torchscript", "annotation"])
def test_types_in_both_spellings(type_: T.Type, spell: Callable[[T.Type], str]) -> None:
    graph = parse_graph(f"graph(%x : {spell(type_)}):\n  return (%x)")
    assert graph.params[0].type == type_


def test_objects_stand_for_elided_attributes() -> None:
    text = "graph():\n  %0 : Tensor = prim::Constant[value=<Tensor>]()\n  return (%0)\n"
    tensor = torch.ones(2)
    graph = parse_graph(text, objects={"Tensor": tensor})
    assert graph.block.nodes[0].attrs["value"] is tensor
    assert str(graph) == text


@pytest.mark.parametrize("value", [complex(-1, 2), complex(0.5, -0.0), complex("inf+nanj"), -0.0])
def test_numbers_come_back(value: Any) -> None:
    text = parse_graph("graph():\n  %0 : complex = prim::Constant[value=1.]()\n  return (%0)")
    text.block.nodes[0].attrs["value"] = value
    again = parse_graph(str(text)).block.nodes[0].attrs["value"]
    assert repr(again) == repr(value)
