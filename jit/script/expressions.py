"""Expressions: literals, names, displays, operators, subscripts, ternaries, f-strings,
comprehensions' siblings.

Calls and attributes are in `calls` and `attributes`; comprehensions, being loops, in
`comprehensions`.
"""

from __future__ import annotations

import ast

from ir import (
    STR,
    TENSOR,
    DictType,
    ListType,
    OptionalType,
    SequenceType,
    SetType,
    TupleType,
    Type,
    Value,
    is_subtype,
)
from jit.script import operators
from jit.script.conditions import Condition, condition, identity, path_of, refine, truth
from jit.script.constants import (
    common_type,
    constant_of,
    empty_list,
    lift,
    make_dict,
    make_list,
    make_tuple,
)
from jit.script.dynamic import is_dynamic
from jit.script.frame import Frame, expression
from jit.script.indexing import getitem, read_index
from jit.script.modules import live_object
from jit.script.scope import select
from jit.script.templates import comprehend
from jit.script.unbound import unbound_local, undefined_global
from jit.script.values import (
    ITERABLES,
    Closure,
    Instance,
    Items,
    Narrowed,
    Operand,
    PyObject,
    StarOf,
    values_of,
)


@expression(ast.Constant)
def _constant(frame: Frame, node: ast.Constant) -> Operand:
    if node.value is Ellipsis:
        return PyObject(Ellipsis, "...")
    if type(node.value) is int and not -(1 << 63) <= node.value < 1 << 63:
        raise frame.unsupported("ints in compiled code have 64 bits; this literal does not fit")
    return frame.constant(node.value)


@expression(ast.Name)
def _name(frame: Frame, node: ast.Name) -> Operand:
    local = frame.lookup(node.id)
    if local is not None:
        return local
    if frame.source.is_local(node.id):
        return unbound_local(frame, node.id)
    try:
        obj = frame.resolver.lookup(node.id)
        frame.reads_outside(obj)
    except KeyError:
        return undefined_global(frame, node.id)
    holder = frame.resolver.holder(node.id)
    if frame.resolver.is_live(holder, node.id, obj):
        return live_object(frame, obj, holder, node.id)
    return frame.capture(lift(frame, obj, node.id), holder, node.id)


@expression(ast.NamedExpr)
def _walrus(frame: Frame, node: ast.NamedExpr) -> Operand:
    operand = frame.evaluate(node.value)
    frame.bind(node.target.id, operand)
    return operand


def narrowed(frame: Frame, node: ast.expr, operand: Operand) -> Operand:
    """An attribute or item, with the type that an enclosing test has shown."""
    if not isinstance(operand, Value) or (path := path_of(node)) is None:
        return operand
    fact = frame.scope.get(path)
    return frame.cast(operand, fact.type) if isinstance(fact, Narrowed) else operand


@expression(ast.Subscript)
def _subscript(frame: Frame, node: ast.Subscript) -> Operand:
    owner = frame.evaluate(node.value)
    item = getitem(frame, owner, read_index(frame, node.slice))
    return narrowed(frame, node, item)


@expression(ast.Tuple)
def _tuple(frame: Frame, node: ast.Tuple) -> Operand:
    hints = frame.hint.elements if isinstance(frame.hint, TupleType) else ()
    items = spread(frame, node.elts, list(hints))
    if any(isinstance(i, StarOf) for i in items):
        joined = frame.require(join_lists(frame, items))
        assert isinstance(joined.type, ListType)
        return frame.cast(joined, SequenceType(joined.type.element))
    values = values_of(items)
    return Items(tuple(items)) if values is None else make_tuple(frame, values)


def _as_list(frame: Frame, operand: Operand) -> Value:
    """An iterable of run-time length as a list."""
    if isinstance(operand, Value) and isinstance(operand.type, ListType):
        return operators.plain(frame, operand)
    return frame.require(comprehend(frame, "[x for x in source]", operand))


def join_lists(frame: Frame, items: list[Operand]) -> Operand:
    """`(*sizes, n)` with a list of run-time length: a list."""
    pieces = [i.part if isinstance(i, StarOf) else operators.rebuild(frame, [i]) for i in items]
    result: Operand = operators.as_list(frame, pieces[0])
    for piece in pieces[1:]:
        addition = operators.as_list(frame, piece)
        result = operators.binary(frame, ast.Add(), result, addition)
    return result


def spread(
    frame: Frame, nodes: list[ast.expr], hints: list[Type] | Type | None = None
) -> list[Operand]:
    """Elements of a display or arguments of a call; `*x` of known length as its elements."""
    items: list[Operand] = []
    for i, node in enumerate(nodes):
        hint = hints[i] if isinstance(hints, list) and i < len(hints) else None
        if isinstance(node, ast.Starred):
            sequence = frame.evaluate(node.value)
            if not operators.is_tuple(sequence):
                items.append(StarOf(_as_list(frame, sequence)))
                continue
            items += operators.elements(frame, sequence)
        else:
            items.append(frame.evaluate(node, hints if isinstance(hints, Type) else hint))
    return items


