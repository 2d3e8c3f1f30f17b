"""Frozen modules: equal to eager, smaller graphs, state that stays, archives both ways."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import jit
from codegen.partition import Callback
from ir import Graph
from ir.verify import verify

CALLS = 3


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def names(graph: Graph) -> list[str]:
    return [node.name.partition("::")[2] for node in graph.walk()]


def shake(module: nn.Module) -> nn.Module:
    """In eval mode, with statistics that are not those of a new module."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.weight is not None:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module.eval()


class Residual(nn.Module):
    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(x))) + x


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 6, bidirectional=True, batch_first=True)
        self.head = nn.Linear(12, 5)
        self.drop = nn.Dropout(0.3)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(self.embed(words))
        return torch.log_softmax(self.head(self.drop(out)), -1)


class Switched(nn.Module):
    """Control flow over a list of layers, some of them off."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.active = [True, False, True]
        self.scale = 0.5

    def forward(self, x: torch.Tensor, times: int = 2) -> torch.Tensor:
        for _ in range(times):
            for k, layer in enumerate(self.layers):
                if self.active[k]:
                    x = torch.tanh(layer(x)) * self.scale
        return x


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3))


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), Residual(8),
        Residual(8, groups=8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "mlp": (mlp, lambda: torch.rand(5, 6)),
    "convnet": (convnet, lambda: torch.rand(2, 3, 12, 12)),
    "conv1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.GELU()),
        lambda: torch.rand(2, 2, 9),
    ),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 5, 2, stride=2), nn.BatchNorm2d(5)),
        lambda: torch.rand(2, 3, 4, 5),
    ),
    "norm without affine": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False)),
        lambda: torch.rand(7, 4),
    ),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        lambda: torch.rand(2, 5, 16),
    ),
    "tagger": (Tagger, lambda: torch.randint(0, 20, (2, 7))),
    "switched": (Switched, lambda: torch.rand(3, 4)),
}


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_equals_eager(name: str, optimize: bool) -> None:
    make, inputs = CASES[name]
    module, x = shake(make()), inputs()
    frozen = jit.freeze(jit.script(module), optimize_numerics=optimize)
    with torch.no_grad():
        for _ in range(CALLS):
            close(frozen(x), module(x))
    verify(frozen.graph)
    assert not list(frozen.parameters()) and not list(frozen.children())
    assert not {"dropout", "GetAttr"} & set(names(frozen.graph))


@pytest.mark.parametrize("name", CASES)
def test_optimized_for_inference_equals_eager(name: str) -> None:
    make, inputs = CASES[name]
    module, x = shake(make()), inputs()
    made = jit.optimize_for_inference(jit.script(module))
    with torch.no_grad():
        for _ in range(CALLS):
            close(made(x), module(x))


@pytest.mark.parametrize("name", CASES)
def test_torch_and_we_load_what_was_frozen(name: str) -> None:
    make, inputs = CASES[name]
    module, x = shake(make()), inputs()
    archive = jit.optimize_for_inference(jit.script(module)).save_to_buffer()
    with torch.no_grad():
        close(torch.jit.load(io.BytesIO(archive))(x), module(x))
        loaded = jit.load(io.BytesIO(archive))
        for _ in range(CALLS):
            close(loaded(x), module(x))
        close(jit.freeze(loaded)(x), module(x))


@pytest.mark.parametrize("name", ["mlp", "convnet", "tagger", "switched"])
def test_traces_and_torchs_own_archives_freeze(name: str) -> None:
    make, inputs = CASES[name]
    module, x = shake(make()), inputs()
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    buffer.seek(0)
    with torch.no_grad():
        for compiled in (jit.trace(module, x), jit.load(buffer)):
            frozen = jit.freeze(compiled)
            for _ in range(CALLS):
                close(frozen(x), module(x))
            assert not list(frozen.parameters()) and not list(frozen.buffers())


# what weights absorb ------------------------------------------------------------------------------
def test_norms_are_absorbed_by_weights() -> None:
    frozen = jit.freeze(jit.script(shake(convnet())))
    found = names(frozen.graph)
    assert "batch_norm" not in found and found.count("conv2d") == 3
    kept = jit.freeze(jit.script(shake(convnet())), optimize_numerics=False)
    assert names(kept.graph).count("batch_norm") == 3


class Follower(nn.Module):
    """A layer, and what is done to its result."""

    def __init__(self, layer: nn.Module, other: Any) -> None:
        super().__init__()
        self.layer = layer
        self.other = nn.Buffer(other) if isinstance(other, torch.Tensor) else other

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.other * (self.layer(x) + self.other) - self.other) / self.other


LINEAR, CONV = nn.Linear(4, 3), nn.Conv2d(2, 3, 2, bias=False)


@pytest.mark.parametrize(
    ("layer", "other", "is_absorbed"),
    [
        (LINEAR, 2, True),
        (LINEAR, torch.tensor(0.5), True),
        (LINEAR, torch.tensor([1.0, 2.0, 3.0]), True),
        (LINEAR, torch.tensor([[1.0, 2.0, 3.0]]), True),
        (LINEAR, torch.rand(5, 1) + 1, False),
        (LINEAR, torch.rand(3, dtype=torch.float64) + 1, False),
        (CONV, 3.0, True),
        (CONV, torch.rand(3, 1, 1) + 1, True),
        (CONV, torch.rand(1, 3, 1, 1) + 1, True),
        (CONV, torch.rand(4) + 1, False),
        (CONV, torch.rand(1, 1, 3, 1, 1) + 1, False),
    ],
)
def test_factors_and_summands_are_absorbed(layer: nn.Module, other: Any, is_absorbed: bool) -> None:
    module = Follower(layer, other).eval()
    x = torch.rand(5, 4) if layer is LINEAR else torch.rand(5, 2, 4, 5)
    frozen = jit.freeze(jit.script(module))
    with torch.no_grad():
        for _ in range(CALLS):
            close(frozen(x), module(x))
    assert is_absorbed != bool({"add", "sub", "mul", "div"} & set(names(frozen.graph)))


def test_divisors_that_are_zero_stay() -> None:
    module = Follower(nn.Linear(4, 3), torch.tensor([1.0, 0.0, 2.0])).eval()
    x = torch.rand(5, 4)
    frozen = jit.freeze(jit.script(module))
    torch.testing.assert_close(frozen(x), module(x).detach(), equal_nan=True)


def test_result_that_others_read_is_not_changed() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.fc(x)
            return y * 2 + y.relu()

    module, x = Twice().eval(), torch.rand(3, 4)
    close(jit.freeze(jit.script(module))(x), module(x).detach())


def test_other_ranks_are_refused_loudly() -> None:
    """A batch norm of rank 3 normalizes dim 1, which is not what the layer's channels are."""
    module = shake(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))
    x = torch.rand(2, 6, 4)
    exact = jit.freeze(jit.script(module), optimize_numerics=False)
    close(exact(x), module(x).detach())
    with pytest.raises(ValueError, match="optimize_numerics=False"):
        jit.freeze(jit.script(module))(x)


