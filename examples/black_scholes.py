"""Prices a million European options: a long transcendental chain with two results.

Try it: `python -m jit compare examples/black_scholes.py`
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples import prange
from jit import jit

OPTIONS = 1_000_000


@jit
def black_scholes(
    spot: Tensor, strike: Tensor, years: Tensor, rate: float = 0.03, volatility: float = 0.25
) -> tuple[Tensor, Tensor]:
    """Call and put prices of a million options."""
    deviation = volatility * torch.sqrt(years)
    drift = (rate + 0.5 * volatility * volatility) * years
    d1 = (torch.log(spot / strike) + drift) / deviation
    d2 = d1 - deviation
    discounted = strike * torch.exp(-rate * years)
    call = spot * normal_cdf(d1) - discounted * normal_cdf(d2)
    put = call + discounted - spot
    return call, put


def normal_cdf(x: Tensor) -> Tensor:
    """Cumulative distribution function of the standard normal distribution."""
    return 0.5 + 0.5 * torch.erf(x * 0.7071067811865476)


def black_scholes_args() -> tuple[Tensor, Tensor, Tensor]:
    """Spots and strikes from 10 to 50, expiry in 3 months to 2 years."""
    g = torch.Generator().manual_seed(2026)
    spot, strike, years = torch.rand(3, OPTIONS, generator=g).unbind()
    return spot * 40 + 10, strike * 40 + 10, years * 1.75 + 0.25


# A price is a difference of larger terms: absolute errors are those of a price of 50.
black_scholes_tolerance = (1e-4, 5e-5)


def black_scholes_numba(spot: Any, strike: Any, years: Any) -> Any:
    """One pass over the options."""
    call, put = np.empty_like(spot), np.empty_like(spot)
    half, root = np.float32(0.5), np.float32(math.sqrt(0.5))
    rate, volatility = np.float32(0.03), np.float32(0.25)
    for i in prange(spot.size):
        deviation = volatility * np.sqrt(years[i])
        drift = (rate + half * volatility * volatility) * years[i]
        d1 = (np.log(spot[i] / strike[i]) + drift) / deviation
        discounted = strike[i] * np.exp(-rate * years[i])
        n1 = half + half * math.erf(d1 * root)
        n2 = half + half * math.erf((d1 - deviation) * root)
        call[i] = spot[i] * n1 - discounted * n2
        put[i] = call[i] + discounted - spot[i]
    return call, put


def black_scholes_jax(spot: Any, strike: Any, years: Any) -> Any:
    """The same formulas on JAX arrays."""
    import jax.numpy as jnp
    from jax.lax import erf

    deviation = 0.25 * jnp.sqrt(years)
    d1 = (jnp.log(spot / strike) + np.float32(0.03 + 0.5 * 0.25**2) * years) / deviation
    discounted = strike * jnp.exp(-0.03 * years)
    n1, n2 = (0.5 + 0.5 * erf(d * np.float32(math.sqrt(0.5))) for d in (d1, d1 - deviation))
    call = spot * n1 - discounted * n2
    return call, call + discounted - spot
