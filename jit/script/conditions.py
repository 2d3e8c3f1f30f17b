"""Conditions: truth values, what a test proves about the types of variables, and tests decided
while compiling.

A `Condition` is True, False or a bool value, with the types that hold where it is true and
where it is false. `x is None`, `isinstance`, `hasattr`, comparisons of constants and boolean
combinations of those are decided without run-time code where types allow; the branch that
cannot be reached is then never compiled.
"""

from __future__ import annotations

import ast
import operator
import types
from typing import Any, get_args

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    STR,
    DictType,
    ListType,
    OptionalType,
    SetType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    Value,
    field,
    record,
)
from jit.script.annotate import evaluate_annotation
from jit.script.classes import call_special
from jit.script.constants import UNKNOWN, constant_of
from jit.script.dynamic import is_dynamic
from jit.script.frame import Frame
from jit.script.instances import Verdict, isinstance_of
from jit.script.scope import select
from jit.script.values import (
    Instance,
    Items,
    Keywords,
    Narrowed,
    Operand,
    PyObject,
    RangeOf,
    Static,
    Unbound,
    ViewOf,
    class_of,
)

Refinements = dict[str, Type]


@record
class Condition:
    """The truth of a test and what it proves."""

    value: bool | Value
    when_true: Refinements = field(default_factory=dict)
    when_false: Refinements = field(default_factory=dict)

    def negate(self, frame: Frame) -> Condition:
        """The opposite test."""
        value = (
            not self.value
            if isinstance(self.value, bool)
            else frame.op("aten::__not__", self.value)
        )
        return Condition(value, self.when_false, self.when_true)

    def as_value(self, frame: Frame) -> Value:
        """The truth as a value."""
        return frame.constant(self.value) if isinstance(self.value, bool) else self.value


_NAMED = (ast.Name, ast.NamedExpr, ast.Attribute, ast.Subscript)


def path_of(node: ast.expr) -> str | None:
    """The key under which facts about an expression are kept: a name, attributes and constant
    subscripts of one.
    """
    if not isinstance(node, _NAMED):
        return None
    match node:
        case ast.Name(id=name) | ast.NamedExpr(target=ast.Name(id=name)):
            return name
        case ast.Attribute(value=value, attr=attr):
            base = path_of(value)
            return base and f"{base}.{attr}"
        case ast.Subscript(value=value, slice=ast.Constant(value=index)):
            base = path_of(value)
            return base and f"{base}[{index!r}]"
    return None


def refine(frame: Frame, facts: Refinements) -> None:
    """Let facts hold from here on."""
    for path, type_ in facts.items():
        binding = frame.scope.get(path)
        if isinstance(binding, Value):
            frame.scope[path] = frame.cast(binding, type_)
        elif not path.isidentifier():
            frame.scope[path] = Narrowed(type_)
            frame.narrowed.add(path)


def condition(frame: Frame, node: ast.expr) -> Condition:
    """Compile a test."""
    with frame.at(node):
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return condition(frame, operand).negate(frame)
            case ast.BoolOp(op=op, values=values):
                return _combine(frame, values, isinstance(op, ast.And))
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[right]):
                found = _identity(frame, left, right)
                return found.negate(frame) if isinstance(op, ast.IsNot) else found
            case ast.Call(func=ast.Name(id="isinstance"), args=[subject, classes]):
                return _isinstance(frame, subject, classes)
            case ast.Call(func=ast.Attribute(attr="isinstance"), args=[subject, classes]):
                return _isinstance(frame, subject, classes)
            case _:
                return _truth_test(frame, node)


def _truth_test(frame: Frame, node: ast.expr) -> Condition:
    """What is true is not None."""
    operand, path = frame.evaluate(node), path_of(node)
    value = truth(frame, operand)
    if path is None or not isinstance(operand, Value) or isinstance(value, bool):
        return Condition(value)
    rest = without_none(operand.type)
    return Condition(value, {path: rest} if rest != operand.type else {})


