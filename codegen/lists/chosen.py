"""Which lists live in native memory, and which never change their length.

    back = [0] * n        back : ints, written, always n long
    rows.append(back)     rows : lists of ints, which grow

A list is native together with everything that may be the same list, or none of them is: an alias
set (`ir.alias`) whose members are lists of numbers, of tensors, or of such lists, and whose users
are operators on lists, control flow, results, and calls that only read. Such a call is given a
copy. Tensors in lists are all alike, and nobody writes to them (`codegen.lists.handles`).

So what the interpreter runs must neither change a native list nor hand one on: where partitioning
leaves it an operator that does, the set is given up (`Lists.give_up`). And a list that somebody
outside may know is an object wherever a graph calls out.

A set that nothing but construction and reading touches stays the structure of its elements, and
what is known before the call is no memory at all: the parameters of views are of these kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from codegen.buffers import dense_strides
from codegen.operands import Known
from ir import (
    BOOL,
    FLOAT,
    INT,
    LISTS,
    NONE,
    RESIZING,
    STR,
    Aliases,
    Graph,
    ListType,
    Node,
    TensorType,
    TupleType,
    Type,
    Value,
    dtypes,
    family_of,
    field,
    is_passing,
    is_whole,
    record,
    same_each,
)

ELEMENTS: dict[Type, str] = {INT: "int", FLOAT: "float", BOOL: "bool"}
FLAT_ONLY = ("remove", "sort", "index", "count", "contains", "equal", "differ")
"""Operators on lists of numbers that compare: lists of lists and of tensors leave them to the
interpreter.
"""
_DROPPING = ("set", "pop", "remove", "delete", "clear")
_CHANGING = (*RESIZING, *_DROPPING, "sort", "reverse")
_CONTROL = ("prim::If", "prim::Loop")
_BUILT = ("prim::ListConstruct", "prim::Constant", "prim::Uninitialized")


@record(frozen=False)
class Lists:
    """The native lists of one graph."""

    native: set[Value] = field(default_factory=set)
    fixed: set[Value] = field(default_factory=set)
    """Those whose length is the same from birth on."""
    dropping: set[Value] = field(default_factory=set)
    """Those that may let go of an element while somebody still uses it."""
    handles: set[Value] = field(default_factory=set)
    """The tensors that they hold, by any name that is put, read or handed on by control flow."""
    escaping: set[Value] = field(default_factory=set)
    """Those of the handles that the caller may get, or knows."""

    def add(self, level: Sequence[Value]) -> None:
        """Lists of one type that may be the same."""
        used = [verb_of(n) for v in level for n, k in v.uses if k == 0]
        if not any(u in RESIZING for u in used):
            self.fixed.update(level)
        if any(u in _DROPPING for u in used):
            self.dropping.update(level)

    def is_operation(self, node: Node) -> bool:
        """Whether a node works on a native list; a second one is copied from where it is."""
        lists = [v for v in node.inputs if isinstance(v.type, ListType)]
        if verb_of(node) is None or not lists or lists[0] not in self.native:
            return False
        return all(v in self.native for v in node.outputs if isinstance(v.type, ListType))

    def touches(self, node: Node) -> bool:
        """Whether a node reads or gives a native list."""
        return any(v in self.native for v in (*node.inputs, *node.outputs))

    def needed_by(self, node: Node) -> Iterator[Value]:
        """Native lists that must be objects for the interpreter to run a node: a copy would not
        do.
        """
        if node.name in _CONTROL:
            values = (v for b in node.blocks for v in (*b.params, *b.returns))
            yield from (v for v in (*node.outputs, *values) if v in self.native)
            for block in node.blocks:
                for inner in block.nodes:
                    yield from self.needed_by(inner)
        elif verb_of(node) in _CHANGING and node.inputs[0] in self.native:
            yield node.inputs[0]

    def is_held(self, value: Value) -> bool:
        """Whether a value is a header that counts its references: a list, or a tensor in one."""
        return value in self.native or value in self.handles

    def give_up(self, members: Iterable[Value]) -> None:
        """Lists that are objects after all."""
        for table in (self.native, self.fixed, self.dropping, self.handles, self.escaping):
            table.difference_update(members)


def verb_of(node: Node) -> str | None:
    """What a node does to lists; None when it is no operator on them."""
    return LISTS.get(node.name)


def is_list(type_: Type) -> bool:
    """Whether a list of this type can be native."""
    if type(type_) is not ListType:  # a tuple of unknown length is an object
        return False
    element = type_.element
    return element in ELEMENTS or is_list(element) or is_handle(element)


def is_handle(type_: Type) -> bool:
    """Whether lists of such tensors can be native: all is known of them, and they are dense."""
    return (
        isinstance(type_, TensorType)
        and is_whole(type_)
        and type_.dtype in dtypes.COMPILED
        and type_.device in (None, "cpu")
        and same_each(type_.strides, dense_strides(type_))
    )


def _innermost(type_: Type) -> Type:
    return _innermost(type_.element) if isinstance(type_, ListType) else type_


def element_of(value: Value) -> Type:
    """The type of a list's elements."""
    assert isinstance(value.type, ListType)
    return value.type.element


