"""One function while it is read: what names mean at the current point, and how paths merge.

The dialect has explicit types and no early exits, so SSA form is simple: a branch starts from a
copy of the names, names that mean different values at the ends become outputs of `prim::If`, and a
loop carries the names that its body assigns. Handlers of expressions and statements register by
syntax class and reach one another through `Body.evaluate` and `Body.execute` only.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from ir import (
    ANY,
    COMPLEX,
    DTYPE,
    FLOAT,
    INT,
    LAYOUT,
    MEMORY_FORMAT,
    NUMBER,
    Block,
    Builder,
    ClassDef,
    CompileError,
    DictType,
    FutureType,
    Graph,
    ListType,
    Method,
    Node,
    ObjectType,
    ParseError,
    Span,
    TensorType,
    TupleType,
    Type,
    Value,
    class_of,
    erased_type_of,
    is_subtype,
    join,
    record,
)
from jit.archive.source.annotations import read_type, union
from jit.archive.source.files import SourceFile
from jit.archive.source.upgrade import upgrades_file
from jit.archive.source.values import Context, Dotted, Operand, context_type, describe

MAX_STEPS = 1_000_000  # parts read for one function; loops are read again until types settle

Scope = dict[str, Operand]
ExpressionHandler = Callable[["Body", Any, "Type | None"], Operand]
StatementHandler = Callable[["Body", Any], None]
EXPRESSIONS: dict[type[ast.AST], ExpressionHandler] = {}
STATEMENTS: dict[type[ast.AST], StatementHandler] = {}


def expression(*classes: type[ast.AST]) -> Callable[[ExpressionHandler], ExpressionHandler]:
    """Register a handler of expressions: (body, node, the type that the context asks for)."""

    def register(handler: ExpressionHandler) -> ExpressionHandler:
        EXPRESSIONS.update(dict.fromkeys(classes, handler))
        return handler

    return register


def statement(*classes: type[ast.AST]) -> Callable[[StatementHandler], StatementHandler]:
    """Register a handler of statements."""

    def register(handler: StatementHandler) -> StatementHandler:
        STATEMENTS.update(dict.fromkeys(classes, handler))
        return handler

    return register


@record
class Signature:
    """A method or function that may be called before its body is read."""

    method: Method
    result: Type


class Program(Protocol):
    """What a function asks of the program around it."""

    @property
    def is_old(self) -> bool:
        """Whether operators have changed since the archive was written."""

    def class_type(self, name: str) -> Type:
        """The type of a qualified name's instances."""

    def function(self, name: str) -> Signature | None:
        """A free function by qualified name."""

    def method(self, owner: ClassDef, name: str) -> Signature | None:
        """A method of a class."""

    def result(self, graph: Graph) -> Type:
        """The type of what a graph returns, which may not be read yet."""

    def constant(self, name: str) -> Any:
        """An entry of the archive's table of constants: `c0`."""

    def enum(self, name: str) -> Any:
        """The class of an enum by qualified name, None when it is none."""

    def context(self, name: str) -> type | None:
        """The context manager of torch that a qualified name stands for, or None."""

    def bound_result(self, name: str, method: str) -> Type | None:
        """What a method of a class of torch's registry returns, None when it is not known."""

    def exception(self, name: str) -> type[Exception]:
        """The class of an exception by qualified name."""

    def python_class(self, type_: Type) -> Any:
        """The Python class that `isinstance` tests for a type."""

    def upgrade(self, op: str) -> Signature | None:
        """What an operator meant in the archive's version, None when it means the same today."""


