"""Rules of Python's iteration and containers: range, zip, map, list, dict, tuple, len, sorted,
any, all, sum.
"""

from __future__ import annotations

import ast
import collections
import functools
import itertools
import operator
from collections.abc import Sequence
from enum import EnumMeta

from ir import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    STR,
    DictType,
    ListType,
    SequenceType,
    SetType,
    TensorType,
    TupleType,
    Type,
    Value,
)
from jit.script import operators
from jit.script.classes import call_special
from jit.script.conditions import truth
from jit.script.constants import constant_of, make_dict, make_list
from jit.script.dynamic import call_python, has_dynamic, is_dynamic
from jit.script.frame import Frame
from jit.script.generators import first_item, lazily
from jit.script.iteration import Indexed, iteration, opened, settled
from jit.script.lazy import listed
from jit.script.library import sorted_by, sorted_plain, transposed
from jit.script.merging import of_any_length
from jit.script.rules import RULES, Rule, form, rule
from jit.script.search import found_by
from jit.script.templates import accumulate, comprehend
from jit.script.values import (
    Arguments,
    CountOf,
    GeneratorOf,
    Instance,
    Items,
    IteratorOf,
    Keywords,
    Method,
    Operand,
    PyObject,
    RangeOf,
    ReversedOf,
    StarOf,
    ViewOf,
    ZipOf,
    is_lazy,
)


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
    start = given.kwargs.get("start") or (
        given.args[1] if len(given.args) > 1 else frame.constant(0)
    )
    items = opened(frame, given.args[0])
    items = items if is_lazy(items) else settled(frame, items)
    return ZipOf((CountOf(frame.require(start)), items))


@rule(zip)
def _zip(frame: Frame, given: Arguments) -> Operand:
    """Of Python's iterators, which may be endless, and with strict lengths it is Python's own."""
    if len(given.args) == 1 and isinstance(given.args[0], StarOf):
        rows = given.args[0].part
        return frame.python(transposed, [rows], ListType(_column(rows.type)))
    is_strict = "strict" in given.kwargs and constant_of(given.kwargs["strict"]) is not False
    if has_dynamic(given.args) or is_strict:
        lists = [_iterable(frame, a) for a in given.args]
        return call_python(frame, zip, Arguments(lists, given.kwargs), "zip")
    return ZipOf(tuple(opened(frame, a) for a in given.args))


def _column(rows: Type) -> Type:
    """The type of a tuple of one element of each row."""
    row = rows.element if isinstance(rows, ListType) else ANY
    if isinstance(row, TupleType) and row.elements:
        return of_any_length(row)
    return SequenceType(row.element) if isinstance(row, ListType) else ANY


def _iterable(frame: Frame, operand: Operand) -> Operand:
    """A run-time value to go over, for Python."""
    if isinstance(operand, Value):
        return operand
    return _list(frame, Arguments([operand], {}))


@rule(itertools.count)
def _count(frame: Frame, given: Arguments) -> Operand:
    if given.kwargs or len(given.args) > 1:
        raise frame.unsupported("itertools.count takes a start only in compiled code; multiply it")
    return CountOf(frame.require(given.args[0]) if given.args else frame.constant(0))


@rule(itertools.cycle)
def _cycle(frame: Frame, given: Arguments) -> Operand:
    raise frame.unsupported(
        "itertools.cycle has no end, which compiled code cannot go over; index with `i % len(x)`"
    )


@rule(itertools.repeat)
def _repeat(frame: Frame, given: Arguments) -> Operand:
    count = constant_of(given.args[1]) if len(given.args) > 1 else None
    if not isinstance(count, int):
        raise frame.unsupported("itertools.repeat needs a count known while compiling")
    return Items((given.args[0],) * count)


@rule(reversed)
def _reversed(frame: Frame, given: Arguments) -> Operand:
    return ReversedOf(settled(frame, given.args[0]))


@rule(map)
def _map(frame: Frame, given: Arguments) -> Operand:
    function, *rest = given.args
    sequences = [settled(frame, s) for s in rest]
    several = len(sequences) > 1
    source = ZipOf(tuple(sequences)) if several else sequences[0]
    over = iteration(frame, source)
    if isinstance(over, Indexed):
        text = "[function(*x) for x in source]" if several else "[function(x) for x in source]"
        return IteratorOf(comprehend(frame, text, source, function))
    return IteratorOf(Items(tuple(_spread_call(frame, function, item, several) for item in over)))


