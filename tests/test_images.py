"""Networks of convolutions as plans: generated code against eager in float64; strides exactly as
eager's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import jit
from codegen import assembly, generated, target
from codegen.images import convolution
from codegen.images.convolve import CONVOLVE
from codegen.images.form import STRIPS, Form, KernelRow, form_of, vectors_for
from codegen.liveness import dying
from codegen.partition import Callback
from ir import images

Tensor = torch.Tensor
CALLS = 3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def shaken(module: nn.Module) -> nn.Module:
    """In eval mode, with statistics and factors that are not trivial."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            part.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr,operator]
            part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
            nn.init.uniform_(part.weight, -1, 1)
            nn.init.uniform_(part.bias, -1, 1)
    return module.eval()


def ops(module: Any) -> list[str]:
    """What the newest plan does, in order; it calls nothing back."""
    plan = module.forward.executor.compiled[-1].plan.prepared
    items = [item for items in plan.items.values() for item in items]
    assert not any(isinstance(item, Callback) for item in items), jit.explain(module)
    return [node.name.partition("::")[2] for node in plan.graph.walk()]


def check(module: nn.Module, *inputs: Tensor, bound: float = 2e-6) -> Any:
    """A compiled module whose plan gives what eager gives in float64, and its strides."""
    made = jit.script(module)
    wanted = module(*inputs)
    exact = copy.deepcopy(module).double()(*(x.double() for x in inputs))
    with torch.no_grad():
        for _ in range(CALLS):
            found = made(*inputs)
    for a, b, c in zip(*map(_flat, (found, wanted, exact)), strict=True):
        assert a.stride() == b.stride()
        assert ((a - c).abs().max() <= bound * c.abs().max()).item()
    return made


def _flat(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


# one layer ----------------------------------------------------------------------------------------
LAYERS: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    (dict(out_channels=16, kernel_size=3, padding=1), (2, 16, 9, 32)),
    (dict(out_channels=7, kernel_size=3, stride=2, padding=1), (1, 5, 11, 13)),
    (dict(out_channels=33, kernel_size=1), (3, 17, 7, 7)),
    (dict(out_channels=48, kernel_size=1, stride=2), (1, 3, 8, 5)),
    (dict(out_channels=20, kernel_size=(1, 5), padding=(0, 2)), (1, 4, 3, 21)),
    (dict(out_channels=12, kernel_size=(4, 2), stride=(3, 1), padding=(2, 0)), (2, 6, 10, 6)),
    (dict(out_channels=64, kernel_size=3, dilation=2, padding=2), (1, 8, 6, 10)),
    (dict(out_channels=9, kernel_size=3, dilation=(3, 1), stride=2, padding=(5, 4)), (2, 3, 4, 4)),
    (dict(out_channels=16, kernel_size=7, stride=2, padding=3), (1, 3, 30, 30)),
    (dict(out_channels=1, kernel_size=3, padding=1), (1, 1, 1, 1)),
    (dict(out_channels=5, kernel_size=3, padding="same"), (1, 4, 5, 5)),
    (dict(out_channels=6, kernel_size=3, padding=1, groups=6), (2, 6, 5, 9)),
    (dict(out_channels=70, kernel_size=(5, 3), stride=2, padding=2, groups=70), (1, 70, 9, 8)),
    (dict(out_channels=33, kernel_size=3, dilation=2, groups=33), (1, 33, 7, 13)),
    (dict(out_channels=12, kernel_size=3, groups=6), (1, 6, 5, 5)),
    (dict(out_channels=12, kernel_size=3, groups=2), (1, 6, 5, 5)),
]


@pytest.mark.parametrize(("options", "shape"), LAYERS)
@pytest.mark.parametrize("bias", [False, True])
def test_layer(options: dict[str, Any], shape: tuple[int, ...], bias: bool) -> None:
    module = nn.Conv2d(shape[1], **options, bias=bias).eval()
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    weight = module.weight.detach().contiguous(memory_format=torch.channels_last)
    module.weight = nn.Parameter(weight, requires_grad=False)
    groups = options.get("groups", 1)
    is_cut_well = groups in (1, shape[1]) and options["out_channels"] % shape[1] == 0
    is_generated = groups == 1 or (is_cut_well and options["out_channels"] == shape[1])
    assert ("convolve" in ops(check(module, x))) == is_generated


def shaken_layer(layer: nn.Module, *more: nn.Module) -> nn.Module:
    """A layer with its normalization and what follows."""
    rank, channels = layer.weight.dim() - 2, layer.out_channels  # type: ignore[operator]
    norm = getattr(nn, f"BatchNorm{rank}d")(channels)
    return shaken(nn.Sequential(layer, norm, *more)).requires_grad_(False)


