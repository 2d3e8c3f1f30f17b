"""Rows that put tensors side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.dims import Dim
from ir.op import Join, Put, row
from ir.ops.factory import Tensor, composite, declare
from ir.strides import Layout, suggests_channels_last
from ir.typerules import axis, fail, filled, is_known
from ir.types import TENSOR, TensorType


def _common(tensors: Sequence[TensorType]) -> bool:
    """Whether the kernel's rule covers the tensors: complete, of one dtype, on the CPU."""
    return (all(isinstance(t, TensorType) and t.is_complete for t in tensors)
            and len({t.dtype for t in tensors}) == 1
            and all(t.device in (None, "cpu") for t in tensors))


def _cat_type(tensors: Any, dim: Any) -> TensorType:
    if not is_known(tensors, dim) or not isinstance(tensors, list) or not _common(tensors):
        return TENSOR
    if not tensors:
        fail("cat: no tensors")
    shapes = [t.shape for t in tensors]
    full = [s for s in shapes if len(s) != 1 or s[0] != 0] or shapes[:1]  # not 1-d empty ones
    rank = len(full[0])
    if any(len(s) != rank for s in full) or rank == 0:
        fail("cat: the tensors differ in their number of dims, or have none")
    at = axis(dim, rank)
    for shape in full[1:]:
        if any(a != b for k, (a, b) in enumerate(zip(full[0], shape, strict=True)) if k != at):
            fail(f"cat: sizes differ outside dim {at}")
    total: Dim = 0
    for shape in full:
        total = total + shape[at]
    dims = (*full[0][:at], total, *full[0][at + 1:])
    if all(map(_is_channels_last, tensors)):
        _, channels, height, width = dims
        last = (height * width * channels, 1, width * channels, channels)
        return TensorType(tensors[0].dtype, dims, last, device="cpu")
    return filled(dims, tensors[0].dtype)


def _is_channels_last(x: TensorType) -> bool:
    strides = x.strides
    is_known = strides is not None and None not in strides
    return is_known and suggests_channels_last(Layout(x.shape, strides))  # type: ignore[arg-type]


def _stack_type(tensors: Any, dim: Any) -> TensorType:
    if not is_known(tensors, dim) or not isinstance(tensors, list) or not _common(tensors):
        return TENSOR
    if not tensors:
        fail("stack: no tensors")
    shape = tensors[0].shape
    for other in tensors[1:]:
        if len(other.shape) != len(shape) or any(
                a != b for a, b in zip(shape, other.shape, strict=True)):
            fail("stack: the tensors differ in size")
    at = axis(dim, len(shape) + 1)
    return filled((*shape[:at], len(tensors), *shape[at:]), tensors[0].dtype)


def _with_rank(b: Any, tensors: Sequence[Tensor], rank: int) -> list[Tensor] | None:
    """The tensors with leading dims of size 1 up to `rank`; None when a rank is not known."""
    result = []
    for x in tensors:
        if x.type.rank is None:
            return None
        for _ in range(rank - x.type.rank):
            x = b.unsqueeze(x, 0)
        result.append(x)
    return result


def _stacked(rank: int, dim: Callable[[int], int]) -> Callable[..., Any]:
    def decompose(b: Any, tensors: Any) -> Any:
        pieces = _with_rank(b, tensors, rank) if isinstance(tensors, list) and tensors else None
        if pieces is None:
            return None
        return b.cat(pieces, dim(pieces[0].type.rank))

    return decompose


cat = declare("cat(Tensor[] tensors, int dim=0) -> Tensor  | .out", lambda _: Join(),
              lambda rule, schema: _cat_type, aliases=("concat", "concatenate"))
stack = declare("stack(Tensor[] tensors, int dim=0) -> Tensor  | .out", lambda _: Join(stacks=True),
                lambda rule, schema: _stack_type)


def _put(rows: Any, row: Any, dim: int, position: int, size: int) -> Any:
    """The first one makes the memory."""
    if rows is None:
        rows = row.new_empty((*row.shape[:dim], size, *row.shape[dim:]))
    rows.select(dim, position).copy_(row)
    return rows


def _put_type(rows: Any, row: TensorType, dim: Any, position: Any, size: Any) -> TensorType:
    if not row.is_complete or not is_known(dim, size):
        return TENSOR
    return filled((*row.shape[:dim], size, *row.shape[dim:]), row.dtype)


PUT = row("prim::put(Tensor rows, Tensor row, int dim, int position, int size) -> Tensor",
          Put("position"), infer=_put_type, python=_put)
"""`stack` one by one: the tensors so far, of `size` in the end, which may be uninitialized, and the
next."""

hstack = composite("hstack(Tensor[] tensors) -> Tensor  | .out",
                   _stacked(1, lambda rank: 0 if rank == 1 else 1))
vstack = composite("vstack(Tensor[] tensors) -> Tensor  | .out", _stacked(2, lambda rank: 0),
                   aliases=("row_stack",))
