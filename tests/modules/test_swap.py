"""`jit.jit(module)` and `module.forward = jit.jit(module.forward)`."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

import jit


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.5)
        self.scale = 2.0

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(torch.tanh(self.fc(x)) * self.scale)


X = torch.linspace(-1, 1, 6).reshape(2, 3)


def swapped() -> Net:
    torch.manual_seed(0)
    module = Net().eval().requires_grad_(False)
    assert jit.jit(module) is module
    return module


def assigned() -> Net:
    torch.manual_seed(0)
    module = Net().eval().requires_grad_(False)
    module.forward = jit.jit(module.forward)  # type: ignore[method-assign]
    return module


def eager(module: Net) -> Tensor:
    return Net.forward(module, X)


@pytest.fixture(params=[swapped, assigned], ids=["swapped", "assigned"])
def module(request: pytest.FixtureRequest) -> Net:
    made: Net = request.param()
    for _ in range(3):
        torch.testing.assert_close(made(X), eager(made))
    assert made.forward.executor.compiled  # type: ignore[attr-defined]
    return made


def test_stays_itself(module: Net) -> None:
    assert type(module) is Net and list(module.state_dict()) == ["fc.weight", "fc.bias"]


def test_sees_changes(module: Net) -> None:
    module.scale = 3.0
    torch.testing.assert_close(module(X), eager(module))
    module.load_state_dict({k: v + 1 for k, v in module.state_dict().items()})
    torch.testing.assert_close(module(X), eager(module))
    module.train()
    assert (module(X) == 0).any()
    module.eval().double()
    torch.testing.assert_close(module(X.double()), Net.forward(module, X.double()))


def test_hooks_run(module: Net) -> None:
    module.register_forward_hook(lambda m, i, o: o + 1)
    torch.testing.assert_close(module(X), eager(module) + 1)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_compiled_for_themselves(module: Net, again: object) -> None:
    other = again(module)  # type: ignore[operator]
    other.fc.weight.zero_()
    assert isinstance(other.forward, jit.ScriptFunction) and other.forward is not module.forward
    for each in (other, module):
        for _ in range(3):
            torch.testing.assert_close(each(X), eager(each))
    assert not torch.equal(other(X), module(X))


class Refused(nn.Module):
    """A forward outside the language, around layers that are inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Net(), Net()])
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        class Local:
            pass

        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def test_parts_of_a_refused_forward_are_compiled() -> None:
    module = Refused().eval().requires_grad_(False)
    expected = module(X)
    jit.jit(module)
    with pytest.warns(jit.JitWarning, match="runs in eager mode"):
        torch.testing.assert_close(module(X), expected)
    for _ in range(3):
        torch.testing.assert_close(module(X), expected)
    parts = module.forward.parts  # type: ignore[operator, union-attr]
    assert list(parts) == ["layers.0", "layers.1"]  # a single operator of torch's is left alone
    assert all(jit.stats(part).native for part in parts.values())


def test_parts_are_left_alone_where_the_whole_compiles(module: Net) -> None:
    assert not getattr(module.forward, "parts", {}) and "forward" not in vars(module.fc)
