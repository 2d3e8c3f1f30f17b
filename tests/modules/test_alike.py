"""Modules that are alike are compiled once; those that differ in anything, each for itself."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import jit
from jit.script import functions

X = torch.linspace(-1, 1, 12).reshape(3, 4)


class Config:
    def __init__(self, scale: float) -> None:
        self.scale = scale


CONFIG = Config(1.0)


class Slotted:
    __slots__ = ("module",)

    def __init__(self, module: nn.Module | None = None) -> None:
        self.module = module


class Layer(nn.Module):
    """What code looks at: constants, data, flags, containers, functions, objects, submodules."""

    power: Final[int]
    sizes: list[int]
    first: Any = None
    defaults: dict[str, float] = {"shift": 0.5}

    def __init__(self, function: Callable[[Tensor], Tensor] = torch.tanh) -> None:
        super().__init__()
        self.product = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("offset", torch.randn(4))
        self.power = 2
        self.sizes = [1, 2]
        self.table = {"a": 1.0}
        self.scale = 1.0
        self.calls = 0
        self.maybe: Tensor | None = None
        self.config = CONFIG
        self.function = function
        self.kind = torch.float32

    def helper(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.helper(self.drop(self.function(self.product(x)))) ** self.power
        if self.maybe is not None:
            y = y + self.maybe
        if self.config.scale > 1:
            y = y * self.config.scale
        if self.training:
            y = y + 100
        return self.norm(y.to(self.kind).float()) + len(self.sizes) + self.table["a"]


class Same:
    """Another class of the same name as one below."""

    class Twin(Layer):
        def helper(self, x: Tensor) -> Tensor:
            return x - 1


class Other:
    class Twin(Layer):
        def helper(self, x: Tensor) -> Tensor:
            return x + 1


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function is compiled for a call."""
    counter: Counter[str] = Counter()
    compile_callee = functions._compile_callee

    def counting(frame: Any, fn: Any, *rest: Any) -> None:
        counter[fn.__qualname__] += 1
        compile_callee(frame, fn, *rest)

    monkeypatch.setattr(functions, "_compile_callee", counting)
    return counter


