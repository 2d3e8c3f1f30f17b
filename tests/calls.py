"""Calls of ops whose operands must fit each other, written out by row: arguments in the schema's
order, a tensor as `T(sizes)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch


class T:
    """A tensor of a call: numbers of the dtype under test, or indices below `below`."""

    def __init__(self, *sizes: int, below: int = 0, is_positive: bool = False) -> None:
        self.sizes, self.below, self.is_positive = sizes, below, is_positive

    def make(self, dtype: torch.dtype, seed: int, place: Any) -> torch.Tensor:
        """The tensor, laid out by `place`."""
        generator = torch.Generator().manual_seed(seed)
        if self.below:
            return torch.randint(self.below, self.sizes, generator=generator)
        data = torch.randn(self.sizes, generator=generator, dtype=torch.float64)
        return place((data.abs() + 0.5 if self.is_positive else data).to(dtype))


IMAGE, VOLUME, SIGNAL = T(2, 4, 9, 10), T(2, 4, 5, 6, 7), T(2, 4, 11)
HEADS = T(2, 3, 9, 8), T(2, 3, 7, 8), T(2, 3, 7, 8)
GROUPED = T(2, 6, 9, 8), T(2, 2, 7, 8), T(2, 2, 7, 8)
LAYER = T(24, 8), T(24), T(8, 8), T(8)  # of an encoder: the weights of its attention,
NORMS = T(8), T(8), T(8), T(8)  # of its norms,
FEED = T(16, 8), T(16), T(8, 16), T(8)  # and of its inner products
STEPS = False, 1, 0.0, False, False, True  # of one layer without biases: batches first
CALLS: dict[str, list[list[Any]]] = {
    "matmul": [
        [T(5, 6), T(6, 7)],
        [T(6), T(6)],
        [T(9, 6), T(6)],
        [T(6), T(6, 7)],
        [T(3, 5, 6), T(6, 7)],
        [T(2, 1, 5, 6), T(3, 6, 7)],
        [T(2, 3, 9, 16), T(2, 3, 16, 17)],
        [T(1, 33), T(33, 9)],
        [T(3, 1, 6), T(3, 6, 9)],
        [T(0, 6), T(6, 7)],
        [T(5, 0), T(0, 7)],
        [T(2, 5, 0), T(2, 0, 7)],
        [T(64, 65), T(65, 66)],
    ],
    "mm": [[T(5, 6), T(6, 7)], [T(2, 6), T(6, 7)], [T(5, 6), T(6, 1)]],
    "bmm": [[T(3, 5, 6), T(3, 6, 7)], [T(3, 1, 6), T(3, 6, 7)], [T(0, 5, 6), T(0, 6, 7)]],
    "mv": [[T(5, 6), T(6)]],
    "dot": [[T(70), T(70)]],
    "vdot": [[T(70), T(70)]],
    "linear": [
        [T(5, 6), T(7, 6), T(7)],
        [T(2, 5, 6), T(7, 6)],
        [T(6), T(7, 6), T(7)],
        [T(1, 6), T(7, 6), T(7)],
        [T(5, 6), T(6)],
    ],
    "addmm": [
        [T(7), T(5, 6), T(6, 7)],
        [T(5, 7), T(5, 6), T(6, 7), 0, 2],
        [T(7), T(5, 6), T(6, 7), 0.5],
    ],
    "baddbmm": [[T(7), T(3, 5, 6), T(3, 6, 7)]],
    "addbmm": [[T(7), T(3, 5, 6), T(3, 6, 7), 2, 0.5]],
    "addmv": [[T(5), T(5, 6), T(6)]],
    "addr": [[T(5, 7), T(5), T(7)]],
    "conv1d": [[SIGNAL, T(6, 4, 3), T(6), [2], [1]]],
    "conv1d.padding": [[SIGNAL, T(6, 4, 3), T(6), [1], "same"]],
    "conv2d": [
        [IMAGE, T(6, 4, 3, 3), T(6)],
        [IMAGE, T(6, 4, 3, 2), None, [2, 1], [1, 0], [1, 2]],
        [IMAGE, T(6, 2, 3, 3), None, [1], [1], [1], 2],
        [IMAGE, T(6, 4, 1, 1), None],
        [T(4, 9, 10), T(6, 4, 3, 3), None],
    ],
    "conv2d.padding": [[IMAGE, T(6, 4, 3, 3), None, [2], "valid"]],
    "conv3d": [[VOLUME, T(6, 4, 3, 3, 3), T(6)]],
    "conv3d.padding": [[VOLUME, T(6, 4, 3, 3, 3), T(6), [1], "same"]],
    "conv_transpose1d": [[SIGNAL, T(4, 6, 3), None, [2], [1], [1]]],
    "conv_transpose2d.input": [[IMAGE, T(4, 6, 3, 3), T(6), [2], [1], [1], 1, [1]]],
    "conv_transpose3d.input": [[VOLUME, T(4, 6, 3, 3, 3)]],
    "convolution": [
        [IMAGE, T(6, 4, 3, 3), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1],
        [IMAGE, T(4, 6, 3, 3), None, [1, 1], [1, 1], [1, 1], True, [0, 0], 1],
    ],
    "max_pool1d": [[SIGNAL, [3], [2]]],
    "max_pool2d": [[IMAGE, [3], [2], [1]], [IMAGE, [3, 2], [], [0], [1], True]],
    "max_pool3d": [[VOLUME, [2]]],
    "max_pool2d_with_indices": [[IMAGE, [2], [2]]],
    "avg_pool1d": [[SIGNAL, [3], [2]]],
    "avg_pool2d": [[IMAGE, [3], [2], [1]], [IMAGE, [2], [], [0], True, False, 3]],
    "avg_pool3d": [[VOLUME, [2]]],
    "adaptive_avg_pool1d": [[SIGNAL, [4]]],
    "adaptive_avg_pool2d": [[IMAGE, [4, 5]], [IMAGE, [1, 1]]],
    "adaptive_avg_pool3d": [[VOLUME, [2, 3, 4]]],
    "scaled_dot_product_attention": [
        [*HEADS],
        [*HEADS, None, 0.0, True],
        [*HEADS, T(9, 7), 0.0, False, 0.5],
        [T(2, 3, 1, 8), *HEADS[1:]],
        [T(3, 9, 8), T(3, 7, 8), T(3, 7, 6)],
        [*GROUPED, None, 0.0, False, None, True],
        [*GROUPED, None, 0.0, True, 0.5, True],
        [*GROUPED, T(2, 1, 9, 7), 0.0, False, None, True],
        [T(2, 6, 1, 8), *GROUPED[1:], None, 0.0, False, None, True],
        [T(2, 6, 1, 8), *GROUPED[1:], T(2, 1, 1, 7), 0.0, False, 0.5, True],
    ],
    "einsum": [
        ["ij,jk->ik", [T(5, 6), T(6, 7)]],
        ["bqhd,bkhd->bhqk", [T(2, 5, 3, 8), T(2, 7, 3, 8)]],
        ["bhqk, bkhd -> bqhd", [T(2, 3, 5, 7), T(2, 7, 3, 8)]],
        ["ijk,ilkm->jlim", [T(2, 3, 4), T(2, 5, 4, 6)]],
        ["abc,cbd", [T(2, 3, 4), T(4, 3, 6)]],
        ["i,j->ij", [T(5), T(6)]],
        ["bi,bi->b", [T(4, 33), T(4, 33)]],
        ["bi,bi->", [T(4, 33), T(4, 33)]],
        ["ijk,kl->l", [T(3, 4, 5), T(5, 6)]],
        ["bij,bj->bij", [T(2, 3, 4), T(2, 4)]],
        ["ijab,cdab->cijd", [T(2, 3, 4, 5), T(6, 7, 4, 5)]],
        ["ij,jk->ki", [T(5, 1), T(1, 7)]],
        ["bij,bjk->bki", [T(2, 5, 1), T(2, 1, 7)]],
        ["bij,bjk->bki", [T(2, 1, 6), T(2, 6, 7)]],
    ],
    "_transformer_encoder_layer_fwd": [
        [T(2, 5, 8), 8, 2, *LAYER, False, False, 1e-5, *NORMS, *FEED],
        [T(2, 5, 8), 8, 4, *LAYER, True, True, 1e-5, *NORMS, *FEED],
        [T(3, 1, 8), 8, 1, *LAYER, True, False, 1e-5, *NORMS, *FEED],
    ],
    "_native_multi_head_attention": [
        [X, X, X, 8, 2, *LAYER] for X in (T(2, 5, 8), T(3, 1, 8))
    ] + [
        [X, X, X, 8, 4, *LAYER, None, True, average]
        for X in (T(2, 5, 8),) for average in (True, False)
    ],
    "_weight_norm": [[T(6, 4, 5), T(6, 1, 1)], [T(6, 4, 5), T(1, 1, 5), 2], [T(6, 4), T(), -1]],
    "lstm.input": [[T(3, 6, 5), [T(1, 3, 4)] * 2, [T(16, 5), T(16, 4)], *STEPS]],
    "gru.input": [[T(3, 6, 5), T(1, 3, 4), [T(12, 5), T(12, 4)], *STEPS]],
    "rnn_tanh.input": [[T(3, 6, 5), T(1, 3, 4), [T(4, 5), T(4, 4)], *STEPS]],
    "rnn_relu.input": [[T(3, 6, 5), T(1, 3, 4), [T(4, 5), T(4, 4)], *STEPS]],
    "lstm_cell": [[T(3, 5), [T(3, 4)] * 2, T(16, 5), T(16, 4), T(16), T(16)]],
    "gru_cell": [[T(3, 5), T(3, 4), T(12, 5), T(12, 4), T(12), T(12)]],
    "rnn_tanh_cell": [[T(3, 5), T(3, 4), T(4, 5), T(4, 4)]],
    "rnn_relu_cell": [[T(3, 5), T(3, 4), T(4, 5), T(4, 4)]],
    "embedding": [[T(11, 6), T(2, 5, below=11)]],
    "pixel_shuffle": [[T(2, 12, 3, 4), 2], [T(9, 2, 5), 3], [T(1, 2, 4, 3, 3), 2], [T(2, 3, 4), 1]],
    "pixel_unshuffle": [[T(2, 3, 4, 6), 2], [T(1, 6, 3), 3], [T(2, 1, 4, 2, 2), 2]],
    "channel_shuffle": [[T(2, 6, 3, 4), 2], [T(1, 6, 5), 3], [T(2, 4, 2, 3, 2), 4]],
    "repeat_interleave.self_int": [
        [T(4, 5), 3],
        [T(4, 5, 6), 2, 1],
        [T(4, 5), 2, -1],
        [T(4, 0), 2, 0],
        [T(), 3],
        [T(5), 1, 0],
    ],
    "repeat": [
        [T(4, 5), [2, 3]],
        [T(5), [2, 1, 3]],
        [T(4, 0), [2, 2]],
        [T(), [4]],
        [T(3, 4), [1, 1]],
    ],
    "index_select": [[T(4, 5, 6), 1, T(3, below=5)], [T(4, 5), -1, T(3, below=5)]],
    "gather": [[T(4, 5), 1, T(4, 3, below=5)]],
    "scatter.src": [[T(4, 5), 1, T(4, 1, below=5), T(4, 1)]],
    "scatter.value": [[T(4, 5), 1, T(4, 1, below=5), 2.5]],
    "scatter_reduce.two": [[T(4, 5), 0, T(2, 5, below=4), T(2, 5), "amax"]],
    "index_add": [[T(4, 5), 0, T(7, below=4), T(7, 5)], [T(4, 5), -1, T(3, below=5), T(4, 3)]],
    "index_copy": [[T(4, 5), 0, T(1, below=4), T(1, 5)]],
    "scatter_add": [[T(4, 5), 0, T(1, 5, below=4), T(1, 5)]],
    "index.Tensor": [[T(4, 5, 6), [T(3, below=4)]], [T(4, 5, 6), [None, T(3, 2, below=5)]]],
    "index_put": [[T(4, 5), [T(1, below=4)], T(1, 5)]],
    "topk": [[T(4, 9), 3]],
    "sort": [[T(4, 9)]],
    "sort.stable": [[T(4, 9), True]],
    "argsort": [[T(4, 9)]],
    "one_hot": [[T(4, below=5), 5]],
    "pad": [[IMAGE, [1, 2]], [IMAGE, [1, 2, 0, 3], "reflect"]],
    "upsample_nearest2d": [[IMAGE, [5, 20]]],
    "upsample_nearest2d.vec": [[IMAGE, None, [2.0, 1.5]]],
    "upsample_bilinear2d": [[IMAGE, [5, 20], False]],
    "upsample_bilinear2d.vec": [[IMAGE, [5, 20], True, None]],
    "upsample_bicubic2d": [[IMAGE, [5, 20], False]],
    "upsample_bicubic2d.vec": [[IMAGE, [5, 20], True, None]],
    "batch_norm": [[IMAGE, T(4), T(4), T(4), T(4, is_positive=True), False, 0.1, 1e-5, True]],
    "group_norm": [[IMAGE, 2, T(4), T(4)], [SIGNAL, 4]],
    "instance_norm": [[IMAGE, T(4), T(4), None, None, True, 0.1, 1e-5, True]],
}


def calls(
    name: str, formals: Sequence[str], dtype: torch.dtype, place: Callable[..., Any]
) -> Iterator[dict[str, Any]]:
    """The calls of a row: arguments by parameter name, tensors made and laid out by `place`."""
    for given in CALLS[name]:
        args = dict(zip(formals, given, strict=False))
        yield {k: _made(v, dtype, n, place) for n, (k, v) in enumerate(args.items())}


def _made(value: Any, dtype: torch.dtype, seed: int, place: Any) -> Any:
    if isinstance(value, list):
        return [_made(v, dtype, seed, place) for v in value]
    if not isinstance(value, T):
        return value
    return value.make(dtype, seed, place)
