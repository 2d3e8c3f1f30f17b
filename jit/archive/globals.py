"""Lists and dicts of Python's that code changes: state of this process, of which archives would
have a new copy for each call.
"""

from __future__ import annotations

from ir import CompileError, Graph, Node
from jit.script.library import library_name

_CHANGES = frozenset(
    f"operator_{name}" for name in ("setitem", "delitem", "iadd", "imul", "ior", "iand", "ixor")
) | {"set_slice", "delete_slice"}
_METHODS = frozenset(
    ("append", "extend", "insert", "pop", "popitem", "remove", "clear", "sort", "reverse", "update",
     "setdefault", "add", "discard")
)  # fmt: skip


def check_globals(graph: Graph) -> None:
    """CompileError for code that changes a list or dict that was there when it was compiled."""
    for node in graph.walk():
        value = node.attrs.get("value") if node.name == "prim::Constant" else None
        if not isinstance(value, list | dict | set):
            continue
        for user, position in node.output.uses:
            if _changes(user, position):
                kind = type(value).__name__
                raise CompileError(
                    f"Could not export code that changes a {kind} of this process: in an archive "
                    "each call would begin with what it holds now; keep it in an attribute of a "
                    "module, or pass it in and return it",
                    user.span or node.span,
                )


def _changes(user: Node, position: int) -> bool:
    """Whether a node changes one of its inputs."""
    if user.name == "prim::PythonOp":
        name = library_name(user.attrs["function"]) or ""
        if name == "call_method" and position == 0:
            method = user.inputs[1].node
            return method is not None and method.attrs.get("value") in _METHODS
        return position == 0 and name in _CHANGES
    formals = user.op.schema.arguments
    return position < len(formals) and formals[position].is_written
