"""Networks of convolutions: images stay channels-last from one layer to the next, and a convolution
does what follows it on the way to memory.

    y = conv2d(x, W, b)
    y = y * s + t                per channel: normalization with given statistics
    y = y + r                    an image of the same sizes
    y = relu(y)                  or other bounds
    ==>
    y = relume::convolve(x, relume::panels(W), s, b * s + t, r, ..., 0, inf)      channels-last

Where images are laid out is decided here alone:
  * A convolution that is generated code reads and gives channels-last images. One that neither
    reads another one's image nor is read by one would only pay for two conversions: it stays a
    call, unless its input and its result are channels-last already.
  * Pointwise results, joins and pooling of such images are channels-last, too.
  * Any other reader (a view, a product, a call, the result of the plan) gets a row-major copy, so
    what the plan gives away has the strides that eager gives it.

Values that somebody writes to are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from codegen.convolve import CONVOLVE, PANELS, SMALL_CHANNELS, channels_last, panels_type
from codegen.fusible import is_fusible
from codegen.operands import arguments
from codegen.structured import is_called
from codegen.target import host
from codegen.winograd import KERNEL
from codegen.winograd_cost import tile_for
from ir import (
    PASSES,
    Aliases,
    Builder,
    Dim,
    Graph,
    Join,
    Known,
    Node,
    Pointwise,
    Reduction,
    TensorType,
    Value,
    contiguous_strides,
    dtypes,
    field,
    images,
    record,
    run_pipeline,
    same_dim,
)

LIST = "prim::ListConstruct"


def lay_out_images(
    graph: Graph, known: Known, constants: Container[Value] = ()
) -> dict[Node, list[Node]]:
    """Rewrite a specialized graph in place; the panels of `constants` will be made once. Gives what
    each convolution does besides: nodes that are not in the graph any more.
    """
    work = _Images(graph, known, constants)
    work.find()
    if work.chosen:
        work.rewrite()
        work.copy_back()
        run_pipeline(graph, (PASSES["dce"],))
    return work.taken


@record(frozen=False)
class _Layer:
    """A convolution, with those that follow it and that it takes over."""

    nodes: list[Node]
    scale: Value | None = None
    shift: Value | None = None
    residual: Value | None = None
    bounds: tuple[float, float] | None = None

    @property
    def last(self) -> Node:
        """The node whose result is that of all."""
        return self.nodes[-1]


@record(frozen=False)
class _Images:
    """One graph. `sources` are the generated convolutions that the image of a value comes from, by
    way of what keeps its layout; `chosen` those that are worth it.
    """

    graph: Graph
    known: Known
    constants: Container[Value]
    aliases: Aliases = field(init=False)
    sources: dict[Value, frozenset[Node]] = field(default_factory=dict)
    chosen: set[Node] = field(default_factory=set)
    laid: dict[Value, TensorType] = field(default_factory=dict)
    """Values that became channels-last, and the types they had."""
    panels: dict[tuple[Value, int, Any], Value] = field(default_factory=dict)
    taken: dict[Node, list[Node]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.aliases = Aliases(self.graph)

    # which convolutions ---------------------------------------------------------------------------
    def find(self) -> None:
        """Choose the convolutions that are worth it."""
        for node in self.graph.walk():
            if len(node.outputs) != 1:
                continue
            given = [self.sources[v] for v in self._read(node) if v in self.sources]
            before = frozenset[Node]().union(*given)
            if self._is_candidate(node):
                x = node.inputs[0]
                if before or (_is_laid(x.type) and _is_laid(node.output.type)):
                    self.chosen |= before | {node}
                self.sources[node.output] = frozenset((node,))
            elif before and self._keeps_layout(node):
                self.sources[node.output] = before

    def _read(self, node: Node) -> Iterator[Value]:
        """The values that a node reads, the items of lists too."""
        for value in node.inputs:
            maker = value.node
            if maker is not None and maker.name == LIST:
                yield from maker.inputs
            else:
                yield value

    def _is_candidate(self, node: Node) -> bool:
        """Whether there is generated code for a convolution."""
        if node.op.qualified != images.CONVOLUTION:
            return False
        given = arguments(node, self.known)
        x, weight, bias = (given[name] for name in ("input", "weight", "bias"))
        if not all(map(_is_image, (x, weight, node.output))):
            return False
        if not (bias is None or _is_vector(bias, weight.type.shape[0])):
            return False
        if given["groups"] != 1 and not _is_depthwise(given):
            return False
        numbers = [*weight.type.shape, *given["stride"], *given["padding"], *given["dilation"]]
        is_small = isinstance(x.type.shape[1], int) and x.type.shape[1] <= SMALL_CHANNELS
        tensors = [v for v in (x, weight, bias, node.output) if v is not None]
        return (
            all(isinstance(n, int) for n in numbers)
            and all(n > 0 for n in weight.type.shape)
            and is_small
            and not any(map(self.aliases.is_written, tensors))
        )

    def _keeps_layout(self, node: Node) -> bool:
        """Whether the result of a node that reads channels-last images can be so, too."""
        result = node.output.type
        if not isinstance(result, TensorType) or not result.is_complete or len(result.shape) != 4:
            return False
        if not _is_row_major(result) and not _is_laid(result):
            return False
        if self.aliases.is_written(node.output):
            return False
        if node.name in images.CARRIED:
            return _is_image(node.output) and is_called(node, self.known)
        is_spread = isinstance(node.op.rule, Pointwise | Join) and is_fusible(node, self.known)
        return is_spread and node.name not in images.RESHAPED

    # rewriting ------------------------------------------------------------------------------------
    def rewrite(self) -> None:
        """Put fused convolutions in place, and let their images be channels-last."""
        for node in list(self.graph.walk()):
            if node.block is None:
                continue
            if node in self.chosen:
                self._convolve(self._layer(node))
            elif self._is_reached(node):
                self._lay(node.output)

    def _is_reached(self, node: Node) -> bool:
        given = [v for v in self._read(node) if v in self.laid]
        return len(node.outputs) == 1 and bool(given) and self._keeps_layout(node)

    def _lay(self, value: Value) -> None:
        type_ = value.type
        assert isinstance(type_, TensorType)
        self.laid[value] = type_
        value.type = type_.with_(strides=channels_last(type_.shape))

    def _convolve(self, layer: _Layer) -> None:
        node, last = layer.nodes[0], layer.last
        given = arguments(node, self.known)
        b = Builder.before(last, self.known)
        low, high = layer.bounds or (-math.inf, math.inf)
        lists = [
            b.list_([b.const(n) for n in numbers])
            for numbers in (
                given["weight"].type.shape[2:],
                *(_pair(given[name]) for name in ("stride", "padding", "dilation")),
            )
        ]
        absent = b.const(None)
        operands = [layer.scale or absent, layer.shift or absent, layer.residual or absent]
        tile = self._tile(given, node)
        panels = self._panels(given["weight"], tile, node)
        numbers = [b.const(x) for x in (_is_depthwise(given), tile, low, high)]
        inputs = [given["input"], panels, *operands, *lists, *numbers]
        made = b.node(CONVOLVE, inputs, [last.output.type], span=node.span)
        made.output.name = last.output.name
        last.output.replace_all_uses_with(made.output)
        self.taken[made] = layer.nodes[1:]
        for node in reversed(layer.nodes):
            node.erase()
        self._lay(made.output)

    def _tile(self, given: Mapping[str, Any], node: Node) -> int:
        """The side of Winograd's tiles; 0 for a direct convolution."""
        weight, result = given["weight"], node.output.type
        assert isinstance(result, TensorType)
        ones = all(_pair(given[name]) == [1, 1] for name in ("stride", "dilation"))
        if weight.type.shape[2:] != (KERNEL, KERNEL) or not ones or given["groups"] != 1:
            return 0
        return tile_for(weight.type.shape, result.shape, weight in self.constants, host())

    def _panels(self, weight: Value, tile: int, before: Node) -> Value:
        """The panels of a weight; those that a block has made serve all of it."""
        key = (weight, tile, before.block)
        if key not in self.panels:
            b = Builder.before(before, self.known)
            assert isinstance(weight.type, TensorType)
            type_ = panels_type(weight.type, tile)
            self.panels[key] = b.node(PANELS, [weight, b.const(tile)], [type_]).output
            self.panels[key].name = "panels"
        return self.panels[key]

    # what follows ---------------------------------------------------------------------------------
    def _layer(self, node: Node) -> _Layer:
        """A convolution with as much of what follows as it can do."""
        bias = arguments(node, self.known)["bias"]
        layer = _Layer([node], shift=bias)
        while self._take(layer):
            pass
        return layer

    def _take(self, layer: _Layer) -> bool:
        """Take over the only reader of the result, if possible."""
        value = layer.last.output
        if len(value.uses) != 1 or value.uses[0][0].block is not layer.last.block:
            return False
        reader = value.uses[0][0]
        is_plain = len(reader.outputs) == 1 and _is_alike(reader.output.type, value.type)
        if not is_plain or layer.bounds is not None or self.aliases.is_written(reader.output):
            return False
        if reader.name in images.BOUNDS:
            layer.bounds = self._bounds(reader)
            taken = layer.bounds is not None
        else:
            taken = self._combine(layer, reader)
        if taken:
            layer.nodes.append(reader)
        return taken

    def _bounds(self, reader: Node) -> tuple[float, float] | None:
        given = arguments(reader, self.known)
        low, high = (given[x] if isinstance(x, str) else x for x in images.BOUNDS[reader.name])
        low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
        is_known = all(isinstance(x, int | float) for x in (low, high))
        return (float(low), float(high)) if is_known and low <= high else None

    def _combine(self, layer: _Layer, reader: Node) -> bool:
        """Take over a sum or a product."""
        if reader.op.qualified not in (images.SUM, images.PRODUCT):
            return False
        is_sum = reader.op.qualified == images.SUM
        if is_sum and self.known.get(reader.inputs[2]) != 1:
            return False
        value = layer.last.output
        other = reader.inputs[1 if reader.inputs[0] is value else 0]
        if layer.residual is not None or self.aliases.is_written(other):
            return False
        if is_sum and self._is_image_like(other, value):
            layer.residual = other
            return True
        vector = self._per_channel(other, value)
        if vector is None:
            return False
        b = Builder.before(reader, self.known)
        if is_sum:
            layer.shift = vector if layer.shift is None else b.add(layer.shift, vector)
        else:
            layer.scale = vector if layer.scale is None else b.mul(layer.scale, vector)
            layer.shift = None if layer.shift is None else b.mul(layer.shift, vector)
        return True

    def _is_image_like(self, other: Value, value: Value) -> bool:
        """Whether a summand is an image of the same sizes that is, or will be, channels-last."""
        if not _is_alike(other.type, value.type):
            return False
        return other in self.laid or _is_laid(other.type) or self._will_be_laid(other)

    def _will_be_laid(self, value: Value) -> bool:
        return bool(self.sources.get(value, frozenset()) & self.chosen)

    def _per_channel(self, other: Value, value: Value) -> Value | None:
        """The vector that a value spreads over the pixels of an image."""
        assert isinstance(value.type, TensorType)
        channels, node = value.type.shape[1], other.node
        if node is None or node.name != images.SPREAD or not isinstance(other.type, TensorType):
            return None
        vector, dims = node.inputs[0], other.type.shape
        is_spread = dims in ((channels, 1, 1), (1, channels, 1, 1))
        return vector if is_spread and _is_vector(vector, channels) else None

    # other readers --------------------------------------------------------------------------------
    def copy_back(self) -> None:
        """Give those who need the layout that a value had a copy."""
        for value, type_ in self.laid.items():
            strict = [(n, k) for n, k in value.uses if not self._takes_any(n)]
            if strict and not _is_laid(type_):
                copy = self._behind(value).op(images.COPY, value, memory_format=0)
                for node, position in strict:
                    node.replace(position, copy)

    def _behind(self, value: Value) -> Builder:
        """A builder behind the node that gives a value."""
        node = value.node
        assert node is not None and node.block is not None
        at = node.block.nodes.index(node) + 1
        anchor = node.block.nodes[at] if at < len(node.block.nodes) else None
        return Builder(node.block, node.span, anchor=anchor, known=self.known)

    def _takes_any(self, node: Node) -> bool:
        """Whether a reader finds elements wherever they are."""
        if node.op is CONVOLVE or any(v in self.laid for v in node.outputs):
            return True
        if node.name == LIST:
            return all(self._takes_any(user) for user, _ in node.output.uses)
        is_spread = isinstance(node.op.rule, Pointwise | Reduction)
        return is_spread and is_fusible(node, self.known)


