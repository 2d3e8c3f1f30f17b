"""Values of literals: defaults of parameters, members of enums, constants of classes."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

from ir import ParseError

_NAMES: dict[str, Any] = {
    "inf": math.inf,
    "nan": math.nan,
    "infj": complex(0, math.inf),
    "nanj": complex(0, math.nan),
}


def literal_value(node: ast.expr, constant: Callable[[str], Any]) -> Any:
    """The value of a literal; `constant` looks `CONSTANTS.cN` up. ParseError, without a place, for
    another expression.
    """

    def read(part: ast.expr) -> Any:
        return literal_value(part, constant)

    match node:
        case ast.Constant(value=value) if value is not Ellipsis and not isinstance(value, bytes):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(read(operand), node)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            real, imaginary = _number(read(left), node), _number(read(right), node)
            sign = 1 if isinstance(op, ast.Add) else -1
            return complex(real, sign * complex(imaginary).imag)
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.List(elts=items):
            return [read(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(read(item) for item in items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {read(k): read(v) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.Attribute(value=ast.Name(id="CONSTANTS"), attr=name):
            return constant(name)
        case ast.Call(func=ast.Name(id="annotate"), args=[_, value]):
            return read(value)
        case ast.Call(func=ast.Attribute(attr="device"), args=[ast.Constant(value=str(name))]):
            return name
    raise ParseError(f"{ast.unparse(node)[:80]!r} is no literal")


def _number(value: Any, node: ast.expr) -> Any:
    if not isinstance(value, int | float | complex):
        raise ParseError(f"{ast.unparse(node)[:80]!r} is no number")
    return value
