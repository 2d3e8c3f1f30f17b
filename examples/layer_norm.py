"""The end of a transformer block: residual connection, then layer norm over the features.

Try it: `python -m jit compare examples/layer_norm.py`
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from examples import prange
from jit import jit


@jit
def layer_norm(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Residual and layer norm, 1024 tokens of 768 features."""
    return F.layer_norm(x + residual, [x.size(-1)], weight, bias, eps=1e-5)


def layer_norm_args() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Activations of 1024 tokens and the parameters of the norm."""
    g = torch.Generator().manual_seed(2026)
    x, residual = torch.randn(2, 1024, 768, generator=g).unbind()
    weight, bias = torch.randn(2, 768, generator=g).unbind()
    return x.clone(), residual.clone(), 1 + 0.1 * weight, 0.1 * bias


def layer_norm_numba(x: Any, residual: Any, weight: Any, bias: Any) -> Any:
    """Row by row: the sum of both inputs stays in the output's cache lines."""
    rows, features = x.shape
    out = np.empty_like(x)
    for r in prange(rows):
        total = np.float32(0)
        for c in range(features):
            out[r, c] = x[r, c] + residual[r, c]
            total += out[r, c]
        mean = total / np.float32(features)
        square = np.float32(0)
        for c in range(features):
            square += (out[r, c] - mean) ** 2
        scale = np.float32(1) / np.sqrt(square / np.float32(features) + np.float32(1e-5))
        for c in range(features):
            out[r, c] = (out[r, c] - mean) * scale * weight[c] + bias[c]
    return out


def layer_norm_jax(x: Any, residual: Any, weight: Any, bias: Any) -> Any:
    """The same in JAX."""
    import jax

    s = x + residual
    centered = s - s.mean(-1, keepdims=True)
    variance = (centered * centered).mean(-1, keepdims=True)
    return centered * jax.lax.rsqrt(variance + np.float32(1e-5)) * weight + bias
