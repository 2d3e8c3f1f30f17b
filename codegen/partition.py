"""Partition a block into groups for loop nests and single nodes for the plan's body.

A node joins the open group when loop nests can compute it; any other node is placed at once if it depends on nothing in the
open group, and closes the group otherwise. So groups are as large as data flow and effects allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from codegen.operands import Known, arguments, producer
from ir import (
    Block, Create, Effect, Join, ListType, Node, Pointwise, Reduction, Scan, TensorType, Value, View, dtypes,
)

FUSIBLE = (Pointwise, View, Create, Join, Reduction, Scan)


@dataclass(eq=False, slots=True)
class Group:
    """Nodes that become loop nests together, in order."""

    nodes: list[Node] = field(default_factory=list)

    def outputs(self, wanted: Iterable[Value] = ()) -> list[Value]:
        """Tensors that anyone outside reads."""
        inside = set(self.nodes)
        extra = set(wanted)
        return [v for n in self.nodes for v in n.outputs if isinstance(v.type, TensorType)
                and (v in extra or any(user not in inside for user, _ in v.uses))]


def partition(block: Block, known: Known) -> list[Group | Node]:
    """The block's groups and other nodes in an order that respects data flow and effects."""
    result: list[Group | Node] = []
    group = Group()
    inside: set[Value] = set()
    for node in block.nodes:
        if is_fusible(node, known):
            group.nodes.append(node)
            inside.update(node.outputs)
            continue
        if group.nodes and (_reads(node) & inside or node.op.effect in (Effect.WRITE, Effect.SIDE)):
            result.append(group)
            group, inside = Group(), set()
        result.append(node)
    if group.nodes:
        result.append(group)
    return result


def _reads(node: Node) -> set[Value]:
    values = set(node.inputs)
    for block in node.blocks:
        values |= {v for inner in block.walk() for v in inner.inputs} | set(block.returns)
    return values


def is_fusible(node: Node, known: Known) -> bool:
    """Whether loop nests can compute the node: a kind with a rule, types complete, parameters known."""
    if node.op.name == "prim::ListUnpack":
        source = producer(node.outputs[0])
        return source is not None and source.piece is not None and is_fusible(source.node, known)
    if node.op.name == "prim::ListConstruct":
        return False
    if not isinstance(node.op.rule, FUSIBLE):
        return False
    lanes = node.op.rule.operands if isinstance(node.op.rule, Pointwise) else ()
    params = arguments(node, known)
    return all(_is_complete(v) for v in node.outputs) and all(
        _is_usable(value, is_number_allowed=name in lanes or isinstance(node.op.rule, Create)) for name, value in params.items())


def _is_complete(value: Value) -> bool:
    type_ = value.type
    if isinstance(type_, ListType):  # pieces of a view: typed where they are unpacked
        return all(user.op.name == "prim::ListUnpack" and all(map(_is_complete, user.outputs)) for user, _ in value.uses)
    return (isinstance(type_, TensorType) and type_.is_complete and type_.dtype in dtypes.COMPILED
            and type_.device in (None, "cpu"))


def _is_usable(argument: object, is_number_allowed: bool) -> bool:
    if isinstance(argument, list | tuple):
        return all(_is_usable(a, is_number_allowed) for a in argument)
    if not isinstance(argument, Value):
        return True
    if isinstance(argument.type, TensorType):
        return _is_complete(argument) and argument.type.strides is not None and None not in argument.type.strides
    return is_number_allowed and str(argument.type) in ("int", "float", "bool")
