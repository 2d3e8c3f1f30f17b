"""Writes to tensors of the plan: `y[i] = f(x[i])` in a loop over i.

    %v = aten::select(%y, 0, %i)             %v = aten::select(%y, 0, %i)
    aten::mul_(%v, %x)                ->     %n = aten::mul(%v, %x)
                                             aten::copy_(%v, %n)

Writes that could become values have become so (`ir.passes.functionalize`). What is left writes to
part of a tensor, in a loop for the most part. Such a tensor is native together with everything that
may share its memory, or none of them is: an alias set (`ir.alias`) whose tensors are made by loop
nests, are views of such, or are handed on by control flow.

Laws
  * A root has memory of its own, and a view is an address in it: who reads a view reads what the
    memory holds then. So a store ends the group in front of it, and the loop nests of one group see
    one state of memory.
  * Control flow hands a written tensor on as a copy, which nobody can tell from the tensor itself:
    nothing uses the old name any more.
  * What the interpreter runs is given no such tensor: where partitioning leaves it one, the set is
    given up (`Stores.give_up`), and all its writes are called back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from codegen.buffers import readable
from codegen.fusible import FUSIBLE, is_complete, is_fusible
from codegen.nest import Buffer
from codegen.operands import producer
from ir import (
    Aliases,
    Block,
    Effect,
    Graph,
    Known,
    ListType,
    Node,
    Pointwise,
    TensorType,
    TupleType,
    Value,
    View,
    compute_then_copy,
    field,
    record,
    target_of,
)

CONTROL = ("prim::If", "prim::Loop")


@record(frozen=False)
class Stores:
    """The native writes of one graph (`aten::copy_`), and all tensors that share memory with what
    they write.
    """

    nodes: dict[Node, None] = field(default_factory=dict)
    tensors: set[Value] = field(default_factory=set)

    def is_root(self, value: Value) -> bool:
        """Whether a value owns memory that is written."""
        return value in self.tensors and not is_view(value)

    def give_up(self, members: Collection[Value]) -> None:
        """Writes that are called back after all."""
        self.tensors.difference_update(members)
        self.nodes = {n: None for n in self.nodes if n.inputs[0] not in members}


def is_view(value: Value) -> bool:
    """Whether a value is part of another one's memory."""
    source = producer(value)
    return (
        source is not None
        and isinstance(source.node.op.rule, View)
        and not source.node.op.rule.copies
    )


def root_of(value: Value) -> Value:
    """Whose memory a view shows."""
    while is_view(value):
        source = producer(value)
        assert source is not None
        value = source.node.inputs[0]
    return value


def find_stores(graph: Graph, known: Known) -> Stores:
    """Choose the native writes of a graph, and split each into a value and its copy."""
    found, aliases = Stores(), Aliases(graph)
    written = [n for n in graph.walk() if n.op.effect is Effect.WRITE and target_of(n) is not None]
    seen: set[Value] = set()
    for node in written:
        target = node_target(node)
        if target in seen or not isinstance(target.type, TensorType):
            continue
        members = [v for v in aliases.members(target) if not _is_idle(v)]
        seen.update(members)
        if not aliases.is_external(target) and _is_tractable(members, known):
            found.tensors.update(v for v in members if isinstance(v.type, TensorType))
    for node in written:
        if node_target(node) not in found.tensors:
            continue
        made = compute_then_copy(node, known)
        if made is None:
            found.give_up(aliases.members(node_target(node)))
        else:
            found.nodes[made] = None
    return found


def node_target(node: Node) -> Value:
    """What a write writes."""
    target = target_of(node)
    assert target is not None
    return target


def _is_idle(value: Value) -> bool:
    """Whether a value is the unused result of a write."""
    return not value.uses and value.node is not None and value.node.op.effect is Effect.WRITE


def _is_tractable(members: Sequence[Value], known: Known) -> bool:
    tensors = [v for v in members if isinstance(v.type, TensorType)]
    memory: dict[Value, Buffer] = {}
    return (
        all(_is_made(v, known) and all(_is_use(v, u) for u, _ in v.uses) for v in tensors)
        and all(_is_holder(v) for v in members if v not in tensors)
        and all(readable(v, memory, known).base is root_of(v) for v in tensors)
        and all(_is_handed_on(node, tensors) for node in _control(tensors))
    )


