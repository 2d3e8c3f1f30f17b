"""Composite rows become the ops they are made of.

A decomposition gets constants as Python values and everything else as Values; it may refuse (None),
and the node stays a call. It ends because rows only decompose into rows of lower order: no row is
reached from itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ir.abstract import Known, is_frozen, is_literal, is_undecided
from ir.builder import Builder
from ir.dims import Sym
from ir.dtypes import by_code
from ir.errors import TypeRuleError
from ir.graph import Graph, Node, Value
from ir.op import Composite, Structured
from ir.ops.control import LIST
from ir.types import DTYPE, NONE, ListType, Type, is_subtype, optional


def run(graph: Graph, known: Known | None = None) -> bool:
    """Decompose composite nodes, and what they decompose into; `known` is what inference found."""
    return _run_in(graph.block.nodes, known if known is not None else Known())


def _run_in(nodes: Iterable[Node], known: Known) -> bool:
    changed = False
    for node in list(nodes):
        for inner in node.blocks:
            changed |= _run_in(inner.nodes, known)
        changed |= _decompose(node, known)
    return changed


def _decompose(node: Node, known: Known) -> bool:
    rule = node.op.rule
    if not isinstance(rule, Composite | Structured):
        return False
    assert node.block is not None
    first = node.block.nodes.index(node)
    after = len(node.block.nodes) - first
    formals = node.op.schema.arguments
    if any(map(is_undecided, formals, map(known.abstract, node.inputs))):
        return False
    arguments = [_argument(v, a.type, known) for v, a in zip(node.inputs, formals, strict=True)]
    try:
        result = rule.decompose(Builder.before(node, known), *arguments)
    except TypeRuleError:  # the call raises the real error
        result = None
    made = node.block.nodes[first : len(node.block.nodes) - after]
    results = result if isinstance(result, tuple) else (result,) * len(node.outputs)
    if any(value is None and old.uses for old, value in zip(node.outputs, results, strict=True)):
        for new in reversed(made):
            new.erase()
        return False
    for old, value in zip(node.outputs, results, strict=True):
        if value is None:
            continue
        if value.node in made and is_subtype(old.type, value.type):
            value.type = old.type  # inference may have known more
        old.replace_all_uses_with(value)
    node.erase()
    _run_in(made, known)
    return True


def _argument(value: Value, formal: Type, known: Known) -> Any:
    if value.type == NONE:
        return None
    is_list = value.node is not None and value.node.op is LIST and is_frozen(value)
    if value.node is not None and is_list and isinstance(formal, ListType):
        return [_argument(v, formal.element, known) for v in value.node.inputs]
    abstract = known.abstract(value)
    if formal in (DTYPE, optional(DTYPE)) and isinstance(abstract, int):
        return by_code(abstract)
    return abstract if is_literal(abstract) and not _has_symbol(abstract) else value


def _has_symbol(abstract: Any) -> bool:
    if isinstance(abstract, list | tuple):
        return any(map(_has_symbol, abstract))
    return isinstance(abstract, Sym)
