"""Text, and numbers as text."""

from __future__ import annotations

import math

from jit.archive.torchscript.numbers import _to_nearest

# The types are those of the call, and the code is for the compiler:
# ruff: noqa: ANN001, ANN201, SIM110
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code=no-any-return


def repeat(text, count):
    made = ""
    for _ in range(count):
        made += text
    return made


def contains(text, part):
    return text.find(part) != -1


def starts_with_any(text, parts):
    for part in parts:
        if text.startswith(part):
            return True
    return False


def ends_with_any(text, parts):
    for part in parts:
        if text.endswith(part):
            return True
    return False


def fold(text):
    """`casefold`, of the letters that differ from lower ones in European languages."""
    return text.lower().replace("ß", "ss").replace("ς", "σ")


def remove_prefix(text, part):
    return text[len(part) :] if text.startswith(part) else text


def remove_suffix(text, part):
    return text[: len(text) - len(part)] if part != "" and text.endswith(part) else text


# formats: of a specification, which is known when an archive is written, the parts are arguments --
def format_text(text: str, fill: str, align: str, width: int) -> str:
    missing = max(0, width - len(text))
    left = missing if align == ">" else missing // 2 if align == "^" else 0
    return repeat(fill, left) + text + repeat(fill, missing - left)


def format_int(
    value: int, kind: str, prefix: str, sign: str, fill: str, align: str, width: int, mark: str
) -> str:
    size = abs(value)
    digits = str(size)
    if kind == "x":
        digits = hex(size)[2:]
    elif kind == "X":
        digits = hex(size)[2:].upper()
    elif kind == "b":
        digits = bin(size)[2:]
    elif kind == "o":
        digits = oct(size)[2:]
    return _signed(prefix, _grouped(digits, mark), value < 0, sign, fill, align, width)


def format_fixed(
    value: float, digits: int, unit: str, sign: str, fill: str, align: str, width: int, mark: str
) -> str:
    is_negative = math.copysign(1.0, value) < 0.0
    if math.isnan(value) or math.isinf(value):
        name = "nan" if math.isnan(value) else "inf"
        return _signed("", name + unit, is_negative and name == "inf", sign, fill, align, width)
    size = abs(value) * (100.0 if unit == "%" else 1.0)
    if size >= 9.2e18:
        raise ValueError(f"{value} has too many digits for a format of an archive")
    whole, scale = int(size), 10.0**digits
    rest = (size - float(whole)) * scale
    parts = int(_to_nearest(size - float(whole), scale, rest))
    if digits == 0 and rest == 0.5 and whole % 2 == 1:
        parts = 1
    if parts >= int(scale):
        whole, parts = whole + 1, 0
    text = str(parts)
    text = repeat("0", digits - len(text)) + text
    fraction = "." + text if digits > 0 else ""
    return _signed(
        "", _grouped(str(whole), mark) + fraction + unit, is_negative, sign, fill, align, width
    )


def _grouped(digits: str, mark: str) -> str:
    if mark == "":
        return digits
    made = ""
    for i in range(len(digits)):
        if i > 0 and (len(digits) - i) % 3 == 0:
            made += mark
        made += digits[i]
    return made


def _signed(
    prefix: str, digits: str, is_negative: bool, sign: str, fill: str, align: str, width: int
) -> str:
    head = ("-" if is_negative else "" if sign == "-" else sign) + prefix
    if align == "=":
        return head + format_text(digits, fill, ">", width - len(head))
    return format_text(head + digits, fill, align, width)


def representation(text: str) -> str:
    """`repr` of text whose characters can be printed, but for the ends of lines and tabs."""
    made = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if text.find("'") == -1:
        return "'" + made + "'"
    if text.find('"') == -1:
        return '"' + made + '"'
    return "'" + made.replace("'", "\\'") + "'"


# `repr` of what holds things ----------------------------------------------------------------------
def text_of_list(items):
    made = ""
    for i in range(len(items)):
        made += (", " if i > 0 else "") + repr(items[i])
    return "[" + made + "]"


def text_of_dict(items):
    made = ""
    for key, value in items.items():
        made += (", " if made != "" else "") + repr(key) + ": " + repr(value)
    return "{" + made + "}"


def text_of_tuple(items):
    made = ""
    for item in items:
        made += (", " if made != "" else "") + repr(item)
    return "(" + made + ("," if len(items) == 1 else "") + ")"


def text_of_optional(value):
    return "None" if value is None else repr(value)
