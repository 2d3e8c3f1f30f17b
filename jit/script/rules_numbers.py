"""Rules of Python's numbers: conversions, rounding, extremes, and the functions of `math` and
`cmath`.

What a math function gives for constants is computed while compiling; a function without an op
is Python's own, called back.
"""

from __future__ import annotations

import ast
import builtins
import cmath
import operator
from collections.abc import Callable
from typing import Any

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    STR,
    TENSOR,
    ListType,
    TensorType,
    TupleType,
    Type,
    Value,
)
from jit.script import operators
from jit.script.attributes import has_op
from jit.script.conditions import truth
from jit.script.constants import constant_of
from jit.script.dynamic import call_python, is_dynamic, is_dynamic_value
from jit.script.expressions import join_lists
from jit.script.frame import Frame
from jit.script.known import known_value
from jit.script.library import extreme_by, float_digits
from jit.script.merging import merge_types
from jit.script.rules import RULES, Rule, finder, rule
from jit.script.scope import select
from jit.script.templates import comprehend
from jit.script.values import Arguments, Operand, PyObject, StarOf


def _conversion(name: str, python: Callable[..., Any], empty: Any, result: Type) -> Rule:
    def apply(frame: Frame, given: Arguments) -> Operand:
        if not given.args:
            return frame.constant(empty)
        if len(given.args) == 1 and not isinstance(given.args[0], Value):
            return frame.constant(python(known_value(given.args[0])))
        folded = operators.fold(frame, python, *given.args)
        return folded or frame.op_or_python(name, python, result, *given.args)

    return apply


RULES[int] = _conversion("aten::Int", int, 0, INT)
RULES[float] = _conversion("aten::Float", float, 0.0, FLOAT)
RULES[complex] = _conversion("aten::Complex", complex, 0j, COMPLEX)


@rule(bool)
def _bool(frame: Frame, given: Arguments) -> Operand:
    result = truth(frame, given.args[0]) if given.args else False
    return frame.constant(result) if isinstance(result, bool) else result


@rule(str)
def _str(frame: Frame, given: Arguments) -> Operand:
    if not given.args:
        return frame.constant("")
    value = frame.require(given.args[0])
    return (
        value
        if value.type == STR
        else operators.fold(frame, str, value) or frame.op("aten::str", value)
    )


@rule(repr)
def _repr(frame: Frame, given: Arguments) -> Operand:
    return frame.op("aten::format", "{!r}", given.args[0])


@rule(float_digits)
def _float_digits(frame: Frame, given: Arguments) -> Operand:
    return frame.python(float_digits, list(map(frame.require, given.args)), STR)


@rule(format)
def _format(frame: Frame, given: Arguments) -> Operand:
    spec = given.args[1] if len(given.args) > 1 else frame.constant("")
    return frame.op("aten::format", "{:{}}", given.args[0], spec)


