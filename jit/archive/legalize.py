"""Graphs in generic form made legal for TorchScript: what only we have becomes what it has, and
types are what its reader infers.

    ours                                          TorchScript's
    prim::RaiseException[exception=ValueError]    the same, with the message and the class's name
    a loop with a trip count and a condition      a while loop that counts
    branches of types int and str                 each cast to the type of the result
    aten::pow.int_to_int                          a loop: `torch.pow` of two ints gives a float
    several results of a graph, or none           a tuple, or None

What has no counterpart stays, and the source writer refuses it.
"""

from __future__ import annotations

from collections.abc import Callable

from ir import (
    INT,
    NONE,
    STR,
    Aliases,
    Block,
    Builder,
    CompileError,
    Graph,
    Node,
    OptionalType,
    TupleType,
    Type,
    Value,
    join,
)
from jit.archive.source_writer import ENDLESS, is_counted

Rule = Callable[[Node], None]


def legalize(graph: Graph) -> None:
    """Change a graph in place."""
    _join_returns(graph)
    for node in list(graph.walk()):
        rule = _RULES.get(node.name)
        if rule is not None:
            rule(node)
    _copy_views(graph)
    _fit_block(graph.block)


def _copy_views(graph: Graph) -> None:
    """`x.view(dtype)` is a copy: code of archives cannot name this overload of `view`."""
    views = [n for n in graph.walk() if n.op.qualified == "aten::view.dtype"]
    aliases = Aliases(graph) if views else None
    for node in views:
        if aliases is not None and aliases.is_written(node.output):
            raise CompileError(
                "Could not export a view as another dtype of memory that is written to: archives "
                "cannot say it; write to the tensor that is viewed",
                node.span,
            )
        source, dtype = node.inputs
        made = Builder.before(node).op("aten::view_copy", source, dtype=dtype)
        node.output.replace_all_uses_with(made)
        node.erase()


def _join_returns(graph: Graph) -> None:
    """A function of TorchScript has one result."""
    if len(graph.returns) != 1:
        builder = Builder(graph.block)
        values = list(graph.returns)
        type_ = TupleType(tuple(v.type for v in values))
        made = builder.tuple_(values, type_) if values else builder.const(None)
        graph.block.set_returns([made])


# ops ----------------------------------------------------------------------------------------------
def _raise(node: Node) -> None:
    """An exception is a message and the name of a class."""
    exception = node.attrs.pop("exception", None)
    if exception is None:
        return  # it came from an archive
    builder = Builder.before(node)
    name = f"{exception.__module__}.{exception.__qualname__}"
    node.set_inputs([message_of(builder, node.inputs), builder.const(name)])


def message_of(builder: Builder, arguments: list[Value]) -> Value:
    """What `str(exception)` is."""
    texts = [a if a.type == STR else _as_text(builder, a) for a in arguments]
    if len(texts) == 1:
        return texts[0]
    if not texts:
        return builder.const("")
    shown = ["'{}'" if a.type == STR else "{}" for a in arguments]
    pattern = builder.const(f"({', '.join(shown)})")
    made: Value = builder.op("aten::format", pattern, *texts)
    return made


def _as_text(builder: Builder, value: Value) -> Value:
    made: Value = builder.op("aten::str", value)
    return made


def _power(node: Node) -> None:
    """A power of ints, by multiplication; a negative exponent raises, as it does when compiled."""
    if node.op.qualified != "aten::pow.int_to_int":
        return
    base, exponent = node.inputs
    builder = Builder.before(node)
    check = builder.node("prim::If", [builder.op("aten::lt", exponent, 0)])
    raising = Builder(check.add_block(), node.span)
    texts = ("an int to a negative power is no int", "builtins.ValueError")
    raising.node("prim::RaiseException", [raising.const(text) for text in texts])
    check.add_block()
    loop = builder.node("prim::Loop", [exponent, builder.const(True), builder.const(1)])
    body = loop.add_block()
    body.add_param(INT)
    product = body.add_param(INT)
    inside = Builder(body, node.span)
    result = inside.op("aten::mul", product, base)
    body.set_returns([inside.const(True), result])
    node.output.replace_all_uses_with(loop.add_output(INT, node.output.name))
    node.erase()


