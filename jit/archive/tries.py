"""`try` in archives, which have no way to catch an exception: errors become values, tested for.

    (ok, error, y) = prim::Try[graph=A](x)          raised, error, y = ...  (A)
    if ok: B else: handlers                    ==>  if not raised: B else: handlers

Of the body, calls are put in place; what it raises by itself is in plain sight then, operators that
may raise get a test (`guards`), and any other is refused, with its place.
"""

from __future__ import annotations

from ir import (
    BOOL,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    PASSES,
    STR,
    Builder,
    CompileError,
    Graph,
    ListType,
    Node,
    TensorType,
    Type,
    Value,
)
from jit.archive.caught import Classes, caught_classes, lower_error
from jit.archive.error_texts import write_texts
from jit.archive.exits import RAISE, convert
from jit.archive.guards import guard
from jit.archive.unreachable import cut
from jit.script.library import library_name
from jit.script.prune import prune

_PLAIN = (BOOL, INT, FLOAT, NUMBER, STR)
_SAMPLES: dict[Type, object] = {BOOL: True, INT: 1, FLOAT: 1.5, STR: "text"}
_SAFE_ON_PLAIN = frozenset(
    f"aten::{name}"
    for name in (
        "add", "sub", "mul", "neg", "eq", "ne", "lt", "le", "gt", "ge", "__and__", "__or__",
        "__xor__", "__not__", "__is__", "__isnot__", "Bool", "str", "format", "abs", "Int", "Float",
        "floor", "ceil", "round", "upper", "lower", "strip", "lstrip", "rstrip", "split", "find",
        "startswith", "endswith", "replace", "isdigit", "isalpha", "slice", "min", "max",
    )
)  # fmt: skip
_SAFE_ON_TENSORS = frozenset(
    f"aten::{name}" for name in ("add", "sub", "mul", "div", "neg", "relu", "abs", "exp", "tanh")
)
_SAFE = frozenset(
    (
        "prim::Constant", "prim::If", "prim::Loop", "prim::ListConstruct", "prim::TupleConstruct",
        "prim::DictConstruct", "prim::Uninitialized", "prim::unchecked_cast", "prim::Print",
        "prim::TupleUnpack", "prim::TupleIndex", "prim::isinstance", "prim::GetAttr",
        "prim::SetAttr", "prim::CreateObject", "prim::min", "prim::max", RAISE,
        "aten::len", "aten::append", "aten::list", "aten::__contains__", "aten::_set_item",
        "aten::extend", "aten::insert", "aten::keys", "aten::values", "aten::items", "aten::get",
        "aten::copy", "aten::reverse", "aten::clear", "aten::__range_length",
        "aten::__derive_index",
    )
)  # fmt: skip

_SAFE_IN_PYTHON = ("as_size", "tuple")
_OF_TENSORS = (RuntimeError, IndexError, TypeError)  # what torch's operators raise


def lower_tries(graph: Graph) -> None:
    """Change a graph in place; CompileError for what a body may raise and no test tells."""
    tries = [node for node in graph.walk() if node.name == "prim::Try"]
    if not tries:
        return
    for node in tries:
        if node.block is not None:  # not among handlers that are gone
            _lower(node)
    prune(graph)
    for node in list(graph.walk()):
        _drop_written_only(node)


def finish_raises(graph: Graph) -> None:
    """Errors that are raised again need the names of all of their classes no more."""
    for node in graph.walk():
        if node.name == RAISE and "exception" not in node.attrs:
            node.set_inputs(node.inputs[:2])


def _lower(node: Node) -> None:
    body: Graph = node.attrs["graph"].copy()
    PASSES["inline"].run(body)
    write_texts(body)
    PASSES["inline"].run(body)
    lower_tries(body)
    cut(body)
    _check(body, node)
    raised = convert(body.block)
    for param, value in zip(body.params, node.inputs, strict=True):
        param.replace_all_uses_with(value)
    assert node.block is not None
    results = node.block.splice(body.block, node)
    ok, error, *outputs = node.outputs
    for output, value in zip(outputs, results, strict=True):
        output.replace_all_uses_with(value)
    builder = Builder.before(node)
    if raised is None:
        for user, _ in list(ok.uses):
            if user.name == "prim::If":
                _take_first(user)
        ok.replace_all_uses_with(builder.const(True))
    else:
        ok.replace_all_uses_with(builder.op("aten::__not__", raised[0]))
        lower_error(error, raised[1])
    node.erase()


def _check(body: Graph, node: Node) -> None:
    """Guard what may raise in a body something that is caught; CompileError where that cannot be
    told.
    """
    caught = caught_classes(node)
    opened = [n for n in body.walk() if n.name == "prim::Enter" and BaseException in caught]
    risky = [n for n in body.walk() if not _is_safe(n, caught) and not guard(n)]
    if risky or opened:
        raise CompileError(
            "Could not export a try whose body may raise: archives cannot catch exceptions, and no "
            "test tells this one; test for it in front",
            (risky or opened)[0].span or node.span,
        )


def _is_formatted(form: Value, *values: Value) -> bool:
    """Whether a text with `%d` and the like takes values of these types."""
    text = form.node.attrs.get("value") if form.node is not None else None
    samples = [_SAMPLES.get(v.type) for v in values]
    try:
        return isinstance(text, str) and None not in samples and bool(text % tuple(samples) or True)
    except (TypeError, ValueError):
        return False


def _take_first(node: Node) -> None:
    """Put the first block of an `if` in its place."""
    assert node.block is not None
    results = node.block.splice(node.blocks[0], node)
    for output, value in zip(node.outputs, results, strict=True):
        output.replace_all_uses_with(value)
    node.erase()


def _meet(caught: Classes, raised: Classes) -> bool:
    """Whether an exception of some classes may be caught by handlers of others."""
    return any(issubclass(a, b) or issubclass(b, a) for a in caught for b in raised)


def _is_safe(node: Node, caught: Classes) -> bool:
    """Whether a node never raises what is caught."""
    types = [v.type for v in node.inputs]
    if any(isinstance(t, TensorType) for t in types) and not _meet(caught, _OF_TENSORS):
        return node.name.startswith("aten::")
    if node.name in _SAFE:
        return True
    if node.name in _SAFE_ON_TENSORS and sum(isinstance(t, TensorType) for t in types) == 1:
        return all(isinstance(t, TensorType) or t in _PLAIN for t in types)
    if node.name in ("aten::Int", "aten::Float") and types == [STR]:
        return False
    is_list = bool(types) and isinstance(types[0], ListType)
    if is_list and node.name in ("aten::slice", "aten::add"):
        return True
    if node.name == "prim::PythonOp":
        return library_name(node.attrs["function"]) in _SAFE_IN_PYTHON
    if node.name == "aten::percentFormat":
        return _is_formatted(*node.inputs)
    return node.name in _SAFE_ON_PLAIN and all(map(_is_plain, types))


def _is_plain(type_: Type) -> bool:
    return type_.element in _PLAIN if isinstance(type_, ListType) else type_ in (*_PLAIN, NONE)


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