OTHERS: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (lambda: nn.Conv1d(1, 32, 10, 5), (2, 1, 300)),
    (lambda: nn.Conv1d(24, 40, 3, dilation=4, padding=4), (2, 24, 215)),
    (lambda: nn.Conv1d(33, 33, 4, padding="same", groups=33), (1, 33, 27)),
    (lambda: nn.Conv1d(8, 16, 5, padding="valid"), (3, 8, 9)),
    (lambda: nn.Conv2d(9, 17, 4, padding="same"), (2, 9, 6, 11)),
    (lambda: nn.Conv2d(64, 64, 3, 2, 1, groups=16), (2, 64, 9, 8)),
    (lambda: nn.Conv2d(24, 24, (2, 5), padding=2, groups=3), (1, 24, 7, 13)),
    (lambda: nn.Conv2d(12, 72, 3, groups=2), (1, 12, 8, 8)),
    (lambda: nn.Conv2d(96, 40, 1, groups=4), (2, 96, 5, 7)),
    (lambda: nn.Conv3d(3, 20, 3, padding=1), (2, 3, 5, 9, 10)),
    (lambda: nn.Conv3d(16, 8, (3, 1, 2), (2, 1, 3), (1, 0, 2), (2, 1, 1)), (1, 16, 9, 4, 8)),
    (lambda: nn.ConvTranspose1d(16, 24, 4, 2, 1), (2, 16, 31)),
    (lambda: nn.ConvTranspose2d(20, 12, 2, 2), (2, 20, 5, 7)),
    (lambda: nn.ConvTranspose2d(64, 33, 4), (3, 64, 1, 1)),
    (lambda: nn.ConvTranspose2d(8, 5, (3, 2), (3, 4), (2, 0), (1, 3)), (1, 8, 6, 5)),
    (lambda: nn.ConvTranspose2d(7, 9, 3, padding=1, dilation=2), (1, 7, 6, 6)),
    (lambda: nn.ConvTranspose3d(4, 6, 3, 2, 1, 1), (1, 4, 3, 4, 5)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_layers_of_other_ranks_groups_and_directions(number: int) -> None:
    make, shape = OTHERS[number]
    module, x = shaken_layer(make(), nn.ReLU()), torch.randn(shape)
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    assert ops(check(module, x)).count("convolve") == 1
    for freeze in (jit.freeze, jit.optimize_for_inference):
        made = freeze(jit.script(module))
        for _ in range(CALLS):
            torch.testing.assert_close(made(x), module(x))
        assert "panels" not in ops(made)


@pytest.mark.parametrize("stride", [1, 3])
def test_images_of_few_channels_are_padded_as_they_are_copied(stride: int) -> None:
    layers = nn.Conv2d(3, 20, 5, stride, (3, 2)), nn.Conv2d(20, 20, 3)
    made = ops(check(nn.Sequential(*layers).eval(), torch.randn(2, 3, 17, 19)))
    assert made.count("cat") == 1


def test_groups_that_would_leave_vectors_empty_are_calls() -> None:
    for layer in (nn.Conv2d(12, 12, 3, groups=4), nn.ConvTranspose2d(16, 32, 2, 2, groups=2)):
        module = shaken_layer(layer)
        assert "convolve" not in ops(check(module, torch.randn(1, layer.in_channels, 5, 5)))


ACTIVATIONS = [
    nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.Hardsigmoid(), nn.Sigmoid(), nn.Tanh(), nn.Mish(),
    nn.LeakyReLU(0.2), nn.CELU(0.5), nn.SELU(), nn.Softplus(2.0, 3.0),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_activations_are_absorbed(activation: nn.Module) -> None:
    layers = [
        part
        for groups, kernel in ((1, 3), (20, 3), (1, 1))
        for part in (nn.Conv2d(20, 20, kernel, padding=kernel // 2, groups=groups), activation)
    ]
    module = nn.Sequential(*layers).eval()
    x = torch.randn(1, 20, 9, 7).contiguous(memory_format=torch.channels_last)
    made = ops(check(module, 3 * x, bound=1e-5))
    assert made.count("convolve") == 3
    assert not [name for name in made if name not in ("convolve", "panels") and name in ABSORBED]


ABSORBED = {name.partition("::")[2] for name in images.ACTIVATIONS}


def test_unusual_activations_are_not_absorbed() -> None:
    layers = (nn.Conv2d(4, 20, 3), nn.GELU("tanh"), nn.Conv2d(20, 4, 1))
    made = ops(check(nn.Sequential(*layers).eval(), torch.randn(1, 4, 8, 8), bound=1e-5))
    assert "gelu" in made


def test_long_signals_of_changing_length_share_plans() -> None:
    module = nn.Sequential(nn.Conv1d(4, 24, 5, 2), nn.GELU(), nn.Conv1d(24, 8, 3, padding=1)).eval()
    made = jit.script(module)
    with torch.no_grad():
        for length in (400, 400, 1001, 37, 640, 5):
            x = torch.randn(2, 4, length)
            torch.testing.assert_close(made(x), module(x), rtol=1e-4, atol=1e-5)
    assert len(made.forward.executor.compiled) <= 3
    assert "convolve" in ops(made)


def test_isolated_layers_stay_calls() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    assert "conv2d" in ops(check(module, torch.randn(2, 3, 9, 9)))


def test_forms_waste_little() -> None:
    machine = target.describe("x86_64-unknown-linux-gnu", "znver4", "+avx512f")
    assert [vectors_for(n, machine) for n in (8, 16, 32, 48, 64, 96, 144)] == [1, 1, 2, 3, 2, 3, 3]
    assert [form_of(w, 64, machine).height for w in (1, 4, 7, 8, 14, 28, 56)] == [
        *(1, 4, 7, 8, 7, 7, 8)
    ]


@pytest.mark.parametrize("cpu", ["skylake", "znver4", "neoverse-n1"])
def test_functions_for_other_machines(cpu: str) -> None:
    """They are made and verified for machines with other vectors."""
    triple = "aarch64-unknown-linux-gnu" if "neo" in cpu else "x86_64-unknown-linux-gnu"
    features = {"skylake": "+avx2,+fma", "znver4": "+avx512f"}.get(cpu, "+neon")
    machine = target.describe(triple, cpu, features)
    mixed = Form(4, 2, row=KernelRow(3, 2, 1, 4))
    direct, active = Form(5, 2), Form(3, 1, activation="silu")
    forms = direct.symbol, direct.panels, active.symbol, mixed.symbol, STRIPS
    for name in forms:
        assert generated.is_generated(name)
        module = convolution.module_of(name, machine)
        assert name in assembly(str(module), machine)


# chains -------------------------------------------------------------------------------------------
class Residual(nn.Module):
    def __init__(self, channels: int, wider: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, wider, 3, stride, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(wider), nn.BatchNorm2d(wider)
        self.second = nn.Conv2d(wider, wider, 3, 1, 1)
        is_same = stride == 1 and channels == wider
        self.skip = (
            nn.Identity()
            if is_same
            else nn.Sequential(nn.Conv2d(channels, wider, 1, stride), nn.BatchNorm2d(wider))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)), inplace=True)))
        return F.relu(y + self.skip(x))


def network() -> nn.Module:
    return shaken(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            Residual(8, 8), Residual(8, 20, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(20, 4),
        )
    )  # fmt: skip


def test_norms_residuals_and_activations_are_absorbed() -> None:
    made = ops(check(network(), torch.randn(2, 3, 12, 14)))
    assert made.count("convolve") == 6
    assert "conv2d" not in made
    assert "relu" not in made


def test_batches_and_sizes_share_plans() -> None:
    module = network()
    made = jit.script(module)
    with torch.no_grad():
        for batch, *sizes in ((2, 12, 14), (2, 12, 14), (5, 12, 14), (7, 9, 33), (4, 15, 17)):
            x = torch.randn(batch, 3, *sizes)
            torch.testing.assert_close(made(x), module(x))
    assert len(made.forward.executor.compiled) <= 3
    assert "convolve" in ops(made)


def test_weights_are_read_in_every_call() -> None:
    module = network().requires_grad_(False)
    made, x = jit.script(module), torch.randn(2, 3, 8, 8)
    for k in range(6):
        torch.testing.assert_close(made(x), module(x))
        for part, twin in zip(module.modules(), made.modules(), strict=True):
            if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
                if k % 2:
                    part.weight.data.mul_(1.1)
                else:
                    changed = nn.Parameter(part.weight * 0.9, requires_grad=False)
                    part.weight = twin.weight = changed
    assert "convolve" in ops(made)


def test_frozen_weights_are_packed_once() -> None:
    module = network()
    x = torch.randn(2, 3, 12, 14)
    for freeze in (jit.freeze, jit.optimize_for_inference):
        made = freeze(jit.script(module))
        with torch.no_grad():
            for _ in range(CALLS):
                torch.testing.assert_close(made(x), module(x))
        assert ops(made).count("convolve") == 6
        assert "panels" not in ops(made)


def test_calls_that_need_gradients_are_eager() -> None:
    module, x = network(), torch.randn(2, 3, 8, 8)
    made = jit.script(module)
    with torch.no_grad():
        for _ in range(CALLS):
            made(x)
    made(x).sum().backward()
    found = [p.grad.clone() for p in module.parameters()]  # type: ignore[union-attr]
    module.zero_grad()
    module(x).sum().backward()
    for a, p in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad)


