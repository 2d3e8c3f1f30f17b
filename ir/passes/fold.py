"""Constant folding: pure nodes whose results are numbers, strings, dtypes or lists of sizes that
are known before the call become constants.

Results come from the abstract evaluation of the op (type rules, Python references, sizes of
complete tensor types) or, when every input is a constant, from the op's reference. A call that
would raise stays, and raises at run time. Tensors are never folded: they would be computed once
and shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.abstract import Known, is_frozen, is_literal, names_dtypes
from ir.alias import has_memory
from ir.builder import Builder, evaluate_call
from ir.dims import Sym
from ir.dtypes import DType
from ir.graph import Block, Graph, Node, Value
from ir.op import (
    Composite,
    Control,
    Create,
    Effect,
    Join,
    Lookup,
    Pointwise,
    Reduction,
    Scan,
    Structured,
)
from ir.ops.methods import GIVE_OPERANDS, IDENTITY
from ir.passes.invariant import simplify, take_branch, taken_branch
from ir.torch_bridge import reference
from ir.types import (
    ANY,
    CODED,
    NONE,
    ListType,
    ObjectType,
    OptionalType,
    TensorType,
    Type,
    UnionType,
)

_MAKERS = (Composite, Create, Join, Lookup, Pointwise, Reduction, Scan, Structured)
_RAISED = (ArithmeticError, LookupError, ValueError, TypeError, RuntimeError)


def run(graph: Graph) -> bool:
    """Fold every node with known results."""
    return _fold_in(graph.block, Known())


def _fold_in(block: Block, known: Known) -> bool:
    changed = False
    pending = block.nodes[::-1]
    while pending:
        node = pending.pop()
        taken = taken_branch(node)
        if taken is not None:
            pending += taken.nodes[::-1]
            take_branch(node, taken)
            changed = True
            continue
        for inner in node.blocks:
            changed |= _fold_in(inner, known)
        changed |= simplify(node)
        if _is_candidate(node):
            for value, result in zip(node.outputs, _evaluate(node, known), strict=True):
                changed |= _replace(value, result, known)
    return changed


def _is_candidate(node: Node) -> bool:
    return (node.op.is_pure and not isinstance(node.op.rule, Control)
            and any(v.uses and _is_foldable(v.type) for v in node.outputs))


def _is_foldable(type_: Type) -> bool:
    return not has_memory(type_) or (isinstance(type_, ListType) and not has_memory(type_.element))


def _evaluate(node: Node, known: Known) -> Sequence[Any]:
    if node.name in IDENTITY:
        one, other = node.inputs
        if one is other:
            return (not IDENTITY[node.name],)
        if _is_none_apart(one.type, other.type) or _are_apart(one, other):
            return (IDENTITY[node.name],)
    inputs = [known.abstract(v) for v in node.inputs]
    results = evaluate_call(node.op, inputs, [v.type for v in node.outputs])
    is_open = names_dtypes(node.op, inputs)
    if is_open or all(map(_is_constant, results)) or not all(map(_is_constant, inputs)):
        return results
    return _by_reference(node, inputs) or results


def _is_none_apart(one: Type, other: Type) -> bool:
    """Whether one operand is None and the other never is, by their types."""
    return (one == NONE and not _may_be_none(other)) or (other == NONE and not _may_be_none(one))


def _are_apart(one: Value, other: Value) -> bool:
    """Whether two tensors are objects of their own: an operator makes one, and the other is made by
    another operator, or a parameter of the graph.
    """
    if not isinstance(one.type, TensorType) or not isinstance(other.type, TensorType):
        return False
    one_is_made, other_is_made = _is_made(one), _is_made(other)
    return (one_is_made and (other_is_made or _is_passed(other))) or (
        other_is_made and _is_passed(one)
    )


def _is_made(value: Value) -> bool:
    node = value.node
    if node is None or node.op.effect is not Effect.PURE or node.name in GIVE_OPERANDS:
        return False
    return isinstance(node.op.rule, _MAKERS)


def _is_passed(value: Value) -> bool:
    return value.block is not None and value.block.owner is None


def _may_be_none(type_: Type) -> bool:
    return type_ in (NONE, ANY) or isinstance(type_, OptionalType | UnionType | ObjectType)


def _by_reference(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...] | None:
    if node.op.effect is not Effect.PURE or any(a.kwarg_only for a in node.op.schema.arguments):
        return None
    try:
        result = reference(node.op)(*inputs)
    except _RAISED:
        return None
    return result if len(node.outputs) != 1 and isinstance(result, tuple) else (result,)


def _is_constant(abstract: Any) -> bool:
    if isinstance(abstract, list | tuple):
        return all(map(_is_constant, abstract))
    return is_literal(abstract) and not isinstance(abstract, Sym)


def _replace(value: Value, result: Any, known: Known) -> bool:
    if not _is_foldable(value.type):
        return False
    if not _is_constant(result) or (isinstance(result, list) and not is_frozen(value)):
        known.record(value, result)
        return False
    if not value.uses:
        return False
    assert value.node is not None
    builder = Builder.before(value.node)
    if isinstance(result, _SCALARS):
        coded = value.type if value.type in CODED else None
        value.replace_all_uses_with(builder.const(result, coded))
    elif isinstance(result, list) and isinstance(value.type, ListType):
        value.replace_all_uses_with(builder.list_(result, value.type.element))
    return not value.uses


_SCALARS = (bool, int, float, complex, str, type(None), DType)
