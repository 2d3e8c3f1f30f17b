"""Networks of convolutions: images stay channels-last from one layer to the next, and a convolution
does what follows it on the way to memory.

    y = conv2d(x, W, b)          of one to three dims, transposed ones, too
    y = y * s + t                per channel: normalization with given statistics
    y = y + r                    an image of the same sizes
    y = relu(y)                  or other bounds, or an activation
    ==>
    y = relume::convolve(x, relume::panels(W), s, b * s + t, r, ..., 0, inf)      channels-last

A transposed convolution is one of an input that is spread, with its weight backwards.

Where images are laid out is decided here alone:
  * A convolution that is generated code reads and gives channels-last images. One over two dims
    that neither reads another one's image nor is read by one would only pay for two conversions: it
    stays a call, unless its input and its result are channels-last already.
  * Pointwise results, joins and pooling of such images are channels-last, too.
  * Any other reader (a view, a product, a call, the result of the plan) gets a row-major copy, so
    what the plan gives away has the strides that eager gives it.

Values that somebody writes to are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from typing import Any

from codegen.fusible import is_fusible
from codegen.images.asked import Asked, asked, has_places, is_image, is_vector, type_of
from codegen.images.convolve import CONVOLVE, PANELS, channels_last, panels_type
from codegen.images.winograd import KERNEL
from codegen.images.winograd_cost import tile_for
from codegen.operands import arguments
from codegen.structured import is_called
from codegen.target import host
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
    field,
    hint,
    images,
    record,
    replace,
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
    finish: tuple[str, float, float] | None = None
    """What is done last: an activation and its numbers, or no name and bounds."""

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
    panels: dict[tuple[Value, int, int, Any], Value] = field(default_factory=dict)
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
            found = self._candidate(node)
            if found is not None:
                is_laid = _is_laid(found.input.type) and _is_laid(node.output.type)
                if before or is_laid or not found.is_planar:
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

    def _candidate(self, node: Node) -> Asked | None:
        """A convolution that there is generated code for."""
        found = asked(node, self.known)
        if found is None or not found.is_generated:
            return None
        tensors = [v for v in (found.input, found.weight, found.bias, node.output) if v is not None]
        return None if any(map(self.aliases.is_written, tensors)) else found

    def _keeps_layout(self, node: Node) -> bool:
        """Whether the result of a node that reads channels-last images can be so, too."""
        result = node.output.type
        if not isinstance(result, TensorType) or not has_places(result):
            return False
        if not _is_row_major(result) and not _is_laid(result):
            return False
        if self.aliases.is_written(node.output):
            return False
        if node.name in images.CARRIED:
            is_planar = is_image(node.output) and len(result.shape) == 4
            is_carried = arguments(node, self.known).get("mode") not in images.NOT_CARRIED
            return is_planar and is_carried and is_called(node, self.known)
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
        given = asked(node, self.known)
        assert given is not None
        b = Builder.before(last, self.known)
        weight = self._backwards(given.weight, node) if given.is_transposed else given.weight
        groups, tile = 1 if given.is_depthwise else given.groups, self._tile(given, node)
        if given.is_thin and not tile and given.input not in self.laid:
            given = self._padded(given, node)
        absent = b.const(None)
        finish = layer.finish or ("", -math.inf, math.inf)
        inputs = [
            given.input,
            self._panels(weight, groups, tile, node),
            *(layer.scale or absent, layer.shift or absent, layer.residual or absent),
            *(b.list_([b.const(n) for n in numbers]) for numbers in given.lists()),
            *map(b.const, (groups, given.is_depthwise, tile, *finish)),
        ]
        made = b.node(CONVOLVE, inputs, [last.output.type], span=node.span)
        made.output.name = last.output.name
        last.output.replace_all_uses_with(made.output)
        self.taken[made] = layer.nodes[1:]
        for node in reversed(layer.nodes):
            node.erase()
        self._lay(made.output)

    def _tile(self, given: Asked, node: Node) -> int:
        """The side of Winograd's tiles; 0 for a direct convolution."""
        is_whole = given.is_planar and given.groups == 1 and given.kernel == (KERNEL, KERNEL)
        if not is_whole or set(given.stride + given.dilation) != {1}:
            return 0
        sizes = given.channels, given.inner, *given.kernel
        return tile_for(sizes, type_of(node.output).shape, given.weight in self.constants, host())

    def _padded(self, given: Asked, node: Node) -> Asked:
        """The same of an image with zeros at the ends of its rows, if its sizes are known: it is
        copied anyway, and then the taps of a kernel row always read what lies side by side.
        """
        *dims, width = type_of(given.input).shape
        *_, result = type_of(node.output).shape
        if not all(isinstance(d, int) for d in (*dims, width, result)):
            return given
        left = given.padding[-1]
        right = hint(result - 1) * given.stride[-1] + given.kernel[-1] - hint(width) - left
        b = Builder.before(node, self.known)
        front, behind = ([b.op(images.ZEROS, [*dims, n])] if n > 0 else [] for n in (left, right))
        wider = b.op(images.JOIN, [*front, given.input, *behind], -1)
        self._lay(wider)
        return replace(given, input=wider, padding=(*given.padding[:-1], 0))

    def _backwards(self, weight: Value, before: Node) -> Value:
        """The weight of the convolution that a transposed one is."""
        assert isinstance(weight.type, TensorType)
        b = Builder.before(before, self.known)
        swapped = b.op(images.SWAPPED, weight, 0, 1)
        found: Value = b.op(images.BACKWARDS, swapped, list(range(2, len(weight.type.shape))))
        return found

    def _panels(self, weight: Value, groups: int, tile: int, before: Node) -> Value:
        """The panels of a weight; those that a block has made serve all of it."""
        key = (weight, groups, tile, before.block)
        if key not in self.panels:
            b = Builder.before(before, self.known)
            assert isinstance(weight.type, TensorType)
            type_ = panels_type(weight.type, groups, tile)
            inputs = [weight, b.const(groups), b.const(tile)]
            self.panels[key] = b.node(PANELS, inputs, [type_]).output
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
        if not is_plain or layer.finish is not None or self.aliases.is_written(reader.output):
            return False
        if reader.name in images.BOUNDS:
            layer.finish = self._bounds(reader)
            taken = layer.finish is not None
        elif reader.op.qualified in images.ACTIVATIONS:
            layer.finish = self._activation(reader)
            taken = layer.finish is not None
        else:
            taken = self._combine(layer, reader)
        if taken:
            layer.nodes.append(reader)
        return taken

    def _activation(self, reader: Node) -> tuple[str, float, float] | None:
        """An activation with numbers that are known, and what is usual besides."""
        rule, given = reader.op.rule, arguments(reader, self.known)
        assert isinstance(rule, Pointwise)
        _, *numbers = [given.pop(name) for name in rule.operands]
        usual = {a.name: a.default for a in reader.op.schema.arguments if a.name in given}
        if given != usual or not all(isinstance(x, int | float) for x in numbers):
            return None
        low, high, *_ = *map(float, numbers), 0.0, 0.0
        return reader.name.partition("::")[2], low, high

    def _bounds(self, reader: Node) -> tuple[str, float, float] | None:
        given = arguments(reader, self.known)
        low, high = (given[x] if isinstance(x, str) else x for x in images.BOUNDS[reader.name])
        low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
        is_known = all(isinstance(x, int | float) for x in (low, high))
        return ("", float(low), float(high)) if is_known and low <= high else None

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
        ones = (1,) * len(value.type.shape[2:])
        is_spread = dims in ((channels, *ones), (1, channels, *ones))
        return vector if is_spread and is_vector(vector, channels) else None

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


def _is_alike(a: Any, b: Any) -> bool:
    """Whether types are of images of the same dtype and sizes."""
    if not isinstance(a, TensorType) or not isinstance(b, TensorType) or not has_places(a):
        return False
    is_as_long = b.is_complete and len(a.shape) == len(b.shape)
    return is_as_long and a.dtype is b.dtype and all(map(same_dim, a.shape, b.shape))


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
