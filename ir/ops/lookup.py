"""Rows that read or write at positions that are data: embedding, gather, scatter, index, sort.

They are called; where the sizes of the result depend on data (`nonzero`, a boolean index, `unique`)
the operator stays opaque.
"""

from __future__ import annotations

from typing import Any

from ir.dims import Dim
from ir.dtypes import int32, int64
from ir.op import Lookup
from ir.ops.factory import FLOATS, structured
from ir.strides import Layout, is_contiguous
from ir.typerules import axis, broadcast, fail, filled, is_known
from ir.types import TENSOR, TensorType

INDICES = (int64, int32)


def _is_complete(*tensors: Any) -> bool:
    return all(isinstance(t, TensorType) and t.is_complete for t in tensors)


def _is_row_major(*tensors: TensorType) -> bool:
    return all(
        t.strides is not None and None not in t.strides
        and is_contiguous(Layout(t.shape, t.strides))  # type: ignore[arg-type]
        for t in tensors)


# rows of a table ----------------------------------------------------------------------------------
def _embedding_type(weight: TensorType, indices: TensorType, **_: Any) -> TensorType:
    if not _is_complete(weight, indices) or indices.dtype not in INDICES:
        return TENSOR
    if len(weight.shape) != 2:
        fail("the weight of an embedding is a matrix")
    return filled((*indices.shape, weight.shape[1]), weight.dtype)


structured("embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, "
           "bool scale_grad_by_freq=False, bool sparse=False) -> Tensor | .out", _embedding_type,
           lookup=lambda weight, indices, **_: Lookup(weight, 0, indices))


def _index_select_type(self: TensorType, dim: Any, index: TensorType) -> TensorType:
    if not _is_complete(self, index) or not is_known(dim) or index.dtype not in INDICES:
        return TENSOR
    if not self.shape or len(index.shape) > 1:
        return TENSOR
    at = axis(dim, len(self.shape))
    count = index.shape[0] if index.shape else 1
    return filled((*self.shape[:at], count, *self.shape[at + 1:]), self.dtype)


structured("index_select(Tensor self, int dim, Tensor index) -> Tensor | .out", _index_select_type,
           lookup=lambda self, dim, index: Lookup(self, dim, index))


# gather and scatter -------------------------------------------------------------------------------
def _gather_type(self: TensorType, dim: Any, index: TensorType, **_: Any) -> TensorType:
    if not _is_complete(self, index) or not is_known(dim) or index.dtype not in INDICES:
        return TENSOR
    if len(self.shape) != len(index.shape):
        fail("gather: tensor and index have different numbers of dims")
    axis(dim, len(self.shape))
    return filled(index.shape, self.dtype)


def _like_self(self: TensorType, **operands: Any) -> TensorType:
    """Copies of a row-major `self` with some elements replaced."""
    tensors = [t for t in operands.values() if isinstance(t, TensorType)]
    if not _is_complete(self, *tensors) or not _is_row_major(self):
        return TENSOR
    return filled(self.shape, self.dtype)


structured("gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor | .out",
           _gather_type,
           lookup=lambda self, dim, index, **_: Lookup(self, dim, index, is_each=True))
structured("scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor | _ .src_out",
           _like_self)
structured("scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor | _ .out",
           _like_self)
structured("index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) "
           "-> Tensor | _ .out", _like_self)


# index --------------------------------------------------------------------------------------------
def _index_type(self: TensorType, indices: Any) -> TensorType:
    """Positions in front of or between whole dims; all next to each other."""
    given = [t for t in indices if t is not None] if isinstance(indices, list) else []
    if not given or not _is_complete(self, *given) or not _is_row_major(self, *given):
        return TENSOR
    if any(t.dtype not in INDICES for t in given) or len(indices) > len(self.shape):
        return TENSOR
    places = [k for k, t in enumerate(indices) if t is not None]
    first, last = places[0], places[-1]
    if last - first != len(places) - 1:
        return TENSOR
    found = broadcast(*(t.shape for t in given))
    return filled((*self.shape[:first], *found, *self.shape[last + 1:]), self.dtype)


