"""Context managers in compiled functions: grad modes vanish from plans, others keep eager."""

from __future__ import annotations

import torch

import jit


def test_grad_modes_are_native_where_no_gradient_is_needed() -> None:
    @jit.jit
    def f(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            y = x * 2
        return y, x * 3

    x = torch.arange(4.0)
    for _ in range(3):
        y, z = f(x)
        assert torch.equal(y, x * 2) and torch.equal(z, x * 3)
    assert jit.stats(f).native
    needs = x.clone().requires_grad_()
    y, z = f(needs)
    assert not y.requires_grad and z.requires_grad
    assert torch.is_grad_enabled()


def test_an_error_leaves_the_context() -> None:
    @jit.jit
    def f(x: torch.Tensor, fails: bool) -> torch.Tensor:
        with torch.no_grad():
            y = x * 2
            if fails:
                raise ValueError("no")
        return y

    for fails in (False, False, False, True, True):
        try:
            f(torch.ones(3), fails)
        except ValueError:
            assert fails
        assert torch.is_grad_enabled()


def test_autocast_is_eagers() -> None:
    @jit.jit
    def f(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x
        return y, x @ x

    for _ in range(4):
        y, z = f(torch.ones(4, 4))
        assert (y.dtype, z.dtype) == (torch.bfloat16, torch.float32)
