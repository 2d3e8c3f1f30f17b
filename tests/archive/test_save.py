"""Archives written by Relume, read by torch: equal results, the layout of the file, refusals."""

from __future__ import annotations

import enum
import functools
import io
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

import jit
from jit.archive.load import load
from jit.archive.save import save_to_buffer

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Sparse CSR"),
    pytest.mark.filterwarnings("ignore:.*quantize"),
]


def reload(compiled: Any) -> Any:
    """What torch makes of an archive of ours."""
    return torch.jit.load(io.BytesIO(save_to_buffer(compiled)))


def equal(expected: Any, found: Any) -> bool:
    """The same values of the same types; classes of enums are torch's own after a load."""
    match expected:
        case torch.Tensor():
            return expected.dtype == found.dtype and torch.equal(expected, found)
        case tuple() | list():
            assert isinstance(found, tuple if isinstance(expected, tuple) else list)
            return len(expected) == len(found) and all(map(equal, expected, found))
        case dict():
            return list(expected) == list(found) and equal([*expected.values()], [*found.values()])
        case enum.Enum():
            return bool((expected.name, expected.value) == (found.name, found.value))
    return bool(type(expected) is type(found) and expected == found)


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


# functions ----------------------------------------------------------------------------------------
class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(enum.Enum):
    DARK = 'quo"te\nline'
    LIGHT = "light"


class Pair(NamedTuple):
    first: torch.Tensor
    count: int = 3


def branches(x: torch.Tensor, n: int) -> torch.Tensor:
    if n > 2:
        y = x + n
    elif n < 0:
        y = -x
    else:
        return x * 2
    return y.relu()


def for_with_break(x: torch.Tensor, n: int) -> tuple[torch.Tensor, int]:
    found = -1
    for i in range(n):
        if float(x.sum()) > 10:
            found = i
            break
        x = x + 1
    return x, found


def while_loop(n: int) -> tuple[int, float]:
    total, half = 0, 0.5
    while n > 0 and total < 100:
        n -= 1
        if n % 3 == 0:
            continue
        total += n
        half *= 0.5
    return total, half


def early_return(items: list[int], wanted: int) -> int:
    for position, item in enumerate(items):
        if item == wanted:
            return position
    return -1


def optional_values(n: int | None, m: int) -> int:
    k: int | None = None
    for i in range(m):
        if i > 1:
            k = i
    if n is None:
        n = 7
    return n if k is None else n + k


def containers(d: dict[str, int], l: list[float]) -> tuple[dict[str, float], list[list[int]]]:  # noqa: E741
    out: dict[str, float] = {}
    for key, value in d.items():
        out[key] = value + l[0]
    l[0] += 1.0
    nested = [[i, i + 1] for i in range(len(l))]
    if "a" in d:
        del d["a"]  # noqa: RUF051
    return out, nested


def strings(s: str, n: int) -> str:
    parts = [s.upper(), str(n), 'tab\t"quoted" \\ back', f"{n} and {s}"]
    return "-".join(parts) + s[1:3]


def beyond_ascii(s: str) -> str:
    return s + "naïve ∑"


