"""Plans of earlier processes: found by what they were made from, and by nothing less."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import codegen
import jit
from codegen import body, runtime
from codegen.cache import ObjectCache
from codegen.record import Record, Stale, Unstorable
from jit.config import DEFAULT
from jit.function import ScriptFunction

X, Y = torch.linspace(-1, 1, 24).reshape(4, 6), torch.linspace(1, 2, 6)


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectCache]:
    """A cache of our own, empty at first."""
    cache = ObjectCache(tmp_path)
    monkeypatch.setattr(codegen, "default_cache", lambda: cache)
    monkeypatch.setattr(runtime.engine(), "objects", cache)
    return cache


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of kernels as they are emitted."""
    names: list[str] = []
    emit = body.emit_kernel

    def note(module: Any, name: str, *rest: Any) -> Any:
        names.append(name)
        return emit(module, name, *rest)

    monkeypatch.setattr(body, "emit_kernel", note)
    return names


def anew(f: Callable[..., Any]) -> ScriptFunction:
    """A function as another process would see it: nothing is known of it."""
    return ScriptFunction(f, config=DEFAULT)


def check(f: Callable[..., Any], *args: Any, compiled: Any = None) -> Any:
    """A new compiled twin of a function, after two native calls that gave what eager gives."""
    made = anew(f) if compiled is None else compiled
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(made(*args), f(*args))
    (plan,) = made.executor.chain
    assert plan.plan.hits == 2
    return plan


def soft(x: Tensor, y: Tensor, scale: float = 2.0) -> Tensor:
    return torch.softmax(x * y, -1) * scale


def test_a_plan_is_linked_again_without_lowering(objects: ObjectCache, emitted: list[str]) -> None:
    first = check(soft, X, Y)
    assert emitted
    emitted.clear()
    again = check(soft, X, Y)
    assert not emitted
    assert objects.counters["remembered"] == 1
    assert again.plan.library.is_cached
    assert again.guards == tuple(first.guards)


def test_reports_make_what_they_show(objects: ObjectCache, emitted: list[str]) -> None:
    functions = [anew(soft), anew(soft)]
    for function in functions:
        check(soft, X, Y, compiled=function)
    emitted.clear()
    made, linked = (jit.explain(f, ir=True) for f in functions)
    assert emitted
    assert [str(line) for line in made.lines] == [str(line) for line in linked.lines]
    assert made.plans[0].kernels == linked.plans[0].kernels
    assert made.plans[0].ir == linked.plans[0].ir
    assert functions[1].executor.chain[0].plan.prepared is not None


class Mode(enum.Enum):
    HALF = 0.5
    DOUBLE = 2.0


SCALE = 3.0
WEIGHT = torch.linspace(0, 1, 6)


def captured_number(x: Tensor) -> Tensor:
    return x * SCALE


def captured_tensor(x: Tensor) -> Tensor:
    return (x * WEIGHT).sum(-1)


def branch(x: Tensor, k: int) -> Tensor:
    while k > 3:
        x, k = x + k, k - 1
    return x


def mode(x: Tensor, m: Mode) -> Tensor:
    return x * 2 if m == Mode.DOUBLE else x * 0.5


def typed(x: Tensor, dtype: torch.dtype) -> Tensor:
    return (x + 1).to(dtype)


def pair(x: Tensor, more: list[Tensor]) -> tuple[Tensor, int]:
    return x + more[0] * more[1], len(more)


def countdown(x: Tensor, n: int) -> Tensor:
    if n <= 0:
        return x
    return countdown(x * 2, n - 1) + 1


def called_back(x: Tensor) -> Tensor:
    return torch.linalg.pinv(x + 1) * 2


CALLS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (soft, (X, Y)),
    (soft, (X, Y, 3.0)),
    (soft, (X[:3], Y)),
    (soft, (X.double(), Y.double())),
    (soft, (X.t().contiguous().t(), Y)),
    (soft, (X[:, ::2], Y[::2])),
    (captured_number, (X,)),
    (captured_tensor, (X,)),
    (branch, (X, 7)),
    (branch, (X, 1)),
    (mode, (X, Mode.HALF)),
    (mode, (X, Mode.DOUBLE)),
    (typed, (X, torch.float64)),
    (typed, (X, torch.int32)),
    (pair, (X, [Y, Y])),
    (pair, (X, [Y, Y, X])),
    (countdown, (X, 3)),
    (called_back, (X,)),
]


@pytest.mark.usefixtures("objects")
def test_plans_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        for f, args in CALLS:
            check(f, *args)
        monkeypatch.setitem(globals(), "SCALE", SCALE + 1)
        monkeypatch.setitem(globals(), "WEIGHT", WEIGHT + 1)


def test_plans_are_found_again(objects: ObjectCache, emitted: list[str]) -> None:
    found = [(f, args) for f, args in CALLS if f is not countdown]  # which calls an object of ours
    for _ in range(2):
        emitted.clear()
        objects.counters.clear()
        for f, args in found:
            check(f, *args)
    assert objects.counters["remembered"] == len(found)
    assert not emitted


def by_keywords(x: Tensor) -> Any:
    return types.SimpleNamespace(best=(x * 2).amax(-1), name="scores")


def branches_inside(x: Tensor, n: int) -> Tensor:
    for k in range(n):
        x = torch.linalg.pinv(x + 1) * 2 if k % 2 else x.relu() + 1
    return x


