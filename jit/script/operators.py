"""Python's operators on operands: which op each stands for, reflected forms, sequences, constants.

Where eager runs `Tensor.__rsub__` and its like, the same ops are emitted, so that results agree
to the last bit. Operators on constants are computed while compiling, by Python itself; where
Python raises, the op is left to raise at run time.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    SIZE,
    STR,
    DictType,
    ListType,
    OptionalType,
    SequenceType,
    SetType,
    TensorType,
    TupleType,
    Type,
    Value,
    record,
)
from jit.script.classes import call_special
from jit.script.constants import (
    UNKNOWN,
    common_type,
    constant_of,
    lift,
    make_list,
    make_tuple,
    unpack,
)
from jit.script.dynamic import binary_result, comparison_result, is_dynamic
from jit.script.frame import Frame
from jit.script.lazy import collect, listed
from jit.script.merging import merge_types
from jit.script.values import (
    ITERABLES,
    Items,
    IteratorOf,
    Keywords,
    Operand,
    PyObject,
    RangeOf,
    ViewOf,
)

NUMBERS = (BOOL, INT, FLOAT, COMPLEX, NUMBER)
_FOLDABLE = (bool, int, float, complex, str)


@record
class Operator:
    """One binary operator: its symbol, Python's function, and the ops on tensors and on numbers."""

    symbol: str
    python: Callable[[Any, Any], Any]
    tensor: str
    scalar: str
    inplace: str | None
    commutes: bool = False

    @property
    def augmented(self) -> Callable[[Any, Any], Any]:
        """Python's function for the augmented assignment."""
        found: Callable[[Any, Any], Any] = getattr(operator, f"i{self.python.__name__.rstrip('_')}")
        return found


BINARY: dict[type[ast.operator], Operator] = {
    ast.Add: Operator("+", operator.add, "aten::add", "aten::add", "aten::add_", True),
    ast.Sub: Operator("-", operator.sub, "aten::sub", "aten::sub", "aten::sub_"),
    ast.Mult: Operator("*", operator.mul, "aten::mul", "aten::mul", "aten::mul_", True),
    ast.Div: Operator("/", operator.truediv, "aten::div", "aten::div", "aten::div_"),
    ast.FloorDiv: Operator(
        "//", operator.floordiv, "aten::floor_divide", "aten::floordiv", "aten::floor_divide_"
    ),
    ast.Mod: Operator("%", operator.mod, "aten::remainder", "aten::remainder", "aten::remainder_"),
    ast.Pow: Operator("**", operator.pow, "aten::pow", "aten::pow", "aten::pow_"),
    ast.MatMult: Operator("@", operator.matmul, "aten::matmul", "aten::matmul", None),
    ast.LShift: Operator(
        "<<", operator.lshift, "aten::__lshift__", "aten::__lshift__", "aten::__ilshift__"
    ),
    ast.RShift: Operator(
        ">>", operator.rshift, "aten::__rshift__", "aten::__rshift__", "aten::__irshift__"
    ),
    ast.BitAnd: Operator(
        "&", operator.and_, "aten::bitwise_and", "aten::__and__", "aten::bitwise_and_", True
    ),
    ast.BitOr: Operator(
        "|", operator.or_, "aten::bitwise_or", "aten::__or__", "aten::bitwise_or_", True
    ),
    ast.BitXor: Operator(
        "^", operator.xor, "aten::bitwise_xor", "aten::__xor__", "aten::bitwise_xor_", True
    ),
}

UNARY: dict[type[ast.unaryop], tuple[str, Callable[[Any], Any]]] = {
    ast.USub: ("aten::neg", operator.neg),
    ast.Invert: ("aten::bitwise_not", operator.invert),
}

# comparison -> (op, Python's function, the same with operands swapped)
COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any], str]] = {
    ast.Eq: ("aten::eq", operator.eq, "aten::eq"),
    ast.NotEq: ("aten::ne", operator.ne, "aten::ne"),
    ast.Lt: ("aten::lt", operator.lt, "aten::gt"),
    ast.LtE: ("aten::le", operator.le, "aten::ge"),
    ast.Gt: ("aten::gt", operator.gt, "aten::lt"),
    ast.GtE: ("aten::ge", operator.ge, "aten::le"),
}


def is_tensor(operand: Operand) -> bool:
    """Whether an operand is a tensor value."""
    return isinstance(operand, Value) and isinstance(operand.type, TensorType)