def numbers(a: int, x: float) -> Any:
    return (
        float(a // 3), float(a % 4), a / 3, abs(x), float(round(x)), math.sqrt(x), float(min(a, 2)),
        math.inf, -0.0, 1e-30, x**2.0, float(a**5),
    )  # fmt: skip


def enums(n: int) -> tuple[str, int, str, bool]:
    color, shade = Color.RED if n > 0 else Color.BLUE, Shade.DARK
    return color.name, color.value, shade.value, color == Color.RED


def named(pair: Pair) -> Pair:
    return Pair(pair.first * pair.count, pair.count + 1)


def mixed(x: torch.Tensor) -> tuple[torch.Tensor, bool, list[float], int]:
    y = torch.zeros(2, 3, dtype=torch.float64, device=x.device)
    y[0, 1:] += 2
    values: list[float] = x.tolist()
    return y[:, None].sum(-1, keepdim=True), x.dtype == torch.float32, values, int(x.argmax())


def gradient_off(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        y = x * 2
    return y + x


def asserts(n: int) -> int:
    assert n > 0, f"{n} is too small"
    return n


def _helper(x: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
    return x * scale


def calls(x: torch.Tensor) -> torch.Tensor:
    return _helper(x) + _helper(x, 3.0)


def beyond_torchscript(items: list[int], s: str, d: dict[str, int]) -> Any:
    items[1:3] = [9, 8, 7]
    del items[:1]
    ranked = sorted(items, key=lambda n: -n)
    return items, ranked, s * 2, d == {"a": 1}, math.prod(items), "b" in s, items[0] ** 3


def formats(v: list[int] | int) -> str:
    count = len(v) if isinstance(v, list) else v
    return "%d of %s" % (count, "many")  # noqa: UP031


def tasks(x: torch.Tensor) -> torch.Tensor:
    task = jit.fork(_helper, x)
    return x + jit.wait(task)


def recorded(x: torch.Tensor) -> torch.Tensor:
    with torch.profiler.record_function("part"), torch.autocast("cpu", torch.bfloat16, True, True):
        y = x @ x
    return y


def dynamic_union(v: int | str) -> int:
    w: int | str = v
    if isinstance(v, str):
        w = len(v)
    if isinstance(w, int):
        return w + 1
    return 0


CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (branches, (torch.ones(2), 5)),
    (branches, (torch.ones(2), -1)),
    (branches, (torch.ones(2), 1)),
    (for_with_break, (torch.ones(3), 9)),
    (while_loop, (20,)),
    (early_return, ([3, 4, 5], 4)),
    (early_return, ([3, 4, 5], 9)),
    (optional_values, (None, 5)),
    (optional_values, (4, 1)),
    (containers, ({"a": 1, "b": 2}, [0.5, 1.5])),
    (strings, ("hello", 3)),
    (beyond_ascii, ("é",)),
    (numbers, (7, 2.25)),
    (enums, (1,)),
    (enums, (-1,)),
    (named, (Pair(torch.ones(2), 2),)),
    (mixed, (torch.tensor([1.0, 3.0, 2.0]),)),
    (gradient_off, (torch.ones(2, requires_grad=True),)),
    (asserts, (3,)),
    (calls, (torch.ones(2),)),
    (beyond_torchscript, ([1, 2, 3, 4], "ab", {"a": 1})),
    (formats, ([1, 2],)),
    (formats, (3,)),
    (tasks, (torch.ones(2),)),
    (recorded, (torch.ones(2, 2),)),
    (dynamic_union, ("four",)),
    (dynamic_union, (4,)),
]


def _fresh(value: Any) -> Any:
    """A copy of an argument, as functions change lists and dicts."""
    return type(value)(value) if type(value) in (list, dict) else value


@pytest.mark.parametrize(("function", "args"), CASES)
def test_functions_give_the_same_in_torch(function: Callable[..., Any], args: Any) -> None:
    loaded = reload(jit.script(function))
    expected, found = (f(*map(_fresh, args)) for f in (function, loaded))
    assert equal(expected, found)


def test_assertions_hold_in_torch() -> None:
    with pytest.raises(torch.jit.Error, match="-3 is too small"):
        reload(jit.script(asserts))(-3)


# modules ------------------------------------------------------------------------------------------
class Block(torch.nn.Module):
    scale: float

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(4, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.scale = 0.5

    def forward(self, x: torch.Tensor, times: int = 1) -> torch.Tensor:
        for _ in range(times):
            x = self.norm(self.fc(x)).relu() * self.scale
        return x


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([Block(), Block()])
        self.drop = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 2, bias=False))
        self.tied = self.drop[1].weight
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.names = ["a", "b"]
        self.table = {"a": 1.5}
        self.steps = 0

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        self.seen += 1
        self.steps += 1
        for block in self.blocks:
            x = block(x, 2)
        return self.drop(x) * self.table["a"] + self.tied.sum(), self.steps

    @jit.export
    def first_name(self) -> str:
        return self.names[0]


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model().eval()


def test_modules_give_the_same_in_torch(model: Model) -> None:
    loaded = reload(jit.script(model))
    x = torch.rand(3, 4)
    for _ in range(2):
        assert equal(model(x), loaded(x))
    assert loaded.first_name() == "a"
    assert equal(loaded.seen, model.seen)


def test_modules_have_the_structure_of_the_original(model: Model) -> None:
    loaded = reload(jit.script(model))
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert [n for n, _ in loaded.named_modules()] == [n for n, _ in model.named_modules()]
    assert loaded.tied.data_ptr() == _submodule(loaded, "drop.1").weight.data_ptr()
    assert all(p.requires_grad for p in loaded.parameters())
    loaded.train()
    assert _submodule(loaded, "blocks.0.norm").training


def _submodule(module: Any, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), module)


def test_modules_of_one_class_share_it(model: Model) -> None:
    source = members(save_to_buffer(jit.script(model)))
    (code,) = (t.decode() for n, t in source.items() if n.endswith("tests/archive/test_save.py"))
    assert code.count("class Block(Module)") == 1


