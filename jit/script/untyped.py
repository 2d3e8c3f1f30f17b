"""What the first element of a list, dict or set tells about its type, and what a later one changes.

out = []                 List[Tensor], open
for i in range(n):       the loop's parameter for `out` is open with it
    out.append(i)        both become List[int]
out.append("end")        too late for List[int]: `Widen`; the display is compiled again as
                         List[Union[int, str]]

A display is known by where it stands in the source (its `site`), so that another compilation finds
it again. What is read from a container before its type is known is `Any` for the moment; when the
type is found, the code is compiled again with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ir import (
    ANY,
    NUMBER,
    DictType,
    ListType,
    Node,
    OptionalType,
    SetType,
    Span,
    TupleType,
    Type,
    UnionType,
    Value,
    is_subtype,
)
from jit.script.merging import merge_types

Site = tuple[Span, str]
Found = dict[Site, Type]

DISPLAYS = frozenset(f"prim::{kind}Construct" for kind in ("List", "Dict", "Set"))
_HANDED_ON = frozenset(  # whose result's type is that of their first input
    ("prim::unchecked_cast", "prim::PythonOp", "aten::list", "aten::copy", "aten::slice",
     "aten::mul", "aten::add", "aten::add_")
)  # fmt: skip
CONTAINERS = (ListType, DictType, SetType)


class Widen(Exception):
    """Compile again: the display at `site` is a `type`."""

    def __init__(self, site: Site, type_: Type) -> None:
        super().__init__(str(type_))
        if isinstance(type_, SetType) and site[1] == "prim::ListConstruct":
            type_ = ListType(type_.element)  # a set is made of a list
        self.site, self.type = site, type_


class Untyped:
    """The open values, each with the empty display that it holds, and the types that earlier
    compilations `found`.
    """

    def __init__(self, found: Found | None = None) -> None:
        self.found = found or {}
        self.declared: set[Site] = set()  # displays whose types the user wrote down
        self.passed: dict[Value, Value] = {}  # parameters of functions: what the first call gave
        self._roots: dict[Value, Value] = {}
        self._read: set[Value] = set()  # roots whose elements were read while they were open
        self._late: set[Site] = set()  # displays that were read and hold what only a run knows
        self._inner: dict[Site, Site] = {}  # of displays that are elements of displays

    def __contains__(self, value: Value) -> bool:
        return value in self._roots

    def add(self, value: Value) -> None:
        """An empty display without a declared type."""
        if not self.is_found(value):
            self._roots[value] = value

    def is_found(self, value: Value) -> bool:
        """Whether this is a display whose type an earlier compilation found."""
        node = self._display(value) if self.found else None
        return node is not None and _site(node) in self.found

    def declare(self, value: Value) -> None:
        """A display whose type the user has written down."""
        assert value.node is not None
        self.declared.add(_site(value.node))

    def is_declared(self, container: Value) -> bool:
        """Whether a container's type is the user's: no display of this code found it."""
        if container in self._roots:
            return False
        site = self._origin(container)
        return site is None or site in self.declared

    def follow(self, value: Value, source: Value) -> None:
        """`value` holds what `source` holds, open or not."""
        if source in self._roots:
            self._roots[value] = self._roots[source]

    def is_read_open(self, value: Value) -> bool:
        """Note that an element of `value` is read; True where its type is open, hence `Any`."""
        root = self._roots.get(value)
        if root is None or root.node is None or root.node.name not in DISPLAYS:
            return False
        self._read.add(root)
        return True

    def settle(self, value: Value, type_: Type) -> None:
        """An open value, and every other name of it, has this type."""
        root = self._roots[value]
        if root.node is not None and (root in self._read or self._is_held(root)):
            if ANY not in parts_of(type_) and (root in self._read or type_ != root.type):
                raise Widen(_site(root.node), type_)
            self._late.add(_site(root.node))
        for other in [v for v, r in self._roots.items() if r is root]:
            other.type = type_
            del self._roots[other]

    def admit(self, container: Value, added: Type, item: Value | None = None) -> None:
        """What a container of type `added` holds, such as `item`, is put into `container`, whose
        type it decides or widens.
        """
        if item is not None and isinstance(item.type, CONTAINERS):
            self._hold(container, item)
        if container in self._roots:
            self.settle(container, added)
        elif type(added) is type(container.type) and not _holds(container.type, added):
            self._widen(container, added)

    def is_deep(self, container: Value) -> bool:
        """Whether the elements of a container are themselves of an open type."""
        outer = self._display(container)
        return outer is not None and self._is_open(self._element(outer))

    def _is_held(self, root: Value) -> bool:
        """Whether a display is an element of something, whose type says so."""
        assert root.node is not None
        is_element = any(user.name in DISPLAYS for user, _ in root.uses)
        return is_element or _site(root.node) in self._inner.values()

    def _is_open(self, site: Site | None) -> bool:
        return any(r.node is not None and _site(r.node) == site for r in self._roots.values())

    def _hold(self, container: Value, item: Value) -> None:
        """A display becomes an element of another."""
        outer, inner = self._display(container), self._display(item)
        if outer is not None and inner is not None:
            self._inner[_site(outer)] = _site(inner)

    def _widen(self, container: Value, added: Type) -> None:
        site = self._origin(container)
        if site is None or (site in self.declared and ANY not in parts_of(added)):
            return  # the op says what does not fit
        if site in self._late or self._is_open(site):
            raise Widen(site, added)
        raise Widen(site, _merged(container.type, added))

    def _origin(self, container: Value) -> Site | None:
        """Where the display stands that a container is, or is an element of."""
        found = self._display(container)
        if found is not None:
            return _site(found)
        node = container.node
        outer = self._display(node.inputs[0]) if node and node.name == "aten::__getitem__" else None
        if outer is None:
            return None
        return self._element(outer)

    def _element(self, outer: Node) -> Site | None:
        """Where the display stands that an element of a display is."""
        made = next((n for n in map(self._display, outer.inputs) if n is not None), None)
        return self._inner.get(_site(outer)) if made is None else _site(made)

    def _display(self, value: Value) -> Node | None:
        """The display that a list, dict or set was made by."""
        seen: set[Value] = set()
        work = [value]
        while work:
            value = work.pop()
            if value in seen or not isinstance(value.type, CONTAINERS):
                continue
            seen.add(value)
            if value.node is not None and value.node.name in DISPLAYS:
                return value.node
            work += [self.passed[value]] if value in self.passed else _sources(value)
        return None


def _site(node: Node) -> Site:
    """Where a display stands."""
    assert node.span is not None
    return node.span, node.name


def _sources(value: Value) -> Iterator[Value]:
    """What a value may be."""
    node = value.node
    if node is None:
        block = value.block
        if block is not None and block.owner is not None and block.owner.name == "prim::Loop":
            yield block.owner.inputs[block.params.index(value) + 1]
        return
    at = node.outputs.index(value)
    match node.name:
        case "prim::If":
            yield from (block.returns[at] for block in node.blocks if at < len(block.returns))
        case "prim::Loop":
            yield node.inputs[at + 2]
        case "prim::CallFunction":
            yield from node.attrs["graph"].returns
        case "prim::Try" if at > 1:
            yield node.attrs["graph"].returns[at - 2]
        case name if name in _HANDED_ON:
            yield from node.inputs[:1]


def parts_of(type_: Type) -> tuple[Type, ...]:
    """The types of what a container holds, and of the parts of that."""
    match type_:
        case ListType(element=element) | SetType(element=element) | OptionalType(element=element):
            return (element, *parts_of(element))
        case DictType(value=value):
            return (value, *parts_of(value))
        case TupleType(elements=members) | UnionType(members=members):
            return (*members, *(p for m in members for p in parts_of(m)))
    return (ANY,) if type_ == NUMBER else ()


def _holds(container: Type, added: Type) -> bool:
    """Whether what `added` holds needs no wider type."""
    match container, added:
        case DictType(key=key, value=value), DictType(key=other, value=item):
            return is_subtype(other, key) and is_subtype(item, value)
        case (ListType(element=element), ListType(element=item)) | (
            SetType(element=element),
            SetType(element=item),
        ):
            return is_subtype(item, element)
    return True


def _merged(a: Type, b: Type) -> Type:
    """The type of a container that holds what both hold."""
    match a, b:
        case DictType(key=key, value=value), DictType(key=other, value=item):
            return DictType(merge_types(key, other), merge_types(value, item))
        case SetType(element=element), SetType(element=item):
            return SetType(merge_types(element, item))
        case ListType(element=element), ListType(element=item):
            return ListType(merge_types(element, item))
    return b


def of_any(container: Type) -> Type:
    """The type of a container of that kind that may hold anything."""
    match container:
        case DictType():
            return DictType(ANY, ANY)
        case SetType():
            return SetType(ANY)
    return ListType(ANY)
