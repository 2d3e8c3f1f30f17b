"""The rows of whole layers: a transformer encoder's, and attention of several heads, which torch's
modules call where nothing needs gradients. Decomposed, their products take in what follows them.
With a mask they stay calls.
"""

from __future__ import annotations

import math
from typing import Any

from ir.ops.cast import row_major
from ir.ops.factory import FLOATS, Tensor, structured
from ir.ops.matmul import NATIVE, is_known_tensor
from ir.typerules import filled, is_known
from ir.types import TENSOR, TensorType

_WEIGHTS = ("Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, "
            "bool use_gelu, bool norm_first, float eps, Tensor norm_weight_1, Tensor norm_bias_1, "
            "Tensor norm_weight_2, Tensor norm_bias_2, Tensor ffn_weight_1, Tensor ffn_bias_1, "
            "Tensor ffn_weight_2, Tensor ffn_bias_2")


def _heads(b: Any, x: Tensor, heads: int, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """Query, key and value of a batch of sequences that attend to themselves: each
    [batch, heads, length, features of a head].
    """
    parts = b.unflatten(b.linear(x, weight, bias), -1, [3, heads, x.type.shape[-1] // heads])
    return [b.transpose(b.select(parts, 2, k), 1, 2) for k in range(3)]


def _side_by_side(b: Any, mixed: Tensor) -> Tensor:
    """What the heads found, in one row for each position."""
    return b.flatten(b.transpose(mixed, 1, 2), 2)


def _is_served(x: TensorType, weight: TensorType) -> bool:
    """Whether torch's kernels take a batch of sequences."""
    return is_known_tensor(x, weight) and x.dtype in FLOATS and len(x.shape) == 3


def _has_width(x: Tensor, width: Any, heads: Any) -> bool:
    """Whether x is a batch of sequences of `width` features, which divide among the heads."""
    if len(x.type.shape) != 3 or not is_known(width, heads):
        return False
    features = x.type.shape[-1]
    return isinstance(features, int) and features == width and width % heads == 0


# a layer ------------------------------------------------------------------------------------------


def _layer_type(src: TensorType, qkv_weight: TensorType, **_: Any) -> TensorType:
    return filled(src.shape, src.dtype) if _is_served(src, qkv_weight) else TENSOR


def _encoder_layer(b: Any, x: Tensor, embed_dim: Any, heads: Any, qkv_weight: Tensor,
                   qkv_bias: Tensor, proj_weight: Tensor, proj_bias: Tensor, use_gelu: Any,
                   norm_first: Any, eps: Any, norm_weight_1: Tensor, norm_bias_1: Tensor,
                   norm_weight_2: Tensor, norm_bias_2: Tensor, ffn_weight_1: Tensor,
                   ffn_bias_1: Tensor, ffn_weight_2: Tensor, ffn_bias_2: Tensor, mask: Any,
                   mask_type: Any) -> Tensor | None:
    tensors = (x, qkv_weight, qkv_bias, proj_weight, proj_bias, norm_weight_1, norm_bias_1,
               norm_weight_2, norm_bias_2, ffn_weight_1, ffn_bias_1, ffn_weight_2, ffn_bias_2)
    if not is_known_tensor(*(t.type for t in tensors)) or x.type.dtype not in NATIVE:
        return None
    if mask is not None or not is_known(use_gelu, norm_first):
        return None
    if not _has_width(x, embed_dim, heads):
        return None

    def first(y: Tensor) -> Tensor:
        return b.layer_norm(y, [embed_dim], norm_weight_1, norm_bias_1, eps)

    def second(y: Tensor) -> Tensor:
        return b.layer_norm(y, [embed_dim], norm_weight_2, norm_bias_2, eps)

    def attend(y: Tensor) -> Tensor:
        query, key, value = _heads(b, y, heads, qkv_weight, qkv_bias)
        mixed = b.scaled_dot_product_attention(query, key, value)
        return b.linear(_side_by_side(b, mixed), proj_weight, proj_bias)

    def feed(y: Tensor) -> Tensor:
        inner = b.linear(y, ffn_weight_1, ffn_bias_1)
        return b.linear(b.gelu(inner) if use_gelu else b.relu(inner), ffn_weight_2, ffn_bias_2)

    if norm_first:
        x = b.add(x, attend(first(x)))
        result = b.add(x, feed(second(x)))
    else:
        x = first(b.add(x, attend(x)))
        result = second(b.add(x, feed(x)))
    return row_major(b, result)


structured("_transformer_encoder_layer_fwd(Tensor src, int embed_dim, int num_heads, "
           f"{_WEIGHTS}, Tensor? mask=None, int? mask_type=None) -> Tensor", _layer_type,
           _encoder_layer)


# attention ----------------------------------------------------------------------------------------


def _attention_types(query: TensorType, key: TensorType, num_head: Any, qkv_weight: TensorType,
                     need_weights: Any, average_attn_weights: Any,
                     **_: Any) -> tuple[TensorType, TensorType]:
    if not _is_served(query, qkv_weight) or not _is_served(key, qkv_weight):
        return TENSOR, TENSOR
    mixed = filled(query.shape, query.dtype)
    if not is_known(num_head, need_weights, average_attn_weights) or not need_weights:
        return mixed, TENSOR
    batch, length, _width = query.shape
    heads = () if average_attn_weights else (num_head,)
    return mixed, filled((batch, *heads, length, key.shape[1]), query.dtype)


def _attention(b: Any, query: Tensor, key: Tensor, value: Tensor, embed_dim: Any, heads: Any,
               qkv_weight: Tensor, qkv_bias: Tensor, proj_weight: Tensor, proj_bias: Tensor,
               mask: Any, need_weights: Any, average: Any,
               mask_type: Any) -> tuple[Tensor, Tensor | None] | None:
    tensors = (query, qkv_weight, qkv_bias, proj_weight, proj_bias)
    if not is_known_tensor(*(t.type for t in tensors)) or query.type.dtype not in NATIVE:
        return None
    if mask is not None or not is_known(need_weights, average):
        return None
    if not query is key is value or not _has_width(query, embed_dim, heads):
        return None
    parts = _heads(b, query, heads, qkv_weight, qkv_bias)
    if need_weights:
        scale = 1 / math.sqrt(embed_dim // heads)
        scores = b.mul(b.matmul(parts[0], b.transpose(parts[1], -2, -1)), scale)
        shares = b.softmax(scores, -1)
        mixed, weights = b.matmul(shares, parts[2]), b.mean(shares, [1]) if average else shares
    else:
        mixed, weights = b.scaled_dot_product_attention(*parts), None
    found = b.linear(_side_by_side(b, mixed), proj_weight, proj_bias)
    return row_major(b, found), weights


structured("_native_multi_head_attention(Tensor query, Tensor key, Tensor value, int embed_dim, "
           "int num_head, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, "
           "Tensor proj_bias, Tensor? mask=None, bool need_weights=True, "
           "bool average_attn_weights=True, int? mask_type=None) -> (Tensor, Tensor)",
           _attention_types, _attention)
