"""Expressions of the dialect, calls apart: names, attributes, literals, displays, subscripts, and
the operators and comprehensions that hand-written code uses."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence

from ir import (
    INT,
    NONE,
    STR,
    TENSOR,
    DictType,
    ListType,
    ObjectType,
    OptionalType,
    TensorType,
    TupleType,
    Type,
    Value,
    class_of,
)
from jit.archive.source.body import Body, erased, expression, joined
from jit.archive.source.files import spelled
from jit.archive.source.statements import assign, iteration, truth
from jit.archive.source.values import (
    BoundMethod,
    Context,
    Dotted,
    Operand,
    constant_value,
    describe,
)

_NAMES: dict[str, float | complex] = {
    "inf": math.inf,
    "nan": math.nan,
    "infj": complex(0, math.inf),
    "nanj": complex(0, math.nan),
}
_TENSOR_ATTRIBUTES = {"shape": "aten::size", "T": "aten::numpy_T", "H": "aten::matrix_H",
                      "mT": "aten::mT", "mH": "aten::mH", "real": "aten::real",
                      "imag": "aten::imag", "ndim": "aten::dim"}  # fmt: skip
_PRIM_ATTRIBUTES = frozenset(
    ("dtype", "device", "layout", "requires_grad", "is_cuda", "is_sparse", "is_quantized",
     "is_mkldnn", "is_meta", "data", "grad", "itemsize", "nbytes", "is_nested", "is_cpu", "is_xpu",
     "is_leaf", "is_sparse_csr")
)  # fmt: skip


# names and literals -------------------------------------------------------------------------------


@expression(ast.Name)
def _name(body: Body, node: ast.Name, hint: Type | None) -> Operand:
    name = spelled(node.id)
    found = body.scope.get(name)
    if found is not None:
        return found
    if name in _NAMES:
        return body.literal(_NAMES[name])
    return Dotted(name)


@expression(ast.Constant)
def _constant(body: Body, node: ast.Constant, hint: Type | None) -> Operand:
    if isinstance(node.value, bytes) or node.value is Ellipsis:
        raise body.error(f"{node.value!r} is not part of the archive's language")
    if isinstance(node.value, int) and not -(1 << 63) <= node.value <= 1 << 63:
        raise body.error("an int of more than 64 bits")
    return body.literal(node.value)


@expression(ast.Attribute)
def _attribute(body: Body, node: ast.Attribute, hint: Type | None) -> Operand:
    owner = body.evaluate(node.value)
    name = spelled(node.attr)
    if isinstance(owner, Dotted):
        return body.named(f"{owner.path}.{name}")
    if isinstance(owner, Context) and name == "__init__":
        return owner
    if not isinstance(owner, Value):
        raise body.error(f"{describe(owner)} has no attributes")
    return attribute(body, owner, name)


def attribute(body: Body, owner: Value, name: str) -> Operand:
    """`owner.name`: a field or constant of its class, or a method."""
    match owner.type:
        case TupleType(fields=fields) if name in fields:
            return element(body, owner, fields.index(name))
        case TensorType() if name in _TENSOR_ATTRIBUTES:
            return _one(body.call(_TENSOR_ATTRIBUTES[name], [owner]))
        case TensorType() if name in _PRIM_ATTRIBUTES:
            return _one(body.call(f"prim::{name}", [owner]))
        case ObjectType() as enum if hasattr(enum.cls, "__members__"):
            return _member(body, owner, enum, name)
    definition = class_of(owner.type)
    if definition is not None:
        if name in definition.constants:
            type_, value = definition.constants[name]
            return body.literal(value, type_)
        declared = body.field_type(owner, name)
        if declared is not None:
            return body.node("prim::GetAttr", [owner], [declared], name=name).output
        if name in definition.properties:
            return body.call_method(owner, definition.properties[name][0], [], {})
    return BoundMethod(owner, name)


def _member(body: Body, owner: Value, type_: ObjectType, name: str) -> Value:
    """`.name` and `.value` of a member of an enum."""
    if name == "name":
        return _one(body.call("prim::EnumName", [owner]))
    values = [m.value for m in type_.cls]
    found = _ENUM_VALUES.get(type(values[0])) if name == "value" and values else None
    if found is None:
        raise body.error(f"a member of an enum has no {name!r}")
    return _one(body.call(f"prim::EnumValue.{found}", [owner]))


_ENUM_VALUES = {int: "int", float: "float", str: "str"}


def _one(result: Value) -> Value:
    return result


# displays -----------------------------------------------------------------------------------------


@expression(ast.Tuple)
def _tuple(body: Body, node: ast.Tuple, hint: Type | None) -> Operand:
    wanted: Sequence[Type | None] = [None] * len(node.elts)
    if isinstance(hint, TupleType) and len(hint.elements) == len(node.elts):
        wanted = hint.elements
    values = [body.plain(body.value(n, w)) for n, w in zip(node.elts, wanted, strict=True)]
    values = [v if w is None else body.coerce(v, w) for v, w in zip(values, wanted, strict=True)]
    return body.builder.tuple_(values)


@expression(ast.List)
def _list(body: Body, node: ast.List, hint: Type | None) -> Operand:
    wanted = _inner(hint, ListType)
    element_ = wanted.element if isinstance(wanted, ListType) else None
    values = [body.plain(body.value(n, element_)) for n in node.elts]
    return _list_of(body, values, element_)


def _list_of(body: Body, values: Sequence[Value], element_: Type | None) -> Value:
    if element_ is None:
        element_ = TENSOR
        for i, value in enumerate(values):
            element_ = joined(element_, value.type) if i else erased(value.type)
    return body.builder.list_([body.coerce(v, element_) for v in values], element_)


def _inner(hint: Type | None, kind: type[Type]) -> Type | None:
    """The container that an Optional asks for."""
    inner = hint.element if isinstance(hint, OptionalType) else hint
    return inner if isinstance(inner, kind) else None


@expression(ast.Dict)
def _dict(body: Body, node: ast.Dict, hint: Type | None) -> Operand:
    wanted = _inner(hint, DictType)
    key = wanted.key if isinstance(wanted, DictType) else None
    value = wanted.value if isinstance(wanted, DictType) else None
    flat: list[Value] = []
    for k, v in zip(node.keys, node.values, strict=True):
        if k is None:
            raise body.error("** in a dict is not part of the archive's language")
        flat += [body.plain(body.value(k, key)), body.plain(body.value(v, value))]
    type_ = wanted
    if type_ is None:
        keys, values = flat[::2], flat[1::2]
        type_ = DictType(_common(keys, STR), _common(values, TENSOR))
    return body.node("prim::DictConstruct", flat, [type_]).output


def _common(values: Sequence[Value], empty: Type) -> Type:
    found: Type | None = None
    for value in values:
        found = erased(value.type) if found is None else joined(found, value.type)
    return empty if found is None else found


@expression(ast.ListComp)
def _comprehension(body: Body, node: ast.ListComp, hint: Type | None) -> Operand:
    """`[e for x in xs if c]`: a loop that appends."""
    if len(node.generators) != 1:
        raise body.error("a comprehension has one for")
    (generator,) = node.generators
    trip, item = iteration(body, generator.iter)
    wanted = _inner(hint, ListType)
    element_ = wanted.element if isinstance(wanted, ListType) else _element_type(body, node, item)
    result = body.builder.list_([], element_)

    def read(index: Value) -> Value:
        assign(body, generator.target, item(index))
        _append_if(body, generator.ifs, lambda: _append(body, result, node.elt, element_))
        return body.literal(True)

    outer = dict(body.scope)
    body.loop([], trip, body.literal(True), read)
    body.scope = outer
    return result


def _append(body: Body, result: Value, node: ast.expr, element_: Type) -> None:
    body.call("aten::append", [result, body.coerce(body.value(node, element_), element_)])


def _append_if(body: Body, tests: Sequence[ast.expr], append: Callable[[], None]) -> None:
    if not tests:
        append()
        return
    condition = truth(body, body.value(tests[0]))
    body.branch(condition, lambda: _append_if(body, tests[1:], append), lambda: None)


def _element_type(body: Body, node: ast.ListComp, item: Callable[[Value], Value]) -> Type:
    """The type of a comprehension's elements, found by reading the element once."""
    made = body.node("prim::Loop", [body.literal(0), body.literal(True)])
    block = made.add_block()
    index = block.add_param(INT)
    with body.inside(block):
        assign(body, node.generators[0].target, item(index))
        type_ = erased(body.plain(body.value(node.elt)).type)
    made.erase()
    return type_


