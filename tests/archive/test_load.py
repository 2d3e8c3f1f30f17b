"""Archives that torch has written run as they do in torch."""

from __future__ import annotations

import copy
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from jit import ArchiveError, load, save
from jit.archive.source.deferred import DeferredGraph
from tests.archive.mutations import members, packed
from tests.archive.saved import Detection, Detector, Mode, ResNet, Tagger, clipped, saved

CALLS = 3  # the first ones are interpreted, then plans serve


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    if isinstance(a, list | tuple):  # torch makes named tuples of its own
        return (
            isinstance(a, list) == isinstance(b, list)
            and len(a) == len(b)
            and all(map(equal, a, b))
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def check(obj: Any, *inputs: tuple[Any, ...]) -> Any:
    """The loaded module, after its results were those of torch's."""
    return check_archive(saved(obj), *inputs)


def check_archive(archive: bytes, *inputs: tuple[Any, ...]) -> Any:
    made = load(io.BytesIO(archive))
    theirs = torch.jit.load(io.BytesIO(archive))
    with torch.no_grad():
        for args in inputs:
            wanted = theirs(*args)
            for _ in range(CALLS):
                assert equal(wanted, made(*args))
    return made


def test_function_with_defaults() -> None:
    check(torch.jit.script(clipped), (torch.ones(3) * 50, 3.0, 5), (torch.ones(3), 2.0, 1))


def test_tagger() -> None:
    torch.manual_seed(0)
    made = check(Tagger().eval(), (torch.arange(12) % 5,), (torch.arange(4), 2))
    assert {n for n, _ in made.named_parameters()} == {n for n, _ in Tagger().named_parameters()}


def test_resnet() -> None:
    torch.manual_seed(0)
    made = check(ResNet().eval(), (torch.randn(2, 3, 32, 32),))
    assert not made.training
    assert made.stem.weight.requires_grad


@torch.no_grad()
def test_detector() -> None:
    torch.manual_seed(0)
    made = check(
        Detector(),
        (torch.randn(2, 4), Mode.FAST),
        (torch.randn(2, 4), Mode.EXACT, -10.0),
    )
    found, _, _ = made(torch.randn(2, 4), Mode.FAST, -10.0)
    assert type(found[0]) is Detection  # the class of this process, which is imported
    with pytest.raises(ValueError, match="expected two dims"):
        made(torch.randn(1, 2, 4), Mode.FAST)
    with pytest.raises(AssertionError, match="float only"):
        made.double()(torch.randn(2, 4).double(), Mode.FAST)


def test_traced() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)).eval()
    check(torch.jit.trace(model, torch.randn(3, 4)), (torch.randn(5, 4),))


# what data is -------------------------------------------------------------------------------------


class Data(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        base = torch.arange(12.0)
        self.register_buffer("rows", base.view(3, 4))
        self.register_buffer("row", base[4:8])
        self.register_buffer("turned", base.view(3, 4).t())
        self.register_buffer("conjugate", torch.tensor([1 + 2j]).conj())
        self.register_buffer("sparse", torch.eye(2).to_sparse())
        self.register_buffer("small", torch.ones(2, dtype=torch.bfloat16))
        self.register_buffer("none", None)
        self.empty = torch.zeros(0, 3)
        self.shared = nn.Linear(2, 2)
        self.again = self.shared

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.shared(x)) + self.row.sum()


def test_tensors_of_every_kind() -> None:
    made = check(Data(), (torch.ones(1, 2),))
    assert made.rows.data_ptr() + 16 == made.row.data_ptr() and made.turned.stride() == (1, 4)
    made.rows[1, 0] = 50.0
    assert made.row[0] == 50.0 and made.turned[0, 1] == 50.0
    assert made.conjugate.is_conj() and made.sparse.is_sparse and made.small.dtype == torch.bfloat16
    assert made.none is None and made.empty.shape == (0, 3)
    assert made.shared.weight is made.again.weight and len(list(made.parameters())) == 2
    assert isinstance(made.shared.weight, nn.Parameter)


def test_file_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(saved(nn.Linear(2, 2)))
    before, made = path.read_bytes(), load(path)
    with torch.no_grad():
        made.weight.fill_(3.0)
    assert path.read_bytes() == before and not (load(str(path)).weight == 3.0).all()


def test_map_location_and_extra_files() -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer, {"note": "hello", "b": b"\x00"})
    wanted = {"note": "", "b": "", "missing": "kept"}
    made = load(io.BytesIO(buffer.getvalue()), map_location="meta", _extra_files=wanted)
    assert made.weight.is_meta
    assert wanted == {"note": b"hello", "b": b"\x00", "missing": "kept"}


