"""Functions that people really run, on real input, with hand-written peers.

Each file defines a compiled function NAME, `NAME_args()`, and NAME_numba, NAME_jax, NAME_numexpr
where that is natural (`jit/workload.py` has the convention). `python -m examples` compares all.
"""

from __future__ import annotations

try:
    from numba import prange
except ModuleNotFoundError:  # the peer is optional: its source must only be readable without it
    prange = range

__all__ = ["prange"]
