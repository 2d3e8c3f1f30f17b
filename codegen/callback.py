"""Calling back: nodes without a native form run in the interpreter, on Python objects.

The nodes become a graph of their own, whose parameters are the values that they read from outside
and whose returns are what others read of them; its Python function is a constant of the plan. So
every graph that the front ends accept has a body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from codegen.operands import Known
from codegen.partition import Callback
from ir import Builder, Graph, Interpreter, Sym, Value, copy_node, record


@record
class Outlined:
    """A callback as a function: its arguments, its results in order (one result comes bare, several
    as a tuple).
    """

    function: Callable[..., Any]
    arguments: Sequence[Value]
    results: Sequence[Value]


def outline(callback: Callback, known: Known) -> Outlined:
    """Make the function of a callback; constants become part of it."""
    inside = {v for n in callback.nodes for v in n.outputs}
    results = [
        v
        for n in callback.nodes
        for v in n.outputs
        if any(user not in callback.nodes for user, _ in v.uses)
    ]
    arguments: list[Value] = []
    graph = Graph("callback")
    builder = Builder(graph.block)
    env: dict[Value, Value] = {}
    for value in _outside_reads(callback, inside):
        constant = known.get(value, value)
        if isinstance(constant, Value) or _is_symbolic(constant):
            arguments.append(value)
            env[value] = graph.block.add_param(value.type, value.name)
        else:
            env[value] = builder.const(constant, value.type)
    for node in callback.nodes:
        graph.block.append(copy_node(node, env))
    graph.block.set_returns([env[v] for v in results])
    return Outlined(Interpreter(graph).function, arguments, results)


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
