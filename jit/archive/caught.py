"""Exceptions in the hands of handlers: which classes are caught, and what is read of one, whose
name, classes and text archives have as texts.
"""

from __future__ import annotations

from collections.abc import Callable

from ir import STR, Block, Builder, CompileError, Node, Value
from jit.archive.exits import RAISE, name_of
from jit.script import compile_function
from jit.script.library import library_name

Classes = tuple[type[BaseException], ...]
_ASIDE = ("prim::Constant", "prim::Uninitialized", "prim::unchecked_cast", "aten::get")


def caught_classes(attempt: Node) -> Classes:
    """The classes of exceptions for which anything is done but raising them again."""
    ok, error = attempt.outputs[:2]
    tests = [user for user, _ in ok.uses if user.name == "prim::If"]
    if len(tests) != 1:
        return (BaseException,)
    return _caught(tests[0].blocks[1], error)


def _caught(block: Block, error: Value) -> Classes:
    found: Classes = ()
    for node in block.nodes:
        if node.name in _ASIDE or node.name == "aten::__contains__":
            continue
        if node.name == "prim::isinstance" and node.inputs[0] is error:
            found += node.attrs["classes"]
        elif node.name == "prim::If" and _tests(node, error):
            found += _caught(node.blocks[1], error)
        elif not (_function(node) == "raise_error" and node.inputs[0] is error):
            return (BaseException,)
    return found


def _tests(node: Node, error: Value) -> bool:
    test = node.inputs[0].node
    return test is not None and test.name == "prim::isinstance" and test.inputs[0] is error


def _function(node: Node) -> str:
    if node.name != "prim::PythonOp":
        return node.name
    return library_name(node.attrs["function"]) or ""


def lower_error(error: Value, parts: Value) -> None:
    """Let what reads an exception read its parts."""
    for user, position in list(error.uses):
        rewrite = _USERS.get(_function(user))
        if rewrite is None or not rewrite(user, position, parts):
            raise CompileError(
                "Could not export this use of an exception: archives have its text and the name of "
                "its class, and raise it again",
                user.span,
            )


def _part(builder: Builder, parts: Value, index: int) -> Value:
    made: Value = builder.node("prim::TupleIndex", [parts, builder.const(index)], [STR]).output
    return made


def _replace(node: Node, value: Value) -> bool:
    node.output.replace_all_uses_with(value)
    node.erase()
    return True


def _test_class(node: Node, position: int, parts: Value) -> bool:
    builder = Builder.before(node)
    names = _part(builder, parts, 1)
    found = builder.const(False)
    for cls in node.attrs["classes"]:
        place = builder.op("aten::find", names, builder.const(f"|{name_of(cls)}|"))
        found = builder.op("aten::__or__", found, builder.op("aten::ne", place, -1))
    if any(cls is BaseException for cls in node.attrs["classes"]):
        found = builder.const(True)
    return _replace(node, found)


def _cast(node: Node, position: int, parts: Value) -> bool:
    lower_error(node.output, parts)
    node.erase()
    return True


def _text(node: Node, position: int, parts: Value) -> bool:
    return _replace(node, _part(Builder.before(node), parts, 2))


def _put_text(node: Node, position: int, parts: Value) -> bool:
    """The text stands where an exception is put into one, but not as `repr` has it."""
    if "!r" in str(_constant(node.inputs[0])):
        return False
    node.replace(position, _part(Builder.before(node), parts, 2))
    return True


def _class(node: Node, position: int, parts: Value) -> bool:
    """Of the class the name is read, if anything."""
    for user, _ in list(node.output.uses):
        if _function(user) != "getattr" or _constant(user.inputs[1]) != "__name__":
            return False
        builder = Builder.before(user)
        pieces = builder.op("aten::split", _part(builder, parts, 0), builder.const("."))
        _replace(user, builder.op("aten::__getitem__", pieces, -1))
    node.erase()
    return True


def _attribute(node: Node, position: int, parts: Value) -> bool:
    """`e.__class__`, `e.args[0]`, and anything of which nothing is made."""
    name = _constant(node.inputs[1])
    if name == "__class__":
        return _class(node, position, parts)
    for user, _ in list(node.output.uses):
        is_first = _function(user) == "operator_getitem" and _constant(user.inputs[1]) == 0
        if name != "args" or not is_first:
            return False
        builder = Builder.before(user)
        graph = compile_function(_argument, [STR, STR]).graph
        given = [_part(builder, parts, index) for index in (2, 1)]
        attrs = {"graph": graph, "name": "__torch__.relume.argument_of_error"}
        _replace(user, builder.node("prim::CallFunction", given, [STR], attrs).output)
    node.erase()
    return True


def _argument(text: str, classes: str) -> str:
    """What an exception was made of: the text of a KeyError has quotes."""
    return text[1:-1] if classes.find("|builtins.KeyError|") != -1 else text


def _constant(value: Value) -> object:
    return value.node.attrs.get("value") if value.node is not None else None


def _raise_again(node: Node, position: int, parts: Value) -> bool:
    """A cause is not part of what archives raise."""
    builder = Builder.before(node)
    if position != 0:
        node.set_inputs(node.inputs[:1])
        return True
    given = [_part(builder, parts, index) for index in (2, 0, 1)]
    builder.node(RAISE, given)
    for output in node.outputs:
        if output.uses:
            output.replace_all_uses_with(
                builder.node("prim::Uninitialized", (), [output.type]).output
            )
    node.erase()
    return True


def _forget(node: Node, position: int, parts: Value) -> bool:
    """What the handler calls the exception is gone after it."""
    node.erase()
    return True


_USERS: dict[str, Callable[[Node, int, Value], bool]] = {
    "prim::isinstance": _test_class,
    "prim::unchecked_cast": _cast,
    "prim::Print": _put_text,
    "aten::format": _put_text,
    "aten::str": _text,
    "str": _text,
    "type": _class,
    "getattr": _attribute,
    "aten::_set_item": _forget,
    "raise_error": _raise_again,
}
