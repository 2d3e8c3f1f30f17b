"""What a script module may be made of, and what may change about it later."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any, Final, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import jit

X = torch.linspace(-1, 1, 6).reshape(2, 3)


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def check(module: nn.Module, *args: Any, calls: int = 3) -> Any:
    """Compare calls of a scripted module with eager's; the script module."""
    eager = copy.deepcopy(module)
    scripted = jit.script(module)
    with torch.no_grad():
        for _ in range(calls):
            close(scripted(*args), eager(*args))
    return scripted


class Pair(NamedTuple):
    a: Tensor
    n: int


class Attributes(nn.Module):
    count: int
    maybe: Tensor | None
    fixed: Final[int] = 3
    names: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.maybe = None
        self.names = []
        self.seen: list[int] = []
        self.table = {"a": 1.5}
        self.pair = (2, 0.5)
        self.kind = torch.float64
        self.place = torch.device("cpu")
        self.named = Pair(torch.ones(3), 4)
        self.register_buffer("total", torch.zeros(3))
        self.register_buffer("absent", None)
        self.act = torch.relu
        self.square = lambda x: x * x
        self.shift = functools.partial(torch.add, alpha=2)

    def forward(self, x: Tensor, name: str = "one") -> tuple[Tensor, int]:
        self.count += self.fixed
        self.names.append(name)
        self.seen = self.seen + [self.count]
        self.total = self.total + x.sum(0)
        if self.maybe is None:
            self.maybe = x
        else:
            x = x + self.maybe
        x = self.square(self.act(x)) * self.table["a"] + self.pair[1] * self.pair[0]
        x = self.shift(x, self.named.a) + self.named.n
        if self.absent is None:
            x = x.to(self.kind).to(self.place)
        return x + self.total, len(self.names) + self.seen[-1]


def test_attributes() -> None:
    scripted = check(Attributes(), X, calls=5)
    assert scripted.count == 15 and scripted.names == ["one"] * 5
    assert scripted.seen == [3, 6, 9, 12, 15] and scripted.maybe is not None
    close(scripted.state_dict()["total"], X.sum(0) * 5)


class Block(nn.Module):
    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.fc(x))


class Deep(Block):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.by_name = nn.ModuleDict({"a": Block(), "b": nn.Identity()})
        self.pieces = nn.Sequential(Block(), nn.ReLU())
        self.weights = nn.ParameterList([torch.ones(3), torch.zeros(3)])
        self.plain = [Block(), Block()]
        self.shared = self.blocks[0]
        self.nothing = None

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        for k, block in enumerate(self.blocks):
            x = block(x) + k
        for name, block in self.by_name.items():
            x = block(x) if name == "a" else x - block(x)
        for weight in self.weights:
            x = x * weight + 1
        for block in self.plain:
            x = block(x)
        if self.nothing is not None:
            x = self.nothing(x)
        for parameter in self.shared.parameters():
            x = x + parameter.sum()
        return self.shared(self.pieces(x)) + len(self.blocks)


def test_containers() -> None:
    scripted = check(Deep(), X)
    assert scripted.shared is scripted.blocks[0]
    assert isinstance(scripted.blocks, nn.ModuleList) and len(scripted.blocks) == 2


