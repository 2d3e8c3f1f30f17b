"""Frozen modules: what a module is made of becomes constants of its methods' graphs.

freeze ── state: attributes become constants, but for those that change or are preserved
   │      module: what is left, as a module
   └── passes: constants evaluated, dropout gone, norms and factors absorbed by weights
"""

from jit.frozen.freeze import freeze, optimize_for_inference, run_frozen_optimizations

__all__ = ["freeze", "optimize_for_inference", "run_frozen_optimizations"]