def _combine(frame: Frame, nodes: list[ast.expr], is_and: bool) -> Condition:
    """`and` / `or` as a test: the rest is compiled only where it is reached."""
    first = condition(frame, nodes[0])
    if len(nodes) == 1:
        return first
    if isinstance(first.value, bool):
        if first.value != is_and:
            return first
        refine(frame, first.when_true if is_and else first.when_false)
        return _combine(frame, nodes[1:], is_and)
    rest: list[Condition] = []

    def evaluate_rest() -> Operand:
        refine(frame, first.when_true if is_and else first.when_false)
        rest.append(_combine(frame, nodes[1:], is_and))
        return rest[0].as_value(frame)

    def decided() -> Operand:
        return frame.constant(not is_and)

    then, orelse = (evaluate_rest, decided) if is_and else (decided, evaluate_rest)
    value = select(frame, first.value, then, orelse)
    assert isinstance(value, Value)
    if isinstance(rest[0].value, bool):  # known whatever the first test gives, or the first decides
        return first if rest[0].value == is_and else Condition(not is_and)
    if is_and:
        return Condition(value, {**first.when_true, **rest[0].when_true})
    return Condition(value, {}, {**first.when_false, **rest[0].when_false})


def _identity(frame: Frame, left: ast.expr, right: ast.expr) -> Condition:
    """`left is right`."""
    return identity(frame, frame.evaluate(left), frame.evaluate(right), left, right)


def identity(
    frame: Frame,
    a: Operand,
    b: Operand,
    left: ast.expr | None = None,
    right: ast.expr | None = None,
) -> Condition:
    """Whether two operands are one object; what that shows of the expressions that they are."""
    if not isinstance(a, Value) or not isinstance(b, Value):
        return Condition(_static_identity(frame, a, b))
    if a is b:
        return Condition(True)
    for subject, node, other in ((a, left, b), (b, right, a)):
        if other.type == NONE:
            return _is_none(frame, subject, node)
    return Condition(frame.op("aten::__is__", a, b))


def _static_identity(frame: Frame, a: Operand, b: Operand) -> bool | Value:
    if isinstance(a, PyObject) and isinstance(b, PyObject):
        return a.obj is b.obj
    for x, y in ((a, b), (b, a)):
        if isinstance(x, Value) and x.type == NONE:
            return not isinstance(y, Static)
        if isinstance(x, Value) and is_dynamic(x.type) and isinstance(y, PyObject):
            return frame.python(operator.is_, [x, frame.require(y)], BOOL)
    raise frame.unsupported("`is` between these two cannot be decided while compiling")


def _is_none(frame: Frame, subject: Value, node: ast.expr | None) -> Condition:
    type_, path = subject.type, None if node is None else path_of(node)
    if type_ == NONE:
        return Condition(True)
    rest = without_none(type_)
    if rest == type_ and type_ != ANY and not _is_gradient(subject):
        return Condition(False)
    value = frame.op("aten::__is__", subject, frame.constant(None))
    if path is None:
        return Condition(value)
    return Condition(value, {path: NONE}, {path: rest} if rest != type_ else {})


def _is_gradient(value: Value) -> bool:
    """Whether a value is the `grad` of a tensor, which is None before `backward`."""
    return value.node is not None and value.node.name == "prim::grad"


def without_none(type_: Type) -> Type:
    """The type of a value that is known not to be None."""
    if isinstance(type_, OptionalType):
        return type_.element
    if isinstance(type_, UnionType) and NONE in type_.members:
        rest = tuple(m for m in type_.members if m != NONE)
        return rest[0] if len(rest) == 1 else UnionType(rest)
    return type_


def _isinstance(frame: Frame, subject: ast.expr, classes: ast.expr) -> Condition:
    operand = frame.evaluate(subject)
    wanted = _tested(frame, classes)
    if isinstance(operand, PyObject):
        return Condition(isinstance(operand.obj, tuple(c for c in wanted if isinstance(c, type))))
    if isinstance(operand, Instance):
        return Condition(issubclass(operand.cls, tuple(c for c in wanted if isinstance(c, type))))
    if not isinstance(operand, Value):
        cls = class_of(operand)
        return Condition(any(isinstance(c, type) and issubclass(cls, c) for c in wanted))
    verdict = isinstance_of(operand.type, wanted, frame.span)
    if isinstance(verdict, bool):
        return Condition(verdict)
    return _runtime_isinstance(frame, operand, verdict, path_of(subject))