def test_threads_change_nothing() -> None:
    module, x = network(), torch.randn(3, 3, 40, 40)
    made, threads = jit.script(module), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with torch.no_grad():
                results += [made(x) for _ in range(2)][1:]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[1], results[2])
    torch.testing.assert_close(results[0], results[1])


class Inverted(nn.Module):
    """A bottleneck that is wide inside."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        wide = 6 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide),
            nn.ReLU6(), nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def test_depthwise_layers_are_absorbed() -> None:
    made = ops(check(shaken(nn.Sequential(Inverted(8), Inverted(8))), torch.randn(1, 8, 11, 11)))
    assert made.count("convolve") == 6
    assert not {"conv2d", "relu6"} & set(made)


def test_memory_is_used_again() -> None:
    """Large images of a chain take turns in a few buffers."""
    layers = [part for _ in range(8) for part in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    module = shaken(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)))
    made = check(module, torch.randn(1, 16, 64, 64))
    plan = made.forward.executor.compiled[-1].plan.prepared
    images = {v for n in plan.graph.walk() if n.op is CONVOLVE for v in n.outputs}
    assert images <= {base for dead in dying(plan).values() for base in dead}


class Decoder(nn.Module):
    """Images grow twice, by factors per dim that a comprehension makes."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.down = nn.Conv2d(3, 16, 3, 2, 1)
        self.first, self.second = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(11, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(F.relu(self.down(x)), 2)
        y = F.relu(self.norm(self.first(F.interpolate(y, scale_factor=2.0, mode=self.mode))))
        return self.second(torch.cat((x, F.interpolate(y, scale_factor=2.0, mode=self.mode)), 1))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_resized_images_stay_in_the_plan(mode: str) -> None:
    module = shaken(Decoder(mode))
    made = ops(check(module, torch.randn(2, 3, 16, 24)))
    assert made.count("convolve") == 3
    assert made.count("clone") == 1  # the result's
    compiled = jit.script(module)
    with torch.no_grad():
        for sizes in ((16, 24), (16, 24), (8, 12), (20, 32), (40, 16)):
            x = torch.randn(1, 3, *sizes)
            torch.testing.assert_close(compiled(x), module(x), rtol=1e-4, atol=1e-5)
    assert len(compiled.forward.executor.compiled) <= 3
    assert "convolve" in ops(compiled)


PARTS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x[:, :4],
    lambda x: x[:, 4:, 1:5],
    lambda x: x[1:],
    lambda x: x[:, :, :, 2:3],
    lambda x: x[:, :1].expand(-1, 4, -1, -1),
]


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_layers_of_parts_of_channels_last_images(number: int) -> None:
    x = torch.randn(3, 8, 7, 6).contiguous(memory_format=torch.channels_last)
    channels = PARTS[number](x).shape[1]
    layer = nn.Conv2d(channels, 6, 3, padding=1).eval().requires_grad_(False)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        part = PARTS[number](x)
        wide = F.interpolate(part, size=(7, 6))
        shuffled = F.pixel_shuffle(torch.cat((wide, x[: wide.shape[0]]), 1)[:, :4], 2)
        return layer(part), F.max_pool2d(part, 3, 1, 1), F.instance_norm(part), shuffled

    made, wanted = jit.jit(function), function(x)
    for _ in range(CALLS):
        found = made(x)
    for a, b in zip(found, wanted, strict=True):
        assert a.stride() == b.stride()
        torch.testing.assert_close(a, b)


