"""Functions compiled from text."""

from __future__ import annotations

import pytest
import torch

import jit

X = torch.randn(3)
SOURCE = """
    def double(x):
        return helper(x) * 2

    def helper(x: Tensor, n: int = 1) -> Tensor:
        pieces: List[Tensor] = annotate(List[Tensor], [])
        pieces.append(x.relu() + n)
        return pieces[0]
"""


def test_functions_are_attributes() -> None:
    unit = jit.CompilationUnit(SOURCE)
    for _ in range(3):
        torch.testing.assert_close(unit.double(X), (X.relu() + 1) * 2)
    torch.testing.assert_close(unit.helper(X, n=3), X.relu() + 3)
    assert [f.name for f in unit.get_functions()] == ["double", "helper"]
    assert str(unit.helper.schema) == "helper(Tensor x, int n=1) -> Tensor"
    assert unit.find_function("other") is None
    with pytest.raises(AttributeError, match="no function 'other'"):
        _ = unit.other


def test_definitions_add_up() -> None:
    unit = jit.CompilationUnit(SOURCE)
    unit.define("def third(x):\n    return double(x) + outside(x)\n", lambda n: {
        "outside": torch.exp}.get(n))  # fmt: skip
    torch.testing.assert_close(unit.third(X), (X.relu() + 1) * 2 + X.exp())
    made = unit.create_function("double", unit.third.graph, shouldMangle=True)
    assert made.name == "double_1"
    torch.testing.assert_close(unit.double_1(X), unit.third(X))
    unit.set_optimized(False)
    unit.drop_all_functions()
    assert unit.get_functions() == []


ERRORS = [
    ("def f(x):\n    return x.nope\n", r"line 2\n    return x.nope\n           \^"),
    ("def f(x)\n    return x\n", r"is no Python: .*\n.*line 1\n    def f\(x\)\n"),
    ("x = 3\n", "function definitions only, not Assign"),
    ("@torch.no_grad()\ndef f(x):\n    return x\n", "not decorators"),
    ("def double(x):\n    return x\n", "'double' is defined already"),
]


@pytest.mark.parametrize(("source", "message"), ERRORS)
def test_errors_show_the_text(source: str, message: str) -> None:
    unit = jit.CompilationUnit(SOURCE)
    with pytest.raises(jit.CompileError, match=message):
        unit.define(source)
    assert [f.name for f in unit.get_functions()] == ["double", "helper"]
