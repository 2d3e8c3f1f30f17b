"""Partition a block: groups for loop nests, nodes that the body computes in registers, and the
rest, called back.

A node joins the open group when loop nests can compute it; any other node is placed at once if it
depends on nothing in the open group, and closes the group otherwise. So groups are as large as data
flow and effects allow. What has no native form becomes a `Callback`: neighbors share one call into
the interpreter. What only waits for the types of tensors that such calls give is a function of its
own, which is compiled when it is called with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from codegen.fusible import FUSIBLE, REGISTERS, is_complete, is_fusible
from codegen.lists.chosen import Lists
from codegen.operands import Known, is_affine, tensors_of
from codegen.stores import Stores
from codegen.structured import is_called
from ir import (
    POSITION,
    Aliases,
    Block,
    Composite,
    Effect,
    Element,
    Join,
    Node,
    Put,
    Scalar,
    Structured,
    TensorType,
    Value,
    View,
    field,
    record,
)

STRUCTURE = (
    "prim::Constant",
    "prim::TupleConstruct",
    "prim::ListConstruct",
    "prim::TupleUnpack",
    "prim::ListUnpack",
    "prim::Uninitialized",
    "prim::unchecked_cast",
)
CONTROL = ("prim::If", "prim::Loop")
_APART = (Scalar, Element, Structured, Composite)  # rules of nodes that no loop nest computes
_WORTH = 2  # tensors that a function of its own computes at least
RAISE = "prim::RaiseException"


@record(frozen=False, eq=False)
class Group:
    """Nodes that become loop nests together, in order."""

    nodes: list[Node] = field(default_factory=list)

    def outputs(self) -> list[Value]:
        """Tensors that anyone outside reads."""
        inside = set(self.nodes)

        def is_read(value: Value) -> bool:
            return any(
                user not in inside or (is_list(user) and any(map(is_read, user.outputs)))
                for user, _ in value.uses
            )

        return [
            v
            for n in self.nodes
            for v in n.outputs
            if isinstance(v.type, TensorType) and is_read(v)
        ]


@record(frozen=False, eq=False)
class Callback:
    """Nodes that Python runs on boxed values: in the interpreter, or, where only the types of
    tensors that earlier callbacks give are missing, as a function that `resumes` compiled code.
    """

    nodes: list[Node] = field(default_factory=list)
    resumes: bool = False

    @property
    def is_pure(self) -> bool:
        """Whether starting over after it would be unnoticed."""
        return all(map(_is_pure, self.nodes))


def _is_pure(node: Node) -> bool:
    """Control flow is as pure as what it contains."""
    if node.name in CONTROL:
        return all(_is_pure(n) for b in node.blocks for n in b.nodes)
    return node.op.is_pure


Item = Group | Node | Callback


def nodes_of(item: Item) -> Sequence[Node]:
    """The nodes of a block that an item stands for."""
    return [item] if isinstance(item, Node) else item.nodes


@record
class Facts:
    """What is known of a graph when its blocks are partitioned."""

    known: Known
    aliases: Aliases
    lists: Lists
    stores: Stores
    boxed: set[Value] = field(default_factory=set)
    """Tensors that are objects, whatever their type says: a callback gave them, or control flow
    around callbacks hands them on.
    """
    mixed: set[Node] = field(default_factory=set)
    """Control flow around callbacks."""
    puts: set[Node] = field(default_factory=set)
    """What a loop's own memory can serve (`codegen.prepare`)."""
    last_writes: Sequence[Node] = ()
    """Copies to the caller's tensors (`codegen.last_writes`)."""

    def is_store(self, node: Node) -> bool:
        """Whether a write is native."""
        return node in self.stores.nodes or node in self.last_writes

    def objects(self, values: Iterable[Value]) -> Iterator[Value]:
        """Those that are objects where callbacks or mixed control flow give them."""
        return (v for v in values if v.type not in REGISTERS and not self.lists.is_held(v))


