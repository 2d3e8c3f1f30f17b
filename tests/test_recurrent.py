"""Recurrent layers, and loops over steps that gather tensors in lists: one memory, one plan for all
counts, results as eager's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jit
from jit import explain


class Lstm(nn.Module):
    """Two layers, gates side by side."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.wi = nn.Linear(inputs, 4 * size)
        self.wh = nn.Linear(size, 4 * size, bias=False)

    def forward(self, xs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outs: list[Tensor] = []
        for t in range(xs.size(0)):
            i, f, k, o = (self.wi(xs[t]) + self.wh(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(k)
            h = torch.sigmoid(o) * torch.tanh(c)
            outs.append(h)
        return torch.stack(outs), h, c


class Gru(nn.Module):
    """Batches first, what is new beside the gates."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.wi = nn.Linear(inputs, 3 * size)
        self.wh = nn.Linear(size, 3 * size)

    def forward(self, xs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outs = []
        for t in range(xs.size(1)):
            r, z, n = self.wi(xs[:, t]).chunk(3, -1)
            hr, hz, hn = self.wh(h).chunk(3, -1)
            z = torch.sigmoid(z + hz)
            h = (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * h
            outs.append(h)
        return torch.stack(outs, 1), h


def lstm_inputs(steps: int, rows: int) -> Sequence[Tensor]:
    return torch.randn(steps, rows, 6), torch.randn(rows, 8), torch.randn(rows, 8)


def gru_inputs(steps: int, rows: int) -> Sequence[Tensor]:
    return torch.randn(rows, steps, 6), torch.randn(rows, 8)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize(("cell", "inputs"), [(Lstm, lstm_inputs), (Gru, gru_inputs)])
def test_recurrent_modules(
    cell: Callable[..., nn.Module], inputs: Callable[..., Sequence[Tensor]], rows: int
) -> None:
    torch.manual_seed(0)
    eager = cell(6, 8).eval()
    native = jit.script(eager)
    with torch.no_grad():
        for steps in (40, 40, 30, 31, 50, 1, 3, 44):
            args = inputs(steps, rows)
            torch.testing.assert_close(native(*args), eager(*args))
    assert jit.stats(native.forward).compilations <= 4
    assert "called back" not in str(explain(native.forward))


LAYERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batches first": {"batch_first": True, "bias": False},
    "deep, both ways": {"batch_first": True, "num_layers": 2, "bidirectional": True},
}


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_layers_are_loops(layer: type[nn.Module], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    eager = layer(5, 8, **options).eval()
    native = jit.jit(eager)
    with torch.no_grad():
        for steps, rows in ((7, 3), (7, 3), (9, 3), (8, 4), (1, 3), (1, 3), (6, 1), (6, 1)):
            x = torch.randn((rows, steps, 5) if eager.batch_first else (steps, rows, 5))
            found, wanted = native(x), eager(x)
            torch.testing.assert_close(found, wanted)
            if min(steps, rows) > 1:
                assert found[0].stride() == wanted[0].stride()
    assert "called back" not in str(explain(type(native)._jit_forward))
    assert "(lstm)" not in str(explain(type(native)._jit_forward))


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_are_native(cell: type[nn.Module]) -> None:
    torch.manual_seed(0)
    eager = cell(5, 8).eval()
    native = jit.jit(eager)
    with torch.no_grad():
        for rows in (3, 3, 4, 1, 1):
            x = torch.randn(rows, 5)
            torch.testing.assert_close(native(x, eager(x)), eager(x, eager(x)))
    assert "called back" not in str(explain(type(native)._jit_forward))


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 100), ({"proj_size": 3}, 5), ({"num_layers": 2, "dropout": 0.5}, 5)],
    ids=["packed faster", "projected", "dropout"],
)
def test_layers_that_stay_calls(options: dict[str, Any], steps: int) -> None:
    eager = nn.LSTM(5, 70, **options).train()
    native = jit.jit(eager)
    with torch.no_grad():
        for _ in range(3):
            x = torch.randn(steps, 16, 5)
            results = []
            for module in (eager, native):
                torch.manual_seed(1)
                results.append(module(x))
            torch.testing.assert_close(*results)
    assert "(lstm)" in str(explain(type(native)._jit_forward))
    assert jit.stats(type(native)._jit_forward).native


def test_states_in_lists_that_change() -> None:
    def step(x: Tensor, h: Tensor, w: Tensor, v: Tensor, count: int) -> tuple[Tensor, Tensor]:
        state = [h, h + 1]
        for k in range(count):
            state[k % 2] = state[k % 2] * 2
        h, c = torch.lstm_cell(x, state, w, v)
        y, h, _ = torch.lstm(x[None], [s[None] for s in (h, c)], [w, v], False, 1, 0.0, False,
                             False, False)  # fmt: skip
        return y, h

    native = jit.jit(step)
    for count in (3, 3, 4):
        args = torch.randn(3, 5), torch.randn(3, 4), torch.randn(16, 5), torch.randn(16, 4), count
        torch.testing.assert_close(native(*args), step(*args))
    assert "compiler error" not in jit.stats(native).bailouts


def test_layers_refuse_what_eager_refuses() -> None:
    native = jit.jit(nn.GRU(5, 4))
    with torch.no_grad():
        for size in (5, 5, 6):
            x = torch.randn(3, 2, size)
            if size == 5:
                native(x)
                continue
            with pytest.raises(RuntimeError, match="must be equal to input_size"):
                native(x)


def comprehension(x: Tensor) -> Tensor:
    return torch.stack([torch.sin(x[t]) * t for t in range(x.size(0))], -1)


def joined(x: Tensor) -> tuple[Tensor, Tensor]:
    s = torch.zeros(3, 4)
    outs = []
    for t in range(x.size(0)):
        s = s * 0.5 + x[t]
        outs.append(s)
    return torch.cat(outs, 1), s


def appended_twice(x: Tensor, n: int) -> Tensor:
    """The same tensor in two lists, and one that goes around."""
    a, b = [], []
    for t in range(n):
        x = torch.cos(x) + t
        a.append(x)
        b.append(x)
    return torch.stack(a) - torch.cat(b).view(n, 3, 4).flip(0)


def nested(x: Tensor) -> Tensor:
    rows = []
    for i in range(x.size(0)):
        inner = []
        for j in range(x.size(1)):
            inner.append(x[i, j] * x[i, j - 1] + i)
        rows.append(torch.stack(inner))
    return torch.stack(rows)


def straight(x: Tensor) -> Tensor:
    outs = [x]
    outs.append(x + 1)
    outs.append(outs[-1] * 2)
    outs.append(x - 1)
    return torch.cat(outs)


def product_with_steps(x: Tensor, w: Tensor) -> Tensor:
    h = torch.zeros(3, 4)
    for t in range(x.size(0)):
        h = torch.tanh(x[t] @ w + torch.mm(x[t], w) * h)
    return h


X = torch.randn(20, 3, 4)


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (comprehension, [(X,), (X[:17],), (X[:1],)]),
        (joined, [(X,), (X[:17],), (X[:1],)]),
        (appended_twice, [(X[0], 20), (X[0], 21)]),
        (nested, [(X,), (X[:17],), (X[2:, :2],)]),
        (straight, [(X[0],)]),
        (product_with_steps, [(X, torch.randn(4, 4)), (X[::2], torch.randn(4, 4))]),
    ],
    ids=lambda p: p.__name__ if callable(p) else "",
)
def test_lists_that_are_joined(function: Callable[..., Any], calls: Sequence[Any]) -> None:
    native = jit.jit(function)
    for args in calls * 3:
        torch.testing.assert_close(native(*args), function(*args))
    assert "called back" not in str(explain(native))


def stopped(x: Tensor, limit: float) -> Tensor:
    """As many as a condition lets through."""
    outs = []
    for t in range(x.size(0)):
        outs.append(x[t] * 2)
        if float(x[t].sum()) > limit:
            break
    return torch.stack(outs)


def used_otherwise(x: Tensor) -> tuple[Tensor, int, list[Tensor]]:
    outs = []
    for t in range(x.size(0)):
        outs.append(x[t] * 2)
    outs[0] = outs[-1] + 1
    return torch.stack(outs), len(outs), outs


def changing_sizes(x: Tensor) -> Tensor:
    outs = []
    for t in range(x.size(0)):
        outs.append(x[t, : t % 3 + 1])
    return torch.cat(outs)


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (stopped, [(X, 0.5), (X, 99.0), (X, -99.0)]),
        (used_otherwise, [(X,), (X[:15],)]),
        (changing_sizes, [(X,), (X[:15],)]),
        (joined, [(X,), (X[:0],)]),
    ],
    ids=lambda p: p.__name__ if callable(p) else "",
)
def test_lists_that_stay_lists(function: Callable[..., Any], calls: Sequence[Any]) -> None:
    native = jit.jit(function)
    for args in calls * 3:
        try:
            expected = function(*args)
        except (RuntimeError, ValueError) as error:
            with pytest.raises(type(error), match=str(error)[:9]):
                native(*args)
        else:
            torch.testing.assert_close(native(*args), expected)
