"""Calls: of builtins, of torch's functions and Tensor methods through the op registry, of Python
functions.

A builtin function of torch (or of `torch._C._nn`, `torch.special` ...) is the op of its own
name. A function of torch that is written in Python is compiled from its source unless a rule is
declared for it.
"""

from __future__ import annotations

import ast
import inspect
import logging
import math
import operator
import types
import typing
from functools import partial
from typing import Any

import torch

from ir import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NONE,
    STR,
    TENSOR,
    DictType,
    ListType,
    SequenceType,
    SetType,
    TensorType,
    Type,
    TypeMismatch,
    Value,
    registry,
)
from jit.script import library, methods, modules, operators, polyfills
from jit.script.attributes import get_attribute, has_op
from jit.script.classes import call_special, find_method
from jit.script.constants import constant_of, lift, make_list
from jit.script.dynamic import (
    call_on,
    call_python,
    has_dynamic,
    is_dynamic,
    is_foreign,
    is_standard,
    result_of_op,
)
from jit.script.expressions import join_lists, narrowed, spread
from jit.script.frame import Frame, expression
from jit.script.keywords import built_items
from jit.script.lazy import collect, consumed_parameters
from jit.script.rules import rule_of, special_form
from jit.script.rules_torch import METHODS_AS_OPS, dtype_of, original_of
from jit.script.scope import raise_exception, select
from jit.script.values import (
    ITERATORS,
    Arguments,
    ChoiceOf,
    Closure,
    CountOf,
    Instance,
    Keywords,
    Method,
    Operand,
    PartialOf,
    Perhaps,
    PyObject,
    RangeOf,
    StarOf,
    ViewOf,
    is_lazy,
)

_LAZY = (enumerate, zip, list)
_OF_ARGUMENTS = (max, min, print, range, divmod, pow, slice, map, set)


@expression(ast.Call)
def _call(frame: Frame, node: ast.Call) -> Operand:
    hint = frame.hint
    function = _callee(frame, node.func)
    if isinstance(function, PyObject):
        form = special_form(function.obj)
        if form is not None:
            return form(frame, node)
    arguments = _arguments(frame, node)
    frame.hint = hint
    return _call_on_each_path(frame, function, arguments)


def _call_on_each_path(frame: Frame, function: Operand, given: Arguments) -> Operand:
    """The call with and without what only some paths give."""
    for name, operand in given.kwargs.items():
        if isinstance(operand, Perhaps):
            found = {**given.kwargs, name: operand.item}
            absent = {k: v for k, v in given.kwargs.items() if k != name}
            calls = [Arguments(given.args, kwargs) for kwargs in (found, absent)]
            then, orelse = (partial(_call_on_each_path, frame, function, c) for c in calls)
            return select(frame, operand.is_set, then, orelse)
    return call(frame, function, given)


def _callee(frame: Frame, node: ast.expr) -> Operand:
    if not isinstance(node, ast.Attribute):
        return frame.evaluate(node)
    owner = frame.evaluate(node.value)
    with frame.at(node):
        found = get_attribute(frame, owner, node.attr, is_called=True)
        return narrowed(frame, node, found)


def _arguments(frame: Frame, node: ast.Call) -> Arguments:
    made = Arguments(spread(frame, node.args), {})
    for keyword in node.keywords:
        if keyword.arg is not None:
            made.kwargs[keyword.arg] = frame.evaluate(keyword.value)
        else:
            made.kwargs.update(_keywords(frame, keyword.value))
    return made


def _keywords(frame: Frame, node: ast.expr) -> dict[str, Operand]:
    """`**x` at a call: a dict display with constant keys, the function's own `**kwargs`, or a
    captured dict.
    """
    if isinstance(node, ast.Dict):
        pairs: dict[str, Operand] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                pairs.update(_keywords(frame, value))
                continue
            name = constant_of(frame.evaluate(key))
            if not isinstance(name, str):
                raise frame.unsupported("`**` at a call needs keys that are constant strings")
            pairs[name] = frame.evaluate(value)
        return pairs
    operand = frame.evaluate(node)
    if isinstance(operand, Keywords):
        return dict(operand.items)
    if isinstance(operand, PyObject) and isinstance(operand.obj, dict):
        return {str(k): lift(frame, v, f"{operand.name}[{k!r}]") for k, v in operand.obj.items()}
    items = built_items(frame, operand) if isinstance(operand, Value) else None
    if items is not None:
        return items
    raise frame.unsupported("`**` at a call needs a dict whose keys are known while compiling")


