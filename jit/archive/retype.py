"""Objects of user classes in archives: what the front end leaves to Python, as their fields may
hold anything there, has the types of the class here.

    prim::PythonOp[getattr](%p, "x")              %x : int = prim::GetAttr[name="x"](%p)
    prim::PythonOp[call_method](%p, "norm", [])   %n : int = prim::CallMethod[name="norm"](%p)
    %s : Any = prim::PythonOp[operator_add]       %s : int = aten::add(%x, %n)

Types are followed forward. A loop's variable is taken to keep the type that it starts with, which
the end of the body then must have.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from string import Formatter
from typing import Protocol

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    STR,
    Block,
    Builder,
    ClassDef,
    ClassKind,
    CompileError,
    Graph,
    ListType,
    Node,
    TupleType,
    Type,
    Value,
    is_subtype,
    join,
)
from jit.archive.enums import read_attribute, read_data
from jit.archive.library_calls import operator_value
from jit.script.library import library_name

_IMMUTABLE = (BOOL, INT, FLOAT, COMPLEX, STR)


class Classes(Protocol):
    """Where the classes of objects are described."""

    def class_of_objects(self, type_: Type) -> ClassDef | None:
        """The class of a type's objects if they are made of fields, None for other types."""
        ...

    def call(
        self, builder: Builder, definition: ClassDef, name: str, given: Sequence[Value]
    ) -> Value | None:
        """A call of a method on its object and arguments; None without such a method."""
        ...

    def compares(self, definition: ClassDef, name: str) -> bool:
        """Whether a class has a method to compare two objects, which is written then."""
        ...

    def property_getter(self, definition: ClassDef, name: str) -> bool:
        """Whether a name is that of a property."""
        ...

    def declare_field(self, definition: ClassDef, name: str, type_: Type) -> Type | None:
        """The type of a field; a new one is declared by its class's `__init__` only."""
        ...


def retype(graph: Graph, classes: Classes) -> None:
    """Change a graph in place; CompileError for an object that has no fixed types."""
    has_objects = any(classes.class_of_objects(v.type) for v in graph.block.values())
    if has_objects or any(map(_is_typed_now, graph.walk())):
        _Retyper(classes).block(graph.block)


def _is_typed_now(node: Node) -> bool:
    """Whether an operator left to Python is one of numbers here, as flags are."""
    return (
        node.name == "prim::PythonOp"
        and bool(node.inputs)
        and all(v.type in _IMMUTABLE for v in node.inputs)
        and [v.type for v in node.outputs] == [ANY]
    )


