"""Formats of text: TorchScript's know `{}`, and `%d` and its like without flags, and would give
back or refuse what else Python has.

    "{:.2f} of {}".format(x, n)      "{} of {}".format(format(x, ".2f"), n)
    "{{}}"                           "{}".format("{}")

`format`, `repr` and `%` with flags are functions of the library, which only this package reads.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from ir import BOOL, INT, STR, Builder, Node, Value
from jit.script.library import LIBRARY

_PLAIN_PERCENT = re.compile(r"(?:[^%]|%[%disfFeEgGxXouc])*")


def lower_format(node: Node) -> None:
    """Write `aten::format` with `{}` alone."""
    pattern = _known(node.inputs[0])
    if pattern is None or not re.search(r"\{[^}]|\{\{|\}\}", pattern):
        return
    builder = Builder.before(node)
    text, values = _fields(builder, pattern, list(node.inputs[1:]))
    node.set_inputs([builder.const(text), *values])


def lower_percent(node: Node) -> None:
    """Several values for `%` are one tuple; flags are for the library."""
    text, *values = node.inputs
    builder = Builder.before(node)
    value = builder.tuple_(values) if len(values) != 1 else values[0]
    pattern = _known(text)
    if pattern is not None and _PLAIN_PERCENT.fullmatch(pattern) is None:
        node.output.replace_all_uses_with(_call(builder, "operator_mod", text, value))
        node.erase()
    else:
        node.set_inputs([text, value])


def _fields(builder: Builder, pattern: str, given: list[Value]) -> tuple[str, list[Value]]:
    """A pattern of `{}` alone, and what stands in its places."""
    text, values, rest = "", [], iter(given)
    for before, name, spec, conversion in string.Formatter().parse(pattern):
        if "{" in before or "}" in before:
            text += "{}"
            values.append(builder.const(before))
        else:
            text += before
        if name is not None:
            text += "{}"
            value = given[int(name)] if name else next(rest)
            values.append(_field(builder, value, spec or "", conversion, rest))
    return text, values


def _field(
    builder: Builder, value: Value, spec: str, conversion: str | None, rest: Iterator[Value]
) -> Value:
    """One value as its conversion and format have it."""
    if conversion in ("r", "a") and value.type not in (INT, BOOL):
        value = _call(builder, {"r": "repr", "a": "ascii"}[conversion], value)
    elif conversion == "s" and value.type != STR:
        value = builder.op("aten::str", value)
    if not spec:
        return value
    form: Value = builder.const(spec)
    if "{" in spec:
        nested = [next(rest) for character in spec if character == "{"]
        form = nested[0] if spec == "{}" else builder.op("aten::format", form, *nested)
    return _call(builder, "format", value, form)


def _call(builder: Builder, name: str, *inputs: Value) -> Value:
    attrs = {"function": LIBRARY[name], "name": name}
    return builder.node("prim::PythonOp", inputs, [STR], attrs).output


def _known(value: Value) -> str | None:
    found = value.node.attrs.get("value") if value.node is not None else None
    return found if isinstance(found, str) else None
