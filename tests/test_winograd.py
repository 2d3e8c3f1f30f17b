"""Convolutions with fewer multiplications: their matrices, when they are chosen, and results and
errors against eager in float64.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import jit
from codegen import assembly, generated, target
from codegen.images import convolution
from codegen.images import layout as images
from codegen.images.form import Form
from codegen.images.winograd import TILES, winograd_matrices
from codegen.images.winograd_cost import cut, tile_for, winograd_form

Tensor = torch.Tensor
CALLS = 3
ZEN4 = target.describe("x86_64-unknown-linux-gnu", "znver4", "+avx512f")
FACTOR = 4  # of the error of eager's float32


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=TILES)
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A tile that every layer that can have tiles has."""
    monkeypatch.setattr(images, "tile_for", lambda *_: request.param)
    return int(request.param)


def tiles(module: Any) -> list[int]:
    """The tiles of the convolutions of the newest plan, in order."""
    plan = module.forward.executor.compiled[-1].plan.prepared
    names = [n.op.schema.arguments for n in plan.graph.walk() if n.name == "relume::convolve"]
    at = [a.name for a in names[0]].index("tile") if names else 0
    found = [n for n in plan.graph.walk() if n.name == "relume::convolve"]
    return [plan.known[n.inputs[at]] for n in found]


def check(module: nn.Module, x: Tensor, freeze: bool = False) -> Any:
    """A compiled module that is as near to float64 as eager, but for a factor (or for 1e-6: eager
    is nearer where sums have few terms).
    """
    made: Any = jit.freeze(jit.script(module)) if freeze else jit.script(module)
    with torch.no_grad():
        wanted = copy.deepcopy(module).double()(x.double())
        eager = (module(x) - wanted).abs().max()
        for _ in range(CALLS):
            found = made(x)
    assert found.stride() == module(x).stride()
    error = (found - wanted).abs().max()
    assert error <= max(FACTOR * eager, 1e-6 * wanted.abs().max())
    return made


# the method ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("m", TILES)
def test_matrices(m: int) -> None:
    """In one dim: three taps along m + 2 elements."""
    found = winograd_matrices(m)
    matrices = (found.result, found.image, found.filter)
    a, b, g = (torch.tensor(x, dtype=torch.float64) for x in matrices)
    x, taps = torch.randn(m + 2).double(), torch.randn(3).double()
    wanted = F.conv1d(x.view(1, 1, -1), taps.view(1, 1, -1)).flatten()
    torch.testing.assert_close(a @ ((g @ taps) * (b @ x)), wanted)
    for exact in (a, b):
        assert torch.equal(exact.float().double(), exact)


def test_choice() -> None:
    """Small images of many channels have no use for it, nor have few input channels; nor large
    weights that change.
    """
    assert tile_for((64, 64, 3, 3), (1, 64, 56, 56), False, ZEN4) == 4
    assert tile_for((16, 16, 3, 3), (8, 16, 32, 32), False, ZEN4) == 4
    assert tile_for((32, 3, 3, 3), (1, 32, 224, 224), True, ZEN4) == 0
    assert tile_for((64, 64, 3, 3), (1, 64, 2, 2), False, ZEN4) == 0
    assert tile_for((512, 512, 3, 3), (1, 512, 7, 7), False, ZEN4) == 0
    assert tile_for((512, 512, 3, 3), (16, 512, 14, 14), False, ZEN4) == 2