def call(frame: Frame, function: Operand, given: Arguments) -> Operand:
    """Call an operand."""
    given = _kept(frame, function, given)
    match function:
        case PyObject(obj, name):
            return call_object(frame, obj, name, given)
        case Method(owner, name):
            return call_method(frame, owner, name, given)
        case ChoiceOf(test, then, orelse):
            return select(
                frame, test, lambda: call(frame, then, given), lambda: call(frame, orelse, given)
            )
        case Instance():
            method = find_method(function, "__call__")
            if method is not None:
                return call(frame, method, given)
        case Closure():
            return frame.unit.services.call_closure(frame, function, given)
        case PartialOf(inner, args, kwargs):
            return call(
                frame, inner, Arguments([*args, *given.args], {**dict(kwargs), **given.kwargs})
            )
        case Value() if is_dynamic(function.type):
            keys = frame.require(make_list(frame, [frame.constant(k) for k in given.kwargs], STR))
            rest = [frame.require(a) for a in (*given.args, *given.kwargs.values())]
            return frame.python(library.call, [function, keys, *rest], ANY)
    what = (
        f"a value of type {function.type}" if isinstance(function, Value) else function.describe()
    )
    raise frame.mismatch(f"{what} cannot be called")


def _kept(frame: Frame, function: Operand, given: Arguments) -> Arguments:
    """Generators among the arguments: lists for functions of Python's own, which go over them
    once; iterators for functions of users, which may do anything; as they are for `zip`, and for
    what a function of the user's does no more with than go over it.
    """
    if not any(map(_is_passing, (*given.args, *given.kwargs.values()))):
        return given
    obj = function.obj if isinstance(function, PyObject) else None
    if obj in _LAZY:
        return given
    is_users = isinstance(function, Closure) or isinstance(obj, types.FunctionType)
    is_method = isinstance(function, Method)
    passed = consumed_parameters(obj) if isinstance(obj, types.FunctionType) else ()

    def keep(operand: Operand, place: int | str) -> Operand:
        if not (is_lazy(operand) or (is_method and _is_passing(operand))):
            return operand
        if place in passed:
            return operand
        return frame.require(operand) if is_users else collect(frame, operand)

    return Arguments(
        [keep(a, place) for place, a in enumerate(given.args)],
        {name: keep(a, name) for name, a in given.kwargs.items()},
    )


def _is_passing(operand: Operand) -> bool:
    return isinstance(operand, ITERATORS | ViewOf) and not isinstance(operand, CountOf)