@rule(filter)
def _filter(frame: Frame, given: Arguments) -> Operand:
    function, source = given.args
    if constant_of(function) is None:
        return IteratorOf(comprehend(frame, "[x for x in source if x]", source))
    return IteratorOf(comprehend(frame, "[x for x in source if function(x)]", source, function))


@rule(functools.reduce)
def _reduce(frame: Frame, given: Arguments) -> Operand:
    function, source, *start = given.args
    sequence = settled(frame, source)
    over = iteration(frame, sequence)
    if isinstance(over, Indexed):
        first = start[0] if start else over.element(frame.constant(0))
        rest = sequence if start else frame.op("aten::slice", sequence, 1, None, 1)
        return accumulate(frame, "function(total, item)", first, rest, function)
    items = [*start, *over]
    if not items:
        raise frame.mismatch("reduce() of empty iterable with no initial value")
    total = items[0]
    for item in items[1:]:
        total = frame.call(function, total, item)
    return total


def _spread_call(frame: Frame, function: Operand, item: Operand, spreads: bool) -> Operand:
    return frame.call(function, *(operators.elements(frame, item) if spreads else [item]))


@form(next)
def _next(frame: Frame, node: ast.Call) -> Operand:
    """The first item of a generator; so, too, of a call whose result is known while compiling, such
    as `self.parameters()`.
    """
    made = lazily(frame, node.args[0])
    source, *default = (made or frame.evaluate(node.args[0]), *map(frame.evaluate, node.args[1:]))
    if isinstance(source, GeneratorOf):
        return first_item(frame, source, *default)
    if isinstance(source, Items) and isinstance(node.args[0], ast.Call) and source.items:
        return source.items[0]
    special = None if default else call_special(frame, "__next__", source)
    if special is not None:
        return special
    return frame.python(next, [frame.require(source), *map(frame.require, default)], ANY)


@rule(iter)
def _iter(frame: Frame, given: Arguments) -> Operand:
    special = call_special(frame, "__iter__", given.args[0]) if len(given.args) == 1 else None
    return call_python(frame, iter, given, "iter") if special is None else special


