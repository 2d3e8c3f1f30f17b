"""The frame: state of one function while it is compiled, and the registry of handlers.

A frame owns the scope (what each name means at the current point), the insertion point and the
flow flags. Handlers are functions `(frame, node)` registered by ast class with `@expression` or
`@statement`; they reach one another only through `frame.evaluate` and `frame.run`, so that no
handler file imports another.

Flow flags are entries of the scope like any variable, True or False where known while
compiling, otherwise bool values:

    $skip      the rest of this statement list is not reached (continue, break, return, raise)
    $stop      the innermost loop runs no further iteration
    $returned  the function has returned; `$result` holds what
    $object1.x the field `x` of an object made in compiled code (see `classes`)
    $dead      (always known) control does not leave this point: an exception was raised
    name?      whether the variable `name` is bound, when that depends on the path taken
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Sequence
from types import FunctionType
from typing import Any, NoReturn

from ir import (
    LISTS,
    TENSOR,
    Block,
    Builder,
    CompileError,
    DictType,
    Graph,
    ListType,
    Node,
    SequenceType,
    Span,
    TensorType,
    TupleType,
    Type,
    TypeMismatch,
    UnsupportedError,
    Value,
    constant_of,
    field,
    record,
)
from jit.script import library
from jit.script.library import library_name
from jit.script.names import is_read_once
from jit.script.pysource import FunctionSource
from jit.script.resolve import Capture, Resolver
from jit.script.structure import Structure, is_inert
from jit.script.untyped import DISPLAYS, Untyped
from jit.script.values import (
    ITERATORS,
    Arguments,
    Closure,
    Instance,
    Operand,
    Static,
    Unbound,
    is_lazy,
)

Binding = Operand | bool
Scope = dict[str, Binding]

SKIP, STOP, RETURNED, RESULT, DEAD = "$skip", "$stop", "$returned", "$result", "$dead"
LIVE = "@"  # the field that is the Python object itself, once there is one
OBJECT = "$object"  # followed by its number, a dot and a name: a field of an object

# What holds or shows its inputs as they are, beyond the graph's own ops.
_CALL_BACK = "prim::PythonOp"
_KEEPING = (
    _CALL_BACK,
    *(f"prim::{kind}Construct" for kind in ("List", "Tuple", "Dict", "Set")),
    *("prim::RaiseException", "prim::Print", "prim::SetAttr"),
)
_KEEPING_OPS = frozenset(
    f"aten::{name}"
    for name in ("append", "insert", "_set_item", "setdefault", "format", "percentFormat",
                 "__contains__", "__getitem__", "get", "index", "count", "remove")
)  # fmt: skip

_SHOWING = ("get", "copy", "slice", "repeat", "join")  # what lists hold shows in the result

ExpressionHandler = Callable[["Frame", Any], Operand]
StatementHandler = Callable[["Frame", Any], None]
EXPRESSIONS: dict[type[ast.AST], ExpressionHandler] = {}
STATEMENTS: dict[type[ast.AST], StatementHandler] = {}


def expression(*classes: type[ast.AST]) -> Callable[[ExpressionHandler], ExpressionHandler]:
    """Register a handler of expression nodes."""

    def register(handler: ExpressionHandler) -> ExpressionHandler:
        EXPRESSIONS.update(dict.fromkeys(classes, handler))
        return handler

    return register


def statement(*classes: type[ast.AST]) -> Callable[[StatementHandler], StatementHandler]:
    """Register a handler of statement nodes."""

    def register(handler: StatementHandler) -> StatementHandler:
        STATEMENTS.update(dict.fromkeys(classes, handler))
        return handler

    return register


@record(frozen=False)
class Callee:
    """A Python function compiled for one list of argument types.

    `result` is the type of its result: while it is being compiled the declared one or None; None in
    the end when the result exists only at compile time, so that calls must be compiled in place.
    """

    graph: Graph
    arguments: tuple[Operand, ...] = ()  # kept alive: the key of a callee has their identities
    result: Type | None = None
    is_done: bool = False
    is_recursive: bool = False
    never_returns: bool = False  # every path raises
    shared: dict[str, Type] = field(default_factory=dict)
    """Variables of enclosing functions that it assigns: parameters, and with the result in a tuple.
    """
    reads_outside: bool = False  # what it was compiled from is not only what it was given


    def graph_result(self, result: Type) -> Type:
        """The type of what the graph gives with a result of the function's."""
        return TupleType((result, *self.shared.values())) if self.shared else result


