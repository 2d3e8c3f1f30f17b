"""What the elementary functions cost per float32 element: `COST`, in flop equivalents.

The unit is half a slot of a vector instruction, so an addition or a fused multiply-add costs 2. The
figures are measured (AVX-512, one core, data in the level 1 cache) and include a load and a store;
float64 costs about twice as much.
"""

from __future__ import annotations

COST = {
    "sqrt": 30,
    "rsqrt": 80,
    "reciprocal": 30,
    "exp": 34,
    "exp2": 28,
    "expm1": 40,
    "log": 36,
    "log2": 38,
    "log10": 48,
    "log1p": 54,
    "sigmoid": 44,
    "tanh": 48,
    "sinh": 65,
    "cosh": 52,
    "asinh": 450,
    "acosh": 390,
    "atanh": 320,
    "sin": 44,
    "cos": 46,
    "tan": 120,
    "asin": 50,
    "acos": 58,
    "atan": 56,
    "atan2": 85,
    "erf": 40,
    "erfc": 110,
    "erfinv": 150,
    "lgamma": 980,
    "digamma": 700,
    "hypot": 170,
    "pow": 200,
    "fmod": 75,
}