def fold(frame: Frame, function: Callable[..., Any], *operands: Operand) -> Value | None:
    """The result of a Python function on constants, None when an operand is not constant or Python
    raises.
    """
    known = [constant_of(o) for o in operands]
    if not all(isinstance(k, _FOLDABLE) for k in known):
        return None
    try:
        result = function(*known)
    except (ArithmeticError, TypeError, ValueError):
        return None
    if isinstance(result, int) and not -(1 << 63) <= result < 1 << 63:
        return None
    if not isinstance(result, _FOLDABLE) or (isinstance(result, str) and len(result) > 10_000):
        return None
    return frame.constant(result)


def unary(frame: Frame, op: ast.unaryop, operand: Operand) -> Operand:
    """`-x`, `~x`, `+x`."""
    if isinstance(op, ast.UAdd):
        return (
            frame.op("aten::add", 0, operand)
            if isinstance(operand, Value) and operand.type == BOOL
            else operand
        )
    name, function = UNARY[type(op)]
    folded = fold(frame, function, operand)
    if folded is not None:
        return folded
    value = frame.require(operand)
    if _is_loose(value):
        return frame.python(function, [value], ANY)
    if isinstance(op, ast.Invert) and not is_tensor(
        operand
    ):  # of an int; of a bool, too, as in Python
        number = frame.op("aten::Int", value) if value.type == BOOL else value
        return frame.op("aten::__xor__", number, -1)
    return frame.op(name, operand)


def binary(frame: Frame, op: ast.operator, left: Operand, right: Operand) -> Operand:
    """`left op right`."""
    row = BINARY[type(op)]
    dunder = row.python.__name__.strip("_")
    special = call_special(frame, f"__{dunder}__", left, right)
    special = special or call_special(frame, f"__r{dunder}__", right, left)
    if special is not None:
        return special
    if row.symbol == "|" and isinstance(left, PyObject) and isinstance(right, PyObject):
        return PyObject(left.obj | right.obj, f"{left.name} | {right.name}")
    sequence = _on_sequences(frame, row, left, right)
    if sequence is not None:
        return sequence
    folded = fold(frame, row.python, left, right)
    if folded is not None:
        return folded
    if row.symbol in "&|^-":
        if isinstance(left, ViewOf):
            right = frame.call(PyObject(set, "set"), right)
        left, right = viewed(frame, left, right)
    a, b = frame.require(left), frame.require(right)
    if _is_loose(a) or _is_loose(b):
        return frame.python(row.python, [a, b], binary_result(row.symbol, a.type, b.type))
    if is_tensor(b) and a.type in NUMBERS:
        return _reflected(frame, row, a, b)
    if is_tensor(a):
        return frame.op(row.tensor, a, b)
    if a.type == STR and row.symbol == "%":
        return _percent_format(frame, a, b)
    if row.symbol == "**" and a.type == b.type == INT:
        exponent = constant_of(b)
        is_inverse = isinstance(exponent, int) and exponent < 0
        return frame.op("aten::pow.int" if is_inverse else "aten::pow.int_to_int", a, b)
    if BOOL in (a.type, b.type) and not (row.symbol in "&|^" and a.type == b.type):
        a, b = (frame.op("aten::Int", v) if v.type == BOOL else v for v in (a, b))
    known = binary_result(row.symbol, a.type, b.type)
    return frame.op_or_python(row.scalar, row.python, None if known == ANY else known, a, b)


def _is_loose(value: Value) -> bool:
    """Whether Python itself applies operators to a value, as no op takes its type."""
    return is_dynamic(value.type) or isinstance(value.type, OptionalType | SetType | DictType)


def _percent_format(frame: Frame, text: Value, argument: Value) -> Value:
    if is_dynamic(argument.type) or isinstance(argument.type, SequenceType):
        return frame.python(operator.mod, [text, frame.sealed(argument)], STR)
    arguments = unpack(frame, argument) if isinstance(argument.type, TupleType) else [argument]
    return frame.op("aten::percentFormat", text, *arguments)


def _reflected(frame: Frame, row: Operator, number: Value, tensor: Value) -> Value:
    """A number on the left of a tensor: what Tensor's reflected method does."""
    if row.commutes:
        return frame.op(row.tensor, tensor, number)
    match row.symbol:
        case "-":
            return frame.op("aten::rsub", tensor, number)
        case "/":
            return frame.op("aten::mul", frame.op("aten::reciprocal", tensor), number)
        case "//":
            return frame.op(
                row.tensor, frame.op("aten::full", make_list(frame, [], INT), number), tensor
            )
        case "<<":
            return frame.op("aten::bitwise_left_shift", number, tensor)
        case ">>":
            return frame.op("aten::bitwise_right_shift", number, tensor)
    return frame.op(row.tensor, number, tensor)


