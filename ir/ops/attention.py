"""Scaled dot product attention: `softmax(query @ key^T * scale + mask) @ value`.

Torch's kernel for the CPU works on blocks, without a score matrix in memory; its result lies as the
query does. It takes what `_is_blockwise` says. Everything else, and single queries (a decoding
step), where its set-up costs more than it saves, decomposes into products and a softmax.
"""

from __future__ import annotations

import math
from typing import Any

from ir.op import Effect
from ir.ops.factory import FLOATS, Tensor, structured
from ir.ops.matmul import NATIVE
from ir.typerules import fail, filled, is_known, like
from ir.types import TENSOR, TensorType


def _attention_type(query: TensorType, key: TensorType, value: TensorType,
                    attn_mask: TensorType | None, dropout_p: Any, is_causal: Any, scale: Any,
                    enable_gqa: Any) -> TensorType:
    operands = (query, key, value)
    if not all(t.is_complete for t in operands) or not is_known(dropout_p, is_causal, enable_gqa):
        return TENSOR
    if dropout_p or enable_gqa or {t.dtype for t in operands} - set(FLOATS) or len(
            {t.dtype for t in operands}) != 1:
        return TENSOR
    if any(len(t.shape) < 2 for t in operands):
        fail("attention needs at least 2-d tensors")
    if _is_blockwise(query, key, value, attn_mask):
        return like(query)
    return filled((*query.shape[:-1], value.shape[-1]), query.dtype)


def _is_blockwise(query: TensorType, key: TensorType, value: TensorType,
                  mask: TensorType | None) -> bool:
    """Whether torch takes its blockwise kernel: 4-d tensors with heads of one size, whose features
    are contiguous, and a mask that broadcasts over whole dims."""
    shapes = [t.shape for t in (query, key, value)]
    if any(len(s) != 4 for s in shapes) or any(0 in s for s in shapes):
        return False
    if any(s[-1] != shapes[0][-1] or s[:2] != shapes[0][:2] for s in shapes):
        return False
    if any(t.strides is None or t.strides[-1] != 1 for t in (query, key, value)):
        return False
    return mask is None or (mask.is_complete and len(mask.shape) in (2, 4))


def _attention(b: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
               dropout: Any, causal: Any, scale: Any, grouped: Any) -> Tensor | None:
    types = query.type, key.type, value.type, mask and mask.type
    given = _attention_type(*types, dropout, causal, scale, grouped)
    if not given.is_complete or given.dtype not in NATIVE or not is_known(scale):
        return None
    if scale is not None and not isinstance(scale, int | float):
        return None
    is_single = isinstance(given.shape[-2], int) and given.shape[-2] == 1
    if not is_single and _is_blockwise(*types):
        return None
    features = query.type.shape[-1]
    if causal or (mask is not None and mask.type.dtype is not given.dtype) or not isinstance(
            features, int):
        return None
    factor = 1 / math.sqrt(features) if scale is None else scale
    scores = b.mul(b.matmul(query, b.transpose(key, -2, -1)), factor)
    if mask is not None:
        scores = b.add(scores, mask)
    return b.matmul(b.softmax(scores, -1), value)


structured("scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, "
           "Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, "
           "float? scale=None, bool enable_gqa=False) -> Tensor", _attention_type, _attention,
           effect=Effect.RANDOM)
