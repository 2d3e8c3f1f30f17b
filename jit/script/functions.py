"""Calls of Python functions: arguments to parameters, closures in place, other functions as graphs
of their own.

A function is compiled once for each list of argument types; constants among its arguments stay
constants inside, so flags such as `training=False` prune branches. A call whose arguments or
result exist only at compile time (functions, sequences of functions) is compiled in place
instead.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch

from ir import (
    NONE,
    TENSOR,
    Builder,
    CompileError,
    DType,
    Graph,
    ListType,
    SequenceType,
    Type,
    Value,
    is_subtype,
    replace,
)
from jit.script.closures import lending
from jit.script.constants import constant_of, lift, make_tuple
from jit.script.dynamic import is_dynamic_value
from jit.script.expressions import join_lists
from jit.script.frame import DEAD, OBJECT, SKIP, STOP, Callee, Frame, Freeze
from jit.script.informed import as_declared, is_open
from jit.script.names import yields
from jit.script.presumed import as_presumed, presumed_result
from jit.script.prune import prune
from jit.script.pysource import FunctionNode, FunctionSource, read_function
from jit.script.resolve import Resolver
from jit.script.scope import raise_exception
from jit.script.sharing import from_twin, remember, shared_key
from jit.script.signature import declared_return, parameter_types
from jit.script.statements import declared_result, function_result
from jit.script.values import (
    Arguments,
    Closure,
    GeneratorOf,
    Items,
    Keywords,
    Operand,
    PyObject,
    StarOf,
    values_of,
)

_MANAGER = contextmanager(lambda: iter(())).__code__  # of every function that it makes


def bind_arguments(
    frame: Frame, name: str, spec: ast.arguments, given: Arguments, defaults: dict[str, Operand]
) -> dict[str, Operand]:
    """Parameters to operands, by Python's rules; the messages are Python's."""
    positional = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    only = {a.arg for a in spec.posonlyargs}
    bound: dict[str, Operand] = dict(zip(positional, given.args, strict=False))
    if any(isinstance(a, StarOf) for a in given.args[: len(positional)]):
        given = _unpack_stars(frame, positional, given, defaults)
        bound = dict(zip(positional, given.args, strict=False))
    extra = given.args[len(positional) :]
    if spec.vararg and any(isinstance(a, StarOf) for a in extra):
        joined = frame.require(join_lists(frame, extra))
        assert isinstance(joined.type, ListType)
        bound[spec.vararg.arg] = frame.cast(joined, SequenceType(joined.type.element))
    elif spec.vararg:
        values = values_of(extra)
        bound[spec.vararg.arg] = (
            Items(tuple(extra)) if values is None else make_tuple(frame, values)
        )
    elif extra:
        raise frame.mismatch(
            f"{name}() takes {len(positional)} positional arguments, {len(given.args)} were given"
        )
    named = {*positional, *(a.arg for a in spec.kwonlyargs)} - only
    rest: dict[str, Operand] = {}
    for key, operand in given.kwargs.items():
        if key in bound and key in named:
            raise frame.mismatch(f"{name}() got multiple values for argument {key!r}")
        if key not in named and not spec.kwarg:
            raise frame.mismatch(f"{name}() got an unexpected keyword argument {key!r}")
        (bound if key in named else rest)[key] = operand
    if spec.kwarg:
        bound[spec.kwarg.arg] = Keywords(rest, frame.builder.block)
    for key in (*positional, *(a.arg for a in spec.kwonlyargs)):
        if key not in bound:
            if key not in defaults:
                raise frame.mismatch(f"{name}() missing a required argument: {key!r}")
            bound[key] = defaults[key]
    return bound


def _unpack_stars(
    frame: Frame, positional: list[str], given: Arguments, defaults: dict[str, Operand]
) -> Arguments:
    """A list spread over parameters gives one to each that is required and not given otherwise."""
    wanted = [p for p in positional if p not in defaults and p not in given.kwargs]
    missing = len(wanted) - sum(not isinstance(a, StarOf) for a in given.args)
    args: list[Operand] = []
    for operand in given.args:
        if isinstance(operand, StarOf):
            assert isinstance(operand.part.type, ListType)
            args += frame.node(
                "prim::ListUnpack", [operand.part], [operand.part.type.element] * max(missing, 0)
            ).outputs
            missing = 0
        else:
            args.append(operand)
    return Arguments(args, given.kwargs)


def bind_named(
    frame: Frame, name: str, names: list[str], given: Arguments, defaults: dict[str, Operand]
) -> dict[str, Operand]:
    """Arguments of a constructor with these parameters."""
    spec = ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])
    return bind_arguments(frame, name, spec, given, defaults)


def function_defaults(frame: Frame, fn: FunctionType, spec: ast.arguments) -> dict[str, Operand]:
    """Default values of a Python function's parameters."""
    positional = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    values = fn.__defaults__ or ()
    pairs = [
        *zip(positional[len(positional) - len(values) :], values, strict=True),
        *(fn.__kwdefaults__ or {}).items(),
    ]
    for _, value in pairs:
        frame.reads_outside(value)
    return {name: lift(frame, value, f"{fn.__name__}.{name}") for name, value in pairs}


