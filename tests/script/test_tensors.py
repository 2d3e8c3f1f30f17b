"""Straight-line tensor code: operators, functions, methods, properties, indexing, assignment to
items.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ir import Interpreter
from tests.script.support import agree, compiled

X = torch.linspace(-2.0, 3.0, 12).reshape(3, 4)
Y = torch.linspace(0.5, 4.0, 12).reshape(3, 4)
N = torch.arange(12).reshape(3, 4)

OPERATORS = [
    lambda x, y: x + y * 2 - 1,
    lambda x, y: 2 - x,
    lambda x, y: 1 / y,
    lambda x, y: 7 // y,
    lambda x, y: 7 % y,
    lambda x, y: 2**x,
    lambda x, y: y**0.5,
    lambda x, y: -x + +y,
    lambda x, y: x @ y.t(),
    lambda x, y: (x > y) | ~(x < 1.5) & (1 <= y),
    lambda x, y: x == y,
    lambda x, y: torch.where(x > 0, x, y),
    lambda x, y: (x // y, x % y),
    lambda x, y: True + x,
    lambda x, y: abs(x),
]


@pytest.mark.parametrize("index", range(len(OPERATORS)))
def test_operators(index: int) -> None:
    agree(OPERATORS[index], X, Y)


def integer_operators(n: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return n << 1, n >> 1, n & 3, n | 8, n ^ 5, ~n, 1 << n, n // 5, n % 5, 2**n, n**2, n / 2


def test_integer_operators() -> None:
    agree(integer_operators, N)


def functional(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    z = F.relu(x) + F.gelu(y, approximate="tanh") + F.silu(x) + F.leaky_relu(x, 0.1)
    z = F.softmax(z, dim=-1) + F.log_softmax(z, -1) + torch.sigmoid(z) + F.softplus(z)
    z = F.layer_norm(z, (4,), eps=1e-6) + F.dropout(z, 0.5, training=False)
    return F.linear(z, y[:2]) + F.mse_loss(x, y) + F.cross_entropy(x, torch.tensor([0, 1, 2]))


def test_functional() -> None:
    agree(functional, X, Y)


def methods(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    values, places = x.max(dim=1)
    top = x.topk(2)
    return (
        x.sum(),
        x.mean(-1, keepdim=True),
        x.view(4, 3),
        x.reshape(-1),
        x.permute(1, 0),
        x.T,
        x.mT,
        x.float(),
        x.double(),
        x.long(),
        x.to(torch.float16),
        x.type_as(x.int()),
        x.expand(2, 3, 4),
        x.clamp(min=0),
        x.std(dim=(0, 1)),
        values,
        places,
        top.values,
        top[1],
        torch.max(x, 0).indices,
        x.split(2, dim=1)[0],
        x.chunk(2)[1],
        x.norm(),
        x.unsqueeze(0).squeeze(),
        x.new_zeros(2, 3),
        x.flatten(),
        x.repeat(1, 2),
        x.transpose(0, 1).contiguous(),
        x.cumsum(0),
        x.nelement() * x.sum(),
    )


def test_methods() -> None:
    agree(methods, X)


def properties(x: torch.Tensor) -> tuple[object, ...]:
    rows, columns = x.shape
    return (
        x.shape[0],
        x.size(-1),
        rows * columns,
        x.ndim,
        x.dim(),
        x.numel(),
        len(x),
        x.dtype == torch.float32,
        x.device.type,
        x.requires_grad,
        x.is_cuda,
        x.is_floating_point(),
        x.shape == (3, 4),
        x.stride(),
    )


def test_properties() -> None:
    agree(properties, X)


INDICES = [
    lambda x, i: x[0],
    lambda x, i: x[-1, 2],
    lambda x, i: x[:, 1:3],
    lambda x, i: x[::2, ::3],
    lambda x, i: x[..., 0],
    lambda x, i: x[..., 1:, None],
    lambda x, i: x[None, :, None],
    lambda x, i: x[x > 0],
    lambda x, i: x[[0, 2]],
    lambda x, i: x[i],
    lambda x, i: x[:, i],
    lambda x, i: x[i, i],
    lambda x, i: x[i][:, 1:],
    lambda x, i: x[1:, i],
    lambda x, i: x[..., i],
    lambda x, i: x[x.shape[0] - 1 :, : len(x)],
    lambda x, i: x[:, None, i],
    lambda x, i: x[(0, 1)],
]


@pytest.mark.parametrize("index", range(len(INDICES)))
def test_indices(index: int) -> None:
    agree(INDICES[index], X, torch.tensor([0, 2]))


def store(x: torch.Tensor, i: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    x[0] = 1.5
    x[:, 1] = v[:, 0]
    x[1, 2] += 7
    x[:, 0] *= 2
    x[x > 3] = 0
    x[i] = 9
    x[i, i] += 1
    x[..., -1] = v[..., 0]
    x[2:] -= v[:1]
    y = x
    y += 1
    x.mul_(2).add_(v, alpha=0.5)
    return y


def test_assignment_to_items_is_in_place() -> None:
    agree(store, X, torch.tensor([1, 2]), Y)


def test_augmented_assignment_mutates_tensors_only() -> None:
    def f(x: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor, int, int]:
        y, m = x, n
        y += 1
        y //= 2
        y **= 2
        m += 1
        m %= 3
        m <<= 2
        return x, y, n, m

    agree(f, X.clone(), 5)


def numpy_names(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (
        np.exp(x)
        + np.sqrt(y) * np.maximum(x, y)
        + np.sum(np.abs(x), axis=0)
        + np.where(x > 0, x, y)
    )


def test_numpy_functions_mean_torch_functions() -> None:
    source = compiled(numpy_names, X, Y)
    wanted = (
        torch.exp(X)
        + torch.sqrt(Y) * torch.maximum(X, Y)
        + X.abs().sum(0)
        + torch.where(X > 0, X, Y)
    )
    assert torch.equal(Interpreter(source.graph).run(X, Y), wanted)


def math_functions(a: float, n: int) -> tuple[object, ...]:
    return (
        math.sqrt(a),
        math.exp(a),
        math.log(a),
        math.log(a, 2),
        math.log2(a),
        math.floor(a),
        math.ceil(a),
        math.pow(a, n),
        math.hypot(a, n),
        math.gcd(n, 6),
        math.pi,
        -math.inf,
        math.isnan(a),
        math.atan2(a, n),
        math.copysign(a, -1.0),
        math.trunc(a),
        math.comb(n, 2),
        math.erf(a),
        math.degrees(a),
    )


def test_math_functions() -> None:
    agree(math_functions, 2.5, 4)


@pytest.mark.parametrize("a", [-1.0, 0.0])
def test_math_domain_errors(a: float) -> None:
    agree(lambda a: math.log(a), a)


def creation(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    shape = x.shape
    return (
        torch.zeros(2, 3),
        torch.ones(shape),
        torch.full((2,), 1.5),
        torch.arange(5),
        torch.arange(0, 1, 0.25),
        torch.zeros_like(x, dtype=torch.int64),
        torch.eye(3),
        torch.tensor([[1, 2], [3, 4]]),
        torch.tensor(2.5),
        torch.zeros(*shape, dtype=torch.float64),
        torch.cat([x, x], dim=1),
        torch.stack((x, x)),
        x.new_ones(shape[0]),
        torch.einsum("ij,kj->ik", x, x),
        torch.linspace(0, 1, 3),
        torch.zeros(2, device=x.device, dtype=x.dtype),
    )


def test_creation() -> None:
    agree(creation, X)


def test_grad_modes() -> None:
    def f(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, bool]:
        with torch.no_grad():
            y = x * 2
        with torch.enable_grad(), torch.autograd.profiler.record_function("z"):
            z = x * 3
        return y, z, y.requires_grad

    agree(f, X)
    x = X.clone().requires_grad_()
    y, z, _ = Interpreter(compiled(f, x).graph).run(x)
    assert not y.requires_grad and z.requires_grad


def test_a_context_is_left_when_its_body_raises() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return x @ x

    run = Interpreter(compiled(f, X).graph).run
    with pytest.raises(RuntimeError):
        run(X)
    assert torch.is_grad_enabled()


def test_ints_where_an_operator_takes_a_list_of_floats() -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")

    agree(doubled, torch.randn(1, 3, 4, 5))