# subscripts ---------------------------------------------------------------------------------------


@expression(ast.Subscript)
def _subscript(body: Body, node: ast.Subscript, hint: Type | None) -> Operand:
    owner = body.value(node.value)
    index = node.slice
    match owner.type:
        case TupleType():
            return _tuple_item(body, owner, index)
        case TensorType():
            parts = index.elts if isinstance(index, ast.Tuple) else [index]
            return _tensor_item(body, owner, parts)
    definition = class_of(owner.type)
    if definition is not None and definition.is_module and hint is not None:
        inputs = [owner, body.value(index)]
        return body.cast(body.call("prim::ModuleContainerIndex", inputs), hint)
    if isinstance(index, ast.Slice):
        return _one(body.call("aten::slice", [owner, *_bounds(body, index)]))
    return _one(body.call("aten::__getitem__", [owner, body.value(index)]))


def _bounds(body: Body, index: ast.Slice) -> list[Value]:
    ends = [body.literal(None) if e is None else body.value(e) for e in (index.lower, index.upper)]
    return [*ends, body.literal(1) if index.step is None else body.value(index.step)]


def element(body: Body, owner: Value, index: int) -> Value:
    """One element of a tuple."""
    assert isinstance(owner.type, TupleType)
    type_ = owner.type.elements[index]
    return body.node("prim::TupleIndex", [owner, body.literal(index)], [type_]).output


