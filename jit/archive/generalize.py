"""From what runs to what archives hold: graphs in generic form, and the classes that they name.

    bound form                                      generic form
    prim::CallFunction[graph=.., function=relu]     prim::CallFunction[name="__torch__....relu"]
    (Tensor, int) with names                        __torch__.package.Pair, a ClassDef

Graphs are copied, the given ones stay as they are. Equal functions and classes are written once.
What refers to live modules is for `jit.archive.modules`.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterator
from typing import Any

from ir import (
    ANY,
    BOOL,
    DTYPE,
    INT,
    LAYOUT,
    MEMORY_FORMAT,
    TENSOR,
    Block,
    Builder,
    ClassDef,
    ClassKind,
    CompileError,
    DictType,
    Field,
    FutureType,
    Graph,
    ListType,
    Method,
    Node,
    ObjectType,
    OptionalType,
    Program,
    SetType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    Value,
    class_of,
    dtypes,
    replace,
)
from jit.archive.contexts import describe_context, is_context, make_context
from jit.archive.default_dicts import lower_default_dicts
from jit.archive.enums import is_flag, lookup_graph
from jit.archive.error_texts import write_texts
from jit.archive.foreign import foreign_graph
from jit.archive.form import FunctionForm, Savable
from jit.archive.formats import lower_texts
from jit.archive.globals import check_globals
from jit.archive.legalize import legalize
from jit.archive.library_calls import lower_call, resolve_text_method
from jit.archive.names import ROOT, Names, qualified_name
from jit.archive.portable import DATA, make_data
from jit.archive.retype import retype
from jit.archive.script_classes import ScriptClasses, is_script_class
from jit.archive.sets import lower_sets, member_type
from jit.archive.source_writer import write_method
from jit.archive.spelling import Constants
from jit.archive.subscripts import lower_subscripts
from jit.archive.substitutes import substitute
from jit.archive.tries import finish_raises, lower_tries
from jit.archive.unreachable import cut
from jit.script.annotate import named_tuple_type
from jit.script.prune import prune
from jit.script.resolve import Capture

PLACEHOLDER = f"{ROOT}.PlaceholderModule"  # the class of a function that was saved
_CODES = frozenset((DTYPE, LAYOUT, MEMORY_FORMAT))
_CONTAINERS: dict[type, type] = {list: ListType, dict: DictType, tuple: TupleType}
_BARE: dict[Any, Type] = {list: ListType(ANY), tuple: TupleType(())}  # of values of any type


class Generalizer:
    """Fills one program."""

    def __init__(self) -> None:
        self.program = Program()
        self.names = Names()
        self.classes = ScriptClasses(self.graph, self.generic_type)
        self.results: dict[Graph, list[Type]] = {}  # types before they were made generic ...
        self.parameters: dict[Graph, dict[str, Type]] = {}  # ... of graphs of this program
        self._functions: dict[Graph, str] = {}
        self._known: dict[Hashable, str] = {}
        self._python: dict[type, ClassDef] = {}
        self._adopted: dict[ClassDef, ClassDef] = {}  # those of this program, too

    # types ------------------------------------------------------------------------------------

    def generic_type(self, type_: Type) -> Type:
        """A type whose classes are those of the program; what archives hold as its code is an
        int.
        """
        if type_ in _CODES:
            return INT
        match type_:
            case TensorType():
                return TENSOR
            case ListType(element=element):
                return ListType(self.generic_type(element))
            case DictType(key=key, value=value):
                return DictType(self._key_type(key), self.generic_type(value))
            case OptionalType(element=element):
                return OptionalType(self.generic_type(element))
            case UnionType(members=members):
                return UnionType(tuple(map(self.generic_type, members)))
            case FutureType(element=element):
                return FutureType(self.generic_type(element))
            case TupleType():
                return self._tuple(type_)
            case ObjectType(cls=cls) if cls in DATA:
                return ANY
            case ObjectType(cls=cls) if is_flag(cls):
                return INT
            case ObjectType(name=name, cls=cls) if isinstance(cls, type):
                return self.class_of(cls, name).type
            case ObjectType(cls=ClassDef() as definition):
                return self.adopt(definition).type
            case SetType():
                return DictType(self._key_type(member_type(type_)), BOOL)
        return type_

    def _key_type(self, type_: Type) -> Type:
        """The type of the keys of a dict."""
        key = self.generic_type(type_)
        definition = class_of(key)
        if definition is not None and definition.kind is ClassKind.CLASS:
            raise CompileError(
                f"Could not export a dict whose keys are objects of class "
                f"{definition.name.rpartition('.')[2]}: archives do not compare keys by methods"
            )
        return key

    def _tuple(self, type_: TupleType) -> Type:
        elements = tuple(map(self.generic_type, type_.elements))
        if type_.name is None:
            return TupleType(elements)
        if isinstance(type_.cls, type):
            definition = self.class_of(type_.cls, type_.name)
            return TupleType(elements, definition.name, type_.fields, definition)
        return replace(type_, elements=elements)

    def class_of(self, cls: type, name: str = "") -> ClassDef:
        """The program's class for one of Python; `name` is how a type calls it."""
        found = self._python.get(cls)
        if found is None:
            wanted = name if name.startswith(ROOT) else qualified_name(cls)
            found = ClassDef(self.names.unique(wanted), python=cls)
            self._python[cls] = self.program.classes[found.name] = self._adopted[found] = found
            self._describe(cls, found)
        return found

    def _describe(self, cls: Any, definition: ClassDef) -> None:
        if is_context(cls):
            describe_context(cls, definition)
        elif issubclass(cls, tuple):
            definition.kind = ClassKind.NAMED_TUPLE
            declared = named_tuple_type(cls)
            definition.fields = {
                name: Field(self.generic_type(type_))
                for name, type_ in zip(declared.fields, declared.elements, strict=True)
            }
            definition.defaults = dict(cls._field_defaults)
        elif issubclass(cls, enum.Enum):
            definition.kind = ClassKind.ENUM
            definition.members = {name: member.value for name, member in cls.__members__.items()}
        elif is_script_class(cls):
            self.classes.describe(cls, definition)
        else:
            raise CompileError(
                f"Could not export objects of class {cls.__qualname__}: archives have classes with "
                "fields of one type each and methods in Python, enums and named tuples"
            )

    def adopt(self, definition: ClassDef) -> ClassDef:
        """The class of another program, one that was loaded, as one of this program."""
        made = self._adopted.get(definition)
        if made is not None:
            return made
        made = replace(definition, name=self.names.unique(definition.name), methods={})
        self._adopted[definition] = self._adopted[made] = made
        self.program.classes[made.name] = made
        made.fields = {
            name: replace(field, type=self.generic_type(field.type))
            for name, field in definition.fields.items()
        }
        made.constants = {
            name: (self.generic_type(type_), value)
            for name, (type_, value) in definition.constants.items()
        }
        for name, method in definition.methods.items():
            made.methods[name] = replace(method, graph=self.graph(method.graph))
        return made

    def object_class(self, value: Any) -> ClassDef | None:
        """The class of an object of the program, None for plain data."""
        definition = getattr(type(value), "definition", None)
        if isinstance(definition, ClassDef):
            return self.adopt(definition)
        return self._python.get(type(value))

    def attribute(self, owner: Any, name: str) -> Any:
        """What the field of an object holds."""
        return getattr(owner, name)

    # graphs -----------------------------------------------------------------------------------

    def function(self, graph: Graph, wanted: str) -> str:
        """A called graph as a function of the program; its name."""
        name = self._functions.get(graph)
        if name is None:
            name = self._functions[graph] = self.names.unique(wanted)
            method = Method(name.rpartition(".")[2], self.graph(graph))
            known = self._known.setdefault((wanted, code_of(method, name)), name)
            if known != name:  # the same code was met before
                self.names.release(name)
                name = self._functions[graph] = known
            else:
                self.program.functions[name] = method
        return name

    def graph(self, graph: Graph) -> Graph:
        """A copy in generic form, legal for TorchScript."""
        made = graph.copy()
        self.generalize(made)
        return made

    def generalize(self, graph: Graph) -> None:
        """Bring a graph of our own into generic form."""
        self.results[graph] = [v.type for v in graph.returns]
        self.parameters[graph] = {v.name: v.type for v in graph.params if v.name}
        check_globals(graph)
        write_texts(graph)
        lower_tries(graph)
        cut(graph)
        finish_raises(graph)
        lower_sets(graph)
        lower_default_dicts(graph)
        for value in values_of(graph.block):
            value.type = self._value_type(value)
        retype(graph, self.classes)
        lower_texts(graph)
        lower_subscripts(graph)
        for node in list(graph.walk()):
            self.rewrite(node)
        legalize(graph)
        prune(graph)

    def _value_type(self, value: Value) -> Type:
        """The type of a value; an error has the place of the value."""
        try:
            return self.generic_type(value.type)
        except CompileError as error:
            nodes = (value.node, *(user for user, _ in value.uses))
            spans = (node.span for node in nodes if node is not None)
            span = error.span or next(filter(None, spans), None)
            raise CompileError(error.message, span) from None

    def rewrite(self, node: Node) -> None:
        """One node in generic form."""
        if node.name in ("prim::CallFunction", "prim::fork"):
            wanted = node.attrs["name"]
            if not wanted.startswith(ROOT):
                wanted = qualified_name(node.attrs.get("function"), wanted)
            node.attrs = {"name": self.function(node.attrs["graph"], wanted)}
        elif node.name == "prim::GetAttr":
            self._rewrite_read(node)
        elif node.name == "prim::PythonOp":
            self._rewrite_python(node)
        elif node.name == "prim::Constant":
            self._rewrite_constant(node)
        elif node.name == "prim::isinstance":
            tested = _tested_types(node.inputs[0].type, node.attrs)
            if node.inputs[0].type == ANY and not _CODES.isdisjoint(tested):
                raise CompileError(
                    "Could not export a test for a dtype, layout or memory format: these are ints "
                    "in archives",
                    node.span,
                )
            node.attrs["types"] = tuple(map(self.generic_type, tested))

    def _rewrite_read(self, node: Node) -> None:
        """An attribute has the type of its field."""
        name, definition = node.attrs["name"], class_of(node.inputs[0].type)
        node.output.name = node.output.name or name
        if definition is not None and name in definition.fields:
            node.output.type = definition.fields[name].type

    def _rewrite_constant(self, node: Node) -> None:
        value = node.attrs.get("value")
        if isinstance(value, enum.IntFlag):
            node.attrs["value"] = int(value)
        elif node.output.type == INT and value is not None and not isinstance(value, int):
            node.attrs["value"] = dtypes.code_of(value)
        elif is_context(type(value)):
            make_context(node, self.class_of(type(value)))
        elif node.output.type == ANY:
            make_data(node)

    def _rewrite_python(self, node: Node) -> None:
        """A call back into Python, as far as archives have a word for it."""
        function = node.attrs["function"]
        if isinstance(function, type) and is_context(function):
            make_context(node, self.class_of(function))
            return
        if is_flag(function):
            node.output.replace_all_uses_with(node.inputs[0])
            node.erase()
            return
        table = getattr(function, "__self__", None)
        if isinstance(table, Capture) and not table.is_live:
            held = list(table.value) if isinstance(table.value, tuple) else table.value
            made = Builder.before(node).const(held, node.output.type)
            node.output.replace_all_uses_with(made)
            node.erase()
            return
        resolve_text_method(node)
        graph, inputs = self._callee(node) or (None, [])
        if graph is None or len(graph.params) != len(inputs):
            lower_call(node, _is_enum)
            return
        name = self.function(graph, f"{ROOT}.relume.{graph.name}")
        call = Builder.before(node).node(
            "prim::CallFunction", inputs, [v.type for v in node.outputs], {"name": name}
        )
        for old, new in zip(node.outputs, call.outputs, strict=True):
            old.replace_all_uses_with(new)
        node.erase()


    def _callee(self, call: Node) -> tuple[Graph, list[Value]] | None:
        """A graph with the meaning of a callback and its inputs, None without one."""
        function = call.attrs["function"]
        if isinstance(function, Savable):
            form = function.archive_form()
            return (form.graph, call.inputs) if isinstance(form, FunctionForm) else None
        known = foreign_graph(function) or lookup_graph(call)
        return (known, call.inputs) if known else substitute(call, self.generic_type)