def find_lists(graph: Graph, aliases: Aliases, known: Known) -> Lists:
    """Choose the native lists of a graph."""
    found = Lists()
    seen: set[Value] = set()
    for value in graph.block.values():
        if value in seen or not isinstance(value.type, ListType):
            continue
        members = aliases.members(value)
        seen.update(members)
        lists = [v for v in members if is_list(v.type) and not _brings_tensors(v)]
        if _is_needless(members, known) or aliases.is_exposed(value):
            continue
        if not _is_worth(lists) or not all(map(_is_suitable, members)):
            continue
        handles = _handles(lists, members, aliases)
        if handles is None:
            continue
        found.native.update(lists)
        found.handles.update(handles)
        if aliases.escapes(value):
            found.escaping.update(handles)
        for type_ in {v.type for v in lists}:  # a list is no list of such lists
            found.add([v for v in lists if v.type == type_])
    return found


def _handles(
    lists: Sequence[Value], members: Sequence[Value], aliases: Aliases
) -> set[Value] | None:
    """The tensors that native lists hold; None when these are not all alike, or written to."""
    tensors = [v for v in members if isinstance(v.type, TensorType)]
    elements = {_innermost(v.type) for v in lists}
    if not any(isinstance(element, TensorType) for element in elements):
        return set()
    family = family_of(members)
    like = elements.pop()
    if elements or any(map(aliases.writes, tensors)):
        return None
    if not all(is_alike(v.type, like) for v in (*family.items, *family.reads)):
        return None
    control = [v for v in tensors if (_is_inner(v) if v.node is None else v.node.name in _CONTROL)]
    handed = [v for v in tensors if any(_hands_on(user) for user, _ in v.uses)]
    around = (v for v in (*control, *handed) if is_alike(v.type, like))
    return {*family.items, *family.reads, *around}


def _hands_on(user: Node) -> bool:
    """Whether a user is control flow that takes a value, or a block inside of it that gives one."""
    block = user.block
    is_end = block is not None and block.returning is user and block.owner is not None
    return user.name in _CONTROL or is_end


def _is_inner(param: Value) -> bool:
    """Whether a parameter is control flow's own."""
    return param.block is not None and param.block.owner is not None


def _brings_tensors(value: Value) -> bool:
    """Whether a list only brings tensors to operators: it stays the structure of its elements."""
    is_unpacked = bool(value.uses) and all(u.name == "prim::ListUnpack" for u, _ in value.uses)
    return _is_of_tensors(value) and (is_unpacked or is_passing(value))


def _is_of_tensors(value: Value) -> bool:
    return isinstance(_innermost(value.type), TensorType)


