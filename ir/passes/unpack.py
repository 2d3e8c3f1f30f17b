"""Reading a container that the graph itself has made gives what it was made of.

%p = prim::TupleConstruct(%a, %b)
%x, %y = prim::TupleUnpack(%p)              ->    %a for %x, %b for %y
%l = prim::ListConstruct(%a, %b)
%z = aten::__getitem__(%l, 1)               ->    %b for %z, when nobody changes the list
%m = aten::add(%l, %l)                      ->    %m = prim::ListConstruct(%a, %b, %a, %b)
%d = prim::DictConstruct("k", %a)
%v = aten::__getitem__(%d, "k")             ->    %a for %v, when nobody changes the dict
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.builder import Builder
from ir.graph import Block, Graph, Node, Value
from ir.op import Effect
from ir.ops.control import CONSTANT, DICT, LIST, LIST_UNPACK, TUPLE, TUPLE_INDEX, TUPLE_UNPACK
from ir.ops.methods import COMPOSING, DICTS, GET_ITEM, LONGEST

_KEEPERS = ("prim::CallFunction", "prim::PythonOp", DICT.name, LIST.name, TUPLE.name)


def run(graph: Graph) -> bool:
    """Replace every read of a known container."""
    return _run_in(graph.block)


def _run_in(block: Block) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _run_in(inner)
        changed |= _compose(node)
        for output, item in zip(node.outputs, _items(node), strict=False):
            changed |= bool(output.uses)
            output.replace_all_uses_with(item)
        if node.op is TUPLE_UNPACK:
            changed |= _drop(node)
    return changed


def _drop(unpack: Node) -> bool:
    """Erase the reading of a tuple, and the tuple, if nothing needs them: a use of an element
    could keep later passes from replacing what computes it.
    """
    source = unpack.inputs[0].node
    if source is None or source.op is not TUPLE or any(v.uses for v in unpack.outputs):
        return False
    unpack.erase()
    if not source.output.uses:
        source.erase()
    return True


def _compose(node: Node) -> bool:
    """Make a short list directly that is composed of known ones."""
    compose = COMPOSING.get(node.op.qualified)
    if compose is None or not node.output.uses:
        return False
    operands = [_operand(v) for v in node.inputs]
    if None in operands:
        return False
    items = compose(*(o[0] for o in operands if o is not None))
    if len(items) > LONGEST:
        return False
    made = Builder.before(node).node(LIST, items, [node.output.type])
    node.output.replace_all_uses_with(made.output)
    return True


def _operand(value: Value) -> tuple[Any] | None:
    """A known list as its items, a constant as what it is; None for anything else."""
    source = value.node
    if source is None:
        return None
    if source.op is CONSTANT:
        return (source.attrs.get("value"),)
    is_known = source.op is LIST and not _may_change(value)
    return (list(source.inputs),) if is_known else None


def _items(node: Node) -> Sequence[Value]:
    """What the outputs of a read are; nothing when that is not known."""
    source = node.inputs[0].node if node.inputs else None
    if source is None:
        return ()
    if source.op is TUPLE and node.op is TUPLE_UNPACK:
        return source.inputs
    if source.op is TUPLE and node.op is TUPLE_INDEX:
        return _item(source, node.inputs[1])
    if source.op is LIST and not _may_change(source.output):
        if node.op is LIST_UNPACK and len(node.outputs) == len(source.inputs):
            return source.inputs
        if node.name == GET_ITEM:
            return _item(source, node.inputs[1])
    if source.op is DICT and node.name in DICTS and not _may_change(source.output):
        return _of_dict(node, source)
    return ()


def _item(source: Node, index: Value) -> Sequence[Value]:
    """The element at a constant index; nothing when it is out of range: the read raises."""
    if index.node is None or index.node.op is not CONSTANT:
        return ()
    position, count = index.node.attrs["value"], len(source.inputs)
    return [source.inputs[position]] if -count <= position < count else ()


def _of_dict(node: Node, source: Node) -> Sequence[Value]:
    """What is read of a dict whose keys are constants; nothing where the read raises."""
    constants = [v.node for v in (*source.inputs[::2], *node.inputs[1:2])]
    if any(c is None or c.op is not CONSTANT for c in constants):
        return ()
    keys = [c.attrs["value"] for c in constants if c is not None]
    names, entries = (dict(zip(keys, source.inputs[k::2], strict=False)) for k in (0, 1))
    wanted, b = keys[-1] if keys else None, Builder.before(node)
    match DICTS[node.name]:
        case "item":
            return [entries[wanted]] if wanted in entries else ()
        case "item or other":
            return [entries.get(wanted) or (node.inputs[2] if node.inputs[2:] else b.const(None))]
        case "contains":
            return [b.const(wanted in entries)]
        case "length":
            return [b.const(len(entries))]
        case "keys":
            items = list(names.values())
        case "values":
            items = list(entries.values())
        case _:
            items = [b.tuple_(pair) for pair in zip(names.values(), entries.values(), strict=True)]
    return [b.node(LIST, items, [node.output.type]).output]


def _may_change(container: Value) -> bool:
    """Whether someone may change a list, or hands the object itself on inside the graph."""
    return any(_keeps(user) for user, _ in container.uses)


def _keeps(user: Node) -> bool:
    if user.name == "prim::Return":
        return user.block is None or user.block.owner is not None
    is_pure = user.op.effect in (Effect.PURE, Effect.ALIAS)
    return not is_pure or bool(user.blocks) or user.name in _KEEPERS