@rule(len)
def _len(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    if isinstance(operand, PyObject) and isinstance(operand.obj, EnumMeta):
        return frame.constant(len(operand.obj))
    special = call_special(frame, "__len__", operand)
    if special is not None:
        return special
    if isinstance(operand, ViewOf):
        operand = operand.owner
    if operators.is_tuple(operand):
        return frame.constant(len(operators.elements(frame, operand)))
    if isinstance(operand, PyObject | Keywords):
        return frame.constant(len(operand.obj if isinstance(operand, PyObject) else operand.items))
    if isinstance(operand, RangeOf):
        return frame.op("aten::__range_length", operand.start, operand.stop, operand.step)
    return frame.op_or_python("aten::len", len, INT, operand)


@rule(set)
def _set(frame: Frame, given: Arguments) -> Operand:
    return _as_set(frame, given, set)


@rule(frozenset)
def _frozenset(frame: Frame, given: Arguments) -> Operand:
    return _as_set(frame, given, frozenset)


def _as_set(frame: Frame, given: Arguments, function: type) -> Operand:
    hint = frame.hint
    if not given.args and isinstance(hint, SetType):
        made = make_list(frame, [], hint.element)
        frame.unit.untyped.declare(made)
        assert isinstance(made.type, ListType)
        return frame.python(function, [made], SetType(made.type.element))
    items = frame.require(_list(frame, Arguments(given.args, {})))
    assert isinstance(items.type, ListType)
    made = frame.python(function, [items], SetType(items.type.element))
    if items in frame.unit.untyped:
        frame.unit.untyped.add(made)
    return made


@rule(list)
def _list(frame: Frame, given: Arguments) -> Operand:
    if not given.args:
        element = frame.hint.element if isinstance(frame.hint, ListType) else TensorType()
        empty = make_list(frame, [], element)
        frame.unit.untyped.add(empty)
        return empty
    operand = opened(frame, given.args[0])
    is_pythons = isinstance(operand, Value) and is_dynamic(operand.type)
    if is_lazy(operand) or is_pythons or isinstance(operand, Instance):
        return settled(frame, operand)
    if isinstance(operand, Value) and (isinstance(operand.type, ListType) or operand.type == STR):
        return frame.op("aten::list", operand)
    if isinstance(operand, Value) and isinstance(operand.type, DictType):
        operand = ViewOf(operand, "keys")
    if isinstance(operand, ViewOf):
        return listed(frame, operand)
    if isinstance(operand, IteratorOf) and isinstance(operand.part, Value):
        return operand.part
    over = iteration(frame, operand)
    if isinstance(over, Indexed):
        return collect(frame, operand)
    return (
        operators.as_list(frame, operators.rebuild(frame, list(over)))
        if over
        else _list(frame, Arguments([], {}))
    )


def collect(frame: Frame, operand: Operand) -> Operand:
    """The elements of a run-time iterable as a list, by a comprehension over it."""
    return comprehend(frame, "[x for x in source]", operand)


@rule(tuple)
def _tuple(frame: Frame, given: Arguments) -> Operand:
    if not given.args:
        return Items(())
    source = settled(frame, given.args[0])
    over = iteration(frame, source)
    if not isinstance(over, Indexed):
        return operators.rebuild(frame, list(over))
    value = frame.require(_list(frame, Arguments([source], {})))
    assert isinstance(value.type, ListType)
    return frame.cast(value, SequenceType(value.type.element))


@rule(dict)
def _dict(frame: Frame, given: Arguments) -> Operand:
    """From keywords, from pairs, or a copy."""
    hint = frame.hint
    if given.args:
        (operand,) = given.args
        if isinstance(operand, Value) and isinstance(operand.type, DictType):
            return _with_keywords(frame, frame.op("aten::copy", operand), given)
        if isinstance(operand, Value) and is_dynamic(operand.type):
            return _with_keywords(frame, frame.python(dict, [operand], ANY), given)
        over = iteration(
            frame,
            frame.call(Method(operand, "items")) if isinstance(operand, Keywords) else operand,
        )
        if isinstance(over, Indexed):
            return _dict_of_pairs(frame, operand, given)
        pairs = [operators.elements(frame, item) for item in over]
    else:
        pairs = []
    pairs += [[frame.constant(k), v] for k, v in given.kwargs.items()]
    if not pairs:
        wanted = hint if isinstance(hint, DictType) else DictType(STR, TensorType())
        empty = frame.node("prim::DictConstruct", (), [wanted]).output
        frame.unit.untyped.add(empty)
        return empty
    return make_dict(
        frame, [frame.require(k) for k, _ in pairs], [frame.require(v) for _, v in pairs]
    )


@rule(collections.OrderedDict)
def _ordered_dict(frame: Frame, given: Arguments) -> Operand:
    made = frame.require(_dict(frame, given))
    result = frame.python(collections.OrderedDict, [made], made.type)
    if made in frame.unit.untyped:
        frame.unit.untyped.follow(result, made)
    return result


def _dict_of_pairs(frame: Frame, operand: Operand, given: Arguments) -> Operand:
    return _with_keywords(frame, comprehend(frame, "{k: v for k, v in source}", operand), given)


def _with_keywords(frame: Frame, made: Operand, given: Arguments) -> Operand:
    """`dict(x, name=value)`."""
    if not given.kwargs:
        return made
    keys = [frame.constant(k) for k in given.kwargs]
    more = make_dict(frame, keys, [frame.require(v) for v in given.kwargs.values()])
    return operators.binary(frame, ast.BitOr(), made, more)


@rule(sum)
def _sum(frame: Frame, given: Arguments) -> Operand:
    operand = settled(frame, given.args[0])
    start = given.kwargs.get("start") or (given.args[1] if len(given.args) > 1 else None)
    if isinstance(operand, Value) and operand in frame.unit.untyped and not operand.uses:
        return frame.constant(0) if start is None else start  # of an empty display
    over = iteration(frame, operand)
    if not isinstance(over, Indexed):
        total: Operand = frame.constant(0) if start is None else start
        for item in over:
            total = operators.binary(frame, ast.Add(), total, item)
        return total
    value = frame.require(_list(frame, Arguments([operand], {})))
    if (
        isinstance(value.type, ListType)
        and value.type.element in (INT, FLOAT, BOOL)
        and start is None
    ):
        return frame.op("aten::sum", value)
    return _sum_objects(frame, value, start)


def _sum_objects(frame: Frame, value: Value, start: Operand | None) -> Operand:
    """A sum of tensors: Python starts from the int 0; an empty list is refused at run time."""
    zero = start or frame.constant(0)
    assert isinstance(value.type, ListType)
    kind, element = zero.type if isinstance(zero, Value) else None, value.type.element
    if kind == element or (kind in operators.NUMBERS and element in operators.NUMBERS):
        return accumulate(frame, "total + item", zero, value)
    first = operators.binary(frame, ast.Add(), zero, frame.op("aten::__getitem__", value, 0))
    rest = frame.op("aten::slice", value, 1, None, 1)
    return accumulate(frame, "total + item", first, rest)


def _operator(op: type[ast.operator], frame: Frame, given: Arguments) -> Operand:
    """`operator.add` and its like."""
    return operators.binary(frame, op(), *given.args)


def _quantifier(name: str, op: str) -> Rule:
    """any and all, of bools or of anything with a truth value."""

    def apply(frame: Frame, given: Arguments) -> Operand:
        (operand,) = given.args
        if operators.is_tensor(operand):
            return frame.op("aten::Bool", frame.op(f"aten::{name}", operand))
        operand = settled(frame, operand)
        over = _new_items(frame, operand) or iteration(frame, operand)
        if isinstance(over, Indexed):
            truths = comprehend(frame, "[not not x for x in source]", operand)
            return frame.op(f"aten::{name}", frame.cast(frame.require(truths), ListType(BOOL)))
        result: bool | Value = name == "all"
        for item in over:
            found = truth(frame, item)
            made = [frame.constant(r) if isinstance(r, bool) else r for r in (result, found)]
            folded = operators.fold(frame, operator.and_ if name == "all" else operator.or_, *made)
            result = folded or frame.op(op, *made)
        return frame.constant(result) if isinstance(result, bool) else result

    return apply


def _new_items(frame: Frame, operand: Operand) -> Sequence[Value] | None:
    """The items of a list that was made just here, such as by a comprehension, and that nobody has
    read or changed yet.
    """
    if not isinstance(operand, Value) or operand.node is None or operand.uses:
        return None
    is_display = operand.node.name == "prim::ListConstruct"
    return operand.node.inputs if is_display and operand.node.block is frame.builder.block else None


_QUANTIFIERS = {
    any: _quantifier("any", "aten::__or__"),
    all: _quantifier("all", "aten::__and__"),
}
RULES.update(_QUANTIFIERS)


@form(any, all)
def _search(frame: Frame, node: ast.Call) -> Operand:
    """any and all of a generator expression: a loop that the first item which decides ends."""
    quantifier = frame.evaluate(node.func)
    assert isinstance(quantifier, PyObject)
    argument = node.args[0] if len(node.args) == 1 else None
    if not isinstance(argument, ast.GeneratorExp):
        given = Arguments([frame.evaluate(a) for a in node.args], {})
        return _QUANTIFIERS[quantifier.obj](frame, given)
    test = argument.elt if quantifier.obj is any else ast.UnaryOp(ast.Not(), argument.elt)
    return found_by(frame, argument, test, quantifier.obj is any)


for _row in operators.BINARY.items():
    RULES[_row[1].python] = functools.partial(_operator, _row[0])


@rule(sorted)
def _sorted(frame: Frame, given: Arguments) -> Operand:
    items = operators.as_list(frame, _list(frame, Arguments(given.args[:1], {})))
    reverse = frame.require(given.kwargs.get("reverse") or frame.constant(False))
    if "key" in given.kwargs:
        key = given.kwargs["key"]
        keys = frame.require(comprehend(frame, "[function(x) for x in source]", items, key))
        return frame.python(sorted_by, [items, keys, reverse], items.type)
    if operators.is_sortable(items) and reverse.type == BOOL:
        frame.op("aten::sort", items, reverse)
        return items
    return frame.python(sorted_plain, [items, reverse], items.type)