def partition(block: Block, facts: Facts) -> list[Item]:
    """The block's items in an order that respects data flow and effects."""
    known, boxed = facts.known, facts.boxed
    result: list[Item] = []
    group = Group()
    inside: set[Value] = set()
    for node in block.nodes:
        is_listed = facts.lists.touches(node)
        if node.op is not POSITION and not is_listed and _is_known(node, known):
            continue
        is_boxed = bool(reads(node) & boxed)
        if is_boxed:
            boxed.update(facts.objects(node.outputs))
        if group.nodes and not is_boxed and not is_listed and _is_joined(node, known):
            group.nodes.append(node)
            continue
        is_apart = is_boxed or is_listed or _shows_written(node, facts)
        if not is_apart and is_fusible(node, known):
            group.nodes.append(node)
            is_held = any(v in facts.lists.handles for v in node.outputs)
            if is_held or not _is_seen_through(node, inside, known):
                inside.update(node.outputs)
            continue
        if node in facts.puts:  # its block stores the part (`codegen.prepare`)
            result.append(node)
            continue
        if group.nodes and (reads(node) & inside or node.op.effect in (Effect.WRITE, Effect.SIDE)):
            result.append(group)
            group, inside = Group(), set()
        if _stands_alone(node, facts) or (not is_boxed and is_native(node, facts)):
            result.append(node)
            continue
        if is_mixed(node, facts):
            facts.mixed.add(node)
            boxed.update(facts.objects(node.outputs))
            result.append(node)
            continue
        boxed.update(facts.objects(node.outputs))
        resumes = is_boxed and has_rule(node)
        last = result[-1] if result else None
        if isinstance(last, Callback) and (last.resumes or not resumes):
            last.nodes.append(node)
        else:
            result.append(Callback([node], resumes))
    if group.nodes:
        result.append(group)
    return _settled(result)


def has_rule(node: Node) -> bool:
    """Whether there is native code for a node, given facts about its operands."""
    op = node.op.inplace_of or node.op
    return isinstance(op.rule, (*FUSIBLE, *_APART)) or node.name in CONTROL


def _settled(items: list[Item]) -> list[Item]:
    """Callbacks too short to be functions of their own are left to the interpreter."""
    result: list[Item] = []
    for item in items:
        if isinstance(item, Callback) and item.resumes and _tensor_work(item.nodes) < _WORTH:
            item.resumes = False
        last = result[-1] if result else None
        if isinstance(item, Callback) and isinstance(last, Callback) and not item.resumes:
            last.nodes += item.nodes
        else:
            result.append(item)
    return result


def _tensor_work(nodes: Iterable[Node]) -> int:
    """How many nodes compute tensors by rules."""
    return sum(
        sum(_tensor_work(b.nodes) for b in n.blocks)
        if n.blocks
        else has_rule(n) and not isinstance(n.op.rule, View) and bool(tensors(n.outputs))
        for n in nodes
    )


def _is_known(node: Node, known: Known) -> bool:
    """Whether nothing is left to compute."""
    return node.op.is_pure and all(v in known for v in node.outputs)


def _shows_written(node: Node, facts: Facts) -> bool:
    """Whether a node is a view of memory that callbacks write, and no index expresses it: a loop
    nest would make it of a copy.
    """
    if not isinstance(node.op.rule, View) or node.op.rule.copies:
        return False
    base = node.inputs[0]
    is_called_back = base not in facts.stores.tensors and facts.aliases.is_written(base)
    return is_called_back and is_fusible(node, facts.known) and not is_affine(node, facts.known)


def _is_seen_through(node: Node, inside: set[Value], known: Known) -> bool:
    """Whether a node is a view of what others have stored: where it lies needs no computing."""
    if not isinstance(node.op.rule, View) or node.op.rule.copies or node.inputs[0] in inside:
        return False
    return is_affine(node, known)


def is_list(node: Node) -> bool:
    """Whether a node makes a list."""
    return node.name == "prim::ListConstruct"


