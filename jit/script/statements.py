"""Statements without branches: assignment, return, assert, raise, with, del, nested def, import,
expressions.
"""

from __future__ import annotations

import ast
import importlib
from typing import Any

from ir import (
    ANY,
    NONE,
    ListType,
    ObjectType,
    SequenceType,
    TensorType,
    TupleType,
    Type,
    UnsupportedError,
    Value,
    is_subtype,
)
from jit.script import operators
from jit.script.annotate import evaluate_annotation, type_of_annotation
from jit.script.conditions import condition, refine, without_none
from jit.script.constants import UNKNOWN, lift
from jit.script.dynamic import is_dynamic
from jit.script.expressions import closure_defaults
from jit.script.frame import DEAD, RESULT, RETURNED, SKIP, STOP, Frame, statement
from jit.script.indexing import delitem, getitem, read_index, setitem
from jit.script.informed import as_declared, informed
from jit.script.merging import merge_types
from jit.script.scope import conditional, raise_exception
from jit.script.targets import assign, forget_items
from jit.script.tensor_index import update_item
from jit.script.values import Closure, Operand, PartialOf, PyObject, Unbound


@statement(ast.Pass)
def _pass(frame: Frame, node: ast.Pass) -> None:
    pass


@statement(ast.Nonlocal)
def _nonlocal(frame: Frame, node: ast.Nonlocal) -> None:
    """The call of the nested function has lent the variables already (see `functions`)."""


@statement(ast.Expr)
def _expression(frame: Frame, node: ast.Expr) -> None:
    if not isinstance(node.value, ast.Constant):  # a docstring
        frame.evaluate(node.value)


@statement(ast.Assign)
def _assign(frame: Frame, node: ast.Assign) -> None:
    hint = None
    if node.type_comment is not None:
        hint = type_of_annotation(
            evaluate_annotation(node.type_comment, frame.annotation_names(), frame.span), frame.span
        )
    operand = frame.evaluate(node.value, hint)
    for target in node.targets:
        assign(frame, target, operand if hint is None else conform(frame, operand, hint))


@statement(ast.AnnAssign)
def _annotated(frame: Frame, node: ast.AnnAssign) -> None:
    """`name: type = value`; without a value it only declares, as in Python."""
    if node.value is None:
        return
    try:
        type_ = annotation_type(frame, node.annotation)
    except UnsupportedError:
        operand = frame.evaluate(node.value)
        if isinstance(operand, Value):
            raise
        assign(frame, node.target, operand)  # a function, say: it needs no type
        return
    operand = frame.evaluate(node.value, type_)
    with frame.at(node.value):
        assign(frame, node.target, conform(frame, operand, type_))


def annotation_type(frame: Frame, node: ast.expr) -> Type:
    """The type that an annotation inside a function names."""
    with frame.at(node):
        text = (
            node.value
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            else ast.unparse(node)
        )
        return type_of_annotation(
            evaluate_annotation(text, frame.annotation_names(), frame.span), frame.span
        )


def conform(frame: Frame, operand: Operand, type_: Type) -> Operand:
    """A value under a declared type: numbers keep their kind as in Python, anything else must be a
    subtype.
    """
    if not isinstance(operand, Value):
        is_function = isinstance(operand, PyObject | Closure | PartialOf) and type_ == ANY
        if isinstance(type_, ObjectType) or is_function:
            return operand  # an interface, a Callable: what is known while compiling says more
        operand = frame.require(operand)
    actual = operand.type
    if actual == type_ or (actual in operators.NUMBERS and type_ in operators.NUMBERS):
        return operand
    if frame.unit.untyped.is_found(operand):
        return operand  # it was seen to hold more than was declared
    if is_subtype(actual, type_):
        return _widened(frame, operand, type_)
    if operand.node is not None and operand.node.name == "aten::tolist":
        operand.type = type_
        return operand
    if is_dynamic(actual):
        return frame.cast(operand, type_)
    known = informed(actual, type_)
    if known is not None:
        return operand if known == actual else frame.cast(operand, known)
    if (
        actual.__class__ is ListType
        and isinstance(type_, ListType)
        and merge_types(actual, type_) == type_
    ):
        return operand
    if isinstance(actual, TupleType) and isinstance(type_, SequenceType):
        parts = [is_subtype(element, type_.element) for element in actual.elements]
        if all(parts):  # a tuple of any length may be one of a known length
            return operand
    if frame.is_library:  # Python takes no notice of annotations
        return operand
    raise frame.mismatch(f"{type_} was declared, but this is {actual}")


def _widened(frame: Frame, value: Value, type_: Type) -> Value:
    """The same value under the wider declared type, so that later assignments of other members
    fit.
    """
    if isinstance(type_, TensorType) or isinstance(value.type, TensorType):
        return value if isinstance(type_, TensorType) else frame.cast(value, type_)
    return frame.cast(value, type_)


@statement(ast.AugAssign)
def _augmented(frame: Frame, node: ast.AugAssign) -> None:
    target = node.target
    if isinstance(target, ast.Subscript):
        _augmented_item(frame, node, target)
        return
    load = ast.copy_location(
        ast.Name(target.id, ast.Load())
        if isinstance(target, ast.Name)
        else ast.Attribute(target.value, target.attr, ast.Load()),
        target,
    )
    left = frame.evaluate(load)
    right = frame.evaluate(node.value)
    assign(frame, target, operators.augmented(frame, node.op, left, right))