def _is_made(value: Value, known: Known) -> bool:
    """Whether a tensor has memory that the plan knows: of a loop nest, or of control flow."""
    if not is_complete(value):
        return False
    node = value.node
    if node is None or node.name in CONTROL:
        return True
    if isinstance(node.op.rule, View):
        return not node.op.rule.copies and is_fusible(node, known)
    return isinstance(node.op.rule, FUSIBLE) and is_fusible(node, known)


def _is_use(value: Value, user: Node) -> bool:
    """Whether a user leaves the memory alone, or writes it as a loop nest can."""
    if user.op.effect is not Effect.WRITE:
        return user.op.is_pure or user.name in CONTROL or _is_returning(user)
    twin, target = user.op.inplace_of, target_of(user)
    if twin is None or not isinstance(twin.rule, Pointwise) or target is None:
        return False
    return _is_spread(target) and _is_whole_or_apart(value, target)


def _is_spread(value: Value) -> bool:
    """Whether each element has a place of its own: eager refuses to write to others."""
    type_ = value.type
    return isinstance(type_, TensorType) and not any(
        isinstance(stride, int) and stride == 0 and not (isinstance(size, int) and size == 1)
        for size, stride in zip(type_.shape, type_.strides or (), strict=True)
    )


def _is_whole_or_apart(read: Value, written: Value) -> bool:
    """Whether what is read is what is written, or none of it: eager refuses the rest. Two members
    along one dim are equal or apart, wherever they are.
    """
    if read is written or root_of(read) is not root_of(written):
        return True
    a, b = read.node, written.node
    if a is None or b is None or a.op is not b.op:
        return False
    rule, names = a.op.rule, [formal.name for formal in a.op.schema.arguments]
    if not isinstance(rule, View) or rule.position is None:
        return False
    is_same_dim = all(
        _constant(x) == _constant(y)
        for x, y, name in zip(a.inputs[1:], b.inputs[1:], names[1:], strict=True)
        if name != rule.position
    )
    return is_same_dim and _is_whole_or_apart(a.inputs[0], b.inputs[0])


def _constant(value: Value) -> object:
    """What a constant is, or the value itself."""
    node = value.node
    is_constant = node is not None and node.name == "prim::Constant"
    return node.attrs.get("value") if node is not None and is_constant else value


def _is_returning(user: Node) -> bool:
    return user.block is not None and user.block.returning is user


def _is_holder(value: Value) -> bool:
    """Whether a container only brings tensors to an operator, or to the caller."""
    node = value.node
    if node is None or not isinstance(value.type, TupleType | ListType):
        return False
    if node.name == "prim::TupleConstruct":
        return all(_is_returning(user) and _is_outermost(user) for user, _ in value.uses)
    return node.name == "prim::ListConstruct" and all(
        isinstance(user.op.rule, FUSIBLE) for user, _ in value.uses
    )


def _is_outermost(node: Node) -> bool:
    return node.block is not None and node.block.owner is None


# control flow -------------------------------------------------------------------------------------
def _control(tensors: Iterable[Value]) -> dict[Node, None]:
    """The control flow that hands on any of some tensors."""
    found: dict[Node, None] = {}
    for value in tensors:
        if value.node is not None and value.node.name in CONTROL:
            found[value.node] = None
        elif value.node is None and value.block is not None and value.block.owner is not None:
            found[value.block.owner] = None
    return found


def _is_handed_on(node: Node, tensors: Sequence[Value]) -> bool:
    """Whether copies stand for all tensors that control flow takes and gives."""
    family = [(v, root_of(v)) for v in tensors]
    taken = [root_of(v) for v in node.inputs if v in tensors]
    given = [[root_of(v) for v in b.returns if v in tensors] for b in node.blocks]
    return (
        all(len(set(roots)) == len(roots) for roots in (taken, *given))
        and all(
            _home(root) is block
            for block, roots in zip(node.blocks, given, strict=True)
            for root in roots
        )
        and all(
            _home(root) is node.block
            and not any(_is_used_later(v, node) for v, of in family if of is root)
            for root in taken
        )
    )


def _home(value: Value) -> Block | None:
    return value.block if value.node is None else value.node.block


def _is_used_later(value: Value, node: Node) -> bool:
    """Whether anything in or behind control flow uses a value of the block that it is in."""
    assert node.block is not None
    order = [*node.block.nodes, node.block.returning]
    place = order.index(node)
    users = [user for user, _ in value.uses if user is not node]
    return any(order.index(_around(user, node.block)) >= place for user in users)


def _around(node: Node, block: Block) -> Node:
    """The node of a block in which another one is, at any depth."""
    while node.block is not block:
        assert node.block is not None and node.block.owner is not None
        node = node.block.owner
    return node