class Body:
    """One function being read into `graph`."""

    def __init__(
        self, program: Program, file: SourceFile, graph: Graph, declared: Type | None
    ) -> None:
        self.program = program
        self.file = file
        self.graph = graph
        self.declared = declared
        self.builder = Builder(graph.block)
        self.scope: Scope = {}
        self.is_dead = False  # an exception was raised on every path to this point
        self.upgrades = program.is_old and file is not upgrades_file()
        self.steps = 0

    # evaluation -------------------------------------------------------------------------------

    def evaluate(self, node: ast.expr, hint: Type | None = None) -> Operand:
        """What an expression means; `hint` types empty displays."""
        handler = EXPRESSIONS.get(type(node))
        with self.at(node):
            self._step(node, handler)
            assert handler is not None
            return handler(self, node, hint)

    def value(self, node: ast.expr, hint: Type | None = None) -> Value:
        """The value of an expression."""
        found = self.evaluate(node, hint)
        with self.at(node):
            return self.as_value(found)

    def as_value(self, operand: Operand) -> Value:
        """What a graph has for an operand."""
        if isinstance(operand, Context):
            attrs = {"function": operand.cls, "name": operand.cls.__name__}
            types = [context_type(operand.cls)]
            return self.node("prim::PythonOp", operand.args, types, **attrs).output
        if not isinstance(operand, Value):
            raise self.error(f"expected a value, found {describe(operand)}")
        return operand

    def execute(self, node: ast.stmt) -> None:
        """Read one statement."""
        handler = STATEMENTS.get(type(node))
        with self.at(node):
            self._step(node, handler)
            assert handler is not None
            handler(self, node)

    def _step(self, node: ast.AST, handler: object) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise self.error("this function is too long")
        if handler is None:
            raise self.error(f"{type(node).__name__} is not part of the archive's language")

    def run(self, nodes: Sequence[ast.stmt]) -> None:
        """Read statements up to one that raises."""
        for node in nodes:
            if self.is_dead:
                return
            self.execute(node)

    def type_of(self, node: ast.expr) -> Type:
        """The type that an expression names."""
        try:
            return read_type(node, self.program.class_type)
        except ParseError as error:
            if error.span is not None:
                raise
            with self.at(node):
                raise self.error(error.message) from None

    # nodes ------------------------------------------------------------------------------------

    def call(
        self, name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operator: a Value, or a tuple of them for another number of results."""
        if not self.upgrades:
            return self.builder.call(name, args, kwargs)
        if name in ("aten::linspace", "aten::logspace"):
            args = self._with_steps(name, args, kwargs or {})
        result = self.builder.call(name, args, kwargs)
        node = result.node if isinstance(result, Value) else None
        upgrade = self.program.upgrade(node.op.qualified) if node else None
        if upgrade is None or node is None:
            return result
        upgraded = self.call_graph(upgrade, node.inputs[: len(upgrade.method.graph.params)])
        node.erase()
        return upgraded

    def _with_steps(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Sequence[Any]:
        """The arguments of `linspace` and `logspace`, whose `steps` could be left out."""
        default = self.program.upgrade(f"{name}(steps)")
        if default is None or "steps" in kwargs:
            return args
        steps = self.call_graph(default, [args[2] if len(args) > 2 else self.literal(None)])
        return [*args[:2], steps, *args[3:]]

    def node(
        self, op: str, inputs: Sequence[Value] = (), types: Sequence[Type] = (), /, **attrs: Any
    ) -> Node:
        """Append a node of a structural op."""
        return self.builder.node(op, inputs, types, attrs)

    def literal(self, value: Any, type_: Type | None = None) -> Value:
        """A value known while reading; a list or dict is made anew each time."""
        if isinstance(value, list):
            element = type_.element if isinstance(type_, ListType) else None
            items = [self.literal(v, element) for v in value]
            return self.builder.list_(items, element)
        if isinstance(value, tuple) and type(value) is tuple:
            return self.builder.tuple_([self.literal(v) for v in value])
        if isinstance(value, dict):
            found = type_ or erased_type_of(value)
            flat = [self.literal(x) for pair in value.items() for x in pair]
            return self.node("prim::DictConstruct", flat, [found]).output
        found = type_ if type_ is not None and value is not None else erased_type_of(value)
        return self.builder.const(value, found)

    def plain(self, value: Value) -> Value:
        """A value as containers hold it: a dtype is an int there."""
        return self.coerce(value, INT) if value.type == DTYPE else value

    def coerce(self, value: Value, type_: Type) -> Value:
        """A value under a declared type."""
        if value.type == type_ or type_ == ANY:
            return value
        if value.type == DTYPE and is_subtype(INT, type_):
            value = self.builder.call("aten::Int", [value])
        if value.type in (LAYOUT, MEMORY_FORMAT) and is_subtype(INT, type_):
            value = self.cast(value, INT)
        if isinstance(value.type, TensorType) and type_ in _IMPLICIT:
            value = self.builder.call(_IMPLICIT[type_], [value])
        if is_subtype(value.type, type_):
            is_tensor = isinstance(type_, TensorType)
            return value if is_tensor else self.cast(value, type_)
        if _alike(value.type, type_):
            return self.cast(value, type_)
        raise self.error(f"expected a {type_}, found a {value.type}")

    def cast(self, value: Value, type_: Type) -> Value:
        """The same value, known to have another type."""
        return self.node("prim::unchecked_cast", [value], [type_]).output

    def raise_(self, cls: type[BaseException], inputs: Sequence[Value]) -> None:
        """Raise an exception; nothing behind it is reached."""
        self.node("prim::RaiseException", inputs, (), exception=cls)
        self.is_dead = True

    # objects and functions --------------------------------------------------------------------

    def named(self, path: str) -> Operand:
        """What a dotted name stands for: a constant, a member of an enum, or a longer path."""
        head, _, last = path.rpartition(".")
        if head == "CONSTANTS":
            return self.literal(self.program.constant(last))
        enum = self.program.enum(head)
        if enum is None:
            return Dotted(path)
        if last not in enum.__members__:
            raise self.error(f"{head} has no member {last}")
        return self.builder.const(enum[last], self.program.class_type(head))

    def field_type(self, owner: Value, name: str) -> Type | None:
        """The declared type of an attribute, None when the class declares none."""
        definition = class_of(owner.type)
        found = definition.fields.get(name) if definition else None
        return found.type if found else None

    def method_of(self, owner: Value, name: str) -> Signature | None:
        """The method of a value's class."""
        definition = class_of(owner.type)
        return self.program.method(definition, name) if definition else None

    def call_method(
        self, owner: Value, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]
    ) -> Value:
        """Call a method of a class of the archive."""
        callee = self.method_of(owner, name)
        if callee is None:
            raise self.error(f"{owner.type} has no method {name!r}")
        inputs = self.bind(callee, [owner, *args], kwargs)
        return self.node("prim::CallMethod", inputs, [callee.result], name=name).output

    def call_graph(self, callee: Signature, inputs: Sequence[Value]) -> Value:
        """Call a function whose arguments are complete."""
        attrs = {"graph": callee.method.graph, "name": callee.method.graph.name}
        return self.node("prim::CallFunction", inputs, [callee.result], **attrs).output

    def bind(
        self, callee: Signature, args: Sequence[Value], kwargs: Mapping[str, Value]
    ) -> list[Value]:
        """An argument for every parameter."""
        method, params = callee.method, callee.method.graph.params
        names = [str(p.name) for p in params]
        if len(args) > len(params):
            raise self.error(f"{method.name}() takes {len(params)} arguments, not {len(args)}")
        for name in kwargs:
            if name not in names[len(args) :]:
                raise self.error(f"{method.name}() has no argument {name!r} left")
        bound = []
        for position, (name, param) in enumerate(zip(names, params, strict=True)):
            if position < len(args):
                value = args[position]
            elif name in kwargs:
                value = kwargs[name]
            elif name in method.defaults:
                value = self.literal(method.defaults[name], param.type)
            else:
                raise self.error(f"argument {name!r} of {method.name}() is missing")
            bound.append(self.coerce(value, param.type))
        return bound

    def nested(self, graph: Graph) -> Body:
        """A function inside this one, with a graph of its own."""
        inner = Body(self.program, self.file, graph, None)
        inner.builder.span = self.builder.span
        return inner

    # paths ------------------------------------------------------------------------------------

    @contextmanager
    def inside(self, block: Block) -> Iterator[None]:
        """Append nodes to `block`, from a copy of the scope, for a while."""
        outer = (self.builder, self.scope, self.is_dead)
        self.builder, self.scope = Builder(block, self.builder.span), dict(self.scope)
        self.is_dead = False
        try:
            yield
        finally:
            self.builder, self.scope, self.is_dead = outer

    def branch(
        self, condition: Value, then: Callable[[], Any], orelse: Callable[[], Any]
    ) -> tuple[Any, Any]:
        """Read both paths under a condition and merge their scopes; gives what the two return."""
        node = self.node("prim::If", [condition])
        paths = []
        results = []
        for read in (then, orelse):
            block = node.add_block()
            with self.inside(block):
                results.append(read())
                paths.append(Path(block, self.scope, self.is_dead))
        self._merge(node, paths[0], paths[1])
        return results[0], results[1]

    def _merge(self, node: Node, a: Path, b: Path) -> None:
        if a.is_dead and b.is_dead:
            self.is_dead = True
            return
        names = dict.fromkeys((*a.scope, *b.scope))
        merged = {name: self._merged(node, name, a, b) for name in names}
        self.scope = {name: operand for name, operand in merged.items() if operand is not None}

    def _merged(self, node: Node, name: str, a: Path, b: Path) -> Operand | None:
        """What a name means after both paths; None when only one of them says so."""
        left, right = a.scope.get(name), b.scope.get(name)
        if left is right:
            return left
        for path, other in ((a, right), (b, left)):
            if path.is_dead and not isinstance(other, Value):
                return other
        values = [
            self._end(path, found, other)
            for path, found, other in ((a, left, right), (b, right, left))
        ]
        if values[0] is None or values[1] is None:
            return None
        return self.export(node, values[0], values[1], name)

    def _end(self, path: Path, found: Operand | None, other: Operand | None) -> Value | None:
        """The value at the end of a path; one that is never read where the path raises."""
        if path.is_dead and isinstance(other, Value):
            with self.inside(path.block):
                return self.node("prim::Uninitialized", (), [other.type]).output
        return found if isinstance(found, Value) else None

    def export(self, node: Node, left: Value, right: Value, name: str | None = None) -> Value:
        """An output of an If: one value of each of its blocks."""
        if DTYPE in (left.type, right.type) and left.type != right.type:
            with self.inside(node.blocks[0]):
                left = self.plain(left)
            with self.inside(node.blocks[1]):
                right = self.plain(right)
        node.blocks[0].add_return(left)
        node.blocks[1].add_return(right)
        return node.add_output(joined(left.type, right.type), name)

    def loop(
        self,
        names: Sequence[str],
        trip: Value,
        first: Value,
        read: Callable[[Value], Value],
    ) -> None:
        """A loop whose body assigns `names`; `read` takes the index and gives the condition."""
        starts = {n: v for n in names if isinstance(v := self.scope.get(n), Value)}
        types = {n: erased(v.type) for n, v in starts.items()}
        while True:
            node = self.node("prim::Loop", [trip, first, *starts.values()])
            block = node.add_block()
            index = block.add_param(INT)
            params = {n: block.add_param(t, n) for n, t in types.items()}
            with self.inside(block):
                self.scope.update(params)
                block.add_return(read(index))
                ends = [self._carried(self.scope.get(n), n) for n in types]
            wider = {n: joined(types[n], v.type) for n, v in zip(types, ends, strict=True)}
            if wider == types:
                break
            node.erase()
            types = wider
        for name, value in zip(types, ends, strict=True):
            block.add_return(value)
            self.scope[name] = node.add_output(types[name], name)

    def _carried(self, found: Operand | None, name: str) -> Value:
        if not isinstance(found, Value):
            raise self.error(f"{name!r} is no value after the loop's body")
        return found

    # positions and errors ---------------------------------------------------------------------

    @contextmanager
    def at(self, node: ast.AST) -> Iterator[None]:
        """Give nodes and errors the position of `node`."""
        builder, outer = self.builder, self.builder.span
        if hasattr(node, "lineno"):
            builder.span = self.file.span(node)
        try:
            yield
        finally:
            builder.span = outer

    @property
    def span(self) -> Span | None:
        """The current position."""
        return self.builder.span

    def error(self, message: str) -> CompileError:
        """An error at the current position."""
        return ParseError(message, self.builder.span)


_IMPLICIT: dict[Type, str] = {
    INT: "aten::IntImplicit",
    FLOAT: "aten::FloatImplicit",
    COMPLEX: "aten::ComplexImplicit",
    NUMBER: "aten::ScalarImplicit",
}


@record
class Path:
    """One block of an If and what names mean at its end."""

    block: Block
    scope: Scope
    is_dead: bool


def erased(type_: Type) -> Type:
    """A type without what is known of its tensors."""
    return type_.erased() if isinstance(type_, TensorType) else type_


def joined(a: Type, b: Type) -> Type:
    """The type of a name where paths meet."""
    found = join(a, b)
    return erased(union([a, b]) if found is None else found)


def _alike(found: Type, wanted: Type) -> bool:
    """Whether two types are the same container, or one is not known: an archive's types are its
    own, and its code was checked when it was written.
    """
    match found, wanted:
        case (ListType(), ListType()) | (DictType(), DictType()) | (FutureType(), FutureType()):
            return True
        case TupleType(), TupleType():
            return len(found.elements) == len(wanted.elements)
        case ObjectType(), ObjectType():
            return True
    return found == ANY or (found == NUMBER and wanted in (INT, FLOAT, COMPLEX))
