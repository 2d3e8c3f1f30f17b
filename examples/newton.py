"""Where are the planets? Kepler's equation by Newton's method, until every orbit has converged.

The number of steps depends on the data: a Python `while` over tensors, compiled as it stands.

Try it: `python -m jit compare examples/newton.py`
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples import prange
from jit import jit

BODIES = 100_000


@jit
def kepler(mean: Tensor, eccentricity: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Eccentric anomalies of 100,000 orbits, Newton steps while any moves."""
    anomaly = mean + eccentricity * torch.sin(mean)
    step = torch.ones_like(mean)
    while step.abs().max() > tolerance:
        slope = 1 - eccentricity * torch.cos(anomaly)
        step = (anomaly - eccentricity * torch.sin(anomaly) - mean) / slope
        anomaly = anomaly - step
    return anomaly


def kepler_args() -> tuple[Tensor, Tensor]:
    """Mean anomalies all around the orbit, eccentricities up to 0.7."""
    g = torch.Generator().manual_seed(2026)
    mean, eccentricity = torch.rand(2, BODIES, generator=g).unbind()
    return (mean * 2 - 1) * torch.pi, eccentricity * 0.7


def kepler_numba(mean: Any, eccentricity: Any) -> Any:
    """Orbit by orbit, each with as many steps as it needs itself."""
    out = np.empty_like(mean)
    for i in prange(mean.size):
        m, e = mean[i], eccentricity[i]
        anomaly = m + e * np.sin(m)
        step = np.float32(1)
        while abs(step) > np.float32(1e-4):
            slope = np.float32(1) - e * np.cos(anomaly)
            step = (anomaly - e * np.sin(anomaly) - m) / slope
            anomaly -= step
        out[i] = anomaly
    return out


def kepler_numexpr(mean: Any, eccentricity: Any) -> Any:
    """One fused expression per step; the test stays in Python."""
    from numexpr import evaluate

    names = {"m": mean, "e": eccentricity}
    names["a"] = evaluate("m + e * sin(m)", names)
    largest = 1.0
    while largest > 1e-4:
        names["s"] = evaluate("(a - e * sin(a) - m) / (1 - e * cos(a))", names)
        names["a"] = evaluate("a - s", names)
        largest = float(np.abs(names["s"]).max())
    return names["a"]


def kepler_jax(mean: Any, eccentricity: Any) -> Any:
    """A while_loop over the state (anomaly, largest step)."""
    import jax
    import jax.numpy as jnp

    def advance(state: Any) -> Any:
        anomaly, _ = state
        slope = 1 - eccentricity * jnp.cos(anomaly)
        step = (anomaly - eccentricity * jnp.sin(anomaly) - mean) / slope
        return anomaly - step, jnp.abs(step).max()

    start = mean + eccentricity * jnp.sin(mean), jnp.float32(1)
    return jax.lax.while_loop(lambda state: state[1] > 1e-4, advance, start)[0]
