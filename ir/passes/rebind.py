"""A tensor that takes on other sizes in place is another value from there on.

    %y = aten::mul(%x, %2)                 %y = aten::mul(%x, %2)
    %_ = aten::unsqueeze_(%y, %0)    ->    %v = aten::unsqueeze(%y, %0)
    %z = aten::exp(%y)                     %z = aten::exp(%v)

Inference gives a value one type for good, so this runs before it. What can be turned is an object
that no other value names, nor anybody outside: made in the same block, and put nowhere before.
What cannot is left as it is
(`Op.reshapes`) and has no native form.
"""

from __future__ import annotations

from ir.builder import Builder
from ir.graph import Graph, Node
from ir.op import Control, Effect, Op, View
from ir.ops.memory import MAY_COPY, UNMARKED
from ir.registry import lookup
from ir.writes import name_results


def run(graph: Graph) -> bool:
    """Turn every change of sizes that allows it."""
    if not any(node.op.reshapes for node in graph.walk()):
        return False
    name_results(graph)
    turned = [node for node in list(graph.walk()) if node.op.reshapes and _turn(node)]
    return bool(turned)


def _turn(node: Node) -> bool:
    op, target = _view_of(node.op), node.inputs[0]
    if op is None or target.node is None or target.node.block is not node.block:
        return False
    later = [(user, k) for user, k in target.uses if user is not node and _follows(user, node)]
    earlier = [user for user, k in target.uses if user is not node and (user, k) not in later]
    if not _is_object_of_its_own(target.node) or any(map(_keeps_operand, earlier)):
        return False
    made = Builder.before(node).apply(op, node.inputs)
    for user, position in later:
        user.replace(position, made)
    node.output.replace_all_uses_with(made)
    node.erase()
    return True


def _view_of(op: Op) -> Op | None:
    """The view that an op turns its operand into."""
    try:
        found = lookup(op.qualified.replace("_.", ".").removesuffix("_"))
    except KeyError:
        return None
    return found if isinstance(found.rule, View) else None


def _follows(user: Node, node: Node) -> bool:
    """Whether a user of something made in the block of `node` runs after it."""
    block = node.block
    assert block is not None
    while user.block is not block:
        assert user.block is not None and user.block.owner is not None
        user = user.block.owner
    return user is block.returning or block.nodes.index(user) > block.nodes.index(node)


def _is_object_of_its_own(made: Node) -> bool:
    """Whether the results of a node are objects that it makes."""
    is_new = made.op.effect in (Effect.PURE, Effect.RANDOM) or _is_view(made)
    return is_new and not isinstance(made.op.rule, Control) and made.name not in UNMARKED


def _keeps_operand(user: Node) -> bool:
    """Whether an operand may have another name after a node."""
    if user.op.effect is Effect.WRITE:
        return any(output.uses for output in user.outputs)
    return not _is_object_of_its_own(user)


def _is_view(node: Node) -> bool:
    is_aliasing = node.op.effect is Effect.ALIAS
    return is_aliasing and isinstance(node.op.rule, View) and node.name not in MAY_COPY