def augmented(frame: Frame, op: ast.operator, left: Operand, right: Operand) -> Operand:
    """`left op= right`: the object is changed where its type has an in-place form, as in Python."""
    row = BINARY[type(op)]
    special = call_special(frame, f"__{row.augmented.__name__}__", left, right)
    if special is not None:
        return special
    if isinstance(left, Value) and _is_loose(left):
        frame.change(left)
        b = frame.require(right)
        return frame.python(row.augmented, [left, b], binary_result(row.symbol, left.type, b.type))
    if is_tensor(left) and row.inplace:
        return frame.op(row.inplace, left, right)
    if isinstance(left, Value) and isinstance(left.type, ListType) and row.symbol == "+":
        frame.change(left)
        addition = as_list(frame, right)
        adopt_element(frame, left, addition)
        return frame.op("aten::add_", left, addition)
    return binary(frame, op, left, right)


def adopt_element(frame: Frame, container: Value, addition: Operand) -> None:
    """The elements of a list are put into another one."""
    if not isinstance(addition, Value) or not isinstance(addition.type, ListType):
        return
    if addition not in frame.unit.untyped:
        frame.unit.untyped.admit(container, addition.type)


def as_list(frame: Frame, operand: Operand) -> Value:
    """A tuple of one element type, or what can be gone over, as a new list; a list as it is."""
    if isinstance(operand, Value) and isinstance(operand.type, DictType):
        operand = ViewOf(operand, "keys")
    if isinstance(operand, ITERABLES):
        return listed(frame, operand) if isinstance(operand, ViewOf) else collect(frame, operand)
    value = frame.require(operand)
    if not isinstance(value.type, TupleType):
        return value
    parts = unpack(frame, value)
    element = common_type(parts) if parts else INT
    return make_list(frame, parts, element)


def is_sortable(value: Value) -> bool:
    """Whether an op sorts a list as Python does: its items compare without code of the user's."""
    return isinstance(value.type, ListType) and value.type.element in (INT, FLOAT, BOOL, STR)


def _on_sequences(frame: Frame, row: Operator, left: Operand, right: Operand) -> Operand | None:
    """`+` and `*` of tuples and lists, and whatever mixes static sequences; None when this is not
    such a case.
    """
    if row.symbol == "*":
        for sequence, count in ((left, right), (right, left)):
            times = constant_of(count)
            if isinstance(times, int) and is_tuple(sequence):
                return rebuild(frame, elements(frame, sequence) * times)
            if isinstance(sequence, Value) and isinstance(sequence.type, SequenceType):
                made = frame.op("aten::mul", plain(frame, sequence), count)
                return frame.cast(made, sequence.type)
        return None
    if row.symbol != "+":
        return None
    if is_tuple(left) and is_tuple(right):
        return rebuild(frame, elements(frame, left) + elements(frame, right))
    if is_sequence(left) or is_sequence(right):
        return _join_tuples(frame, left, right)
    lists = [isinstance(o, Value) and isinstance(o.type, ListType) for o in (left, right)]
    if all(lists) or (any(lists) and (is_tuple(left) or is_tuple(right))):
        return _concatenate(frame, as_list(frame, left), as_list(frame, right))
    return None


def viewed(frame: Frame, *operands: Operand) -> tuple[Operand, ...]:
    """Operands of set operations and comparisons: views of dicts are sets there."""

    def as_set(operand: Operand) -> Operand:
        if not isinstance(operand, ViewOf) or operand.name == "values":
            return operand
        items = listed(frame, operand)
        assert isinstance(items.type, ListType)
        return frame.python(set, [items], SetType(items.type.element))

    return tuple(map(as_set, operands))


def is_sequence(operand: Operand) -> bool:
    """Whether an operand is a tuple of a length known at run time."""
    return isinstance(operand, Value) and isinstance(operand.type, SequenceType)


def plain(frame: Frame, operand: Operand) -> Value:
    """A tuple as the list of its elements; a list as it is."""
    value = as_list(frame, operand)
    return frame.op("aten::list", value) if is_sequence(value) else value


def _join_tuples(frame: Frame, left: Operand, right: Operand) -> Value:
    """`+` of tuples, one of them of unknown length; with anything else Python raises."""
    if not all(is_tuple(o) or is_sequence(o) for o in (left, right)):
        return frame.python(operator.add, [frame.require(left), frame.require(right)], ANY)
    joined = _concatenate(frame, plain(frame, left), plain(frame, right))
    assert isinstance(joined.type, ListType)
    is_size = any(isinstance(o, Value) and o.type == SIZE for o in (left, right))
    return frame.cast(joined, SIZE if is_size else SequenceType(joined.type.element))


