"""What the front end takes beyond TorchScript's language, saved: read back by Relume and by torch,
each with the results of plain Python.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from tests.script.support import same

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def saved(target: Any) -> bytes:
    """The archive of a scripted function or module."""
    buffer = io.BytesIO()
    jit.save(jit.script(target), buffer)
    return buffer.getvalue()


def check(target: Any, *args: Any) -> Any:
    """Compare both readers with plain Python; gives our loaded copy."""
    data = saved(target)
    torch.manual_seed(0)
    wanted = target(*args)
    loaded = jit.load(io.BytesIO(data))
    for reader in (loaded, torch.jit.load(io.BytesIO(data))):
        torch.manual_seed(0)
        found = reader(*args)
        assert same(found, wanted), f"{found!r} is not {wanted!r}"
    return loaded


# tensors ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.Tensor([1, 2]),
        lambda: torch.Tensor([[1.0, 2.0], [3.0, 4.0]]),
        lambda: torch.LongTensor([1.5, -1.5]),
        lambda: torch.BoolTensor([0, 2]),
        lambda: torch.FloatTensor(2, 3).fill_(1.0),
        lambda: torch.DoubleTensor(torch.Size([2, 3])).fill_(1.0),
        lambda: torch.Tensor(),
    ],
)
def test_old_constructors(make: Callable[[], torch.Tensor]) -> None:
    check(make)


def seeded(x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.rand(2) + x


def test_seeds_after_dynamo_was_used() -> None:
    torch._dynamo.disable(seeded)(torch.ones(2))  # torch wraps `manual_seed` then
    check(seeded, torch.ones(2))


# modules ------------------------------------------------------------------------------------------
class Block(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.steps = [torch.nn.Linear(size, size), torch.nn.Tanh()]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x


class Unregistered(torch.nn.Module):
    """Modules in lists, tuples and dicts, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        shared = Block(3)
        self.own = torch.nn.Linear(3, 3)
        self.first = [shared, self.own]
        self.second = (shared, torch.nn.ReLU())
        self.named = {"gate": torch.nn.Sigmoid(), "bias": torch.nn.Linear(3, 3)}
        self.above = [self]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.first:
            x = module(x)
        for module in self.second:
            x = module(x)
        return self.named["gate"](x) + self.named["bias"](x)


def test_modules_in_plain_containers() -> None:
    module = Unregistered().eval()
    loaded = check(module, torch.rand(2, 3))
    assert isinstance(loaded.first, torch.nn.Module)
    assert torch.equal(loaded.state_dict()["named.bias.weight"], module.named["bias"].weight)