def _is_image(value: Any) -> bool:
    """Whether a value is a tensor in float32 with four dims."""
    type_ = value.type
    if not isinstance(type_, TensorType) or not type_.is_complete or type_.strides is None:
        return False
    is_float = type_.dtype is dtypes.float32 and type_.device in (None, "cpu")
    return is_float and len(type_.shape) == 4


def _is_alike(a: Any, b: Any) -> bool:
    """Whether types are of images of the same dtype and sizes."""
    is_image = isinstance(a, TensorType) and a.is_complete and len(a.shape) == 4
    return is_image and a.dtype is b.dtype and all(map(same_dim, a.shape, b.shape))


def _is_vector(value: Any, size: Any) -> bool:
    type_ = value.type
    if not isinstance(type_, TensorType) or not type_.is_complete:
        return False
    return type_.dtype is dtypes.float32 and type_.shape == (size,)


def _is_laid(type_: Any) -> bool:
    """Whether an image is channels-last."""
    return _has_strides(type_, channels_last(type_.shape))


def _is_row_major(type_: TensorType) -> bool:
    return _has_strides(type_, contiguous_strides(type_.shape))


def _has_strides(type_: TensorType, wanted: Sequence[Dim]) -> bool:
    if type_.strides is None:
        return False
    return all(
        same_dim(d, 1) or (s is not None and same_dim(s, w))
        for d, s, w in zip(type_.shape, type_.strides, wanted, strict=True)
    )


def _is_depthwise(given: Mapping[str, Any]) -> bool:
    """Whether a convolution computes each channel from the same channel."""
    channels = given["weight"].type.shape[0]
    return bool(given["groups"] == channels and given["input"].type.shape[1] == channels != 1)


def _pair(numbers: Any) -> list[int]:
    items = [numbers] if isinstance(numbers, int) else list(numbers)
    return items * 2 if len(items) == 1 else items
