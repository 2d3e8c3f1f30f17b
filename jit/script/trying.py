"""try, except, else, finally: a body whose exceptions are values, and branches on them.

    try: A                      (ok, error, y) = prim::Try[graph=A](x)
    except KeyError as e: B     if ok: C, with what A assigned
    else: C                     else: if isinstance(error, KeyError): B else: raise error
    finally: D                  the same around all of it: D, and on the second path raise again

The body becomes a graph of its own, which no pass looks into, so nothing in it is moved or dropped.
What it assigns is kept, as it goes, in a dict beside it (`cells`): after an exception the handlers
find there what each variable held last.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ir import ANY, BOOL, STR, Block, DictType, Graph, ObjectType, TensorType, Type, Value
from jit.script.expressions import spread
from jit.script.frame import (
    DEAD,
    RESULT,
    RETURNED,
    SKIP,
    STOP,
    Frame,
    Scope,
    Watch,
    statement,
)
from jit.script.library import raise_error
from jit.script.scope import Branch, conditional, extend_branch, raise_exception
from jit.script.values import Items, PyObject, Unbound

FLAGS = (SKIP, STOP, RETURNED)
Body = Callable[[], None]
Handler = Callable[[Value], None]


@statement(ast.Try)
def _try(frame: Frame, node: ast.Try) -> None:
    if not node.finalbody:
        _guarded(frame, node)
        return

    def inner() -> None:
        if node.handlers:
            _guarded(frame, node)
        else:
            frame.run([*node.body, *node.orelse])

    def final() -> None:
        frame.run(node.finalbody)

    def failed(error: Value) -> None:
        final()
        if frame.scope[SKIP] is not True:  # a return in `finally` drops the exception
            reraise(frame, error)

    attempt(frame, inner, lambda: afterwards(frame, final), failed)


def _guarded(frame: Frame, node: ast.Try) -> None:
    def orelse() -> None:
        if frame.scope[SKIP] is not True:
            frame.run(node.orelse)

    attempt(
        frame,
        lambda: frame.run(node.body),
        orelse,
        lambda error: _dispatch(frame, node.handlers, error),
    )


def afterwards(frame: Frame, body: Body) -> None:
    """`finally` on a path without exception: what it does not decide stays decided."""
    if frame.scope[DEAD] is True:
        return
    decided = {flag: frame.scope[flag] for flag in FLAGS}
    result = frame.scope.get(RESULT)
    frame.scope.update(dict.fromkeys(FLAGS, False))
    body()
    if isinstance(frame.scope[SKIP], Value):
        raise frame.unsupported("a return, break or continue under a condition in `finally`")
    if frame.scope[SKIP] is False:
        frame.scope.update(decided)
        if result is not None:
            frame.scope[RESULT] = result


def _dispatch(frame: Frame, handlers: Sequence[ast.ExceptHandler], error: Value) -> None:
    """The first handler that takes the exception, which otherwise goes on."""
    if not handlers:
        reraise(frame, error)
        return
    handler, *rest = handlers
    classes = _classes(frame, handler)

    def handle() -> None:
        frame.handling.append(error)
        if handler.name:
            frame.bind(handler.name, frame.cast(error, _error_type(classes)))
        frame.run(handler.body)
        if handler.name and handler.name in frame.scope:
            frame.scope.pop(handler.name)
        frame.handling.pop()

    if not classes:
        handle()
        return
    types = tuple(ObjectType(f"{c.__module__}.{c.__qualname__}", c) for c in classes)
    takes = frame.node("prim::isinstance", [error], [BOOL], types=types, classes=classes).output
    conditional(frame, takes, handle, lambda: _dispatch(frame, rest, error))


def _classes(frame: Frame, handler: ast.ExceptHandler) -> tuple[type[BaseException], ...]:
    """The classes that a handler takes; none for a bare `except`."""
    if handler.type is None:
        return ()
    with frame.at(handler.type):
        operand = frame.evaluate(handler.type)
        parts = operand.items if isinstance(operand, Items) else (operand,)
        found = [c for p in parts if isinstance(p, PyObject) for c in _flat(p.obj)]
        if not found or len(found) < len(parts) or not all(map(_is_error, found)):
            raise frame.unsupported("except takes exception classes, known while compiling")
        return tuple(found)


def _flat(obj: Any) -> tuple[Any, ...]:
    return obj if isinstance(obj, tuple) else (obj,)


def _is_error(obj: Any) -> bool:
    return isinstance(obj, type) and issubclass(obj, BaseException)


def _error_type(classes: Sequence[type[BaseException]]) -> Type:
    cls = classes[0] if len(classes) == 1 else Exception if classes else BaseException
    return ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)


def reraise(frame: Frame, error: Value, cause: Value | None = None) -> None:
    """Raise an exception object on this path."""
    inputs = [error] if cause is None else [error, cause]
    frame.python(raise_error, inputs, ANY)
    for flag in (DEAD, SKIP, STOP):
        frame.scope[flag] = True


# raise --------------------------------------------------------------------------------------------


@statement(ast.Raise)
def _raise(frame: Frame, node: ast.Raise) -> None:
    """`raise Class(arguments)` and its other forms; the Python class is kept."""
    if node.exc is None:
        _raise_again(frame)
        return
    called = node.exc if isinstance(node.exc, ast.Call) else ast.Call(node.exc, [], [])
    cls = frame.evaluate(called.func)
    is_class = isinstance(cls, PyObject) and _is_error(cls.obj)
    listed = _listed(cls.obj, called) if is_class else None  # type: ignore[union-attr]
    if listed is not None and node.cause is None:
        args = [frame.require(a) for a in spread(frame, listed)]
        raise_exception(frame, cls.obj, *args)  # type: ignore[union-attr]
        return
    error = frame.call(cls) if is_class and called is not node.exc else frame.evaluate(node.exc)
    value = frame.require(error)
    reraise(frame, value, None if node.cause is None else frame.value(node.cause))


def _listed(cls: type, called: ast.Call) -> list[ast.expr] | None:
    """The arguments of an exception without keywords; None where they need these."""
    if not called.keywords:
        return called.args
    if any(k.arg is None for k in called.keywords):
        return None
    try:
        named = {str(k.arg): k.value for k in called.keywords}
        bound = inspect.signature(cls).bind(*called.args, **named)
    except (TypeError, ValueError):
        return None
    return None if bound.kwargs else list(bound.args)


def _raise_again(frame: Frame) -> None:
    if frame.handling:
        reraise(frame, frame.handling[-1])
    else:
        text = frame.constant("No active exception to reraise")
        raise_exception(frame, RuntimeError, text)


# the body -----------------------------------------------------------------------------------------


def attempt(frame: Frame, body: Body, completed: Body, failed: Handler) -> None:
    """Run `body`; then `completed` where it came to its end, `failed` with its exception. There is
    no such path where all of the body is decided while compiling.
    """
    before = frame.scope
    watch = _watch(frame)
    branch = Branch(Block(), dict(before))
    frame.unit.watches.append(watch)
    try:
        extend_branch(frame, branch, body)
    finally:
        frame.unit.watches.pop()
    if _is_certain(frame, branch.block, watch):
        _unwrap(frame, branch, watch, completed)
        return
    made, exported = _exports(branch.block, before, branch.scope)
    inputs = _outline(frame, branch.block)
    for value in made:
        branch.block.add_return(value)
    graph = Graph("try")
    graph.block = branch.block
    types = [BOOL, ANY, *(v.type for v in made)]
    node = frame.node("prim::Try", inputs, types, graph=graph, name="try")
    ok, error, *results = node.outputs
    for inner, outer in zip(made, results, strict=True):
        frame.unit.untyped.follow(outer, inner)
    after = {**branch.scope, **{n: results[i] for n, i in exported.items()}}

    def then() -> None:
        frame.scope.clear()
        frame.scope.update(after)
        if frame.scope[DEAD] is not True:
            completed()

    def orelse() -> None:
        _restore(frame, watch)
        failed(error)

    conditional(frame, ok, then, orelse)


def _is_certain(frame: Frame, block: Block, watch: Watch) -> bool:
    """Whether nothing of a body runs, so that nothing is raised: it is decided while compiling."""
    cells = {w.cells for w in (watch, *frame.unit.watches)}
    return all(
        node.inputs[0] in cells
        if node.inputs
        else node.name in ("prim::Constant", "prim::DictConstruct")
        for node in block.nodes
    )


def _unwrap(frame: Frame, branch: Branch, watch: Watch, completed: Body) -> None:
    """Go on with what a body has decided."""
    for node in list(branch.block.nodes):
        if node.inputs[:1] == [watch.cells]:
            node.erase()
        else:
            frame.builder.block.append(node)
    frame.scope.clear()
    frame.scope.update(branch.scope)
    if frame.scope[DEAD] is not True:
        completed()


def _watch(frame: Frame) -> Watch:
    """A dict for what the body assigns, with what is bound already."""
    cells = frame.node("prim::DictConstruct", (), [DictType(STR, ANY)]).output
    return Watch(frame, cells)


def _restore(frame: Frame, watch: Watch) -> None:
    """The variables as the body left them when it raised."""
    for name, types in watch.types.items():
        if name in watch.lost:
            frame.scope[name] = Unbound("it was assigned in a try body that raised")
            continue
        before = frame.scope.get(name)
        is_set = frame.op("aten::__contains__", watch.cells, frame.constant(name))
        types = [*types, before.type] if isinstance(before, Value) else types
        joined = types[0] if len(set(types)) == 1 else ANY
        if isinstance(before, Value):
            _read_cell(frame, watch, name, joined, is_set, before)
        elif before is None:
            _read_cell(frame, watch, name, joined, is_set, frame.uninitialized(joined))
            if name.isidentifier():
                frame.scope[f"{name}?"] = is_set
        else:
            frame.scope[name] = Unbound("it was assigned in a try body that raised")


def _read_cell(
    frame: Frame, watch: Watch, name: str, type_: Type, is_set: Value, before: Value
) -> None:
    """A variable that the body may have assigned, as it was otherwise."""

    def assigned() -> None:
        stored = frame.op("aten::get", watch.cells, frame.constant(name))
        frame.scope[name] = frame.cast(stored, type_)
        frame.scope.pop(f"{name}?", None)

    frame.scope[name] = before
    conditional(frame, is_set, assigned, lambda: None)


def _exports(block: Block, before: Scope, after: Scope) -> tuple[list[Value], dict[str, int]]:
    """What the body made that the scope after it holds, and the position of each name's value."""
    inside = {v for node in block.nodes for v in node.outputs}
    made: dict[Value, int] = {}
    names: dict[str, int] = {}
    if after[DEAD] is True:
        return [], {}
    for name, binding in after.items():
        if isinstance(binding, Value) and binding in inside:
            names[name] = made.setdefault(binding, len(made))
    return list(made), names


