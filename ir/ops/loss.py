"""Composite rows of the classification losses.

The element that a target names is looked up where the scores are in memory. Scores that are only
computed on the way to the loss never get there: the element is picked out of its row by comparing
positions, so that the whole loss is a chain of reductions over the row.
"""

from __future__ import annotations

from typing import Any

from ir import typerules
from ir.dtypes import int32, int64
from ir.op import Opaque, Pointwise, Structured, View, row
from ir.ops.factory import Tensor, composite
from ir.ops.norm import MEAN, NONE, has_elements, is_constant, is_float
from ir.scalar import Lane, Scalars
from ir.schema import parse_schema

OUT_OF_BOUNDS = "target out of bounds"


def _bounded(s: Scalars, index: Lane, size: Lane, ignore: Lane) -> Lane:
    s.fault(((index < 0) | (index >= size)) & (index != ignore), OUT_OF_BOUNDS)
    return index


def _bounded_reference(index: Any, size: int, ignore: int) -> Any:
    if bool((((index < 0) | (index >= size)) & (index != ignore)).any()):
        raise IndexError(OUT_OF_BOUNDS)
    return index


BOUNDED = parse_schema("relume::bounded(Tensor self, Scalar size, Scalar ignore) -> Tensor")
_BOUNDED_RULE = Pointwise(_bounded, "self", ("self", "size", "ignore"))
row(
    BOUNDED.text,
    _BOUNDED_RULE,
    infer=typerules.pointwise(_BOUNDED_RULE, BOUNDED),
    python=_bounded_reference,
)


def _is_plain(x: Tensor, target: Tensor, weight: Tensor | None, *numbers: Any) -> bool:
    """Rows of float scores, one class index each."""
    return (
        weight is None
        and is_constant(*numbers)
        and is_float(x)
        and has_elements(x)
        and x.type.rank == 2
        and target.type.rank == 1
        and target.type.dtype is int64
    )


def _picked(b: Any, x: Tensor, target: Tensor, ignore: int) -> Tensor:
    """x[i, target[i]] for every row i; anything for ignored rows."""
    classes = x.type.shape[1]
    size = b.size(x, 1) if not isinstance(classes, int) else classes
    index = b.call("relume::bounded", [target, size, ignore])
    if _is_stored(x):
        index = b.unsqueeze(b.where(b.ne(target, ignore), index, 0), 1)
        return b.squeeze(b.op("aten::gather", x, 1, index), 1)
    positions = b.call("aten::arange", [size], {"dtype": int32})
    is_meant = b.eq(b.unsqueeze(b.to(index, int32), 1), positions)
    return b.sum(b.where(is_meant, x, 0.0), [1])


def _is_stored(x: Tensor) -> bool:
    """Whether a value is in memory anyway: a parameter, the result of a call, a view of these."""
    while x.node is not None and isinstance(x.node.op.rule, View):
        x = x.node.inputs[0]
    return x.node is None or isinstance(x.node.op.rule, Structured | Opaque)


def _reduced(b: Any, losses: Tensor, target: Tensor, reduction: int, ignore: int) -> Tensor:
    """Ignored rows count as nothing, in the sum and in the mean."""
    counted = b.ne(target, ignore)
    losses = b.where(counted, losses, 0.0)
    if reduction == NONE:
        return losses
    total = b.sum(losses)
    return b.div(total, b.sum(counted)) if reduction == MEAN else total


def _nll_loss(
    b: Any, x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int
) -> Tensor | None:
    if not _is_plain(x, target, weight, reduction, ignore_index):
        return None
    return _reduced(b, b.neg(_picked(b, x, target, ignore_index)), target, reduction, ignore_index)


def _cross_entropy_loss(
    b: Any,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor | None:
    if label_smoothing != 0.0 or not _is_plain(x, target, weight, reduction, ignore_index):
        return None
    losses = b.sub(b.logsumexp(x, [1]), _picked(b, x, target, ignore_index))
    return _reduced(b, losses, target, reduction, ignore_index)


composite(
    "nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, "
    "SymInt ignore_index=-100) -> Tensor",
    _nll_loss,
)
composite(
    "cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, "
    "SymInt ignore_index=-100, float label_smoothing=0.) -> Tensor",
    _cross_entropy_loss,
)
