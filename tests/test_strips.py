"""Layers around depthwise ones, computed in strips: against eager in float64, for strips of any
height, and what may not be computed so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import jit
from codegen.images import strips
from codegen.images.strips import Strips
from tests.test_images import check, shaken

Tensor = torch.Tensor


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of a few rows, for small images too."""
    monkeypatch.setattr(strips, "STRIP_BYTES", 16 << 10)


def joined(module: Any) -> list[list[str]]:
    """The layers that the newest plan computes together."""
    plan = module.forward.executor.compiled[-1].plan.prepared
    return [list(call.layers) for call in plan.calls.values() if isinstance(call, Strips)]


def wide(channels: int, inner: int, **options: Any) -> list[nn.Module]:
    """A layer that makes images wide, and a depthwise one."""
    return [
        nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner), nn.SiLU(),
        nn.Conv2d(inner, inner, groups=inner, **options), nn.BatchNorm2d(inner), nn.ReLU6(),
    ]  # fmt: skip


ALL, FIRST, LAST = ["before", "within", "behind"], ["before", "within"], ["within", "behind"]
NETS: list[tuple[list[nn.Module], tuple[int, ...], list[str]]] = [
    ([*wide(5, 40, kernel_size=3, padding=1), nn.Conv2d(40, 7, 1)], (2, 5, 19, 17), ALL),
    ([*wide(8, 64, kernel_size=3, stride=2, padding=1), nn.Conv2d(64, 24, 1)], (3, 8, 15, 16), ALL),
    ([*wide(3, 33, kernel_size=5, padding=2), nn.Conv2d(33, 50, 1), nn.ReLU()], (1, 3, 30, 9), ALL),
    ([*wide(4, 48, kernel_size=3, dilation=2), nn.Conv2d(48, 4, 1)], (2, 4, 21, 14), ALL),
    ([*wide(4, 24, kernel_size=(3, 1), stride=(3, 1), padding=(4, 0)), nn.Conv2d(24, 4, 1)],
     (1, 4, 31, 24), ALL),
    ([*wide(4, 32, kernel_size=3, padding=3), nn.Flatten(2)], (2, 4, 16, 20), FIRST),
    ([nn.Conv2d(3, 32, 3), *wide(32, 32, kernel_size=3)[3:], nn.Conv2d(32, 9, 1)],
     (2, 3, 20, 21), LAST),
]  # fmt: skip


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("number", range(len(NETS)))
def test_strips(number: int, threads: int) -> None:
    layers, shape, wanted = NETS[number]
    module, x = shaken(nn.Sequential(*layers)), torch.randn(shape)
    assert joined(check(module, x)) == [wanted]
    frozen = jit.freeze(jit.script(module))
    for _ in range(3):
        torch.testing.assert_close(frozen(x), module(x), rtol=1e-4, atol=1e-5)
    assert joined(frozen) == [wanted]


class Residual(nn.Module):
    """Blocks whose images are added to what they give; `shows` the wide image of the last one."""

    def __init__(self, shows: bool) -> None:
        super().__init__()
        self.shows = shows
        self.first = nn.Sequential(*wide(8, 48, kernel_size=3, padding=1), nn.Conv2d(48, 8, 1))
        self.wide = nn.Sequential(*wide(8, 48, kernel_size=3, padding=1)[:3])
        self.depthwise = nn.Conv2d(48, 48, 3, padding=1, groups=48)
        self.last = nn.Conv2d(48, 8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.first(x)
        wide = self.wide(x)
        y = self.depthwise(wide)
        return x + self.last(F.relu(y)), wide if self.shows else x


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("shows", [False, True])
def test_what_others_read_is_not_between(shows: bool) -> None:
    made = check(shaken(Residual(shows)), torch.randn(2, 8, 20, 13))
    assert joined(made) == [ALL, LAST if shows else ALL]


def test_small_images_are_computed_layer_by_layer() -> None:
    layers = [*wide(5, 40, kernel_size=3, padding=1), nn.Conv2d(40, 7, 1)]
    assert joined(check(shaken(nn.Sequential(*layers)), torch.randn(1, 5, 9, 9))) == []


@pytest.mark.usefixtures("low")
def test_any_number_of_images_and_rows() -> None:
    layers = [*wide(5, 40, kernel_size=3, padding=1), nn.Conv2d(40, 7, 1)]
    module = shaken(nn.Sequential(*layers))
    made = jit.script(module)
    with torch.no_grad():
        for sizes in ((2, 20), (2, 20), (0, 20), (1, 1), (3, 20), (1, 33), (5, 7)):
            x = torch.randn(sizes[0], 5, sizes[1], 18)
            torch.testing.assert_close(made(x), module(x), rtol=1e-4, atol=1e-5)
    assert joined(made) == [ALL]