def _tuple_item(body: Body, owner: Value, index: ast.expr) -> Value:
    assert isinstance(owner.type, TupleType)
    count = len(owner.type.elements)
    if isinstance(index, ast.Slice):
        ends = [None if e is None else _known_int(body, e)
                for e in (index.lower, index.upper, index.step)]  # fmt: skip
        parts = [element(body, owner, i) for i in range(count)[slice(*ends)]]
        return body.builder.tuple_(parts)
    position = _known_int(body, index)
    if not -count <= position < count:
        raise body.error(f"a {owner.type} has no element {position}")
    return element(body, owner, position % count)


def _known_int(body: Body, node: ast.expr) -> int:
    known = constant_value(body.value(node))
    if not isinstance(known, int):
        raise body.error("a tuple is indexed by a constant int")
    return known


def _tensor_item(body: Body, owner: Value, parts: Sequence[ast.expr]) -> Value:
    """`x[i, 1:, None, mask]`"""
    dim, view = 0, owner
    gathered: dict[int, Value] = {}
    for part in parts:
        if isinstance(part, ast.Slice):
            view = body.call("aten::slice", [view, dim, *_bounds(body, part)])
            dim += 1
            continue
        if isinstance(part, ast.Constant) and part.value is Ellipsis:
            raise body.error("... in a subscript is not part of the archive's language")
        index = body.value(part)
        if index.type == NONE:
            view = body.call("aten::unsqueeze", [view, dim])
            dim += 1
        elif index.type == INT:
            view = body.call("aten::select", [view, dim, index])
        else:
            gathered[dim] = index
            dim += 1
    if not gathered:
        return view
    nothing = body.literal(None)
    indices = [gathered.get(i, nothing) for i in range(max(gathered) + 1)]
    return _one(body.call("aten::index", [view, body.builder.list_(indices, OptionalType(TENSOR))]))


# operators ----------------------------------------------------------------------------------------

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "aten::add", ast.Sub: "aten::sub", ast.Mult: "aten::mul", ast.Div: "aten::div",
    ast.FloorDiv: "aten::floordiv", ast.Mod: "aten::remainder", ast.Pow: "aten::pow",
    ast.MatMult: "aten::matmul", ast.BitAnd: "aten::__and__", ast.BitOr: "aten::__or__",
    ast.BitXor: "aten::__xor__", ast.LShift: "aten::__lshift__", ast.RShift: "aten::__rshift__",
}  # fmt: skip
_REFLECTED = {"aten::add": "aten::add", "aten::mul": "aten::mul", "aten::sub": "aten::rsub"}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "aten::eq", ast.NotEq: "aten::ne", ast.Lt: "aten::lt", ast.LtE: "aten::le",
    ast.Gt: "aten::gt", ast.GtE: "aten::ge", ast.Is: "aten::__is__", ast.IsNot: "aten::__isnot__",
}  # fmt: skip
_MIRRORED = {"aten::lt": "aten::gt", "aten::le": "aten::ge", "aten::gt": "aten::lt",
             "aten::ge": "aten::le"}  # fmt: skip


