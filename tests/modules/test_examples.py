"""A script of a module takes what an earlier script of one that is alike compiled, where nothing
that was read then has changed.
"""

from __future__ import annotations

import copy
import gc
import importlib
import weakref
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

import jit

X = torch.linspace(-1, 1, 12).reshape(3, 4)
FACTOR = 2.0


class Part(nn.Module):
    def __init__(self, power: int = 2) -> None:
        super().__init__()
        self.power = power
        self.calls = 0
        self.product = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.product(x) ** self.power * FACTOR


class Whole(nn.Module):
    kind: Final[str]
    shift = 1.0

    def __init__(self, kind: str = "tanh", power: int = 2) -> None:
        super().__init__()
        self.kind = kind
        self.parts = nn.ModuleList([Part(power), Part(power)])

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return torch.tanh(x) + self.shift if self.kind == "tanh" else x


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the methods that scripts compile."""
    gc.collect()  # the examples of other tests
    names: list[str] = []
    module: Any = importlib.import_module("jit.script.compile")
    original = module.compile_function

    def noting(fn: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(fn.__name__)
        return original(fn, *args, **kwargs)

    monkeypatch.setattr(module, "compile_function", noting)
    return names


def check(module: nn.Module) -> Any:
    made = jit.script(copy.deepcopy(module))
    for _ in range(3):
        torch.testing.assert_close(made(X), module(X))
    return made


def test_a_module_that_is_alike_is_not_compiled_again(compiled: list[str]) -> None:
    modules = Whole(), Whole()
    first, second = map(jit.script, modules)
    assert compiled == ["forward"]
    for made, module in zip((first, second), modules, strict=True):
        torch.testing.assert_close(made(X), module(X))
    assert (first.parts[0].calls, second.parts[0].calls) == (1, 1)
    before = second(X)
    with torch.no_grad():
        first.parts[1].product.weight.zero_()
    torch.testing.assert_close(second(X), before)
    assert first.graph is not second.graph


@pytest.mark.parametrize("change", [{"kind": "none"}, {"power": 3}])
def test_one_that_differs_is(change: dict[str, Any], compiled: list[str]) -> None:
    first = jit.script(Whole())
    check(Whole(**change))
    assert compiled == ["forward"] * 2 and first.training


def test_what_has_changed_since_is_seen(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = jit.script(Whole())
    monkeypatch.setitem(globals(), "FACTOR", 5.0)
    second = check(Whole())
    assert compiled == ["forward"] * 2 and first is not second
    second = jit.script(Whole())
    monkeypatch.setattr(Whole, "shift", 3.0)
    check(Whole())
    assert compiled == ["forward"] * 4 and first is not second


def test_hooks_are_seen(compiled: list[str]) -> None:
    def double(module: nn.Module, args: Any, result: Tensor) -> Tensor:
        return result * 2

    first, hooked = jit.script(Whole()), Whole()
    hooked.parts[0].register_forward_hook(double)
    second = check(hooked)
    assert len(compiled) == 2 and first is not second


def test_examples_keep_no_module_alive(compiled: list[str]) -> None:
    first = jit.script(Whole())
    alive = weakref.ref(first)
    second = jit.script(Whole())
    del first
    gc.collect()
    assert alive() is None
    del second
    check(Whole())
    assert compiled == ["forward"] * 2


def test_an_example_that_was_changed_is_none(compiled: list[str]) -> None:
    first = jit.script(Whole())
    first.parts = nn.ModuleList([Part()])
    check(Whole())
    assert compiled == ["forward"] * 2