class Api(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    @property
    def doubled(self) -> Tensor:
        return self.fc.weight * 2

    @staticmethod
    def scale(x: Tensor) -> Tensor:
        return x * 3

    @torch.jit.ignore
    def python(self, x: Tensor) -> Tensor:
        return x + float(str(int(self.fc.bias.numel())))

    @torch.jit.unused
    def unused(self, x: Tensor) -> Tensor:
        return eval("x")

    @torch.jit.export
    def exported(self, x: Tensor, n: int = 2) -> Tensor:
        return self.fc(x) * n

    def helper(self, x: Tensor, *rest: Tensor, flag: bool = False) -> Tensor:
        return x if flag else x + sum(r.sum() for r in rest)

    def __len__(self) -> int:
        return 7

    def __contains__(self, key: str) -> bool:
        return key == "a"

    def forward(self, x: Tensor, use: bool = False) -> Tensor:
        if use:
            return self.unused(x)
        x = self.exported(self.python(self.scale(x)), n=3) @ self.doubled
        return self.helper(x, x, x) + len(self)


def test_methods() -> None:
    module = Api()
    scripted = check(module, X)
    assert len(scripted) == 7 and "a" in scripted and "b" not in scripted
    close(scripted.exported(X, 5), module.exported(X, 5))
    close(scripted.helper(X, X), module.helper(X, X))
    assert isinstance(vars(scripted)["exported"], jit.ScriptFunction)
    with pytest.raises(RuntimeError, match="unused"):
        scripted(X, True)


class Interface(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Chosen(nn.Module):
    first: torch.jit.interface(Interface)  # type: ignore[valid-type]

    def __init__(self) -> None:
        super().__init__()
        self.first = Block()
        self.rest = nn.ModuleList([Block(), nn.Tanh()])

    def forward(self, x: Tensor, k: int) -> Tensor:
        chosen = self.rest[k]
        return chosen.forward(self.first(x)) if chosen.training else x


def test_interfaces_and_dynamic_index() -> None:
    for k in (0, 1, -1):
        check(Chosen(), X, k)


def doubled_input(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0] * 2,)


def plus_one(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + 1


def test_hooks_then_and_later() -> None:
    module = nn.Sequential(Block(), nn.Linear(3, 3))
    module[0].register_forward_pre_hook(doubled_input)
    module[1].register_forward_hook(plus_one)
    module.register_forward_hook(plus_one)
    scripted = check(module, X)
    seen = []
    handle = scripted[0].register_forward_hook(lambda m, i, o: seen.append(o) or o * 3)
    other = module[0].register_forward_hook(lambda m, i, o: o * 3)
    with torch.no_grad():
        for _ in range(3):
            close(scripted(X), module(X))
        assert len(seen) == 3
        handle.remove(), other.remove()
        close(scripted(X), module(X))
        scripted.register_forward_hook(plus_one), module.register_forward_hook(plus_one)
        close(scripted(X), module(X))


def test_structure_changes() -> None:
    module = Deep()
    scripted = check(module, X)
    other = Block()
    with torch.no_grad():
        module.blocks[1] = scripted.blocks[1] = other
        close(scripted(X), module(X))
        module.nothing = scripted.nothing = nn.Sigmoid()
        close(scripted(X), module(X))
        module.weights.append(torch.full((3,), 2.0))
        scripted.weights.append(torch.full((3,), 2.0))
        close(scripted(X), module(X))


@pytest.mark.parametrize(
    "norm",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_parametrizations(norm: Any) -> None:
    module = norm(nn.Linear(3, 3)).eval()
    with torch.no_grad():
        expected = module(X)
        scripted = jit.script(module)
        for _ in range(3):
            close(scripted(X), expected)


def test_module_api() -> None:
    module = Deep()
    module.plain = [nn.Identity()]  # which nn.Module does not see
    scripted = jit.script(module)
    assert scripted.get_submodule("blocks.0") is scripted.blocks[0]
    scripted.requires_grad_(False).apply(lambda m: None)
    assert not any(p.requires_grad for p in scripted.parameters())
    before = scripted(X)
    scripted(X), scripted(X)
    double = scripted.double()
    close(double(X.double()), before.double())
    state = {k: torch.zeros_like(v) for k, v in scripted.state_dict().items()}
    scripted.load_state_dict(state)
    assert torch.equal(scripted(X.double()), torch.full((2, 3), 2.0).double())
    assert scripted.eval().training is False and not scripted.blocks[0].training
    scripted.note = "new"
    assert scripted.note == "new"
    del scripted.note
    assert not hasattr(scripted, "note")
    again = pickle.loads(pickle.dumps(scripted))
    assert isinstance(again, Deep) and isinstance(again, jit.ScriptModule)
    close(copy.copy(scripted)(X.double()), scripted(X.double()))


class Named(nn.Module):
    """Attributes with the names of members of script modules."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = [1, 2]
        self.code = nn.Linear(3, 3)

    def save(self) -> str:
        return "mine"

    def forward(self, x: Tensor) -> Tensor:
        return self.code(x) + self.graph[1]


def test_users_names_come_first() -> None:
    scripted = check(Named(), X)
    assert scripted.graph == [1, 2] and isinstance(scripted.code, nn.Linear)
    assert scripted.save() == "mine"


class Switch(nn.Module):
    def __init__(self, with_bias: bool) -> None:
        super().__init__()
        self.with_bias = with_bias
        if with_bias:
            self.bias = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.with_bias:
            return x + self.bias
        return x


def test_a_branch_that_cannot_compile_is_decided_by_its_attribute() -> None:
    scripted = check(Switch(False), X)
    scripted.with_bias = True
    scripted.bias = nn.Parameter(torch.ones(3))
    close(scripted(X), X + 1)


def test_a_lazy_module_compiles_when_it_is_initialized() -> None:
    scripted = jit.script(nn.Sequential(nn.LazyLinear(4), nn.ReLU()))
    with torch.no_grad():
        first = scripted(X)
        for _ in range(3):
            close(scripted(X), first)
    assert isinstance(scripted[0], nn.Linear) and not isinstance(scripted[0], nn.LazyLinear)
    assert isinstance(vars(scripted)["forward"], jit.ScriptFunction)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Switch(False)
        self.inner.steps = 0
        self.scale = 1.0

    @torch.jit.ignore
    def advance(self) -> None:
        self.inner.steps += 1
        self.scale *= 2

    def forward(self, x: Tensor) -> Tensor:
        before = x * self.scale
        self.advance()
        for _ in range(2):
            x = x + self.inner.steps * self.scale
            self.advance()
        return x + before


def test_what_a_callback_changes_is_read_again() -> None:
    scripted = check(Counting(), X, calls=4)
    assert scripted.inner.steps == 12


class Varying(nn.Module):
    def forward(self, *xs: Tensor, **options: float) -> Tensor:
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total * options.get("scale", 1.0)


def test_variadic_forward() -> None:
    module = Varying()
    scripted = jit.script(module)
    for args in ((X,), (X, X), (X, X, X)):
        for _ in range(2):
            close(scripted(*args), module(*args))
            close(scripted(*args, scale=2.0), module(*args, scale=2.0))


def test_define() -> None:
    scripted = jit.script(Block())
    scripted.define("""
        def twice(self, x: Tensor, n: int = 2):
            return self.forward(x) * n
    """)
    close(scripted.twice(X), scripted(X) * 2)
    other = copy.deepcopy(scripted).requires_grad_(False)
    other.fc.weight.zero_()
    close(other.twice(X, 3), other(X) * 3)


class CountsHooks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        found = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in self.modules()]
        return x + 1 if any(n > 0 for n in found) else self.inner(x)


def test_code_that_counts_hooks_sees_those_that_come_later() -> None:
    scripted = check(CountsHooks(), X)
    read = {n.attrs["name"] for n in scripted.graph.walk() if n.name == "prim::GetAttr"}
    assert not any("hooks" in name for name in read)  # known while compiling
    handle = scripted.inner.register_forward_hook(lambda module, args, out: None)
    close(scripted(X), X + 1)
    handle.remove()
    close(scripted(X), scripted.inner(X))


class Quantified(nn.Module):
    def forward(self, x: Tensor, n: int) -> list[bool]:
        flags = [n > 5, n > 6]
        found: list[bool] = []
        for i in range(n):
            found.append(any(flags))
            flags.append(i > 1)
            found.append(all([i > 0, n > 1]))
        return found


def test_any_of_a_list_that_a_loop_goes_on_to_change() -> None:
    scripted = jit.script(Quantified())
    for n in (1, 4, 7, 4):
        assert scripted(X, n) == Quantified()(X, n)
