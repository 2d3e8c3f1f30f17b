"""Attention weights: a softmax over the keys that a mask lets through.

Try it: `python -m jit compare examples/masked_softmax.py`
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples import prange
from jit import jit


@jit
def masked_softmax(scores: Tensor, mask: Tensor, scale: float = 0.125) -> Tensor:
    """Softmax of scaled scores where a mask allows, 16 heads of 256 x 256."""
    hidden = (scores * scale).masked_fill(~mask, float("-inf"))
    return torch.softmax(hidden, dim=-1)


def masked_softmax_args() -> tuple[Tensor, Tensor]:
    """Scores of 16 heads and a causal mask with a few more keys hidden."""
    g = torch.Generator().manual_seed(2026)
    scores = torch.randn(16, 256, 256, generator=g) * 8
    causal = torch.ones(256, 256, dtype=torch.bool).tril()
    kept = torch.rand(256, 256, generator=g) > 0.1
    return scores, causal & (kept | torch.eye(256, dtype=torch.bool))


def masked_softmax_numba(scores: Any, mask: Any) -> Any:
    """Row by row: maximum, exponentials and their sum, division; hidden keys are skipped."""
    heads, rows, keys = scores.shape
    out = np.empty_like(scores)
    for r in prange(heads * rows):
        h, q = r // rows, r % rows
        top = np.float32(-3e38)
        for k in range(keys):
            top = max(top, scores[h, q, k] if mask[q, k] else np.float32(-3e38))
        total = np.float32(0)
        for k in range(keys):
            e = np.exp((scores[h, q, k] - top) * np.float32(0.125))
            out[h, q, k] = e if mask[q, k] else np.float32(0)
            total += out[h, q, k]
        for k in range(keys):
            out[h, q, k] /= total
    return out


def masked_softmax_jax(scores: Any, mask: Any) -> Any:
    """The same in JAX."""
    import jax

    hidden = jax.numpy.where(mask, scores * np.float32(0.125), -np.inf)
    return jax.nn.softmax(hidden, axis=-1)
