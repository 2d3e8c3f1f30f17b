"""Entry of the script front end: a Python function and its argument types to a graph.

    compile_function(fn, [FLOAT, TENSOR])     types as given: what the first call passed
    compile_function(fn)                      types from annotations; a Tensor without one

The result carries, besides the graph, the captures: every global and closure variable whose
value is now part of the graph. Code that runs the graph must compile again when one of them no
longer holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

from ir import TENSOR, Builder, Graph, Type, TypeMismatch, UnsupportedError
from jit.script import (
    calls,
    comprehensions,
    control,
    expressions,
    functions,
    rules_containers,
    rules_numbers,
    rules_numpy,
    rules_objects,
    rules_torch,
    statements,
)
from jit.script.constants import materialize
from jit.script.frame import Callee, Frame, Restart, Services, Unit
from jit.script.prune import prune
from jit.script.pysource import read_function
from jit.script.resolve import Capture, Resolver
from jit.script.scope import check_bound
from jit.script.values import PyObject

# Importing these files registers their handlers and rules.
HANDLERS = (calls, comprehensions, control, expressions, functions, statements)
RULES = (rules_containers, rules_numbers, rules_numpy, rules_objects, rules_torch)

SERVICES = Services(
    run=control.run,
    materialize=materialize,
    check_bound=check_bound,
    call=calls.call,
    call_function=functions.call_function,
    call_closure=functions.call_closure,
)


@dataclass(frozen=True, slots=True)
class CompiledSource:
    """A graph and what its source captured."""

    graph: Graph
    captures: tuple[Capture, ...]

    def is_current(self) -> bool:
        """Whether every captured name still means what was compiled."""
        return all(capture.holds() for capture in self.captures)


def compile_function(
    fn: Any,
    arg_types: Sequence[Type] | None = None,
    *,
    name: str | None = None,
    bound: Mapping[str, Any] | None = None,
) -> CompiledSource:
    """Compile a function (or bound method).

    `arg_types` gives a type to each parameter in order, `*args` counting as one of a tuple type;
    parameters in `bound` are objects known while compiling, such as `self`, and become no
    parameters of the graph.
    """
    known = dict(bound or {})
    if isinstance(fn, MethodType):
        first = fn.__func__.__code__.co_varnames[0]
        known[first], fn = fn.__self__, fn.__func__
    if not isinstance(fn, FunctionType):
        raise UnsupportedError(
            f"only Python functions can be scripted, not a {type(fn).__qualname__}"
        )
    unit = Unit(SERVICES)
    while True:
        try:
            return _compile(unit, fn, arg_types, name, known)
        except Restart as again:
            unit = Unit(SERVICES, assigned={*unit.assigned, again.key})


def _compile(
    unit: Unit,
    fn: FunctionType,
    arg_types: Sequence[Type] | None,
    name: str | None,
    known: Mapping[str, Any],
) -> CompiledSource:
    """One try: attributes and names in `unit.assigned` are no constants."""
    graph = Graph(name or fn.__name__)
    frame = Frame(unit, read_function(fn), Resolver(fn, unit.captures), Builder(graph.block))
    types = _bind_parameters(frame, fn, arg_types, known)
    unit.callees[(fn, len(types), (), tuple(("value", t) for t in types))] = root = Callee(
        graph, result=frame.declared
    )
    unit.active.append(fn)
    frame.run(frame.source.body)
    result = statements.declared_result(frame, statements.function_result(frame))
    value = frame.require(result)
    graph.block.add_return(value)
    root.result, root.is_done = value.type, True
    prune(graph)
    return CompiledSource(graph, tuple(unit.captures.values()))


def _bind_parameters(
    frame: Frame, fn: FunctionType, given: Sequence[Type] | None, known: Mapping[str, Any]
) -> list[Type]:
    """Give every parameter its operand; the types of those that became parameters of the graph."""
    spec = frame.source.node.args
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    names += [a.arg for a in ([spec.vararg] if spec.vararg else [])] + [
        a.arg for a in spec.kwonlyargs
    ]
    if spec.kwarg:
        names.append(spec.kwarg.arg)
    names = [n for n in names if n not in known]
    frame.enforces = given is None
    if given is None:
        declared, frame.declared = functions.declared_types(fn, frame.source, frame)
    else:
        declared, frame.declared = {}, functions.declared_return(fn, frame.source, frame)
    if given is None and (spec.vararg or spec.kwarg):
        raise frame.unsupported(
            "*args and **kwargs have no types of their own: call the function through jit.jit"
        )
    if given is not None and len(given) != len(names):
        raise TypeMismatch(
            f"{fn.__name__}() has {len(names)} parameters, but {len(given)} types were given"
        )
    types = list(given) if given is not None else [declared.get(n, TENSOR) for n in names]
    for name, type_ in zip(names, types, strict=True):
        frame.scope[name] = frame.builder.block.add_param(type_, name)
    for name, obj in known.items():
        frame.scope[name] = PyObject(obj, name)
    return types