def call_function(frame: Frame, fn: FunctionType, given: Arguments) -> Operand:
    """Call a Python function."""
    given = _as_declared(frame, fn, given)
    modifier = _modifier(fn)
    if modifier == "unused":
        return _refuse_unused(frame, fn)
    if modifier in ("ignore", "_drop"):
        return _call_back(frame, fn, given)
    if fn.__code__ is _MANAGER:
        fn = fn.__wrapped__  # type: ignore[attr-defined]
    if is_generator(fn):
        return GeneratorOf(PyObject(fn, fn.__name__), read_function(fn).node, given)
    operands = [*given.args, *given.kwargs.values()]
    is_recursive = any(active is fn for active in frame.unit.active)
    keys = [_key(o, is_recursive) for o in operands]
    if None in keys:
        return inline_function(frame, fn, given)
    key = (fn, len(given.args), tuple(given.kwargs), tuple(keys))
    callee = frame.unit.callees.get(key) or _new_callee(frame, fn, given, key, is_recursive)
    frame.unit.outside += callee.reads_outside
    callee.is_recursive = callee.is_recursive or not callee.is_done
    if callee.result is None and not callee.is_done:
        inner = function_frame(frame, fn, frame.builder)
        declared = declared_return(fn, inner.source, inner)
        callee.result = declared or presumed_result(inner)
    if callee.result is None:
        return inline_function(frame, fn, given)
    if _is_constant(callee):
        return frame.constant(constant_of(callee.graph.returns[0]))
    inputs = [o for o in operands if isinstance(o, Value) and _is_runtime(o, is_recursive)]
    receiver = receiver_of(fn, given)
    attrs = {"receiver": receiver.obj} if receiver else {}
    return call_graph(frame, callee, inputs, name=fn.__name__, function=fn, **attrs)


def _as_declared(frame: Frame, fn: FunctionType, given: Arguments) -> Arguments:
    """The arguments of a call: what is not known of them is as the parameters declare."""
    operands = (*given.args, *given.kwargs.values())
    if not any(isinstance(o, Value) and is_open(o.type) for o in operands):
        return given
    inner = function_frame(frame, fn, frame.builder)
    if inner.is_library:
        return given
    declared = parameter_types(fn, inner.source, inner)
    spec = inner.source.node.args
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)]

    def known(operand: Operand, name: str | None) -> Operand:
        if not isinstance(operand, Value) or name not in declared:
            return operand
        return as_declared(frame, operand, declared[name])

    return Arguments(
        [known(o, n) for o, n in itertools.zip_longest(given.args, names[: len(given.args)])],
        {n: known(o, n) for n, o in given.kwargs.items()},
    )


def call_graph(frame: Frame, callee: Callee, inputs: list[Value], **attrs: Any) -> Value:
    """The node that calls a function of its own."""
    assert callee.result is not None
    given = {"graph": callee.graph, **attrs}
    type_ = callee.graph_result(callee.result)
    result = frame.node("prim::CallFunction", inputs, [type_], **given).output
    if callee.never_returns:
        _end_path(frame)
    return result


def _new_callee(
    frame: Frame, fn: FunctionType, given: Arguments, key: tuple[Any, ...], is_recursive: bool
) -> Callee:
    """A function for one list of arguments: that of a module that is alike, or compiled."""
    unit, operands = frame.unit, [*given.args, *given.kwargs.values()]
    shared = shared_key(frame, fn, key, operands)
    twin = from_twin(unit, *shared) if shared is not None else None
    if twin is not None:
        unit.callees[key] = replace(twin, arguments=tuple(operands))
        return unit.callees[key]
    before = unit.outside
    callee = unit.callees[key] = Callee(Graph(fn.__name__), tuple(operands))
    _compile_callee(frame, fn, given, callee, is_recursive)
    callee.reads_outside = unit.outside > before
    if shared is not None and not callee.reads_outside:
        remember(unit, shared[0], callee, shared[1].parts)
    return callee


def is_generator(fn: FunctionType) -> bool:
    """Whether a function yields."""
    return bool(fn.__code__.co_flags & inspect.CO_GENERATOR)


def receiver_of(fn: FunctionType, given: Arguments) -> PyObject | None:
    """The module whose method is called, None for a function."""
    first = given.args[0] if given.args else None
    if not isinstance(first, PyObject) or not isinstance(first.obj, torch.nn.Module):
        return None
    owned = (vars(cls).get(fn.__name__) for cls in type(first.obj).__mro__)
    is_method = any(m is fn or getattr(m, "fget", None) is fn for m in owned)
    return first if is_method else None


