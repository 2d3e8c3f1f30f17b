"""Weights of frozen graphs in the layouts that kernels want: packed once, and not at every call.

    relume::panels(W, ...)   ==>     packed W                        for generated convolutions
    conv2d(x, W, b)          ==>     mkldnn::_convolution_pointwise(x, packed W, b, ...)
    relu(conv2d(x, W, b))    ==>     the same, with a relu of its own
    matmul(x, t(W))          ==>     mkldnn::_linear_pointwise(x, packed W, ...)

Convolutions are rewritten where results are channels-last, as those of packed ones always are;
products where the weight is large. A packed weight is a tensor in a layout of its own, which only
these operators read; plans hold it. The graph that archives and the interpreter see is the one
before, so nothing of this is saved. Packing takes the memory of the weight once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

import codegen
from codegen import Captured, HeldParam, TensorParam
from ir import (
    NUMBER,
    Builder,
    Graph,
    Known,
    Node,
    Op,
    Structured,
    TensorType,
    Value,
    dtypes,
    hint,
    images,
    lookup,
    optional,
    product,
    same_dim,
)

Tensor = torch.Tensor
_CONVOLUTION, _LINEAR = "mkldnn::_convolution_pointwise", "mkldnn::_linear_pointwise"
_PRODUCTS = ("aten::matmul", "aten::mm")
_FEW_ROWS = 17  # fewer are multiplied with the weight as it lies (`codegen.products.dots`)
_SMALL = 1 << 17  # elements of a weight that BLAS multiplies as fast
_PACKED: WeakIdKeyDictionary = WeakIdKeyDictionary()  # weight -> its packed forms


def pack_weights(graph: Graph, known: Known, held: Mapping[Value, Tensor]) -> list[Captured]:
    """Rewrite a specialized graph in place; `held` are the parameters that are constants. Gives
    what the new parameters are, the last ones of the graph.
    """
    if not held:
        return []
    work = _Packing(graph, known, held)
    for node in list(graph.walk()):
        if node.name == "relume::panels":
            work.panels(node)
        elif not _is_available():
            continue
        elif node.name == "aten::conv2d":
            work.convolution(node)
        elif node.name in _PRODUCTS:
            work.product(node)
    return work.captured


@cache
def _is_available() -> bool:
    names = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")
    has_all = all(hasattr(torch.ops.mkldnn, name) for name in names)
    return bool(torch.backends.mkldnn.is_available()) and has_all


@cache
def _operator(name: str) -> Op:
    """An operator of oneDNN, called as a structured row is."""
    found = lookup(name)
    return Op(found.schema, Structured(), found.effect)


class _Packing:
    """One graph."""

    def __init__(self, graph: Graph, known: Known, held: Mapping[Value, Tensor]) -> None:
        self.graph = graph
        self.known = known
        self.held = held
        self.captured: list[Captured] = []
        self.params: dict[int, Value] = {}

    def panels(self, node: Node) -> None:
        """The panels of a weight."""
        type_, source = node.output.type, _before_turning(node.inputs[0])
        assert isinstance(type_, TensorType)
        tensor = self.held.get(source or node.inputs[0])
        groups, tile = (self.known[v] for v in node.inputs[1:])
        if tensor is None:
            return
        sizes = tuple(map(hint, type_.shape))

        def pack() -> Tensor:
            plain = tensor.transpose(0, 1).flip(*range(2, tensor.dim())) if source else tensor
            return _panels(plain, groups, sizes, tile)

        made = self.packed(tensor, ("panels", source is not None, groups, tile, sizes), pack, type_)
        node.output.replace_all_uses_with(made)
        node.erase()

    def convolution(self, node: Node) -> None:
        """A convolution whose result is channels-last, as packed ones' always are."""
        x, weight, bias, *rest = node.inputs
        tensor, type_ = self.held.get(weight), _float_type(x)
        given = [self.known.get(v) for v in rest]
        if tensor is None or type_ is None or tensor.dim() != 4 or None in given:
            return
        stride, padding, dilation, groups = given
        if isinstance(padding, str) or not _is_channels_last(node.output):
            return
        sizes = [hint(n) for n in type_.shape]

        def pack() -> Tensor:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            made: Tensor = reorder(tensor, padding, stride, dilation, groups, sizes)
            return made

        packed = self.packed(tensor, ("conv", *map(str, given), *sizes), pack)
        relu = _only_reader(node, "aten::relu")
        operands = [x, packed, bias, *(rest[k] for k in (1, 0, 2, 3))]
        self.replace(relu or node, node, _CONVOLUTION, operands, "relu" if relu else "none")

    def product(self, node: Node) -> None:
        """A product with a large weight that was transposed, as linear layers have it."""
        x, right = node.inputs[:2]
        source, type_ = right.node, _float_type(x)
        is_transposed = source is not None and source.name == "aten::t"
        tensor = self.held.get(source.inputs[0]) if source is not None and is_transposed else None
        if tensor is None or type_ is None or len(type_.shape) < 2:
            return
        rows = hint(product(type_.shape[:-1]))
        if rows < _FEW_ROWS or tensor.numel() < _SMALL or not tensor.is_contiguous():
            return
        packed = self.packed(
            tensor, ("linear", rows), lambda: torch.ops.mkldnn._reorder_linear_weight(tensor, rows)
        )
        builder = Builder.before(node, self.known)
        self.replace(node, node, _LINEAR, [x, packed, builder.const(None)], "none")

    def packed(
        self,
        weight: Tensor,
        key: tuple[Any, ...],
        pack: Callable[[], Tensor],
        type_: TensorType | None = None,
    ) -> Value:
        """A new parameter for a packed weight; without a type it has a layout of its own."""
        forms = _PACKED.setdefault(weight, {})
        if key not in forms:
            forms[key] = pack()
        made = forms[key]
        if id(made) not in self.params:
            own = TensorType(dtypes.float32, tuple(weight.shape))
            self.params[id(made)] = self.graph.block.add_param(type_ or own, "packed")
            plain = None if type_ is None else TensorParam(dtypes.float32, type_.shape, None)
            self.captured.append(Captured(made, "packed", HeldParam(plain)))
        return self.params[id(made)]

    def replace(
        self, last: Node, first: Node, name: str, operands: list[Value], unary: str
    ) -> None:
        """Put a call of oneDNN in the place of nodes."""
        builder = Builder.before(first, self.known)
        scalars = builder.list_([], optional(NUMBER))
        inputs = [*operands, builder.const(unary), scalars, builder.const("")]
        made = builder.node(_operator(name), inputs, [first.output.type])
        made.output.name = last.output.name
        last.output.replace_all_uses_with(made.output)
        last.erase()
        if last is not first:
            first.erase()


