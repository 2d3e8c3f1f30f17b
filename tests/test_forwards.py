"""Forwards of small models as one plan: nothing called back, results as close to float64 as eager
float32's (within `FACTOR`, or 4 ulp of the largest), other batches and lengths without a third
compilation.
"""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import jit

FACTOR = 2.0  # our error against float64, in eager's


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(24, 48), nn.Linear(48, 24)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """A transformer's layer, its attention written out or as the operator."""

    def __init__(self, is_written_out: bool) -> None:
        super().__init__()
        self.is_written_out = is_written_out
        self.first, self.second = nn.LayerNorm(24), nn.LayerNorm(24)
        self.qkv, self.out = nn.Linear(24, 72), nn.Linear(24, 24)
        self.mlp = MLP()

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(self.first(x)).view(b, n, 3, 4, 6).permute(2, 0, 3, 1, 4).unbind(0)
        if self.is_written_out:
            mixed = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(6), -1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, d))
        return self.mlp(self.second(x))


class Encoder(nn.Module):
    """A layer of an encoder: three products of one input, what follows them normalized after."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(24, 24) for _ in range(3))
        self.out, self.first, self.second = nn.Linear(24, 24), nn.LayerNorm(24), nn.LayerNorm(24)
        self.up, self.down = nn.Linear(24, 48), nn.Linear(48, 24)

    def forward(self, x: Tensor) -> Tensor:
        heads = (*x.shape[:-1], -1, 6)
        q, k, v = (
            part(x).view(*heads).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = self.first(self.out(mixed.reshape(*x.shape[:-1], -1)) + x)
        return self.second(self.down(F.gelu(self.up(x))) + x)


class Attending(nn.Module):
    """Torch's module of several heads, called for what it mixes and for the weights, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.MultiheadAttention(24, 4, batch_first=True) for _ in "ab")
        self.norm, self.mix = nn.LayerNorm(24), nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        x = x + self.first(h, h, h, need_weights=False)[0]
        found, weights = self.second(x, x, x)
        return x + weights @ self.mix(found)


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm, self.body = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.max_pool2d(x + torch.relu(self.body(x)), 2)
        return self.head(x.mean((2, 3)))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mlp = nn.Embedding(11, 24), MLP()

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.mlp(self.embed(tokens))
        return x @ self.embed.weight.t()


def tokens(*sizes: int) -> Tensor:
    return torch.randint(11, sizes)


MODELS = {
    "mlp": (MLP(), [(5, 24), (7, 24), (9, 24)], torch.randn),
    "mlp, one row": (MLP(), [(1, 24)], torch.randn),
    "attention": (Block(False), [(2, 9, 24), (3, 7, 24), (5, 12, 24)], torch.randn),
    "attention written out": (Block(True), [(2, 9, 24), (3, 7, 24), (5, 12, 24)], torch.randn),
    "encoder": (Encoder(), [(2, 9, 24), (3, 7, 24), (5, 12, 24)], torch.randn),
    "torch's encoder": (
        nn.TransformerEncoderLayer(24, 4, 48, batch_first=True),
        [(2, 9, 24), (3, 7, 24), (5, 12, 24)],
        torch.randn,
    ),
    "torch's attention": (Attending(), [(2, 9, 24), (3, 7, 24), (5, 12, 24)], torch.randn),
    "one position": (Block(False), [(2, 1, 24)], torch.randn),
    "cnn": (CNN(), [(2, 3, 16, 16), (5, 3, 16, 16), (3, 3, 16, 16)], torch.randn),
    "tokens": (Tokens(), [(2, 6), (3, 9), (2, 7)], tokens),
}


@pytest.mark.parametrize("name", MODELS)
def test_forward(name: str) -> None:
    model, shapes, make = MODELS[name]
    torch.manual_seed(0)
    model = model.eval()
    exact = copy.deepcopy(model).double()
    compiled = jit.jit(model.forward)
    with torch.no_grad():
        compiled(make(*shapes[0]))
        for shape in shapes:
            x = make(*shape)
            wanted = exact(x.double() if x.is_floating_point() else x)
            found, eager = compiled(x), model(x)
            error, usual = ((y - wanted).abs().max().item() for y in (found, eager))
            assert found.stride() == eager.stride()
            rounding = 4 * 2.0**-23 * wanted.abs().max().item()
            assert error <= max(FACTOR * usual, rounding), (shape, error, usual)
    stats = jit.stats(compiled)
    assert stats.native >= len(shapes) - 1 and stats.compilations <= 2
    assert "called back" not in str(jit.explain(compiled))


