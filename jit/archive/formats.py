"""Text of values. TorchScript's formats know `{}`, and `%d` and its like without flags; its text of
floats, and of what holds floats or texts, is not Python's.

    "{:.2f} of {}".format(x, n)      "{} of {}".format(format(x, ".2f"), n)
    "%5d" % n                        "{}".format(format(n, "5d"))
    "{{}}"                           "{}".format("{}")
    str(x)                           repr(x)

`format` and `repr` are functions of the library, with substitutes for the types that have them.
Code of an archive has the meaning of TorchScript already.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable, Iterator

from ir import (
    BOOL,
    FLOAT,
    INT,
    NONE,
    STR,
    Builder,
    DictType,
    Graph,
    ListType,
    Node,
    OptionalType,
    TupleType,
    Type,
    Value,
)
from jit.script.library import LIBRARY

_PERCENT = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d+)?(?:\.(?P<digits>\d+))?(?P<kind>[diuoxXeEfFgGcrs%])"
)
_FLOATS, _TEXTS = "eEfFgG", "rs"
_TAKEN = dict.fromkeys("diuoxX", (INT,)) | dict.fromkeys(_FLOATS, (INT, FLOAT)) | {"c": (STR,)}


def lower_texts(graph: Graph) -> None:
    """Change a graph in place."""
    for node in list(graph.walk()):
        lower = _LOWER.get(node.name)
        if node.name == "prim::PythonOp" and node.attrs["function"] is LIBRARY["call_method"]:
            lower = _lower_method
        if lower is not None and (node.span is None or node.span.origins is None):
            lower(node)


def _lower_format(node: Node) -> None:
    """Write `aten::format` with `{}` alone, of values whose text is the same everywhere."""
    pattern, *values = node.inputs
    builder = Builder.before(node)
    known = _known(pattern)
    if known is not None and re.search(r"\{[^}]|\{\{|\}\}", known):
        text, values = _fields(builder, known, values)
        pattern = builder.const(text)
    node.set_inputs([pattern, *(_as_text(builder, v) for v in values)])


def _lower_method(node: Node) -> None:
    """`"...{name:spec}...".format(...)` of a pattern that is known and reads no parts of values."""
    pattern, method, keys, *values = node.inputs
    known = _known(pattern)
    if known is None or _known(method) != "format" or keys.node is None:
        return
    names = [_known(key) for key in keys.node.inputs]
    count = len(values) - len(names)
    given = dict(zip(map(str, range(count)), values, strict=False))
    given |= dict(zip(map(str, names), values[count:], strict=True))
    builder, numbers = Builder.before(node), itertools.count()
    text, made = "", []
    for before, name, spec, conversion in string.Formatter().parse(known):
        text += "{}"
        made.append(builder.const(before))
        if name is not None:
            value = given.get(name or str(next(numbers)))
            if value is None or "{" in (spec or ""):
                return
            text += "{}"
            made.append(_field(builder, value, spec or "", conversion, iter(())))
    made = [_as_text(builder, v) for v in made]
    node.output.replace_all_uses_with(builder.op("aten::format", builder.const(text), *made))
    node.erase()


def _lower_str(node: Node) -> None:
    if _differs(node.inputs[0].type):
        made = _call(Builder.before(node), "repr", node.inputs[0])
        node.output.replace_all_uses_with(made)
        node.erase()


def _lower_percent(node: Node) -> None:
    """A pattern that is known is one of formats; others take several values as one tuple."""
    text, *values = node.inputs
    builder = Builder.before(node)
    pattern = _known(text)
    if len(values) == 1 and isinstance(values[0].type, TupleType):
        values = list(builder.node("prim::TupleUnpack", values, values[0].type.elements).outputs)
    fields = None if pattern is None else _percent_fields(builder, pattern, values)
    if fields is None:
        value = values[0] if len(values) == 1 else builder.tuple_(values)
        made = _call(builder, "operator_mod", text, value)
    else:
        made = builder.op("aten::format", builder.const("{}" * len(fields)), *fields)
    node.output.replace_all_uses_with(made)
    node.erase()


# `%` ----------------------------------------------------------------------------------------------
def _percent_fields(builder: Builder, pattern: str, values: list[Value]) -> list[Value] | None:
    """The parts of a text; None where Python is needed for one, or to say what is wrong."""
    found: list[Value] = []
    rest = iter(values)
    for plain, match in _split(pattern):
        if plain:
            found.append(builder.const(plain))
        if match is not None:
            made = _percent_field(builder, match, next(rest, None))
            if made is None:
                return None
            found.append(made)
    is_complete = next(rest, None) is None and "%" not in _PERCENT.sub("", pattern)
    return found if is_complete else None


def _split(pattern: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """The plain parts of a pattern, each with the field behind it."""
    plain, end = "", 0
    for match in _PERCENT.finditer(pattern):
        plain += pattern[end : match.start()]
        end = match.end()
        if match["kind"] == "%":
            plain += "%"
        else:
            yield plain, match
            plain = ""
    yield plain + pattern[end:], None


def _percent_field(
    builder: Builder, match: re.Match[str], value: Value | None
) -> Value | None:
    kind, flags = match["kind"], match["flags"]
    if value is None or (kind in _TEXTS and match["digits"]):
        return None
    if kind in _TEXTS:
        value = _field(builder, value, "", kind, iter(()))
        value = value if value.type == STR else builder.op("aten::str", value)
    elif kind == "c" and value.type == INT:
        value = builder.op("aten::chr", value)
    elif kind in "diu" and value.type in (FLOAT, BOOL):
        value = builder.op("aten::Int", value)
    elif value.type not in _TAKEN[kind]:
        return None
    is_number = value.type != STR
    spec = "<" if "-" in flags else "" if is_number else ">"
    if is_number:
        spec += "+" if "+" in flags else " " if " " in flags else ""
        spec += "#" if "#" in flags else ""
        spec += "0" if "0" in flags and "-" not in flags else ""
    spec += match["width"] or ""
    if kind in _FLOATS:
        spec += f".{match['digits'] or 6}{kind}"
    elif is_number:
        spec += "d" if kind in "iu" else kind
    is_plain = spec == ">" or (spec == "d" and value.type == INT)
    return value if is_plain else _call(builder, "format", value, builder.const(spec))


# `{}` ---------------------------------------------------------------------------------------------
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
        value = _as_text(builder, value)
        value = value if value.type == STR else builder.op("aten::str", value)
    if not spec:
        return value
    form: Value = builder.const(spec)
    if "{" in spec:
        nested = [next(rest) for character in spec if character == "{"]
        form = nested[0] if spec == "{}" else builder.op("aten::format", form, *nested)
    return _call(builder, "format", value, form)


def _as_text(builder: Builder, value: Value) -> Value:
    """A value, or its text where TorchScript's is another."""
    return _call(builder, "repr", value) if _differs(value.type) else value


