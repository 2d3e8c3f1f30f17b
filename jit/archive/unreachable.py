"""Code that is never run to its end: what follows an exception, and reads of attributes that None
does not have, which raise.

    %a = prim::PythonOp[getattr](%none, "device")      prim::RaiseException("'NoneType' object ...")
    %b = ...                                     ==>   -> (prim::Uninitialized)
    -> (%b)

The front end compiles such paths because eager may never come to them either.
"""

from __future__ import annotations

from ir import NONE, Block, Builder, Graph, Node
from jit.script.library import LIBRARY


def cut(graph: Graph) -> None:
    """Change a graph in place; nothing stands behind a raise any more."""
    _cut_block(graph.block)


def _cut_block(block: Block) -> None:
    for position, node in enumerate(block.nodes):
        for inner in node.blocks:
            _cut_block(inner)
        is_raise = node.name == "prim::RaiseException"
        if is_raise or _raise_missing(node) or _raise_named(node):
            _end(block, position)
            return


def _raise_missing(node: Node) -> bool:
    """Let a read of an attribute that None does not have raise."""
    if node.name != "prim::PythonOp" or node.attrs["function"] is not LIBRARY["getattr"]:
        return False
    owner, name, *default = node.inputs
    known = name.node.attrs.get("value") if name.node is not None else None
    if owner.type != NONE or default or not isinstance(known, str) or hasattr(None, known):
        return False
    builder = Builder.before(node)
    text = builder.const(f"'NoneType' object has no attribute {known!r}")
    builder.node("prim::RaiseException", [text], (), {"exception": AttributeError})
    return True


def _raise_named(node: Node) -> bool:
    """An exception whose class the run knows, of code that was loaded."""
    if node.name != "prim::PythonOp" or node.attrs["name"] != "raise_named":
        return False
    Builder.before(node).node("prim::RaiseException", node.inputs)
    return True


def _end(block: Block, position: int) -> None:
    """Remove the nodes behind a position, but for ends of `with`; what the block gives is no value
    of theirs.
    """
    removed = [n for n in block.nodes[position + 1 :] if n.name != "prim::Exit"]
    builder = Builder(block)
    for place, value in enumerate(block.returns):
        if value.node in removed:
            made = builder.node("prim::Uninitialized", (), [value.type]).output
            block.returning.replace(place, made)
    for node in reversed(removed):
        node.erase()