def _cast(node: Node) -> None:
    """A cast of None to a wider type is a constant of that type; one to Optional, or to the type
    that the value has, is nothing: where it matters `_fit_block` casts.
    """
    (value,) = node.inputs
    wanted = node.output.type
    if value.type == NONE and value.node is not None and value.node.name == "prim::Constant":
        made = Builder.before(node).const(None, wanted)
    elif value.type == wanted or (
        isinstance(wanted, OptionalType) and value.type in (wanted.element, NONE)
    ):
        made = value
    else:
        return
    node.output.replace_all_uses_with(made)
    node.erase()


def _number(node: Node) -> None:
    """An int, which dtypes are in archives, is one already; spaces around a number are Python's."""
    (value,) = node.inputs
    if value.type == STR and (value.node is None or value.node.name != "aten::strip"):
        node.replace(0, Builder.before(node).op("aten::strip", value))
    elif value.type == INT == node.output.type:
        node.output.replace_all_uses_with(node.inputs[0])
        node.erase()


def _pop_item(node: Node) -> None:
    """The last item; TorchScript's own takes the first one."""
    (items,) = node.inputs
    b = Builder.before(node)
    key = b.op("aten::__getitem__", b.op("aten::keys", items), -1)
    made = b.tuple_([key, b.op("aten::pop", items, key)])
    node.output.replace_all_uses_with(made)
    node.erase()


def _loop(node: Node) -> None:
    """A loop with both a trip count and a condition, or one that reads the index of an endless
    loop, becomes a while loop with a counter among the carried values.
    """
    (body,) = node.blocks
    trip, first = node.inputs[:2]
    index = body.params[0]
    is_endless = _constant(trip) == ENDLESS
    if is_counted(node) and not is_endless:
        return
    if is_endless and not index.uses:
        return
    before, after = Builder.before(node), Builder(body, node.span)
    count = before.const(0)
    counter, index.name = body.add_param(INT, index.name), None
    index.replace_all_uses_with(counter)
    again, *carried = body.returns
    advanced = after.op("aten::add", counter, 1)
    if not is_endless:
        first = _both(before, before.op("aten::lt", count, trip), first)
        again = _both(after, after.op("aten::lt", advanced, trip), again)
    node.set_inputs([before.const(ENDLESS), first, *node.inputs[2:], count])
    node.add_output(INT, counter.name)
    body.set_returns([again, *carried, advanced])


def _both(builder: Builder, a: Value, b: Value) -> Value:
    if _constant(b) is True:
        return a
    made: Value = builder.op("aten::__and__", a, b)
    return made


def _constant(value: Value) -> object:
    node = value.node
    return node.attrs.get("value") if node is not None and node.name == "prim::Constant" else None


_RULES: dict[str, Rule] = {
    "prim::RaiseException": _raise,
    "prim::Loop": _loop,
    "prim::unchecked_cast": _cast,
    "aten::pow": _power,
    "aten::popitem": _pop_item,
    "aten::Int": _number,
    "aten::Float": _number,
}


# types --------------------------------------------------------------------------------------------
def _fit_block(block: Block) -> None:
    """Cast where a reader would infer a narrower type than the value has here."""
    for node in list(block.nodes):
        if node.name == "prim::If":
            for position, output in enumerate(node.outputs):
                _fit_branches(node, position, output.type)
        elif node.name == "prim::Loop":
            for position, output in enumerate(node.outputs):
                _fit_input(node, position + 2, output.type)
                _fit_end(node.blocks[0], position + 1, output.type)
        for inner in node.blocks:
            _fit_block(inner)


def _fit_branches(node: Node, position: int, type_: Type) -> None:
    """Both values of an `if` get its result's type, unless a reader finds it by itself."""
    a, b = (block.returns[position].type for block in node.blocks)
    if isinstance(type_, OptionalType) and join(a, b) == type_:
        return
    for block in node.blocks:
        _fit_input(block.returning, position, type_)


def _fit_end(block: Block, position: int, type_: Type) -> None:
    """A loop's variable has the type that it starts with; its next value may be narrower."""
    if not isinstance(type_, OptionalType):
        _fit_input(block.returning, position, type_)


def _fit_input(node: Node, position: int, type_: Type) -> None:
    value = node.inputs[position]
    if value.type == type_:
        return
    assert node.block is not None
    is_end = node is node.block.returning
    builder = Builder(node.block, node.span) if is_end else Builder.before(node)
    if value.type == NONE and value.node is not None and value.node.name == "prim::Constant":
        made = builder.const(None, type_)
    else:
        made = builder.node("prim::unchecked_cast", [value], [type_]).output
    node.replace(position, made)
