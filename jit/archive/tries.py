"""`try` in archives, which have no way to catch an exception: a body that cannot raise stands where
the `try` stood, without its handlers. Any other is refused, with the place of what may raise.

    (ok, error, y) = prim::Try[graph=A](x)          y = ...  (A)
    if ok: B else: handlers                    ==>  B
"""

from __future__ import annotations

from ir import BOOL, FLOAT, INT, STR, CompileError, Graph, Node
from jit.script.prune import prune

_SCALARS = (BOOL, INT, FLOAT, STR)
_SAFE_ON_SCALARS = frozenset(
    f"aten::{name}"
    for name in (
        "add", "sub", "mul", "neg", "eq", "ne", "lt", "le", "gt", "ge", "__and__", "__or__",
        "__xor__", "__not__", "__is__", "__isnot__", "Bool", "str", "format", "abs",
    )
)  # fmt: skip
_SAFE = frozenset(
    (
        "prim::Constant", "prim::If", "prim::Loop", "prim::ListConstruct", "prim::TupleConstruct",
        "prim::DictConstruct", "prim::Uninitialized", "prim::unchecked_cast", "prim::Print",
        "aten::len", "aten::append", "aten::list", "aten::__contains__", "aten::_set_item",
    )
)  # fmt: skip


def lower_tries(graph: Graph) -> None:
    """Change a graph in place; CompileError for a body that may raise."""
    tries = [node for node in graph.walk() if node.name == "prim::Try"]
    for node in tries:
        if node.block is not None:  # not among handlers that are gone
            _lower(node)
    if tries:
        prune(graph)
        for node in list(graph.walk()):
            _drop_written_only(node)


def _lower(node: Node) -> None:
    body: Graph = node.attrs["graph"].copy()
    lower_tries(body)
    risky = next((n for n in body.walk() if not _is_safe(n)), None)
    if risky is not None:
        raise CompileError(
            "Could not export a try whose body may raise: archives cannot catch exceptions; test "
            "for it in front",
            risky.span or node.span,
        )
    for param, value in zip(body.params, node.inputs, strict=True):
        param.replace_all_uses_with(value)
    assert node.block is not None
    results = node.block.splice(body.block, node)
    ok, _, *outputs = node.outputs
    for output, value in zip(outputs, results, strict=True):
        output.replace_all_uses_with(value)
    for user, _ in list(ok.uses):
        if user.name == "prim::If":
            _take_first(user)
    node.erase()


def _take_first(node: Node) -> None:
    """Put the first block of an `if` in its place."""
    assert node.block is not None
    results = node.block.splice(node.blocks[0], node)
    for output, value in zip(node.outputs, results, strict=True):
        output.replace_all_uses_with(value)
    node.erase()


def _is_safe(node: Node) -> bool:
    """Whether a node never raises."""
    on_scalars = all(v.type in _SCALARS for v in node.inputs)
    return node.name in _SAFE or (on_scalars and node.name in _SAFE_ON_SCALARS)


def _drop_written_only(node: Node) -> None:
    """Take away a dict that is made and filled, and never read: the one that keeps what a body
    assigned for its handlers.
    """
    if node.name != "prim::DictConstruct" or node.block is None:
        return
    uses = list(node.output.uses)
    if all(user.name == "aten::_set_item" and position == 0 for user, position in uses):
        for user, _ in uses:
            user.erase()
        node.erase()