def _panels(weight: Tensor, groups: int, sizes: tuple[int, ...], tile: int) -> Tensor:
    """[block][tap, input channel][channel of the block], as `codegen.images.panels` has it; with a
    tile [block][point, input channel][channel of the block], as `codegen.images.winograd_filters`.
    """
    if tile:
        matrix = weight.new_tensor(codegen.winograd_matrices(tile).filter, dtype=torch.float64)
        weight = (matrix @ weight.double() @ matrix.t()).to(weight.dtype)
    blocks, depth, width = sizes
    channels, inner, *_ = weight.shape
    rows = weight.new_zeros(groups, blocks // groups * width, inner, depth // inner)
    rows[:, : channels // groups] = weight.reshape(groups, channels // groups, inner, -1)
    found = rows.view(blocks, width, inner, -1).permute(0, 3, 2, 1)
    return found.reshape(sizes).contiguous()


def _before_turning(weight: Value) -> Value | None:
    """The weight of a transposed convolution that `codegen.images.layout` turned round."""
    flip = weight.node
    swap = flip.inputs[0].node if flip is not None and flip.name == images.BACKWARDS else None
    return swap.inputs[0] if swap is not None and swap.name == images.SWAPPED else None


def _only_reader(node: Node, name: str) -> Node | None:
    """The only node that reads a result, if it is of a name."""
    uses = node.output.uses
    found = uses[0][0] if len(uses) == 1 else None
    return found if found is not None and found.name == name else None


def _float_type(value: Value) -> TensorType | None:
    """The type of a tensor of known sizes in float32."""
    type_ = value.type
    if not isinstance(type_, TensorType) or not type_.is_complete:
        return None
    return type_ if type_.dtype is dtypes.float32 else None


def _is_channels_last(value: Value) -> bool:
    type_ = _float_type(value)
    if type_ is None or type_.strides is None or len(type_.shape) != 4:
        return False
    _, c, h, w = type_.shape
    wanted = (h * w * c, 1, w * c, c)
    pairs = zip(type_.strides, wanted, strict=True)
    return all(stride is not None and same_dim(stride, other) for stride, other in pairs)
