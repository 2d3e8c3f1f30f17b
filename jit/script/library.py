"""Python's builtins, math, numpy and the special functions of torch: tables from the object that is called to a rule.

A rule `(frame, arguments) -> operand` states what a call means; a special form gets the ast of the call, because its
arguments are types or unevaluated. Functions that answer "is this being compiled" are constants here.
"""

from __future__ import annotations

import ast
import builtins
import cmath
import collections
import functools
import math
import operator
import types
import typing
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint

from ir import BOOL, COMPLEX, FLOAT, GENERATOR, INT, NONE, STR, DictType, ListType, OptionalType, SetType, TensorType, TupleType, Type, Value
from jit.script import operators
from jit.script.annotate import evaluate_annotation, type_of_annotation
from jit.script.attributes import get_attribute, has_op
from jit.script.conditions import condition, truth
from jit.script.constants import UNKNOWN, constant_of, lift, make_dict, make_list
from jit.script.frame import Frame
from jit.script.iteration import Indexed, iteration
from jit.script.scope import select
from jit.script.statements import conform
from jit.script.values import (
    Arguments,
    CountOf,
    Items,
    Keywords,
    Operand,
    PartialOf,
    PyObject,
    RangeOf,
    ReversedOf,
    ZipOf,
)

Rule = Callable[[Frame, Arguments], Operand]
Form = Callable[[Frame, ast.Call], Operand]

_RULES: dict[Any, Rule] = {}
_FORMS: dict[Any, Form] = {}


def rule(*objects: Any) -> Callable[[Rule], Rule]:
    """Declare what a call of these objects means."""

    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(objects, function))
        return function

    return register


def form(*objects: Any) -> Callable[[Form], Form]:
    """Declare a special form."""

    def register(function: Form) -> Form:
        _FORMS.update(dict.fromkeys(objects, function))
        return function

    return register


def _find(table: dict[Any, Any], obj: Any) -> Any:
    try:
        return table.get(obj)
    except TypeError:  # an unhashable object is in no table
        return None


def rule_of(obj: Any) -> Rule | None:
    """The rule for calling `obj`, if one is declared or follows from a table of names."""
    found: Rule | None = _find(_RULES, obj)
    if found is not None:
        return found
    if _is_numpy(obj) and hasattr(obj, "__name__") and not isinstance(obj, type):
        return _numpy_rule(obj)
    if getattr(obj, "__module__", None) == "cmath":
        return lambda frame, given: frame.python(obj, [frame.require(a) for a in given.args], _CMATH.get(obj, COMPLEX))
    return _math_rule(obj) if getattr(obj, "__module__", None) == "math" else None


_CMATH = {cmath.phase: FLOAT, cmath.isnan: BOOL, cmath.isinf: BOOL, cmath.isfinite: BOOL, cmath.isclose: BOOL}


def special_form(obj: Any) -> Form | None:
    """The special form that `obj` is, if any."""
    return _find(_FORMS, obj)


# special forms ------------------------------------------------------------------------------------


@form(isinstance, torch.jit.isinstance)
def _isinstance(frame: Frame, node: ast.Call) -> Operand:
    return condition(frame, node).as_value(frame)


@form(torch.jit.annotate, typing.cast)
def _annotate(frame: Frame, node: ast.Call) -> Operand:
    annotation = evaluate_annotation(ast.unparse(node.args[0]), frame.annotation_names(), frame.span)
    type_ = type_of_annotation(annotation, frame.span)
    return conform(frame, frame.evaluate(node.args[1], type_), type_)


# what is known while compiling --------------------------------------------------------------------

TRUE = (torch.jit.is_scripting, torch._jit_internal.is_scripting)
FALSE = (
    torch.jit.is_tracing, torch.compiler.is_compiling, torch.compiler.is_dynamo_compiling,
    torch.overrides.has_torch_function, torch.overrides.has_torch_function_unary,
    torch.overrides.has_torch_function_variadic, torch._C._get_tracing_state,
    torch.overrides.is_tensor_like,
)  # fmt: skip
_COMPUTED = (torch.device, torch.finfo, torch.iinfo, torch.get_default_dtype, np.dtype, issubclass, callable, torch.Size,
             torch.is_storage, torch.promote_types, torch.broadcast_shapes)  # fmt: skip


