"""`jit.jit(module)` and `module.forward = jit.jit(module.forward)`."""

from __future__ import annotations

import copy
import functools
import io
import pickle
import sys
import warnings

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


def compiled() -> Net:
    torch.manual_seed(0)
    return jit.jit(Net().eval().requires_grad_(False))


def assigned() -> Net:
    torch.manual_seed(0)
    module = Net().eval().requires_grad_(False)
    module.forward = jit.jit(module.forward)  # type: ignore[method-assign]
    return module


def eager(module: Net) -> Tensor:
    return Net.forward(module, X)


@pytest.fixture(params=[compiled, assigned], ids=["compiled", "assigned"])
def module(request: pytest.FixtureRequest) -> Net:
    made: Net = request.param()
    for _ in range(3):
        torch.testing.assert_close(made(X), eager(made))
    assert made.forward.executor.compiled  # type: ignore[attr-defined]
    return made


def test_stays_itself(module: Net) -> None:
    assert isinstance(module, Net) and type(module).__name__ == "Net"
    assert list(module.state_dict()) == ["fc.weight", "fc.bias"]


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
    eager = Refused().eval().requires_grad_(False)
    expected = eager(X)
    module = jit.jit(eager)
    with pytest.warns(jit.JitWarning, match="runs in eager mode"):
        torch.testing.assert_close(module(X), expected)
    for _ in range(3):
        torch.testing.assert_close(module(X), expected)
    parts = module.forward.parts  # type: ignore[operator, union-attr]
    assert list(parts) == ["layers.0", "layers.1"]  # a single operator of torch's is left alone
    assert all(jit.stats(part).native for part in parts.values())


def test_parts_of_an_assigned_forward_are_compiled() -> None:
    eager = Refused().eval().requires_grad_(False)
    expected = eager(X)
    eager.forward = jit.jit(eager.forward)  # type: ignore[method-assign]
    for module in (eager, copy.deepcopy(eager)):
        with pytest.warns(jit.JitWarning, match="runs in eager mode"):
            torch.testing.assert_close(module(X), expected)
        for _ in range(3):
            torch.testing.assert_close(module(X), expected)
        parts = module.forward.parts  # type: ignore[operator, union-attr]
        assert all(jit.stats(part).native for part in parts.values()) and parts
        assert type(module.layers[0]) is Net and "forward" not in vars(module.layers[0])


class Reaching(nn.Module):
    """A forward outside the language, which calls what its submodule holds."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Refused()

    def forward(self, x: Tensor) -> Tensor:
        class Local:
            pass

        return self.inner.layers[1](self.inner.layers[0](x))


def test_parts_of_parts_are_compiled_when_a_forward_reaches_for_them() -> None:
    eager = Reaching().eval().requires_grad_(False)
    module = jit.jit(eager)
    with pytest.warns(jit.JitWarning, match="runs in eager mode"):
        module(X)
    for _ in range(3):
        torch.testing.assert_close(module(X), eager(X))
    parts = module.forward.parts  # type: ignore[operator, union-attr]
    assert jit.stats(parts["inner"].parts["layers.0"]).native
    assert type(eager.inner.layers[0]) is Net


def test_parts_are_left_alone_where_the_whole_compiles(module: Net) -> None:
    assert not getattr(module.forward, "parts", {}) and type(module.fc) is nn.Linear


def test_the_module_itself_stays_eager() -> None:
    eager = Refused().eval().requires_grad_(False)
    module = jit.jit(eager)
    with pytest.warns(jit.JitWarning, match="runs in eager mode"):
        module(X)
    assert type(eager.layers[0]) is Net and "forward" not in vars(eager)
    assert type(module.layers[0]) is not Net and isinstance(module.layers[0], Net)
    assert jit.jit(module) is module


def test_state_is_shared_both_ways() -> None:
    eager = Refused().eval().requires_grad_(False)
    module = jit.jit(eager)
    with pytest.warns(jit.JitWarning, match="runs in eager mode"):
        module(X)
    eager.layers[1].scale = 5.0
    module.layers.append(Net().eval().requires_grad_(False))
    module.head = nn.Linear(3, 4).requires_grad_(False)
    assert len(eager.layers) == 3 and eager.head is module.head
    for _ in range(3):
        torch.testing.assert_close(module(X), eager(X))
    eager.train()
    assert module.training and module.layers[0].drop.training
    module.double()
    assert eager.head.weight.dtype == torch.float64
    assert list(module.state_dict()) == list(eager.state_dict())


def test_a_forward_of_the_instance_is_the_one_that_is_compiled() -> None:
    eager = Net().eval().requires_grad_(False)
    eager.forward = lambda x: torch.sin(x) + 1  # type: ignore[method-assign]
    module = jit.jit(eager)
    for _ in range(3):
        torch.testing.assert_close(module(X), torch.sin(X) + 1)
    assert jit.stats(module).native
    module.forward = lambda x: x  # type: ignore[method-assign]
    assert module(X) is X and eager(X) is X


def test_compiled_modules_inside_of_compiled_functions() -> None:
    module = jit.jit(Net().eval().requires_grad_(False))

    @jit.jit(strict=True)
    def twice(x: Tensor) -> Tensor:
        return module(module(x))

    for _ in range(3):
        torch.testing.assert_close(twice(X), module.__wrapped__(module.__wrapped__(X)))
    torch.testing.assert_close(jit.script(module)(X), module.__wrapped__(X))
    torch.testing.assert_close(jit.trace(module, X)(X), module.__wrapped__(X))


def test_hooks_of_all_kinds_run_on_compiled_modules() -> None:
    module = jit.jit(Net().eval().requires_grad_(False))
    seen = []
    removals = [
        module.register_forward_pre_hook(lambda m, i: seen.append("pre")),
        torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: seen.append("all")),
    ]
    module(X)
    assert seen == ["pre", "all", "all", "all"]  # the two submodules, eager at the first call
    for removal in removals:
        removal.remove()
    module(X)
    assert len(seen) == 4


class Wrapping(nn.Module):
    """Wraps the forward of its subclasses."""

    def __init_subclass__(cls) -> None:
        forward = cls.forward

        @functools.wraps(forward)
        def wrapped(self, *args):
            return forward(self, *args) + 1

        cls.forward = wrapped


class Wrapped(Wrapping):
    def forward(self, x):
        return x * 2


def test_a_class_that_changes_its_subclasses_is_left_alone() -> None:
    module = Wrapped().eval()
    compiled, x = jit.jit(module), torch.ones(3)
    for _ in range(3):
        torch.testing.assert_close(compiled(x), x * 3)
    torch.testing.assert_close(module(x), x * 3)


class Sliced(nn.Module):
    """Some layers of a list, between what has no compiled form."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Wrapped() for _ in range(3))

    def forward(self, x):
        for layer in self.layers[:2]:
            x = layer(x)
        return x, [*map(id, (yielded for yielded in range(2)))], sys.modules[__name__].__doc__


def test_lists_of_compiled_modules_can_be_sliced() -> None:
    module = Sliced().eval()
    compiled, x = jit.jit(module), torch.ones(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jit.JitWarning)
        for _ in range(3):
            torch.testing.assert_close(compiled(x)[0], module(x)[0])
    layers = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])
    face = jit.jit(layers)
    assert type(face[:1]) is nn.ModuleList and len(face[:1]) == 1


def test_a_compiled_module_is_saved_as_its_script() -> None:
    model, buffer, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU()), io.BytesIO(), torch.randn(2, 3)
    jit.save(jit.jit(model), buffer)
    buffer.seek(0)
    torch.testing.assert_close(torch.jit.load(buffer)(x), model(x))
