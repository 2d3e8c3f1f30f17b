"""A convolution in a plan: what it does besides, where its operands lie, and the calls.

    panels(weight, groups, tile)                                 the weight as the kernels read it
    convolve(input, panels, scale?, shift?, residual?, ...)
        = f(convolution * scale + shift + residual)

`tile` is 0 for direct convolutions, and else the side of Winograd's tiles
(`codegen.images.winograd`); `up` is what the input of a transposed convolution is spread by; f is
an operator with the numbers `low` and `high`, or bounds (`codegen.images.epilogue`). The groups of
a depthwise convolution are within vectors of channels: its kernels know of one.

These two operators exist in plans only: `codegen.images.layout` puts them in the place of
convolutions and of what follows them. Images are read where they are if their channels lie side by
side, and copied so if they do not; results are channels-last. Weights are packed in every call,
which costs little beside the convolution, so that plans see every change of a weight; plans of
frozen modules hold packed ones.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import llvmlite.ir as ll

from codegen.abi import I64, i64
from codegen.images import panels as convolution_panels
from codegen.images import tile as convolution_tile
from codegen.images import winograd_filters, winograd_tile
from codegen.images.form import (
    Form,
    KernelRow,
    form_of,
    pixels_of_unit,
    rows_of_chunk,
    vectors_for,
)
from codegen.images.window import Window, window_of
from codegen.images.winograd import KERNEL
from codegen.images.winograd_cost import cut, tiles_of, winograd_form
from codegen.nest import Buffer, Nest
from codegen.operands import Known, arguments
from codegen.placing import Placing
from codegen.range_call import Body, address, call_range
from codegen.target import host
from ir import (
    Dim,
    Node,
    Op,
    Structured,
    TensorType,
    Value,
    contiguous_strides,
    declared_schema,
    dtypes,
    hint,
    product,
    record,
    replace,
    same_dim,
)

PANELS = Op(
    declared_schema("relume::panels(Tensor weight, int groups, int tile) -> Tensor"), Structured()
)
CONVOLVE = Op(
    declared_schema(
        "relume::convolve(Tensor input, Tensor panels, Tensor? scale, Tensor? shift, "
        "Tensor? residual, int[] kernel_size, int[] stride, int[] padding, int[] dilation, "
        "int[] up, int groups, bool depthwise, int tile, str activation, float low, float high"
        ") -> Tensor"
    ),
    Structured(),
)


def channels_last(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """Strides of a channels-last image."""
    images, channels, *sizes = dims
    outermost, _, *steps = contiguous_strides((images, 1, *sizes))
    return outermost * channels, 1, *(step * channels for step in steps)


def panels_type(weight: TensorType, groups: int = 1, tile: int = 0) -> TensorType:
    """The type of a weight's panels."""
    channels, inner, *kernel = weight.shape
    assert isinstance(channels, int)
    width = vectors_for(channels // groups, host()) * host().lanes(32)
    taps = (tile + KERNEL - 1) ** 2 if tile else product(kernel)
    sizes = (groups * -(-channels // (groups * width)), taps * inner, width)
    return TensorType(dtypes.float32, sizes, contiguous_strides(sizes), False, "cpu")


@record
class Convolve:
    """A convolution ready to be emitted: its operands in memory, after some were copied."""

    node: Node
    form: Form
    window: Window
    operands: dict[str, Buffer]
    copies: tuple[Nest, ...]

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        return [self.node.output, *(r.buffer.base for n in self.copies for r in n.roots)]


@record
class Pack:
    """The packing of a weight; `panels` are transformed to the result if they are not it."""

    node: Node
    weight: Buffer
    panels: Value
    copies: tuple[Nest, ...]

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        own = dict.fromkeys((self.node.output, self.panels))
        return [*own, *(r.buffer.base for n in self.copies for r in n.roots)]


# preparation --------------------------------------------------------------------------------------
def prepare_convolve(node: Node, buffers: dict[Value, Buffer], known: Known) -> Convolve:
    """Find the operands of a convolution and place its result."""
    given = arguments(node, known)
    dims = _type(node.output).shape
    wanted = channels_last(dims)
    buffers[node.output] = Buffer(node.output, dtypes.float32, dims, wanted)
    place = Placing(buffers, known)
    x = given["input"]
    operands = {"x": place.operand(x, channels_last(_type(x).shape), _has_channels_inside)}
    for name in ("panels", "scale", "shift", "residual"):
        value = given[name]
        if value is not None:
            strides = wanted if name == "residual" else contiguous_strides(_type(value).shape)
            operands[name] = place.operand(value, strides, _has_strides(strides))
    window = window_of(given, operands["x"], dims)
    return Convolve(node, _form(given, window, dims), window, operands, tuple(place.copies))


def _form(given: Mapping[str, Any], window: Window, dims: Sequence[Dim]) -> Form:
    """The form of the code for a result of such sizes."""
    channels, inner = dims[1], _type(given["input"]).shape[1]
    assert isinstance(channels, int) and isinstance(inner, int)
    if given["tile"]:
        found = winograd_form((channels, inner), dims, given["tile"], host())
        assert found is not None, "a tile that was chosen"
    else:
        row = _kernel_row(given) if given["depthwise"] else None
        found = form_of(window.width, channels // given["groups"], host(), row)
    return replace(found, activation=given["activation"])


def _kernel_row(given: Mapping[str, Any]) -> KernelRow:
    """A row of a depthwise kernel."""
    taps, stride, apart = (given[name][-1] for name in ("kernel_size", "stride", "dilation"))
    depth = hint(_type(given["panels"]).shape[1])
    return KernelRow(taps, stride, apart, depth // hint(product(given["kernel_size"])))


def prepare_pack(node: Node, buffers: dict[Value, Buffer], known: Known) -> Pack:
    """Find the weight, and place its panels."""
    given, panels, place = arguments(node, known), node.output, Placing(buffers, known)
    weight = given["weight"]
    if given["tile"]:
        panels = Value(panels_type(_type(weight)), "panels")
    for value in (node.output, panels):
        sizes = _type(value).shape
        buffers[value] = Buffer(value, dtypes.float32, sizes, contiguous_strides(sizes))
    dense = contiguous_strides(_type(weight).shape)
    found = place.operand(weight, dense, _has_strides(dense))
    return Pack(node, found, panels, tuple(place.copies))


def _type(value: Value) -> TensorType:
    assert isinstance(value.type, TensorType)
    return value.type


def _has_channels_inside(buffer: Buffer) -> bool:
    return same_dim(buffer.dims[1], 1) or same_dim(buffer.strides[1], 1)


def _has_strides(wanted: Sequence[Dim]) -> Callable[[Buffer], bool]:
    """Whether a buffer has given strides, but for dims of one element."""

    def fits(buffer: Buffer) -> bool:
        triples = zip(buffer.dims, buffer.strides, wanted, strict=True)
        return all(same_dim(d, 1) or same_dim(s, w) for d, s, w in triples)

    return fits


# emission -----------------------------------------------------------------------------------------
def emit_pack(body: Body, call: Pack, known: Known) -> None:
    """Pack a weight, and transform the panels for Winograd's convolution."""
    entry, given = body.entry, arguments(call.node, known)
    tile, parts = given["tile"], given["groups"]
    channels, inner, *kernel = call.weight.dims
    panels, result = (body.pointers[v] for v in (call.panels, call.node.output))
    words = {
        "weight": address(body, call.weight),
        "panels": entry.builder.ptrtoint(panels, I64),
        "filters": entry.builder.ptrtoint(result, I64),
        "in_channels": entry.size(inner),
        "taps": entry.size(product(kernel)),
        "group_blocks": entry.size(_type(call.node.output).shape[0] // parts),
        "group_channels": entry.size(channels // parts),
    }
    groups, depth, width = _type(call.node.output).shape
    form, work = Form(0, hint(width) // host().lanes(32), tile=tile), hint(depth) * hint(width)
    listed = [words[name] for name in convolution_panels.WORDS]
    call_range(entry, form.panels, groups, work, listed)
    if tile:
        listed = [words[name] for name in winograd_filters.WORDS]
        call_range(entry, form.filters, groups, work, listed)


def emit_convolve(body: Body, call: Convolve, known: Known) -> None:
    """Convolve, split over torch's threads."""
    cut = cut_of(call, known)
    words = words_of(body, call, cut, known)
    listed = [words[name] for name in cut.words]
    call_range(body.entry, call.form.symbol, cut.units, cut.work, listed)


def words_of(body: Body, call: Convolve, cut: Cut, known: Known) -> dict[str, ll.Value]:
    """Words for the record of a convolution's range function; null for places that nobody made."""
    entry, given = body.entry, arguments(call.node, known)
    x, window = call.operands["x"], call.window
    channels, item = _type(call.node.output).shape[1], x.dtype.itemsize
    steps = zip(("image", "plane", "row", "pixel"), (x.strides[0], *window.steps), strict=True)
    sizes: dict[str, Dim] = {
        **{name: step * item for name, step in steps},
        "in_channels": window.in_channels,
        "channels": channels,
        "low": _bits(given["low"]),
        "high": _bits(given["high"]),
        **window.words(),
        **cut.sizes,
    }
    words = {name: entry.size(size) for name, size in sizes.items()}
    y = body.pointers.get(call.node.output)
    words["y"] = i64(0) if y is None else entry.builder.ptrtoint(y, I64)
    for name in ("x", "panels", "residual", "scale", "shift"):
        found = call.operands.get(name)
        is_there = found is not None and found.base in body.pointers
        words[name] = address(body, found) if found is not None and is_there else i64(0)
    return words


@record
class Cut:
    """How a convolution is cut in units, of `work` multiplications each; the words of its record,
    and those that say it.
    """

    units: Dim
    work: int
    words: Sequence[str]
    sizes: Mapping[str, Dim]


def cut_of(call: Convolve, known: Known) -> Cut:
    """How a convolution is cut."""
    return (_in_tiles if call.form.tile else _in_rows)(call, arguments(call.node, known))


def _in_rows(call: Convolve, given: Mapping[str, Any]) -> Cut:
    """Units of a direct convolution."""
    window, form = call.window, call.form
    images, channels, *_ = _type(call.node.output).shape
    rows, chunk = images * window.rows, rows_of_chunk(window.width)
    blocks, depth, width = (hint(d) for d in call.operands["panels"].dims)
    span = pixels_of_unit(window.width, form.height)
    units = (rows + (chunk - 1)) // chunk * ((window.width + (span - 1)) // span)
    up = hint(product(window.numbers["up"]))
    work = hint(chunk) * min(span, hint(window.width)) * depth * width // up
    groups = given["groups"]
    sizes: dict[str, Dim] = {
        "rows": rows,
        "chunk": chunk,
        "span": span,
        "blocks": blocks,
        "group_blocks": blocks // groups,
        "group_channels": channels // groups,
        "group_input": window.in_channels // groups * 4,
        "ring": window.inside[1],
    }
    if form.row:
        sizes["in_channels"] = form.row.mixed
        return Cut(units, work * blocks, convolution_tile.WORDS, sizes)
    sizes["in_channels"] = window.in_channels // groups
    return Cut(units * blocks, work, convolution_tile.WORDS, sizes)


def _in_tiles(call: Convolve, given: Mapping[str, Any]) -> Cut:
    """Units of Winograd's convolution."""
    form, dims, inner = call.form, _type(call.node.output).shape, call.operands["x"].dims[1]
    tile = given["tile"]
    tiles = tiles_of(dims, tile)
    chunk, parts = cut((hint(dims[1]), hint(inner)), dims, form, host())
    work = chunk * hint(product(call.operands["panels"].dims)) // parts
    down, right = ((d + (tile - 1)) // tile for d in dims[2:])
    sizes = {"tiles": tiles, "tiles_down": down, "tiles_right": right}
    units = (tiles + (chunk - 1)) // chunk * parts
    return Cut(units, work, winograd_tile.WORDS, {**sizes, "chunk": chunk, "parts": parts})


def _bits(number: float) -> int:
    return int(struct.unpack("I", struct.pack("f", number))[0])