def _known(value: Any) -> Rule:
    return lambda frame, given: frame.constant(value)


_RULES.update(dict.fromkeys(TRUE, _known(True)))
_RULES.update(dict.fromkeys(FALSE, _known(False)))


def known_value(operand: Operand) -> Any:
    """The Python object of an operand known while compiling, `UNKNOWN` otherwise; dtypes are torch's."""
    if isinstance(operand, PyObject):
        return operand.obj
    if isinstance(operand, Items):
        items = [known_value(i) for i in operand.items]
        return UNKNOWN if any(i is UNKNOWN for i in items) else tuple(items)
    value = constant_of(operand)
    return getattr(torch, value.name) if type(value).__name__ == "DType" else value


def _compute(function: Callable[..., Any]) -> Rule:
    """A function that Python computes while compiling, on constants."""

    def apply(frame: Frame, given: Arguments) -> Operand:
        args = [known_value(a) for a in given.args]
        kwargs = {k: known_value(v) for k, v in given.kwargs.items()}
        name = getattr(function, "__name__", str(function))
        if any(a is UNKNOWN for a in (*args, *kwargs.values())):
            if function in (torch.Size, torch.device):
                return operators.as_list(frame, given.args[0]) if function is torch.Size else given.args[0]
            raise frame.unsupported(f"{name} is computed while compiling and needs arguments that are constants")
        try:
            return lift(frame, function(*args, **kwargs), name)
        except (TypeError, ValueError, RuntimeError) as error:
            raise frame.mismatch(f"{name}: {error}") from error

    return apply


_RULES.update({f: _compute(f) for f in _COMPUTED})


def dtype_of(obj: Any) -> Any:
    """The dtype that a Python or numpy class stands for as an argument, None for other objects."""
    known = {float: torch.float64, int: torch.int64, bool: torch.bool, complex: torch.complex128}
    if isinstance(obj, type) and obj in known:
        return known[obj]
    if isinstance(obj, np.dtype) or (isinstance(obj, type) and issubclass(obj, np.generic)):
        return getattr(torch, np.dtype(obj).name, None)
    return None


# iteration ----------------------------------------------------------------------------------------


@rule(range)
def _range(frame: Frame, given: Arguments) -> Operand:
    ends = [_index(frame, a) for a in given.args]
    if len(ends) == 1:
        return RangeOf(frame.constant(0), ends[0], frame.constant(1))
    return RangeOf(ends[0], ends[1], ends[2] if len(ends) > 2 else frame.constant(1))


def _index(frame: Frame, operand: Operand) -> Value:
    value = frame.require(operand)
    if value.type == INT:
        return value
    if value.type == FLOAT or value.type == STR:
        raise frame.mismatch(f"a {value.type} cannot be interpreted as an integer")
    return frame.op("aten::Int", value)


@rule(enumerate)
def _enumerate(frame: Frame, given: Arguments) -> Operand:
    start = given.kwargs.get("start") or (given.args[1] if len(given.args) > 1 else frame.constant(0))
    return ZipOf((CountOf(frame.require(start)), given.args[0]))


@rule(zip)
def _zip(frame: Frame, given: Arguments) -> Operand:
    return ZipOf(tuple(given.args))


@rule(reversed)
def _reversed(frame: Frame, given: Arguments) -> Operand:
    return ReversedOf(given.args[0])


@rule(map)
def _map(frame: Frame, given: Arguments) -> Operand:
    function, *sequences = given.args
    over = iteration(frame, ZipOf(tuple(sequences)) if len(sequences) > 1 else sequences[0])
    if isinstance(over, Indexed):
        raise frame.unsupported("map over a sequence whose length is not known while compiling; use a comprehension")
    return Items(tuple(_spread_call(frame, function, item, len(sequences) > 1) for item in over))


def _spread_call(frame: Frame, function: Operand, item: Operand, spreads: bool) -> Operand:
    return frame.call(function, *(operators.elements(frame, item) if spreads else [item]))


