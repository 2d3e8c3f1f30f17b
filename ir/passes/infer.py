"""Type inference: abstract interpretation of a graph whose parameters have complete types.

Every value gets its type; values that are known before the call (constants, sizes and what follows
from them) are collected in the result.

  * Results of ops without a type rule take their type from `profile`, the types that were observed;
    such values are listed in `Known.profiled`, and need a check at run time.
  * A branch whose condition is known hands on its own results; otherwise the two branches join.
  * What is read from lists of tensors is what was put there, when that is of one type
    (`ir.elements`).
  * A loop is evaluated until what it carries no longer changes; joining only ever forgets facts, so
    this ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ir import types as T
from ir.abstract import (
    Known,
    is_literal,
    is_structural,
    structural,
    type_of_abstract,
    unknown,
)
from ir.builder import evaluate_call
from ir.dims import Sym, same_dim
from ir.elements import families
from ir.graph import Block, Graph, Node, Value
from ir.ops.control import CAST, IF, LOOP, UNINITIALIZED
from ir.typerules import Unknown

Profile = Mapping[Value, T.Type]


def infer(
    graph: Graph, known: Mapping[Value, Any] | None = None, profile: Profile | None = None
) -> Known:
    """Set the types of all values; `known` are parameters (or other values) known beforehand."""
    lists = families(graph)
    while True:
        held = {v: f.element for f in lists if f.element is not None for v in f.reads}
        inference = _Inference(Known(known), profile or {}, held)
        inference.block(graph.block)
        asking = [family for family in lists if family.learn()]
        if not asking:
            break
    for family in lists:
        family.note()
    return inference.known


class _Inference:
    """One walk over a graph."""

    def __init__(self, known: Known, profile: Profile, held: Profile) -> None:
        self.known = known
        self.profile = profile
        self.held = held  # what is read from lists of one type of tensor
        self.declared: dict[Value, T.Type] = {}  # the graph's types: a loop's first round narrows

    def block(self, block: Block) -> list[Any]:
        """Evaluate a block; the abstract values of its returns."""
        for node in block.nodes:
            for value, result in zip(node.outputs, self.node(node), strict=True):
                self.known.record(value, result)
        return [self.known.abstract(v) for v in block.returns]

    def node(self, node: Node) -> Sequence[Any]:
        """The abstract results of a node."""
        inputs = [self.known.abstract(v) for v in node.inputs]
        declared = [self.declared.setdefault(v, v.type) for v in node.outputs]
        if node.op is IF:
            return self._branch(node, inputs[0])
        if node.op is LOOP:
            return self._loop(node, inputs[2:])
        if is_structural(node):
            return structural(node, inputs)
        if node.op is CAST:
            return (_cast(inputs[0], declared[0]),)
        results = evaluate_call(node.op, inputs, [_erased(t) for t in declared])
        return [self._observed(v, r) for v, r in zip(node.outputs, results, strict=True)]

    def _observed(self, value: Value, result: Any) -> Any:
        """A result, completed by what was observed when nothing could be derived; or by what is
        assumed of a list.
        """
        if value in self.held and isinstance(result, T.TensorType) and not result.is_complete:
            return self.held[value]
        seen = self.profile.get(value)
        if not isinstance(seen, T.TensorType) or not isinstance(result, T.TensorType):
            return result
        if result.is_complete or not seen.is_complete:
            return result
        self.known.profiled.add(value)
        return seen

    def _branch(self, node: Node, condition: Any) -> Sequence[Any]:
        """The block that never runs may not even fit what is known: None where it reads an int."""
        if isinstance(condition, bool):
            return self.block(node.blocks[0 if condition else 1])
        taken, other = (self.block(block) for block in node.blocks)
        return [
            join_abstract(a, b, self.declared[v])
            for a, b, v in zip(taken, other, node.outputs, strict=True)
        ]

    def _loop(self, node: Node, carried: Sequence[Any]) -> Sequence[Any]:
        (body,) = node.blocks
        declared = [_erased(self.declared[v]) for v in node.outputs]
        is_new = [v.node is not None and v.node.op is UNINITIALIZED for v in node.inputs[2:]]
        while True:
            self.known.record(body.params[0], Unknown(T.INT))
            for value, abstract in zip(body.params[1:], carried, strict=True):
                self.known.record(value, abstract)
            after = self.block(body)[1:]
            joined = [
                b if is_nothing else join_abstract(a, b, d)
                for a, b, d, is_nothing in zip(carried, after, declared, is_new, strict=True)
            ]
            if all(map(same_abstract, joined, carried)):
                return carried
            carried = joined


def _erased(type_: T.Type) -> T.Type:
    """What a type says without facts about tensors: inference derives those anew."""
    match type_:
        case T.TensorType():
            return T.TENSOR
        case T.ListType(element=element):
            return T.ListType(_erased(element))
        case T.OptionalType(element=element):
            return T.optional(_erased(element))
        case T.TupleType(elements=elements):
            erased = tuple(map(_erased, elements))
            return T.TupleType(erased, type_.name, type_.fields, type_.cls)
        case T.DictType(key=key, value=value):
            return T.DictType(key, _erased(value))
    return type_


def _cast(abstract: Any, target: T.Type) -> Any:
    """A value whose type the program has narrowed."""
    if isinstance(abstract, Unknown):
        return unknown(_erased(target))
    return abstract


def same_abstract(a: Any, b: Any) -> bool:
    """Equal, without assuming anything about symbols."""
    if isinstance(a, Sym) or isinstance(b, Sym):
        return isinstance(a, int | Sym) and isinstance(b, int | Sym) and same_dim(a, b)
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(same_abstract, a, b))
    return type(a) is type(b) and bool(a == b or (a != a and b != b))


def join_abstract(a: Any, b: Any, declared: T.Type) -> Any:
    """What holds for both of two abstract values; `declared` is the type that the graph gives."""
    if same_abstract(a, b):
        return a
    if isinstance(a, T.TensorType) and isinstance(b, T.TensorType):
        return T.join_tensors(a, b)
    if (
        isinstance(a, tuple)
        and isinstance(b, tuple)
        and len(a) == len(b)
        and not is_literal((a, b))
    ):
        elements = _elements(declared, len(a))
        return tuple(map(join_abstract, a, b, elements))
    joined = T.join(type_of_abstract(a), type_of_abstract(b))
    erased = _erased(declared)
    return unknown(joined if joined is not None and T.is_subtype(joined, erased) else erased)


def _elements(type_: T.Type, count: int) -> Sequence[T.Type]:
    return type_.elements if isinstance(type_, T.TupleType) else [T.ANY] * count