@rule(abs, operator.abs)
def _abs(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    if is_dynamic_value(operand):
        return frame.python(abs, [frame.require(operand)], ANY)
    name = "aten::abs" if operators.is_tensor(operand) else "prim::abs"
    return operators.fold(frame, abs, operand) or frame.op(name, operand)


@rule(pow)
def _pow(frame: Frame, given: Arguments) -> Operand:
    if len(given.args) == 2 and not given.kwargs:
        return operators.binary(frame, ast.Pow(), *given.args)
    values = [frame.require(a) for a in (*given.args, *given.kwargs.values())]
    return operators.fold(frame, pow, *values) or frame.python(pow, values, INT)


@rule(round)
def _round(frame: Frame, given: Arguments) -> Operand:
    """Python's: to an int, half to even; with digits the nearest decimal."""
    value, digits = frame.require(given.args[0]), [*given.args[1:], *given.kwargs.values()]
    folded = operators.fold(frame, round, value, *digits)
    if folded is not None:
        return folded
    if isinstance(value.type, TensorType) or is_dynamic(value.type):
        result = TENSOR if isinstance(value.type, TensorType) else ANY
        return frame.python(round, [value, *map(frame.require, digits)], result)
    if not digits:
        return (
            value
            if value.type in (INT, BOOL)
            else frame.op("aten::Int", frame.op("aten::round", value))
        )
    return frame.python(round, [value, frame.require(digits[0])], value.type)


@rule(divmod)
def _divmod(frame: Frame, given: Arguments) -> Operand:
    a, b = given.args
    quotient = operators.binary(frame, ast.FloorDiv(), a, b)
    return operators.rebuild(frame, [quotient, operators.binary(frame, ast.Mod(), a, b)])


def _extreme(name: str, op: ast.cmpop, function: Callable[..., Any]) -> Rule:
    """min and max: of a list, or of operands, the first extreme one being the result."""

    def apply(frame: Frame, given: Arguments) -> Operand:
        if any(isinstance(a, StarOf) for a in given.args):
            given = Arguments([join_lists(frame, given.args)], given.kwargs)
        operands = given.args
        if given.kwargs:
            return _extreme_by(frame, function, given)
        if len(operands) == 1:
            if not operators.is_tuple(operands[0]):
                return _extreme_of(frame, function, operands[0])
            operands = operators.elements(frame, operands[0])
        result = operands[0]
        for other in operands[1:]:
            result = _better(frame, name, op, function, result, other)
        return result

    return apply


def _extreme_of(frame: Frame, function: Callable[..., Any], operand: Operand) -> Operand:
    items = frame.require(frame.call(PyObject(list, "list"), operand))
    assert isinstance(items.type, ListType)
    return frame.op_or_python(f"prim::{function.__name__}", function, items.type.element, items)


def _extreme_by(frame: Frame, function: Callable[..., Any], given: Arguments) -> Operand:
    """min and max with `key` or `default`."""
    unknown = set(given.kwargs) - {"key", "default"}
    if unknown:
        raise frame.mismatch(f"{function.__name__}() got an unexpected argument {min(unknown)!r}")
    source = given.args[0] if len(given.args) == 1 else operators.rebuild(frame, given.args)
    items = frame.require(frame.call(PyObject(list, "list"), source))
    assert isinstance(items.type, ListType)
    key, default = given.kwargs.get("key"), given.kwargs.get("default")
    keys = items
    if key is not None and constant_of(key) is not None:
        keys = frame.require(comprehend(frame, "[function(x) for x in source]", items, key))
    if default is None:
        made = [frame.constant(function is max), items, keys]
        return frame.python(extreme_by, made, items.type.element)
    fallback = frame.require(default)
    result = fallback.type
    if items not in frame.unit.untyped:
        result = merge_types(items.type.element, result)
    made = [frame.constant(function is max), items, keys, fallback]
    return frame.python(extreme_by, made, result)


def _better(
    frame: Frame,
    name: str,
    op: ast.cmpop,
    function: Callable[..., Any],
    best: Operand,
    other: Operand,
) -> Operand:
    folded = operators.fold(frame, function, best, other)
    if folded is not None:
        return folded
    a, b = frame.require(best), frame.require(other)
    if a.type == b.type and a.type in (INT, FLOAT):
        return frame.op(f"prim::{name}", a, b)
    holds = truth(frame, operators.compare(frame, op, b, a))
    if isinstance(holds, bool):
        return b if holds else a
    return select(frame, holds, lambda: b, lambda: a)


RULES[max] = _extreme("max", ast.Gt(), max)
RULES[min] = _extreme("min", ast.Lt(), min)


def _plain(name: str, python: Callable[..., Any]) -> Rule:
    return lambda frame, given: (
        operators.fold(frame, python, *given.args) or frame.op(name, *given.args)
    )


for _name in ("ord", "chr", "bin", "hex", "oct", "hash"):
    RULES[getattr(builtins, _name)] = _plain(f"aten::{_name}", getattr(builtins, _name))


# math functions computed by Python itself, because no op of the registry has their meaning.
_MATH_PYTHON = {
    "log2": FLOAT,
    "trunc": INT,
    "hypot": FLOAT,
    "comb": INT,
    "perm": INT,
    "isclose": BOOL,
    "cbrt": FLOAT,
    "dist": FLOAT,
    "exp2": FLOAT,
    "lcm": INT,
    "isqrt": INT,
    "nextafter": FLOAT,
    "ulp": FLOAT,
    "fsum": FLOAT,
    "prod": ANY,  # of what it multiplies
}


def math_rule(function: Any) -> Rule | None:
    """A function of `math`: computed on constants, an op where one has its meaning, otherwise
    Python's own.
    """
    if function is None:
        return None
    name = function.__name__

    def apply(frame: Frame, given: Arguments) -> Operand:
        if any(isinstance(a, StarOf) for a in given.args):
            raise frame.unsupported(f"math.{name} takes its arguments one by one in compiled code")
        if given.kwargs:
            return call_python(frame, function, given, name)
        args = [frame.op("aten::Float", a) if operators.is_tensor(a) else a for a in given.args]
        folded = operators.fold(frame, function, *args)
        if folded is not None:
            return folded
        if name in _MATH_PYTHON or not has_op(f"aten::{name}"):
            values = [frame.require(a) for a in args]
            result = (
                _product(values[0].type) if name == "prod" else _MATH_PYTHON.get(name, ANY)
            )
            return frame.python(function, values, result)
        return frame.op(f"aten::{name}", *args)

    return apply


def _product(type_: Type) -> Type:
    """What math.prod gives: numbers of the kind that it multiplies."""
    element = type_.element if isinstance(type_, ListType) else ANY
    return element if element in (INT, FLOAT) else ANY


_CMATH = {
    cmath.phase: FLOAT,
    cmath.polar: TupleType((FLOAT, FLOAT)),
    cmath.isnan: BOOL,
    cmath.isinf: BOOL,
    cmath.isfinite: BOOL,
    cmath.isclose: BOOL,
}


@finder
def _find(obj: Any) -> Rule | None:
    """Functions of `math` and `cmath`."""
    module = getattr(obj, "__module__", None)
    if module == "cmath":
        result = _CMATH.get(obj, COMPLEX)
        return lambda frame, given: frame.python(
            obj, [frame.require(a) for a in given.args], result
        )
    return math_rule(obj) if module == "math" else None