class _Retyper:
    def __init__(self, classes: Classes) -> None:
        self.classes = classes

    def block(self, block: Block) -> None:
        """Every node, in the order of the run."""
        for node in list(block.nodes):
            match node.name:
                case "prim::If":
                    self._if(node)
                case "prim::Loop":
                    self._loop(node)
                case "prim::unchecked_cast" if node.inputs[0].type == node.output.type:
                    _replace(node, node.inputs[0])
                case "prim::SetAttr":
                    self._set(node, node.attrs["name"], *node.inputs)
                case "prim::PythonOp":
                    self._python(node)
                case "prim::ListConstruct":
                    self._list(node)
                case "aten::str":
                    owner = self.classes.class_of_objects(node.inputs[0].type)
                    if owner is not None:
                        self._text_of(node, owner)
                case "aten::format":
                    self._format(node)
                case name if name in _COMPARING:
                    self._compare(node, _COMPARING[name])

    def _list(self, node: Node) -> None:
        """Objects in a list are of one class."""
        assert isinstance(node.output.type, ListType)
        element = node.output.type.element
        owner = self.classes.class_of_objects(element)
        for value in node.inputs:
            if owner is not None and value.type != element:
                raise _refused(node, owner, f"is in a list with a {value.type}")

    def _if(self, node: Node) -> None:
        for block in node.blocks:
            self.block(block)
        for position, output in enumerate(node.outputs):
            if output.type == ANY:
                output.type = join(*(block.returns[position].type for block in node.blocks)) or ANY

    def _loop(self, node: Node) -> None:
        (body,) = node.blocks
        opened = [i for i, v in enumerate(node.outputs) if v.type == ANY]
        for i in opened:
            body.params[i + 1].type = node.outputs[i].type = node.inputs[i + 2].type
        self.block(body)
        for i in opened:
            start, end = node.outputs[i].type, body.returns[i + 1].type
            if not is_subtype(end, start):
                raise CompileError(
                    f"Could not export a loop whose variable starts as {start} and becomes {end}: "
                    "give it one type",
                    node.span,
                )

    def _format(self, node: Node) -> None:
        """Objects stand in a text with what `str`, or for `!r` `repr`, gives of them."""
        owners = [self.classes.class_of_objects(v.type) for v in node.inputs[1:]]
        if not any(owners):
            return
        builder, pattern, position = Builder.before(node), "", 0
        for literal, name, spec, conversion in Formatter().parse(_text(node.inputs[0])):
            pattern += literal.replace("{", "{{").replace("}", "}}")
            if name is None:
                continue
            owner, position = owners[position], position + 1
            text = None
            for method in ("__repr__",) if conversion == "r" else ("__str__", "__repr__"):
                if owner is not None and text is None:
                    given = [node.inputs[position]]
                    text = self.classes.call(builder, owner, method, given)
            if text is not None:
                node.replace(position, text)
            shown = f"!{conversion}" if conversion and text is None else ""
            pattern += f"{{{name}{shown}{f':{spec}' if spec else ''}}}"
        node.replace(0, builder.const(pattern))

    def _compare(self, node: Node, method: str) -> None:
        """Objects in a list are compared by a method of their class, which is written then."""
        type_ = node.inputs[0].type
        if not isinstance(type_, ListType):
            return
        owner = self.classes.class_of_objects(type_.element)
        if owner is None or self.classes.compares(owner, method) or method == "__eq__":
            return  # objects without `==` are equal to themselves only
        raise _refused(node, owner, f"has no method {method!r} with Python source")

    def _python(self, node: Node) -> None:
        name = library_name(node.attrs["function"]) or ""
        if name == "sorted_plain":
            self._compare(node, "__lt__")
        is_search = name == "call_method" and _text(node.inputs[1]) in _SEARCHES
        if is_search or name == "operator_contains":
            self._compare(node, "__eq__")
        if name.startswith("operator_"):
            read_data(node)
        owner = self.classes.class_of_objects(node.inputs[0].type) if node.inputs else None
        if owner is not None and name in _ON_OBJECTS:
            _ON_OBJECTS[name](self, node, owner)
        elif owner is not None and name in _TEXTS and self._text_of(node, owner):
            return
        elif owner is not None and name.startswith("operator_"):
            self._operator(node, owner, name.removeprefix("operator_").strip("_"))
        elif owner is not None and name in _ITERATING and owner.kind is ClassKind.CLASS:
            raise _refused(node, owner, f"is gone over by {name!r}: write a loop in its class")
        elif node.outputs and node.output.type == ANY:
            lower_operator(node, name)
        elif node.outputs and name == "bool" and node.inputs[0].type == BOOL:
            _replace(node, node.inputs[0])

    def _get(self, node: Node, definition: ClassDef) -> None:
        name = _text(node.inputs[1])
        builder = Builder.before(node)
        if name in definition.fields:
            _replace(node, _field(builder, node.inputs[0], definition, name))
        elif self.classes.property_getter(definition, name):
            self._call(node, definition, name, node.inputs[:1])
        elif isinstance(definition.python, enum.EnumMeta) and (
            made := read_attribute(builder, node.inputs[0], definition.python, name)
        ):
            _replace(node, made)
        else:
            raise _refused(node, definition, f"has no field {name!r}")

    def _setattr(self, node: Node, definition: ClassDef) -> None:
        owner, name, value = node.inputs
        builder = Builder.before(node)
        made = builder.node("prim::SetAttr", [owner, value], (), {"name": _text(name)})
        node.erase()
        self._set(made, _text(name), owner, value)

    def _set(self, node: Node, name: str, owner: Value, value: Value) -> None:
        definition = self.classes.class_of_objects(owner.type)
        if definition is None:
            return
        type_ = self.classes.declare_field(definition, name, value.type)
        if type_ is None:
            raise _refused(node, definition, f"gets the field {name!r} outside of __init__")
        if type_ == FLOAT and value.type == INT:
            node.replace(1, Builder.before(node).op("aten::Float", value))
        elif not is_subtype(value.type, type_):
            raise _refused(node, definition, f"has a {type_} in {name!r}, not a {value.type}")

    def _call_method(self, node: Node, definition: ClassDef) -> None:
        owner, name, keys, *args = node.inputs
        self._call_with(node, definition, _text(name), keys, [owner, *args])

    def _call_object(self, node: Node, definition: ClassDef) -> None:
        owner, keys, *args = node.inputs
        self._call_with(node, definition, "__call__", keys, [owner, *args])

    def _call_with(
        self, node: Node, definition: ClassDef, name: str, keys: Value, inputs: Sequence[Value]
    ) -> None:
        if keys.node is None or keys.node.inputs:
            raise _refused(node, definition, f"has {name!r} called with keywords")
        self._call(node, definition, name, inputs)

    def _operator(self, node: Node, definition: ClassDef, name: str) -> None:
        names = (name, name[1:]) if name.startswith("i") else (name,)
        for candidate in names:
            if self._try_call(node, definition, f"__{candidate}__", node.inputs):
                return
        if name in _SUBSCRIPTS and definition.kind is ClassKind.CLASS:
            raise _refused(node, definition, f"has no method '__{name}__'")

    def _text_of(self, node: Node, definition: ClassDef) -> bool:
        """`str` and `repr` of an object whose class says what they are; False for others."""
        names = ("__str__", "__repr__") if node.name == "aten::str" else ("__repr__",)
        return any(self._try_call(node, definition, name, node.inputs[:1]) for name in names)

    def _call(self, node: Node, definition: ClassDef, name: str, inputs: Sequence[Value]) -> None:
        if not self._try_call(node, definition, name, inputs):
            raise _refused(node, definition, f"has no method {name!r} with Python source")

    def _try_call(
        self, node: Node, definition: ClassDef, name: str, inputs: Sequence[Value]
    ) -> bool:
        made = self.classes.call(Builder.before(node), definition, name, inputs)
        if made is None:
            return False
        if node.outputs:
            _replace(node, made)
        else:
            node.erase()
        return True