def test_methods_train_in_torch(model: Model) -> None:
    loaded = reload(jit.script(model)).train()
    loaded(torch.rand(3, 4))[0].sum().backward()
    assert _submodule(loaded, "blocks.0.fc").weight.grad is not None


def _double(module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (inputs[0] * 2,)


def _add_one(module: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    return output + 1


def test_hooks_of_a_module() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    module.register_forward_pre_hook(_double)
    module.register_forward_hook(_add_one)
    module[0].register_forward_hook(_add_one)
    loaded = reload(jit.script(module))
    x = torch.rand(3, 2)
    assert torch.allclose(module(x), loaded(x))


def test_traced_modules() -> None:
    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(2, 2)
            self.register_buffer("count", torch.zeros(2))

        def forward(self, inputs: dict[str, torch.Tensor]) -> Any:
            self.count += 1
            return {"y": self.fc(inputs["x"]) + self.count}, [inputs["x"]]

    traced = jit.trace(Head(), ({"x": torch.rand(3, 2)},), strict=False)
    loaded = reload(traced)
    given = {"x": torch.rand(5, 2)}
    assert equal(traced(given), loaded(given))
    assert [n for n, _ in loaded.named_parameters()] == ["fc.weight", "fc.bias"]


class Attributes(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.whole = 1 << 40
        self.real = math.inf
        self.complex = 1 - 2j
        self.text = "naïve"
        self.flag = True
        self.dtype = torch.float64
        self.device = torch.device("cpu")
        self.color = Color.BLUE
        self.deep = {"a": [1, 2], "b": []}
        self.tensors = [torch.ones(2), torch.zeros(1)]
        self.several = (1, "x", [0.5])
        base = torch.arange(6.0)
        self.register_buffer("base", base)
        self.register_buffer("view", base[2:5])
        self.register_buffer("conjugate", torch.tensor([1 + 2j]).conj())
        self.register_buffer("sparse", torch.eye(2).to_sparse())
        self.register_buffer("rows", torch.eye(2).to_sparse_csr())
        self.register_buffer(
            "eight", torch.quantize_per_tensor(torch.ones(2), 0.5, 1, torch.quint8)
        )

    def forward(self) -> Any:
        return (
            self.whole, self.real, self.complex, self.text, self.flag, self.deep, self.tensors,
            self.several, self.base, self.view, self.conjugate, self.sparse.to_dense(),
            self.rows.to_dense(), self.eight.dequantize(), self.color.name,
        )  # fmt: skip


def test_attributes_of_every_kind() -> None:
    module = Attributes()
    loaded = reload(jit.script(module))
    assert equal(module(), loaded())
    assert loaded.dtype == 7 and loaded.device == torch.device("cpu")
    loaded.base += 1
    assert equal(loaded.view, loaded.base[2:5])


# the file -----------------------------------------------------------------------------------------
def test_the_same_module_gives_the_same_bytes(model: Model) -> None:
    compiled = jit.script(model)
    assert save_to_buffer(compiled) == save_to_buffer(compiled)


def test_payloads_are_aligned(model: Model) -> None:
    data = save_to_buffer(jit.script(model))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        for info in file.infolist():
            name, extra = (
                data[info.header_offset + k : info.header_offset + k + 2] for k in (26, 28)
            )
            sizes = (int.from_bytes(size, "little") for size in (name, extra))
            assert (info.header_offset + 30 + sum(sizes)) % 64 == 0


def test_every_target_gets_the_same_members(model: Model, tmp_path: Path) -> None:
    compiled = jit.script(model)
    path = tmp_path / "named.pt"
    jit.save(compiled, path)
    with open(tmp_path / "file.pt", "wb") as file:
        jit.save(compiled, file)
    assert (tmp_path / "file.pt").read_bytes() == compiled.save_to_buffer()
    inside = members(path.read_bytes())
    assert {name.partition("/")[0] for name in inside} == {"named"}
    assert torch.jit.load(str(path)).first_name() == "a"


def test_extra_files(tmp_path: Path) -> None:
    jit.save(jit.script(calls), tmp_path / "f.pt", _extra_files={"note": "text", "raw": b"\0\1"})
    found = {"note": "", "raw": ""}
    torch.jit.load(str(tmp_path / "f.pt"), _extra_files=found)
    assert found == {"note": b"text", "raw": b"\0\1"}


class _Full(Exception):
    pass


def test_a_failed_save_leaves_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    jit.save(jit.script(calls), path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise _Full

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(_Full):
        jit.save(jit.script(branches), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.pt"]


def test_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.touch(0o640)
    os.chmod(path, 0o640)
    jit.save(jit.script(calls), path)
    assert path.stat().st_mode & 0o777 == 0o640


# versions -----------------------------------------------------------------------------------------
def adds(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def divides(x: torch.Tensor) -> torch.Tensor:
    return x / 2


def fills(x: torch.Tensor) -> torch.Tensor:
    return torch.full([2], 1.5) + x


def spaces(x: torch.Tensor) -> torch.Tensor:
    return torch.linspace(0, 1, 2) + x


def smooths(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.gelu(x) / 2


@pytest.mark.parametrize(
    ("function", "version"), [(adds, 3), (divides, 4), (fills, 5), (spaces, 8), (smooths, 10)]
)
def test_the_version_is_the_oldest_that_means_the_same(function: Any, version: int) -> None:
    torchs = io.BytesIO()
    torch.jit.save(torch.jit.script(function), torchs)
    for data in (save_to_buffer(jit.script(function)), torchs.getvalue()):
        found = members(data)
        member = "archive/version" if version < 6 else "archive/.data/version"
        assert found[member] == b"%d\n" % version


# refusals -----------------------------------------------------------------------------------------
@jit.ignore
def _in_python(x: torch.Tensor) -> torch.Tensor:
    return x


def calls_back(x: torch.Tensor) -> torch.Tensor:
    return _in_python(x) + 1


def test_callbacks_are_refused_with_their_place() -> None:
    with pytest.raises(jit.CompileError) as caught:
        save_to_buffer(jit.script(calls_back))
    text = str(caught.value)
    assert "Could not export" in text and "_in_python" in text
    assert __file__ in text and "return _in_python(x) + 1" in text and "^^^" in text


def test_what_is_not_compiled_is_refused() -> None:
    with pytest.raises(TypeError, match=r"jit\.script"):
        jit.save(torch.nn.Linear(1, 1), io.BytesIO())


def encoded(text: str) -> int:
    return len(text.encode())


def test_functions_of_our_own_are_said_to_be() -> None:
    with pytest.warns(jit.JitWarning, match=r"ops\.relume\.call_method"):
        data = save_to_buffer(jit.script(encoded))
    assert load(io.BytesIO(data))("Straße") == 7


class Outside(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(act=torch.nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.config.act(x)


def test_modules_that_are_not_registered_are_refused() -> None:
    with pytest.raises(jit.CompileError, match="no submodule"):
        save_to_buffer(jit.script(Outside()))


# cycles -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [f for f, _ in CASES])
def test_functions_are_stable_over_a_cycle(function: Callable[..., Any]) -> None:
    data = save_to_buffer(jit.script(function))
    assert members(save_to_buffer(load(io.BytesIO(data)))) == members(data)


def test_modules_are_stable_over_a_cycle(model: Model) -> None:
    for module in (model, Attributes()):
        data = save_to_buffer(jit.script(module))
        assert members(save_to_buffer(load(io.BytesIO(data)))) == members(data)


# code ---------------------------------------------------------------------------------------------
def clamps(x: torch.Tensor, n: int) -> torch.Tensor:
    if n > 2:
        y = x + n
    else:
        y = -x
    return y.relu()


def test_code_of_a_function() -> None:
    assert jit.script(clamps).code == (
        "def clamps(x: Tensor,\n"
        "    n: int) -> Tensor:\n"
        "  if torch.gt(n, 2):\n"
        "    y = torch.add(x, n)\n"
        "  else:\n"
        "    y = torch.neg(x)\n"
        "  return torch.relu(y)\n"
    )


def named(x: torch.Tensor, n: int) -> tuple[dict[str, torch.Tensor], torch.Tensor, int, int]:
    scaled = x * n
    total = 0
    for i in range(n):
        step = i * 2
        total = total + step
    if n > 2:
        out = scaled + total
    else:
        out = scaled
    a, b = out.split(1)
    k = 3
    d = {"x": a}
    return d, b, total, k


def test_variables_are_called_what_users_and_torch_call_them() -> None:
    assert jit.script(named).code == torch.jit.script(named).code


def test_code_of_a_module() -> None:
    assert jit.script(torch.nn.Linear(2, 2)).code == (
        "def forward(self,\n"
        "    input: Tensor) -> Tensor:\n"
        "  weight = self.weight\n"
        "  bias = self.bias\n"
        "  return torch.linear(input, weight, bias)\n"
    )