def _outline(frame: Frame, block: Block) -> list[Value]:
    """Make the values that a block reads from outside its parameters; what they are for the call.

    Captured tensors stay outside, where whoever runs the graph reads them anew.
    """
    inside = {v for node in block.walk() for v in node.outputs}
    inside |= {p for node in block.walk() for b in node.blocks for p in b.params}
    params: dict[Value, Value] = {}
    inputs: list[Value] = []
    for node in block.walk():
        for reader in (node, *(b.returning for b in node.blocks)):
            for position, value in enumerate(reader.inputs):
                is_tensor = _is_captured_tensor(value)
                if value in inside and not is_tensor:
                    continue
                if value not in params:
                    inputs.append(_outside(frame, value) if is_tensor else value)
                    params[value] = block.add_param(value.type, value.name)
                    frame.unit.untyped.follow(params[value], value)
                    frame.unit.untyped.passed[params[value]] = value
                reader.replace(position, params[value])
    return inputs


def _is_captured_tensor(value: Value) -> bool:
    is_constant = value.node is not None and value.node.name == "prim::Constant"
    return is_constant and isinstance(value.type, TensorType)


def _outside(frame: Frame, value: Value) -> Value:
    assert value.node is not None
    return frame.builder.const(value.node.attrs["value"], value.type, span=frame.span)
