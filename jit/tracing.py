"""`jit.trace` and `jit.trace_module`: functions and modules recorded on example inputs, checked,
and compiled.

A trace whose inputs are tensors and whose output is a tensor or a tuple of tensors is a
`ScriptFunction`, called natively. Other inputs and outputs are taken apart and put together around
one (`TracedFunction`). The trace of a module is a module (`jit.modules.traced`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ir import LateModule, record, replace
from jit.archive.form import FunctionForm
from jit.archive.saveable import Saveable
from jit.config import DEFAULT
from jit.function import ScriptFunction
from jit.plainness import is_module
from jit.trace.state import module_of

if TYPE_CHECKING:
    from ir import Graph, Type
    from jit.modules import script_module, traced
    from jit.modules.traced import TopLevelTracedModule
    from jit.trace import calling, check, nested, structure, tracer
    from jit.trace.tracer import Arguments, TracedGraph
else:
    script_module = LateModule("jit.modules.script_module")
    traced = LateModule("jit.modules.traced")
    calling = LateModule("jit.trace.calling")
    check = LateModule("jit.trace.check")
    nested = LateModule("jit.trace.nested")
    structure = LateModule("jit.trace.structure")
    tracer = LateModule("jit.trace.tracer")


@record
class _Options:
    """How a function is traced."""

    is_checked: bool
    check_inputs: Sequence[Any] | None
    tolerance: float
    strict: bool
    is_kwarg: bool = False
    """Whether `check_inputs` are dicts of keyword arguments."""


class TracedFunction(Saveable):
    """A trace with nested inputs or outputs, around its compiled graph."""

    def __init__(
        self, compiled: ScriptFunction, made: TracedGraph, signature: inspect.Signature
    ) -> None:
        self.__name__ = compiled.__name__
        self.__signature__ = signature
        self.compiled = compiled
        self._made = made
        self._call = calling.around(
            compiled, signature, made.in_structure, made.out_structure, self._refuse
        )

    @property
    def graph(self) -> Graph:
        """The recorded graph, on the tensors of the inputs."""
        return self._made.graph

    @property
    def result_type(self) -> Type:
        """The type of what a call gives, for calls in compiled code."""
        return self._made.out_structure.type

    def archive_form(self) -> FunctionForm:
        """What an archive is made from: a graph that takes the inputs as they are nested."""
        made = self._made
        structures = made.in_structure, made.out_structure
        return FunctionForm(*nested.nested_graph(made.graph, self.__signature__, *structures))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The traced function on inputs that are nested as the example's were."""
        return self._call(*args, **kwargs)

    def _refuse(self, given: Mapping[str, Any]) -> None:
        args, kwargs = self._made.in_structure.parts
        expected = dict(zip(self.__signature__.parameters, args.parts, strict=False))
        expected |= dict(zip(kwargs.keys, kwargs.parts, strict=True))
        now = {name: structure.flatten(value)[1] for name, value in given.items()}
        lines = [
            f"  {name}: traced {then}, now {now[name]}"
            for name, then in expected.items()
            if name in now and now[name] != then
        ]
        raise TypeError(
            f"{self.__name__}() was traced with other inputs: tensors must be nested as in the "
            "example, and everything else is a constant of the trace\n" + "\n".join(lines)
        )

    def __repr__(self) -> str:
        return f"<traced {self.__name__}>"


def trace(
    func: Callable[..., Any],
    example_inputs: Any = None,
    optimize: object = None,
    check_trace: bool = True,
    check_inputs: Sequence[Any] | None = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    _force_outplace: bool = False,
    _module_class: object = None,
    _compilation_unit: object = None,
    example_kwarg_inputs: Mapping[str, Any] | None = None,
    _store_inputs: bool = True,
) -> Any:
    """Record what `func` does with the example inputs, as a compiled function of its tensors; a
    module, as a module.

    `example_inputs` is a tuple of arguments or one tensor; arguments that are no tensors are
    constants of the trace. Sizes stay dynamic where they come from shapes, and a `TracerWarning`
    stands where Python looked at a value. With `check_trace` the function runs again and is
    compared with the graph, on the example and on each of `check_inputs`; `TracingCheckError` names
    the first line where they differ. A traced module's parameters are read at every call, and with
    `_store_inputs` its archive says what the inputs were like. The other parameters are those of
    `torch.jit.trace` and change nothing.
    """
    if DEFAULT.disable or isinstance(
        func, ScriptFunction | TracedFunction | script_module.ScriptModule
    ):
        return func
    options = _Options(check_trace, check_inputs, check_tolerance, strict)
    arguments = _arguments(example_inputs, example_kwarg_inputs)
    root = module_of(func)
    if root is None or not (is_module(func) or func.__name__ == "forward"):
        made, signature = _record(func, arguments, options)
        return _compile(made, signature, made.graph)
    return _trace_methods(root, {"forward": arguments}, options, _store_inputs)


