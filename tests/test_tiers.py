"""Generated whole functions: every tier gives eager's results, errors and written arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, note, settings

import jit
from ir import Interpreter, erased_type_of
from jit.script import compile_function
from jit.trace.structure import flatten
from jit.trace.tracer import trace_graph
from tests.programs import Program, arguments, load, programs

CALLS = [
    arguments(3, 5, 2, True),
    arguments(3, 5, 2, True),
    arguments(3, 5, 2, False),  # another path
    arguments(7, 5, 2, True),  # other sizes
    arguments(7, 16, 3, False),
    arguments(4, 9, 1, True, is_transposed=True),
    arguments(4, 33, 5, True),
]
Outcome = tuple[Any, ...]


def outcome(function: Callable[..., Any], args: Any) -> Outcome:
    """The result or the exception's type, and the arguments afterwards."""
    args = copy.deepcopy(args)
    try:
        return "returns", function(*args), args
    except (RuntimeError, IndexError, ValueError, ZeroDivisionError) as error:
        return "raises", type(error), args


def compare(tier: str, function: Callable[..., Any], eager: Callable[..., Any], calls: Any) -> None:
    """The tier's outcomes are eager's."""
    for number, args in enumerate(calls):
        kind, expected, left = outcome(eager, args)
        found_kind, found, found_left = outcome(function, args)
        where = f"{tier}, call {number}"
        assert found_kind == kind, f"{where}: {found_kind} {found}, eager {kind} {expected}"
        if kind == "raises":
            assert issubclass(found, expected), where
            continue  # what was written before the error is not compared
        for a, b in zip(flatten((found, found_left))[0], flatten((expected, left))[0], strict=True):
            torch.testing.assert_close(
                a, b, rtol=2e-4, atol=2e-5, equal_nan=True, msg=lambda m, w=where: f"{w}: {m}"
            )
        assert_numbers(where, found, expected)


def assert_numbers(where: str, found: Any, expected: Any) -> None:
    """Results that are no tensors agree, too."""
    for a, b in zip(found, expected, strict=True):
        assert type(a) is type(b), where
        if not isinstance(b, torch.Tensor):
            assert a == pytest.approx(b, rel=2e-4, abs=2e-5, nan_ok=True), where


def check_tiers(program: Program) -> None:
    """Interpreter, native code and, without control flow, the trace."""
    note(program.source)
    eager = load(program.source)
    types = [erased_type_of(a) for a in CALLS[0]]
    interpreter = Interpreter(compile_function(eager, types).graph)
    compare("interpreter", interpreter.run, eager, CALLS)
    compare("native", jit.jit(eager), eager, CALLS)
    if program.is_straight and outcome(eager, CALLS[0])[0] == "returns":
        check_trace(eager)


def check_trace(eager: Callable[..., Any]) -> None:
    """A trace serves other sizes; the numbers of the example are its constants."""
    made = trace_graph(eager, copy.deepcopy(CALLS[0]), is_quiet=True)

    def traced(*args: Any) -> Any:
        result = Interpreter(made.graph).run(*flatten(args)[0])
        result = result if made.out_structure.leaf_count > 1 else [result]
        *computed, _ = made.out_structure.rebuild(result)  # the last is a float: frozen
        return tuple(computed)

    calls = [args for args in CALLS if args[4] == CALLS[0][4]]
    compare("trace", traced, lambda *args: eager(*args)[:-1], calls)


FOUND = {  # programs that once parted the tiers, reduced
    "a view of an argument goes around a loop, then the argument is written": """
    i = 2
    while i > 0:
        i -= 1
        w = x[0]
    x.mul_(0.5)
    return w, x * 1""",
    "a branch that is called back gives a tensor to a kernel": """
    if n > 2:
        w = y[-1]
    else:
        w.mul_(0.5)
        w = x[0]
    w.add_(1)
    return torch.tanh(w), w * 2""",
    "a view is read by a kernel, then written": """
    v = y.t()
    v += v * 0.5
    u = (v + n) * 0.25
    u[...] = v * 0.5
    return u, y.t()""",
    "two rows are computed from the same kept exponentials": """
    a = w.softmax(0)
    b = w.softmax(0)
    return a, b""",
    "a prefix sum of what is also stored": """
    y.copy_(x * 0.5)
    y = y.cumsum(0)
    return y, x""",
}


@pytest.mark.parametrize("body", FOUND.values(), ids=FOUND)
def test_found(body: str) -> None:
    eager = load(f"def generated(x, y, w, k, n: int, flag: bool):{body}\n")
    types = [erased_type_of(a) for a in CALLS[0]]
    compare("interpreter", Interpreter(compile_function(eager, types).graph).run, eager, CALLS)
    compare("native", jit.jit(eager), eager, CALLS)


BUDGET = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@settings(max_examples=40, phases=(Phase.generate,), **BUDGET)
@given(programs())
def test_tiers_agree(program: Program) -> None:
    check_tiers(program)


@pytest.mark.sweep
@settings(max_examples=1500, **BUDGET)
@given(programs())
def test_tiers_agree_on_many(program: Program) -> None:
    check_tiers(program)