@expression(ast.UnaryOp)
def _unary(body: Body, node: ast.UnaryOp, hint: Type | None) -> Operand:
    value = body.value(node.operand)
    known = constant_value(value)
    if isinstance(node.op, ast.Not):
        return _one(body.call("aten::__not__", [truth(body, value)]))
    if isinstance(node.op, ast.UAdd):
        return value
    if isinstance(node.op, ast.Invert):
        return _one(body.call("aten::bitwise_not", [value]))
    if isinstance(known, int | float | complex) and not isinstance(known, bool):
        return body.literal(-known)
    return _one(body.call("aten::neg", [value]))


@expression(ast.BinOp)
def _binary(body: Body, node: ast.BinOp, hint: Type | None) -> Operand:
    left, right = body.value(node.left), body.value(node.right)
    known = constant_value(left), constant_value(right)
    if isinstance(known[1], complex) and isinstance(known[0], int | float):  # 1.+2.j
        sign = -1 if isinstance(node.op, ast.Sub) else 1
        return body.literal(complex(known[0], sign * known[1].imag))
    name = _BINARY.get(type(node.op))
    if name is None:
        raise body.error(f"{type(node.op).__name__} is not part of the archive's language")
    is_tensor = isinstance(left.type, TensorType), isinstance(right.type, TensorType)
    if left.type == STR and isinstance(node.op, ast.Mod):
        arguments = body.builder.unpack(right) if isinstance(right.type, TupleType) else [right]
        return _one(body.call("aten::percentFormat", [left, *arguments]))
    if any(is_tensor) and isinstance(node.op, ast.FloorDiv):
        name = "aten::floor_divide"
    if is_tensor == (False, True) and name in _REFLECTED:
        return _one(body.call(_REFLECTED[name], [right, left]))
    if is_tensor == (False, True) and isinstance(node.op, ast.Div):
        return _one(body.call("aten::mul", [body.call("aten::reciprocal", [right]), left]))
    return _one(body.call(name, [left, right]))


@expression(ast.Compare)
def _compare(body: Body, node: ast.Compare, hint: Type | None) -> Operand:
    if len(node.ops) != 1:
        raise body.error("a chain of comparisons is not part of the archive's language")
    (op,), (other,) = node.ops, node.comparators
    left, right = body.value(node.left), body.value(other)
    if isinstance(op, ast.In | ast.NotIn):
        found = body.call("aten::__contains__", [right, left])
        return _one(found if isinstance(op, ast.In) else body.call("aten::__not__", [found]))
    name = _COMPARE[type(op)]
    is_mirrored = isinstance(right.type, TensorType) and not isinstance(left.type, TensorType)
    if is_mirrored and not isinstance(op, ast.Is | ast.IsNot):
        return _one(body.call(_MIRRORED.get(name, name), [right, left]))
    return _one(body.call(name, [left, right]))


@expression(ast.BoolOp)
def _boolean(body: Body, node: ast.BoolOp, hint: Type | None) -> Operand:
    """`a and b`: the rest is evaluated only where it decides."""
    is_and = isinstance(node.op, ast.And)
    result = truth(body, body.value(node.values[0]))
    for other in node.values[1:]:
        result = _choose(
            body,
            result,
            lambda other=other: truth(body, body.value(other)) if is_and else body.literal(True),  # type: ignore[misc]
            lambda other=other: body.literal(False) if is_and else truth(body, body.value(other)),  # type: ignore[misc]
        )
    return result


@expression(ast.IfExp)
def _conditional(body: Body, node: ast.IfExp, hint: Type | None) -> Operand:
    condition = truth(body, body.value(node.test))
    return _choose(
        body, condition, lambda: body.value(node.body, hint), lambda: body.value(node.orelse, hint)
    )


def _choose(
    body: Body, condition: Value, then: Callable[[], Value], orelse: Callable[[], Value]
) -> Value:
    made = body.node("prim::If", [condition])
    values = []
    for read in (then, orelse):
        with body.inside(made.add_block()):
            values.append(read())
    return body.export(made, values[0], values[1])