class Model(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def check(*layers: nn.Module) -> Any:
    """Hold a scripted model against eager's; the script module."""
    eager = Model(list(layers))
    for module in eager.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    scripted = jit.script(eager)
    eager = copy.deepcopy(eager)
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(scripted(X), eager(X), atol=2e-5, rtol=2e-5)
    return scripted


def many(count: int = 4) -> list[nn.Module]:
    return [Layer().eval() for _ in range(count)]


def test_equal_layers_are_compiled_once(compiled: Counter[str]) -> None:
    check(*many(1))
    alone = Counter(compiled)
    compiled.clear()
    scripted = check(*many(8))
    assert compiled["Layer.forward"] == alone["Layer.forward"]
    assert compiled["Layer.helper"] == alone["Layer.helper"]
    assert [layer.calls for layer in scripted.layers] == [3] * 8


def test_each_keeps_its_own_state() -> None:
    scripted = check(*many(3))
    eager = copy.deepcopy(scripted)
    with torch.no_grad():
        for module in (scripted, eager):
            module.layers[1].offset += 3
            module.layers[2].product.weight.zero_()
            module.layers[0].norm.bias = nn.Parameter(torch.ones(4))
            module.layers[1].scale = -2.0
            module.layers[2].calls = 70
        plain = X
        for layer in eager.layers:
            plain = Layer.forward(layer, plain)
        torch.testing.assert_close(scripted(X), plain, atol=2e-5, rtol=2e-5)
    assert [layer.calls for layer in scripted.layers] == [4, 4, 71]


def test_modes_are_each_ones_own() -> None:
    layers = many(3)
    layers[1].train()
    scripted = check(*layers)
    scripted.layers[1].eval()
    scripted.layers[2].training = True
    scripted.layers[2].drop.eval()
    eager = X
    with torch.no_grad():
        for layer in scripted.layers:
            eager = Layer.forward(copy.deepcopy(layer), eager)
        torch.testing.assert_close(scripted(X), eager, atol=2e-5, rtol=2e-5)


def changed(name: str, value: Any) -> Callable[[Layer], None]:
    return lambda layer: setattr(layer, name, value)


def shadow(layer: Layer) -> None:
    layer.defaults = {"shift": 2.5}


def tie(layer: Layer) -> None:
    layer.offset = layer.product.bias.detach()


def hook(layer: Layer) -> None:
    layer.register_forward_hook(lambda module, args, out: out * 2)


def inner_hook(layer: Layer) -> None:
    layer.product.register_forward_pre_hook(lambda module, args: (args[0] + 1,))


DIFFERENCES: dict[str, Callable[[Layer], Any]] = {
    "constant": changed("power", 3),
    "sizes": changed("sizes", [1, 2, 3]),
    "table": changed("table", {"a": 2.5, "b": 1.0}),
    "type": changed("scale", 2),
    "value": changed("scale", 3.0),
    "optional": changed("maybe", torch.ones(4)),
    "config": changed("config", Config(3.0)),
    "function": changed("function", torch.sin),
    "lambda": changed("function", lambda x: x + 5),
    "dtype": changed("kind", torch.float64),
    "eps": lambda layer: changed("eps", 0.5)(layer.norm),
    "no bias": lambda layer: changed("product", nn.Linear(4, 4, bias=False))(layer),
    "requires grad": lambda layer: layer.requires_grad_(False),
    "inner mode": lambda layer: layer.norm.train(),
    "submodule": changed("product", nn.Sequential(nn.Linear(4, 4), nn.Tanh())),
    "other submodule": changed("norm", nn.Identity()),
    "hook": hook,
    "inner hook": inner_hook,
    "parametrization": lambda layer: parametrizations.weight_norm(layer.product),
    "tied": tie,
    "instance attribute": shadow,
    "double": lambda layer: layer.product.double().float(),
}


@pytest.mark.parametrize("name", DIFFERENCES)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_layer_that_differs_is_itself(name: str, place: int) -> None:
    layers = many(3)
    DIFFERENCES[name](layers[place])  # type: ignore[arg-type]
    check(*layers)


def test_classes_of_equal_names() -> None:
    check(Same.Twin().eval(), Other.Twin().eval(), Same.Twin().eval())


@pytest.mark.parametrize("name", ["constant", "function", "type", "eps", "sizes"])
def test_what_the_code_folds_is_compiled_again(name: str, compiled: Counter[str]) -> None:
    layers = many(3)
    DIFFERENCES[name](layers[1])  # type: ignore[arg-type]
    check(*layers)
    assert compiled["Layer.forward"] == 2


# other ways to a module ---------------------------------------------------------------------------

FIRST: dict[str, nn.Module] = {}


class ByGlobal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + FIRST["it"].weight


class ByClass(nn.Module):
    first: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.first.weight


class ByObject(nn.Module):
    def __init__(self, held: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.held.module.weight


class ByFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))
        self.function: Any = None

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) * self.weight


def _reach(kind: str) -> list[nn.Module]:
    """Three modules that are alike and read the first one's weight."""
    if kind == "global":
        layers: list[nn.Module] = [ByGlobal() for _ in range(3)]
        FIRST["it"] = layers[0]
    elif kind == "class":
        layers = [ByClass() for _ in range(3)]
        ByClass.first = layers[0]
    elif kind == "function":
        layers = [ByFunction() for _ in range(3)]
        first = layers[0]
        for layer in layers:
            layer.function = lambda x: x + first.weight
        shared = layers[0].function
        for layer in layers:
            layer.function = shared
    else:
        held = Slotted() if kind == "slots" else Config(1.0)
        layers = [ByObject(held) for _ in range(3)]
        held.module = layers[0]  # type: ignore[union-attr]
    return layers