def _indexed(self: Any, indices: Any) -> Lookup | None:
    """One tensor of positions."""
    places = [k for k, t in enumerate(indices) if t is not None]
    if len(places) != 1:
        return None
    return Lookup(self, places[0], indices[places[0]], is_wrapping=True)


structured("index.Tensor(Tensor self, Tensor?[] indices) -> Tensor | .Tensor_out", _index_type,
           lookup=_indexed)


# order --------------------------------------------------------------------------------------------
def _ordered(self: TensorType, dims: tuple[Dim, ...]) -> tuple[TensorType, TensorType]:
    return filled(dims, self.dtype), filled(dims, int64)


def _topk_type(self: TensorType, k: Any, dim: Any, **_: Any) -> tuple[TensorType, TensorType]:
    if not _is_complete(self) or not is_known(k, dim) or not self.shape:
        return TENSOR, TENSOR
    at = axis(dim, len(self.shape))
    return _ordered(self, (*self.shape[:at], k, *self.shape[at + 1:]))


def _sort_type(self: TensorType, dim: Any, **_: Any) -> tuple[TensorType, TensorType]:
    if not _is_complete(self) or not is_known(dim) or not _is_row_major(self):
        return TENSOR, TENSOR
    axis(dim, len(self.shape))
    return _ordered(self, self.shape)


structured("topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) "
           "-> (Tensor values, Tensor indices)", _topk_type, is_best=True)
structured("""
    sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)
    sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) \
-> (Tensor values, Tensor indices)
    """, _sort_type)
structured("argsort(Tensor self, int dim=-1, bool descending=False) -> Tensor",
           lambda **params: _sort_type(**params)[1])


def _one_hot_type(self: TensorType, num_classes: Any) -> TensorType:
    if not _is_complete(self) or not is_known(num_classes) or self.dtype is not int64:
        return TENSOR
    return TENSOR if num_classes < 1 else filled((*self.shape, num_classes), int64)


structured("one_hot(Tensor self, int num_classes=-1) -> Tensor", _one_hot_type)


# padding and resizing -----------------------------------------------------------------------------
def _padded(self: TensorType, pad: Any) -> TensorType:
    """`pad` names how much before and after, the last dim first."""
    if not _is_complete(self) or not is_known(pad) or not _is_row_major(self):
        return TENSOR
    dims = list(self.shape)
    if len(pad) % 2 or len(pad) > 2 * len(dims):
        fail(f"pad {list(pad)} does not fit {len(dims)} dims")
    for k in range(len(pad) // 2):
        dims[-1 - k] = dims[-1 - k] + pad[2 * k] + pad[2 * k + 1]
    return filled(dims, self.dtype)


structured("pad(Tensor self, SymInt[] pad, str mode=\"constant\", float? value=None) -> Tensor",
           lambda self, pad, mode, value: _padded(self, pad))


def _resized(self: TensorType, output_size: Any, factors: Any = None) -> TensorType:
    if not _is_complete(self) or not is_known(output_size, factors) or not _is_row_major(self):
        return TENSOR
    if self.dtype not in FLOATS:
        return TENSOR
    rank = len(self.shape) - 2
    sizes = output_size
    if sizes is None:
        if factors is None or not all(isinstance(d, int) for d in self.shape[2:]):
            return TENSOR
        sizes = [int(d * f) for d, f in zip(self.shape[2:], factors, strict=True)]
    if len(sizes) != rank:
        fail(f"{len(sizes)} sizes for {rank} dims")
    return filled((*self.shape[:2], *sizes), self.dtype)


for _name, _corners in (("nearest", ""), ("bilinear", "bool align_corners, "),
                        ("bicubic", "bool align_corners, ")):
    structured(f"""
        upsample_{_name}2d(Tensor self, SymInt[2] output_size, {_corners}float? scales_h=None, \
float? scales_w=None) -> Tensor | .out
        """, lambda self, output_size, **_: _resized(self, output_size))
    structured(f"""
        upsample_{_name}2d.vec(Tensor input, SymInt[]? output_size, {_corners}\
float[]? scale_factors) -> Tensor
        """, lambda input, output_size, scale_factors, **_: _resized(
            input, output_size, scale_factors))