_TEXTS = ("str", "repr")
_SEARCHES = ("index", "count", "remove")
_COMPARING = {
    **dict.fromkeys(("aten::sort", "aten::sorted"), "__lt__"),
    **{f"aten::{n}": "__eq__" for n in ("__contains__", "eq", "ne", *_SEARCHES)},
}
_SUBSCRIPTS = ("contains", "getitem", "setitem", "delitem")
_ITERATING = ("list", "tuple", "iter", "next", "len", "sum", "sorted_plain")
_ON_OBJECTS = {
    "getattr": _Retyper._get,
    "setattr": _Retyper._setattr,
    "call_method": _Retyper._call_method,
    "call": _Retyper._call_object,
}


def lower_operator(node: Node, name: str) -> bool:
    """An operator on values that turn out to have types; False where there is none."""
    if any(v.type == ANY for v in node.inputs) or not node.inputs:
        return False
    plain = name.replace("operator_i", "operator_", 1)
    is_plain = name.startswith("operator_i") and node.inputs[0].type in _IMMUTABLE
    made = operator_value(node, plain if is_plain else name)
    if made is not None and node.outputs:
        _replace(node, made)
    return made is not None and bool(node.outputs)


def _field(builder: Builder, owner: Value, definition: ClassDef, name: str) -> Value:
    """A field of an object, or of a named tuple."""
    type_ = definition.fields[name].type
    if isinstance(owner.type, TupleType):
        position = builder.const(owner.type.fields.index(name))
        return builder.node("prim::TupleIndex", [owner, position], [type_]).output
    made = builder.node("prim::GetAttr", [owner], [type_], {"name": name}).output
    made.name = name
    return made


def _text(value: Value) -> str:
    known = value.node.attrs.get("value") if value.node is not None else None
    return known if isinstance(known, str) else ""


def _refused(node: Node, definition: ClassDef, what: str) -> CompileError:
    name = definition.name.rpartition(".")[2]
    return CompileError(f"Could not export objects of class {name}: one {what}", node.span)


def _replace(node: Node, value: Value) -> None:
    node.output.replace_all_uses_with(value)
    node.erase()