def call_object(frame: Frame, obj: Any, name: str, given: Arguments) -> Operand:
    """Call a live Python object."""
    given_as, obj = obj, original_of(obj)
    if given.args and isinstance(given.args[0], Instance):
        special = call_special(frame, _special_name(obj), *given.args)
        if special is not None:
            return special
    rule = rule_of(given_as) or rule_of(obj)
    if rule is not None:
        if obj in _OF_ARGUMENTS and any(isinstance(a, StarOf) for a in given.args):
            return _spread_call(frame, obj, name, given)
        return rule(frame, given)
    op = op_of(obj)
    if op is not None:
        if has_dynamic([*given.args, *given.kwargs.values()]):
            return call_python(frame, obj, given, name, result_of_op(op))
        if obj in (torch.tensor, torch.as_tensor):
            return _tensor_of(frame, obj, op, given)
        return _apply_if_reached(frame, op, given)
    found = modules.call_bound(frame, obj, name, given)
    if found is not None:
        return found
    if is_standard(obj) and not isinstance(obj, logging.Logger):
        if any(isinstance(a, StarOf) for a in given.args):
            return _spread_call(frame, obj, name, given)
        return call_python(frame, obj, given, name)
    if isinstance(obj, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        return call_python(frame, obj, given, name, _result_of_script(obj))
    if isinstance(obj, torch.nn.Module):
        return modules.call_module(frame, obj, name, given)
    if isinstance(obj, types.MethodType):
        return _bound(frame, obj, name, given)
    if isinstance(obj, types.FunctionType) and _is_open_call(obj, given):
        return _spread_call(frame, obj, name, given)
    if isinstance(obj, types.FunctionType):
        return frame.unit.services.call_function(frame, obj, given)
    source = getattr(obj, "__wrapped__", None)
    if isinstance(source, types.FunctionType | types.MethodType):
        return call(frame, lift(frame, source, name), given)
    if isinstance(obj, types.MethodDescriptorType) and given.args:
        owner = frame.require(given.args[0])
        return call_method(frame, owner, obj.__name__, Arguments(given.args[1:], given.kwargs))
    if isinstance(obj, typing.NewType):
        return given.args[0]
    if isinstance(obj, type):
        return methods.construct(frame, obj, name, given)
    special = type(obj).__dict__.get("__call__")
    if isinstance(special, types.FunctionType):
        return frame.unit.services.call_function(
            frame, special, Arguments([PyObject(obj, name), *given.args], given.kwargs)
        )
    if isinstance(obj, types.BuiltinFunctionType) and is_foreign(str(obj.__module__)):
        result = TENSOR if obj in _MAKING_TENSORS else ANY
        return call_python(frame, obj, given, name, result)  # of torch's own, without an op
    raise frame.unsupported(
        f"{name!r} cannot be called in compiled code: it is a {type(obj).__qualname__} without "
        "Python source and without an operator; call it outside, or mark its caller with "
        "torch.jit.ignore"
    )


def _result_of_script(obj: Any) -> Type:
    """What a function or module that torch compiled gives, by its schema."""
    function: Any = obj if isinstance(obj, torch.jit.ScriptFunction) else obj.forward
    names = [r.type.annotation_str for r in function.schema.returns]
    return _OF_SCHEMAS.get(names[0], ANY) if len(names) == 1 else ANY


_OF_SCHEMAS = {"Tensor": TENSOR, "int": INT, "float": FLOAT, "bool": BOOL, "str": STR}
# Builtin functions that are methods of their argument, where its class has them.
_SPECIAL = {
    abs: "__abs__", round: "__round__", int: "__int__", float: "__float__", divmod: "__divmod__",
    complex: "__complex__", hash: "__hash__", next: "__next__", bytes: "__bytes__",
    math.floor: "__floor__", math.ceil: "__ceil__", math.trunc: "__trunc__",
    operator.index: "__index__",
}  # fmt: skip


def _special_name(function: Any) -> str:
    return _SPECIAL.get(function, "") if getattr(function, "__hash__", None) else ""


_MAKING_TENSORS = (torch.frombuffer, torch.from_numpy, torch.asarray)


def _is_open_call(function: types.FunctionType, given: Arguments) -> bool:
    """Whether only the run knows which parameters a list spread over the arguments fills."""
    takes_any = function.__code__.co_flags & inspect.CO_VARARGS or function.__defaults__
    return bool(takes_any) and any(isinstance(a, StarOf) for a in given.args)


def _spread_call(frame: Frame, function: Any, name: str, given: Arguments) -> Operand:
    """`function(*items, ...)` in Python."""
    joined = frame.require(join_lists(frame, given.args))
    keys = frame.require(make_list(frame, [frame.constant(k) for k in given.kwargs], STR))
    rest = [frame.require(v) for v in given.kwargs.values()]
    target = frame.require(PyObject(function, name))
    return frame.python(library.call_spread, [target, joined, keys, *rest], ANY)


def _bound(frame: Frame, method: types.MethodType, name: str, given: Arguments) -> Operand:
    """A bound method of a live object."""
    owner = method.__self__
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        return frame.python(method, [frame.require(a) for a in given.args], TENSOR, name)
    if isinstance(owner, logging.Logger):
        return frame.python(method, [frame.require(a) for a in given.args], NONE, name)
    listing = modules.call_listing(frame, method, given)
    if listing is not None:
        return listing
    function = PyObject(method.__func__, name)
    return call(frame, function, Arguments([PyObject(owner, name), *given.args], given.kwargs))


def op_of(obj: Any) -> str | None:
    """The op that a builtin function of torch stands for: the one of its own name."""
    if isinstance(obj, torch._ops.OpOverloadPacket | torch._ops.OpOverload):
        return str(
            obj._qualified_op_name if isinstance(obj, torch._ops.OpOverloadPacket) else obj.name()
        ).partition(".")[0]
    if not isinstance(
        obj, types.BuiltinFunctionType | types.BuiltinMethodType | types.MethodDescriptorType
    ):
        return None
    owner = getattr(obj, "__self__", None) or getattr(obj, "__objclass__", None)
    package = getattr(obj, "__module__", None) or getattr(owner, "__module__", "") or ""
    if not package.startswith("torch") and "torch" not in str(owner):
        return None
    return f"aten::{obj.__name__}" if has_op(f"aten::{obj.__name__}") else None


def _apply_if_reached(frame: Frame, op: str, given: Arguments) -> Operand:
    """Apply an op; a branch of torch's own code that passes None for a tensor is one that eager
    never comes to, and raises if it does.
    """
    try:
        return apply_op(frame, op, given)
    except TypeMismatch as error:
        operands = (*given.args, *given.kwargs.values())
        has_none = any(isinstance(o, Value) and o.type == NONE for o in operands)
        if not (has_none and frame.may_be_unreachable):
            raise
        raise_exception(frame, TypeError, error.message)
        return frame.uninitialized(TENSOR)


def _tensor_of(frame: Frame, function: Any, op: str, given: Arguments) -> Operand:
    """`torch.tensor` of numbers in lists, or else of whatever it takes in Python."""
    args = [_as_data(frame, a) if i == 0 else a for i, a in enumerate(given.args)]
    try:
        return apply_op(frame, op, Arguments(args, given.kwargs))
    except TypeMismatch:
        data = args[0] if args else given.kwargs.get("data")
        if not isinstance(data, Value) or not isinstance(data.type, ListType):
            raise
    return call_python(frame, function, given, op, TENSOR)


def _as_data(frame: Frame, operand: Operand) -> Operand:
    """Nested sequences of numbers, in which tuples are no other than lists, as nested lists."""
    if isinstance(operand, RangeOf):
        return operators.as_list(frame, operand)
    if operators.is_tuple(operand):
        items = operators.elements(frame, operand)
    elif isinstance(operand, Value) and operand.node and operand.node.name == "prim::ListConstruct":
        items = list(operand.node.inputs)
        if not any(map(operators.is_tuple, items)):
            return operand
    else:
        return operand
    values = [frame.require(_as_data(frame, item)) for item in items]
    return make_list(frame, values) if values else operand


def apply_op(frame: Frame, op: str, given: Arguments) -> Operand:
    """Apply an op by name to evaluated arguments."""
    kwargs = {
        k: v
        for k, v in given.kwargs.items()
        if not (k in ("requires_grad", "out") and constant_of(v) in (None, False))
    }
    wants_grad = kwargs.pop("requires_grad", None)
    if any(isinstance(a, PyObject) for a in (*given.args, *kwargs.values())):
        given = Arguments([_dtype(frame, a) for a in given.args], {})
        kwargs = {k: _dtype(frame, v) for k, v in kwargs.items()}
    kwargs = _as_declared(frame, op, kwargs)
    result = frame.op(op, *_with_lists(frame, given.args), **kwargs)
    if result.type in (ListType(TENSOR), ListType(INT)):  # torch's functions give tuples
        assert isinstance(result.type, ListType)
        result.type = SequenceType(result.type.element)
    return result if wants_grad is None else frame.op("aten::requires_grad_", result, wants_grad)


# Names that torch's Python functions take as well, and those of the op.
_OTHER_NAMES = {
    "input": "self", "x": "self", "a": "self", "x1": "self", "x2": "other", "axis": "dim",
    "keepdims": "keepdim",
}  # fmt: skip


def _as_declared(frame: Frame, op: str, kwargs: dict[str, Operand]) -> dict[str, Operand]:
    """Keyword arguments under the names that the op has for them; `out=(a, b)` one by one."""
    schemas = [row.schema for row in registry.overloads(op)]
    known = {name for schema in schemas for name in schema.index}
    found = {k if k in known else _OTHER_NAMES.get(k, k): v for k, v in kwargs.items()}
    out = found.get("out")
    if out is None or not operators.is_tuple(out):
        return found
    items = operators.elements(frame, found.pop("out"))
    for schema in schemas:
        written = [a.name for a in schema.arguments if a.kwarg_only and a.is_written]
        if len(written) == len(items):
            return found | dict(zip(written, items, strict=True))
    raise frame.mismatch(f"{op} has no overload with {len(items)} results in out=")


def _with_lists(frame: Frame, args: list[Operand]) -> list[Operand]:
    """`f(x, *sizes, n)` of an op: the numbers and lists behind the tensors are one list of ints."""
    if not any(isinstance(a, StarOf) for a in args):
        return args
    first = next(i for i, a in enumerate(args) if not operators.is_tensor(a))
    joined = join_lists(frame, args[first:])
    return [*args[:first], joined]


def _dtype(frame: Frame, operand: Operand) -> Operand:
    """Python's and numpy's number classes name dtypes where a dtype is expected."""
    if isinstance(operand, PyObject):
        dtype = dtype_of(operand.obj)
        if dtype is not None:
            return frame.constant(dtype)
    return operand


_CHANGING = frozenset(
    ("append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "update", "popitem")
)
_READING = frozenset(("pop", "popitem", "get"))
_VIEWS = ("keys", "values", "items")


def call_method(frame: Frame, owner: Any, name: str, given: Arguments) -> Operand:
    """Call a method of a value, or of a sequence known while compiling."""
    if not isinstance(owner, Value):
        return methods.call_static(frame, owner, name, given)
    rule = methods.rule_of(owner.type, name)
    if rule is not None:
        return rule(frame, owner, given)
    if isinstance(owner.type, DictType) and name in _VIEWS and not given.args:
        return ViewOf(owner, name)
    match owner.type:
        case TensorType():
            return _tensor_method(frame, owner, name, given)
        case ListType() | DictType() | SetType():
            if name in _CHANGING:
                frame.change(owner)
            methods.adopt_types(frame, owner, name, given)
            if name in _READING and frame.unit.untyped.is_read_open(owner):
                return call_on(frame, owner, name, given)
    if is_dynamic(owner.type):
        return call_on(frame, owner, name, given)
    return methods.call_builtin(frame, owner, name, given)


# Tensor methods without an op, and what they give.
_TENSOR_RESULTS: dict[str, Type] = {
    **dict.fromkeys(("map2_", "share_memory_", "as_subclass"), TENSOR),
    **dict.fromkeys(("data_ptr", "element_size", "storage_offset", "get_device"), INT),
    "type": ANY,
}

# Tensor methods whose op has the tensor in second place, and what it calls the first.
_SECOND = {"where": "condition", "polygamma": "n"}


def _tensor_method(frame: Frame, owner: Value, name: str, given: Arguments) -> Operand:
    """A method of Tensor: the op of its name, or the Python source of methods written in Python."""
    method = getattr(torch.Tensor, name)
    if name in _SECOND:
        first, *rest = given.args or [given.kwargs.pop(_SECOND[name])]
        return apply_op(frame, f"aten::{name}", Arguments([first, owner, *rest], given.kwargs))
    full = Arguments([owner, *given.args], given.kwargs)
    if name in polyfills.METHODS:
        return polyfills.METHODS[name](frame, full)
    if isinstance(method, types.FunctionType) and name not in METHODS_AS_OPS:
        return frame.unit.services.call_function(frame, method, full)
    if has_dynamic([*given.args, *given.kwargs.values()]):
        return call_on(frame, owner, name, given, result_of_op(f"aten::{name}"))
    if not has_op(f"aten::{name}"):
        return call_on(frame, owner, name, given, _TENSOR_RESULTS.get(name, ANY))
    return apply_op(frame, f"aten::{name}", full)