def _augmented_item(frame: Frame, node: ast.AugAssign, target: ast.Subscript) -> None:
    """`x[i] op= v`: a view of a tensor is changed in place; anything else is read, computed and
    stored.
    """
    owner = frame.evaluate(target.value)
    index = read_index(frame, target.slice)

    def update(item: Operand) -> Operand:
        return operators.augmented(frame, node.op, item, frame.evaluate(node.value))

    if isinstance(owner, Value) and isinstance(owner.type, TensorType):
        update_item(frame, owner, index, update)
    else:
        setitem(frame, owner, index, update(getitem(frame, owner, index)))
        forget_items(frame, target.value)


@statement(ast.Return)
def _return(frame: Frame, node: ast.Return) -> None:
    operand: Operand
    if node.value is None:
        operand = frame.constant(None)
    else:
        operand = frame.evaluate(node.value, frame.declared)
    with frame.at(node.value or node):
        operand = _under_declaration(frame, operand)
        previous = frame.scope.get(RESULT)
        if isinstance(previous, Unbound):
            raise frame.mismatch(f"the results do not have one type: {previous.reason}")
    frame.scope[RESULT] = operand
    for flag in (RETURNED, SKIP, STOP):
        frame.scope[flag] = True


@statement(ast.Assert)
def _assert(frame: Frame, node: ast.Assert) -> None:
    test = condition(frame, node.test)

    def fail() -> None:
        refine(frame, test.when_false)
        message = None if node.msg is None else frame.value(node.msg)
        raise_exception(frame, AssertionError, message)

    if isinstance(test.value, bool):
        if not test.value:
            fail()
    else:
        conditional(frame, test.value, lambda: None, fail)
    if frame.scope[DEAD] is False:
        refine(frame, test.when_true)


def _under_declaration(frame: Frame, operand: Operand) -> Operand:
    """A result under the declared type; where that is only a hint, Python's indifference holds."""
    declared = frame.declared
    if declared is None or not isinstance(operand, Value):
        return operand
    if frame.enforces:
        return conform(frame, operand, declared)
    return as_declared(frame, operand, declared)


@statement(ast.Delete)
def _delete(frame: Frame, node: ast.Delete) -> None:
    for target in node.targets:
        match target:
            case ast.Name(id=name) if name in frame.scope:
                del frame.scope[name]
            case ast.Subscript():
                owner = frame.evaluate(target.value)
                delitem(frame, owner, read_index(frame, target.slice))
                forget_items(frame, target.value)
            case _:
                raise frame.unsupported("del takes local variables and items of lists and dicts")


@statement(ast.FunctionDef)
def _nested(frame: Frame, node: ast.FunctionDef) -> None:
    if node.decorator_list:
        raise frame.unsupported("a decorated function inside a compiled function is not supported")
    frame.bind(node.name, Closure(node, frame, closure_defaults(frame, node.args)))


@statement(ast.Import)
def _import(frame: Frame, node: ast.Import) -> None:
    for alias in node.names:
        module = importlib.import_module(alias.name)
        top = importlib.import_module(alias.name.partition(".")[0])
        frame.bind(
            alias.asname or top.__name__, PyObject(module if alias.asname else top, alias.name)
        )


@statement(ast.ImportFrom)
def _import_from(frame: Frame, node: ast.ImportFrom) -> None:
    package = "." * node.level + (node.module or "")
    module = importlib.import_module(package, frame.resolver.globals.get("__package__"))
    for alias in node.names:
        found: Any = getattr(module, alias.name, UNKNOWN)
        if found is UNKNOWN:
            raise frame.unsupported(f"cannot import {alias.name!r} from {package!r}")
        frame.reads_outside(found)
        frame.bind(alias.asname or alias.name, lift(frame, found, alias.name))


def function_result(frame: Frame) -> Operand:
    """What the function whose body has just been compiled returns."""
    returned, result = frame.scope[RETURNED], frame.scope.get(RESULT)
    if frame.scope[DEAD] is True:
        return frame.uninitialized(frame.declared or NONE)
    if isinstance(result, Unbound):
        raise frame.mismatch(
            f"the results of {frame.source.name!r} do not have one type: {result.reason}"
        )
    if returned is True:
        assert result is not None and not isinstance(result, bool)
        return result
    if returned is False:
        return frame.constant(None)
    return _maybe_none(frame, returned)


def _maybe_none(frame: Frame, returned: Any) -> Operand:
    """Some paths end without a return, hence give None."""

    def default() -> None:
        frame.scope[RESULT] = frame.constant(None)

    frame.scope.update({SKIP: False, STOP: False, RETURNED: False})
    conditional(frame, returned, lambda: None, default)
    result = frame.scope[RESULT]
    assert not isinstance(result, bool)
    if isinstance(result, Unbound):
        raise frame.mismatch(
            f"{frame.source.name!r} returns a value on some paths, None on others: {result.reason}"
        )
    return result


def declared_result(frame: Frame, operand: Operand) -> Operand:
    """The result under the declared type, where one was declared."""
    if frame.declared is None or not isinstance(operand, Value) or not frame.enforces:
        return operand
    if (
        operand.type == NONE
        and frame.declared != NONE
        and without_none(frame.declared) == frame.declared
    ):
        raise frame.mismatch(
            f"{frame.source.name!r} is declared to return a {frame.declared}; a path returns None"
        )
    return conform(frame, operand, frame.declared)
