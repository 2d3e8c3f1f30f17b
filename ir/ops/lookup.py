"""Rows that read or write at positions that are data: embedding, gather, scatter, index, sort.

Loop nests read at positions; what writes or orders is called. Where the sizes of the result depend
on data (`nonzero`, a boolean index, `unique`) the operator stays opaque.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dims import Dim, same_dim
from ir.dtypes import int32, int64
from ir.graph import Value
from ir.op import At
from ir.ops.factory import Tensor, composite, lookup, structured
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


def _shape(tensor: Value) -> tuple[Dim, ...]:
    assert isinstance(tensor.type, TensorType)
    return tensor.type.shape


def _rank(tensor: Value) -> int:
    return len(_shape(tensor))


# rows of a table ----------------------------------------------------------------------------------
def _embedding_type(weight: TensorType, indices: TensorType, **_: Any) -> TensorType:
    if not _is_complete(weight, indices) or indices.dtype not in INDICES:
        return TENSOR
    if len(weight.shape) != 2:
        fail("the weight of an embedding is a matrix")
    return filled((*indices.shape, weight.shape[1]), weight.dtype)


lookup("embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, "
       "bool scale_grad_by_freq=False, bool sparse=False) -> Tensor | .out", _embedding_type,
       lambda index, weight, indices, **_: (At(indices, index[:-1]), index[-1]))


# bags of rows -------------------------------------------------------------------------------------
def _bags(b: Any, indices: Value, offsets: Value) -> Value | None:
    """The matrix of indices, a bag in each row, that `functional.embedding_bag` took apart."""
    source, start = indices.node, offsets.node
    if source is None or source.name not in ("aten::view", "aten::reshape", "aten::flatten"):
        return None
    if start is None or start.op.qualified != "aten::arange.start_step":
        return None
    matrix = source.inputs[0]
    if not _is_complete(matrix.type, offsets.type) or _rank(matrix) != 2:
        return None
    first, _, step, *_ = (b.known.abstract(v) for v in start.inputs)
    (count, length), (bags,) = _shape(matrix), _shape(offsets)
    is_whole = first == 0 and is_known(step) and same_dim(step, length) and same_dim(bags, count)
    return matrix if is_whole and not same_dim(length, 0) else None


def _embedding_bag(b: Any, weight: Value, indices: Value, offsets: Value, scale_grad_by_freq: Any,
                   mode: Any, sparse: Any, per_sample_weights: Any, include_last_offset: Any,
                   padding_idx: Any = None) -> tuple[Value, None, None, None] | None:
    """Bags of one length: the rows of each, reduced."""
    bags = _bags(b, indices, offsets)
    is_plain = per_sample_weights is None and padding_idx is None and include_last_offset is False
    if bags is None or not is_plain:
        return None
    reduce = (b.sum, b.mean, b.amax)[mode]
    return reduce(b.embedding(weight, bags), [1]), None, None, None


def _bags_type(weight: TensorType, offsets: TensorType, include_last_offset: Any, **_: Any,
               ) -> tuple[TensorType, ...]:
    is_typed = _is_complete(weight, offsets) and is_known(include_last_offset)
    if not is_typed or len(weight.shape) != 2 or len(offsets.shape) != 1:
        return (TENSOR,) * 4
    bags = offsets.shape[0] - int(include_last_offset)
    return filled((bags, weight.shape[1]), weight.dtype), TENSOR, TENSOR, TENSOR


_BAG = ("Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq{0}, int mode{1}, "
        "bool sparse{0}, Tensor? per_sample_weights{2}, bool include_last_offset{0}")
for _name, _defaults, _more in (
        ("embedding_bag", ("=False", "=0", "=None"), ""),
        ("embedding_bag.padding_idx", ("", "", ""), ", int? padding_idx")):
    composite(f"{_name}({_BAG.format(*_defaults)}{_more}) -> (Tensor, Tensor, Tensor, Tensor)",
              _embedding_bag, _bags_type)


def _index_select_type(self: TensorType, dim: Any, index: TensorType) -> TensorType:
    if not _is_complete(self, index) or not is_known(dim) or index.dtype not in INDICES:
        return TENSOR
    if not self.shape or len(index.shape) > 1:
        return TENSOR
    at = axis(dim, len(self.shape))
    count = index.shape[0] if index.shape else 1
    return filled((*self.shape[:at], count, *self.shape[at + 1:]), self.dtype)


def _index_select_at(out: tuple[Any, ...], self: Value, dim: int, index: Value) -> list[Any]:
    at = axis(dim, _rank(self))
    return [*out[:at], At(index, out[at:at + _rank(index)]), *out[at + 1:]]


lookup("index_select(Tensor self, int dim, Tensor index) -> Tensor | .out", _index_select_type,
       _index_select_at)


# gather and scatter -------------------------------------------------------------------------------
def _gather_type(self: TensorType, dim: Any, index: TensorType, **_: Any) -> TensorType:
    if not _is_complete(self, index) or not is_known(dim) or index.dtype not in INDICES:
        return TENSOR
    if len(self.shape) != len(index.shape):
        fail("gather: tensor and index have different numbers of dims")
    at = axis(dim, len(self.shape))
    is_empty = any(same_dim(size, 0) for size in index.shape)
    for k, (size, given) in enumerate(zip(self.shape, index.shape, strict=True)):
        if k != at and not is_empty and given > size:
            fail(f"gather: the index has more elements than the tensor in dim {k}")
    return filled(index.shape, self.dtype)


def _like_self(self: TensorType, **operands: Any) -> TensorType:
    """Copies of a row-major `self` with some elements replaced."""
    tensors = [t for t in operands.values() if isinstance(t, TensorType)]
    if not _is_complete(self, *tensors) or not _is_row_major(self):
        return TENSOR
    return filled(self.shape, self.dtype)


def _gather_at(out: tuple[Any, ...], self: Value, dim: int, index: Value, **_: Any) -> list[Any]:
    found = list(out)
    if found:  # of a tensor without dims there is only one element
        found[axis(dim, len(found))] = At(index, tuple(out))
    return found


def _scatter_value(b: Any, x: Tensor, dim: Any, index: Tensor, value: Any) -> Any:
    if not _is_complete(x.type, index.type) or index.type.dtype not in INDICES:
        return None
    filled_in = b.op("aten::full_like", index, value, dtype=x.type.dtype)
    return b.op("aten::scatter.src", x, dim, index, filled_in)


def _index_add(b: Any, x: Tensor, dim: Any, index: Tensor, source: Tensor, alpha: Any) -> Any:
    operands = x.type, index.type, source.type
    if not _is_complete(*operands) or not _is_row_major(*operands) or not is_known(dim):
        return None
    if alpha != 1 or not x.type.shape or len(index.type.shape) != 1:
        return None
    at = axis(dim, len(x.type.shape))
    if source.type.shape != (*x.type.shape[:at], *index.type.shape, *x.type.shape[at + 1:]):
        return None
    return b.op("aten::index_put", x, [*[None] * at, index], source, True)


lookup("gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor | .out",
       _gather_type, _gather_at)
structured("scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor | _ .src_out",
           _like_self)
structured("scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor | _ .out",
           _like_self)
structured("scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor "
           "| _ .value_out", _like_self, _scatter_value)
structured("scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, "
           "bool include_self=True) -> Tensor | _ .two_out", _like_self)
structured("index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) "
           "-> Tensor | _ .out", _like_self, _index_add)
structured("index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor | _ .out",
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


def _index_at(out: tuple[Any, ...], self: Value, indices: Sequence[Value | None]) -> list[Any]:
    first = next(k for k, t in enumerate(indices) if t is not None)
    given = [t for t in indices if t is not None]
    rank = max(_rank(t) for t in given)
    positions = [At(t, out[first:first + rank], wraps=True) for t in given]
    return [*out[:first], *positions, *out[first + rank:]]


lookup("index.Tensor(Tensor self, Tensor?[] indices) -> Tensor | .Tensor_out", _index_type,
       _index_at)


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
