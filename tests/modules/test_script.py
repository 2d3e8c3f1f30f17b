"""`jit.script(module)`: answers, state, copies."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import nn

import jit


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.drop = nn.Dropout(0.5)
        self.scale = 2.0
        self.count = 0
        self.offsets = [1, 2]

    def forward(self, x: torch.Tensor, shift: int = 2) -> torch.Tensor:
        self.count += 1
        return self.drop(self.fc(x) * self.scale + shift) + self.offsets[1]

    def helper(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def pair() -> tuple[Model, Model]:
    """A module, and what it was scripted to; in eval mode, without gradients."""
    model = Model().eval().requires_grad_(False)
    return model, jit.script(model)


X = torch.rand(2, 3)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5)


def test_equals_eager_and_becomes_native() -> None:
    model, scripted = pair()
    for shift in (1, 1, 5, 7):
        assert close(scripted(X, shift), model(X, shift))
    assert scripted.forward.executor.compiled


def test_is_an_instance_and_shares_tensors() -> None:
    model, scripted = pair()
    assert isinstance(scripted, Model) and isinstance(scripted, jit.ScriptModule)
    assert scripted.fc.weight is model.fc.weight
    assert list(scripted.state_dict()) == list(model.state_dict())


def test_mutated_attribute_persists_on_the_script_module_only() -> None:
    model, scripted = pair()
    for _ in range(5):
        scripted(X)
    assert scripted.count == 5 and model.count == 0


def test_changed_attributes_are_seen() -> None:
    model, scripted = pair()
    for _ in range(3):
        scripted(X)
    model.scale = scripted.scale = 5.0
    model.offsets[1] = 3
    scripted.offsets[1] = 3
    assert close(scripted(X), model(X))
    scripted.train()
    assert (scripted(X) == 3).any()


def test_an_attribute_that_keeps_changing_stays_native() -> None:
    model, scripted = pair()
    for k in range(24):
        model.scale = scripted.scale = float(k)
        assert close(scripted(X), model(X))
    before = len(scripted.forward.executor.compiled)
    for k in range(24):
        scripted.scale = k + 0.5
        scripted(X)
    assert len(scripted.forward.executor.compiled) == before


def test_copies_run_their_own_weights() -> None:
    model, scripted = pair()
    expected = scripted(X)
    for other in (copy.deepcopy(scripted), pickle.loads(pickle.dumps(scripted))):
        assert close(other(X), expected) and other.count == 2
        other.fc.weight.zero_()
        assert not close(other(X), expected)
    assert close(scripted(X), model(X))


def test_methods_are_compiled_when_called() -> None:
    model, scripted = pair()
    assert isinstance(scripted.helper, jit.ScriptFunction)
    assert close(scripted.helper(X), model.helper(X))


def test_gradients_flow() -> None:
    model = Model().eval()
    scripted = jit.script(model)
    scripted(X).sum().backward()
    found = model.fc.weight.grad
    model.fc.weight.grad = None
    model(X).sum().backward()
    assert found is not None and close(found, model.fc.weight.grad)