def _tested_types(given: Type, attrs: dict[str, Any]) -> list[Type]:
    """What `isinstance` tests for; a bare `list` stands for the lists that a value may be."""
    found: list[Type] = []
    members = given.members if isinstance(given, UnionType) else (given,)
    for type_, cls in zip(attrs["types"], attrs["classes"], strict=True):
        kind = _CONTAINERS.get(cls) if isinstance(cls, type) else None
        of_kind = [m for m in members if kind is not None and isinstance(m, kind)]
        found += of_kind or [_BARE.get(cls, type_)]
    return found


def _is_enum(value: Value) -> bool:
    definition = class_of(value.type)
    return definition is not None and definition.kind is ClassKind.ENUM


def code_of(method: Method, name: str) -> Hashable:
    """What tells methods apart: their source, but for the name of the thing that they belong to,
    and the constants that it refers to.
    """
    constants = Constants()
    text = write_method(method, constants)
    return text.replace(name, "?"), tuple(map(id, constants.values))


def values_of(block: Block) -> Iterator[Value]:
    """Every value that a block and those inside define."""
    yield from block.params
    for node in block.walk():
        yield from node.outputs
        for inner in node.blocks:
            yield from inner.params


def placeholder(form: FunctionForm) -> tuple[Generalizer, ClassDef]:
    """The program of one function: a module without state whose forward it is."""
    made = Generalizer()
    definition = ClassDef(made.names.unique(PLACEHOLDER))
    definition.fields["training"] = Field(BOOL)
    made.program.classes[definition.name] = made._adopted[definition] = definition
    generic = made.graph(form.graph)
    receive_self(generic, definition)
    definition.methods["forward"] = Method(
        "forward", generic, dict(form.defaults), undeclared=form.undeclared
    )
    return made, definition


def receive_self(graph: Graph, definition: ClassDef) -> Value:
    """Let a graph have `self` as its first parameter."""
    value = graph.block.add_param(definition.type, "self")
    graph.block.params.insert(0, graph.block.params.pop())
    return value
