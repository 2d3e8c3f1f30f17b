"""Entry of the script front end: a Python function and its argument types to a graph.

    compile_function(fn, [FLOAT, TENSOR])     types as given: what the first call passed
    compile_function(fn)                      types from annotations; a Tensor without one

The result carries, besides the graph, the captures: every global and closure variable whose
value is now part of the graph. Code that runs the graph must compile again when one of them no
longer holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any

from ir import TENSOR, Builder, Graph, Type, TypeMismatch, UnsupportedError, Value
from jit.call import Binding, own_signature
from jit.collector import paused
from jit.script import (
    calls,
    comprehensions,
    contexts,
    control,
    expressions,
    functions,
    matching,
    recursion,
    rules_autograd,
    rules_containers,
    rules_jit,
    rules_legacy,
    rules_numbers,
    rules_numpy,
    rules_objects,
    rules_torch,
    signature,
    statements,
    trying,
)
from jit.script.classes import materialize_instance
from jit.script.closures import materialize_closure
from jit.script.compiled import CompiledSource
from jit.script.constants import lift, materialize
from jit.script.frame import Callee, Frame, Freeze, Restart, Services, Unit
from jit.script.presumed import Presume, as_presumed
from jit.script.prune import prune
from jit.script.pysource import read_function
from jit.script.resolve import Resolver
from jit.script.scope import check_bound
from jit.script.state import freeze
from jit.script.structure_guards import depend_on
from jit.script.untyped import Site, Untyped, Widen, of_any
from jit.script.values import Arguments, Closure, Instance, Operand, PyObject, Static

# Importing these files registers their handlers and rules.
HANDLERS = (
    calls, comprehensions, contexts, control, expressions, functions, matching, statements, trying,
)  # fmt: skip
RULES = (
    rules_autograd, rules_containers, rules_jit, rules_legacy, rules_numbers, rules_numpy,
    rules_objects, rules_torch,
)  # fmt: skip

_MOST_TYPES = 6  # of one display, each wider than the last; then it holds Any


def _materialize(frame: Frame, operand: Static) -> Value:
    if isinstance(operand, Instance):
        return materialize_instance(frame, operand)
    if isinstance(operand, Closure):
        return materialize_closure(frame, operand)
    return materialize(frame, operand)


SERVICES = Services(
    run=control.run,
    materialize=_materialize,
    check_bound=check_bound,
    call=calls.call,
    call_function=recursion.call_function,
    call_closure=recursion.call_closure,
)


def compile_function(
    fn: Any,
    arg_types: Sequence[Type] | None = None,
    *,
    name: str | None = None,
    bound: Mapping[str, Any] | None = None,
    reads_state: bool = False,
    untyped: Mapping[str, Type] | None = None,
    binding: Binding | None = None,
) -> CompiledSource:
    """Compile a function (or bound method).

    `arg_types` gives a type to each parameter in order, `*args` counting as one of a tuple type;
    parameters in `bound` are objects known while compiling, such as `self`, and become no
    parameters of the graph. Without `arg_types`, `untyped` has types for parameters that declare
    none. With `binding` the function is compiled for calls of its shape: types and graph have the
    values passed, not the parameters. With `reads_state` the data attributes of modules are read
    when the graph runs, otherwise they are captures.
    """
    known = dict(bound or {})
    if isinstance(fn, MethodType):
        first = fn.__func__.__code__.co_varnames[0]
        known[first], fn = fn.__self__, fn.__func__
    if not isinstance(fn, FunctionType):
        raise UnsupportedError(
            f"only Python functions can be scripted, not a {type(fn).__qualname__}"
        )
    unit = Unit(SERVICES, reads_state)
    rounds: Counter[Site] = Counter()
    while True:
        try:
            with paused():
                return _compile(unit, fn, arg_types, name, known, untyped or {}, binding)
        except Restart as again:
            unit = _renewed(unit, assigned={*unit.assigned, again.key})
        except Freeze as again:
            more = {(id(obj), name): obj for obj, name in again.attributes}
            unit = _renewed(unit, frozen=unit.frozen | more)
        except Presume as again:
            unit = _renewed(unit, presumed=unit.presumed | {again.place: again.type})
        except Widen as again:
            rounds[again.site] += 1
            if rounds[again.site] > 2 * _MOST_TYPES:
                raise UnsupportedError(
                    "what this holds has no type that can be found; annotate it", again.site[0]
                ) from None
            type_ = again.type if rounds[again.site] < _MOST_TYPES else of_any(again.type)
            unit = _renewed(unit, untyped=Untyped(unit.untyped.found | {again.site: type_}))


def _renewed(unit: Unit, **learned: Any) -> Unit:
    """A new compilation, which knows what the last one found out and this."""
    known: dict[str, Any] = {"assigned": unit.assigned, "frozen": unit.frozen}
    known |= {"untyped": Untyped(unit.untyped.found), "presumed": unit.presumed}
    return Unit(SERVICES, unit.reads_state, unit.calls_back, **known | learned)


def _compile(
    unit: Unit,
    fn: FunctionType,
    arg_types: Sequence[Type] | None,
    name: str | None,
    known: Mapping[str, Any],
    untyped: Mapping[str, Type],
    binding: Binding | None,
) -> CompiledSource:
    """One try: attributes and names in `unit.assigned` are no constants."""
    graph = Graph(name or fn.__name__)
    resolver = Resolver(fn, unit.captures, unit.assigned)
    frame = Frame(unit, read_function(fn), resolver, Builder(graph.block))
    types = _declare(frame, fn, arg_types, known, untyped, binding)
    key = (fn, len(types), (), tuple(("value", t) for t in types.values()))
    unit.callees[key] = root = Callee(graph, result=frame.declared)
    if binding is None:
        _bind_parameters(frame, fn, types, known)
    else:
        _bind_passed(frame, fn, types, known, binding)
    unit.active.append(fn)
    with functions.freezing(frame):
        frame.run(frame.source.body)
        result = statements.declared_result(frame, statements.function_result(frame))
    value = frame.require(result)
    if root.is_recursive and frame.declared is None and root.result is not None:
        value = as_presumed(frame, value, root.result)
    value = frame.sealed(value)
    graph.block.add_return(value)
    root.result, root.is_done = value.type, True
    prune(graph)
    for (_, attribute), obj in unit.frozen.items():
        freeze(obj, attribute)
    is_shareable = not (unit.outside or unit.frozen)
    return CompiledSource(graph, tuple(unit.captures.values()), is_shareable)


def _declare(
    frame: Frame,
    fn: FunctionType,
    given: Sequence[Type] | None,
    known: Mapping[str, Any],
    untyped: Mapping[str, Type],
    binding: Binding | None,
) -> dict[str, Type]:
    """The type of every parameter that the graph is to have."""
    found = own_signature(fn).parameters if binding is None else binding.names
    names = [n for n in found if n not in known]
    spec = frame.source.node.args
    frame.enforces = given is None
    if given is not None:
        if len(given) != len(names):
            raise TypeMismatch(f"{fn.__name__}() has {len(names)} parameters, not {len(given)}")
        frame.declared = signature.declared_return(fn, frame.source, frame)
        return dict(zip(names, given, strict=True))
    if spec.vararg or spec.kwarg:
        raise frame.unsupported("*args and **kwargs have no declared types; use jit.jit")
    declared, frame.declared = signature.declared_types(fn, frame.source, frame)
    return {name: declared.get(name) or untyped.get(name, TENSOR) for name in names}


def _bind_parameters(
    frame: Frame, fn: FunctionType, types: Mapping[str, Type], known: Mapping[str, Any]
) -> None:
    """Parameters of the graph, and what each parameter of the function holds at the start."""
    operands: dict[str, Operand] = {n: PyObject(obj, n) for n, obj in known.items()}
    for name, obj in known.items():
        depend_on(frame, obj, name)
    for name, type_ in types.items():
        operands[name] = frame.builder.block.add_param(type_, name)
    frame.scope.update(operands)


def _bind_passed(
    frame: Frame,
    fn: FunctionType,
    types: Mapping[str, Type],
    known: Mapping[str, Any],
    binding: Binding,
) -> None:
    """The same for calls of one shape: the graph's parameters are what they pass."""
    spec = frame.source.node.args
    count, keywords = binding.shape
    objects = {n: lift(frame, obj, n) for n, obj in known.items()}
    receiver = [o for n, o in objects.items() if n not in binding.names]
    passed: list[Operand] = [
        objects[n] if n in known else frame.builder.block.add_param(types[n], n)
        for n in binding.names
    ]
    given = Arguments(
        [*receiver, *passed[:count]], dict(zip(keywords, passed[count:], strict=True))
    )
    defaults = functions.function_defaults(frame, fn, spec)
    frame.scope.update(functions.bind_arguments(frame, fn.__name__, spec, given, defaults))
