"""Functions that write their arguments: in every tier the arguments end as eager leaves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit

R, T = torch.randn, torch.Tensor
Arguments = Callable[[], list[Any]]


def momentum(p: T, m: T, g: T) -> T:
    m.mul_(0.9).add_(g, alpha=0.1)
    p.sub_(m)
    return p


def adam(p: T, g: T, m: T, v: T, step: int) -> None:
    m.lerp_(g, 0.1)
    v.mul_(0.999).addcmul_(g, g, value=0.001)
    p.addcdiv_(m / (1 - 0.9**step), (v / (1 - 0.999**step)).sqrt().add_(1e-8), value=-1e-3)


def swap(x: T, y: T) -> None:
    old = x.clone()
    x.copy_(y)
    y.copy_(old)


def shift(x: T) -> T:
    """Reads other elements than it writes."""
    x.copy_(x.flip(0) + x)
    return x


def rows(x: T) -> T:
    """A reduction of what is written."""
    x.sub_(x.mean(-1, keepdim=True))
    return x


def part(x: T) -> T:
    x[1:, 0] = 3.0
    x[0].mul_(2)
    return x[0]


def across(x: T, y: T) -> T:
    x.add_(y.t())
    return x.sum(0)


def product(x: T, w: T) -> T:
    x.copy_(x @ w)
    return x


def branch(x: T, flag: bool) -> T:
    if flag:
        x.mul_(2)
    else:
        x.add_(1)
    return x * 1


def until(x: T) -> T:
    while x.sum() < 100:
        x.mul_(2)
    return x


def divided(x: T, y: T) -> T:
    x.floor_divide_(y)
    return x


def both(x: T) -> tuple[T, T]:
    y = x * 2
    x.add_(y)
    return x, y


def in_turn(x: T, y: T) -> T:
    """What is read after another nest needs the old elements."""
    total = (x * y).sum(0)
    x.mul_(0.5).add_(total)
    y.copy_(x.flip(0) + total)
    return total


def converted(x: T, y: T) -> T:
    x.copy_(y)
    return x


CASES: dict[str, tuple[Callable[..., Any], Arguments]] = {
    "momentum": (momentum, lambda: [R(100), R(100), R(100)]),
    "strided": (momentum, lambda: [R(9, 8).t(), R(9, 8).t(), R(8, 9)]),
    "adam": (adam, lambda: [R(33), R(33), R(33), torch.rand(33), 3]),
    "swap": (swap, lambda: [R(5, 7), R(5, 7)]),
    "shift": (shift, lambda: [R(50)]),
    "rows": (rows, lambda: [R(5, 70)]),
    "part": (part, lambda: [R(5, 7)]),
    "across": (across, lambda: [R(64, 48), R(48, 64)]),
    "product": (product, lambda: [R(8, 8), R(8, 8)]),
    "branch": (branch, lambda: [R(5), True]),
    "until": (until, lambda: [torch.rand(5) + 1]),
    "divided": (divided, lambda: [torch.arange(9), torch.arange(1, 10)]),
    "both": (both, lambda: [R(6)]),
    "in_turn": (in_turn, lambda: [R(6, 5), R(6, 5)]),
    "converted": (converted, lambda: [R(3, 4), torch.arange(4)]),
    "large": (momentum, lambda: [R(1 << 20), R(1 << 20), R(1 << 20)]),
    "empty": (momentum, lambda: [R(0), R(0), R(0)]),
    "scalar": (momentum, lambda: [R(()), R(()), R(())]),
}


@pytest.mark.parametrize("name", CASES)
def test_arguments_end_alike(name: str) -> None:
    function, make = CASES[name]
    compiled = jit.jit(function)
    for _ in range(3):
        given = make()
        expected = [a.detach().clone() if isinstance(a, T) else a for a in given]
        results = compiled(*given), function(*expected)
        torch.testing.assert_close(results[0], results[1])
        torch.testing.assert_close(given, expected)


@pytest.mark.parametrize(
    "name", ["momentum", "adam", "swap", "across", "rows", "product", "strided", "large"]
)
def test_nothing_is_called_back(name: str) -> None:
    function, make = CASES[name]
    compiled = jit.jit(function)
    for _ in range(2):
        compiled(*make())
    assert "called back" not in str(jit.explain(compiled))


def test_a_value_is_computed_where_it_goes() -> None:
    compiled = jit.jit(momentum)
    for _ in range(2):
        compiled(R(100), R(100), R(100))
    assert str(jit.explain(compiled)).count("kernel 0: for") == 1
    assert "kernel 1" not in str(jit.explain(compiled))


def test_the_result_is_the_argument_and_counts_the_write() -> None:
    compiled = jit.jit(momentum)
    for _ in range(3):
        p, m, g = R(4), R(4), R(4)
        versions = p._version, m._version, g._version
        assert compiled(p, m, g) is p
        assert (p._version > versions[0], m._version > versions[1], g._version) == (True, True, 0)


def test_overlapping_arguments_are_eager() -> None:
    compiled = jit.jit(momentum)
    for _ in range(2):
        compiled(R(10), R(10), R(10))
    memory = R(12)
    copy = memory.clone()
    m = R(10)
    expected = m.clone()
    compiled(memory[:10], m, memory[2:])
    momentum(copy[:10], expected, copy[2:])
    torch.testing.assert_close([memory, m], [copy, expected])
    assert jit.stats(compiled).interpreted == 2


def test_gradients_and_modes_are_eager() -> None:
    compiled = jit.jit(momentum)
    for _ in range(2):
        compiled(R(10), R(10), R(10))
    with pytest.raises(RuntimeError, match="leaf Variable"):
        compiled(R(10, requires_grad=True), R(10), R(10))
    with torch.no_grad():
        weight = torch.nn.Parameter(R(10))
        start = weight.detach().clone()
        m, g = torch.zeros(10), torch.ones(10)
        compiled(weight, m, g)
        torch.testing.assert_close(weight.detach(), start - 0.1)
    with torch.inference_mode():
        frozen = R(10)
        compiled(frozen, R(10), R(10))
    with pytest.raises(RuntimeError, match="nference tensor"):
        compiled(frozen, R(10), R(10))


def test_a_division_by_zero_leaves_the_argument_alone() -> None:
    compiled = jit.jit(divided)
    for _ in range(2):
        compiled(torch.arange(9), torch.arange(1, 10))
    x = torch.arange(9)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        compiled(x, torch.tensor([1, 1, 0, 1, 1, 1, 1, 1, 1]))
    assert x.equal(torch.arange(9))


def test_buffers_of_modules() -> None:
    class Mean(torch.nn.Module):
        mean: T

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(4))

        def forward(self, x: T) -> T:
            self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
            return x - self.mean

    eager, compiled = Mean(), jit.jit(Mean())
    for _ in range(4):
        x = R(8, 4)
        torch.testing.assert_close(compiled(x), eager(x))
        torch.testing.assert_close(compiled.mean, eager.mean)