class Restart(Exception):
    """Compile again: what `holder` has under `name` is changed by the code, hence no constant."""

    def __init__(self, holder: object, name: str) -> None:
        super().__init__(name)
        self.key = (id(holder), name)


class Freeze(Exception):
    """Compile again: with these attributes (objects and names) as constants there is hope."""

    def __init__(self, attributes: Sequence[tuple[object, str]]) -> None:
        super().__init__(*(name for _, name in attributes))
        self.attributes = attributes


@record
class Services:
    """What handlers need from files above them; `jit.script.compile` puts the pieces together."""

    run: Callable[[Frame, Sequence[ast.stmt]], None]
    materialize: Callable[[Frame, Static], Value]
    check_bound: Callable[[Frame, str], None]
    call: Callable[[Frame, Operand, Arguments], Operand]
    call_function: Callable[[Frame, FunctionType, Arguments], Operand]
    call_closure: Callable[[Frame, Closure, Arguments], Operand]


@record(frozen=False, eq=False)
class Watch:
    """A try body under compilation: what it assigns is kept in `cells`, for its handlers."""

    frame: Frame
    cells: Value
    types: dict[str, list[Type]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # names that hold compile-time operands

    def note(self, frame: Frame, name: str, operand: Operand) -> None:
        """Remember an assignment."""
        self.types.setdefault(name, [])
        if not isinstance(operand, Value):
            self.lost.add(name)
            return
        self.types[name].append(operand.type)
        frame.op("aten::_set_item", self.cells, frame.constant(name), operand)

    def lose(self, name: str) -> None:
        """A name whose value handlers cannot know."""
        self.types.setdefault(name, [])
        self.lost.add(name)


@record(frozen=False)
class Unit:
    """What all frames of one compilation share."""

    services: Services
    reads_state: bool = False  # attributes of modules are read when the code runs
    calls_back: bool = False  # the code calls functions of users in Python
    captures: dict[tuple[int, str], Capture] = field(default_factory=dict)
    callees: dict[Any, Callee] = field(default_factory=dict)
    active: list[FunctionType] = field(
        default_factory=list
    )  # functions whose bodies are being compiled
    untyped: Untyped = field(default_factory=Untyped)
    assigned: set[tuple[int, str]] = field(default_factory=set)  # changed by the code: no constants
    frozen: dict[tuple[int, str], object] = field(default_factory=dict)  # constants after all
    captured: dict[Value, tuple[object, str]] = field(default_factory=dict)  # where lists came from
    watches: list[Watch] = field(default_factory=list)  # of try bodies, the innermost last
    objects: int = 0  # objects of user classes made so far
    instances: dict[str, Instance] = field(default_factory=dict)  # by the name of their LIVE field
    structures: dict[int, Structure] = field(default_factory=dict)  # of modules, by identity
    shared: dict[Hashable, tuple[Callee, tuple[Any, ...]]] = field(
        default_factory=dict
    )  # methods that serve modules that are alike
    free: dict[Graph, bool] = field(default_factory=dict)  # graphs without any part of a module
    outside: int = 0  # how often something was read that may lead to a module other than by self
    presumed: dict[Hashable, Type] = field(default_factory=dict)  # results of functions that call
    # themselves, by where they stand
    undefined: set[tuple[str, int, str]] = field(default_factory=set)  # file, line, global name
    refined: dict[Value, Value] = field(
        default_factory=dict
    )  # result of a refining cast -> what it was made from

    def next_object(self) -> int:
        """The number of a new object."""
        self.objects += 1
        return self.objects


@record(frozen=False, eq=False)
class _Aside:
    """The position and the builder that a frame goes back to, at the end of `with`."""

    frame: Frame
    span: Span
    builder: Builder

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self.frame.span, self.frame.builder = self.span, self.builder


class Frame:
    """One function under compilation. `caller_span` replaces the spans of library code by the
    user's call.
    """

    def __init__(
        self,
        unit: Unit,
        source: FunctionSource,
        resolver: Resolver,
        builder: Builder,
        parent: Frame | None = None,
        caller_span: Span | None = None,
    ) -> None:
        self.unit = unit
        self.source = source
        self.resolver = resolver
        self.builder = builder
        self.parent = parent
        self.caller_span = caller_span
        self.scope: Scope = {SKIP: False, STOP: False, RETURNED: False, DEAD: False}
        self.declared: Type | None = None  # of the result; only a hint unless `enforces`
        self.enforces = False
        self.hint: Type | None = None  # the type that the context of the expression asks for
        self.is_library = False
        self.handling: list[Value] = []  # exceptions whose handlers are being compiled
        self.reads: list[tuple[object, str]] = []  # attributes that could be constants
        self.lent: frozenset[str] = frozenset()  # variables of enclosing functions, while it runs
        self.narrowed: set[str] = set()  # paths such as `self.bias` that some scope has a type for
        self.consumer: object = None  # of a generator: who goes over it (see `generators`)
        self.unbound: set[str] = set()  # locals that were read before anything assigned them
        self.span = caller_span or source.span(source.node)

    @property
    def may_be_unreachable(self) -> bool:
        """Whether this is a branch of torch's own code: an error there is none before it is met."""
        return self.source.is_library and self.builder.block.owner is not None

    # evaluation

    def call(self, function: Operand, *args: Operand, **kwargs: Operand) -> Operand:
        """Call an operand."""
        return self.unit.services.call(self, function, Arguments(list(args), kwargs))

    def evaluate(self, node: ast.expr, hint: Type | None = None) -> Operand:
        """What an expression means; `hint` types empty displays."""
        handler = EXPRESSIONS.get(type(node), _refuse)
        outer = self._enter(node)
        try:
            self.hint = hint
            return handler(self, node)
        finally:
            self.span = outer

    def value(self, node: ast.expr, hint: Type | None = None) -> Value:
        """A run-time value of an expression."""
        operand = self.evaluate(node, hint)
        if isinstance(operand, Value):
            return operand
        with self.at(node):
            return self.require(operand)

    def run(self, statements: Sequence[ast.stmt]) -> None:
        """Compile statements in order, as far as control reaches them."""
        self.unit.services.run(self, statements)

    def execute(self, node: ast.stmt) -> None:
        """Compile one statement."""
        handler = STATEMENTS.get(type(node), _refuse)
        outer = self._enter(node)
        try:
            handler(self, node)
        finally:
            self.span = outer

    def require(self, operand: Operand) -> Value:
        """The operand as a run-time value; sequences and functions of compile time are
        materialized where possible.
        """
        if isinstance(operand, Value):
            return operand
        return self.unit.services.materialize(self, operand)

    # nodes

    def op(self, name: str, /, *args: Operand | Any, **kwargs: Operand | Any) -> Value:
        """Apply an op by name, with overload choice; Python constants are allowed as arguments."""
        made = [self._input(a) for a in args]
        if name in _KEEPING_OPS:
            made = [made[0], *map(self.sealed, made[1:])]
        elif name in ("aten::str", "aten::hash"):
            made = [self.sealed(v) for v in made]
        named = {k: self._input(v) for k, v in kwargs.items()}
        self.builder.span = self.span
        try:
            result = self.builder.call(name, made, named)
        except CompileError as error:
            raise type(error)(self._placed(error.message), self.span) from None
        if not isinstance(result, Value):
            return self._several(result)
        self._generalize(LISTS.get(name), result, made)
        return result

    def _generalize(self, verb: str | None, result: Value, inputs: Sequence[Value]) -> None:
        """What is read from a list is no more than an element of its type: the list may change, in
        a loop even before it is read.
        """
        owner = inputs[0].type if verb in _SHOWING else None
        if not isinstance(owner, ListType):
            return
        if verb == "get":
            self.builder.known.forget(result, owner.element)
        elif verb != "join" or inputs[1].type == owner:
            result.type = ListType(owner.element)

    def _several(self, results: tuple[Value, ...]) -> Value:
        """The results of an op that has not one: None, or a tuple whose fields have the names of
        torch's result.
        """
        if not results:
            return self.constant(None)
        returns = results[0].node.op.schema.returns if results[0].node else ()
        names = tuple(r.name for r in returns)
        type_ = TupleType(tuple(v.type for v in results), None, names if all(names) else ())
        return self.node("prim::TupleConstruct", results, [type_]).output

    def _input(self, argument: Any) -> Value:
        return (
            self.require(argument)
            if isinstance(argument, Value | Static)
            else self.constant(argument)
        )

    def constant(self, value: Any) -> Value:
        """A constant of the graph."""
        kept, type_ = constant_of(value)
        if isinstance(type_, TensorType):
            type_ = TENSOR  # a captured tensor may be replaced by one of other sizes
        return self.builder.const(kept, type_, span=self.span)

    def node(
        self, op: str, inputs: Sequence[Value] = (), types: Sequence[Type] = (), /, **attrs: Any
    ) -> Node:
        """Append a node of a structural op."""
        if op in _KEEPING:
            inputs = [self.sealed(v) for v in inputs]
        if op in DISPLAYS and (self.span, op) in self.unit.untyped.found:
            types = [self.unit.untyped.found[self.span, op]]
        return self.builder.node(op, inputs, types, attrs, span=self.span)

    def sealed(self, value: Value) -> Value:
        """A value as it leaves the graph: a tuple that is a list as long as ops work on it."""
        type_ = value.type
        if not isinstance(type_, SequenceType) or (value.node and value.node.name == _CALL_BACK):
            return value
        function = library.as_size if type_.is_size else tuple
        label = library_name(function)
        attrs = {"function": function, "name": label, "seals": True}
        return self.builder.node(_CALL_BACK, [value], [type_], attrs, self.span).output

    def python(
        self, function: Callable[..., Any], inputs: Sequence[Value], result: Type, name: str = ""
    ) -> Value:
        """A call back into Python, of a function of the library where it is to be saved."""
        label = library_name(function) or name or getattr(function, "__name__", "call")
        return self.node("prim::PythonOp", inputs, [result], function=function, name=label).output

    def op_or_python(
        self, name: str, function: Callable[..., Any], result: Type | None, *args: Operand | Any
    ) -> Value:
        """An op, or where no overload fits a call of the Python function that has its meaning, of
        a known result type.
        """
        try:
            return self.op(name, *args)
        except TypeMismatch:
            if result is None:
                raise
        return self.python(function, [self._input(a) for a in args], result)

    def cast(self, value: Value, type_: Type) -> Value:
        """The same value, known to have a narrower type."""
        if value.type == type_:
            return value
        result = self.node("prim::unchecked_cast", [value], [type_]).output
        self.unit.refined[result] = value
        return result

    def uninitialized(self, type_: Type) -> Value:
        """A value that no path reads."""
        return self.node("prim::Uninitialized", (), [type_]).output

    def inside(self, block: Block) -> _Aside:
        """Append nodes to `block` for a while."""
        outer, self.builder = self.builder, Builder(block, known=self.builder.known)
        return _Aside(self, self.span, outer)

    # positions and errors

    def at(self, node: ast.AST) -> _Aside:
        """Give nodes and errors the position of `node` for a while."""
        return _Aside(self, self._enter(node), self.builder)

    def _enter(self, node: ast.AST) -> Span:
        """Move to the position of `node`; gives the one before."""
        outer = self.span
        if self.caller_span is None and hasattr(node, "lineno"):
            self.span = self.source.span(node)
        return outer

    def unsupported(self, message: str) -> UnsupportedError:
        """A construct outside the language, at the current position."""
        return UnsupportedError(self._placed(message), self.span)

    def mismatch(self, message: str) -> TypeMismatch:
        """A type that does not fit, at the current position."""
        return TypeMismatch(self._placed(message), self.span)

    def _placed(self, message: str) -> str:
        """The message; in library code, whose errors stand at the user's call, where it was."""
        return f"{message} (inside {self.source.name!r})" if self.is_library else message

    # names

    def reads_outside(self, value: object) -> None:
        """Note that the code reads something that is not the business of the module it belongs to
        (see `sharing`).
        """
        if not is_inert(value):
            self.unit.outside += 1

    def annotation_names(self) -> dict[str, Any]:
        """Python objects that an annotation may refer to."""
        return self.resolver.names()

    def lookup(self, name: str) -> Operand | None:
        """A local variable of this function or of one that encloses it, None when `name` is not
        local.
        """
        frame: Frame | None = self
        while frame is not None:
            if name in frame.scope:
                return frame.load(name)
            frame = frame.parent
        return None

    def load(self, name: str) -> Operand:
        """Read a variable of this frame's own scope."""
        binding = self.scope[name]
        assert not isinstance(binding, bool)
        if isinstance(binding, Unbound):
            raise CompileError(f"{name!r} cannot be read here: {binding.reason}", self.span)
        if f"{name}?" in self.scope:
            self.unit.services.check_bound(self, name)
        return binding

    def capture(self, operand: Operand, holder: object, name: str) -> Operand:
        """Remember where a captured list or dict came from; one that functions in Python may
        change meanwhile must not be a copy.
        """
        if isinstance(operand, Value) and isinstance(operand.type, ListType | DictType):
            self.unit.captured[operand] = (holder, name)
            if self.unit.calls_back:
                raise Restart(holder, name)
        return operand

    def call_back(self) -> None:
        """The code calls a function in Python that may change whatever was captured."""
        self.unit.calls_back = True
        for place in self.unit.captured.values():
            raise Restart(*place)

    def change(self, value: Value) -> None:
        """The code changes a list or dict in place, which therefore must not be a copy."""
        if value in self.unit.captured:
            raise Restart(*self.unit.captured[value])

    def bind(self, name: str, operand: Operand) -> None:
        """Assign a variable."""
        if is_lazy(operand) or (
            isinstance(operand, ITERATORS) and not is_read_once(self.source.node, name)
        ):
            operand = self.require(operand)
        name_value(operand, name)
        self.scope[name] = operand
        self.scope.pop(f"{name}?", None)
        for watch in self.unit.watches:
            if watch.frame is self:
                watch.note(self, name, operand)
        self.forget(f"{name}.", f"{name}[")

    def forget(self, *prefixes: str) -> None:
        """What was known about parts of an object holds no longer."""
        for path in self.narrowed:
            if path.startswith(prefixes):
                self.scope.pop(path, None)


def name_value(operand: Binding | None, variable: str) -> None:
    """Call a value what the first variable of the user that holds it is called; constants, which
    many share, have no names.
    """
    if not isinstance(operand, Value) or operand.name is not None or not variable.isidentifier():
        return
    if operand.node is None or operand.node.name != "prim::Constant":
        operand.name = variable


# What to do instead of what the language does not have.
_WAYS_OUT = {
    "Await": "wait for the result outside and pass it in",
    "Global": "pass the value in and return it",
    "ClassDef": "define the class at module level",
    "AsyncFunctionDef": "make it a plain function",
    "AsyncFor": "iterate outside and pass a list in",
    "AsyncWith": "enter the context outside",
    "TryStar": "use except with a tuple of classes",
}


def _refuse(frame: Frame, node: ast.AST) -> NoReturn:
    way_out = _WAYS_OUT.get(type(node).__name__)
    text = f"{_describe(node)} is not supported in compiled code"
    raise frame.unsupported(f"{text}: {way_out}" if way_out else text)


def _describe(node: ast.AST) -> str:
    """What users call an ast class."""
    known = {
        "Await": "await",
        "TryStar": "try/except*",
        "Global": "global",
        "ClassDef": "a class definition inside a function",
        "AsyncFor": "async for",
        "AsyncWith": "async with",
        "AsyncFunctionDef": "an async function",
        "GeneratorExp": "a generator expression here",
        "Match": "match",
        "Starred": "a starred expression here",
    }
    name = type(node).__name__
    return known.get(name, name)