# constants ----------------------------------------------------------------------------------------
def test_what_constants_make_is_a_constant() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            query, rest = self.weight.t().contiguous().double().split([1, 2])
            return x @ torch.cat([rest, query]).float()

    module, x = Positions().eval(), torch.rand(2, 3)
    frozen = jit.freeze(jit.script(module))
    close(frozen(x), module(x).detach())
    assert set(names(frozen.graph)) == {"Constant", "matmul"}


def test_results_are_fresh_at_each_call() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.ones(3))

        def forward(self) -> torch.Tensor:
            return self.table * 2

    frozen = jit.freeze(jit.script(Table().eval()))
    for _ in range(CALLS):
        assert torch.equal(frozen().add_(1), torch.full((3,), 3.0))


def test_plans_hold_the_constants() -> None:
    module, x = mlp().eval(), torch.rand(5, 6)
    frozen = jit.freeze(jit.script(module))
    for _ in range(CALLS):
        frozen(x)  # although gradients are on: constants need none
    (plan,) = frozen.forward.executor.compiled
    assert plan.plan.hits == CALLS - 1
    assert len([g for g in plan.guards if "held float32" in g]) == 4


def test_constants_may_move() -> None:
    """Memory of a storage is where it is at the time of a call."""
    module, x = mlp().eval(), torch.rand(5, 6)
    frozen = jit.freeze(jit.script(module))
    want = [frozen(x) for _ in range(CALLS)][-1]
    for parameter in module.parameters():
        parameter.untyped_storage().share_memory_()
    assert torch.equal(frozen(x), want)


