"""Calls that may never end: nested functions that call themselves are functions of their own, other
calls that are nested too deep are refused.

    def power(n: int) -> int:                 graph power(%n, %base)
        return 1 if n == 0 else base * power(n - 1)

A call in place, as other nested functions are compiled, would hold the next one, and so on. What
such a function reads of enclosing ones, itself or through nested functions that it calls, are
further parameters of its graph; those that nested functions assign are further results, too. The
type of its result is that of the annotation, or found by a first try.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType

from ir import Builder, Graph, Type, Value, is_subtype
from jit.script import functions, signature
from jit.script.constants import UNKNOWN, constant_of, unpack
from jit.script.frame import Callee, Frame
from jit.script.names import loaded_names, local_names, shared_names, yields
from jit.script.presumed import presumed_result
from jit.script.pysource import FunctionSource
from jit.script.values import Arguments, Closure, Operand, PyObject, Unbound


def call_function(frame: Frame, fn: FunctionType, given: Arguments) -> Operand:
    """Compile a call of a Python function."""
    try:
        return functions.call_function(frame, fn, given)
    except RecursionError:
        raise frame.unsupported(
            f"calls are nested too deep; does {fn.__name__!r} call itself with constants or "
            "functions among its arguments?"
        ) from None


def call_closure(frame: Frame, closure: Closure, given: Arguments) -> Operand:
    """Compile a call of a lambda or nested function."""
    try:
        if _is_recursive(closure):
            return _call(frame, closure, given)
        return functions.call_closure(frame, closure, given)
    except RecursionError:
        raise frame.unsupported(
            "calls of nested functions are nested too deep; does one call itself with functions "
            "among its arguments?"
        ) from None


def _is_recursive(closure: Closure) -> bool:
    node = closure.node
    if not isinstance(node, ast.FunctionDef) or yields(node):
        return False
    return any(isinstance(o, Closure) and o.node is node for o in _outer_names(closure).values())


def _outer_names(closure: Closure) -> dict[str, Operand]:
    """What a nested function and those that it calls read of enclosing ones, not yet loaded."""
    found: dict[str, Operand] = {}
    pending = [closure]
    while pending:
        node, home = pending[-1].node, pending.pop().frame
        for name in sorted(loaded_names(node, node.args) - local_names(node)):
            holder = _holder(home, name)
            if holder is None or name in found:
                continue
            operand = holder.scope[name]
            assert not isinstance(operand, bool)
            found[name] = operand
            if isinstance(operand, Closure):
                pending.append(operand)
    return found


def _holder(frame: Frame | None, name: str) -> Frame | None:
    """The innermost of a frame and those that enclose it in which a name is a variable."""
    while frame is not None and name not in frame.scope:
        frame = frame.parent
    return frame


def _call(frame: Frame, closure: Closure, given: Arguments) -> Operand:
    unit, node = frame.unit, closure.node
    assert isinstance(node, ast.FunctionDef)
    outer = {n: _readable(frame, closure.frame, n, o) for n, o in _outer_names(closure).items()}
    shared = {
        n: o.type
        for n, o in outer.items()
        if isinstance(o, Value) and _is_shared(closure.frame, n)
    }
    bound = functions.bind_arguments(frame, node.name, node.args, given, closure.defaults)
    passed = {n: o if isinstance(o, PyObject) else frame.require(o) for n, o in bound.items()}
    types = _parameter_types(frame, closure, passed)
    operands = [*passed.values(), *outer.values()]
    objects = [_key(o) for o in passed.values() if not isinstance(o, Value)]
    key = (node, *types.values(), *map(_key, outer.values()), *objects)
    callee = unit.callees.get(key)
    if callee is None:
        declared = _declared_result(closure)
        callee = unit.callees[key] = Callee(Graph(node.name), tuple(operands), declared)
        callee.shared = shared
        with frame.at(node):
            _compile(frame, closure, callee, passed, types, outer)
    callee.is_recursive = callee.is_recursive or not callee.is_done
    result = functions.call_graph(
        frame, callee, [o for o in operands if isinstance(o, Value)], name=node.name
    )
    if not shared:
        return result
    result, *ends = unpack(frame, result)
    for name, end in zip(shared, ends, strict=True):
        frame.scope.pop(f"{name}?", None)
        frame.scope[name] = end
    return result


def _declared_result(closure: Closure) -> Type | None:
    returns = closure.node.returns if isinstance(closure.node, ast.FunctionDef) else None
    if returns is None:
        return None
    return signature.annotation_type(ast.unparse(returns), closure.frame, returns)


def _readable(frame: Frame, home: Frame, name: str, operand: Operand) -> Operand:
    """An operand of an enclosing function, as it is at the call."""
    holder = _holder(home, name)
    assert holder is not None
    if name in frame.lent:
        return frame.load(name)
    if frame is not holder and _is_shared(holder, name):
        raise frame.unsupported(
            f"a nested function that calls itself shares {name!r} by nonlocal, and is called "
            "outside of the function that defines it; pass the value and return it"
        )
    if isinstance(operand, Value | Unbound):
        return holder.load(name)
    if isinstance(operand, Closure | PyObject):
        return operand
    raise frame.unsupported(
        f"a nested function that calls itself reads {name!r}, which is {operand.describe()}; pass "
        "it as an argument"
    )


def _is_shared(frame: Frame, name: str) -> bool:
    """Whether nested functions assign a variable of a function or of one that encloses it."""
    holder = _holder(frame, name)
    return holder is not None and name in holder.lent | shared_names(holder.source.node)


def _parameter_types(
    frame: Frame, closure: Closure, passed: Mapping[str, Operand]
) -> dict[str, Type]:
    """The types of the parameters: as annotated where that fits, or of what is passed."""
    values = {n: o for n, o in passed.items() if isinstance(o, Value)}
    types = {n: v.type for n, v in values.items()}
    spec = closure.node.args
    for arg in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs):
        if arg.annotation is not None and arg.arg in types:
            text = ast.unparse(arg.annotation)
            declared = signature.annotation_type(text, closure.frame, arg.annotation)
            if values[arg.arg] in frame.unit.untyped:
                frame.unit.untyped.settle(values[arg.arg], declared)
            if is_subtype(values[arg.arg].type, declared):
                types[arg.arg] = declared
    return types


def _key(operand: Operand) -> object:
    """What a graph is made for: besides types, which objects and nested functions are met."""
    match operand:
        case Value(type=type_):
            return type_
        case Closure(node=node):
            return node
        case PyObject(obj=obj):
            return id(obj)
    raise AssertionError(operand)


def _compile(
    frame: Frame,
    closure: Closure,
    callee: Callee,
    passed: Mapping[str, Operand],
    types: Mapping[str, Type],
    outer: Mapping[str, Operand],
) -> None:
    """Compile the body. Its parent is a frame in which what it reads of enclosing functions are
    parameters, too.
    """
    builder, defining = Builder(callee.graph.block), closure.frame
    source = FunctionSource(closure.node, defining.source.file)
    home = Frame(frame.unit, defining.source, defining.resolver, builder, None, frame.caller_span)
    inner = Frame(frame.unit, source, defining.resolver, builder, home, frame.caller_span)
    for name, operand in passed.items():
        inner.scope[name] = operand
        if isinstance(operand, Value):
            inner.scope[name] = param = builder.block.add_param(types[name], name)
            frame.unit.untyped.passed[param] = operand
    for name, operand in outer.items():
        home.scope[name] = _at_home(home, name, operand)
    inner.lent = frozenset(callee.shared)
    inner.scope.update({name: home.scope[name] for name in callee.shared})
    inner.declared = callee.result
    callee.result = callee.result or presumed_result(inner)
    with functions.freezing(inner):
        functions.run_callee(inner, callee)


def _at_home(home: Frame, name: str, operand: Operand) -> Operand:
    if isinstance(operand, Value):
        param = home.builder.block.add_param(operand.type, name)
        home.unit.untyped.passed[param] = operand
        return param
    if isinstance(operand, Closure):
        return Closure(operand.node, home, dict(_constants(home, operand.defaults.items())))
    return operand


def _constants(
    home: Frame, defaults: Iterable[tuple[str, Operand]]
) -> Iterator[tuple[str, Operand]]:
    """Default values, none of which may be a value of the graph where the function is defined."""
    for name, operand in defaults:
        if not isinstance(operand, Value):
            yield name, operand
        elif constant_of(operand) is UNKNOWN:
            raise home.unsupported(
                f"the default of {name!r}, in a nested function that calls itself, is no constant"
            )
        else:
            yield name, home.constant(constant_of(operand))
