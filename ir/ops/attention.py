"""Scaled dot product attention: `softmax(query @ key^T * scale + mask) @ value`.

Torch's kernel for the CPU works on blocks, without a score matrix in memory; its result lies as the
query does. It takes what `_is_blockwise` says. Everything else, and single queries (a decoding
step), where its set-up costs more than it saves, decomposes into products and a softmax.

With grouped heads, several heads of the query share one of key and value: those of a single query
are the rows of one product.

Where products are generated code, attention is, too, if its heads are alike
(`codegen.attention.fuse`).
"""

from __future__ import annotations

import math
from typing import Any

from ir.dims import Dim
from ir.dtypes import bool_
from ir.op import Effect
from ir.ops.factory import FLOATS, Tensor, structured
from ir.ops.matmul import NATIVE
from ir.typerules import fail, filled, is_known, like
from ir.types import TENSOR, TensorType

CALL = "aten::scaled_dot_product_attention"
PRODUCT, SUM = "aten::matmul", "aten::add.Tensor"
QUOTIENT, POWER, DIFFERENCE = "aten::div.Tensor", "aten::exp", "aten::sub.Tensor"
PEAK, TOTAL = "aten::amax", "aten::sum.dim_IntList"
DIVIDED = (QUOTIENT, "aten::div.Scalar")
SCALED = ("aten::mul.Tensor", "aten::mul.Scalar", *DIVIDED)
"""What attention is when it is written out, for code that looks for it
(`codegen.attention.fuse`)."""


def scale_of(features: int) -> float:
    """What scores are multiplied with unless something else is said."""
    return 1 / math.sqrt(features)


def _attention_type(query: TensorType, key: TensorType, value: TensorType,
                    attn_mask: TensorType | None, dropout_p: Any, is_causal: Any, scale: Any,
                    enable_gqa: Any) -> TensorType:
    operands = (query, key, value)
    if not all(t.is_complete for t in operands) or not is_known(dropout_p, is_causal, enable_gqa):
        return TENSOR
    if dropout_p or {t.dtype for t in operands} - set(FLOATS) or len(
            {t.dtype for t in operands}) != 1:
        return TENSOR
    if any(len(t.shape) < 2 for t in operands):
        fail("attention needs at least 2-d tensors")
    if _is_blockwise(query, key, value, attn_mask, enable_gqa):
        return like(query)
    return TENSOR if enable_gqa else filled((*query.shape[:-1], value.shape[-1]), query.dtype)


def _is_blockwise(query: TensorType, key: TensorType, value: TensorType,
                  mask: TensorType | None, is_grouped: bool) -> bool:
    """Whether torch takes its blockwise kernel: 4-d tensors with heads of one size, whose features
    are contiguous, and a mask that broadcasts over whole dims."""
    shapes = [t.shape for t in (query, key, value)]
    if any(len(s) != 4 for s in shapes) or any(0 in s for s in shapes):
        return False
    if any(s[-1] != shapes[0][-1] or s[0] != shapes[0][0] for s in shapes):
        return False
    if shapes[1][1] != shapes[2][1] or not are_heads(shapes[0][1], shapes[1][1], is_grouped):
        return False
    if any(t.strides is None or t.strides[-1] != 1 for t in (query, key, value)):
        return False
    return mask is None or (mask.is_complete and len(mask.shape) in (2, 4))


def are_heads(heads: Dim, shared: Dim, is_grouped: bool) -> bool:
    """Whether a query may have so many heads where key and value have `shared`."""
    if not is_grouped:
        return heads == shared
    return isinstance(heads, int) and isinstance(shared, int) and heads % shared == 0


def _attention(b: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
               dropout: Any, causal: Any, scale: Any, grouped: Any) -> Tensor | None:
    types = query.type, key.type, value.type, mask and mask.type
    given = _attention_type(*types, dropout, causal, scale, grouped)
    if not given.is_complete or given.dtype not in NATIVE or not is_known(scale):
        return None
    if scale is not None and not isinstance(scale, int | float):
        return None
    is_single = isinstance(given.shape[-2], int) and given.shape[-2] == 1
    if not is_single and _is_blockwise(*types, grouped):
        return None
    features = query.type.shape[-1]
    if causal or not isinstance(features, int):
        return None
    if mask is not None and mask.type.dtype not in (given.dtype, bool_):
        return None
    factor = scale_of(features) if scale is None else scale
    if not grouped:
        return _attended(b, query, key, value, mask, factor)
    if mask is not None and len(mask.type.shape) > 2 and mask.type.shape[-3] != 1:
        return None
    shared = key.type.shape[1]
    rows = b.squeeze(b.unflatten(query, 1, [shared, query.type.shape[1] // shared]), 3)
    return b.unsqueeze(b.flatten(_attended(b, rows, key, value, mask, factor), 1, 2), 2)


def _attended(b: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
              factor: float) -> Tensor:
    """A query that is masked from every key gives zeros."""
    scores = b.mul(b.matmul(query, b.transpose(key, -2, -1)), factor)
    if mask is None:
        return b.matmul(b.softmax(scores, -1), value)
    is_choice = mask.type.dtype is bool_
    scores = b.where(mask, scores, -math.inf) if is_choice else b.add(scores, mask)
    is_lost = b.eq(b.amax(scores, [-1], True), -math.inf)
    return b.matmul(b.masked_fill(b.softmax(scores, -1), is_lost, 0), value)


structured("scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, "
           "Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, "
           "float? scale=None, bool enable_gqa=False) -> Tensor", _attention_type, _attention,
           effect=Effect.RANDOM)