@expression(ast.List)
def _list(frame: Frame, node: ast.List) -> Operand:
    wanted = frame.hint.element if isinstance(frame.hint, OptionalType) else frame.hint
    element = wanted.element if isinstance(wanted, ListType) else None
    items = spread(frame, node.elts, element)
    if any(isinstance(i, StarOf) for i in items):
        joined = join_lists(frame, items)
        return frame.op("aten::list", joined) if len(items) == 1 else joined
    items = [frame.require(i) if isinstance(i, Instance | ITERABLES) else i for i in items]
    values = values_of(items)
    if values is None:
        return Items(tuple(items))
    if element is not None and not all(_may_be(v, element) for v in values):
        element = None
    if not values and element is None:
        return empty_list(frame)
    made = make_list(frame, values, element)
    if element is not None:
        frame.unit.untyped.declare(made)
    return made


def _may_be(value: Value, type_: Type) -> bool:
    """Whether a value may stand where a type was declared, for which a number is like another."""
    are_numbers = value.type in operators.NUMBERS and type_ in operators.NUMBERS
    return are_numbers or is_dynamic(value.type) or is_subtype(value.type, type_)


@expression(ast.Dict)
def _dict(frame: Frame, node: ast.Dict) -> Operand:
    wanted = frame.hint.element if isinstance(frame.hint, OptionalType) else frame.hint
    declared = wanted if isinstance(wanted, DictType) else None
    if None in node.keys:
        return _dict_of_parts(frame, node)
    value_hint = declared.value if declared else None
    keys = [frame.value(k) for k in node.keys if k is not None]
    values = [frame.value(v, value_hint) for v in node.values]
    if keys and declared is None:
        return make_dict(frame, keys, values)
    flat = [x for pair in zip(keys, values, strict=True) for x in pair]
    result = frame.node("prim::DictConstruct", flat, [declared or DictType(STR, TENSOR)]).output
    if declared is None:
        frame.unit.untyped.add(result)
    else:
        frame.unit.untyped.declare(result)
    return result


def _dict_of_parts(frame: Frame, node: ast.Dict) -> Operand:
    """A dict display with `**`: dicts merged from left to right."""
    result: Operand | None = None
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            part = frame.evaluate(value)
            part = frame.call(PyObject(dict, "dict"), part)
        else:
            part = make_dict(frame, [frame.value(key)], [frame.value(value)])
        result = part if result is None else operators.binary(frame, ast.BitOr(), result, part)
    assert result is not None
    return result


@expression(ast.Set)
def _set(frame: Frame, node: ast.Set) -> Operand:
    items = spread(frame, node.elts)
    if any(isinstance(i, StarOf) for i in items):
        joined = frame.require(join_lists(frame, items))
        assert isinstance(joined.type, ListType)
        return frame.python(set, [joined], SetType(joined.type.element))
    values = [frame.require(i) for i in items]
    return frame.node("prim::SetConstruct", values, [SetType(common_type(values))]).output


@expression(ast.UnaryOp)
def _unary(frame: Frame, node: ast.UnaryOp) -> Operand:
    if isinstance(node.op, ast.Not):
        return condition(frame, node).as_value(frame)
    return operators.unary(frame, node.op, frame.evaluate(node.operand))


@expression(ast.BinOp)
def _binary(frame: Frame, node: ast.BinOp) -> Operand:
    hint = frame.hint if isinstance(node.op, ast.Add | ast.Mult) else None
    left = frame.evaluate(node.left, hint if isinstance(hint, ListType) else None)
    right = frame.evaluate(node.right)
    return operators.binary(frame, node.op, left, right)


@expression(ast.Compare)
def _compare(frame: Frame, node: ast.Compare) -> Operand:
    if any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops) and len(node.ops) == 1:
        return condition(frame, node).as_value(frame)
    return _chain(
        frame, frame.evaluate(node.left), list(zip(node.ops, node.comparators, strict=True))
    )


def _chain(frame: Frame, left: Operand, rest: list[tuple[ast.cmpop, ast.expr]]) -> Operand:
    """`a < b < c` is `a < b and b < c` with `b` evaluated once, the rest only where reached."""
    op, node = rest[0]
    right = frame.evaluate(node)
    first = _compare_once(frame, op, left, right)
    if len(rest) == 1:
        return first
    holds = truth(frame, first)
    if isinstance(holds, bool):
        return _chain(frame, right, rest[1:]) if holds else first
    return select(frame, holds, lambda: _chain(frame, right, rest[1:]), lambda: first)


