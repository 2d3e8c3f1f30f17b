"""The public functions: decorate and script."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import ir
from ir import LateModule
from jit.config import DEFAULT
from jit.declared import is_variadic
from jit.function import ScriptFunction
from jit.plainness import is_module
from jit.script import compile_function
from jit.trace.active import is_tracing
from jit.tracing import TracedFunction

if TYPE_CHECKING:
    from ir import Graph, Node
    from jit.modules import compiled_module, recursive
    from jit.script import check_class, examples
else:
    compiled_module = LateModule("jit.modules.compiled_module")
    recursive = LateModule("jit.modules.recursive")
    check_class = LateModule("jit.script.check_class")
    examples = LateModule("jit.script.examples")

F = TypeVar("F", bound=Callable[..., Any])


@overload
def jit(function: F, *, strict: bool = False, **knobs: Any) -> F: ...
@overload
def jit(function: None = None, *, strict: bool = False, **knobs: Any) -> Callable[[F], F]: ...
def jit(function: Any = None, *, strict: bool = False, **knobs: Any) -> Any:
    """Compile a function of tensors, numbers and containers; use as `@jit` or `@jit(warm=0)`.

    The first call of each combination of argument types scripts the source; plans are specialized
    to the sizes that calls bring. NumPy arrays in give NumPy arrays out. A call that plans cannot
    serve (one that needs gradients, say) behaves as the undecorated function; `jit.stats(f)` counts
    why. With `strict`, source outside the compiled language is an error instead of a warning. Other
    keywords are the knobs of `jit.config.Config`. For a module, one of the same state is made, its
    `forward` compiled; the module itself stays eager, unless it gets that forward as its own:
    `module.forward = jit(module.forward)`.
    """
    config = DEFAULT.with_(**knobs)
    if function is None:
        return lambda f: jit(f, strict=strict, **knobs)
    if config.disable or isinstance(function, ScriptFunction):
        return function
    if is_module(function):
        return compiled_module.compiled_module(function, config, strict)
    if is_module(getattr(function, "__self__", None)):
        forward = compiled_module.compiled_forward(function, config, strict)
        if forward is not None:
            return forward
    return ScriptFunction(function, config=config, is_strict=strict)


def script(
    obj: Any,
    optimize: object = None,
    _frames_up: int = 0,
    _rcb: object = None,
    example_inputs: Sequence[Sequence[Any]] | Mapping[Any, Sequence[Sequence[Any]]] | None = None,
) -> Any:
    """Compile a function from its source, with types from its annotations (an unannotated parameter
    is a Tensor); or a module, as a `ScriptModule` that shares its tensors.

    A class is given back after its methods were checked; enums, named tuples and interfaces need no
    check. `example_inputs`, a list of a function's argument tuples, gives types to parameters
    without annotation. Values that the source captures are those of now, as in TorchScript. Raises
    `CompileError` with file, line and caret for what the language does not have. The other
    parameters are those of `torch.jit.script` and change nothing.
    """
    if DEFAULT.disable or isinstance(obj, ScriptFunction | TracedFunction):
        return obj
    if is_module(obj):
        return recursive.script_module(obj)
    if isinstance(obj, type):
        check_class.check_class(obj)
        return obj
    given = example_inputs[obj] if isinstance(example_inputs, Mapping) else example_inputs
    if is_variadic(obj):
        return ScriptFunction(obj, is_strict=True)  # a graph for each shape and types of a call
    types = examples.example_types(obj, given) if given else {}
    return ScriptFunction(obj, compile_function(obj, untyped=types).graph, is_strict=True)


def script_if_tracing(fn: F) -> F:
    """Compile a function when a trace first calls it, so that its control flow is kept; outside of
    traces it stays Python.
    """
    if DEFAULT.disable:
        return fn
    compiled: list[ScriptFunction] = []

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not is_tracing():
            return fn(*args, **kwargs)
        if not compiled:
            compiled.append(script(fn))
        return compiled[0](*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def export_opnames(m: Any) -> list[str]:
    """The names of ATen's operators that a compiled function, or the methods of a compiled module,
    use.
    """
    graphs = [m.graph] if isinstance(m, ScriptFunction) else _graphs(m)
    names = {n.op.qualified for graph in graphs for n in _nodes(graph, set())}
    return sorted(name for name in names if name.startswith("aten::"))


def _graphs(module: Any) -> list[Graph]:
    found = (getattr(module, name, None) for name in {*vars(module), "forward"})
    graphs = [f.graph for f in found if isinstance(f, ScriptFunction | TracedFunction)]
    if not graphs:
        raise TypeError(f"export_opnames takes a compiled function or module, not {module!r}")
    return graphs


def _nodes(graph: Graph, seen: set[Graph]) -> Iterator[Node]:
    """The nodes of a graph and of those that it calls."""
    seen.add(graph)
    for node in graph.walk():
        yield node
        callee = node.attrs.get("graph")
        if isinstance(callee, ir.Graph) and callee not in seen:
            yield from _nodes(callee, seen)
