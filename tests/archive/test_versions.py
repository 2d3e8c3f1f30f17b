"""Archives of older versions mean what they meant: each of the overloads whose meaning has changed,
below and above the version of the change, as torch loads them.
"""

from __future__ import annotations

import io
import re

import pytest
import torch

from tests.archive.mutations import members, packed
from tests.archive.saved import saved
from tests.archive.test_load import check_archive, equal

pytestmark = pytest.mark.filterwarnings("ignore")  # deprecations, of old meanings too
INTS, FLOATS = torch.tensor([-7, 5, 9]), torch.tensor([-7.0, 5.0, 9.5])
# overload, version of the change, an expression of `x` and `y`
CHANGED = [
    ("div.Tensor", 4, "torch.div(x, y)"),
    ("div.Tensor_mode", 4, 'torch.div(x, y, rounding_mode="floor")'),
    ("div.Scalar", 4, "torch.div(x, 2)"),
    ("div.Scalar (float)", 4, "torch.div(x, 2.5)"),
    ("div.Scalar_mode", 4, 'torch.div(x, 2, rounding_mode="trunc")'),
    ("div.out", 4, "torch.div(x, y, out=torch.zeros([3], dtype=7))"),
    ("div.out_mode", 4, 'torch.div(x, y, rounding_mode="trunc", out=torch.zeros([3], dtype=7))'),
    ("div_.Tensor", 4, "torch.div_(torch.mul(x, y), y)"),
    ("div_.Tensor_mode", 4, 'torch.div_(torch.mul(x, 1), y, rounding_mode="floor")'),
    ("div_.Scalar", 4, "torch.div_(torch.mul(x, y), 3)"),
    ("div_.Scalar_mode", 4, 'torch.div_(torch.mul(x, y), 3, rounding_mode="trunc")'),
    ("full", 5, "torch.full([3], 2)"),
    ("full (dtype)", 5, "torch.full([3], 2, dtype=3)"),
    ("full.out", 5, "torch.full([3], 2, out=torch.zeros([3]))"),
    ("linspace", 8, "torch.linspace(0, 1)"),
    ("linspace (steps)", 8, "torch.linspace(0, 1, 5)"),
    ("linspace.out", 8, "torch.linspace(0, 1, out=torch.zeros([100]))"),
    ("logspace", 9, "torch.logspace(0, 1)"),
    ("logspace.out", 9, "torch.logspace(0, 1, out=torch.zeros([100]))"),
    ("gelu", 10, "torch.gelu(torch.mul(x, 0.5))"),
    ("gelu.out", 10, "torch.gelu(torch.mul(x, 0.5), out=torch.zeros([3]))"),
]


class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.add(x, y)


def archive_with(expression: str, version: int) -> bytes:
    """An archive of a version whose forward returns an expression."""
    content = {n: c for n, c in members(saved(Pair())).items() if "debug" not in n}
    (code,) = (n for n in content if n.endswith(".py"))
    text = content[code].decode()
    content[code] = re.sub(r"return .*", lambda _: f"return {expression}", text).encode()
    kept = {n: c for n, c in content.items() if not n.endswith("version")}
    return packed({**kept, "archive/version": f"{version}\n".encode()})


@pytest.mark.parametrize("newer", [False, True], ids=["older", "newer"])
@pytest.mark.parametrize(("name", "changed", "expression"), CHANGED, ids=[c[0] for c in CHANGED])
def test_overloads(name: str, changed: int, expression: str, newer: bool) -> None:
    archive = archive_with(expression, changed if newer else changed - 1)
    for args in ((INTS, torch.tensor([2, -2, 4])), (FLOATS, torch.tensor([2.0, -2.0, 4.0]))):
        try:
            torch.jit.load(io.BytesIO(archive))(*args)
        except RuntimeError as error:  # `steps` must be given now, an int is no result of `div`
            with pytest.raises(RuntimeError):
                check_archive(archive, args)
            assert error
        else:
            check_archive(archive, args)


@pytest.mark.parametrize("version", range(1, 11))
def test_the_meaning_is_kept_when_saved_again(version: int) -> None:
    archive = archive_with("torch.div(x, 2)", version)
    ours = check_archive(archive, (INTS, INTS))
    again = torch.jit.load(io.BytesIO(ours.save_to_buffer()))
    assert equal(again(INTS, INTS), torch.jit.load(io.BytesIO(archive))(INTS, INTS))
