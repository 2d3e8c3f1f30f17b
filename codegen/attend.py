"""Attention in a plan: where its operands lie, and the call.

    attend(query, key, value, mask?, scale, is_causal, is_safe)
        = softmax(query key' * scale + mask) value

This operator exists in plans only: `codegen.attention` puts it in the place of attention, called
or written out. Operands whose rows are contiguous are read where they are, others copied.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import llvmlite.ir as ll

from codegen.abi import I64, RANGE_TYPE, i64, offset, stack
from codegen.attention_units import OPERANDS, WORDS, Form
from codegen.entry import EntryBuilder
from codegen.lower import dense_strides, lower_copy, readable
from codegen.nest import Buffer, Nest
from codegen.operands import Known, arguments, tensor_type
from codegen.target import host
from codegen.threads import emit_parallel_for
from ir import (
    Dim,
    Node,
    Op,
    Structured,
    Value,
    contiguous_strides,
    declared_schema,
    hint,
    product,
    same_dim,
)

ATTEND = Op(
    declared_schema(
        "relume::attend(Tensor query, Tensor key, Tensor value, Tensor? mask, float scale, "
        "bool is_causal, bool is_safe) -> Tensor"
    ),
    Structured(),
)
THREAD_WORK = 1 << 17  # multiplications that are worth a thread


@dataclass(frozen=True, slots=True)
class Attend:
    """Attention ready to be emitted: its operands in memory, after some were copied; the result
    is the last one.
    """

    node: Node
    operands: dict[str, Buffer]
    scale: float
    is_causal: bool
    is_safe: bool
    copies: tuple[Nest, ...]

    def memory(self) -> Sequence[Value]:
        """What the call needs memory for."""
        return [self.node.output, *(r.buffer.base for n in self.copies for r in n.roots)]


class Body(Protocol):
    """What a call uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    pointers: dict[Value, ll.Value]


def prepare_attend(node: Node, buffers: dict[Value, Buffer], known: Known) -> Attend:
    """Find the operands and place the result."""
    given, copies = arguments(node, known), []
    type_ = tensor_type(node.output)
    assert type_.dtype is not None
    operands = {}
    for name, value in zip(OPERANDS, list(given.values())[:4], strict=False):
        if value is None:
            continue
        found = readable(value, buffers, known)
        if not (same_dim(found.dims[-1], 1) or same_dim(found.strides[-1], 1)):
            copy = Value(value.type, f"{value.name or 'operand'}.copy")
            found = Buffer(copy, found.dtype, found.dims, contiguous_strides(found.dims))
            buffers[copy] = found
            copies.append(lower_copy(value, found, buffers, known))
        operands[name] = found
    strides = dense_strides(type_)
    buffers[node.output] = Buffer(node.output, type_.dtype, type_.shape, strides)
    operands["c"] = buffers[node.output]
    flags = given["is_causal"], given["is_safe"]
    return Attend(node, operands, float(given["scale"]), *flags, tuple(copies))


def emit_attend(body: Body, call: Attend) -> None:
    """Attend, split over torch's threads."""
    entry, found = body.entry, call.operands
    *batch, queries, features = found["q"].dims
    keys, width = found["v"].dims[-2:]
    item = found["q"].dtype.itemsize
    sizes: dict[str, Dim] = {
        "queries": queries,
        "keys": keys,
        "features": features,
        "width": width,
        "scale": struct.unpack("q", struct.pack("d", call.scale))[0],
    }
    words = {name: entry.size(size) for name, size in sizes.items()}
    for name in OPERANDS:
        x = found.get(name)
        words[name] = i64(0) if x is None else _address(body, x)
        words[f"{name}_step"] = i64(0) if x is None else entry.size(_step(x, -2) * item)
    listed = [words[name] for name in WORDS]
    dims = [k for k, size in enumerate(batch) if not same_dim(size, 1)]
    for k in dims:
        steps = [
            _step(found[name], k - len(batch) - 2) * item if name in found else 0
            for name in OPERANDS
        ]
        listed += [entry.size(x) for x in (batch[k], *steps)]
    form = Form(found["q"].dtype, len(dims), "mask" in found, call.is_causal, call.is_safe)
    lanes = host().lanes(form.dtype.bits)
    units = product(batch) * ((queries + (lanes - 1)) // lanes)
    work = lanes * hint(keys) * (hint(features) + hint(width))
    _run(entry, form.symbol, units, work, _record(entry, listed))


def _step(x: Buffer, dim: int) -> Dim:
    """From one position of a dim, counted from the last, to the next; 0 where it is repeated."""
    if len(x.dims) < -dim or same_dim(x.dims[dim], 1):
        return 0
    return x.strides[dim]


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
