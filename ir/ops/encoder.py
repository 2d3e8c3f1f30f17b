"""The row of a whole layer: a transformer encoder's, which torch's modules call where nothing needs
gradients. Decomposed, its products take in what follows them. With a mask it stays a call.
"""

from __future__ import annotations

from typing import Any

from ir.ops.cast import row_major
from ir.ops.factory import Tensor, composite
from ir.ops.matmul import NATIVE, is_known_tensor
from ir.typerules import is_known

_WEIGHTS = ("Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, "
            "bool use_gelu, bool norm_first, float eps, Tensor norm_weight_1, Tensor norm_bias_1, "
            "Tensor norm_weight_2, Tensor norm_bias_2, Tensor ffn_weight_1, Tensor ffn_bias_1, "
            "Tensor ffn_weight_2, Tensor ffn_bias_2")


def _attended(b: Any, x: Tensor, heads: int, weight: Tensor, bias: Tensor) -> Tensor:
    """The attention of a batch of sequences to themselves, heads side by side."""
    parts = b.unflatten(b.linear(x, weight, bias), -1, [3, heads, x.type.shape[-1] // heads])
    query, key, value = (b.transpose(b.select(parts, 2, k), 1, 2) for k in range(3))
    mixed = b.scaled_dot_product_attention(query, key, value)
    return b.flatten(b.transpose(mixed, 1, 2), 2)


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
    if mask is not None or not is_known(embed_dim, heads, use_gelu, norm_first):
        return None
    if len(x.type.shape) != 3 or not isinstance(x.type.shape[-1], int):
        return None
    if x.type.shape[-1] != embed_dim or embed_dim % heads:
        return None

    def first(y: Tensor) -> Tensor:
        return b.layer_norm(y, [embed_dim], norm_weight_1, norm_bias_1, eps)

    def second(y: Tensor) -> Tensor:
        return b.layer_norm(y, [embed_dim], norm_weight_2, norm_bias_2, eps)

    def attend(y: Tensor) -> Tensor:
        return b.linear(_attended(b, y, heads, qkv_weight, qkv_bias), proj_weight, proj_bias)

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


composite("_transformer_encoder_layer_fwd(Tensor src, int embed_dim, int num_heads, "
          f"{_WEIGHTS}, Tensor? mask=None, int? mask_type=None) -> Tensor", _encoder_layer)
