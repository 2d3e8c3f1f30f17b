"""A convolution in a plan: what it does besides, where its operands lie, and the calls.

    panels(weight)                                               the weight as the kernels read it
    convolve(input, panels, scale?, shift?, residual?, ...)
        = clamp(convolution * scale + shift + residual, low, high)

These two operators exist in plans only: `codegen.images` puts them in the place of convolutions and
of what follows them. Images are read where they are if their channels lie side by side, and copied
so if they do not; results are channels-last. Weights are packed in every call, which costs little
beside the convolution, so that plans see every change of a weight; plans of frozen modules hold
packed ones.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import llvmlite.ir as ll

from codegen import convolution_panels, convolution_tile
from codegen.abi import I64, RANGE_TYPE, i64, offset, stack
from codegen.convolution_form import Form, form_of, rows_of_chunk, vectors_for
from codegen.entry import EntryBuilder
from codegen.lower import lower_copy, readable
from codegen.nest import Buffer, Nest
from codegen.operands import Known, arguments
from codegen.target import host
from codegen.threads import emit_parallel_for
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
    same_dim,
)

PANELS = Op(declared_schema("relume::panels(Tensor weight) -> Tensor"), Structured())
CONVOLVE = Op(
    declared_schema(
        "relume::convolve(Tensor input, Tensor panels, Tensor? scale, Tensor? shift, "
        "Tensor? residual, int[] kernel_size, int[] stride, int[] padding, int[] dilation, "
        "bool depthwise, float low, float high) -> Tensor"
    ),
    Structured(),
)
THREAD_WORK = 1 << 17  # multiplications that are worth a thread
SMALL_CHANNELS = convolution_tile.ZERO_BYTES // 4


def channels_last(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """Strides of a channels-last image."""
    _, channels, height, width = dims
    return height * width * channels, 1, width * channels, channels


def panels_type(weight: TensorType) -> TensorType:
    """The type of a weight's panels."""
    channels, *rest = weight.shape
    assert isinstance(channels, int)
    width = vectors_for(channels, host()) * host().lanes(32)
    sizes = (-(-channels // width), product(rest), width)
    return TensorType(dtypes.float32, sizes, contiguous_strides(sizes), False, "cpu")


@dataclass(frozen=True, slots=True)
class Convolve:
    """A convolution ready to be emitted: its operands in memory, after some were copied."""

    node: Node
    form: Form
    operands: dict[str, Buffer]
    copies: tuple[Nest, ...]

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        return [self.node.output, *(r.buffer.base for n in self.copies for r in n.roots)]


@dataclass(frozen=True, slots=True)
class Pack:
    """The packing of a weight."""

    node: Node
    weight: Buffer
    copies: tuple[Nest, ...]

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        return [self.node.output, *(r.buffer.base for n in self.copies for r in n.roots)]


class Body(Protocol):
    """What a call uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    pointers: dict[Value, ll.Value]


# preparation --------------------------------------------------------------------------------------
class _Placing:
    """Finds operands in memory, and copies those that lie otherwise than wanted."""

    def __init__(self, buffers: dict[Value, Buffer], known: Known) -> None:
        self.buffers, self.known = buffers, known
        self.copies: list[Nest] = []

    def operand(
        self, value: Value, strides: Sequence[Dim], fits: Callable[[Buffer], bool]
    ) -> Buffer:
        """Where a value is, or its copy with the given strides."""
        found = readable(value, self.buffers, self.known)
        if fits(found):
            return found
        copy = Value(value.type, f"{value.name or 'operand'}.copy")
        made = Buffer(copy, found.dtype, found.dims, tuple(strides))
        self.buffers[copy] = made
        self.copies.append(lower_copy(value, made, self.buffers, self.known))
        return made


def prepare_convolve(node: Node, buffers: dict[Value, Buffer], known: Known) -> Convolve:
    """Find the operands of a convolution and place its result."""
    given = arguments(node, known)
    dims = _type(node.output).shape
    wanted = channels_last(dims)
    buffers[node.output] = Buffer(node.output, dtypes.float32, dims, wanted)
    place = _Placing(buffers, known)
    x = given["input"]
    operands = {"x": place.operand(x, channels_last(_type(x).shape), _has_channels_inside)}
    for name in ("panels", "scale", "shift", "residual"):
        value = given[name]
        if value is not None:
            strides = wanted if name == "residual" else contiguous_strides(_type(value).shape)
            operands[name] = place.operand(value, strides, _has_strides(strides))
    assert isinstance(dims[1], int)
    form = form_of(dims[3], dims[1], host(), given["depthwise"])
    return Convolve(node, form, operands, tuple(place.copies))


def prepare_pack(node: Node, buffers: dict[Value, Buffer], known: Known) -> Pack:
    """Find the weight, and place its panels."""
    type_ = _type(node.output)
    strides = contiguous_strides(type_.shape)
    buffers[node.output] = Buffer(node.output, dtypes.float32, type_.shape, strides)
    weight, place = node.inputs[0], _Placing(buffers, known)
    dense = contiguous_strides(_type(weight).shape)
    return Pack(node, place.operand(weight, dense, _has_strides(dense)), tuple(place.copies))


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
def emit_pack(body: Body, call: Pack) -> None:
    """Pack a weight."""
    entry, type_ = body.entry, _type(call.node.output)
    channels, inner, *kernel = call.weight.dims
    words = {
        "weight": _address(body, call.weight),
        "panels": entry.builder.ptrtoint(body.pointers[call.node.output], I64),
        "channels": entry.size(channels),
        "in_channels": entry.size(inner),
        "taps": entry.size(product(kernel)),
    }
    groups, depth, width = type_.shape
    form = Form(0, hint(width) // host().lanes(32))
    record = _record(entry, [words[name] for name in convolution_panels.WORDS])
    _run(entry, form.panels, groups, hint(depth) * hint(width), record)


def emit_convolve(body: Body, call: Convolve, known: Known) -> None:
    """Convolve, split over torch's threads."""
    entry, given = body.entry, arguments(call.node, known)
    x = call.operands["x"]
    images, channels, height, width = _type(call.node.output).shape
    rows, chunk = images * height, rows_of_chunk(width)
    item = x.dtype.itemsize
    sizes: dict[str, Dim] = {
        "image": x.strides[0] * item,
        "row": x.strides[2] * item,
        "pixel": x.strides[3] * item,
        "in_channels": 1 if given["depthwise"] else x.dims[1],
        "in_height": x.dims[2],
        "in_width": x.dims[3],
        "rows": rows,
        "channels": channels,
        "height": height,
        "width": width,
        "chunk": chunk,
        "low": _bits(given["low"]),
        "high": _bits(given["high"]),
    }
    for name, names in _PAIRS.items():
        sizes.update(zip(names, given[name], strict=True))
    words = {name: entry.size(size) for name, size in sizes.items()}
    words["y"] = entry.builder.ptrtoint(body.pointers[call.node.output], I64)
    for name in ("x", "panels", "residual", "scale", "shift"):
        found = call.operands.get(name)
        words[name] = i64(0) if found is None else _address(body, found)
    record = _record(entry, [words[name] for name in convolution_tile.WORDS])
    groups, depth, group = (hint(d) for d in call.operands["panels"].dims)
    units, work = (rows + (chunk - 1)) // chunk, hint(chunk) * hint(width) * depth * group
    if call.form.is_depthwise:
        work *= groups
    else:
        units *= groups
    _run(entry, call.form.symbol, units, work, record)


_PAIRS = {
    "kernel_size": ("kernel_height", "kernel_width"),
    "stride": ("down", "right"),
    "padding": ("top", "left"),
    "dilation": ("apart_down", "apart_right"),
}


def _bits(number: float) -> int:
    return int(struct.unpack("I", struct.pack("f", number))[0])


def _address(body: Body, buffer: Buffer) -> ll.Value:
    b = body.entry.builder
    start = body.entry.size(buffer.offset * buffer.dtype.itemsize)
    return b.ptrtoint(offset(b, body.pointers[buffer.base], start), I64)


def _record(entry: EntryBuilder, words: Sequence[ll.Value]) -> ll.Value:
    b = entry.builder
    record = stack(b, I64, len(words))
    for k, word in enumerate(words):
        b.store(word, offset(b, record, 8 * k))
    return record


def _run(entry: EntryBuilder, symbol: str, units: Dim, work: int, record: ll.Value) -> None:
    """All units of a range function, `work` multiplications each."""
    module = entry.module
    function = module.globals.get(symbol) or ll.Function(module, RANGE_TYPE, symbol)
    end = entry.size(units)
    if hint(units) * work < THREAD_WORK:
        entry.builder.call(function, [i64(0), end, record])
        return
    with entry.release_gil():
        grain = max(THREAD_WORK // max(work, 1), 1)
        emit_parallel_for(entry.builder, 0, end, grain, function, record)