def _differs(type_: Type) -> bool:
    """Whether TorchScript's text of a type is not Python's, for which there is a substitute."""
    return _is_plain(type_) and not _is_same(type_)


def _is_plain(type_: Type) -> bool:
    match type_:
        case ListType(element=element) | OptionalType(element=element):
            return _is_plain(element)
        case DictType(key=key, value=value):
            return _is_plain(key) and _is_plain(value)
        case TupleType(elements=elements, name=None):
            return all(map(_is_plain, elements))
    return type_ in (INT, BOOL, FLOAT, STR, NONE)


def _is_same(type_: Type) -> bool:
    match type_:
        case ListType(element=element):
            return element in (INT, BOOL)
        case OptionalType(element=element):
            return _is_same(element)
        case TupleType(elements=elements):
            return all(t in (INT, BOOL) for t in elements)
    return type_ in (INT, BOOL, STR, NONE)


def _call(builder: Builder, name: str, *inputs: Value) -> Value:
    attrs = {"function": LIBRARY[name], "name": name}
    return builder.node("prim::PythonOp", inputs, [STR], attrs).output


def _known(value: Value) -> str | None:
    found = value.node.attrs.get("value") if value.node is not None else None
    return found if isinstance(found, str) else None


_LOWER: dict[str, Callable[[Node], None]] = {
    "aten::format": _lower_format,
    "aten::percentFormat": _lower_percent,
    "aten::str": _lower_str,
}