def _tested(frame: Frame, node: ast.expr) -> tuple[Any, ...]:
    """The classes, or types such as `List[int]`, that are tested for."""
    match node:
        case ast.Tuple(elts=parts):
            return tuple(c for part in parts for c in _tested(frame, part))
        case ast.Subscript():
            text = ast.unparse(node)
            return (evaluate_annotation(text, frame.annotation_names(), frame.span),)
    return _classes(frame, frame.evaluate(node))


def _classes(frame: Frame, operand: Operand) -> tuple[Any, ...]:
    if isinstance(operand, Items):
        return tuple(c for item in operand.items for c in _classes(frame, item))
    if isinstance(operand, PyObject):
        obj = operand.obj
        is_several = isinstance(obj, tuple | types.UnionType)
        return (*(get_args(obj) or obj),) if is_several else (obj,)
    if constant_of(operand) is None:
        return (type(None),)
    raise frame.unsupported(
        "the second argument of isinstance must be a class or a tuple of classes"
    )


def _runtime_isinstance(
    frame: Frame, value: Value, verdict: Verdict, path: str | None
) -> Condition:
    result = frame.node(
        "prim::isinstance", [value], [BOOL], types=verdict.tested, classes=verdict.classes
    ).output
    if path is None:
        return Condition(result)
    refined = {path: verdict.when_true} if verdict.when_true is not None else {}
    other = {path: verdict.when_false} if verdict.when_false is not None else {}
    return Condition(result, refined, other)


def truth(frame: Frame, operand: Operand) -> bool | Value:
    """Python's truth value of an operand."""
    for special in ("__bool__", "__len__"):
        found = call_special(frame, special, operand)
        if found is not None:
            return truth(frame, found)
    if isinstance(operand, PyObject):
        return bool(operand.obj)
    if isinstance(operand, Items | Keywords):
        return bool(operand.items)
    if isinstance(operand, RangeOf):
        ends = (operand.start, operand.stop, operand.step)
        return truth(frame, frame.op("aten::__range_length", *ends))
    if isinstance(operand, ViewOf):
        return truth(frame, operand.owner)
    if isinstance(operand, Unbound) or not isinstance(operand, Value):
        return True
    known = constant_of(operand)
    if known is not UNKNOWN and not isinstance(operand.type, TensorType):
        return bool(known)
    return _runtime_truth(frame, operand)


def _runtime_truth(frame: Frame, value: Value) -> bool | Value:
    match value.type:
        case type_ if type_ == BOOL:
            return value
        case TensorType():
            return frame.op("aten::Bool", value)
        case type_ if type_ in (INT, FLOAT, COMPLEX, NUMBER):
            return frame.op("aten::ne", value, 0)
        case ListType() | DictType():
            return frame.op("aten::ne", frame.op_or_python("aten::len", len, INT, value), 0)
        case SetType():
            return frame.python(bool, [value], BOOL)
        case type_ if type_ == STR:
            return frame.op("aten::ne", value, "")
        case type_ if type_ == NONE:
            return False
        case TupleType(elements=elements):
            return bool(elements)
        case OptionalType(element=element):
            return _optional_truth(frame, value, element)
    if is_dynamic(value.type):
        return frame.python(bool, [value], BOOL)
    raise frame.mismatch(f"a value of type {value.type} has no truth value in compiled code")


def _optional_truth(frame: Frame, value: Value, element: Type) -> Value:
    is_none = frame.op("aten::__is__", value, frame.constant(None))

    def inner() -> Operand:
        result = truth(frame, frame.cast(value, element))
        return frame.constant(result) if isinstance(result, bool) else result

    result = select(frame, is_none, lambda: frame.constant(False), inner)
    assert isinstance(result, Value)
    return result
