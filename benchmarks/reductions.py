"""Reductions: whole tensors, rows, columns, and nests that keep a row in cache."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples import prange
from examples.layer_norm import layer_norm, layer_norm_args, layer_norm_jax, layer_norm_numba
from examples.masked_softmax import (
    masked_softmax,
    masked_softmax_args,
    masked_softmax_jax,
    masked_softmax_numba,
)
from jit import jit
from jit.peers import Function
from jit.workload import Workload


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference."""
    d = x - y
    return (d * d).mean()


def distance_numba(x: Any, y: Any) -> Any:
    """One loop."""
    total = np.float32(0)
    for i in prange(x.size):
        total += (x[i] - y[i]) ** 2
    return total / np.float32(x.size)


def distance_jax(x: Any, y: Any) -> Any:
    """The same on JAX arrays."""
    d = x - y
    return (d * d).mean()


def spread(x: Tensor) -> Tensor:
    """Largest minus smallest of each row."""
    return x.amax(-1) - x.amin(-1)


def spread_numba(x: Any) -> Any:
    """One pass over each row."""
    rows, columns = x.shape
    out = np.empty(rows, x.dtype)
    for r in prange(rows):
        low = high = x[r, 0]
        for c in range(columns):
            low, high = min(low, x[r, c]), max(high, x[r, c])
        out[r] = high - low
    return out


def spread_jax(x: Any) -> Any:
    """The same on JAX arrays."""
    return x.max(-1) - x.min(-1)


def deviation(x: Tensor) -> Tensor:
    """Standard deviation of each column."""
    return x.std(0)


def deviation_numba(x: Any) -> Any:
    """Two passes over the rows: means, then squares around them."""
    rows, columns = x.shape
    mean, square = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    for r in range(rows):
        for c in range(columns):
            mean[c] += x[r, c]
    mean /= np.float32(rows)
    for r in range(rows):
        for c in range(columns):
            square[c] += (x[r, c] - mean[c]) ** 2
    return np.sqrt(square / np.float32(rows - 1))


def deviation_jax(x: Any) -> Any:
    """The same on JAX arrays."""
    return x.std(0, ddof=1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax of each row."""
    logs = torch.log_softmax(logits, -1)
    return -(logs.exp() * logs).sum(-1)


def entropy_numba(logits: Any) -> Any:
    """Two passes over each row."""
    rows, columns = logits.shape
    out = np.empty(rows, logits.dtype)
    for r in prange(rows):
        top = logits[r, 0]
        for c in range(columns):
            top = max(top, logits[r, c])
        total, moment = np.float32(0), np.float32(0)
        for c in range(columns):
            d = logits[r, c] - top
            e = math.exp(d)
            total += e
            moment += e * d
        out[r] = math.log(total) - moment / total
    return out


def entropy_jax(logits: Any) -> Any:
    """The same in JAX."""
    import jax

    logs = jax.nn.log_softmax(logits, -1)
    return -(jax.numpy.exp(logs) * logs).sum(-1)


def best(x: Tensor) -> Tensor:
    """Position of the largest of each row."""
    return x.argmax(-1)


def best_numba(x: Any) -> Any:
    """One pass over each row."""
    rows, columns = x.shape
    out = np.empty(rows, np.int64)
    for r in prange(rows):
        at = 0
        for c in range(1, columns):
            if x[r, c] > x[r, at]:
                at = c
        out[r] = at
    return out


def best_jax(x: Any) -> Any:
    """The same on JAX arrays."""
    return x.argmax(-1)


def workloads() -> Iterator[Workload]:
    """Square matrices of a million elements, and two longer vectors."""
    torch.manual_seed(2026)
    for n in (100_000, 4_000_000):
        peers: dict[str, Function] = {"numba": distance_numba, "jax": distance_jax}
        yield Workload(f"distance/{n:.0e}", jit(distance), (torch.randn(n), torch.randn(n)), peers)
    x = torch.randn(1024, 1024)
    for f, numba, jax in (
        (spread, spread_numba, spread_jax),
        (deviation, deviation_numba, deviation_jax),
        (entropy, entropy_numba, entropy_jax),
        (best, best_numba, best_jax),
    ):
        yield Workload(f"{f.__name__}/1024x1024", jit(f), (x,), {"numba": numba, "jax": jax})
    peers = {"numba": masked_softmax_numba, "jax": masked_softmax_jax}
    yield Workload("masked_softmax/16x256x256", masked_softmax, masked_softmax_args(), peers)
    peers = {"numba": layer_norm_numba, "jax": layer_norm_jax}
    yield Workload("layer_norm/1024x768", layer_norm, layer_norm_args(), peers)
