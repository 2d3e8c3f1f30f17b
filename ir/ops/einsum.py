"""The row of `einsum`: two operands become one matrix product, others stay calls.

    bqhd,bkhd->bhqk        labels of both operands that the result keeps are batches (b, h), those
                           that it does not are summed (d); what only one operand has are rows (q)
                           and columns (k)

The result lies as torch's does: batches, rows and columns row-major, then permuted. Without a sum
it is a pointwise product. Ellipses, diagonals and sizes that broadcast stay calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ir.dims import same_dim
from ir.ops.factory import Tensor, composite
from ir.ops.matmul import NATIVE, is_known_tensor

_EQUATION = re.compile(r"([A-Za-z]*),([A-Za-z]*)(?:->([A-Za-z]*))?")


def _labels(equation: Any) -> tuple[str, str, str] | None:
    """The labels of two operands and of the result, which may be left out: those that occur once,
    in order."""
    match = _EQUATION.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
    if match is None:
        return None
    left, right, result = match.groups()
    if result is None:
        result = "".join(c for c in sorted(left + right) if (left + right).count(c) == 1)
    is_plain = all(len(set(labels)) == len(labels) for labels in (left, right, result))
    return (left, right, result) if is_plain and set(result) <= {*left, *right} else None


def _fits(x: Tensor, labels: str, y: Tensor, others: str) -> bool:
    """Whether operands have as many dims as labels, and one size per label."""
    dims, sizes = x.type.shape, y.type.shape
    if len(dims) != len(labels) or len(sizes) != len(others):
        return False
    common = [c for c in labels if c in others]
    return all(same_dim(dims[labels.index(c)], sizes[others.index(c)]) for c in common)


def _summed(b: Any, x: Tensor, labels: str, kept: str) -> tuple[Tensor, str]:
    """Without the labels that nobody else knows."""
    dims = [k for k, c in enumerate(labels) if c not in kept]
    return (b.sum(x, dims) if dims else x), "".join(c for c in labels if c in kept)


def _ordered(b: Any, x: Tensor, labels: str, order: str) -> Tensor:
    return x if labels == order else b.permute(x, [labels.index(c) for c in order])


def _joined(b: Any, x: Tensor, start: int, count: int) -> Tensor:
    """Some dims as one."""
    if count == 0:
        return b.unsqueeze(x, start)
    return x if count == 1 else b.flatten(x, start, start + count - 1)


def _split(b: Any, x: Tensor, dim: int, sizes: Sequence[Any]) -> Tensor:
    """One dim as several."""
    if not sizes:
        return b.squeeze(x, dim)
    return x if len(sizes) == 1 else b.unflatten(x, dim, sizes)


def _sizes(b: Any, x: Tensor, labels: str, group: str) -> list[Any]:
    """The sizes of a group of labels: numbers, or taken from the tensor."""
    dims = [labels.index(c) for c in group]
    return [n if isinstance(n := x.type.shape[k], int) else b.size(x, k) for k in dims]


def _spread(b: Any, x: Tensor, labels: str, result: str) -> Tensor:
    """An operand with all dims of the result, those that it has not of size 1."""
    x = _ordered(b, x, labels, "".join(c for c in result if c in labels))
    for k, c in enumerate(result):
        x = x if c in labels else b.unsqueeze(x, k)
    return x


def _einsum(b: Any, equation: Any, tensors: Any, path: Any) -> Tensor | None:
    labels = _labels(equation)
    if labels is None or not isinstance(tensors, list | tuple) or len(tensors) != 2:
        return None
    x, y = tensors
    if not is_known_tensor(x.type, y.type) or x.type.dtype not in NATIVE:
        return None
    left, right, result = labels
    if not _fits(x, left, y, right):
        return None
    x, left = _summed(b, x, left, right + result)
    y, right = _summed(b, y, right, left + result)
    inner = "".join(c for c in left if c in right and c not in result)
    if not inner and (left, right) != labels[:2]:
        return None  # torch sums while it multiplies
    if not inner:
        return b.mul(_spread(b, x, left, result), _spread(b, y, right, result))
    batch = "".join(c for c in result if c in left and c in right)
    rows, columns = ("".join(c for c in result if c in own and c not in batch)
                     for own in (left, right))
    extents = _sizes(b, x, left, rows), _sizes(b, y, right, columns)
    x = _ordered(b, x, left, batch + rows + inner)
    y = _ordered(b, y, right, batch + inner + columns)
    at = len(batch)
    x = _joined(b, _joined(b, x, at + len(rows), len(inner)), at, len(rows))
    y = _joined(b, _joined(b, y, at + len(inner), len(columns)), at, len(inner))
    found = _split(b, b.matmul(x, y), at + 1, extents[1])
    return _ordered(b, _split(b, found, at, extents[0]), batch + rows + columns, result)


composite("einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor", _einsum)
