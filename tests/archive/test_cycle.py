"""Generated programs go around: saved, loaded by both readers, run, and saved again."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import jit
from ir import CompileError
from tests.list_programs import Program as ListProgram
from tests.programs import Program, arguments, load, programs

BUDGET: dict[str, Any] = {
    "deadline": None,
    "phases": (Phase.generate,),
    "suppress_health_check": list(HealthCheck),
}
LISTS = ([3, 1, 2, 5], [4, 4], [0.5, -1.5], 3)
pytestmark = pytest.mark.filterwarnings("ignore")


def outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "returns", function(*copy.deepcopy(args))
    except Exception as error:  # noqa: BLE001  programs raise what they like
        return "raises", type(error)


def go_around(function: Callable[..., Any], args: tuple[Any, ...], types: list[Any]) -> None:
    """What raises in eager may do something else in torch."""
    kind, expected = outcome(function, args)
    if kind == "raises":
        return
    annotations = dict(zip(("x", "y", "w", "k", "n", "flag"), types, strict=False))
    function.__annotations__ = annotations or function.__annotations__
    try:
        data = jit.script(function).save_to_buffer()
    except CompileError as error:
        assert "Could not export" in str(error)
        return
    for reader in (jit.load(io.BytesIO(data)), torch.jit.load(io.BytesIO(data))):
        found = reader(*copy.deepcopy(args))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    again = jit.load(io.BytesIO(data)).save_to_buffer()
    assert jit.load(io.BytesIO(again)).save_to_buffer() == again


TENSORS = [torch.Tensor] * 4 + [int, bool]


@settings(max_examples=8, **BUDGET)
@given(programs())
def test_programs(program: Program) -> None:
    go_around(load(program.source), arguments(4, 3, 2, True), TENSORS)


@pytest.mark.sweep
@settings(max_examples=300, **BUDGET)
@given(programs())
def test_many_programs(program: Program) -> None:
    go_around(load(program.source), arguments(4, 3, 2, True), TENSORS)


@settings(max_examples=8, **BUDGET)
@given(st.data())
def test_programs_with_lists(data: st.DataObject) -> None:
    go_around(ListProgram(data.draw).function(), LISTS, [])


@pytest.mark.sweep
@settings(max_examples=300, **BUDGET)
@given(st.data())
def test_many_programs_with_lists(data: st.DataObject) -> None:
    go_around(ListProgram(data.draw).function(), LISTS, [])
