"""Traced modules: what of nn.Module they are, which methods they have, how they are copied."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from jit.modules.script_module import ScriptModule
from jit.modules.traced import TopLevelTracedModule
from jit.stats import stats
from jit.trace.check import TracingCheckError
from jit.tracing import trace, trace_module

X, Y = torch.randn(3, 4), torch.randn(5, 4)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.last = self.first
        self.scale = 3.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)).relu()) * self.scale

    def features(self, x: torch.Tensor, *, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"found": self.first(x) * mask}


def test_a_traced_module_is_a_module_of_the_same_state() -> None:
    net = Net().eval()
    traced = trace(net, (X,))
    assert isinstance(traced, TopLevelTracedModule)
    assert isinstance(traced, ScriptModule)
    assert not isinstance(traced, Net)
    assert traced.original_name == "Net"
    assert traced.first.original_name == "Linear"
    assert traced.first is traced.last
    assert not hasattr(traced, "scale")
    assert [n for n, _ in traced.named_modules()] == [n for n, _ in net.named_modules()]
    assert all(a is b for a, b in zip(traced.parameters(), net.parameters(), strict=True))
    assert list(traced.state_dict()) == list(net.state_dict())
    torch.testing.assert_close(traced.first(Y), net.first(Y))


def test_state_is_shared_both_ways() -> None:
    net = Net().eval()
    traced = trace(net, (X,))
    for _ in range(3):
        torch.testing.assert_close(traced(Y), net(Y))
    traced.load_state_dict({k: v + 1 for k, v in net.state_dict().items()})
    torch.testing.assert_close(traced(Y), net(Y))
    traced.double()
    assert net.norm.running_mean.dtype == torch.float64
    torch.testing.assert_close(traced(Y.double()), net(Y.double()))


def test_the_mode_is_that_of_the_trace() -> None:
    net = Net().eval()
    traced = trace(net, (X,))
    assert not traced.training
    before = net.norm.running_mean.clone()
    traced.train()
    assert not net.norm.training
    traced(Y)
    torch.testing.assert_close(net.norm.running_mean, before)


def test_training_steps() -> None:
    net, twin = Net(), Net()
    twin.load_state_dict(net.state_dict())
    traced = trace(net, (X,), check_trace=False)
    twin(X)
    for model in (traced, twin):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(Y).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(net.state_dict(), twin.state_dict())


def test_methods() -> None:
    net = Net().eval()
    mask = torch.rand(3, 4)
    traced = trace_module(
        net,
        {"features": {"x": X, "mask": mask}},
        example_inputs_is_kwarg=True,
        check_inputs=[{"features": {"mask": mask * 2, "x": X}}],
    )
    torch.testing.assert_close(traced.features(Y, mask=Y), net.features(Y, mask=Y))
    with pytest.raises(AttributeError, match="no method 'other'"):
        trace_module(net, {"other": X})
    with pytest.raises(TypeError, match="takes a module"):
        trace_module(lambda x: x, {"forward": X})


def test_bound_forward_is_the_module() -> None:
    assert isinstance(trace(Net().eval().forward, (X,)), TopLevelTracedModule)
    assert trace(trace(Net().eval(), (X,)), (X,)).original_name == "Net"


def test_copies_are_independent() -> None:
    net = Net().eval()
    traced = trace(net, (X,))
    twin = copy.deepcopy(traced)
    with torch.no_grad():
        net.first.weight.zero_()
    assert not torch.equal(twin(Y), traced(Y))
    assert twin.first.weight is not net.first.weight
    twin.load_state_dict(net.state_dict())
    torch.testing.assert_close(twin(Y), traced(Y))
    with pytest.raises(pickle.PicklingError, match=r"jit\.save"):
        pickle.dumps(traced)


def test_keyword_inputs_of_modules() -> None:
    net = Net().eval()
    traced = trace(net, example_kwarg_inputs={"x": X})
    torch.testing.assert_close(traced(x=Y), net(Y))
    torch.testing.assert_close(traced(Y), net(Y))


def test_hooks_are_traced() -> None:
    net = Net().eval()
    net.first.register_forward_hook(lambda module, args, output: output + 1)
    net.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    torch.testing.assert_close(trace(net, (X,))(Y), net(Y))


def test_traced_modules_have_plans() -> None:
    class Gate(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(x * self.weight) * x

    net = Gate()
    traced = trace(net, (X,))
    with torch.no_grad():
        for _ in range(4):
            torch.testing.assert_close(traced(X), net(X))
    assert stats(traced).native >= 2


def test_the_check_names_what_a_method_does_otherwise() -> None:
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Counting.calls += 1
            return x + Counting.calls

    with pytest.raises(TracingCheckError, match=r"return x \+ Counting.calls"):
        trace(Counting(), (X,))
