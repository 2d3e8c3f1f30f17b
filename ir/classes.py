"""Classes of compiled programs: modules, script classes, enums, named tuples, interfaces.

A `ClassDef` describes a class in the form that archives store and `.graph` shows, the *generic
form*: every method is a graph whose first parameter is `self`, an `ObjectType` that names the
class; attributes are `prim::GetAttr` and `prim::SetAttr` on it, and methods of it or of its
submodules are `prim::CallMethod`.

    %w : Tensor = prim::GetAttr[name="weight"](%self)
    %fc : __torch__.Linear = prim::GetAttr[name="fc"](%self)
    %y : Tensor = prim::CallMethod[name="forward"](%fc, %x)

What runs is the *bound form*: `self` is one live object, a constant of the graph, and calls are
`prim::CallFunction` of graphs.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from ir.graph import Graph
from ir.records import field, record
from ir.types import ObjectType, Type


class ClassKind(enum.Enum):
    """What a class is; the value is the base that archives write for it."""

    MODULE = "Module"
    CLASS = ""
    NAMED_TUPLE = "NamedTuple"
    ENUM = "Enum"
    INTERFACE = "Interface"
    MODULE_INTERFACE = "ModuleInterface"


class Role(enum.Enum):
    """What an attribute is to its module."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    ATTRIBUTE = "attribute"
    """Plain data, objects, and submodules, whose type is a class of kind MODULE."""


@record
class Field:
    """One attribute of the instances of a class."""

    type: Type
    role: Role = Role.ATTRIBUTE


@record(frozen=False, eq=False)
class Method:
    """A method (its graph's first parameter is `self`) or a free function; the parameters' names
    and types are the graph's.
    """

    name: str
    graph: Graph
    defaults: dict[str, Any] = field(default_factory=dict)
    keyword_only: frozenset[str] = frozenset()
    undeclared: frozenset[str] = frozenset()
    """Parameters that are tensors here, as nothing says what they are."""
    reread: Callable[[Mapping[str, Type]], Method] | None = None
    """Reads its source again for other types of these; None where there is no source."""
    doc: str | None = None


@record(frozen=False, eq=False)
class ClassDef:
    """One class; `name` is qualified, as in `__torch__.package.module.Class`."""

    name: str
    kind: ClassKind = ClassKind.MODULE
    fields: dict[str, Field] = field(default_factory=dict)
    """Attributes in the order of their slots; the fields of a named tuple."""
    constants: dict[str, tuple[Type, Any]] = field(default_factory=dict)
    """Final attributes: part of the class, no slots."""
    methods: dict[str, Method] = field(default_factory=dict)
    properties: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Name to the methods that get and set it."""
    forward_pre_hooks: list[str] = field(default_factory=list)
    forward_hooks: list[str] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    """Default values of a named tuple's fields."""
    members: dict[str, Any] = field(default_factory=dict)
    """Members of an enum."""
    reread: Callable[[Mapping[str, Field]], ClassDef] | None = None
    """Reads its source again with other fields; None for a class that does not come from source."""
    python: type | None = None
    """The class of its instances in this process: the one that this was made from, or one made for
    it; None for modules and interfaces that come from an archive.
    """

    @property
    def type(self) -> ObjectType:
        """The type of its instances."""
        return ObjectType(self.name, self)

    @property
    def is_interface(self) -> bool:
        """Whether it only says which methods its instances have."""
        return self.kind in (ClassKind.INTERFACE, ClassKind.MODULE_INTERFACE)

    @property
    def is_module(self) -> bool:
        """Whether its instances are modules."""
        return self.kind in (ClassKind.MODULE, ClassKind.MODULE_INTERFACE)

    def covers(self, other: ClassDef) -> bool:
        """Whether instances of `other` may stand where this class is asked for."""
        return self is other or (self.is_interface and set(self.methods) <= set(other.methods))


@record(frozen=False, eq=False)
class Program:
    """Classes and free functions by qualified name, in the order of their definition."""

    classes: dict[str, ClassDef] = field(default_factory=dict)
    functions: dict[str, Method] = field(default_factory=dict)

    def methods(self) -> Iterator[Method]:
        """Every method and function."""
        yield from self.functions.values()
        for made in self.classes.values():
            yield from made.methods.values()


def class_of(type_: Type) -> ClassDef | None:
    """The class of an object's type when it is one of a compiled program."""
    found = type_.cls if isinstance(type_, ObjectType) else None
    return found if isinstance(found, ClassDef) else None


class ScriptObject:
    """Base of the objects of a script class that this process has no Python class for: one is made
    for each `definition`, with its methods; attributes are Python attributes.
    """

    definition: ClassVar[ClassDef]

    def __repr__(self) -> str:
        return f"<{self.definition.name} object>"


def create_object(type_: Type) -> Any:
    """A new object of a class, without running `__init__`."""
    assert isinstance(type_, ObjectType)
    definition = class_of(type_)
    python = type_.cls if definition is None else definition.python
    assert isinstance(python, type)
    return object.__new__(python)
