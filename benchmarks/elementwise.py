"""Elementwise chains, 1e3 to 1e7 elements: arithmetic, transcendental, mixed dtypes, layouts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from examples import prange
from jit import jit
from jit.peers import Function
from jit.workload import Workload

SIZES = (1_000, 100_000, 10_000_000)


def smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp and a cubic."""
    t = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def smoothstep_numba(x: Any, low: Any, high: Any) -> Any:
    """One loop."""
    out = np.empty_like(x)
    base, scale = np.float32(low), np.float32(1 / (high - low))
    for i in prange(x.size):
        t = min(max((x[i] - base) * scale, np.float32(0)), np.float32(1))
        out[i] = t * t * (np.float32(3) - np.float32(2) * t)
    return out


def smoothstep_numexpr(x: Any, low: Any, high: Any) -> Any:
    """One expression, float32 throughout."""
    from numexpr import evaluate

    low, high = np.float32(low), np.float32(high)
    t = "where(x < l, z, where(x > h, o, (x - l) / (h - l)))"
    zero, one, two, three = map(np.float32, (0, 1, 2, 3))
    names = {"x": x, "l": low, "h": high, "z": zero, "o": one, "two": two, "three": three}
    names["t"] = evaluate(t, names)
    return evaluate("t * t * (three - two * t)", names)


def smoothstep_jax(x: Any, low: Any, high: Any) -> Any:
    """The same on JAX arrays."""
    import jax.numpy as jnp

    t = jnp.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mish(x: Tensor) -> Tensor:
    """x tanh(log(1 + exp x)), written out."""
    return x * torch.tanh(torch.log1p(torch.exp(x)))


def mish_numba(x: Any) -> Any:
    """One loop."""
    out = np.empty_like(x)
    for i in prange(x.size):
        out[i] = x[i] * math.tanh(math.log1p(math.exp(x[i])))
    return out


def mish_jax(x: Any) -> Any:
    """The same on JAX arrays."""
    import jax.numpy as jnp

    return x * jnp.tanh(jnp.log1p(jnp.exp(x)))


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """A gated linear unit."""
    return F.silu(gate) * x


def gated_numba(x: Any, gate: Any) -> Any:
    """One loop."""
    out = np.empty_like(x)
    for i in prange(x.size):
        out[i] = x[i] * gate[i] / (np.float32(1) + math.exp(-gate[i]))
    return out


def gated_jax(x: Any, gate: Any) -> Any:
    """The same on JAX arrays."""
    import jax

    return jax.nn.silu(gate) * x


def dequantize(q: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Bytes to floats with a scale per column."""
    return (q.to(torch.float32) - zero) * scale


def dequantize_numba(q: Any, scale: Any, zero: Any) -> Any:
    """Two loops."""
    rows, columns = q.shape
    out = np.empty((rows, columns), np.float32)
    for i in prange(rows):
        for j in range(columns):
            out[i, j] = (np.float32(q[i, j]) - zero[j]) * scale[j]
    return out


def dequantize_jax(q: Any, scale: Any, zero: Any) -> Any:
    """The same on JAX arrays."""
    return (q.astype("float32") - zero) * scale


def symmetric(x: Tensor) -> Tensor:
    """A matrix plus its transpose: one of two reads is across the rows."""
    return (x + x.t()) * 0.5


def symmetric_numba(x: Any) -> Any:
    """Tiles of 32 x 32."""
    n = x.shape[0]
    out = np.empty_like(x)
    for tile in prange(n // 32):
        for j0 in range(0, n, 32):
            for i in range(tile * 32, tile * 32 + 32):
                for j in range(j0, j0 + 32):
                    out[i, j] = (x[i, j] + x[j, i]) * np.float32(0.5)
    return out


def symmetric_jax(x: Any) -> Any:
    """The same on JAX arrays."""
    return (x + x.T) * 0.5


def workloads() -> Iterator[Workload]:
    """Chains at three sizes; byte and transposed input at one."""
    torch.manual_seed(2026)
    for n in SIZES:
        x, y = torch.randn(n), torch.randn(n)
        peers: dict[str, Function] = {
            "numba": smoothstep_numba,
            "numexpr": smoothstep_numexpr,
            "jax": smoothstep_jax,
        }
        yield Workload(f"smoothstep/{n:.0e}", jit(smoothstep), (x, -1.0, 1.0), peers)
        yield Workload(f"mish/{n:.0e}", jit(mish), (x,), {"numba": mish_numba, "jax": mish_jax})
        peers = {"numba": gated_numba, "jax": gated_jax}
        yield Workload(f"gated/{n:.0e}", jit(gated), (x, y), peers)
    quantized = (torch.randint(0, 256, (1024, 768), dtype=torch.uint8), *torch.rand(2, 768))
    peers = {"numba": dequantize_numba, "jax": dequantize_jax}
    yield Workload("dequantize/1024x768", jit(dequantize), quantized, peers)
    peers = {"numba": symmetric_numba, "jax": symmetric_jax}
    yield Workload("symmetric/1024", jit(symmetric), (torch.randn(1024, 1024),), peers)
