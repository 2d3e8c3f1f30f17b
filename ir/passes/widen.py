"""Products with each row of a tensor, made in a loop, become one product in front of the loop.

    prim::Loop(%n, %true, ...)                      %w = aten::linear(%xs, %weight, None)
      block0(%i, ...):                              prim::Loop(%n, %true, ...)
        %x = aten::select(%xs, 0, %i)        ->       block0(%i, ...):
        %y = aten::linear(%x, %weight, %bias)           %r = aten::select(%w, 0, %i)
                                                        %y = aten::add(%r, %bias, 1)

The weights are read once, and one large product is faster than many small ones. The bias fuses with
what the loop does.

Laws
  * The loop always runs its whole count, which is the size along that dim: all of the product is
    used. Types are complete, so that it cannot fail.
  * What the product reads is defined in front of the loop and never written to.
  * The product stays below LIMIT elements: eager holds one turn of it at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ir.abstract import Known
from ir.alias import Aliases
from ir.builder import Builder
from ir.dims import Dim, hint, product, same_dim
from ir.graph import Block, Graph, Node, Value
from ir.op import View
from ir.ops.control import LOOP
from ir.ops.matmul import linear, matmul, mm
from ir.passes.counted import trip_count
from ir.types import NONE, TensorType

LIMIT = 1 << 24
_WIDER = {linear: linear, matmul: matmul, mm: matmul}
_OPERANDS = 2  # of the product itself


def run(graph: Graph, known: Known | None = None) -> bool:
    """Widen every product that allows it; `known` are the graph's values as inference found
    them."""
    return _run_in(graph.block, known if known is not None else Known(), Aliases(graph))


def _run_in(block: Block, known: Known, aliases: Aliases) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _run_in(inner, known, aliases)
        count = trip_count(node, known) if node.op is LOOP else None
        if count is not None:
            changed |= _widen(node, count, known, aliases)
    return changed


def _widen(loop: Node, count: Dim, known: Known, aliases: Aliases) -> bool:
    (body,) = loop.blocks
    inside = {*body.params, *(v for node in body.walk() for v in node.outputs)}
    changed = False
    for node in list(body.nodes):
        dim = _row_dim(node, body.params[0], count, known)
        if dim is None or not _is_fixed(node, inside, aliases):
            continue
        row = node.inputs[0].node
        assert row is not None
        before, here = Builder.before(loop, known), Builder.before(node, known)
        more = [before.const(None) for _ in node.inputs[_OPERANDS:]]
        wide = before.apply(_WIDER[node.op], [row.inputs[0], node.inputs[1], *more])
        result = here.select(wide, dim, body.params[0])
        for bias in node.inputs[_OPERANDS:]:
            result = result if bias.type == NONE else here.add(result, bias)
        node.output.replace_all_uses_with(result)
        node.erase()
        changed = True
    return changed


def _row_dim(node: Node, counter: Value, count: Dim, known: Known) -> int | None:
    """The dim along which a product's first operand is the loop's next row of all."""
    row = node.inputs[0].node if node.op in _WIDER else None
    rule = row.op.rule if row is not None else None
    if row is None or not isinstance(rule, View) or rule.position is None:
        return None
    whole, dim, at = row.inputs[0].type, known.get(row.inputs[1]), row.inputs[2]
    if not isinstance(whole, TensorType) or not whole.is_complete or not isinstance(dim, int):
        return None
    rank = len(whole.shape)
    if at is not counter or not -rank <= dim < rank or dim % rank == rank - 1:
        return None
    return dim % rank if same_dim(count, whole.shape[dim]) else None


def _is_fixed(node: Node, inside: set[Value], aliases: Aliases) -> bool:
    """Whether the whole product can be computed in front of the loop."""
    row = node.inputs[0].node
    assert row is not None
    operands: Sequence[Value] = [row.inputs[0], *node.inputs[1:]]
    if not inside.isdisjoint(operands) or any(map(aliases.is_written, operands)):
        return False
    tensors = [v.type for v in operands if isinstance(v.type, TensorType)]
    weight, result = node.inputs[1].type, node.output.type
    if not all(t.is_complete for t in tensors) or not isinstance(weight, TensorType):
        return False
    if not isinstance(result, TensorType) or not result.is_complete or len(weight.shape) != 2:
        return False
    rows = row.inputs[0].type
    assert isinstance(rows, TensorType)
    return hint(product((*rows.shape[:-1], result.shape[-1]))) <= LIMIT