def test_units_are_enough_for_threads() -> None:
    for shape in ((1, 64, 56, 56), (8, 64, 8, 8), (1, 128, 28, 28)):
        form = winograd_form((shape[1], shape[1]), shape, 4, ZEN4)
        assert form is not None
        chunk, parts = cut((shape[1], shape[1]), shape, form, ZEN4)
        count = shape[0] * -(-shape[2] // 4) * -(-shape[3] // 4)
        assert chunk % form.height == 0
        assert -(-count // chunk) * parts >= 4


@pytest.mark.parametrize("cpu", ["skylake", "znver4", "neoverse-n1"])
@pytest.mark.parametrize("m", TILES)
def test_functions_for_other_machines(cpu: str, m: int) -> None:
    triple = "aarch64-unknown-linux-gnu" if "neo" in cpu else "x86_64-unknown-linux-gnu"
    features = {"skylake": "+avx2,+fma", "znver4": "+avx512f"}.get(cpu, "+neon")
    machine = target.describe(triple, cpu, features)
    for name in (Form(5, 2, tile=m).symbol, Form(0, 2, tile=m).filters):
        assert generated.is_generated(name)
        assert name in assembly(str(convolution.module_of(name, machine)), machine)


# layers -------------------------------------------------------------------------------------------
SHAPES = [
    ((2, 16, 9, 32), 16, 1),
    ((1, 3, 7, 5), 20, 0),
    ((3, 17, 4, 4), 33, 2),
    ((1, 48, 1, 3), 48, 1),
    ((1, 40, 13, 2), 7, (0, 1)),
    ((2, 64, 8, 8), 64, 1),
]


@pytest.mark.parametrize(("shape", "channels", "padding"), SHAPES)
@pytest.mark.parametrize("freeze", [False, True])
def test_layer(
    shape: tuple[int, ...], channels: int, padding: Any, tile: int, freeze: bool
) -> None:
    module = nn.Sequential(
        nn.Conv2d(shape[1], channels, 3, padding=padding), nn.Conv2d(channels, 4, 1)
    ).eval()
    module[0].padding = padding if isinstance(padding, tuple) else (padding, padding)
    wide = F.pad(torch.randn(shape), (0, 2, 0, 2)) if padding in (0, (0, 1)) else torch.randn(shape)
    assert tiles(check(module, wide, freeze)) == [tile, 0]


class Block(nn.Module):
    """A layer with all that it can take over."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.norm.running_var = torch.rand(channels) + 0.5
        self.norm.running_mean = torch.randn(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.first(x))
        return F.relu(self.norm(self.second(y)) + y)


def test_epilogues(tile: int) -> None:
    made = check(Block(20).eval(), torch.randn(2, 20, 11, 6))
    assert tiles(made) == [tile, tile]


def test_other_layers_are_direct(tile: int) -> None:
    layers = [
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, dilation=2),
        nn.Conv2d(8, 8, 5), nn.Conv2d(8, 8, 3, groups=8),
    ]  # fmt: skip
    assert tiles(check(nn.Sequential(*layers).eval(), torch.randn(1, 8, 33, 33))) == [0] * 4


def test_batches_and_sizes_share_plans(tile: int) -> None:
    module = Block(16).eval()
    made = jit.script(module)
    with torch.no_grad():
        for batch, *sizes in ((2, 12, 14), (2, 12, 14), (5, 12, 14), (7, 9, 33), (4, 15, 17)):
            x = torch.randn(batch, 16, *sizes)
            torch.testing.assert_close(made(x), module(x), rtol=1e-4, atol=1e-5)
    assert len(made.forward.executor.compiled) <= 3
    assert tiles(made) == [tile, tile]


def test_threads_change_nothing(tile: int) -> None:
    module, x, threads = Block(48).eval(), torch.randn(2, 48, 16, 20), torch.get_num_threads()
    made, results = jit.script(module), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with torch.no_grad():
                results += [made(x) for _ in range(3)][2:]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_weights_are_read_in_every_call() -> None:
    module = Block(32).eval().requires_grad_(False)
    made, x = jit.script(module), torch.randn(4, 32, 16, 16)
    for _ in range(5):
        torch.testing.assert_close(made(x), module(x), rtol=1e-4, atol=1e-5)
        module.first.weight.mul_(1.1)
    assert tiles(made) == [4, 4]


def test_channels_last_images(tile: int) -> None:
    module = Block(16).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(1, 16, 10, 10).contiguous(memory_format=torch.channels_last)
    assert tiles(check(module, x)) == [tile, tile]
