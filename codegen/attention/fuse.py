"""Attention, called or written out, becomes one operator that makes no matrix of scores.

    scaled_dot_product_attention(q, k, v, mask, scale)
    matmul(softmax(matmul(q, k') * scale + mask), v)
    ==>
    relume::attend(q, k, v, mask, scale)

The operands are float tensors of one dtype, whose batches are of the same sizes, but that a head of
key and value may serve several of the query; the mask, if there is one, is added. Queries that are
few, and heads that are large, stay products; machines where BLAS does products
(`codegen.products.multiply`) keep torch's operator, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from codegen.attention.attend import ATTEND
from codegen.attention.units import MOST_FEATURES
from codegen.operands import arguments, tensor_type
from codegen.products.multiply import MEASURED, can_multiply
from codegen.target import host
from ir import (
    PASSES,
    Aliases,
    Builder,
    Dim,
    DType,
    Graph,
    Known,
    Node,
    TensorType,
    Value,
    attention,
    dtypes,
    hint,
    run_pipeline,
    same_dim,
)

FEWEST = 8  # queries, and keys


@dataclass(frozen=True, slots=True)
class _Found:
    """Attention in a graph: the nodes that compute it, the last one first. The key has keys as
    rows, or as columns if it is transposed.
    """

    nodes: list[Node]
    query: Value
    key: Value
    value: Value
    mask: Value | None
    scale: float
    is_key_transposed: bool
    is_causal: bool
    is_safe: bool
    is_grouped: bool = False


def fuse_attention(graph: Graph, known: Known) -> dict[Node, list[Node]]:
    """Rewrite a specialized graph in place. Gives what each attention does besides: nodes that are
    not in the graph any more.
    """
    if host().cpu not in MEASURED:
        return {}
    aliases, taken = Aliases(graph), {}
    for node in list(graph.walk()):
        found = _called(node, known) or _written_out(node, known)
        if found is not None and not any(
            aliases.is_written(v) for n in found.nodes for v in (*n.inputs, *n.outputs)
        ):
            made = _replace(found, known)
            if made is not None:
                taken[made] = found.nodes[1:]
    if taken:
        run_pipeline(graph, (PASSES["dce"],))
    return taken


def _replace(found: _Found, known: Known) -> Node | None:
    """One operator in the place of all, if its operands fit."""
    last = found.nodes[0]
    b = Builder.before(last, known)
    key = b.transpose(found.key, -2, -1) if found.is_key_transposed else found.key
    operands = found.query, key, found.value
    if not _fits(operands, last.output, found.mask, found.is_grouped):
        return None
    mask = b.const(None) if found.mask is None else found.mask
    if found.mask is not None and tensor_type(found.mask).dtype is dtypes.bool_:
        mask = b.where(found.mask, 0.0, -math.inf)
    flags = found.is_causal, found.is_safe, found.is_grouped
    inputs = [*operands, mask, *map(b.const, (found.scale, *flags))]
    made = b.node(ATTEND, inputs, [last.output.type], span=last.span)
    made.output.name = last.output.name
    last.output.replace_all_uses_with(made.output)
    last.erase()
    return made


def _fits(operands: Sequence[Value], result: Value, mask: Value | None, is_grouped: bool) -> bool:
    """Whether there is generated code for query, key and value."""
    types = [v.type for v in (*operands, result)]
    tensors = [t for t in types if isinstance(t, TensorType) and t.is_complete]
    if len(tensors) < len(types) or len({t.dtype for t in tensors}) > 1:
        return False
    q, k, v, c = (t.shape for t in tensors)
    if len(q) < 2 or any(len(x) != len(q) for x in (k, v, c)):
        return False
    pairs = [p for x, y in ((q, c), (k, v)) for p in zip(x[:-2], y[:-2], strict=True)]
    pairs += [*zip(q[:-3], k[:-3], strict=True), (q[-1], k[-1]), (k[-2], v[-2])]
    is_small = isinstance(q[-1], int) and isinstance(v[-1], int) and 0 < q[-1] <= MOST_FEATURES
    is_many = all(hint(x) >= FEWEST for x in (q[-2], k[-2]))
    are_heads = len(q) < 3 or attention.are_heads(q[-3], k[-3], is_grouped)
    fits = is_small and is_many and are_heads and all(same_dim(x, y) for x, y in pairs)
    scores, dtype = (*q[:-1], k[-2]), tensors[0].dtype
    return fits and can_multiply(dtype) and (mask is None or _is_mask(mask, scores, dtype))


def _is_mask(mask: Value, scores: Sequence[Dim], dtype: DType | None) -> bool:
    """Whether a mask is added to scores row by row, or says which keys a query sees."""
    type_ = mask.type
    if not isinstance(type_, TensorType) or not type_.is_complete:
        return False
    is_choice = type_.dtype is dtypes.bool_ and dtype is dtypes.float32
    if type_.dtype is not dtype and not is_choice:
        return False
    dims = type_.shape
    if not 0 < len(dims) <= len(scores) or not same_dim(dims[-1], scores[-1]):
        return False
    pairs = zip(dims, scores[len(scores) - len(dims) :], strict=True)
    return all(same_dim(d, s) or same_dim(d, 1) for d, s in pairs)


# where attention is -------------------------------------------------------------------------------
def _called(node: Node, known: Known) -> _Found | None:
    """A call of torch's operator."""
    if node.op.qualified != attention.CALL:
        return None
    given = arguments(node, known)
    if not given["query"].type.is_complete:
        return None
    scale, features = given["scale"], given["query"].type.shape[-1]
    is_causal, mask = given["is_causal"], given["attn_mask"]
    if not isinstance(is_causal, bool) or (is_causal and mask is not None):
        return None
    if not isinstance(given["enable_gqa"], bool) or given["dropout_p"] != 0:
        return None
    if not isinstance(features, int) or not isinstance(scale, float | int | None):
        return None
    factor = attention.scale_of(features) if scale is None else float(scale)
    query, key, value = (given[x] for x in ("query", "key", "value"))
    return _Found(
        [node],
        query,
        key,
        value,
        mask,
        factor,
        is_key_transposed=False,
        is_causal=is_causal,
        is_safe=True,
        is_grouped=given["enable_gqa"] is True,
    )


