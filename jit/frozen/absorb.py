"""Weights absorb what is done to a layer's result channel by channel.

    y = conv(x, W, b)
    z = batch_norm(y) | y + c | y - c | y * c | y / c
    ==>
    z = conv(x, W * scale, b * scale + shift)

Laws
  * W, b and everything that makes scale and shift are constants; they are computed in float64 and
    rounded once, and a layer whose weights would not stay finite is left alone.
  * The elements of y have no other reader: who asks for sizes or dtype gets the same of z.
  * Channels are the last dim of a linear layer's result and the one behind the batch of a
    convolution's, a batch norm normalizes dim 1, and a constant broadcasts from the last dim on:
    where that needs a result of a certain rank, the graph checks the rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ir import Aliases, Builder, Graph, Known, Node, Value, record, type_of

Tensor = torch.Tensor
_ELEMENTWISE = ("aten::add", "aten::sub", "aten::mul", "aten::div")
_METADATA = frozenset(
    f"aten::{name}" for name in ("dim", "size", "numel", "is_floating_point", "__isnot__", "__is__")
) | {"prim::dtype", "prim::device", "prim::layout", "prim::is_cuda", "prim::requires_grad"}
_SPATIAL = {f"aten::conv{kind}{rank}d": rank for kind in ("", "_transpose") for rank in (1, 2, 3)}
_GENERAL = ("aten::_convolution", "aten::convolution")


@record
class _Layer:
    """A layer with constant weights: which dim of the weight has the channels of the result, and
    how many spatial dims a convolution has (None: a linear layer).
    """

    node: Node
    weight: Tensor
    bias: Tensor | None
    axis: int
    spatial: int | None

    @property
    def channels(self) -> int:
        return int(self.weight.shape[self.axis])

    @property
    def rank(self) -> int:
        """The rank of the result: of a batch of images, of a matrix."""
        return 2 if self.spatial is None else self.spatial + 2

    @property
    def places(self) -> int:
        """How many dims of the result are behind the channels."""
        return self.spatial or 0


@record
class _Affine:
    """y * scale + shift, in float64 and per channel; `needs_rank` when that is only so for results
    of the layer's rank.
    """

    scale: Tensor
    shift: Tensor
    needs_rank: bool


def absorb(graph: Graph) -> None:
    """Let layers absorb what follows, in place."""
    known = Known()
    for node in list(graph.walk()):
        while node.block is not None and _absorb_next(graph, node, known):
            pass


def _absorb_next(graph: Graph, node: Node, known: Known) -> bool:
    layer = _layer_of(node, known)
    follower = _follower(node) if layer is not None else None
    if layer is None or follower is None or Aliases(graph).writes(node.output):
        return False
    found = _affine(follower, layer, known)
    weights = _absorbed(layer, found) if found is not None else None
    if found is None or weights is None:
        return False
    for position, tensor in zip((1, 2), weights, strict=True):
        if tensor is not None:
            node.replace(position, Builder.before(node).const(tensor, type_of(tensor)))
    if found.needs_rank and not _is_checked(node, follower, layer.rank, known):
        _check_rank(follower, node.output, layer.rank)
    follower.output.replace_all_uses_with(node.output)
    follower.erase()
    return True


# layers -------------------------------------------------------------------------------------------
def _layer_of(node: Node, known: Known) -> _Layer | None:
    """A layer whose weights are constants that only it reads."""
    if node.name != "aten::linear" and node.name not in _SPATIAL and node.name not in _GENERAL:
        return None
    weight, bias = (_constant(v) for v in node.inputs[1:3])
    if not isinstance(weight, Tensor) or weight.layout is not torch.strided:
        return None
    if not weight.is_floating_point() or not (bias is None or isinstance(bias, Tensor)):
        return None
    if bias is None and not _is_none(node.inputs[2]):
        return None
    if node.name == "aten::linear":
        return _Layer(node, weight, bias, 0, None) if weight.dim() == 2 else None
    arguments = {
        a.name: known.get(v) for a, v in zip(node.op.schema.arguments, node.inputs, strict=True)
    }
    is_transposed = arguments.get("transposed", "transpose" in node.name)
    if is_transposed is None or (is_transposed and arguments.get("groups") != 1):
        return None
    return _Layer(node, weight, bias, int(is_transposed), weight.dim() - 2)


def _follower(node: Node) -> Node | None:
    """The only node that reads the elements of a layer's result, in the same block."""
    readers = {user for user, _ in node.output.uses if user.name not in _METADATA}
    reads = [user for user, _ in node.output.uses if user in readers]
    if len(reads) != 1 or reads[0].block is not node.block:
        return None
    return reads[0]


def _absorbed(layer: _Layer, affine: _Affine) -> tuple[Tensor, Tensor | None] | None:
    """The new weight and bias (None: it stays absent); None when they are not finite."""
    shape = [1] * layer.weight.dim()
    shape[layer.axis] = -1
    scale = affine.scale.expand(layer.channels)
    bias = torch.zeros((), dtype=torch.float64) if layer.bias is None else layer.bias.double()
    with torch.no_grad():
        weight = (layer.weight.double() * scale.reshape(shape)).to(layer.weight.dtype)
        shift = (bias * scale + affine.shift).expand(layer.channels).to(layer.weight.dtype)
    is_finite = bool(weight.isfinite().all() and shift.isfinite().all())
    if not is_finite:
        return None
    is_absent = layer.bias is None and not shift.any()
    return weight, None if is_absent else shift.contiguous()


