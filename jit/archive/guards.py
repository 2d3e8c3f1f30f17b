"""Operators that may raise, behind tests that say so: where exceptions are caught, archives must
see them coming.

    y = items[i]      ==>     if i >= len(items) or i < -len(items):
                                  raise IndexError("list index out of range")
                              y = items[i]
"""

from __future__ import annotations

from collections.abc import Callable

from ir import BOOL, FLOAT, INT, STR, Builder, DictType, ListType, Node, Value
from jit.script import compile_function

# The bodies are for the compiler, with the types of the calls:
# ruff: noqa: ANN001, ANN202, PIE810
# mypy: allow-untyped-defs, allow-untyped-calls


def _is_int(text):
    digits = text.strip()
    if digits.startswith("-") or digits.startswith("+"):
        digits = digits[1:]
    return digits.isdigit()


def _is_float(text):
    rest = text.strip().lower()
    if rest.startswith("-") or rest.startswith("+"):
        rest = rest[1:]
    if rest == "inf" or rest == "infinity" or rest == "nan":
        return True
    if rest.find("e") != -1:
        power = rest[rest.find("e") + 1 :]
        if power.startswith("-") or power.startswith("+"):
            power = power[1:]
        if not power.isdigit():
            return False
        rest = rest[: rest.find("e")]
    whole, part = rest, ""
    if rest.find(".") != -1:
        whole, part = rest[: rest.find(".")], rest[rest.find(".") + 1 :]
    return (whole + part).isdigit()


Test = Callable[[Builder, list[Value]], Value]


def _call(function: Callable[..., object]) -> Test:
    def test(b: Builder, inputs: list[Value]) -> Value:
        graph = compile_function(function, [STR]).graph
        attrs = {"graph": graph, "name": f"__torch__.relume.{function.__name__.strip('_')}"}
        known = b.node("prim::CallFunction", inputs[:1], [BOOL], attrs).output
        made: Value = b.op("aten::__not__", known)
        return made

    return test


def _is_outside(b: Builder, inputs: list[Value]) -> Value:
    items, index = inputs
    size = b.op("aten::len", items)
    made: Value = b.op(
        "aten::__or__",
        b.op("aten::ge", index, size),
        b.op("aten::lt", index, b.op("aten::neg", size)),
    )
    return made


def _is_missing(b: Builder, inputs: list[Value]) -> Value:
    made: Value = b.op("aten::__not__", b.op("aten::__contains__", *inputs[:2]))
    return made


def _is_zero(b: Builder, inputs: list[Value]) -> Value:
    made: Value = b.op("aten::eq", inputs[1], 0)
    return made


def _is_negative(b: Builder, inputs: list[Value]) -> Value:
    made: Value = b.op("aten::lt", inputs[0], 0)
    return made


def _is_empty(b: Builder, inputs: list[Value]) -> Value:
    made: Value = b.op("aten::eq", b.op("aten::len", inputs[0]), 0)
    return made


Message = Callable[[Builder, list[Value]], Value]


def _say(text: str) -> Message:
    return lambda b, inputs: b.const(text)


def _quote(pattern: str) -> Message:
    def message(b: Builder, inputs: list[Value]) -> Value:
        made: Value = b.op("aten::format", pattern, inputs[0])
        return made

    return message


_NUMBERS = (INT, FLOAT, BOOL)
_GUARDS: list[tuple[str, Callable[[list[Value]], bool], Test, type[Exception], Message]] = [
    ("aten::__getitem__", lambda i: isinstance(i[0].type, ListType) or i[0].type == STR,
     _is_outside, IndexError, _say("list index out of range")),
    ("aten::__getitem__", lambda i: isinstance(i[0].type, DictType),
     _is_missing, KeyError, lambda b, i: i[1]),
    ("aten::Delete", lambda i: isinstance(i[0].type, DictType),
     _is_missing, KeyError, lambda b, i: i[1]),
    ("aten::Int", lambda i: i[0].type == STR, _call(_is_int), ValueError,
     _quote("invalid literal for int() with base 10: '{}'")),
    ("aten::Float", lambda i: i[0].type == STR, _call(_is_float), ValueError,
     _quote("could not convert string to float: '{}'")),
    ("aten::div", lambda i: i[0].type in _NUMBERS and i[1].type in _NUMBERS, _is_zero,
     ZeroDivisionError, lambda b, i: b.const(
         "float division by zero" if FLOAT in (i[0].type, i[1].type) else "division by zero")),
    ("aten::floordiv", lambda i: i[1].type in _NUMBERS, _is_zero, ZeroDivisionError,
     _say("integer division or modulo by zero")),
    ("aten::remainder", lambda i: i[0].type in _NUMBERS and i[1].type in _NUMBERS, _is_zero,
     ZeroDivisionError, _say("integer modulo by zero")),
    ("aten::sqrt", lambda i: i[0].type in _NUMBERS, _is_negative, ValueError,
     _say("math domain error")),
    ("aten::pop", lambda i: isinstance(i[0].type, ListType) and len(i) < 3, _is_empty, IndexError,
     _say("pop from empty list")),
    ("aten::index", lambda i: isinstance(i[0].type, ListType), _is_missing, ValueError,
     lambda b, i: b.op("aten::format", "{} is not in list", i[1])),
    ("aten::remove", lambda i: isinstance(i[0].type, ListType), _is_missing, ValueError,
     _say("list.remove(x): x not in list")),
]  # fmt: skip
"""Operators: where, the test that tells that they raise, what, and with which argument."""


def guard(node: Node) -> bool:
    """Put a test in front of an operator that may raise; False for one without a test."""
    for name, fits, test, cls, message in _GUARDS:
        if node.name == name and fits(node.inputs):
            builder = Builder.before(node)
            check = builder.node("prim::If", [test(builder, node.inputs)])
            inside = Builder(check.add_block(), node.span)
            inside.node(
                "prim::RaiseException", [message(inside, node.inputs)], (), {"exception": cls}
            )
            check.add_block()
            return True
    return False
