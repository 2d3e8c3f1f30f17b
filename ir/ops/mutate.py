"""Rows of plain writes: their functional forms, whose twins `copy_`, `fill_`, `zero_` are derived.

The rule of `copy` and `fill` does not look at `self`, which only gives dtype and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ir.ops.factory import pointwise, unary
from ir.typerules import broadcast


def _grows(params: Mapping[str, Any]) -> bool:
    """Whether the source has sizes that those of `self` do not hold."""
    target, source = params["self"], params["src"]
    if not target.is_complete or not source.is_complete:
        return True
    return bool(broadcast(target.shape, source.shape) != target.shape)


copy = pointwise("copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor  | _ .out",
                 lambda s, x, src, non_blocking: src, "self", follow=("src",), refuses=_grows)
fill = pointwise("""
    fill.Tensor(Tensor self, Tensor value) -> Tensor  | _ .Tensor_out
    fill.Scalar(Tensor self, Scalar value) -> Tensor  | _ .Scalar_out
    """, lambda s, x, value: value, "self", follow=("value",), scalars=("value",))
zero = unary("zero", lambda s, x: s.const(0, x.dtype), "self")