def test_weights_are_read_at_each_call() -> None:
    model = MLP().eval()
    compiled, x = jit.jit(model.forward), torch.randn(5, 24)
    with torch.no_grad():
        for _ in range(3):
            compiled(x)
        model.up.weight.mul_(2)
        model.down.bias = nn.Parameter(torch.ones(24))
        torch.testing.assert_close(compiled(x), model(x))


def test_sizes_that_only_the_run_tells() -> None:
    def found(x: Tensor) -> Tensor:
        count, dims = torch.nonzero(x > 0).shape
        return x * count + dims

    compiled = jit.jit(found)
    for seed in range(4):
        x = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(compiled(x), found(x))
    assert jit.stats(compiled).native == 3


def test_an_operator_that_fails_raises_what_eager_raises() -> None:
    weight = torch.randn(11, 4)
    compiled = jit.jit(lambda w, i: F.embedding(i, w) * 2)
    for _ in range(3):
        compiled(weight, torch.tensor([1, 2]))
    with pytest.raises(IndexError, match="out of range"):
        compiled(weight, torch.tensor([1, 12]))


def test_results_of_a_loop_are_released() -> None:
    """Each turn makes a tensor by an operator of torch's: the last one is the result."""

    def steps(x: Tensor, weight: Tensor, count: int) -> Tensor:
        for _ in range(count):
            x = torch.relu(F.conv1d(x, weight, padding=1))
        return x

    compiled, weight = jit.jit(steps), torch.randn(4, 4, 3) / 4
    x = torch.randn(2, 4, 16)
    for count in (3, 3, 40, 80):
        torch.testing.assert_close(compiled(x, weight, count), steps(x, weight, count))


def test_what_a_type_says_of_a_device_is_known() -> None:
    def positions(x: Tensor) -> Tensor:
        if x.is_cuda or x.is_nested or x.device.type == "meta":
            return x
        return torch.arange(x.shape[1], device=x.device) * 2 + x

    compiled = jit.jit(positions)
    for n in (3, 3, 5, 7):
        x = torch.randn(2, n)
        torch.testing.assert_close(compiled(x), positions(x))
    assert "called back" not in str(jit.explain(compiled))


def test_a_mask_that_the_run_decides() -> None:
    def attend(q: Tensor, lengths: Tensor) -> Tensor:
        mask: Tensor | None = None
        if bool((lengths < q.shape[2]).any()):
            mask = torch.arange(q.shape[2]) < lengths[:, None, None, None]
        return F.scaled_dot_product_attention(q, q, q, attn_mask=mask) + 1

    compiled, q = jit.jit(attend), torch.randn(2, 2, 5, 8)
    for lengths in ((5, 5), (5, 5), (5, 3), (5, 5)):
        given = torch.tensor(lengths)
        torch.testing.assert_close(compiled(q, given), attend(q, given))
    assert jit.stats(compiled).native == 3


def test_one_element_of_a_value_does_not_stand_for_all() -> None:
    def f(x: Tensor) -> tuple[Tensor, Tensor]:
        steps = torch.arange(x.shape[1]).unsqueeze(0)
        return steps[:, :1] - 1, torch.diff(steps)

    compiled = jit.jit(f)
    for _ in range(3):
        torch.testing.assert_close(compiled(torch.ones(1, 5)), f(torch.ones(1, 5)))


def test_a_mask_that_is_expanded_over_a_batch() -> None:
    """The stride of its one head means nothing, whatever symbol its profile has for it."""

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    compiled = jit.jit(attend)
    for batch, length in ((2, 9), (2, 9), (3, 12), (1, 7), (4, 10), (4, 10)):
        q, k, v = torch.randn(3, batch, 4, length, 8)
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        mask = mask[None, None].expand(batch, 1, length, length)
        torch.testing.assert_close(compiled(q, k, v, mask), attend(q, k, v, mask))
    assert "compiler error" not in jit.stats(compiled).bailouts
