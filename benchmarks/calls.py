"""Call overhead: tiny tensors, where everything but the call is free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jit import jit
from jit.workload import Workload


def add(a: Tensor, b: Tensor) -> Tensor:
    """One operator."""
    return a + b


def blend(a: Tensor, b: Tensor) -> Tensor:
    """Three operators."""
    return (a - b) * 0.25 + b


def blend_numba(a: Any, b: Any) -> Any:
    """One loop."""
    out = np.empty_like(a)
    for i in range(a.size):
        out[i] = (a[i] - b[i]) * np.float32(0.25) + b[i]
    return out


def ten(a: Tensor, b: Tensor) -> Tensor:
    """Ten operators."""
    x = torch.relu(a * b + a)
    x = torch.minimum(x - b, a) * 0.5
    x = (x + 1.0) * a
    return x * x - b


def ten_numba(a: Any, b: Any) -> Any:
    """One loop."""
    out = np.empty_like(a)
    for i in range(a.size):
        x = max(a[i] * b[i] + a[i], np.float32(0))
        x = min(x - b[i], a[i]) * np.float32(0.5)
        x = (x + np.float32(1)) * a[i]
        out[i] = x * x - b[i]
    return out


def ten_jax(a: Any, b: Any) -> Any:
    """The same on JAX arrays."""
    import jax.numpy as jnp

    x = jnp.maximum(a * b + a, 0)
    x = jnp.minimum(x - b, a) * 0.5
    x = (x + 1.0) * a
    return x * x - b


def affine(a: Tensor, scale: float, shift: float) -> Tensor:
    """A tensor and two numbers."""
    return a * scale + shift


def affine_numba(a: Any, scale: Any, shift: Any) -> Any:
    """Array arithmetic, in float32."""
    return a * np.float32(scale) + np.float32(shift)


def total(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """Six inputs."""
    return a + b + c + d + e + f


def workloads() -> Iterator[Workload]:
    """Sizes at which every kernel takes a few nanoseconds."""
    torch.manual_seed(2026)
    for n in (4, 64):
        a, b = torch.randn(n), torch.randn(n)
        yield Workload(f"add/{n}", jit(add), (a, b), {"numba": add, "jax": add})
        yield Workload(f"blend/{n}", jit(blend), (a, b), {"numba": blend_numba, "jax": blend})
        yield Workload(f"ten/{n}", jit(ten), (a, b), {"numba": ten_numba, "jax": ten_jax})
    numbers = {"numba": affine_numba, "jax": affine}
    yield Workload("affine/16", jit(affine), (torch.randn(16), 1.5, 0.25), numbers)
    six = tuple(torch.randn(16) for _ in range(6))
    yield Workload("total/16", jit(total), six, {"numba": total, "jax": total})