class Chain(nn.Module):
    """Calls its layers without being told by `nn.ModuleList` what they are."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.a, self.b, self.c = layers

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)))


@pytest.mark.parametrize("kind", ["global", "class", "object", "slots", "function"])
def test_a_module_reached_by_another_way_stays_that_one(kind: str) -> None:
    layers = _reach(kind)
    for model in (Model(layers), Chain(layers)):
        compiled = jit.jit(model)  # captures the modules themselves
        with torch.no_grad():
            for _ in range(3):
                torch.testing.assert_close(compiled(X), model(X), atol=2e-5, rtol=2e-5)


class Computed(nn.Module):
    """Attributes that no dict has."""

    def __init__(self, number: int) -> None:
        super().__init__()
        object.__setattr__(self, "_number", [number])

    def __getattr__(self, name: str) -> Any:
        if name == "number":
            return vars(self)["_number"][0]
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.number


def test_attributes_that_are_computed() -> None:
    model = Model([Computed(k) for k in (2, 3, 5)])
    compiled = jit.jit(model)
    for _ in range(3):
        torch.testing.assert_close(compiled(X), X * 30)


def test_a_shared_module_is_one() -> None:
    one = Layer().eval()
    scripted = check(one, Layer().eval(), one)
    assert scripted.layers[0] is scripted.layers[2]
    assert scripted.layers[0].calls == 6


def test_parametrizations_of_one_kind() -> None:
    class Double(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Tensor) -> Tensor:
            return x * self.factor

    layers = many(3)
    for k, layer in enumerate(layers):
        parametrize.register_parametrization(layer.product, "weight", Double(1.0 + k))
    check(*layers)


def test_an_encoder_is_compiled_like_one_layer(compiled: Counter[str]) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = torch.randn(2, 5, 8)

    def script(count: int) -> int:
        compiled.clear()
        model = nn.TransformerEncoder(layer, count, enable_nested_tensor=False).eval()
        for p in model.parameters():
            nn.init.normal_(p, std=0.1)
        scripted = jit.script(model)
        with torch.no_grad():
            for _ in range(3):
                torch.testing.assert_close(scripted(x), model(x), atol=1e-5, rtol=1e-5)
        return compiled.total()

    assert script(6) == script(2)


class Nested(Config):
    """A configuration in a configuration, with a method and a property."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.inner = Config(scale + 1)
        self.names = ["a", "b"]

    @property
    def double(self) -> float:
        return 2 * self.scale

    def shifted(self, by: float) -> float:
        return self.inner.scale + by


SEEN: list[Any] = []


@torch.jit.ignore
def scaled_outside(config: Any, x: Tensor) -> Tensor:
    SEEN.append(config)
    return x * config.scale


class Configured(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.product = nn.Linear(4, 4)

    def helper(self, x: Tensor) -> Tensor:
        if hasattr(self.config, "double"):
            x = x * self.config.double + self.config.shifted(0.5) + len(self.config.names)
        return x * self.config.scale

    def forward(self, x: Tensor) -> Tensor:
        return self.helper(self.product(x))


class Outside(Configured):
    """Hands its configuration to Python."""

    def helper(self, x: Tensor) -> Tensor:
        return scaled_outside(self.config, super().helper(x))


@pytest.mark.parametrize("kind", [Config, Nested])
def test_configurations_that_are_equal(kind: type[Config], compiled: Counter[str]) -> None:
    check(*(Configured(kind(1.5)) for _ in range(4)))
    assert compiled["Configured.helper"] == 1


@pytest.mark.parametrize("kind", [Config, Nested])
@pytest.mark.parametrize("cls", [Configured, Outside])
def test_each_reads_its_own_configuration(kind: Any, cls: Any) -> None:
    model = Model([cls(kind(scale)) for scale in (1.5, 1.5, 2.0, 1.5)])
    check(*model.layers)
    compiled = jit.jit(model)
    with torch.no_grad():
        for change in (None, 0, 1, 3, 2):
            if change is not None:
                model.layers[change].config.scale = 3.0 + change
            for _ in range(3):
                torch.testing.assert_close(compiled(X), model(X), atol=1e-4, rtol=1e-4)


def test_python_is_handed_the_configuration_of_the_layer() -> None:
    scripted = jit.script(Model([Outside(Config(1.5)) for _ in range(3)]))
    SEEN.clear()
    scripted(X)
    expected = [layer.config for layer in scripted.layers]
    assert all(a is b for a, b in zip(SEEN, expected, strict=True))


class Elsewhere:
    """Keeps its data outside of itself."""

    scales: dict[int, float] = {}

    def __init__(self, scale: float) -> None:
        Elsewhere.scales[id(self)] = scale

    def __getattr__(self, name: str) -> float:
        if name == "scale":
            return Elsewhere.scales[id(self)]
        raise AttributeError(name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Elsewhere:
        return self


def test_objects_that_are_not_what_they_hold() -> None:
    check(*(Configured(Elsewhere(s)) for s in (1.0, 2.0, 3.0)))


def test_one_configuration_and_another() -> None:
    one = Nested(1.5)
    check(*(Configured(c) for c in (one, one, Nested(1.5), one, Nested(1.5))))
