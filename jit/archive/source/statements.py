"""Statements of the dialect."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from ir import BOOL, STR, DictType, ListType, TensorType, TupleType, Type, Value
from jit.archive.source.body import Body, erased, statement
from jit.archive.source.files import spelled
from jit.archive.source.values import Closure, Operand

_ENDLESS = (1 << 63) - 1
_MAX_COPIES = 256  # statements after an `if` that only some paths leave are read on each other path


def read_function(body: Body, nodes: Sequence[ast.stmt]) -> Value:
    """Read a function's statements; gives what it returns."""
    return _Returns(body).read(list(nodes))


class _Returns:
    """Statement lists that end in a return on every path: an `if` that returns early takes the
    statements behind it into its open branches."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.copies = 0

    def read(self, nodes: list[ast.stmt]) -> Value:
        """The returned value of a list of statements."""
        body = self.body
        for position, node in enumerate(nodes):
            if isinstance(node, ast.Return):
                with body.at(node):
                    return self._result(node)
            if isinstance(node, ast.If) and _returns(node):
                with body.at(node):
                    return self._choose(node, nodes[position + 1 :])
            body.execute(node)
            if body.is_dead:
                return body.node("prim::Uninitialized", (), [body.declared or BOOL]).output
        return body.literal(None)

    def _result(self, node: ast.Return) -> Value:
        body = self.body
        if node.value is None:
            return body.literal(None)
        value = body.value(node.value, body.declared)
        return value if body.declared is None else body.coerce(value, body.declared)

    def _choose(self, node: ast.If, rest: list[ast.stmt]) -> Value:
        body = self.body
        self.copies += 1
        if self.copies > _MAX_COPIES:
            raise body.error("this function returns in too many places")
        condition = truth(body, body.value(node.test))
        made = body.node("prim::If", [condition])
        values = []
        for nodes in (node.body, node.orelse):
            with body.inside(made.add_block()):
                values.append(self.read([*nodes, *rest]))
        return body.export(made, values[0], values[1])


def _returns(node: ast.stmt) -> bool:
    return any(isinstance(n, ast.Return) for n in ast.walk(node))


@statement(ast.Return)
def _return(body: Body, node: ast.Return) -> None:
    raise body.error("a return inside a loop or a with is not part of the archive's language")


@statement(ast.Pass, ast.Import, ast.ImportFrom)
def _pass(body: Body, node: ast.stmt) -> None:
    pass


@statement(ast.Expr)
def _expression(body: Body, node: ast.Expr) -> None:
    body.evaluate(node.value)


# assignment ---------------------------------------------------------------------------------------


@statement(ast.Assign)
def _assign(body: Body, node: ast.Assign) -> None:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            _assign_each(body, target.elts, node.value.elts)
        else:
            assign(body, target, body.evaluate(node.value))


def _assign_each(body: Body, targets: list[ast.expr], values: list[ast.expr]) -> None:
    """`a, b = x, y`"""
    if len(targets) != len(values):
        raise body.error(f"{len(values)} values are assigned to {len(targets)} names")
    for target, operand in zip(targets, [body.evaluate(v) for v in values], strict=True):
        assign(body, target, operand)


@statement(ast.AnnAssign)
def _annotated(body: Body, node: ast.AnnAssign) -> None:
    type_ = body.type_of(node.annotation)
    if node.value is not None:
        assign(body, node.target, body.coerce(body.value(node.value, type_), type_))


@statement(ast.AugAssign)
def _augmented(body: Body, node: ast.AugAssign) -> None:
    left = body.value(_loaded(node.target))
    name = f"aten::{_IN_PLACE[type(node.op)]}"
    right = body.value(node.value)
    in_place = isinstance(left.type, TensorType | ListType)
    if isinstance(left.type, ListType) and not isinstance(node.op, ast.Add):
        raise body.error("a list only takes +=")
    result = body.call(name if in_place else name[:-1], [left, right])
    if not (in_place and isinstance(node.target, ast.Subscript)):
        assign(body, node.target, result)


_IN_PLACE: dict[type[ast.operator], str] = {
    ast.Add: "add_", ast.Sub: "sub_", ast.Mult: "mul_", ast.Div: "div_", ast.Mod: "remainder_",
    ast.FloorDiv: "floor_divide_", ast.Pow: "pow_",
}  # fmt: skip


def _loaded(node: ast.expr) -> ast.expr:
    """An assignment's target as an expression."""
    match node:
        case ast.Name(id=name):
            made: ast.expr = ast.Name(name, ast.Load())
        case ast.Attribute(value=value, attr=attr):
            made = ast.Attribute(value, attr, ast.Load())
        case ast.Subscript(value=value, slice=index):
            made = ast.Subscript(value, index, ast.Load())
        case _:
            made = node
    return ast.copy_location(made, node)


def assign(body: Body, target: ast.expr, operand: Operand) -> None:
    """Give a target its meaning."""
    with body.at(target):
        match target:
            case ast.Name(id=name):
                if isinstance(operand, Value) and operand.name is None:
                    operand.name = spelled(name)
                body.scope[name] = operand
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for part, value in zip(targets, unpack(body, operand, len(targets)), strict=True):
                    assign(body, part, value)
            case ast.Attribute(value=owner, attr=attr):
                _set_attribute(body, body.value(owner), spelled(attr), operand)
            case ast.Subscript(value=owner, slice=index):
                inputs = [body.value(owner), body.value(index), body.as_value(operand)]
                body.call("aten::_set_item", inputs)
            case _:
                raise body.error(f"{ast.unparse(target)[:80]!r} cannot be assigned to")