# what stays ---------------------------------------------------------------------------------------
class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.inner = nn.Linear(2, 2)
        self.inner.register_buffer("alias", self.inner.weight.detach()[0])
        self.calls = 0
        self.log: dict[str, int] = {}
        self.limit = 3.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        self.calls += 1
        self.log["last"] = self.calls
        return self.inner(x) * self.seen

    @torch.jit.export
    def total(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x).sum() + self.calls

    @torch.jit.export
    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        self.inner.alias.mul_(2)
        return self.inner(x) * self.limit


X = torch.rand(3, 2)


def test_changed_attributes_stay() -> None:
    module = Counting().eval()
    frozen = jit.freeze(jit.script(copy.deepcopy(module)), ["total"])
    with torch.no_grad():
        for _ in range(CALLS):
            close(frozen(X), module(X))
            close(frozen.total(X), module.total(X))
    assert [name for name, _ in frozen.named_buffers()] == ["seen"]
    assert frozen.calls == module.calls == CALLS and frozen.log == module.log
    assert not hasattr(frozen, "limit") and not hasattr(frozen, "scaled")


def test_memory_that_is_written_through_another_attribute_stays() -> None:
    module, twin = Counting().eval(), Counting().eval()  # copies share no memory
    twin.load_state_dict(module.state_dict())
    frozen = jit.freeze(jit.script(twin), ["scaled"])
    with torch.no_grad():
        for _ in range(CALLS):
            close(frozen.scaled(X), module.scaled(X))
            close(frozen(X), module(X))
    assert sorted(name for name, _ in frozen.inner.named_parameters()) == ["weight"]


def test_preserved_attributes_are_read() -> None:
    module = Counting().eval()
    frozen = jit.freeze(jit.script(module), ["limit", "scaled", "inner.bias"])
    with torch.no_grad():
        before = frozen(X) / frozen.seen
        frozen.inner.bias += 1
        close(frozen(X) / frozen.seen, before + 1)
        frozen.limit = 5.0
        close(frozen.scaled(X), F.linear(X, frozen.inner.weight, frozen.inner.bias) * 5)


def test_preserved_submodules_stay_whole() -> None:
    module = mlp().eval()
    scripted = jit.script(module)
    frozen = jit.freeze(scripted, ["0"])
    assert frozen.get_submodule("0") is scripted.get_submodule("0")
    x = torch.rand(5, 6)
    with torch.no_grad():
        module[0].weight.mul_(2)
        close(frozen(x), module(x))


def test_frozen_state_survives_saving_and_copies() -> None:
    module = Counting().eval()
    frozen = jit.freeze(jit.script(module), ["total"])
    frozen(X)
    for twin in (
        copy.deepcopy(frozen),
        jit.load(io.BytesIO(frozen.save_to_buffer())),
        torch.jit.load(io.BytesIO(frozen.save_to_buffer())),
    ):
        assert twin.calls == 1 and twin.seen is not frozen.seen
        want = module.inner(X) * 2
        close(twin(X).detach(), want.detach())
        close(twin.total(X).detach(), module.inner(X).sum().detach() + 2)
    with pytest.raises(pickle.PicklingError, match="frozen"):
        pickle.dumps(frozen)