def _modifier(fn: FunctionType) -> str:
    """What a decorator of `torch.jit` asks for a function, in one word."""
    return str(getattr(fn, "_torchscript_modifier", "")).partition(" ")[0]


def _refuse_unused(frame: Frame, fn: FunctionType) -> Operand:
    """A call of a function that was declared not to be called from compiled code."""
    result = declared_return(fn, read_function(fn), function_frame(frame, fn, frame.builder))
    raise_exception(frame, RuntimeError, f"{fn.__name__!r} is marked as unused: it is not compiled")
    return frame.uninitialized(result or TENSOR)


def _call_back(frame: Frame, fn: FunctionType, given: Arguments) -> Operand:
    """Call a function in Python; the types of its result come from its annotation."""
    frame.call_back()
    inner = function_frame(frame, fn, frame.builder)
    spec = inner.source.node.args
    bound = bind_arguments(frame, fn.__name__, spec, given, function_defaults(frame, fn, spec))
    result = declared_return(fn, inner.source, inner) or TENSOR
    objects = {n: o.obj for n, o in bound.items() if isinstance(o, PyObject)}
    values = {n: frame.require(o) for n, o in bound.items() if n not in objects}

    def call(*args: object) -> object:
        return fn(**objects, **dict(zip(values, args, strict=True)))

    attrs = {"function": call, "name": fn.__name__, "objects": tuple(objects.values())}
    return frame.node("prim::PythonOp", list(values.values()), [result], **attrs).output


def _is_constant(callee: Callee) -> bool:
    """Whether a callee does nothing but give a constant, such as a property of a configuration."""
    if not callee.is_done or not _is_plain(callee.graph.returns[0]):
        return False
    return all(node.op.is_pure and not node.blocks for node in callee.graph.block.nodes)


def _is_runtime(operand: Operand, is_recursive: bool) -> bool:
    return isinstance(operand, Value) and (is_recursive or not _is_plain(operand))


def _is_plain(operand: Value) -> bool:
    """A constant that may become part of the callee."""
    return isinstance(constant_of(operand), bool | int | float | str | DType | None)


def _key(operand: Operand, is_recursive: bool) -> Hashable:
    """What a callee is specialized on for one argument; None when it must be inlined."""
    if isinstance(operand, PyObject):
        return ("object", id(operand.obj))
    if not isinstance(operand, Value):
        return None
    if _is_runtime(operand, is_recursive):
        return ("value", operand.type)
    return ("constant", operand.type, repr(constant_of(operand)))


def _compile_callee(
    frame: Frame, fn: FunctionType, given: Arguments, callee: Callee, is_recursive: bool
) -> None:
    inner = function_frame(frame, fn, Builder(callee.graph.block))

    def receive(operand: Operand) -> Operand:
        if not isinstance(operand, Value):
            return operand
        if _is_runtime(operand, is_recursive):
            param = callee.graph.block.add_param(operand.type)
            frame.unit.untyped.passed[param] = operand
            return param
        return inner.constant(constant_of(operand))

    args = Arguments(
        [receive(a) for a in given.args], {k: receive(v) for k, v in given.kwargs.items()}
    )
    inner.declared = None if inner.is_library else declared_return(fn, inner.source, inner)
    callee.result = inner.declared
    with _entered(inner, fn, args):
        run_callee(inner, callee, lambda: declared_return(fn, inner.source, inner))


def run_callee(
    inner: Frame, callee: Callee, declared: Callable[[], Type | None] = lambda: None
) -> None:
    """Compile the body of a function of its own in its frame; `declared` is the type of the result
    where there is none.
    """
    inner.run(inner.source.body)
    result = declared_result(inner, function_result(inner))
    callee.is_done = True
    if inner.scope[DEAD] is True:
        callee.never_returns = True
        result = inner.uninitialized(inner.declared or declared() or NONE)
    presumed = callee.result if callee.is_recursive else None
    if presumed is not None and inner.declared is None:
        result = as_presumed(inner, inner.require(result), presumed)
    if presumed is not None and is_dynamic_value(result):
        result = inner.cast(inner.require(result), presumed)
    if presumed and isinstance(result, Value) and not is_subtype(result.type, presumed):
        raise inner.mismatch(f"declared to return a {presumed}, this returns a {result.type}")
    if callee.shared:
        result = inner.require(result)
    if isinstance(result, Value):
        callee.graph.block.add_return(_with_shared(inner, callee, result))
        callee.result = result.type
        prune(callee.graph)
    else:
        callee.result = None


