"""Equal nests have one kernel; those that differ in anything have their own."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import jit
from codegen.liveness import _of_item, dying


class Layer(nn.Module):
    def __init__(
        self, eps: float = 1e-5, function: Callable[[Tensor], Tensor] = torch.tanh
    ) -> None:
        super().__init__()
        self.product = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8, eps=eps)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return x + self.function(self.norm(self.product(x)))


def emitted(*layers: nn.Module) -> tuple[int, int]:
    """How many nests a model of these layers has, and how many kernels, after it was checked."""
    model = nn.Sequential(*layers).eval()
    for k, p in enumerate(model.parameters()):
        nn.init.uniform_(p, -0.1 * k, 0.5)
    scripted = jit.script(model)
    x = torch.linspace(-1, 1, 640).reshape(80, 8)
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(scripted(x), model(x), atol=2e-5, rtol=2e-5)
    (compiled,) = scripted.forward.executor.compiled
    kernels = re.findall(r'^define [^@]*@"?kernel\d+"?\(', compiled.plan.llvm, re.M)
    return len(compiled.plan.kernels), len(kernels)


def test_equal_layers_share_kernels() -> None:
    _, one = emitted(Layer(), Layer())
    many, shared = emitted(*(Layer() for _ in range(8)))
    assert many > shared
    assert shared <= one + 1  # what lies between layers


@pytest.mark.parametrize("other", [Layer(eps=1e-3), Layer(function=torch.sin)])
def test_other_layers_have_kernels_of_their_own(other: nn.Module) -> None:
    _, alone = emitted(*(Layer() for _ in range(6)))
    _, together = emitted(*(Layer() for _ in range(3)), other, *(Layer() for _ in range(3)))
    assert together > alone


def test_weights_of_a_kind_have_one_guard() -> None:
    """And it still tells one kind from another, and tensors that are replaced."""
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(6)))
    scripted = jit.script(model)
    x = torch.ones(2, 8)
    with torch.no_grad():
        for _ in range(3):
            scripted(x)
        (compiled,) = scripted.forward.executor.compiled
        testers = re.findall(r'^define internal ptr @"?tensor', compiled.plan.llvm, re.M)
        assert len(testers) == 2
        assert compiled.plan.hits == 2
        scripted[3].weight = nn.Parameter(torch.zeros(8, 8))
        torch.testing.assert_close(scripted(x), model[4:](scripted[3].bias.expand(2, 8)))
        scripted[2].bias.data = torch.ones(1)
        torch.testing.assert_close(scripted(x), model[4:](scripted[3].bias.expand(2, 8)))


class Wide(nn.Module):
    """Several temporaries end at one place."""

    def __init__(self) -> None:
        super().__init__()
        self.products = nn.ModuleList(nn.Linear(64, 64) for _ in range(6))

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d, e, f = [product(x) for product in self.products]
        return torch.tanh(a * b + c * d + e * f) @ x.t()


def test_memory_is_given_back_in_the_order_of_first_use() -> None:
    """Not in one that depends on where Python puts objects: an object cache knows equal plans by
    their code.
    """
    scripted = jit.script(Wide())
    with torch.no_grad():
        for _ in range(3):
            scripted(torch.ones(500, 64))
    (compiled,) = scripted.forward.executor.compiled
    plan = compiled.plan.prepared
    used = dict.fromkeys(v for i in plan.items[plan.graph.block] for v in _of_item(plan, i))
    places = {value: k for k, value in enumerate(used)}
    groups = [[places[v] for v in values] for values in dying(plan).values()]
    assert max(map(len, groups)) > 4
    assert groups == [sorted(group) for group in groups]
