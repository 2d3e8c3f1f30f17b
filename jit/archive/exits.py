"""Exceptions of a block as values: what follows a `raise` is put under a condition.

    if bad:                                   if bad: raised, error = True, (...)
        raise ValueError("no")                else: raised = False
    y = f(x)                        ==>       if not raised:
    -> y                                          y = f(x)
                                              -> y, raised, error

An error is its class's name, the names of all classes that it belongs to, and its text.
"""

from __future__ import annotations

from ir import BOOL, STR, Block, Builder, Node, TupleType, Type, Value
from jit.archive.legalize import message_of

ERROR = TupleType((STR, STR, STR))
RAISE = "prim::RaiseException"
Raised = tuple[Value, Value]  # whether, and what


def convert(block: Block) -> Raised | None:
    """Change a block in which nothing stands behind a raise: it raises no more, and what it gives
    is undefined where it did; None for a block without a raise.
    """
    for node in list(block.nodes):
        if node.name == RAISE:
            return _end(block, node)
        inner = [convert(b) for b in node.blocks]
        if any(inner):
            give = _give_branches if node.name == "prim::If" else _give_loop
            return _guard_rest(block, node, give(node, inner))
    return None


def _end(block: Block, node: Node) -> Raised:
    builder = Builder.before(node)
    error = builder.tuple_(_parts(builder, node), ERROR)
    raised = builder.const(True)
    node.erase()
    return raised, error


def _parts(builder: Builder, node: Node) -> list[Value]:
    """The name, the classes and the text of what a node raises."""
    cls = node.attrs.get("exception")
    if cls is None:  # an error that was caught
        text, name, classes = node.inputs
        return [name, classes, text]
    text = message_of(builder, node.inputs)
    if issubclass(cls, KeyError) and len(node.inputs) == 1 and node.inputs[0].type == STR:
        text = builder.op("aten::format", "'{}'", text)
    return [builder.const(name_of(cls)), builder.const(classes_of(cls)), text]


def name_of(cls: type[BaseException]) -> str:
    """The name of a class of exceptions, as archives have it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def classes_of(cls: type[BaseException]) -> str:
    """The names of a class and those above it, each between bars."""
    return f"|{'|'.join(name_of(c) for c in cls.__mro__[:-1])}|"


def _give_branches(node: Node, inner: list[Raised | None]) -> Raised:
    for block, found in zip(node.blocks, inner, strict=True):
        for value in found or _nothing(Builder(block, node.span)):
            block.add_return(value)
    return node.add_output(BOOL), node.add_output(ERROR)


def _nothing(builder: Builder) -> Raised:
    return builder.const(False), _undefined(builder, ERROR)


def _undefined(builder: Builder, type_: Type) -> Value:
    return builder.node("prim::Uninitialized", (), [type_]).output


def _give_loop(node: Node, inner: list[Raised | None]) -> Raised:
    """A loop ends when its body raises."""
    (body,), (found,) = node.blocks, inner
    assert found is not None
    for value in _nothing(Builder.before(node)):
        node.add_input(value)
        body.add_param(value.type)
    builder = Builder(body, node.span)
    again, *carried = body.returns
    going = builder.op("aten::__not__", found[0])
    test = builder.node("prim::If", [going])
    yes, no = test.add_block(), test.add_block()
    yes.add_return(again)
    no.add_return(Builder(no, node.span).const(False))
    body.set_returns([test.add_output(BOOL), *carried, *found])
    return node.add_output(BOOL), node.add_output(ERROR)


def _guard_rest(block: Block, node: Node, found: Raised) -> Raised:
    """Run what follows a node only if it did not raise."""
    rest = block.nodes[block.nodes.index(node) + 1 :]
    builder = Builder(block, node.span)
    test = builder.node("prim::If", [found[0]])
    raised, passed = test.add_block(), test.add_block()
    for inner in rest:
        block.nodes.remove(inner)
        passed.append(inner)
    returns = list(block.returns)
    passed.set_returns(returns)
    again = convert(passed) or _nothing(Builder(passed, node.span))
    passed.set_returns([*passed.returns, *again])
    undefined = [_undefined(Builder(raised, node.span), v.type) for v in returns]
    raised.set_returns([*undefined, *found])
    outputs = [test.add_output(v.type) for v in (*returns, *found)]
    block.set_returns(outputs[:-2])
    return outputs[-2], outputs[-1]