@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_quantized() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    made = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    check(made, (torch.randn(3, 8),))


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.total = 3

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return self.total * 2, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        self.total = state[0] + 1
        self.training = state[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total += 1
        return x + self.total


def test_own_state() -> None:
    archive = saved(Stateful())
    made, theirs = load(io.BytesIO(archive)), torch.jit.load(io.BytesIO(archive))
    for _ in range(CALLS):
        assert torch.equal(made(torch.zeros(1)), theirs(torch.zeros(1)))
    assert made.total == 7 + CALLS


def test_saved_again() -> None:
    torch.manual_seed(0)
    made = load(io.BytesIO(saved(Detector())))
    buffer = io.BytesIO()
    save(made, buffer)
    x = torch.randn(2, 4)
    theirs = torch.jit.load(io.BytesIO(buffer.getvalue()))
    with torch.no_grad():
        assert equal(theirs(x, Mode.EXACT), made(x, Mode.EXACT))


# older archives -----------------------------------------------------------------------------------


def of_version(archive: bytes, version: int, **code: str) -> bytes:
    """An archive as one of another version, with some text of its code replaced."""
    content = {n: c for n, c in members(archive).items() if not n.endswith("version")}
    for old, new in code.items():
        content = {n: c.replace(f"#{old}".encode(), new.encode()) for n, c in content.items()}
    return packed({**content, "archive/version": f"{version}\n".encode()})


class Old(nn.Module):
    def forward(self, x: torch.Tensor, n: int) -> torch.Tensor:
        a = torch.div(x, 2) + torch.true_divide(torch.full([3], n), 2)
        return a.add_(torch.linspace(0, 1, 3)).div_(3) + nn.functional.gelu(x.float())


@pytest.mark.parametrize("version", [1, 3, 4, 5, 8, 10])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_versions(version: int, dtype: torch.dtype) -> None:
    archive = of_version(saved(Old()), version)
    check_archive(archive, (torch.tensor([-7, 5, 9]).to(dtype), 3))


def test_other_versions_are_refused() -> None:
    with pytest.raises(ArchiveError, match="version 11 is not supported"):
        load(io.BytesIO(of_version(saved(nn.Identity()), 11)))
    with pytest.raises(ArchiveError, match="open it with"):
        buffer = io.BytesIO()
        torch.save(nn.Linear(1, 1).state_dict(), buffer)
        load(io.BytesIO(buffer.getvalue()))


# code that people write by hand -------------------------------------------------------------------

BY_HAND = """class Linear(Module):
  __parameters__ = ["weight", "bias", ]
  __buffers__ = []
  weight : Tensor
  bias : Tensor
  training : bool
  _is_full_backward_hook : NoneType
  in_features : Final[int] = 2
  out_features : Final[int] = 2
  def forward(self, input: Tensor) -> Tensor:
    sizes = [n * 2 for n in input.size()]
    total: int = 0
    for n in sizes:
      total += n
    y = input.matmul(self.weight.t()) + self.bias * total
    if not self.training and total > 2 or len(sizes) == 7:
      return -y[0:1, 0]
    z = y if y.dim() == 2 else y.sum()
    return z / 2.5
"""


def test_liberal_code() -> None:
    content = dict(members(saved(nn.Linear(2, 2))))
    (name,) = (n for n in content if n.endswith(".py"))
    content[name] = BY_HAND.encode()
    for rows in (1, 3):
        made = check_archive(packed(content), (torch.ones(rows, 2),))
        theirs = torch.jit.load(io.BytesIO(packed(content)))
        made.eval()
        theirs.eval()
        assert equal(made(torch.ones(rows, 2)), theirs(torch.ones(rows, 2)))


def test_errors_name_file_line_and_caret() -> None:
    content = dict(members(saved(nn.Linear(2, 2))))
    (name,) = (n for n in content if n.endswith(".py"))
    content[name] = BY_HAND.replace("y.sum()", "y.summ()").encode()
    module = load(io.BytesIO(packed(content)))
    for _ in range(2):
        with pytest.raises(ArchiveError) as caught:
            module(torch.ones(2, 2))
    text = str(caught.value)
    assert "aten::summ" in text and "linear" in text and "line 18" in text and "^^^^^" in text


def test_bodies_are_read_when_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(saved(nn.Sequential(nn.Linear(2, 2), nn.ReLU())))
    with path.open("rb") as file:
        module = load(file)
    graph = type(module).definition.methods["forward"].graph
    assert isinstance(graph, DeferredGraph) and graph._read is not None
    assert [p.name for p in graph.params] == ["self", "input"] and graph._read is not None
    linear = module.get_submodule("0")
    assert torch.equal(linear(torch.ones(1, 2)), copy.deepcopy(linear)(torch.ones(1, 2)))


def test_threads_wait_for_a_body() -> None:
    module = load(io.BytesIO(saved(nn.TransformerEncoderLayer(8, 2, 8).eval())))
    x = torch.rand(2, 3, 8)
    with ThreadPoolExecutor(4) as pool:
        first, *rest = pool.map(lambda _: module(x), range(4))
    assert all(torch.allclose(first, r) for r in rest)