def _is_joined(node: Node, known: Known) -> bool:
    """Whether a node lists tensors for loop nests only: its users name them."""
    return is_list(node) and all(
        isinstance(user.op.rule, Join) and user.block is node.block and is_fusible(user, known)
        for value in node.outputs
        for user, _ in value.uses
    )


def reads(node: Node) -> set[Value]:
    """What a node and the blocks inside of it read."""
    values = set(node.inputs)
    for block in node.blocks:
        values |= {v for inner in block.walk() for v in inner.inputs} | set(block.returns)
        values |= {v for inner in block.walk() for b in inner.blocks for v in b.returns}
    return values


def _stands_alone(node: Node, facts: Facts) -> bool:
    """Whether the body has a form for a node whatever it reads."""
    if node.name == "prim::TupleUnpack":
        source = node.inputs[0].node
        return source is not None and source.name == "prim::TupleConstruct"
    if node.name == "prim::ListUnpack" and any(v.type in REGISTERS for v in node.outputs):
        return facts.lists.is_operation(node)  # numbers of a list of Python's are asked of Python
    return node.name in STRUCTURE or node.name == RAISE or facts.lists.is_operation(node)


def is_native(node: Node, facts: Facts) -> bool:
    """Whether the body itself has a form for a node that no loop nest computes."""
    known = facts.known
    if _stands_alone(node, facts) or facts.is_store(node):
        return True
    if isinstance(node.op.rule, Scalar):
        return all(v in known or v.type in REGISTERS for v in (*node.inputs, *node.outputs))
    if isinstance(node.op.rule, Structured | Composite):
        operands = [*tensors_of(node, known), *node.outputs]
        return all(map(is_complete, operands)) and is_called(node, known)
    if isinstance(node.op.rule, Put):
        return node in facts.puts and all(map(is_complete, tensors(node.inputs[1:])))
    if isinstance(node.op.rule, Element):
        type_ = node.inputs[0].type
        return (
            isinstance(type_, TensorType)
            and node.output.type in REGISTERS
            and is_complete(node.inputs[0])
            and all(isinstance(d, int) and d == 1 for d in type_.shape)
        )
    return (
        node.name in CONTROL
        and all(_is_carried(v, facts) for v in node.outputs)
        and all(_is_native_block(b, facts) for b in node.blocks)
    )


def _is_native_block(block: Block, facts: Facts) -> bool:
    known = facts.known
    values = [*block.params, *block.returns]
    return all(v in known or _is_carried(v, facts) for v in values) and all(
        is_fusible(n, known) or is_native(n, facts) or _is_known(n, known) for n in block.nodes
    )


def is_mixed(node: Node, facts: Facts) -> bool:
    """Whether control flow that contains callbacks is native around them: where it contains
    anything native besides. What it carries are registers, lists and objects; where that would be
    tensors, all that computes them were called back one by one: the interpreter runs the whole.
    """
    if node.name not in CONTROL or any(v not in facts.lists.handles for v in tensors(node.outputs)):
        return False
    return any(
        is_mixed(n, facts)
        or facts.lists.is_operation(n)
        or n.name == RAISE
        or (isinstance(n.op.rule, Scalar) and is_native(n, facts))
        or (isinstance(n.op.rule, FUSIBLE) and is_fusible(n, facts.known))
        for b in node.blocks
        for n in b.nodes
    )


def _is_carried(value: Value, facts: Facts) -> bool:
    """Whether control flow can hand the value on natively: a register, or memory of known sizes
    that a copy may stand for, because nothing writes to it.
    """
    return (
        value.type in REGISTERS
        or value in facts.lists.native
        or (
            isinstance(value.type, TensorType)
            and is_complete(value)
            and value not in facts.boxed
            and (value in facts.stores.tensors or not facts.aliases.is_written(value))
        )
    )


def tensors(values: Iterable[Value]) -> list[Value]:
    """Those of the values that are tensors."""
    return [v for v in values if isinstance(v.type, TensorType)]