def test_functions_of_python_see_their_module() -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)
            self.offset = 1.0

        @torch.jit.ignore
        def ask(self, x: torch.Tensor) -> torch.Tensor:
            self.offset += 1
            return x + self.offset

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.ask(x)) + self.offset

    module = Asking().eval()
    frozen = jit.freeze(jit.script(copy.deepcopy(module)))
    with torch.no_grad():
        for _ in range(CALLS):
            close(frozen(X), module(X))


def test_hooks_run() -> None:
    module = nn.Sequential(nn.Linear(2, 2)).eval()
    scripted = jit.script(module)
    scripted.register_forward_hook(lambda m, args, result: result + 1)
    close(jit.freeze(scripted)(X), (module(X) + 1))


# calls of the functions ---------------------------------------------------------------------------
def test_optimizing_again_changes_nothing() -> None:
    frozen = jit.freeze(jit.script(shake(convnet())), optimize_numerics=False)
    x = torch.rand(2, 3, 12, 12)
    want = frozen(x)
    jit.run_frozen_optimizations(frozen)
    text = str(frozen.graph)
    assert "batch_norm" not in text
    jit.run_frozen_optimizations(frozen)
    assert str(frozen.graph) == text
    close(frozen(x), want)


def test_images_are_laid_out_channels_last() -> None:
    made = jit.optimize_for_inference(jit.freeze(jit.script(shake(convnet()))))
    x = torch.rand(2, 3, 12, 12)
    for _ in range(CALLS):
        made(x)
    (plan,) = made.forward.executor.compiled
    assert plan.plan.hits == CALLS - 1
    assert any("strides=[27, 1, 9, 3]" in guard for guard in plan.guards)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: jit.freeze(mlp()), RuntimeError, "jit.script"),
        (lambda: jit.freeze(jit.script(mlp().train())), RuntimeError, "eval"),
        (lambda: jit.freeze(jit.script(mlp().eval()), ["nope"]), AttributeError, "'nope'"),
        (lambda: jit.freeze(jit.script(mlp().eval()), ["0.x.y"]), AttributeError, "'0.x.y'"),
        (lambda: jit.run_frozen_optimizations(jit.script(mlp())), TypeError, "jit.freeze"),
        (lambda: jit.optimize_for_inference(mlp()), RuntimeError, "jit.script"),
    ],
)
def test_misuse_is_named(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


# packed weights -----------------------------------------------------------------------------------
def packed(module: Any) -> list[str]:
    """The operators of oneDNN in the newest plan of a module, which calls nothing back."""
    plan = module.forward.executor.compiled[-1].plan
    items = [item for items in plan.prepared.items.values() for item in items]
    assert not any(isinstance(item, Callback) for item in items)
    return [n for n in names(plan.prepared.graph) if n.endswith("_pointwise")]


def test_convolutions_run_on_packed_weights() -> None:
    first = nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU()
    module = shake(nn.Sequential(*first, Residual(12, groups=4)))
    made = jit.optimize_for_inference(jit.script(module))
    with torch.no_grad():
        for batch in (2, 2, 5, 3, 1, 7):
            x = torch.rand(batch, 3, 12, 12)
            close(made(x), module(x))
    assert packed(made) == ["_convolution_pointwise"] * 2
    assert len(made.forward.executor.compiled) <= 3


def test_large_products_run_on_packed_weights() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(384, 512), nn.Tanh(), nn.Linear(512, 384, bias=False)).eval()
    frozen = jit.freeze(jit.script(module))
    with torch.no_grad():
        for shape in ((8, 384), (8, 384), (3, 7, 384), (3, 7, 384)):
            x = torch.rand(shape)
            close(frozen(x), module(x))
        assert packed(frozen) == ["_linear_pointwise"] * 2
        strided = torch.rand(384, 8).t()
        close(frozen(strided), module(strided))


def test_weights_that_are_not_frozen_are_not_packed() -> None:
    module = nn.Linear(512, 512).eval().requires_grad_(False)
    scripted, x = jit.script(module), torch.rand(8, 512)
    for _ in range(CALLS):
        scripted(x)
        module.weight.mul_(0.5)
    close(scripted(x), module(x))
    assert not packed(scripted)
