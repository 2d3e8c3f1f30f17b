"""Calls of the dialect: operators, methods, functions and classes of the archive, and the special
forms, which have the spelling of a call and a meaning of their own."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Mapping, Sequence

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    DTYPE,
    INT,
    NONE,
    STR,
    FutureType,
    Graph,
    ListType,
    ObjectType,
    TensorType,
    TupleType,
    Type,
    Value,
    class_of,
    dtypes,
)
from jit.archive.portable import SPELLINGS, portable_function
from jit.archive.pythons import raise_named
from jit.archive.source.body import Body, expression
from jit.archive.source.expressions import attribute
from jit.archive.source.files import spelled
from jit.archive.source.statements import read_function
from jit.archive.source.values import (
    BoundMethod,
    Closure,
    Context,
    Dotted,
    Operand,
    constant_value,
    describe,
)

Named = Mapping[str, Value]
_SPELLED = {spelling: name for name, spelling in SPELLINGS.items()}


@expression(ast.Call)
def _call(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    function = body.evaluate(node.func)
    if isinstance(function, Dotted) and function.path in _FORMS:
        return _FORMS[function.path](body, node, hint)
    if isinstance(function, BoundMethod) and function.name == "tolist":
        return _to_list(body, function.owner, hint)
    args = [body.value(a) for a in node.args if not _is_class(body, function, a)]
    kwargs: dict[str, Value] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise body.error("** in a call is not part of the archive's language")
        kwargs[spelled(keyword.arg)] = body.value(keyword.value)
    match function:
        case BoundMethod(owner=owner, name=name):
            return call_attribute(body, owner, name, args, kwargs)
        case Dotted(path=path):
            return call_path(body, path, args, kwargs, hint)
        case Context():
            function.args = [_context_argument(body, a) for a in args]
            return body.literal(None)
    raise body.error(f"{describe(function)} cannot be called")


def _to_list(body: Body, tensor: Value, hint: Type | None) -> Value:
    """`annotate(List[float], x.tolist())`: the type is that of the context."""
    return body.node("prim::tolist", [tensor], [ANY if hint is None else hint]).output


def _is_class(body: Body, function: Operand, node: ast.expr) -> bool:
    """The argument of `C.__new__(C)`."""
    return isinstance(function, Dotted) and function.path.endswith(".__new__")


def _context_argument(body: Body, value: Value) -> Value:
    """An int is the dtype of an autocast."""
    if value.type != INT:
        return value
    code = constant_value(value)
    if code is None:
        raise body.error("a context manager takes a constant dtype")
    return body.builder.const(dtypes.by_code(code), DTYPE)


# what a path means --------------------------------------------------------------------------------


def call_path(
    body: Body, path: str, args: Sequence[Value], kwargs: Named, hint: Type | None
) -> Operand:
    """Call what a dotted name stands for."""
    if path.startswith("__torch__."):
        return _call_defined(body, path, args, kwargs)
    if path in _SPELLED:
        return _call_library(body, _SPELLED[path], args, STR)
    operator = operator_name(path)
    if operator is None:
        raise body.error(f"{path} is not defined in this archive")
    if operator == "prim::RaiseException":
        return _raise(body, args)
    if operator == "aten::device" and len(args) == 1 and isinstance(constant_value(args[0]), str):
        return body.builder.const(constant_value(args[0]), DEVICE)
    if operator.startswith("relume::"):
        return _call_library(body, operator.removeprefix("relume::"), args, hint)
    result = body.call(operator, args, kwargs)
    if isinstance(result, tuple):
        return body.builder.tuple_(result) if result else body.literal(None)
    return result  # type: ignore[no-any-return]


def _call_library(body: Body, name: str, args: Sequence[Value], hint: Type | None) -> Operand:
    """`annotate(int, ops.relume.round(x, 2))`: a function of ours, of the annotated type."""
    function = portable_function(name)
    if function is None:
        raise body.error(f"ops.relume.{name} is not defined")
    types = [] if hint is None else [hint]
    made = body.node("prim::PythonOp", args, types, function=function, name=name)
    return made.output if types else body.literal(None)


def operator_name(path: str) -> str | None:
    """`torch.add`, `ops.prim.dtype`, `torch.autograd.grad` as qualified names of operators."""
    head, *rest = path.split(".")
    match head, rest:
        case "torch", [name]:
            return f"aten::{name}"
        case "torch", ["autograd", name]:
            return f"aten::{name}"
        case "ops", [namespace, name]:
            return f"{namespace}::{name}"
    return f"aten::{path}" if not rest and path in _BUILTINS else None


_BUILTINS = frozenset(
    ("all", "any", "bin", "chr", "dict", "divmod", "hash", "hex", "len", "list", "oct", "ord",
     "round", "sum")
)  # fmt: skip


def _call_defined(body: Body, path: str, args: Sequence[Value], kwargs: Named) -> Operand:
    """Call a function or class of the archive."""
    if path.endswith(".__new__"):
        name = path.removesuffix(".__new__")
        context = body.program.context(name)
        if context is not None:
            return Context(context)
        return body.node("prim::CreateObject", [], [body.program.class_type(name)]).output
    function = body.program.function(path)
    if function is not None:
        return body.call_graph(function, body.bind(function, args, kwargs))
    type_ = body.program.class_type(path)
    if isinstance(type_, TupleType):
        return _named_tuple(body, type_, args, kwargs)
    made = body.node("prim::CreateObject", [], [type_]).output
    body.call_method(made, "__init__", args, kwargs)
    return made


def _named_tuple(body: Body, type_: TupleType, args: Sequence[Value], kwargs: Named) -> Value:
    defaults = getattr(type_.cls, "_field_defaults", {})
    values = []
    for position, (name, element) in enumerate(zip(type_.fields, type_.elements, strict=True)):
        if position < len(args):
            value = args[position]
        elif name in kwargs:
            value = kwargs[name]
        elif name in defaults:
            value = body.literal(defaults[name], element)
        else:
            raise body.error(f"field {name!r} of {type_} is missing")
        values.append(body.coerce(value, element))
    if len(args) > len(values) or not set(kwargs) <= set(type_.fields):
        raise body.error(f"{type_} takes {', '.join(type_.fields)}")
    return body.builder.tuple_(values, type_)


def call_attribute(
    body: Body, owner: Value, name: str, args: Sequence[Value], kwargs: Named
) -> Operand:
    """`owner.name(...)`: a method of a class, or an operator on a tensor, container or string."""
    if class_of(owner.type) is not None:
        return body.call_method(owner, name, args, kwargs)
    if isinstance(owner.type, ObjectType):
        result = body.program.bound_result(owner.type.name, name)
        if result is None or kwargs:
            raise body.error(f"{owner.type} has no method {name!r} that is known here")
        return body.node("prim::CallMethod", [owner, *args], [result], name=name).output
    if name == "popitem":
        return _pop_first(body, owner)
    result = body.call(f"aten::{_METHODS.get(name, name)}", [owner, *args], kwargs)
    if isinstance(result, tuple):
        return body.builder.tuple_(result) if result else body.literal(None)
    return result  # type: ignore[no-any-return]


_METHODS = {"__len__": "len"}


def _pop_first(body: Body, items: Value) -> Value:
    """TorchScript's `popitem`; Python's takes the last item."""
    key = body.call("aten::__getitem__", [body.call("aten::keys", [items]), body.literal(0)])
    return body.builder.tuple_([key, body.call("aten::pop", [items, key])])


# exceptions ---------------------------------------------------------------------------------------


def _raise(body: Body, args: Sequence[Value]) -> Value:
    """`ops.prim.RaiseException(message, class)`; before the class was stored, assertions and
    others stood as `AssertionError: text`."""
    message = args[0] if args else body.literal("")
    name = constant_value(args[1]) if len(args) > 1 else None
    text = constant_value(message)
    if name is None and isinstance(text, str):
        head = re.match(r"(\w+)(?:: |$)", text)
        found = getattr(builtins, head[1], None) if head else None
        if head and isinstance(found, type) and issubclass(found, Exception):
            rest = text[head.end() :]
            body.raise_(found, [body.literal(rest)] if rest else [])
            return body.literal(None)
    if len(args) > 1 and args[1].type == STR and name is None:
        body.node("prim::PythonOp", args, [NONE], function=raise_named, name="raise_named")
    cls = RuntimeError if not isinstance(name, str) else body.program.exception(name)
    body.raise_(cls, [message])
    return body.literal(None)


# special forms ------------------------------------------------------------------------------------

Form = Callable[[Body, ast.Call, "Type | None"], Operand]
_FORMS: dict[str, Form] = {}


def form(*names: str) -> Callable[[Form], Form]:
    """Register a special form."""

    def register(read: Form) -> Form:
        _FORMS.update(dict.fromkeys(names, read))
        return read

    return register


def _arguments(body: Body, node: ast.Call, count: int) -> list[ast.expr]:
    if len(node.args) != count or node.keywords:
        raise body.error(f"this takes {count} arguments")
    return node.args


@form("annotate", "torch.jit.annotate")
def _annotate(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    declared, value = _arguments(body, node, 2)
    type_ = body.type_of(declared)
    return body.coerce(body.value(value, type_), type_)


@form("unchecked_cast")
def _unchecked_cast(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    declared, operand = _arguments(body, node, 2)
    value, type_ = body.value(operand), body.type_of(declared)
    return value if value.type == type_ else body.cast(value, type_)


@form("uninitialized")
def _uninitialized(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    (declared,) = _arguments(body, node, 1)
    return body.node("prim::Uninitialized", (), [body.type_of(declared)]).output


@form("isinstance", "torch.jit.isinstance")
def _isinstance(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    value, tested = _arguments(body, node, 2)
    parts = tested.elts if isinstance(tested, ast.Tuple | ast.List) else [tested]
    types = tuple(_tested(body, part) for part in parts)
    classes = tuple(body.program.python_class(t) for t in types)
    return body.node(
        "prim::isinstance", [body.value(value)], [BOOL], types=types, classes=classes
    ).output


def _tested(body: Body, node: ast.expr) -> Type:
    bare: dict[str, Type] = {"list": ListType(ANY), "tuple": TupleType(())}
    return bare.get(getattr(node, "id", "")) or body.type_of(node)


@form("getattr")
def _getattr(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    owner, name = _arguments(body, node, 2)
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        raise body.error("getattr takes a name as a string literal")
    return attribute(body, body.value(owner), name.value)


@form("hasattr")
def _hasattr(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    owner, name = _arguments(body, node, 2)
    found = body.value(owner)
    known = constant_value(body.value(name))
    return body.literal(isinstance(known, str) and body.field_type(found, known) is not None)


def _converter(operator: str) -> Form:
    def convert(body: Body, node: ast.Call, hint: Type | None) -> Operand:
        (value,) = _arguments(body, node, 1)
        result: Value = body.call(operator, [body.value(value)])
        return result

    return convert


for _name, _operator in (("int", "aten::Int"), ("float", "aten::Float"), ("bool", "aten::Bool"),
                         ("str", "aten::str"), ("sorted", "aten::sorted")):  # fmt: skip
    form(_name)(_converter(_operator))


@form("complex")
def _complex(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    result: Value = body.call("aten::Complex", [body.value(a) for a in node.args])
    return body.cast(result, COMPLEX) if result.type != COMPLEX else result


@form("print")
def _print(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    body.node("prim::Print", [body.value(a) for a in node.args])
    return body.literal(None)


@form("min", "max", "abs", "ops.prim.min", "ops.prim.max", "ops.prim.abs")
def _extreme(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    args = [body.value(a) for a in node.args]
    is_tensor = any(isinstance(a.type, TensorType) for a in args)
    name = ast.unparse(node.func).rpartition(".")[2]
    result: Value = body.call(f"{'aten' if is_tensor else 'prim'}::{name}", args)
    return result


@form("fork")
def _fork(body: Body, node: ast.Call, hint: Type | None) -> Operand:
    """`fork(f)`: the nested function `f` becomes a graph of its own, with what it reads of the
    names around it as arguments. One that only calls a function stands for that function.
    """
    (callee,) = _arguments(body, node, 1)
    closure = body.evaluate(callee)
    if not isinstance(closure, Closure):
        raise body.error("fork takes a nested function")
    graph, captured = _called(body, closure.node) or _lift(body, closure.node)
    result = FutureType(body.program.result(graph))
    return body.node("prim::fork", captured, [result], graph=graph, name=graph.name).output


def _called(body: Body, node: ast.FunctionDef) -> tuple[Graph, list[Value]] | None:
    """The function that a nested one calls on names and constants, and the arguments."""
    match node.body:
        case [ast.Return(value=ast.Call(func=func, args=args, keywords=[]))] if all(
            isinstance(a, ast.Name | ast.Constant) for a in args
        ):
            path = body.evaluate(func)
            found = body.program.function(path.path) if isinstance(path, Dotted) else None
            if found is not None:
                inputs = body.bind(found, [body.value(a) for a in args], {})
                return found.method.graph, inputs
    return None


def _lift(body: Body, node: ast.FunctionDef) -> tuple[Graph, list[Value]]:
    """A nested function as a graph of its own, and the values that its parameters stand for."""
    graph = Graph(node.name)
    inner = body.nested(graph)
    read = {n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name)}
    captured = []
    for name, operand in body.scope.items():
        if name not in read:
            continue
        if isinstance(operand, Value):
            captured.append(operand)
            inner.scope[name] = graph.block.add_param(operand.type, name)
        else:
            inner.scope[name] = operand
    graph.block.add_return(read_function(inner, node.body))
    return graph, captured