def trace_module(
    mod: Any,
    inputs: Mapping[str, Any],
    optimize: object = None,
    check_trace: bool = True,
    check_inputs: Sequence[Mapping[str, Any]] | None = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    _force_outplace: bool = False,
    _module_class: object = None,
    _compilation_unit: object = None,
    example_inputs_is_kwarg: bool = False,
    _store_inputs: bool = True,
) -> Any:
    """Record methods of a module: `inputs` maps their names to example inputs as `trace` takes
    them, or to dicts of keyword arguments with `example_inputs_is_kwarg`. `check_inputs` is a list
    of such mappings.
    """
    if not is_module(mod):
        raise TypeError(f"trace_module takes a module, not a {type(mod).__qualname__}")
    if DEFAULT.disable or isinstance(mod, script_module.ScriptModule):
        return mod
    unknown = [name for name in inputs if not callable(getattr(mod, name, None))]
    if unknown:
        raise AttributeError(f"{type(mod).__qualname__} has no method {unknown[0]!r} to trace")
    options = _Options(check_trace, check_inputs, check_tolerance, strict, example_inputs_is_kwarg)
    arguments = {name: _example(given, options) for name, given in inputs.items()}
    return _trace_methods(mod, arguments, options, _store_inputs)


def _trace_methods(
    root: Any, inputs: Mapping[str, Arguments], options: _Options, stores_inputs: bool
) -> TopLevelTracedModule:
    """The module whose methods are traces; hooks of the module are part of its `forward`."""
    traces, compilers, stored = {}, {}, {}
    for name, arguments in inputs.items():
        func = root if name == "forward" else getattr(root, name)
        made, signature = _record(func, arguments, options, name)
        traces[name] = made.graph
        compilers[name] = partial(_compile, made, signature)
        outlined = structure.outline(arguments) if stores_inputs else None
        if outlined is not None:
            stored[name] = outlined
    return traced.traced_module(root, traces, compilers, stored)


def _record(
    func: Callable[..., Any], example: Arguments, options: _Options, method: str | None = None
) -> tuple[TracedGraph, inspect.Signature]:
    """Trace and check one function."""
    signature = _signature(func, example)
    normal = partial(_normal, signature)
    pristine = structure.clone_leaves(example) if options.is_checked else example
    made = tracer.trace_graph(func, *example, normal=normal, strict=options.strict)
    if options.is_checked:
        others = _check_inputs(options, method)
        check.check_trace(func, made, [pristine, *others], options.tolerance, normal)
    return made, signature


def _check_inputs(options: _Options, method: str | None) -> list[Arguments]:
    """The inputs to check one function with; those of `trace_module` are named by method."""
    given: list[Any] = list(options.check_inputs or ())
    if method is not None:
        given = [i.get(method) if isinstance(i, dict) else i for i in given]
    return [_example(i, options) for i in given if i is not None]


def _compile(made: TracedGraph, signature: inspect.Signature, graph: Graph) -> Any:
    """What is called: a trace's graph (or a copy of it), inside of what its inputs need."""
    compiled = ScriptFunction(None, graph)
    args, kwargs = made.in_structure.parts
    is_plain = not kwargs.parts and all(part.kind is structure.LEAF for part in args.parts)
    if is_plain and made.out_structure.is_plain:
        return compiled
    return TracedFunction(compiled, replace(made, graph=graph), signature)


def _example(inputs: Any, options: _Options) -> Arguments:
    return ((), dict(inputs)) if options.is_kwarg else _arguments(inputs, None)


def _arguments(inputs: Any, kwargs: Mapping[str, Any] | None) -> Arguments:
    """Example inputs as `torch.jit.trace` takes them: a tuple or list of arguments, a dict of
    keyword arguments, or one argument.
    """
    if isinstance(inputs, dict) and kwargs is None:
        return (inputs,), {}
    if inputs is None:
        return (), dict(kwargs or {})
    return (tuple(inputs) if type(inputs) in (tuple, list) else (inputs,)), dict(kwargs or {})


def _signature(func: Callable[..., Any], example: Arguments) -> inspect.Signature:
    """The parameters of a function; for a builtin, those that the example suggests."""
    try:
        return inspect.signature(getattr(func, "forward", func))
    except (TypeError, ValueError):
        args, kwargs = example
        parameter = inspect.Parameter
        return inspect.Signature(
            [parameter(f"arg{k}", parameter.POSITIONAL_ONLY) for k in range(len(args))]
            + [parameter(name, parameter.KEYWORD_ONLY) for name in kwargs]
        )


def _normal(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Arguments:
    """One spelling for a call: by position where possible, defaults written out."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args, bound.kwargs