def _is_needless(members: Iterable[Value], known: Known) -> bool:
    """Whether all is known of lists, and of what operators on lists make of them."""
    return all(
        v in known
        and all(o in known for n, _ in v.uses if verb_of(n) is not None for o in n.outputs)
        for v in members
    )

def _is_worth(lists: Iterable[Value]) -> bool:
    """Whether anything happens to a set that needs the list itself."""
    return any(v.block is not None or any(verb_of(n) is not None for n, _ in v.uses) for v in lists)


def _is_suitable(value: Value) -> bool:
    if isinstance(value.type, TupleType):
        return (
            value.node is not None
            and value.node.name == "prim::TupleConstruct"
            and all(
                user is _returning(user) or user.name == "prim::TupleUnpack"
                for user, _ in value.uses
            )
        )
    if isinstance(value.type, ListType) and _brings_tensors(value):
        return True
    if not is_list(value.type):
        is_of_tensors = isinstance(value.type, ListType) and _is_of_tensors(value)
        return not is_of_tensors and not _may_hold(value.type)
    return _is_made(value) and all(_is_use(value, user) for user, _ in value.uses)


def _may_hold(type_: Type) -> bool:
    """Whether a value that is no native list may hold one. A tuple joins what it is made of: that
    its other items are in the set means nothing.
    """
    if isinstance(type_, ListType):
        return _may_hold(type_.element) or type_.element in ELEMENTS
    return not isinstance(type_, TensorType) and type_ not in (*ELEMENTS, STR, NONE)


def _returning(user: Node) -> Node | None:
    """The pseudo node of the graph's own block."""
    return user if user.block is not None and user.block.returning is user else None


def _is_made(value: Value) -> bool:
    """Whether the body can make a list, or bind it."""
    node = value.node
    if node is None or node.name in (*_CONTROL, *_BUILT, "prim::TupleUnpack"):
        return True
    if verb_of(node) is not None and is_supported(node):
        return True
    return node.op.is_pure and not _is_of_tensors(value)


def _is_use(value: Value, user: Node) -> bool:
    if user is _returning(user) or user.name in (*_CONTROL, "prim::TupleConstruct"):
        return True
    if user.name == "prim::ListConstruct":
        return True
    if verb_of(user) is not None and is_supported(user):
        return True
    is_flat = element_of(value) in ELEMENTS or isinstance(element_of(value), TensorType)
    return user.op.is_pure and not any(_shares(v, user, is_flat) for v in user.outputs)


def _shares(result: Value, node: Node, is_flat: bool) -> bool:
    """Whether a result may be, or hold, a list that was given."""
    if result.type in ELEMENTS:
        return False
    return not is_flat or any(r.alias is not None for r in node.op.schema.returns)


def is_alike(type_: Type, element: Type) -> bool:
    """Whether a value can be an element: tensors differ in nothing but their elements."""
    if isinstance(type_, TensorType) and isinstance(element, TensorType):
        is_like = type_.dtype == element.dtype and same_each(type_.dims, element.dims)
        return is_like and same_each(type_.strides, element.strides)
    return type_ == element


def is_supported(node: Node) -> bool:
    """Whether an operator has a native form on its operands."""
    verb = verb_of(node)
    lists = [v for v in node.inputs if isinstance(v.type, ListType)]
    if not lists or not all(is_list(v.type) for v in lists):
        return False
    is_flat = all(element_of(v) in ELEMENTS for v in lists)
    if verb in ("extend", "join", "equal", "differ") and len(lists) != 2:
        return False
    if verb == "copy" and len(lists) != 1:
        return False
    item = {"set": 2, "append": 1, "insert": 2, "remove": 1, "index": 1, "count": 1}.get(verb or "")
    if verb == "contains":
        item = 1
    if item is not None and not is_alike(node.inputs[item].type, element_of(lists[0])):
        return False
    return is_flat or verb not in FLAT_ONLY
