"""Floats as text: TorchScript writes 17 digits, and has no other forms."""

from __future__ import annotations

import math

from jit.archive.torchscript.text import _grouped, _signed, repeat
from jit.script.library import float_digits

# The code is for the compiler:
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code=no-any-return

_SMALLEST, _LARGEST = 2.2250738585072014e-308, 1e308  # outside, reading a text may fail in C++


def float_text(value: float) -> str:
    """`repr`: as few digits as tell it from other floats."""
    return _general(value, _shortest(abs(value)), -1, "")


def format_general(
    value: float, digits: int, kind: str, sign: str, fill: str, align: str, width: int, mark: str
) -> str:
    """`g`, or none: fixed or with an exponent; negative `digits` are as many as are needed."""
    size = abs(value)
    count = max(digits, 1)
    parts = _shortest(size) if digits < 0 else _rounded(_decimal(size), count)
    text = _general(size, parts, digits if digits < 0 else count, kind)
    return _placed(value, text, kind, sign, fill, align, width, mark)


def format_exponent(
    value: float, digits: int, kind: str, sign: str, fill: str, align: str, width: int, mark: str
) -> str:
    """`e`."""
    made, power = _rounded(_decimal(abs(value)), digits + 1)
    text = _scientific(made + repeat("0", digits + 1 - len(made)), power)
    return _placed(value, text, kind, sign, fill, align, width, mark)


def _placed(
    value: float,
    text: str,
    kind: str,
    sign: str,
    fill: str,
    align: str,
    width: int,
    mark: str,
) -> str:
    """The text of a size, with the sign of a value, in its place."""
    if math.isnan(value) or math.isinf(value):
        text = "nan" if math.isnan(value) else "inf"
    if kind == "E" or kind == "G":
        text = text.upper()
    end = text.find(".")
    end = len(text) if end == -1 else end
    grouped = _grouped(text[:end], mark) + text[end:]
    is_negative = not math.isnan(value) and math.copysign(1.0, value) < 0.0
    return _signed("", grouped, is_negative, sign, fill, align, width)


def _general(value: float, parts: tuple[str, int], count: int, kind: str) -> str:
    if math.isnan(value):
        return "nan"
    head = "-" if math.copysign(1.0, value) < 0.0 else ""
    if math.isinf(value):
        return head + "inf"
    made, power = parts
    made = made.rstrip("0") if made.rstrip("0") != "" else "0"
    is_open = kind == ""  # which has a digit behind the point, or an exponent
    limit = 16 if count < 0 else count - 1 if is_open else count
    if power < -4 or power >= limit:
        return head + _scientific(made, power)
    return head + _fixed(made, power) + (".0" if is_open and len(made) <= power + 1 else "")


def _fixed(digits: str, power: int) -> str:
    if power < 0:
        return "0." + repeat("0", -power - 1) + digits
    if len(digits) <= power + 1:
        return digits + repeat("0", power + 1 - len(digits))
    return digits[: power + 1] + "." + digits[power + 1 :]


def _scientific(digits: str, power: int) -> str:
    mantissa = digits[:1] + "." + digits[1:] if len(digits) > 1 else digits
    size = str(abs(power))
    exponent = "0" + size if len(size) < 2 else size
    return mantissa + ("e-" if power < 0 else "e+") + exponent


def _decimal(size: float) -> tuple[str, int]:
    """The significant digits of a positive number, and the power of ten of the first."""
    if size == 0.0 or math.isnan(size) or math.isinf(size):
        return "0", 0
    raw, power = float_digits(size), 0
    if raw.find("e") != -1:
        power = int(raw[raw.find("e") + 1 :])
        raw = raw[: raw.find("e")]
    point = raw.find(".")
    point = len(raw) if point == -1 else point
    digits = raw.replace(".", "")
    rest = digits.lstrip("0")
    return rest.rstrip("0"), power + point - 1 - (len(digits) - len(rest))


def _rounded(parts: tuple[str, int], count: int) -> tuple[str, int]:
    """The first `count` digits, half to even."""
    digits, power = parts
    if len(digits) <= count:
        return digits, power
    head, rest = digits[:count], digits[count:]
    is_odd = int(head[len(head) - 1 :]) % 2 == 1
    if rest > "5" or (rest == "5" and is_odd):
        head = str(int(head) + 1)
        if len(head) > count:
            return head[:count], power + 1
    return head, power


def _shortest(size: float) -> tuple[str, int]:
    digits, power = _decimal(size)
    if size < _SMALLEST or size > _LARGEST:
        return digits, power
    for count in range(1, len(digits)):
        made, first = _rounded((digits, power), count)
        if float(f"{made}e{first - len(made) + 1}") == size:
            return made, first
    return digits, power