def _set_attribute(body: Body, owner: Value, name: str, operand: Operand) -> None:
    declared = body.field_type(owner, name)
    value = body.as_value(operand)
    if declared is not None:
        value = body.coerce(value, declared)
    body.node("prim::SetAttr", [owner, value], name=name)


def unpack(body: Body, operand: Operand, count: int) -> Sequence[Value]:
    """The elements of a tuple, or of a list that must have `count` of them."""
    value = body.as_value(operand)
    if isinstance(value.type, TupleType):
        if len(value.type.elements) != count:
            raise body.error(f"a {value.type} is unpacked into {count} names")
        return body.builder.unpack(value)
    if isinstance(value.type, ListType):
        return body.node("prim::ListUnpack", [value], [value.type.element] * count).outputs
    if isinstance(value.type, TensorType):
        parts = body.call("aten::unbind", [value])
        return body.node("prim::ListUnpack", [parts], [value.type.erased()] * count).outputs
    raise body.error(f"a {value.type} cannot be unpacked")


@statement(ast.Delete)
def _delete(body: Body, node: ast.Delete) -> None:
    for target in node.targets:
        if not isinstance(target, ast.Subscript):
            raise body.error("del takes items of lists and dicts")
        body.call("aten::Delete", [body.value(target.value), body.value(target.slice)])


# control ------------------------------------------------------------------------------------------


def truth(body: Body, value: Value) -> Value:
    """A condition as a bool."""
    if value.type == BOOL:
        return value
    converted: Value = body.call("aten::Bool", [value])
    return converted


@statement(ast.If)
def _if(body: Body, node: ast.If) -> None:
    condition = truth(body, body.value(node.test))
    body.branch(condition, lambda: body.run(node.body), lambda: body.run(node.orelse))


@statement(ast.While)
def _while(body: Body, node: ast.While) -> None:
    def read(index: Value) -> Value:
        body.run(node.body)
        return truth(body, body.value(node.test))

    first = truth(body, body.value(node.test))
    body.loop(stored_names(node.body), body.literal(_ENDLESS), first, read)


@statement(ast.For)
def _for(body: Body, node: ast.For) -> None:
    trip, element = iteration(body, node.iter)

    def read(index: Value) -> Value:
        assign(body, node.target, element(index))
        body.run(node.body)
        return body.literal(True)

    names = [n for n in stored_names(node.body) if n not in stored_names([node.target])]
    body.loop(names, trip, body.literal(True), read)


def iteration(body: Body, node: ast.expr) -> tuple[Value, Callable[[Value], Value]]:
    """How often a loop over an expression runs, and its element at an index."""
    match node:
        case ast.Call(func=ast.Name(id="range"), args=args) if 1 <= len(args) <= 3:
            bounds = [body.value(a) for a in args]
            if len(bounds) == 1:
                return bounds[0], lambda index: index
            if len(bounds) == 2:
                bounds.append(body.literal(1))
            trip = body.call("aten::__range_length", bounds)
            start, _, step = bounds
            return trip, lambda index: body.call("aten::__derive_index", [index, start, step])
    over = body.value(node)
    if isinstance(over.type, DictType):
        over = body.call("aten::keys", [over])
    if isinstance(over.type, TensorType):
        trip = body.call("aten::len", [over])
        return trip, lambda index: body.call("aten::select", [over, 0, index])
    if not isinstance(over.type, ListType) and over.type != STR:
        raise body.error(f"a loop over a {over.type} is not part of the archive's language")
    trip = body.call("aten::len", [over])
    return trip, lambda index: body.call("aten::__getitem__", [over, index])


def stored_names(nodes: Sequence[ast.AST]) -> list[str]:
    """The names that statements assign, in order."""
    found = (n for node in nodes for n in ast.walk(node))
    return list(dict.fromkeys(n.id for n in found if isinstance(n, ast.Name) and not _is_load(n)))


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


@statement(ast.With)
def _with(body: Body, node: ast.With) -> None:
    managers = []
    for item in node.items:
        manager = body.value(item.context_expr)
        managers.append(manager)
        entered = body.node("prim::Enter", [manager], [_entered_type(body, manager)]).output
        if item.optional_vars is not None:
            assign(body, item.optional_vars, entered)
    body.run(node.body)
    if not body.is_dead:
        for manager in reversed(managers):
            body.node("prim::Exit", [manager])


def _entered_type(body: Body, manager: Value) -> Type:
    enter = body.method_of(manager, "__enter__")
    return erased(manager.type) if enter is None else enter.result


# functions ----------------------------------------------------------------------------------------


@statement(ast.FunctionDef)
def _nested(body: Body, node: ast.FunctionDef) -> None:
    if node.args.args or node.args.kwonlyargs:
        raise body.error("a nested function takes no parameters")
    body.scope[node.name] = Closure(node)


@statement(ast.Raise)
def _raise(body: Body, node: ast.Raise) -> None:
    match node.exc:
        case ast.Call(func=cls, args=args):
            name, inputs = ast.unparse(cls), [body.value(a) for a in args]
        case None:
            raise body.error("a raise without an exception")
        case cls:
            name, inputs = ast.unparse(cls), []
    body.raise_(body.program.exception(name), inputs)


@statement(ast.Assert)
def _assert(body: Body, node: ast.Assert) -> None:
    def fail() -> None:
        body.raise_(AssertionError, [] if node.msg is None else [body.value(node.msg)])

    body.branch(truth(body, body.value(node.test)), lambda: None, fail)
