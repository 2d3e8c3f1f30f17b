"""What archives have no types for comes back from them all the same: sizes, tuples of any length,
dtypes."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
import torch

import jit
from jit.archive.results import MEMBER


def several(x: torch.Tensor, items: list[int]):
    return x.shape, (x * 2, x.dtype, tuple(items)), items, torch.get_default_dtype()


class Sized(torch.nn.Module):
    def helper(self, x: torch.Tensor) -> torch.Size:
        return x.shape

    @torch.jit.export
    def sizes(self, x: torch.Tensor) -> torch.Size:
        return x.shape

    def forward(self, x: torch.Tensor) -> tuple[int, torch.Size]:
        return self.helper(x)[0], self.helper(x)


X = torch.ones(2, 3)


def saved(m: Any) -> bytes:
    buffer = io.BytesIO()
    jit.save(m, buffer)
    return buffer.getvalue()


def test_results_have_the_types_of_eager() -> None:
    wanted = several(X, [1, 2])
    archive = saved(jit.script(several))
    loaded = jit.load(io.BytesIO(archive))
    again = jit.load(io.BytesIO(saved(loaded)))
    for module in (loaded, again):
        for _ in range(3):
            size, (y, dtype, pair), items, default = module(X, [1, 2])
            assert type(size) is torch.Size and size == wanted[0]
            assert torch.equal(y, wanted[1][0]) and dtype is torch.float32
            assert (pair, items, default) == ((1, 2), [1, 2], torch.float32)


def test_torch_reads_what_it_has_types_for() -> None:
    theirs = torch.jit.load(io.BytesIO(saved(jit.script(several))))
    size, (_, dtype, pair), *_ = theirs(X, [1, 2])
    assert (size, dtype, pair) == ([2, 3], 6, [1, 2])


def test_methods_of_modules() -> None:
    loaded = jit.load(io.BytesIO(saved(jit.script(Sized()))))
    assert loaded(X) == (2, torch.Size([2, 3])) and type(loaded(X)[1]) is torch.Size
    assert type(loaded.sizes(X)) is torch.Size


@pytest.mark.parametrize(
    "member", [b"[", b"[]", b'{"backward": "size"}', b'{"forward": "dtype"}', b'{"forward": [[]]}']
)
def test_a_damaged_member_is_refused(member: bytes) -> None:
    source = zipfile.ZipFile(io.BytesIO(saved(jit.script(several))))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = member if name.endswith(MEMBER) else source.read(name)
            target.writestr(name, content)
    with pytest.raises(jit.ArchiveError, match=MEMBER):
        jit.load(io.BytesIO(buffer.getvalue()))


class Outer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Sized()

    def forward(self, x: torch.Tensor) -> torch.Size:
        return self.inner(x)[1]


def test_a_part_whose_method_has_the_same_name() -> None:
    loaded = jit.load(io.BytesIO(saved(jit.script(Outer()))))
    assert type(loaded(X)) is torch.Size


class Branches(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(torch.nn.Linear(3, 3) for _ in range(2))
        self.scale = 2.0

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tasks = [jit.fork(part, x) for part in self.parts]
        own = jit.fork(self.scaled, x)
        return torch.stack([jit.wait(task) for task in tasks]).sum(0) + jit.wait(own)


def test_tasks_that_call_methods() -> None:
    module = Branches()
    data = saved(jit.script(module))
    with torch.no_grad():
        module.parts[0].weight.fill_(0.5)
        for reader in (jit.load, torch.jit.load):
            loaded = reader(io.BytesIO(data))
            dict(loaded.named_parameters())["parts.0.weight"].fill_(0.5)
            assert torch.allclose(loaded(X), module(X))