def _concatenate(frame: Frame, left: Value, right: Value) -> Value:
    untyped = frame.unit.untyped
    for one, other in ((left, right), (right, left)):
        if one in untyped and other not in untyped:
            untyped.settle(one, other.type)
    assert isinstance(left.type, ListType) and isinstance(right.type, ListType)
    if left.type == right.type:
        return frame.op("aten::add", left, right)
    element = merge_types(left.type.element, right.type.element)
    return frame.python(operator.add, [left, right], ListType(element))


def is_tuple(operand: Operand) -> bool:
    """Whether an operand is a sequence of known length."""
    if isinstance(operand, IteratorOf):
        return is_tuple(operand.part)
    return isinstance(operand, Items) or (
        isinstance(operand, Value) and isinstance(operand.type, TupleType)
    )


def elements(frame: Frame, operand: Operand) -> list[Operand]:
    """The elements of a sequence of known length."""
    if isinstance(operand, IteratorOf):
        return elements(frame, operand.part)
    if isinstance(operand, Items):
        return list(operand.items)
    assert isinstance(operand, Value)
    return list(unpack(frame, operand))


def rebuild(frame: Frame, items: Sequence[Operand]) -> Operand:
    """A tuple of operands."""
    values = [i for i in items if isinstance(i, Value)]
    return make_tuple(frame, values) if len(values) == len(items) else Items(tuple(items))


def compare(frame: Frame, op: ast.cmpop, left: Operand, right: Operand) -> Value:
    """`left op right` for `== != < <= > >= in not in`."""
    if isinstance(op, ast.In | ast.NotIn):
        found = _as_bool(frame, contains(frame, right, left))
        if isinstance(op, ast.In):
            return found
        return fold(frame, operator.not_, found) or frame.op("aten::__not__", found)
    name, function, swapped = COMPARISONS[type(op)]
    special = call_special(frame, f"__{function.__name__}__", left, right)
    if special is not None:
        return frame.require(special)
    folded = fold(frame, function, left, right)
    if folded is not None:
        return folded
    if isinstance(left, PyObject) or isinstance(right, PyObject):
        return _compare_objects(frame, function, left, right)
    if is_tuple(left) and is_tuple(right):
        return _compare_tuples(frame, op, elements(frame, left), elements(frame, right))
    kinds = [is_tuple(o) or is_sequence(o) for o in (left, right)]
    if any(kinds):
        if not all(kinds):
            return _compare_kinds(frame, op, function, left, right)
        left, right = plain(frame, left), plain(frame, right)
    a, b = map(frame.require, viewed(frame, left, right))
    if isinstance(op, ast.Eq | ast.NotEq) and (a.type == NONE) != (b.type == NONE):
        return _compare_none(frame, op, a if b.type == NONE else b)
    if is_tensor(b) and a.type in NUMBERS:
        return frame.op(swapped, b, a)
    if _is_loose(a) or _is_loose(b):
        return frame.python(function, [a, b], comparison_result(a.type, b.type))
    is_plain = isinstance(op, ast.Eq | ast.NotEq) or a.type == b.type
    return frame.op_or_python(name, function, BOOL if is_plain else None, a, b)


def _compare_kinds(
    frame: Frame, op: ast.cmpop, function: Callable[[Any, Any], Any], left: Operand, right: Operand
) -> Value:
    """A tuple and something else: never equal, and in no order."""
    a, b = frame.require(left), frame.require(right)
    is_open = any(is_tensor(v) or _is_loose(v) for v in (a, b))
    if isinstance(op, ast.Eq | ast.NotEq) and not is_open:
        return frame.constant(isinstance(op, ast.NotEq))
    return frame.python(function, [a, b], comparison_result(a.type, b.type))


def _compare_none(frame: Frame, op: ast.cmpop, value: Value) -> Value:
    is_none = frame.op("aten::__is__", value, frame.constant(None))
    return is_none if isinstance(op, ast.Eq) else frame.op("aten::__not__", is_none)


def _compare_objects(
    frame: Frame, function: Callable[[Any, Any], Any], left: Operand, right: Operand
) -> Value:
    """Objects known while compiling, one of them perhaps a constant."""
    known = [o.obj if isinstance(o, PyObject) else constant_of(o) for o in (left, right)]
    if any(isinstance(o, Value) and is_dynamic(o.type) for o in (left, right)):
        return frame.python(function, [frame.require(left), frame.require(right)], BOOL)
    if UNKNOWN in known:
        raise frame.unsupported(
            f"{left if isinstance(left, Value) else left.describe()} cannot be compared at run time"
        )
    return frame.constant(bool(function(*known)))


