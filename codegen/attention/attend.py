"""Attention in a plan: where its operands lie, and the call.

    attend(query, key, value, mask?, scale, is_causal, is_safe, is_grouped)
        = softmax(query key' * scale + mask) value

A head of key and value serves several of the query if they are grouped. This operator exists in
plans only: `codegen.attention.fuse` puts it in the place of attention, called or written out, and
what is called back has torch's operators again (`spell_out`). Operands whose rows are contiguous
are read where they are, others copied.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from codegen.abi import i64
from codegen.attention.units import OPERANDS, SHARED, WORDS, Form
from codegen.buffers import dense_strides
from codegen.nest import Buffer, Nest
from codegen.operands import Known, arguments, tensor_type
from codegen.placing import Placing
from codegen.range_call import Body, address, call_range
from codegen.target import host
from ir import (
    NONE,
    Builder,
    Dim,
    Graph,
    Node,
    Op,
    Structured,
    Value,
    contiguous_strides,
    declared_schema,
    hint,
    product,
    record,
    same_dim,
)

ATTEND = Op(
    declared_schema(
        "relume::attend(Tensor query, Tensor key, Tensor value, Tensor? mask, float scale, "
        "bool is_causal, bool is_safe, bool is_grouped) -> Tensor"
    ),
    Structured(),
)


def spell_out(graph: Graph) -> None:
    """Torch's operators in the place of attention."""
    for node in list(graph.walk()):
        if node.op is not ATTEND:
            continue
        b = Builder.before(node)
        query, key, value, mask = node.inputs[:4]
        constants = (v.node.attrs["value"] for v in node.inputs[4:] if v.node)
        scale, is_causal, is_safe, is_grouped = constants
        if is_safe:
            result = b.scaled_dot_product_attention(
                query, key, value, mask, 0.0, is_causal, scale=scale, enable_gqa=is_grouped
            )
        else:
            scores = b.mul(b.matmul(query, b.transpose(key, -2, -1)), scale)
            scores = scores if mask.type == NONE else b.add(scores, mask)
            result = b.matmul(b.softmax(scores, -1), value)
        node.output.replace_all_uses_with(result)
        node.erase()


@record
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


def prepare_attend(node: Node, buffers: dict[Value, Buffer], known: Known) -> Attend:
    """Find the operands and place the result."""
    given, place = arguments(node, known), Placing(buffers, known)
    type_ = tensor_type(node.output)
    assert type_.dtype is not None
    operands = {}
    for name, value in zip(OPERANDS, list(given.values())[:4], strict=False):
        if value is None:
            continue
        dense = contiguous_strides(tensor_type(value).shape)
        operands[name] = place.operand(value, dense, _has_dense_rows)
    strides = dense_strides(type_)
    buffers[node.output] = Buffer(node.output, type_.dtype, type_.shape, strides)
    operands["c"] = buffers[node.output]
    flags = given["is_causal"], given["is_safe"]
    return Attend(node, operands, float(given["scale"]), *flags, tuple(place.copies))


def _has_dense_rows(x: Buffer) -> bool:
    return same_dim(x.dims[-1], 1) or same_dim(x.strides[-1], 1)


def emit_attend(body: Body, call: Attend) -> None:
    """Attend, split over threads."""
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
        words[name] = i64(0) if x is None else address(body, x)
        words[f"{name}_step"] = i64(0) if x is None else entry.size(_step(x, -2) * item)
    listed = [words[name] for name in WORDS]
    batches = _batches(found)
    for size, *steps in batches:
        listed += [entry.size(size), *(entry.size(step * item) for step in steps)]
    form = Form(found["q"].dtype, len(batches), "mask" in found, call.is_causal, call.is_safe)
    lanes = host().lanes(form.dtype.bits)
    units = product(batch) * ((queries + (lanes - 1)) // lanes)
    work = lanes * hint(keys) * (hint(features) + hint(width))
    call_range(entry, form.symbol, units, work, listed)


def _batches(found: dict[str, Buffer]) -> list[list[Dim]]:
    """Per dim of the batch its size, and the step of each operand. Heads that share keys and values
    in groups are two dims, the inner one of which stands still there.
    """
    batches: list[list[Dim]] = []
    rank = len(found["q"].dims)
    for dim in range(-rank, -2):
        size, shared = found["q"].dims[dim], found["k"].dims[dim]
        steps = [_step(found[x], dim) if x in found else 0 for x in OPERANDS]
        if same_dim(size, 1):
            continue
        if same_dim(size, shared) or same_dim(shared, 1):
            batches.append([size, *steps])
            continue
        group = size // shared
        pairs = list(zip(OPERANDS, steps, strict=True))
        batches.append([shared, *(s if x in SHARED else s * group for x, s in pairs)])
        batches.append([group, *(0 if x in SHARED else s for x, s in pairs)])
    return batches


def _step(x: Buffer, dim: int) -> Dim:
    """From one position of a dim, counted from the last, to the next; 0 where it is repeated."""
    if len(x.dims) < -dim or same_dim(x.dims[dim], 1):
        return 0
    return x.strides[dim]
