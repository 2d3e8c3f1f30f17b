"""with: context managers around a body, left however the body ends.

torch's own (grad modes, autocast, profiling) never swallow an exception: they are entered and left
by nodes, and the interpreter leaves them when an exception passes. Any other manager is asked by
`__exit__(class, exception, traceback)`: its body is a try body (see `trying`).
"""

from __future__ import annotations

import ast

from ir import ANY, ObjectType, Value
from jit.fusion import CompilerContext
from jit.script.classes import call_special
from jit.script.conditions import truth
from jit.script.dynamic import call_on
from jit.script.frame import DEAD, Frame, statement
from jit.script.generators import enclose
from jit.script.names import stored_names
from jit.script.scope import conditional
from jit.script.targets import assign
from jit.script.trying import afterwards, attempt, reraise
from jit.script.values import Arguments, GeneratorOf, Instance, Operand, PyObject


@statement(ast.With)
def _with(frame: Frame, node: ast.With) -> None:
    _items(frame, list(node.items), node)


def _items(frame: Frame, items: list[ast.withitem], node: ast.With) -> None:
    """The managers one by one, the last around the body."""
    if not items:
        frame.run(node.body)
        return
    item, *rest = items
    with frame.at(item.context_expr):
        manager = frame.evaluate(item.context_expr)
        if isinstance(manager, GeneratorOf):
            _enclose(frame, manager, item, rest, node)
            return
        if isinstance(manager, PyObject) and isinstance(manager.obj, CompilerContext):
            manager.obj.note(frame.source.file, node.lineno, node.end_lineno or node.lineno)
            _items(frame, rest, node)
            return
        entered = _enter(frame, manager)
    if item.optional_vars is not None:
        assign(frame, item.optional_vars, entered)
    if _is_transparent(manager):
        _items(frame, rest, node)
        if frame.scope[DEAD] is False:
            frame.node("prim::Exit", [frame.require(manager)])
        return
    attempt(
        frame,
        lambda: _items(frame, rest, node),
        lambda: afterwards(frame, lambda: _leave(frame, manager)),
        lambda error: _fail(frame, manager, error),
    )


def _enclose(
    frame: Frame,
    manager: GeneratorOf,
    item: ast.withitem,
    rest: list[ast.withitem],
    node: ast.With,
) -> None:
    """`contextlib.contextmanager`: the body stands where the generator yields."""

    def body(entered: Operand) -> None:
        if item.optional_vars is not None:
            assign(frame, item.optional_vars, entered)
        _items(frame, rest, node)

    targets = [i.optional_vars for i in (item, *rest) if i.optional_vars is not None]
    enclose(frame, manager, body, stored_names([*targets, *node.body]))


def _is_transparent(manager: Operand) -> bool:
    """Whether a manager is one of torch's, which let every exception pass."""
    cls: object = None
    if isinstance(manager, PyObject):
        cls = type(manager.obj)
    elif isinstance(manager, Value) and isinstance(manager.type, ObjectType):
        cls = manager.type.cls
    return isinstance(cls, type) and cls.__module__.partition(".")[0] in ("torch", "jit")


def _enter(frame: Frame, manager: Operand) -> Operand:
    if _is_transparent(manager):
        value = frame.require(manager)
        return frame.node("prim::Enter", [value], [value.type]).output
    special = call_special(frame, "__enter__", manager)
    if special is not None:
        return special
    return call_on(frame, frame.require(manager), "__enter__", Arguments([], {}))


def _leave(frame: Frame, manager: Operand) -> None:
    nothing = frame.constant(None)
    _exit(frame, manager, nothing, nothing)


def _fail(frame: Frame, manager: Operand, error: Value) -> None:
    """The manager decides whether the exception goes on."""
    kind = frame.python(type, [error], ANY)
    swallowed = truth(frame, _exit(frame, manager, kind, error))
    if isinstance(swallowed, bool):
        if not swallowed:
            reraise(frame, error)
    else:
        conditional(frame, swallowed, lambda: None, lambda: reraise(frame, error))


def _exit(frame: Frame, manager: Operand, kind: Value, error: Value) -> Operand:
    arguments = [kind, error, frame.constant(None)]
    special = call_special(frame, "__exit__", manager, *arguments)
    if special is not None or isinstance(manager, Instance):
        return special or frame.constant(None)
    return call_on(frame, frame.require(manager), "__exit__", Arguments([*arguments], {}))
