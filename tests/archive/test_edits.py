"""Loaded modules that are edited, put into others, copied, trained, and saved again: Relume and
torch read what was saved, with the results of the edited module.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import jit
from tests.archive.saved import saved

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
X = torch.ones(2, 3)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.rest = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.factor = 2
        self.names = ["a"]

    def forward(self, x: torch.Tensor, shift: float = 1.0) -> torch.Tensor:
        return self.rest(self.first(x)) * self.factor + shift


def written(module: Any) -> bytes:
    buffer = io.BytesIO()
    jit.save(module, buffer)
    return buffer.getvalue()


def read(archive: bytes) -> Any:
    return jit.load(io.BytesIO(archive))


def check(module: Any, *args: Any) -> Any:
    """The archive's modules in both libraries do what `module` does; gives torch's."""
    archive = written(module)
    theirs = torch.jit.load(io.BytesIO(archive))
    with torch.no_grad():
        wanted = module(*args)
        for other in (read(archive), theirs):
            torch.testing.assert_close(other(*args), wanted)
    return theirs


@pytest.fixture(params=["torch", "jit"])
def net(request: pytest.FixtureRequest) -> Any:
    """A module that was loaded and used."""
    torch.manual_seed(0)
    by_torch = request.param == "torch"
    made = read(saved(Net()) if by_torch else written(jit.script(Net())))
    for _ in range(3):
        made(X)
    return made


def replaced(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def edit(net: Any) -> None:
        net.first = make(net)

    return edit


def edit_factor(net: Any) -> None:
    net.factor = 2.5


def edit_parameter(net: Any) -> None:
    net.first.weight = nn.Parameter(torch.full((3, 3), 0.5))


def drop_bias(net: Any) -> None:
    net.first.bias = None


EDITS: dict[str, Callable[[Any], None]] = {
    "module": replaced(lambda net: nn.Linear(3, 3)),
    "scripted module": replaced(lambda net: jit.script(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))),
    "another class": replaced(lambda net: nn.Tanh()),
    "loaded module": replaced(lambda net: read(saved(nn.Linear(3, 3)))),
    "own submodule": replaced(lambda net: net.rest),
    "type of an attribute": edit_factor,
    "parameter": edit_parameter,
    "no bias": drop_bias,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edits_are_saved(net: Any, edit: Callable[[Any], None]) -> None:
    before = net(X)
    edit(net)
    check(net, X)
    assert not torch.equal(net(X), before)


def test_attributes(net: Any) -> None:
    net.names.append("b")
    net.note = "new"
    net.register_buffer("scale", torch.full((2,), 3.0))
    theirs = check(net.eval(), X)
    assert theirs.names == ["a", "b"] and theirs.note == "new" and not theirs.training
    assert torch.equal(theirs.state_dict()["scale"], net.scale)
    del net.names
    assert not hasattr(check(net, X), "names")


def test_an_int_is_a_float_where_the_class_says_so() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = 0.5

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (self.factor / 4)

    made = read(saved(Scaled()))
    made.factor = 3
    assert type(check(made, X).factor) is float


def test_code_that_does_not_fit_an_edit_is_refused_at_its_place(net: Any) -> None:
    net.rest = nn.LSTM(3, 3)
    with pytest.raises((jit.ArchiveError, jit.CompileError)) as caught:
        written(net)
    assert "net" in str(caught.value) or "^" in str(caught.value)


def test_hooks_of_this_process_are_refused(net: Any) -> None:
    handle = net.first.register_forward_hook(lambda module, args, output: output + 1)
    with pytest.raises(jit.CompileError, match="registered after the module was loaded"):
        written(net)
    handle.remove()
    check(net, X)


def test_modules_and_dtypes(net: Any) -> None:
    check(net.first, X)
    net.double()
    check(net, X.double())
    net.first.requires_grad_(False)
    theirs = check(net, X.double())
    assert [p.requires_grad for p in theirs.parameters()] == [False, False, True, True]


def test_methods_of_text(net: Any) -> None:
    net.define("def twice(self, x, n: int = 2):\n    return self.forward(x) * n\n")
    archive = written(net)
    for made in (read(archive), torch.jit.load(io.BytesIO(archive))):
        torch.testing.assert_close(made.twice(X), net.twice(X))
        torch.testing.assert_close(made.twice(X, 3), net(X) * 3)


class Around(nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, shift=2.0) + self.inner(x)


def test_loaded_modules_in_others(net: Any) -> None:
    check(jit.script(Around(net)), X)
    check(jit.trace(Around(net), X), X)
    check(jit.script(nn.Sequential(net, nn.ReLU())), X)
    net.first = nn.Linear(3, 3)
    check(jit.script(Around(net)), X)


def test_copies(net: Any) -> None:
    copies = (copy.deepcopy(net), pickle.loads(pickle.dumps(net)))
    with torch.no_grad():
        for made in copies:
            torch.testing.assert_close(made(X), net(X))
            made.first.weight.zero_()
            assert not torch.equal(made(X), net(X))
            check(made, X)


def test_modules_are_modules(net: Any) -> None:
    names = [name for name, _ in net.named_parameters()]
    assert names == [name for name, _ in Net().named_parameters()] == list(net.state_dict())
    assert net.get_submodule("rest.0").weight is net.get_parameter("rest.0.weight")
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    net.load_state_dict({name: torch.ones_like(p) for name, p in net.state_dict().items()})
    torch.testing.assert_close(net(X), torch.full((2, 3), 27.0))
    seen: list[Any] = []
    with net.rest.register_forward_hook(lambda module, args, output: seen.append(output)):
        net(X)
    assert len(seen) == 1 and seen[0].shape == (2, 3)


def test_training_goes_on(net: Any) -> None:
    eager = Net()
    eager.load_state_dict(net.state_dict())
    for model in (net, eager):
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            optimizer.zero_grad()
            (model(X) - 0.3).square().mean().backward()
            optimizer.step()
    for ours, theirs in zip(net.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    check(net, X)


def test_members_of_text(net: Any) -> None:
    assert "def forward(self" in net.code and "self.factor" in net.code
    assert net.code_with_constants[0] == net.code
    assert "prim::GetAttr" in str(net.graph) and "aten::linear" in str(net.inlined_graph)
    assert net.original_name == "Net"