def _compare_tuples(
    frame: Frame, op: ast.cmpop, left: list[Operand], right: list[Operand]
) -> Value:
    if not isinstance(op, ast.Eq | ast.NotEq):
        pair = [frame.require(rebuild(frame, side)) for side in (left, right)]
        return frame.python(COMPARISONS[type(op)][1], pair, BOOL)
    result = frame.constant(len(left) == len(right))
    if len(left) == len(right):
        for a, b in zip(left, right, strict=True):
            equal = _as_bool(frame, compare(frame, ast.Eq(), a, b))
            result = fold(frame, operator.and_, result, equal) or frame.op(
                "aten::__and__", result, equal
            )
    if isinstance(op, ast.Eq):
        return result
    return fold(frame, operator.not_, result) or frame.op("aten::__not__", result)


def contains(frame: Frame, container: Operand, item: Operand) -> Value:
    """`item in container`."""
    special = call_special(frame, "__contains__", container, item)
    if special is not None:
        return frame.require(special)
    if isinstance(container, ViewOf) and container.name == "keys":
        container = container.owner
    if isinstance(container, RangeOf) and (found := _in_range(frame, container, item)):
        return found
    if isinstance(container, ITERABLES) and not is_tuple(container):
        container = collect(frame, container)
    if isinstance(container, Keywords):
        return frame.constant(constant_of(item) in container.items)
    if isinstance(container, PyObject):
        known = item.obj if isinstance(item, PyObject) else constant_of(item)
        if known is UNKNOWN:
            if not isinstance(container.obj, Iterable):
                raise frame.unsupported(f"`in` {container.describe()} needs a constant on the left")
            keys = [lift(frame, key, container.name) for key in container.obj]
            return _in_tuple(frame, keys, item)
        if isinstance(container.obj, Mapping):
            frame.resolver.record_item(container.name, container.obj, known)
        return frame.constant(known in container.obj)
    if is_tuple(container):
        return _in_tuple(frame, elements(frame, container), item)
    value = frame.require(container)
    folded = fold(frame, operator.contains, value, item) if value.type == STR else None
    if folded is not None:
        return folded
    if is_tensor(value):
        return frame.op("aten::Bool", frame.op("aten::any", compare(frame, ast.Eq(), value, item)))
    if is_dynamic(value.type):
        return frame.python(operator.contains, [value, frame.require(item)], BOOL)
    if not isinstance(value.type, ListType | DictType | SetType) and value.type != STR:
        raise frame.mismatch(
            f"`in` needs a list, dict, set, tuple, str or tensor on its right, not a {value.type}"
        )
    return frame.op_or_python("aten::__contains__", operator.contains, BOOL, value, item)


def _in_range(frame: Frame, numbers: RangeOf, item: Operand) -> Value | None:
    """Whether an int is one of a range that counts upwards."""
    step = constant_of(numbers.step)
    if not isinstance(item, Value) or item.type != INT or not isinstance(step, int) or step < 1:
        return None
    tests = [frame.op("aten::ge", item, numbers.start), frame.op("aten::lt", item, numbers.stop)]
    if step > 1:
        rest = frame.op("aten::remainder", frame.op("aten::sub", item, numbers.start), step)
        tests.append(frame.op("aten::eq", rest, 0))
    return reduce(lambda a, b: frame.op("aten::__and__", a, b), tests)


def _in_tuple(frame: Frame, items: list[Operand], item: Operand) -> Value:
    result: Value | None = None
    for candidate in items:
        if not _comparable(item, candidate):
            continue
        equal = _as_bool(frame, compare(frame, ast.Eq(), item, candidate))
        if result is not None:
            equal = fold(frame, operator.or_, result, equal) or frame.op(
                "aten::__or__", result, equal
            )
        result = equal
    return frame.constant(False) if result is None else result


def _as_bool(frame: Frame, value: Value) -> Value:
    """The truth of a comparison, which need not be a bool."""
    if is_tensor(value):
        return frame.op("aten::Bool", value)
    return frame.python(bool, [value], BOOL) if is_dynamic(value.type) else value


def _comparable(a: Operand, b: Operand) -> bool:
    """Whether two operands may be equal at all: a str never equals a number."""
    types: list[Type] = [o.type for o in (a, b) if isinstance(o, Value)]
    return len(types) < 2 or types[0] == types[1] or (types[0] in NUMBERS) == (types[1] in NUMBERS)
