"""Which attributes of modules become constants of the graphs that read them, and which stay.

An attribute stays when it is preserved, when one of the graphs sets it or writes to its memory
(or to memory that another attribute shares), when a Python function that is called back has its
module in hand, or when it has no constant form, as objects and dicts have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Any

import torch

from ir import (
    PASSES,
    Aliases,
    Builder,
    Graph,
    Known,
    ListType,
    Node,
    TupleType,
    Type,
    Value,
    type_of,
)
from jit.captures import place_of
from jit.only_read import is_only_read
from jit.state import Place, bind_state


def isolated(graph: Graph) -> Graph:
    """A copy of a graph and of those that it calls, put in place of the calls where that can be."""
    return _isolated(graph, {})


def _isolated(graph: Graph, made: dict[Graph, Graph]) -> Graph:
    if graph in made:
        return made[graph]
    clone = made[graph] = graph.copy()
    PASSES["inline"].run(clone)
    for node in clone.walk():
        if isinstance(node.attrs.get("graph"), Graph):
            node.attrs["graph"] = _isolated(node.attrs["graph"], made)
    return clone


def all_graphs(graphs: Sequence[Graph]) -> list[Graph]:
    """Graphs and those that they call."""
    found: dict[Graph, None] = {}
    pending = list(graphs)
    while pending:
        graph = pending.pop()
        if graph not in found:
            found[graph] = None
            called = (node.attrs.get("graph") for node in graph.walk())
            pending += [g for g in called if isinstance(g, Graph)]
    return list(found)


def fold_state(graphs: Sequence[Graph], preserved: Set[Place]) -> None:
    """Replace attributes that the graphs read by constants, in place: plain data first, which
    decide branches, then the tensors that are still read.
    """
    reads = {place: value for g in graphs for _, place, value in _reads(g)}
    stay = set(preserved) | {place for g in graphs for place in _changed(g)}
    tensors = {place for place, value in reads.items() if isinstance(value, torch.Tensor)}
    for graph in graphs:
        bind_state(graph, stay | tensors)
    stay |= _written(graphs)
    for graph in graphs:
        bind_state(graph, stay)
        _bind_containers(graph, stay)
    held: dict[int, torch.Tensor] = {}
    for graph in graphs:
        _hold_tensors(graph, held)


def _bind_containers(graph: Graph, stay: Set[Place]) -> None:
    """Build containers that the graph only reads where it reads them; what is asked for their
    length alone becomes a number.
    """
    for node, place, value in list(_reads(graph)):
        if place in stay or not isinstance(value, list | tuple | dict):
            continue
        builder = Builder.before(node)
        if all(user.name == "aten::len" for user, _ in node.output.uses):
            for user, _ in list(node.output.uses):
                user.output.replace_all_uses_with(builder.const(len(value)))
                user.erase()
        elif is_only_read(node.output) and _has_form(value):
            made = _built(builder, value, node.output.type)
            node.output.replace_all_uses_with(made)
        if not node.output.uses:
            node.erase()


def _has_form(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_has_form, value))
    return value is None or isinstance(value, bool | int | float | str | torch.Tensor)


def _built(builder: Builder, value: Any, type_: Type) -> Value:
    """A value of a declared type, put together from constants."""
    match value, type_:
        case list(), ListType(element=element):
            return builder.list_([_built(builder, item, element) for item in value], element)
        case tuple(), TupleType(elements=elements):
            pairs = zip(value, elements, strict=True)
            return builder.tuple_([_built(builder, *pair) for pair in pairs], type_)
    return builder.const(value, type_ if isinstance(value, torch.Tensor) else None)


def object_of(value: Value) -> Any:
    """The object that a constant holds; None for anything else."""
    node = value.node
    return node.attrs.get("value") if node is not None and node.name == "prim::Constant" else None


def exposed(graphs: Sequence[Graph]) -> set[int]:
    """Identities of the modules that Python functions have in hand."""
    objects = (o for g in graphs for n in g.walk() for o in n.attrs.get("objects", ()))
    return {id(m) for o in objects if isinstance(o, torch.nn.Module) for m in o.modules()}


def _reads(graph: Graph) -> Iterator[tuple[Node, Place, Any]]:
    """Every read of an attribute of an object that the graph holds."""
    for node in graph.walk():
        obj = object_of(node.inputs[0]) if node.name == "prim::GetAttr" else None
        if obj is not None:
            name = node.attrs["name"]
            yield node, _place(obj, name), getattr(obj, name)


def _place(obj: Any, name: str) -> Place:
    holder, key = place_of(obj, name)
    return id(holder), key


def _changed(graph: Graph) -> Iterator[Place]:
    """Attributes that a graph sets, or that functions of Python may change."""
    hands = exposed([graph])
    for node in graph.walk():
        if node.name in ("prim::SetAttr", "prim::GetAttr"):
            obj = object_of(node.inputs[0])
            if obj is not None and (node.name == "prim::SetAttr" or id(obj) in hands):
                yield _place(obj, node.attrs["name"])


def _written(graphs: Sequence[Graph]) -> set[Place]:
    """Attributes whose memory a graph writes, and those that share it."""
    reads = {place: value for g in graphs for _, place, value in _reads(g)}
    written = {place for graph in graphs for place in _written_in(graph)}
    memory = {m for place in written & set(reads) for m in _memory(reads[place])}
    shared = {place for place, value in reads.items() if not memory.isdisjoint(_memory(value))}
    return written | shared


def _written_in(graph: Graph) -> Iterator[Place]:
    """Alias analysis where each attribute is a value that the graph is given."""
    scratch = graph.copy()
    values: dict[Place, Value] = {}
    for node, place, value in list(_reads(scratch)):
        if place not in values:
            values[place] = scratch.block.add_param(type_of(value))
        node.output.replace_all_uses_with(values[place])
    for name in ("fold", "invariant", "dce"):
        PASSES[name].run(scratch)
    _spare_statistics(scratch)
    written = Aliases(scratch).written_params(scratch)
    return (place for place, value in values.items() if value in written)


def _spare_statistics(graph: Graph) -> None:
    """Normalization outside of training only reads its statistics, whatever its schema says."""
    known = Known()
    for node in graph.walk():
        if node.name in ("aten::batch_norm", "aten::instance_norm"):
            formals = {a.name: k for k, a in enumerate(node.op.schema.arguments)}
            mode = formals["training" if "training" in formals else "use_input_stats"]
            if known.get(node.inputs[mode]) is False:
                for name in ("running_mean", "running_var"):
                    node.replace(formals[name], node.inputs[0])


def _memory(value: Any) -> Iterator[int]:
    """The storages behind a value."""
    match value:
        case torch.Tensor() if value.layout is torch.strided and not value.is_nested:
            yield value.untyped_storage()._cdata
        case list() | tuple():
            for item in value:
                yield from _memory(item)
        case dict():
            yield from _memory(list(value.values()))


def _hold_tensors(graph: Graph, held: dict[int, torch.Tensor]) -> None:
    """Let each tensor constant be a tensor of the graphs' own, which shares memory with what it
    was and needs no gradient.
    """
    for node in graph.walk():
        value = node.attrs.get("value")
        if node.name == "prim::Constant" and isinstance(value, torch.Tensor):
            node.attrs["value"] = own = held.setdefault(id(value), value.detach())
            held[id(own)] = own
            node.output.type = type_of(own)