def _with_shared(inner: Frame, callee: Callee, result: Value) -> Value:
    """The result, in a tuple with what shared variables hold in the end."""
    if not callee.shared:
        return result
    parts = [result]
    for name, type_ in callee.shared.items():
        end = inner.uninitialized(type_) if callee.never_returns else inner.load(name)
        if not isinstance(end, Value) or not is_subtype(end.type, type_):
            raise inner.mismatch(
                f"{name!r}, which a nested function that calls itself assigns, begins as a {type_} "
                "and does not stay one"
            )
        parts.append(end)
    return inner.node("prim::TupleConstruct", parts, [callee.graph_result(result.type)]).output


def function_frame(frame: Frame, fn: FunctionType, builder: Builder) -> Frame:
    """A frame for a function that `frame` calls; spans of library code are those of the call."""
    source = read_function(fn)
    span = frame.span if source.is_library else None
    resolver = Resolver(fn, frame.unit.captures, frame.unit.assigned)
    inner = Frame(frame.unit, source, resolver, builder, None, span)
    inner.is_library = source.is_library
    return inner


def run_function(inner: Frame, fn: FunctionType, given: Arguments) -> Operand:
    """Compile the body of a function in its frame."""
    with _entered(inner, fn, given):
        inner.run(inner.source.body)
        return declared_result(inner, function_result(inner))


@contextmanager
def _entered(inner: Frame, fn: FunctionType, given: Arguments) -> Iterator[None]:
    """The parameters of a function bound in its frame, for the time of its body."""
    unit = inner.unit
    spec = inner.source.node.args
    bound = bind_arguments(inner, fn.__name__, spec, given, function_defaults(inner, fn, spec))
    for name, operand in bound.items():
        if isinstance(operand, Value) and operand.block is not None and operand.name is None:
            operand.name = name
        inner.scope[name] = operand
    unit.active.append(fn)
    try:
        with freezing(inner):
            yield
    finally:
        unit.active.pop()


@contextmanager
def freezing(frame: Frame) -> Iterator[None]:
    """A body that does not compile gets another chance: the attributes that it had read, which may
    decide what is ever reached, as constants.
    """
    try:
        yield
    except CompileError as error:
        if frame.reads:
            raise Freeze(frame.reads) from error
        raise


def inline_function(frame: Frame, fn: FunctionType, given: Arguments) -> Operand:
    """Compile a call in place."""
    inner = function_frame(frame, fn, frame.builder)
    _lend_objects(frame, inner)
    result = run_function(inner, fn, given)
    _propagate(frame, inner)
    return result


def call_closure(frame: Frame, closure: Closure, given: Arguments) -> Operand:
    """Compile a call of a lambda or nested function in place, its free names read from the frame
    that defined it.
    """
    outer: Frame = closure.frame
    node: FunctionNode = closure.node
    source = FunctionSource(node, outer.source.file)
    if yields(node):
        return GeneratorOf(closure, node, given)
    with _closure_frame(frame, closure, source, given) as inner:
        inner.run(inner.source.body)
        result = function_result(inner)
    _propagate(frame, inner)
    return result


@contextmanager
def _closure_frame(
    frame: Frame, closure: Closure, source: FunctionSource, given: Arguments
) -> Iterator[Frame]:
    """The frame of a call of a nested function."""
    outer, node = closure.frame, source.node
    inner = Frame(frame.unit, source, outer.resolver, frame.builder, outer, frame.caller_span)
    name = node.name if isinstance(node, ast.FunctionDef) else "<lambda>"
    inner.scope.update(bind_arguments(frame, name, node.args, given, closure.defaults))
    _lend_objects(frame, inner)
    with lending(frame, inner):
        yield inner


@contextmanager
def generator_frame(frame: Frame, operand: GeneratorOf) -> Iterator[Frame]:
    """The frame of a generator whose items `frame` is about to consume."""
    source, given = operand.source, operand.given
    if isinstance(source, Closure):
        text = FunctionSource(source.node, source.frame.source.file)
        with _closure_frame(frame, source, text, given) as inner:
            yield inner
        return
    fn = source.obj
    inner = function_frame(frame, fn, frame.builder)
    inner.source = replace(inner.source, node=operand.node)
    with _entered(inner, fn, given):
        yield inner


def _lend_objects(frame: Frame, inner: Frame) -> None:
    """Fields of the caller's objects are known in a call compiled in place."""
    inner.scope.update({k: v for k, v in frame.scope.items() if k.startswith(OBJECT)})


def _propagate(frame: Frame, inner: Frame) -> None:
    """After a call in place: objects are as it left them; raising always ends this path, too."""
    frame.scope.update({k: v for k, v in inner.scope.items() if k.startswith(OBJECT)})
    if inner.scope[DEAD] is True:
        _end_path(frame)


def _end_path(frame: Frame) -> None:
    """Control does not come back from a call."""
    for flag in (DEAD, SKIP, STOP):
        frame.scope[flag] = True