def test_callbacks_are_written_with_their_graphs(objects: ObjectCache, emitted: list[str]) -> None:
    """And give what they gave, errors with the user's line among it."""
    for _ in range(2):
        emitted.clear()
        objects.counters.clear()
        check(branches_inside, X, 3)
        made = anew(by_keywords)
        for _ in range(3):
            assert torch.equal(made(X).best, by_keywords(X).best)
    assert objects.counters["remembered"] == 2
    assert not emitted


def inverse(x: Tensor) -> Tensor:
    return torch.linalg.inv(x * 2) + 1


def test_errors_of_callbacks_have_their_lines(objects: ObjectCache) -> None:
    for _ in range(2):
        made = anew(inverse)
        for _ in range(3):
            made(torch.eye(3))
        with pytest.raises(torch.linalg.LinAlgError) as caught:
            made(torch.zeros(3, 3))
        assert "torch.linalg.inv(x * 2)" in "".join(caught.value.__notes__)
    assert objects.counters["remembered"] == 1


class Net(nn.Module):
    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.norm = nn.LayerNorm(6, eps)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        return self.norm(x)


def test_modules_have_weights_of_their_own(objects: ObjectCache, emitted: list[str]) -> None:
    for k, net in enumerate((Net(), Net(), Net(eps=0.5))):
        emitted.clear()
        scripted = jit.script(net.eval())
        check(net, X, compiled=scripted.forward)
        assert bool(emitted) == (k != 1)
        for module in (net, scripted):
            module.layers[1].weight = nn.Parameter(torch.ones(6, 6))
        with torch.no_grad():
            torch.testing.assert_close(scripted(X), net(X))


def test_weights_that_are_one_are_no_twins_of_two(objects: ObjectCache) -> None:
    tied, apart = Net().eval(), Net().eval()
    tied.layers[1] = tied.layers[0]
    for net in (apart, tied, apart):
        check(net, X, compiled=jit.script(net).forward)


def test_what_does_not_fit_is_made_again(objects: ObjectCache, emitted: list[str]) -> None:
    check(soft, X, Y)
    paths = sorted(objects.directory.rglob("*.o"), key=os.path.getsize)
    for path in paths:
        emitted.clear()
        path.write_bytes(path.read_bytes()[:-9])
        check(soft, X, Y)
        assert emitted
    assert objects.counters["corrupt"] >= len(paths)
    emitted.clear()
    check(soft, X, Y)
    assert not emitted


def test_records_of_other_things_are_stale(
    objects: ObjectCache, monkeypatch: pytest.MonkeyPatch, emitted: list[str]
) -> None:
    monkeypatch.setattr(objects, "get", lambda key: b"no record")
    monkeypatch.setattr(runtime.engine(), "objects", None)
    check(soft, X, Y)
    assert objects.counters["stale"] == 1
    assert emitted


def test_other_sources_or_machines_have_other_plans(
    objects: ObjectCache, monkeypatch: pytest.MonkeyPatch, emitted: list[str]
) -> None:
    check(soft, X, Y)
    monkeypatch.setattr(runtime, "own_sources", lambda: "another")
    for environment in (runtime.environment.__wrapped__, lambda: "another"):
        monkeypatch.setattr(codegen, "environment", environment)
        emitted.clear()
        check(soft, X, Y)
        assert emitted


def test_records_hold_what_every_process_has() -> None:
    live: list[object] = [{"weight": 1}, object()]
    objects = {
        "a": live[1],
        "b": "text",
        "c": torch.float32,
        "d": Mode.HALF,
        "e": soft,
        "f": live[0],
    }
    record = Record(("part",), ("entry",), ("a",), objects, 1, ("x: int",))
    found = Record.load(record.dump(live), live)
    assert found == record
    assert found.objects["a"] is live[1]
    with pytest.raises(Unstorable):
        record.dump(live[:1])
    with pytest.raises(Unstorable):
        Record((), (), (), {"a": lambda: 0}, 1, ()).dump(live)
    with pytest.raises(Stale):
        Record.load(record.dump(live), live[:1])


PROGRAM = """
import sys, torch, codegen
from jit import jit

def scores(x, weight):
    return torch.softmax(x @ weight, -1) * torch.tanh(x)

x, weight = torch.rand(2, 96, 96)
compiled = jit(scores)
for _ in range(3):
    torch.testing.assert_close(compiled(x, weight), scores(x, weight))
print(codegen.default_cache().counters["remembered"], *sys.modules)
"""
GENERATORS = {
    "codegen.body",
    "codegen.entry",
    "codegen.products.gemm",
    "codegen.lanes.lanes",
    "codegen.plan",
}


def test_a_second_process_loads_nothing_that_generates_code(tmp_path: Path) -> None:
    file, root = tmp_path / "program.py", str(Path(__file__).resolve().parents[2])
    file.write_text(PROGRAM)
    environment = {**os.environ, "JIT_CACHE_DIR": str(tmp_path), "JIT_CACHE": "1"}
    environment["PYTHONPATH"] = root
    first, second = (
        subprocess.run(
            [sys.executable, str(file)], env=environment, check=True,
            capture_output=True, text=True,
        ).stdout.split()
        for _ in range(2)
    )  # fmt: skip
    assert (first[0], second[0]) == ("0", "1")
    assert GENERATORS <= {*first}
    assert GENERATORS.isdisjoint(second)


def test_reports_are_made_in_the_grad_mode_of_the_call(objects: ObjectCache) -> None:
    layer, x = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True).eval(), torch.rand(2, 9, 24)
    for _ in range(2):
        compiled = jit.jit(layer.forward)
        with torch.no_grad():
            for _ in range(3):
                compiled(x)
        assert "called back" not in str(jit.explain(compiled))
    assert objects.counters["remembered"] == 1
