"""What lists of tensors hold: one type for all that is ever put there.

    %l = prim::ListConstruct()                         %l : Float(16)[]
    prim::Loop(...)
      %_ = aten::append(%l, %k)      %k : Float(16)
    %t = aten::__getitem__(%l, %i)                     %t : Float(16)

A list changes, so no node alone tells what is in it. All lists that may be the same, or hold each
other, are one family (an alias set); what is put into any of them is what may be read from any.

Laws
  * Everybody who may put something into a list of a family is seen: lists are made by the graph,
    changed by operators on lists only, and no call may reach them.
  * The type is assumed as soon as one item has it, so that what is read may be put back. It holds
    when a whole round of inference finds it at every item; otherwise nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from ir.alias import Aliases
from ir.graph import Graph, Node, Value
from ir.op import Effect
from ir.ops.methods import LISTS
from ir.records import field, record
from ir.types import TENSOR, ListType, TensorType, TupleType, Type, join_tensors

ITEMS = {"append": 1, "insert": 2, "set": 2}
"""Which input of an operator on lists is put into the list."""
_READING = ("get", "pop")
_MADE = (
    "prim::ListConstruct",
    "prim::Uninitialized",
    "prim::TupleUnpack",
    "prim::If",
    "prim::Loop",
)
_HANDED_ON = ("prim::ListConstruct", "prim::TupleConstruct", "prim::If", "prim::Loop")


@record(frozen=False)
class Family:
    """Lists of tensors that may share items."""

    lists: list[Value]
    items: list[Value] = field(default_factory=list)
    reads: list[Value] = field(default_factory=list)
    element: TensorType | None = None
    is_open: bool = True
    """Whether the items may still turn out to be of one type."""

    def learn(self) -> bool:
        """Compare with what inference has found at the items: whether that asks for another
        round.
        """
        found = [v.type for v in self.items if isinstance(v.type, TensorType)]
        known = [t for t in found if is_whole(t)]
        if not self.is_open or not known:
            return False
        if self.element is None and self.reads:
            self.element = reduce(join_tensors, known) if len(known) == len(found) else known[0]
            self.is_open = is_whole(self.element)
            return self.is_open
        joined = reduce(join_tensors, found, self.element or found[0])
        had, self.is_open = self.element, is_whole(joined)
        self.element = joined if self.is_open else None
        return had is not None and not self.is_open

    def note(self) -> None:
        """Write the type of the items into those of the lists."""
        if self.element is not None and self.is_open:
            for value in self.lists:
                value.type = _of_items(value.type, self.element)


def is_whole(type_: TensorType) -> bool:
    """Whether a type tells all about a tensor but its elements."""
    return type_.is_complete and type_.strides is not None and None not in type_.strides


def families(graph: Graph) -> list[Family]:
    """The families of a graph whose lists tell by themselves what they hold; forgets what was known
    of them.
    """
    lists = [v for v in graph.block.values() if _depth(v.type)]
    if not lists or not any(n.name in LISTS for n in graph.walk()):
        return []
    aliases, seen, found = Aliases(graph), set[Value](), list[Family]()
    for value in lists:
        value.type = _of_items(value.type, TENSOR)
        if value not in seen:
            members = aliases.members(value)
            seen.update(members)
            if not aliases.is_exposed(value) and all(map(_is_plain, members)):
                found.append(family_of(members))
    return [f for f in found if f.items]


def is_passing(value: Value) -> bool:
    """Whether a list only brings its items to operators that keep none of them."""
    return (
        value.node is not None
        and value.node.name == "prim::ListConstruct"
        and all(user.op.effect is Effect.PURE and not _is_verb(user) for user, _ in value.uses)
        and not any(user.name in _HANDED_ON or _is_returning(user) for user, _ in value.uses)
    )


def family_of(members: Sequence[Value]) -> Family:
    """The lists of an alias set, what is put there, and what is read."""
    made = Family([v for v in members if _depth(v.type) and not is_passing(v)])
    for value in made.lists:
        if value.node is not None and value.node.name == "prim::ListConstruct":
            made.items += [v for v in value.node.inputs if isinstance(v.type, TensorType)]
        for user, position in value.uses:
            verb = LISTS.get(user.name)
            item = user.inputs[ITEMS[verb]] if verb in ITEMS and position == 0 else None
            if item is not None and isinstance(item.type, TensorType):
                made.items.append(item)
            if verb in _READING and position == 0:
                made.reads += [v for v in user.outputs if isinstance(v.type, TensorType)]
    return made


def _is_plain(value: Value) -> bool:
    """Whether a member of a family is a tensor, or a list whose every change is seen."""
    if isinstance(value.type, TensorType):
        return True
    if isinstance(value.type, TupleType):
        return value.node is not None and value.node.name == "prim::TupleConstruct"
    if not _depth(value.type):
        return False
    if is_passing(value) or all(user.name == "prim::ListUnpack" for user, _ in value.uses):
        return True
    node = value.node
    is_inner = node is None and value.block is not None and value.block.owner is not None
    is_made = node is not None and (node.name in _MADE or _is_verb(node))
    return (is_inner or is_made) and all(_is_seen(user, k) for user, k in value.uses)


def _is_verb(node: Node) -> bool:
    return node.name in LISTS and bool(node.inputs) and bool(_depth(node.inputs[0].type))


def _is_seen(user: Node, position: int) -> bool:
    if _is_verb(user) or user.name in _HANDED_ON:
        return True
    return user.op.effect is Effect.PURE or _is_returning(user)


def _is_returning(user: Node) -> bool:
    return user.block is not None and user.block.returning is user


def _depth(type_: Type) -> int:
    """How many lists are around tensors; 0 for anything else."""
    if type(type_) is not ListType:
        return 0
    if isinstance(type_.element, TensorType):
        return 1
    inner = _depth(type_.element)
    return inner + 1 if inner else 0


def _of_items(type_: Type, element: TensorType) -> ListType:
    assert isinstance(type_, ListType)
    inner = type_.element
    return ListType(element if isinstance(inner, TensorType) else _of_items(inner, element))
