"""The rows of the op table; importing the package declares them all."""

from ir.ops import (
    activation,
    cast,
    compare,
    control,
    create,
    join,
    loss,
    matmul,
    metadata,
    mutate,
    norm,
    pointwise,
    python,
    reduce,
    view,
)

__all__ = [
    "activation",
    "cast",
    "compare",
    "control",
    "create",
    "join",
    "loss",
    "matmul",
    "metadata",
    "mutate",
    "norm",
    "pointwise",
    "python",
    "reduce",
    "view",
]