def _written_out(node: Node, known: Known) -> _Found | None:
    """A product whose left operand is the softmax of a product; what is between has no other
    readers.
    """
    if node.op.qualified != attention.PRODUCT:
        return None
    chain = _Chain(known, [node])
    quotient = chain.made(node.inputs[0], attention.QUOTIENT)
    power = quotient and chain.made(quotient.inputs[0], attention.POWER, uses=2)
    total = quotient and chain.made(quotient.inputs[1], attention.TOTAL)
    difference = power and chain.made(power.inputs[0], attention.DIFFERENCE)
    peak = difference and chain.made(difference.inputs[1], attention.PEAK)
    if not (power and total and difference and peak):
        return None
    scores = difference.inputs[0]
    is_softmax = total.inputs[0] is power.output and peak.inputs[0] is scores
    if not is_softmax or not all(map(chain.is_of_rows, (total, peak))):
        return None
    return chain.from_scores(scores)


@dataclass(slots=True)
class _Chain:
    """Attention that is written out, from the last product upwards, as far as it was found."""

    known: Known
    nodes: list[Node]

    def made(self, value: Value, *names: str, uses: int = 1) -> Node | None:
        """The node of one of the names that makes a value of so many uses, in the same block."""
        node, block = value.node, self.nodes[0].block
        if node is None or node.op.qualified not in names or len(value.uses) != uses:
            return None
        if node.block is not block:
            return None
        self.nodes.append(node)
        return node

    def is_of_rows(self, node: Node) -> bool:
        """Whether a reduction is of the last dim, which stays, with one element."""
        given = arguments(node, self.known)
        type_ = node.inputs[0].type
        assert isinstance(type_, TensorType)
        return list(given["dim"]) in ([-1], [len(type_.shape) - 1]) and given["keepdim"] is True

    def from_scores(self, scores: Value) -> _Found | None:
        """Attention by its scores, which the softmax reads twice."""
        total = self.made(scores, attention.SUM, uses=2)
        mask, scaled, uses = None, scores, 2
        if total is not None:
            if arguments(total, self.known)["alpha"] != 1:
                return None
            scaled, mask = total.inputs[:2]
            uses = 1
            if mask.node is not None and mask.node.op.qualified in attention.SCALED:
                scaled, mask = mask, scaled
        factor = self.made(scaled, *attention.SCALED, uses=uses)
        scale = 1.0
        if factor is not None:
            number = self.known.get(factor.inputs[1])
            if not isinstance(number, int | float) or not math.isfinite(number) or number == 0:
                return None
            scale = 1 / number if factor.op.qualified in attention.DIVIDED else float(number)
            scaled, uses = factor.inputs[0], 1
        product = self.made(scaled, attention.PRODUCT, uses=uses)
        if product is None:
            return None
        query, key = product.inputs
        return _Found(
            self.nodes, query, key, self.nodes[0].inputs[1], mask, scale,
            is_key_transposed=True, is_causal=False, is_safe=False,
        )  # fmt: skip
