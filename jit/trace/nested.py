"""A trace as one graph of the traced function's own parameters: nested inputs are taken apart and
nested outputs put together inside of the graph, as archives need it.

    graph(%pair : (Tensor, Tensor)):               # f({"x": x, "y": y}) was traced
      %x, %y = prim::TupleUnpack(%pair)
      ...                                          the trace
      %5 : Dict(str, Tensor) = prim::DictConstruct(...)
      return (%5)
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from ir import (
    ANY,
    Builder,
    DictType,
    Graph,
    ListType,
    TupleType,
    UnsupportedError,
    Value,
    copy_node,
)
from jit.trace.structure import CONSTANT, LEAF, Structure


def nested_graph(
    graph: Graph, signature: inspect.Signature, inputs: Structure, result: Structure
) -> tuple[Graph, dict[str, Any]]:
    """The graph, and the values of the parameters that are constants of the trace."""
    made = Graph(graph.name)
    builder = Builder(made.block)
    args, kwargs = inputs.parts
    structures = dict(zip(signature.parameters, args.parts, strict=False))
    structures |= dict(zip(kwargs.keys, kwargs.parts, strict=True))
    leaves: list[Value] = []
    for name, structure in structures.items():
        _take(builder, made.block.add_param(_typed(structure, name), name), structure, leaves)
    env = dict(zip(graph.params, leaves, strict=True))
    for node in graph.block.nodes:
        made.block.append(copy_node(node, env))
    (output,) = (env.get(v, v) for v in graph.returns)
    outputs = [output] if result.leaf_count == 1 else builder.unpack(output)
    made.block.add_return(_give(builder, result, iter(outputs)))
    if output.node is not None and not output.uses:
        output.node.erase()
    return made, _constants(structures)


def _constants(structures: Mapping[str, Structure]) -> dict[str, Any]:
    return {name: s.constant for name, s in structures.items() if s.kind is CONSTANT}


def _typed(structure: Structure, what: str) -> Any:
    if structure.type == ANY:
        raise UnsupportedError(
            f"{what} of the trace is a {structure}, which has no type in an archive: use tuples, "
            "lists of tensors, or dicts from str to tensors"
        )
    return structure.type


def _take(builder: Builder, value: Value, structure: Structure, leaves: list[Value]) -> None:
    """Collect the leaves of an argument."""
    if structure.kind is LEAF:
        leaves.append(value)
    if structure.kind is CONSTANT or structure.kind is LEAF:
        return
    types = [part.type for part in structure.parts]
    match value.type:
        case DictType():
            parts = [builder.op("aten::__getitem__", value, key) for key in structure.keys]
        case ListType():
            parts = builder.node("prim::ListUnpack", [value], types).outputs
        case _:
            parts = builder.node("prim::TupleUnpack", [value], types).outputs
    for part, inner in zip(parts, structure.parts, strict=True):
        _take(builder, part, inner, leaves)


def _give(builder: Builder, structure: Structure, leaves: Iterator[Value]) -> Value:
    """A result with these leaves."""
    if structure.kind is LEAF:
        return next(leaves)
    if structure.kind is CONSTANT:
        return builder.value(structure.constant)
    type_ = _typed(structure, "the result")
    parts = [_give(builder, part, leaves) for part in structure.parts]
    match type_:
        case DictType():
            pairs = zip(structure.keys, parts, strict=True)
            flat = [v for key, part in pairs for v in (builder.const(key), part)]
            return builder.node("prim::DictConstruct", flat, [type_]).output
        case ListType(element=element):
            return builder.list_(parts, element)
        case TupleType():
            return builder.tuple_(parts, type_)
    raise AssertionError(type_)
