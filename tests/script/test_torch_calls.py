"""Calls of torch's functions in the ways that Python takes and operators' schemas do not."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jit
from tests.script.support import agree

X = torch.arange(6.0).reshape(2, 3)


def named(x: Tensor) -> tuple[Tensor, ...]:
    return (
        torch.sum(input=x, dim=0),
        x.sum(axis=1, keepdims=True),
        torch.where(condition=x > 2, input=x, other=0),
        torch.argmax(input=x, axis=1),
    )


def tensor_second(x: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    return x.where(x > 2, 0), mask.where(x > 2, mask), (x + 1).polygamma(1)


def tensor_second_by_name(x: Tensor) -> Tensor:
    return x.where(condition=x > 2, other=torch.tensor(-1.0))


def several_results(x: Tensor) -> tuple[Tensor, Tensor]:
    values, indices = torch.empty(2), torch.empty(2, dtype=torch.long)
    torch.max(x, 1, out=(values, indices))
    return values, indices


def data(x: Tensor, n: int) -> tuple[Tensor, ...]:
    return (
        torch.tensor((n, 2.0)),
        torch.tensor(((1, 2), (3, n))),
        torch.tensor([(n, 2), (3, n)]),
        torch.tensor(range(n)),
        torch.tensor([x[0, 0], n]),
        torch.as_tensor((True, False)),
        x[range(1)],
    )


def without_ops(x: Tensor) -> tuple[Any, ...]:
    return (
        torch.get_num_threads() > 0,
        torch.is_inference_mode_enabled(),
        torch.from_numpy(ONES) + x,
    )


ONES = np.ones(3, dtype=np.float32)


def truth_of_tensors(x: Tensor) -> tuple[Any, ...]:
    return x.sum() == 15 or False, (x > 9).all() and 3, x.max() > 1 and x.min() < 1


def gradients(x: Tensor) -> tuple[bool, Tensor, bool]:
    w = torch.ones(3, requires_grad=True)
    before = w.grad is None
    (x * w).sum().backward()
    found = w.grad
    w.grad = None
    return before, found, w.grad is None


CASES: list[tuple[Any, tuple[Any, ...]]] = [
    (named, (X,)),
    (tensor_second, (X, X > 1)),
    (tensor_second_by_name, (X,)),
    (several_results, (X,)),
    (data, (X, 3)),
    (without_ops, (X,)),
    (truth_of_tensors, (X,)),
    (gradients, (X,)),
]


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: Any, args: tuple[Any, ...]) -> None:
    agree(fn, *args)


class Row(TypedDict):
    a: int
    b: str


def typed_dicts(row: Row, n: int) -> tuple[Any, ...]:
    other: Row = {"a": n, "b": "x"}
    made = Row(a=1, b="q")
    return row["a"], other["b"] * n, made


def test_typed_dicts_are_dicts() -> None:
    args = ({"a": 1, "b": "z"}, 2)
    assert jit.script(typed_dicts)(*args) == typed_dicts(*args)  # type: ignore[arg-type]


class Holder(nn.Module):
    """Holds what torch itself has compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.traced = torch.jit.trace(nn.Linear(3, 3), torch.ones(1, 3))
        self.scripted = torch.jit.script(nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.scripted(self.traced(x)) + 1


def test_modules_that_torch_compiled_are_called() -> None:
    module = Holder()
    made = jit.script(module)
    torch.testing.assert_close(made(X), module(X))


def kinds(dtypes: list[torch.dtype], devices: list[torch.device]) -> tuple[Any, ...]:
    return [str(d) for d in dtypes], [d.type for d in devices], [d == torch.int for d in dtypes]


def test_dtypes_and_devices_in_lists_stay_what_they_are() -> None:
    args = ([torch.float32, torch.int], [torch.device("cpu")])
    made = jit.script(kinds)
    for _ in range(3):
        assert made(*args) == kinds(*args)


def cubes(v: Tensor) -> Tensor:
    return (v**3).sum()


def derivatives(x: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.functional.hessian(cubes, x[0]), torch.func.jacrev(cubes)(x[0])


def forked(x: Tensor) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        noise = torch.rand(2)
    return noise


@pytest.mark.parametrize("fn", [derivatives, forked])
def test_called_in_python(fn: Any) -> None:
    agree(fn, X)
