"""Calls that plans must not serve: eager's behavior, and the reason counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import jit
from tests.jit.support import native, run_warm

X = torch.linspace(-1, 1, 12)


class Tagged(torch.Tensor):
    """A subclass whose operators keep its type."""


class Doubling(TorchDispatchMode):
    """Every operator's result is doubled."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return torch.ops.aten.mul.Scalar(func(*args, **(kwargs or {})), 2)


class Counting(TorchFunctionMode):
    """Counts calls of torch functions."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def dual() -> Iterator[None]:
    with torch.autograd.forward_ad.dual_level():
        yield


def f_source(x):
    return torch.sin(x) * 2 + 1


@pytest.fixture
def f() -> Callable[..., Any]:
    """A function whose plan for plain arguments is installed."""
    made = jit.jit(f_source)
    for _ in range(3):
        made(X)
    assert native(made) == 2
    return made


Context = Callable[[], AbstractContextManager[Any]]
CASES: list[tuple[str, Callable[[], torch.Tensor], Context]] = [
    ("needs gradient", lambda: X.clone().requires_grad_(), nullcontext),
    ("needs gradient", lambda: X.clone().requires_grad_() * 2, nullcontext),
    ("tensor subclass", lambda: X.clone().as_subclass(Tagged), nullcontext),
    ("tensor layout", lambda: torch.view_as_complex(X.reshape(6, 2)).conj(), nullcontext),
    ("tensor layout", lambda: torch._neg_view(X), nullcontext),
    ("tensor layout", lambda: X.to("meta"), nullcontext),
    ("tensor layout", lambda: torch.eye(3).to_sparse().sin(), nullcontext),
    ("dispatch mode", lambda: X, lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
    ("dispatch mode", lambda: X, Doubling),
    ("dispatch mode", lambda: X, Counting),
    ("dispatch mode", lambda: X, lambda: FakeTensorMode(allow_non_fake_inputs=True)),
]


@pytest.mark.parametrize(("reason", "make", "context"), CASES)
def test_behavior_is_eagers_and_counted(f, reason, make, context) -> None:
    if make().layout is torch.sparse_coo:
        for each in (f_source, f):
            with pytest.raises(RuntimeError):
                each(make())
    else:
        with context():
            wanted = f_source(make())
        with context():
            found = f(make())
        assert type(found) is type(wanted)
        assert (found.requires_grad, found.dtype) == (wanted.requires_grad, wanted.dtype)
        if found.device.type == "cpu" and type(found) in (torch.Tensor, Tagged):
            torch.testing.assert_close(found, wanted)
    assert jit.stats(f).bailouts == {"observing": 1, reason: 1}
    assert native(f) == 2


def test_gradients_flow(f) -> None:
    x = X.clone().requires_grad_()
    f(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.cos(X) * 2)
    with torch.no_grad():
        torch.testing.assert_close(f(x), f_source(X))
    assert native(f) == 3


def test_functorch(f) -> None:
    batch = X.reshape(3, 4)
    torch.testing.assert_close(torch.func.vmap(f)(batch), f_source(batch))
    torch.testing.assert_close(torch.func.grad(lambda x: f(x).sum())(X), torch.cos(X) * 2)
    assert jit.stats(f).bailouts == {"observing": 1, "dispatch mode": 2}


def test_forward_derivatives(f) -> None:
    with torch.autograd.forward_ad.dual_level():
        x = torch.autograd.forward_ad.make_dual(X, torch.ones_like(X))
        tangent = torch.autograd.forward_ad.unpack_dual(f(x)).tangent
    torch.testing.assert_close(tangent, torch.cos(X) * 2)
    assert native(f) == 2


def test_modes_see_every_operator(f) -> None:
    with Counting() as counting:
        f(X)
    assert counting.count == 3


def test_tracing_records_eager_operators(f) -> None:
    traced = torch.jit.trace(f, X)
    assert "aten::sin" in str(traced.graph)


def test_inference_mode_stays_native(f) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(f(X), f_source(X))
    assert native(f) == 3


def test_first_calls_that_bail_out_compile_nothing() -> None:
    f = jit.jit(f_source, warm=0)
    f(X.clone().requires_grad_())
    assert jit.stats(f).compilations == 0


def test_numbers_out_of_tensors() -> None:
    @jit.jit
    def f(x):
        return int(x.sum() * 2), x.sum().item()

    x = torch.full((3,), 0.75)
    assert run_warm(f, x) == (4, 2.25)
    assert native(f) == 2
    with pytest.raises(ValueError, match="NaN"):
        f(x * torch.nan)
    assert native(f) == 2


def with_leaf(x: torch.Tensor) -> torch.Tensor:
    leaf = torch.ones(3).requires_grad_()
    return leaf * x


def with_backward(x: torch.Tensor) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    (leaf * leaf).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("function", [with_leaf, with_backward])
def test_autograd_inside_is_left_to_eager(function: Callable[..., torch.Tensor]) -> None:
    compiled = jit.jit(function)
    x = torch.randn(3)
    for _ in range(3):
        found, wanted = compiled(x), function(x)
        assert found.requires_grad == wanted.requires_grad
        torch.testing.assert_close(found, wanted)
    assert jit.stats(compiled).bailouts["gradients inside"]


def test_another_default_dtype_is_left_to_eager() -> None:
    compiled = jit.jit(halved)
    torch.set_default_dtype(torch.float64)
    try:
        for _ in range(3):
            assert compiled(torch.arange(3)).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert jit.stats(compiled).bailouts["default dtype"]


def halved(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(3) + x / 2
