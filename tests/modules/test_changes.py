"""Changes of a module's structure after its code was compiled are seen by the next call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jit

X = torch.randn(3, 4)
NEW = [nn.Linear(4, 4) for _ in range(8)]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.items = nn.ModuleList([nn.Linear(4, 4)])
        self.named = nn.ModuleDict({"a": nn.Linear(4, 4)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for i, item in enumerate(self.items):
            x = item(x) + i
        for item in self.named.values():
            x = item(x)
        for _ in self.children():
            x = x + 1
        return self.items[0](x) + self.first[0](x) + len(self.named)


def nothing(net: Net) -> None:
    pass


def append(net: Net) -> None:
    net.first.append(NEW[0])


def replace(net: Net) -> None:
    net.first[1] = nn.ReLU()


def remove(net: Net) -> None:
    del net.first[1]


def insert(net: Net) -> None:
    net.items.insert(0, NEW[1])


def exchange(net: Net) -> None:
    net.items[0] = NEW[2]


def name(net: Net) -> None:
    net.named["b"] = NEW[3]


def add_child(net: Net) -> None:
    net.extra = NEW[4]


def hook(net: Net) -> None:
    net.items[0].register_forward_hook(lambda module, args, out: out * 2)


def pre_hook(net: Net) -> None:
    net.first[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))


def patch(net: Net) -> None:
    net.first[0].forward = lambda x: x * 9  # type: ignore[method-assign]


CHANGES = [append, replace, remove, insert, exchange, name, add_child, hook, pre_hook, patch]
WAYS: dict[str, Callable[[Net], Callable[[Tensor], Any]]] = {
    "module": jit.jit,
    "forward": lambda net: setattr(net, "forward", jit.jit(net.forward)) or net,
    "function": lambda net: jit.jit(lambda x: net(x)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_changes_are_seen(change: Callable[[Net], None], way: str) -> None:
    net = Net()
    eager = copy.deepcopy(net)
    compiled = WAYS[way](net)
    with torch.no_grad():
        for after in (nothing, change):
            after(net)
            after(eager)
            for _ in range(3):
                torch.testing.assert_close(compiled(X), eager(X), atol=2e-5, rtol=2e-5)


def test_hooks_of_all_modules_come_and_go() -> None:
    net = Net()
    compiled = jit.jit(net)
    with torch.no_grad():
        expected = net(X)
        for _ in range(3):
            torch.testing.assert_close(compiled(X), expected, atol=2e-5, rtol=2e-5)
        handle = nn.modules.module.register_module_forward_hook(
            lambda module, args, out: out + 1 if isinstance(module, nn.Linear) else None
        )
        for _ in range(3):
            torch.testing.assert_close(compiled(X), net(X), atol=2e-5, rtol=2e-5)
        handle.remove()
        torch.testing.assert_close(compiled(X), expected, atol=2e-5, rtol=2e-5)


def test_a_hook_that_is_removed_was_an_excursion() -> None:
    net = Net()
    compiled = jit.jit(net)
    with torch.no_grad():
        for _ in range(4):
            compiled(X)
        made = jit.stats(compiled).compilations
        for _ in range(3):
            handle = net.items[0].register_forward_hook(lambda module, args, out: out * 2)
            torch.testing.assert_close(compiled(X), net(X), atol=2e-5, rtol=2e-5)
            handle.remove()
            torch.testing.assert_close(compiled(X), net(X), atol=2e-5, rtol=2e-5)
        assert jit.stats(compiled).compilations <= made + 4