# what follows -------------------------------------------------------------------------------------
def _affine(node: Node, layer: _Layer, known: Known) -> _Affine | None:
    if node.name == "aten::batch_norm":
        return _batch_norm(node, layer, known)
    if node.name not in _ELEMENTWISE or not _has_plain_form(node, known):
        return None
    left, right = node.inputs[:2]
    is_left = left is layer.node.output
    if not is_left and node.name not in ("aten::add", "aten::mul"):
        return None
    other = right if is_left else left
    found = _per_channel(_number(other, known), layer)
    if found is None:
        return None
    factor, needs_rank = found
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    forms: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
        "aten::add": lambda: (one, factor),
        "aten::sub": lambda: (one, -factor),
        "aten::mul": lambda: (factor, zero),
        "aten::div": lambda: (1 / factor, zero),
    }
    return _Affine(*forms[node.name](), needs_rank)


def _has_plain_form(node: Node, known: Known) -> bool:
    """Two operands; a third parameter has its default."""
    rest = [known.get(v) for v in node.inputs[2:]]
    return not rest or (node.name in ("aten::add", "aten::sub") and rest == [1])


def _number(value: Value, known: Known) -> Any:
    constant = _constant(value)
    return constant if isinstance(constant, Tensor) else known.get(value)


def _per_channel(value: Any, layer: _Layer) -> tuple[Tensor, bool] | None:
    """A constant in float64 per channel (or one for all), and whether it asks for a rank; None for
    one that changes the sizes or the dtype of the result, or differs within a channel.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
        return None
    if not isinstance(value, Tensor):
        return torch.tensor(value, dtype=torch.float64), False
    kinds = value.is_floating_point() and value.layout is torch.strided
    if not kinds or (value.dim() > 0 and value.dtype is not layer.weight.dtype):
        return None
    shape = [1] * layer.rank
    shape[layer.rank - 1 - layer.places] = layer.channels
    sizes = [1] * (layer.rank - value.dim()) + list(value.shape)
    if any(n not in (1, wanted) for n, wanted in zip(sizes, shape, strict=False)):
        return None
    if value.dim() > layer.rank:
        return None
    return value.double().reshape(-1), value.dim() == layer.rank


def _batch_norm(node: Node, layer: _Layer, known: Known) -> _Affine | None:
    """Normalization with given statistics; only of results whose channels are dim 1."""
    if layer.node.output is not node.inputs[0] or known.get(node.inputs[5]) is not False:
        return None
    weight, bias, mean, variance = (_constant(v) for v in node.inputs[1:5])
    eps = known.get(node.inputs[7])
    absent = [v for v, t in zip(node.inputs[1:3], (weight, bias), strict=True) if t is None]
    if not isinstance(eps, float) or not all(map(_is_none, absent)):
        return None
    for tensor in (mean, variance, *(t for t in (weight, bias) if t is not None)):
        if not isinstance(tensor, Tensor) or tensor.numel() != layer.channels:
            return None
    scale = (variance.double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    return _Affine(scale, shift if bias is None else shift + bias.double(), True)


def _is_checked(node: Node, before: Node, rank: int, known: Known) -> bool:
    """Whether a node in front raises already for results of another rank."""
    assert node.block is not None
    nodes = node.block.nodes
    for ask in (user for user, _ in node.output.uses if user.name == "aten::dim"):
        for compare in (user for user, _ in ask.output.uses if user.name == "aten::ne"):
            if [known.get(v) for v in compare.inputs[1:]] == [rank]:
                checks = (u for u, _ in compare.output.uses if u.name == "prim::If")
                if any(
                    c.block is node.block
                    and nodes.index(c) < nodes.index(before)
                    and any(n.name == "prim::RaiseException" for n in c.blocks[0].nodes)
                    for c in checks
                ):
                    return True
    return False


def _check_rank(before: Node, value: Value, rank: int) -> None:
    """Raise where a result has another rank than the one that the absorbed weights are made for."""
    builder = Builder.before(before)
    is_other = builder.op("aten::ne", builder.op("aten::dim", value), rank)
    check = builder.node("prim::If", [is_other])
    raising = Builder(check.add_block(), before.span)
    text = f"frozen for results of rank {rank}: freeze with optimize_numerics=False for others"
    attrs = {"exception": ValueError}
    raising.node("prim::RaiseException", [raising.const(text)], (), attrs)
    check.add_block()


# constants ----------------------------------------------------------------------------------------
def _constant(value: Value) -> Any:
    node = value.node
    return node.attrs.get("value") if node is not None and node.name == "prim::Constant" else None


def _is_none(value: Value) -> bool:
    node = value.node
    return node is not None and node.name == "prim::Constant" and node.attrs.get("value") is None
