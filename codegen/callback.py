"""Calling back: nodes without a native form run in Python, on objects.

The nodes become a graph of their own, whose parameters are the values that they read from outside
and whose returns are what others read of them; its Python function is a constant of the plan. So
every graph that the front ends accept has a body.

That function is the interpreter, or for nodes that resume compiled code (`Callback.resumes`) a
function that goes through the tiers itself, with the types that its arguments then have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from codegen.attention.attend import spell_out
from codegen.fusible import REGISTERS
from codegen.operands import Known
from codegen.partition import Callback
from ir import (
    Block,
    Builder,
    Graph,
    Interpreter,
    ListType,
    OptionalType,
    Sym,
    TensorType,
    TupleType,
    Type,
    Value,
    copy_node,
    optional,
    record,
)


@record
class Outlined:
    """A callback as a function: its arguments, its results in order (one result comes bare, several
    as a tuple).
    """

    function: Callable[..., Any]
    graph: Graph
    arguments: Sequence[Value]
    results: Sequence[Value]
    is_part: bool = False
    """Whether the function goes through the tiers."""


Compile = Callable[[Graph], Callable[..., Any]]
"""Makes a function of a graph that goes through the tiers."""


def outline(callback: Callback, known: Known, compile_later: Compile | None = None) -> Outlined:
    """Make the function of a callback; constants become part of it."""
    inside = {v for n in callback.nodes for v in n.outputs}
    results = [
        v
        for n in callback.nodes
        for v in n.outputs
        if any(user not in callback.nodes for user, _ in v.uses)
    ]
    arguments: list[Value] = []
    graph = Graph("part" if callback.resumes else "callback")
    builder = Builder(graph.block)
    env: dict[Value, Value] = {}
    for value in _outside_reads(callback, inside):
        constant = known.get(value, value)
        if isinstance(constant, Value) or _is_symbolic(constant):
            env[value] = graph.block.add_param(value.type, f"value{len(arguments)}")
            arguments.append(value)
        else:
            env[value] = builder.const(constant, value.type)
    for node in callback.nodes:
        graph.block.append(copy_node(node, env))
    found = [env[v] for v in results]
    graph.block.set_returns(found)
    spell_out(graph)
    found = list(graph.block.returns)
    is_part = callback.resumes and results and all(map(_is_plain, arguments))
    if is_part and compile_later is not None:
        if len(found) > 1:
            made = TupleType(tuple(v.type for v in found))
            found = [builder.node("prim::TupleConstruct", found, [made]).output]
        graph.block.set_returns(found)
        _forget_types(graph.block)
        return Outlined(compile_later(graph), graph, arguments, results, is_part=True)
    return Outlined(Interpreter(graph).function, graph, arguments, results)


def _is_plain(value: Value) -> bool:
    """Whether plans take arguments of the value's type."""
    type_ = value.type
    while isinstance(type_, ListType | OptionalType):
        type_ = type_.element
    return isinstance(type_, TensorType) or type_ in REGISTERS


def _forget_types(block: Block) -> None:
    """What the plan around a callback knows of tensors need not hold for the next call."""
    for value in (*block.params, *(v for n in block.nodes for v in n.outputs)):
        value.type = _forgotten(value.type)
    for node in block.nodes:
        for inner in node.blocks:
            _forget_types(inner)


def _forgotten(type_: Type) -> Type:
    match type_:
        case TensorType():
            return type_.erased()
        case ListType(element=element) if type(type_) is ListType:
            return ListType(_forgotten(element))
        case OptionalType(element=element):
            return optional(_forgotten(element))
        case TupleType(elements=elements) if type_.cls is None:
            return TupleType(tuple(map(_forgotten, elements)))
    return type_


def _is_symbolic(constant: Any) -> bool:
    if isinstance(constant, list | tuple):
        return any(map(_is_symbolic, constant))
    return isinstance(constant, (Sym, Value))


def _outside_reads(callback: Callback, inside: set[Value]) -> list[Value]:
    """Values from outside that the nodes and their blocks read, in order of first use."""
    reads: dict[Value, None] = {}
    defined = set(inside)
    for node in callback.nodes:
        for block in node.blocks:
            defined |= set(block.params)
            for inner in block.walk():
                defined |= {*inner.outputs, *(p for b in inner.blocks for p in b.params)}
    for node in callback.nodes:
        for value in (
            *node.inputs,
            *(v for b in node.blocks for v in b.returns),
            *(
                v
                for b in node.blocks
                for n in b.walk()
                for v in (*n.inputs, *(r for c in n.blocks for r in c.returns))
            ),
        ):
            if value not in defined:
                reads.setdefault(value)
    return list(reads)
