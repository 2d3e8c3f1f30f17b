"""Functions that call themselves, or one another in a circle. TorchScript does not compile them,
but what it knows by an interface it calls when the code runs:

    def f(n):                  class f_interface(Interface): def call(self, n) ...
        ... f(n - 1) ...       class f_object:
                        ==>      calls : List[f_interface]
                                 def call(self, n): ... (self.calls[0]).call(n - 1) ...
                               def f(n):
                                 made = f_object; made.calls = [made]; made.call(n)

The list is emptied at the end, as it holds what holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ir import (
    Builder,
    ClassDef,
    ClassKind,
    Field,
    Graph,
    ListType,
    Method,
    Node,
    ObjectType,
    Program,
    Type,
    Value,
    record,
    replace,
)
from jit.archive.generalize import receive_self

_CALL = "call"


@record
class _Recursive:
    """A function of a circle: the interface that others call it by, and the class behind that."""

    function: Method
    interface: ClassDef
    definition: ClassDef
    field: str


def lower_recursion(program: Program, unique: Callable[[str], str]) -> bool:
    """Change the functions of a program that call themselves, if there are any; `unique` makes
    names of classes.
    """
    is_changed = False
    for circle in _circles(program):
        made = {
            name: _declare(program.functions[name], name, f"calls{position}", unique)
            for position, name in enumerate(circle)
        }
        for each in made.values():
            _define(each, made)
        for name, each in made.items():
            program.functions[name] = replace(each.function, graph=_entry(each, made))
            for definition in (each.interface, each.definition):
                program.classes[definition.name] = definition
        is_changed = True
    return is_changed


# circles ------------------------------------------------------------------------------------------
def _circles(program: Program) -> Iterator[list[str]]:
    """The groups of functions that reach one another by calls; tasks are started by name only."""
    called = {n: {c.attrs["name"] for c in _calls(m.graph)} for n, m in program.functions.items()}
    reached = {name: _reached(name, called) for name in called}
    seen: set[str] = set()
    for name in called:
        if name in reached[name] and name not in seen:
            circle = [n for n in called if n in reached[name] and name in reached[n]]
            seen.update(circle)
            nodes = [n for other in circle for n in program.functions[other].graph.walk()]
            if not any(n.name == "prim::fork" and n.attrs["name"] in circle for n in nodes):
                yield circle


def _calls(graph: Graph) -> list[Node]:
    return [n for n in graph.walk() if n.name == "prim::CallFunction"]


def _reached(name: str, called: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        more = called.get(pending.pop(), set()) - found
        found |= more
        pending += more
    return found


# classes ------------------------------------------------------------------------------------------
def _declare(
    function: Method, name: str, field: str, unique: Callable[[str], str]
) -> _Recursive:
    interface = ClassDef(unique(f"{name}_interface"), ClassKind.INTERFACE)
    graph = Graph(_CALL)
    for param in function.graph.params:
        graph.block.add_param(param.type, param.name)
    (result,) = function.graph.returns
    graph.block.add_return(
        Builder(graph.block).node("prim::Uninitialized", (), [result.type]).output
    )
    receive_self(graph, interface)
    interface.methods[_CALL] = Method(_CALL, graph)
    definition = ClassDef(unique(f"{name}_object"), ClassKind.CLASS)
    return _Recursive(function, interface, definition, field)


def _define(each: _Recursive, circle: dict[str, _Recursive]) -> None:
    """The class whose method is the function, with the others of the circle as fields."""
    graph = each.function.graph.copy()
    owner = receive_self(graph, each.definition)
    for node in _calls(graph):
        callee = circle.get(node.attrs["name"])
        if callee is not None:
            type_ = _held(callee)
            each.definition.fields.setdefault(callee.field, Field(type_))
            _call_by_interface(node, owner, callee, type_)
    each.definition.methods[_CALL] = Method(_CALL, graph)


def _held(each: _Recursive) -> ListType:
    return ListType(each.interface.type)


def _call_by_interface(node: Node, owner: Value, callee: _Recursive, type_: ListType) -> None:
    b = Builder.before(node)
    held = b.node("prim::GetAttr", [owner], [type_], {"name": callee.field}).output
    held.name = callee.field
    target = b.op("aten::__getitem__", held, 0)
    made = b.node(
        "prim::CallMethod", [target, *node.inputs], [v.type for v in node.outputs], {"name": _CALL}
    )
    for old, new in zip(node.outputs, made.outputs, strict=True):
        new.name = old.name
        old.replace_all_uses_with(new)
    node.erase()


def _entry(each: _Recursive, circle: dict[str, _Recursive]) -> Graph:
    """The function that others call."""
    function = each.function.graph
    graph = Graph(function.name)
    given = [graph.block.add_param(p.type, p.name) for p in function.params]
    b = Builder(graph.block)
    objects = {n: _create(b, other.definition.type) for n, other in circle.items()}
    lists = {
        other.field: b.list_([_as_interface(b, objects[name], other)])
        for name, other in circle.items()
    }
    for name, other in circle.items():
        for field in other.definition.fields:
            b.node("prim::SetAttr", [objects[name], lists[field]], (), {"name": field})
    results = [v.type for v in function.returns]
    called = next(objects[name] for name, other in circle.items() if other is each)
    made = b.node("prim::CallMethod", [called, *given], results, {"name": _CALL}).output
    for held in lists.values():
        b.op("aten::clear", held)
    graph.block.add_return(made)
    return graph


def _as_interface(b: Builder, made: Value, each: _Recursive) -> Value:
    return b.node("prim::unchecked_cast", [made], [each.interface.type]).output


def _create(b: Builder, type_: Type) -> Value:
    assert isinstance(type_, ObjectType)
    return b.node("prim::CreateObject", (), [type_]).output