def _compare_once(frame: Frame, op: ast.cmpop, left: Operand, right: Operand) -> Value:
    if not isinstance(op, ast.Is | ast.IsNot):
        return operators.compare(frame, op, left, right)
    found = identity(frame, left, right)
    return (found.negate(frame) if isinstance(op, ast.IsNot) else found).as_value(frame)


@expression(ast.BoolOp)
def _boolean(frame: Frame, node: ast.BoolOp) -> Operand:
    """`and` / `or` give one of their operands, as in Python."""
    return _bool_values(frame, node.values, isinstance(node.op, ast.And))


def _bool_values(frame: Frame, nodes: list[ast.expr], is_and: bool) -> Operand:
    if len(nodes) == 1:
        return frame.evaluate(nodes[0])
    test, operand = _tested(frame, nodes[0])
    facts = test.when_true if is_and else test.when_false
    if isinstance(test.value, bool):
        if test.value != is_and:
            return operand if operand is not None else test.as_value(frame)
        refine(frame, facts)
        return _bool_values(frame, nodes[1:], is_and)

    def rest() -> Operand:
        refine(frame, facts)
        return _bool_values(frame, nodes[1:], is_and)

    def first() -> Operand:
        return (
            _decided(frame, operand, is_and) if operand is not None else frame.constant(not is_and)
        )

    then, orelse = (rest, first) if is_and else (first, rest)
    return select(frame, test.value, then, orelse)


def _tested(frame: Frame, node: ast.expr) -> tuple[Condition, Operand | None]:
    """The truth of an operand of `and`/`or`, and the operand itself unless it is the truth."""
    match node:
        case (
            ast.Compare(ops=[ast.Is() | ast.IsNot()])
            | ast.UnaryOp(op=ast.Not())
            | ast.Call(func=ast.Name(id="isinstance" | "hasattr"))
        ):
            return condition(frame, node), None
    operand = frame.evaluate(node)
    return Condition(truth(frame, operand)), operand


def _decided(frame: Frame, operand: Operand, is_and: bool) -> Operand:
    """The first operand where it decides: for `or` it is true, hence not None."""
    if isinstance(operand, Value) and isinstance(operand.type, OptionalType) and not is_and:
        return frame.cast(operand, operand.type.element)
    return operand


@expression(ast.IfExp)
def _ternary(frame: Frame, node: ast.IfExp) -> Operand:
    test, hint = condition(frame, node.test), frame.hint
    if isinstance(test.value, bool):
        return frame.evaluate(node.body if test.value else node.orelse, hint)

    def then() -> Operand:
        refine(frame, test.when_true)
        return frame.evaluate(node.body, hint)

    def orelse() -> Operand:
        refine(frame, test.when_false)
        return frame.evaluate(node.orelse, hint)

    return select(frame, test.value, then, orelse)


@expression(ast.JoinedStr)
def _fstring(frame: Frame, node: ast.JoinedStr) -> Operand:
    """An f-string is one `aten::format`; a field with a format spec or conversion is formatted by
    itself first.
    """
    template, fields = "", []
    for part in node.values:
        if isinstance(part, ast.Constant):
            template += str(part.value).replace("{", "{{").replace("}", "}}")
        elif isinstance(part, ast.FormattedValue):
            fields.append(frame.value(part.value))
            template += "{" + _field_spec(frame, part, fields) + "}"
    if not fields:
        return frame.constant(template.format())
    folded = operators.fold(frame, template.format, *fields)
    return folded or frame.op("aten::format", template, *fields)


def _field_spec(frame: Frame, part: ast.FormattedValue, fields: list[Value]) -> str:
    """The conversion and format spec of a field; a run-time spec is a field itself."""
    conversion = "" if part.conversion == -1 else f"!{chr(part.conversion)}"
    if part.format_spec is None:
        return conversion
    spec = frame.value(part.format_spec)
    known = constant_of(spec)
    if isinstance(known, str) and not {"{", "}"} & {*known}:
        return f"{conversion}:{known}"
    fields.append(spec)
    return f"{conversion}:{{}}"


@expression(ast.Lambda)
def _lambda(frame: Frame, node: ast.Lambda) -> Operand:
    return Closure(node, frame, closure_defaults(frame, node.args))


def closure_defaults(frame: Frame, arguments: ast.arguments) -> dict[str, Operand]:
    """Default values of a nested function's parameters, evaluated where it is defined."""
    positional = [*arguments.posonlyargs, *arguments.args]
    tail = positional[len(positional) - len(arguments.defaults) :]
    pairs = [
        *zip(tail, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {arg.arg: frame.evaluate(default) for arg, default in pairs if default is not None}