@rule(len)
def _len(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    if operators.is_tuple(operand):
        return frame.constant(len(operators.elements(frame, operand)))
    if isinstance(operand, PyObject | Keywords):
        return frame.constant(len(operand.obj if isinstance(operand, PyObject) else operand.items))
    if isinstance(operand, RangeOf):
        return frame.op("aten::__range_length", operand.start, operand.stop, operand.step)
    return frame.op("aten::len", operand)


@rule(list)
def _list(frame: Frame, given: Arguments) -> Operand:
    if not given.args:
        empty = make_list(frame, [], frame.hint.element if isinstance(frame.hint, ListType) else TensorType())
        assert empty is not None
        frame.unit.untyped.add(empty)
        return empty
    (operand,) = given.args
    if isinstance(operand, Value) and (isinstance(operand.type, ListType) or operand.type == STR):
        return frame.op("aten::list", operand)
    if isinstance(operand, Value) and isinstance(operand.type, DictType):
        return frame.op("aten::keys", operand)
    over = iteration(frame, operand)
    if isinstance(over, Indexed):
        return collect(frame, operand)
    return operators.as_list(frame, operators.rebuild(frame, list(over))) if over else _list(frame, Arguments([], {}))


def collect(frame: Frame, operand: Operand) -> Operand:
    """The elements of a run-time iterable as a list, by a comprehension over it."""
    return comprehend(frame, "[x for x in source]", operand)


def comprehend(frame: Frame, text: str, source: Operand) -> Operand:
    """Evaluate a comprehension of ours over an operand; its names get a `$` so that they meet no name of the user."""
    frame.scope["$source"] = source
    try:
        return frame.evaluate(_template(text).body[0].value)  # type: ignore[attr-defined]
    finally:
        frame.scope.pop("$source", None)


def _template(text: str) -> ast.Module:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = f"${node.id}"
    return tree


@rule(tuple)
def _tuple(frame: Frame, given: Arguments) -> Operand:
    if not given.args:
        return Items(())
    over = iteration(frame, given.args[0])
    if not isinstance(over, Indexed):
        return operators.rebuild(frame, list(over))
    value = frame.require(given.args[0])
    element = value.type.element if isinstance(value.type, ListType) else TensorType()
    return frame.python(tuple, [value], ListType(element))


# numbers ------------------------------------------------------------------------------------------


def _conversion(name: str, python: Callable[..., Any], empty: Any, result: Type) -> Rule:
    def apply(frame: Frame, given: Arguments) -> Operand:
        if not given.args:
            return frame.constant(empty)
        if len(given.args) == 1 and not isinstance(given.args[0], Value):
            return frame.constant(python(known_value(given.args[0])))
        folded = operators.fold(frame, python, *given.args)
        return folded or frame.op_or_python(name, python, result, *given.args)

    return apply


_RULES[int] = _conversion("aten::Int", int, 0, INT)
_RULES[float] = _conversion("aten::Float", float, 0.0, FLOAT)
_RULES[complex] = _conversion("aten::Complex", complex, 0j, COMPLEX)


@rule(bool)
def _bool(frame: Frame, given: Arguments) -> Operand:
    result = truth(frame, given.args[0]) if given.args else False
    return frame.constant(result) if isinstance(result, bool) else result


@rule(str)
def _str(frame: Frame, given: Arguments) -> Operand:
    if not given.args:
        return frame.constant("")
    value = frame.require(given.args[0])
    return value if value.type == STR else operators.fold(frame, str, value) or frame.op("aten::str", value)


@rule(repr)
def _repr(frame: Frame, given: Arguments) -> Operand:
    return frame.op("aten::format", "{!r}", given.args[0])


@rule(format)
def _format(frame: Frame, given: Arguments) -> Operand:
    spec = constant_of(given.args[1]) if len(given.args) > 1 else ""
    if not isinstance(spec, str):
        raise frame.unsupported("format needs a format spec known while compiling")
    return frame.op("aten::format", "{:" + spec + "}", given.args[0])


@rule(abs, operator.abs)
def _abs(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    name = "aten::abs" if operators.is_tensor(operand) else "prim::abs"
    return operators.fold(frame, abs, operand) or frame.op(name, operand)


@rule(pow)
def _pow(frame: Frame, given: Arguments) -> Operand:
    if len(given.args) != 2:
        raise frame.unsupported("pow takes two arguments in compiled code")
    return operators.binary(frame, ast.Pow(), *given.args)


@rule(round)
def _round(frame: Frame, given: Arguments) -> Operand:
    """Python's: to an int, half to even; with digits the nearest decimal."""
    value, digits = frame.require(given.args[0]), [*given.args[1:], *given.kwargs.values()]
    folded = operators.fold(frame, round, value, *digits)
    if folded is not None:
        return folded
    if isinstance(value.type, TensorType):
        raise frame.mismatch("type Tensor doesn't define __round__ method; use torch.round")
    if not digits:
        return value if value.type in (INT, BOOL) else frame.op("aten::Int", frame.op("aten::round", value))
    return frame.python(round, [value, frame.require(digits[0])], value.type)


@rule(divmod)
def _divmod(frame: Frame, given: Arguments) -> Operand:
    a, b = given.args
    quotient = operators.binary(frame, ast.FloorDiv(), a, b)
    return operators.rebuild(frame, [quotient, operators.binary(frame, ast.Mod(), a, b)])


def _extreme(name: str, op: ast.cmpop, function: Callable[..., Any]) -> Rule:
    """min and max: of a list, or of operands, the first extreme one being the result."""

    def apply(frame: Frame, given: Arguments) -> Operand:
        if given.kwargs:
            raise frame.unsupported(f"{name} takes no key or default in compiled code")
        operands = given.args
        if len(operands) == 1:
            if not operators.is_tuple(operands[0]):
                return _extreme_of(frame, name, op, operands[0])
            operands = operators.elements(frame, operands[0])
        result = operands[0]
        for other in operands[1:]:
            result = _better(frame, name, op, function, result, other)
        return result

    return apply


def _extreme_of(frame: Frame, name: str, op: ast.cmpop, operand: Operand) -> Operand:
    if isinstance(operand, RangeOf):
        operand = frame.require(operand)
    return frame.op(f"aten::{name}" if operators.is_tensor(operand) else f"prim::{name}", operand)


def _better(frame: Frame, name: str, op: ast.cmpop, function: Callable[..., Any], best: Operand, other: Operand) -> Operand:
    folded = operators.fold(frame, function, best, other)
    if folded is not None:
        return folded
    a, b = frame.require(best), frame.require(other)
    if a.type == b.type and a.type in (INT, FLOAT):
        return frame.op(f"prim::{name}", a, b)
    holds = truth(frame, operators.compare(frame, op, b, a))
    assert isinstance(holds, Value)
    return select(frame, holds, lambda: b, lambda: a)


_RULES[max] = _extreme("max", ast.Gt(), max)
_RULES[min] = _extreme("min", ast.Lt(), min)


@rule(sum)
def _sum(frame: Frame, given: Arguments) -> Operand:
    operand = given.args[0]
    start = given.kwargs.get("start") or (given.args[1] if len(given.args) > 1 else None)
    over = iteration(frame, operand)
    if not isinstance(over, Indexed):
        total: Operand = frame.constant(0) if start is None else start
        for item in over:
            total = operators.binary(frame, ast.Add(), total, item)
        return total
    value = frame.require(operand)
    if isinstance(value.type, ListType) and value.type.element in (INT, FLOAT, BOOL) and start is None:
        return frame.op("aten::sum", value)
    return _sum_objects(frame, value, start)


def _sum_objects(frame: Frame, value: Value, start: Operand | None) -> Operand:
    """A sum of tensors: Python starts from the int 0; an empty list is refused at run time."""
    first = operators.binary(frame, ast.Add(), start or frame.constant(0), frame.op("aten::__getitem__", value, 0))
    rest = frame.op("aten::slice", value, 1, None, 1)
    frame.scope["$total"] = first
    frame.scope["$rest"] = rest
    frame.execute(_template("for item in rest: total = total + item").body[0])
    result = frame.scope.pop("$total")
    frame.scope.pop("$rest")
    frame.scope.pop("$item", None)
    assert isinstance(result, Value)
    return result


def _quantifier(name: str, op: str) -> Rule:
    """any and all, of bools or of anything with a truth value."""

    def apply(frame: Frame, given: Arguments) -> Operand:
        (operand,) = given.args
        if operators.is_tensor(operand):
            return frame.op("aten::Bool", frame.op(f"aten::{name}", operand))
        over = iteration(frame, operand)
        if isinstance(over, Indexed):
            return frame.op(f"aten::{name}", operand)
        result: bool | Value = name == "all"
        for item in over:
            found = truth(frame, item)
            made = [frame.constant(r) if isinstance(r, bool) else r for r in (result, found)]
            folded = operators.fold(frame, operator.and_ if name == "all" else operator.or_, *made)
            result = folded or frame.op(op, *made)
        return frame.constant(result) if isinstance(result, bool) else result

    return apply


_RULES[any] = _quantifier("any", "aten::__or__")
_RULES[all] = _quantifier("all", "aten::__and__")


@rule(sorted)
def _sorted(frame: Frame, given: Arguments) -> Operand:
    items = operators.as_list(frame, _list(frame, Arguments(given.args[:1], {})))
    reverse = frame.require(given.kwargs.get("reverse") or frame.constant(False))
    if "key" in given.kwargs:
        frame.scope["$key"] = given.kwargs["key"]
        keys = frame.require(comprehend(frame, "[key(x) for x in source]", items))
        del frame.scope["$key"]
        return frame.python(_sorted_by, [items, keys, reverse], items.type)
    return frame.python(_sorted_plain, [items, reverse], items.type)


def _sorted_plain(items: list[Any], reverse: bool) -> list[Any]:
    return sorted(items, reverse=reverse)


def _sorted_by(items: list[Any], keys: list[Any], reverse: bool) -> list[Any]:
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)
    return [items[i] for i in order]


def _plain(name: str, python: Callable[..., Any]) -> Rule:
    return lambda frame, given: operators.fold(frame, python, *given.args) or frame.op(name, *given.args)


for _name in ("ord", "chr", "bin", "hex", "oct", "hash"):
    _RULES[getattr(builtins, _name)] = _plain(f"aten::{_name}", getattr(builtins, _name))


# objects ------------------------------------------------------------------------------------------


@rule(getattr)
def _getattr(frame: Frame, given: Arguments) -> Operand:
    owner, name = given.args[0], constant_of(given.args[1])
    if not isinstance(name, str):
        raise frame.unsupported("getattr needs a name known while compiling")
    if len(given.args) > 2 and not has_attribute(owner, name):
        return given.args[2]
    return get_attribute(frame, owner, name)


@rule(hasattr)
def _hasattr(frame: Frame, given: Arguments) -> Operand:
    name = constant_of(given.args[1])
    if not isinstance(name, str):
        raise frame.unsupported("hasattr needs a name known while compiling")
    return frame.constant(has_attribute(given.args[0], name))


def has_attribute(owner: Operand, name: str) -> bool:
    """Whether an operand has an attribute, decided by its type."""
    if isinstance(owner, PyObject):
        return hasattr(owner.obj, name)
    if isinstance(owner, Value):
        return hasattr(python_class(owner), name)
    return False


def python_class(value: Value) -> type:
    """The Python class of the values of a type."""
    match value.type:
        case TensorType():
            return torch.Tensor
        case ListType():
            return list
        case DictType():
            return dict
        case SetType():
            return set
        case TupleType(cls=cls):
            return cls or tuple
    classes = {INT: int, FLOAT: float, BOOL: bool, STR: str, NONE: type(None)}
    return classes.get(value.type) or getattr(value.type, "cls", None) or object


@rule(type)
def _type(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    if isinstance(operand, PyObject):
        return PyObject(type(operand.obj), f"type({operand.name})")
    value = frame.require(operand)
    if isinstance(value.type, OptionalType) or python_class(value) is object:
        raise frame.unsupported(f"the class of a {value.type} is not known while compiling; use isinstance")
    return PyObject(python_class(value), python_class(value).__name__)


@rule(print)
def _print(frame: Frame, given: Arguments) -> Operand:
    sep, end = (constant_of(given.kwargs[k]) if k in given.kwargs else d for k, d in (("sep", " "), ("end", "\n")))
    if set(given.kwargs) - {"sep", "end", "flush"} or not isinstance(sep, str) or not isinstance(end, str):
        raise frame.unsupported("print takes values, sep, end and flush in compiled code, sep and end constant")
    attrs = {} if (sep, end) == (" ", "\n") else {"sep": sep, "end": end}
    frame.node("prim::Print", [frame.require(a) for a in given.args], (), **attrs)
    return frame.constant(None)


@rule(warnings.warn)
def _warn(frame: Frame, given: Arguments) -> Operand:
    frame.node("prim::PythonOp", [frame.require(given.args[0])], (), function=warnings.warn, name="warnings.warn")
    return frame.constant(None)


@rule(functools.partial)
def _partial(frame: Frame, given: Arguments) -> Operand:
    return PartialOf(given.args[0], tuple(given.args[1:]), tuple(given.kwargs.items()))


@rule(torch.jit._unwrap_optional)
def _unwrap(frame: Frame, given: Arguments) -> Operand:
    value = frame.require(given.args[0])
    if not isinstance(value.type, OptionalType):
        return value
    return frame.op("aten::_unwrap_optional", value)


@rule(torch.is_tensor)
def _is_tensor(frame: Frame, given: Arguments) -> Operand:
    return frame.constant(operators.is_tensor(given.args[0]))


@rule(dict, collections.OrderedDict)
def _dict(frame: Frame, given: Arguments) -> Operand:
    """From keywords, from pairs, or a copy."""
    if given.args:
        (operand,) = given.args
        if isinstance(operand, Value) and isinstance(operand.type, DictType):
            return frame.op("aten::copy", operand)
        pairs = [operators.elements(frame, p) for p in iteration(frame, operand)] if _is_known(frame, operand) else None
        if pairs is None:
            return frame.op("aten::dict", operand)
    else:
        pairs = [[frame.constant(k), v] for k, v in given.kwargs.items()]
    if not pairs:
        empty = frame.node("prim::DictConstruct", (), [DictType(STR, TensorType())]).output
        frame.unit.untyped.add(empty)
        return empty
    made = make_dict(frame, [frame.require(k) for k, _ in pairs], [frame.require(v) for _, v in pairs])
    if made is None:
        raise frame.mismatch("the keys of a dict need one type, and so do its values")
    return made


def _is_known(frame: Frame, operand: Operand) -> bool:
    """Whether a sequence of pairs has a known length; a list display of pairs has."""
    return operators.is_tuple(operand)


@rule(torch.cond)
def _cond(frame: Frame, given: Arguments) -> Operand:
    test, then, orelse, *rest = given.args
    operands = operators.elements(frame, rest[0]) if rest else []
    holds = truth(frame, test)
    if isinstance(holds, bool):
        return frame.call(then if holds else orelse, *operands)
    return select(frame, holds, lambda: frame.call(then, *operands), lambda: frame.call(orelse, *operands))


@rule(torch.utils.checkpoint.checkpoint)
def _checkpoint(frame: Frame, given: Arguments) -> Operand:
    """Recomputing saves memory in training and never changes results."""
    return frame.call(given.args[0], *given.args[1:])


@rule(torch.manual_seed)
def _manual_seed(frame: Frame, given: Arguments) -> Operand:
    return frame.python(torch.manual_seed, [frame.require(a) for a in given.args], GENERATOR)


@rule(id)
def _id(frame: Frame, given: Arguments) -> Operand:
    return frame.python(id, [frame.require(given.args[0])], INT)


# torch functions whose Python source is not compiled ------------------------------------------------

# Tensor methods written in Python whose op has the same parameters.
METHODS_AS_OPS = frozenset(("split", "unflatten", "register_hook", "refine_names", "detach", "rsub", "istft", "backward"))


@rule(torch.einsum)
def _einsum(frame: Frame, given: Arguments) -> Operand:
    equation, *tensors = given.args
    if len(tensors) == 1 and not operators.is_tensor(tensors[0]):
        return frame.op("aten::einsum", equation, tensors[0])
    return frame.op("aten::einsum", equation, operators.as_list(frame, operators.rebuild(frame, tensors)))


@rule(torch.meshgrid)
def _meshgrid(frame: Frame, given: Arguments) -> Operand:
    tensors = given.args[0] if len(given.args) == 1 and not operators.is_tensor(given.args[0]) else Items(tuple(given.args))
    if isinstance(tensors, Items):
        tensors = operators.rebuild(frame, list(tensors.items))
    return frame.op("aten::meshgrid", operators.as_list(frame, tensors), **given.kwargs)


def _numpy_like(name: str) -> Rule:
    def apply(frame: Frame, given: Arguments) -> Operand:
        if given.args and isinstance(given.args[0], Value) and not operators.is_tensor(given.args[0]) and len(given.args) == 1:
            known = _math_rule(getattr(math, name, None))
            if known is not None:
                return known(frame, given)
        names = {"axis": "dim", "keepdims": "keepdim"}
        return frame.op(f"aten::{name}", *given.args, **{names.get(k, k): v for k, v in given.kwargs.items()})

    return apply


# numpy's functions whose meaning is torch's, where the names differ; the others are found by their own name.
_NUMPY_NAMES = {
    "absolute": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "power": "pow", "negative": "neg", "concatenate": "cat", "clip": "clamp",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "invert": "bitwise_not", "divide": "div", "true_divide": "div", "mod": "remainder", "rint": "round",
    "conjugate": "conj", "matmul": "matmul", "subtract": "sub", "multiply": "mul",
}  # fmt: skip
_NUMPY_SAME = frozenset(
    "add exp exp2 expm1 log log2 log10 log1p sqrt square sin cos tan sinh cosh tanh floor ceil trunc sign maximum minimum "
    "fmax fmin fmod remainder floor_divide hypot where sum mean prod isnan isinf isfinite logical_and logical_or logical_not "
    "logical_xor bitwise_and bitwise_or bitwise_xor copysign dot stack abs all any argmax argmin cumsum cumprod "
    "zeros_like ones_like reciprocal rad2deg deg2rad outer".split()
)


def _is_numpy(obj: Any) -> bool:
    module = getattr(obj, "__module__", None) or ""
    return isinstance(obj, np.ufunc) or str(module).partition(".")[0] == "numpy"


def _numpy_rule(obj: Any) -> Rule | None:
    name = obj.__name__
    known = _NUMPY_NAMES.get(name) or (name if name in _NUMPY_SAME else None)
    return None if known is None or not has_op(f"aten::{known}") else _numpy_like(known)


# math functions computed by Python itself, because no op of the registry has their meaning.
_MATH_PYTHON = {
    "log2": FLOAT, "trunc": INT, "hypot": FLOAT, "comb": INT, "perm": INT, "isclose": BOOL, "cbrt": FLOAT, "dist": FLOAT,
    "exp2": FLOAT, "lcm": INT, "isqrt": INT, "nextafter": FLOAT, "ulp": FLOAT, "fsum": FLOAT, "prod": FLOAT,
}  # fmt: skip


def _math_rule(function: Any) -> Rule | None:
    """A function of `math`: computed on constants, an op where one has its meaning, otherwise Python's own."""
    if function is None:
        return None
    name = function.__name__

    def apply(frame: Frame, given: Arguments) -> Operand:
        if given.kwargs:
            raise frame.unsupported(f"math.{name} takes positional arguments in compiled code")
        args = [frame.op("aten::Float", a) if operators.is_tensor(a) else a for a in given.args]
        folded = operators.fold(frame, function, *args)
        if folded is not None:
            return folded
        if name in _MATH_PYTHON or not has_op(f"aten::{name}"):
            result = _MATH_PYTHON.get(name, FLOAT)
            return frame.python(function, [frame.require(a) for a in args], result)
        return frame.op(f"aten::{name}", *args)

    return apply
