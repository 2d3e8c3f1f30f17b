"""Modules and other live objects: their forward compiled as it is, their state seen at run time."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from ir import Interpreter, TupleType, erased_type_of
from jit.script import compile_function

IMAGE = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
ROWS = torch.linspace(-1, 1, 32).reshape(4, 8)
SEQUENCE = torch.linspace(-1, 1, 80).reshape(2, 5, 8)


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.seen: list[int] = [1]
        self.register_buffer("total", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        self.seen.append(self.count)
        self.total = self.total + x.sum()
        return x * self.count + self.seen[-1] + self.total


class Base(nn.Module):
    scale = 2

    def helper(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.helper(x)


class Derived(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.ReLU(), nn.Tanh()])
        self.table = nn.ModuleDict({"a": nn.Sigmoid(), "b": nn.ReLU()})
        self.skip: nn.Module | None = None

    @property
    def depth(self) -> int:
        return len(self.layers)

    def helper(self, x: torch.Tensor) -> torch.Tensor:
        return super().helper(x) + 1

    def forward(self, x: torch.Tensor, which: int = 1, key: str = "a") -> torch.Tensor:
        x = super().forward(x)
        for i, layer in enumerate(self.layers):
            x = layer(x) + i
        for name, layer in self.table.items():
            x = layer(x) * len(name)
        if self.skip is not None:
            x = self.skip(x)
        total = sum(p.sum() for p in self.parameters())
        return self.layers[which](x) * self.depth + self.table[key](x) + total


def run(module: nn.Module, *args: Any) -> Any:
    """Compile a call of the module and run it."""

    def call(*inputs: Any) -> Any:
        return module(*inputs)

    types = [TupleType(tuple(erased_type_of(a) for a in args))]
    return Interpreter(compile_function(call, types).graph).run(args)


def check(module: nn.Module, *args: Any) -> None:
    twin = copy.deepcopy(module)
    for _ in range(2):
        torch.manual_seed(0)
        result = run(module, *args)
        torch.manual_seed(0)
        torch.testing.assert_close(result, twin(*args))
    torch.testing.assert_close(module.state_dict(), twin.state_dict())


MODULES = [
    (nn.Linear(8, 3), (ROWS,)),
    (nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"), (IMAGE,)),
    (nn.BatchNorm2d(3), (IMAGE,)),
    (nn.Sequential(nn.Linear(8, 4), nn.GELU(), nn.LayerNorm(4), nn.Dropout(0.5)), (ROWS,)),
    (nn.LSTM(8, 6, batch_first=True), (SEQUENCE,)),
    (nn.MultiheadAttention(8, 2, batch_first=True), (SEQUENCE, SEQUENCE, SEQUENCE)),
    (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0), (SEQUENCE,)),
    (nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)), (ROWS,)),
    (Counter(), (ROWS,)),
    (Derived(), (ROWS, 1, "a")),
    (Derived(), (ROWS, -1, "b")),
]


@pytest.mark.parametrize(("module", "args"), MODULES, ids=[type(m).__name__ for m, _ in MODULES])
def test_module(module: nn.Module, args: tuple[Any, ...]) -> None:
    check(module, *args)


def test_index_out_of_range() -> None:
    with pytest.raises(IndexError):
        run(Derived(), ROWS, 7, "a")
    with pytest.raises(KeyError):
        run(Derived(), ROWS, 0, "zz")


def test_hooks_run() -> None:
    module = nn.Linear(8, 8)
    module.register_forward_pre_hook(lambda m, args: args[0] + 1)
    module.register_forward_hook(lambda m, args, out: out * 2)
    check(module, ROWS)


def test_a_parameter_is_captured_by_its_place() -> None:
    module = nn.Linear(8, 3)
    captures = {c.name: c for c in compile_function(module.forward).captures}
    assert captures["self.weight"].holder is module and captures["self.weight"].key == "weight"
    module.weight = nn.Parameter(torch.zeros(3, 8))
    assert captures["self.weight"].read() is module.weight


SEEN: list[int] = []


def test_a_captured_list_that_is_changed_is_the_object_itself() -> None:
    def f(n: int) -> int:
        SEEN.append(n)
        return len(SEEN)

    run_f = Interpreter(compile_function(f, [erased_type_of(1)]).graph).run
    assert [run_f(5), run_f(6)] == [1, 2] and SEEN == [5, 6]
    SEEN.clear()