class Sized(nn.Module):
    """Functions of torch's that check sizes, and raise an error that shows them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 12, 3)
        self.norm = nn.InstanceNorm2d(8, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x))
        y = self.second(F.pad(F.relu(y), (1, 1, 1, 1), mode="reflect"))
        y = torch.sigmoid(F.pixel_shuffle(y, 2))
        return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)


def test_checked_sizes_leave_nothing_to_call_back() -> None:
    module, x = shaken(Sized()), torch.randn(2, 3, 12, 16)
    frozen = jit.optimize_for_inference(jit.script(module))
    for _ in range(CALLS):
        torch.testing.assert_close(frozen(x), module(x), rtol=1e-4, atol=1e-5)
    for made in (check(module, x, bound=4e-6), frozen):
        assert not {"Loop", "If", "len", "pixel_shuffle"} & set(ops(made))


# readers of images --------------------------------------------------------------------------------
class Read(nn.Module):
    """Two layers, and a function of both images."""

    def __init__(self, read: Callable[..., Any]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.read = read

    def forward(self, x: Tensor) -> Any:
        y = self.a(x)
        return self.read(y, self.b(y))


READERS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "both": lambda x, y: (x, y),
    "the same twice": lambda x, y: (y, y),
    "sum": lambda x, y: x + y,
    "sum, and the image": lambda x, y: (x + y, y),
    "twice itself": lambda x, y: y + y,
    "factor": lambda x, y: y * 2 + x.mean(),
    "flat": lambda x, y: y.flatten(1),
    "view": lambda x, y: y.view(-1, 6),
    "permuted": lambda x, y: y.permute(0, 2, 3, 1),
    "slice": lambda x, y: y[:, 1:3, ::2] * 2,
    "product": lambda x, y: x @ y.transpose(-1, -2),
    "mean": lambda x, y: y.mean((2, 3)),
    "softmax": lambda x, y: y.softmax(1),
    "joined": lambda x, y: torch.cat((x, y, x), 1),
    "stacked": lambda x, y: torch.stack((x, y)),
    "pooled": lambda x, y: F.max_pool2d(F.relu(y), 3, 2, 1),
    "averaged": lambda x, y: F.avg_pool2d(y, 2),
    "adaptive": lambda x, y: F.adaptive_avg_pool2d(y, (2, 3)),
    "upsampled": lambda x, y: F.interpolate(y, scale_factor=2.0),
    "resized": lambda x, y: F.interpolate(y, size=(9, 4), mode="bilinear", align_corners=True),
    "bounded": lambda x, y: F.hardtanh(y, -0.5, 0.25) + F.relu6(x),
    "clamped": lambda x, y: y.clamp(max=0.5),
    "smooth": lambda x, y: F.silu(y) * torch.sigmoid(x),
    "per pixel": lambda x, y: y * torch.arange(35.0).to(y.dtype).view(7, 5),
    "converted": lambda x, y: (y > 0).to(torch.int64),
    "padded": lambda x, y: F.pad(y, (1, 2)),
    "reflected": lambda x, y: F.relu(F.pad(y, (1, 2, 0, 1), mode="reflect")),
    "around": lambda x, y: F.pad(y, (1, 2, 0, 1), mode="circular") * 2,
    "shuffled": lambda x, y: F.channel_shuffle(torch.cat((x, x), 1), 3),
    "shape": lambda x, y: y.reshape(y.shape[0], -1, 7).sum(1),
}


@pytest.mark.parametrize("name", READERS)
def test_reader(name: str) -> None:
    module = Read(READERS[name]).eval().requires_grad_(False)
    check(module, torch.randn(2, 3, 7, 5))


def test_writers_see_their_own_image() -> None:
    def write(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        y[:, 0] = 1.0
        x.add_(y)
        return x, y

    check(Read(write).eval().requires_grad_(False), torch.randn(2, 3, 7, 5))


def test_bounds_keep_nan() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.ReLU()).eval()
    x = torch.randn(1, 2, 3, 5)
    x[0, 0, 1, 1], x[0, 1, 2, 2] = torch.nan, torch.inf
    made = jit.script(module)
    with torch.no_grad():
        for _ in range(CALLS):
            torch.testing.assert_close(made(x), module(x), equal_nan=True)
    assert "convolve" in ops(made)


def test_one_weight_for_two_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(F.relu(self.layer(x)))

    made = ops(check(Twice().eval(), torch.randn(1, 4, 6, 6)))
    assert (made.count("convolve"), made.count("panels")) == (2, 1)


def test_a_loop_of_layers() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.other = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor, turns: int) -> Tensor:
            for _ in range(turns):
                x = torch.tanh(self.other(F.relu(self.layer(x))))
            return x

    module = Loop().eval()
    made, x = jit.script(module), torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        for turns in (30, 30, 31, 33, 0, 40):
            torch.testing.assert_close(made(x, turns), module(x, turns))


def test_the_report_names_what_was_taken_over() -> None:
    made = check(network(), torch.randn(2, 3, 12, 14))
    (plan,) = jit.explain(made).plans
    lines = {line.text.strip(): line for line in plan.lines}
    absorbed = lines["return F.relu(y + self.skip(x))"]
    assert absorbed.tier == "native"
    assert {"convolve", "add", "relu"} <= {
        place.node.name.partition("::")[2] for place in absorbed.places if place.tier == "call"
    }
