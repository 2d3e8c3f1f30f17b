"""`jit.trace`: a function or module recorded on example inputs, checked, and compiled.

A trace whose inputs are tensors and whose output is a tensor or a tuple of tensors is a
`ScriptFunction`, called natively. Other inputs and outputs are taken apart and put together around
one (`TracedFunction`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ir import Graph
from jit.config import DEFAULT
from jit.function import ScriptFunction
from jit.trace import LEAF, TracedGraph, clone_leaves, flatten, trace_graph
from jit.trace import check_trace as check

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class TracedFunction:
    """A trace with nested inputs or outputs, around its compiled graph."""

    def __init__(
        self, compiled: ScriptFunction, made: TracedGraph, signature: inspect.Signature | None
    ) -> None:
        self.__name__ = compiled.__name__
        self.compiled = compiled
        self._made = made
        self._signature = signature

    @property
    def graph(self) -> Graph:
        """The recorded graph, on the tensors of the inputs."""
        return self._made.graph

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The traced function on inputs that are nested as the example's were."""
        leaves, structure = flatten(_normal(self._signature, args, kwargs))
        if structure != self._made.in_structure:
            raise TypeError(
                f"{self.__name__}() was traced with other inputs: tensors must be nested as in the "
                "example, and everything else is a constant of the trace\n"
                f"  traced: {self._made.in_structure}\n  now:    {structure}"
            )
        result = self.compiled(*leaves)
        outputs = self._made.out_structure
        return outputs.rebuild([result] if outputs.leaf_count == 1 else result)

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
    *,
    example_kwarg_inputs: Mapping[str, Any] | None = None,
    **_: object,
) -> Any:
    """Record what `func` does with the example inputs, as a compiled function of its tensors.

    `example_inputs` is a tuple of arguments or one tensor; arguments that are no tensors are
    constants of the trace. Sizes stay dynamic where they come from shapes, and a `TracerWarning`
    stands where Python looked at a value. With `check_trace` the function runs again and is
    compared with the graph, on the example and on each of `check_inputs`; `TracingCheckError` names
    the first line where they differ. A traced module's parameters are read at every call. The other
    parameters are those of `torch.jit.trace` and change nothing.
    """
    if DEFAULT.disable:
        return func
    signature = _signature(func)
    example = _normal(signature, *_arguments(example_inputs, example_kwarg_inputs))
    pristine = clone_leaves(example) if check_trace else example
    made = trace_graph(func, *example, strict=strict)
    if check_trace:
        others = [_normal(signature, *_arguments(i, None)) for i in check_inputs or ()]
        check(func, made, [pristine, *others], check_tolerance)
    compiled = ScriptFunction(None, made.graph)
    args, kwargs = made.in_structure.parts
    is_plain = not kwargs.parts and all(part.kind is LEAF for part in args.parts)
    if is_plain and made.out_structure.is_plain:
        return compiled
    return TracedFunction(compiled, made, signature)


def _arguments(inputs: Any, kwargs: Mapping[str, Any] | None) -> _Arguments:
    """Example inputs as `torch.jit.trace` takes them: a tuple or list of arguments, a dict of
    keyword arguments, or one argument.
    """
    if isinstance(inputs, dict) and kwargs is None:
        return (inputs,), {}
    if inputs is None:
        return (), dict(kwargs or {})
    return (tuple(inputs) if type(inputs) in (tuple, list) else (inputs,)), dict(kwargs or {})


def _signature(func: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(getattr(func, "forward", func))
    except (TypeError, ValueError):  # a builtin
        return None


def _normal(
    signature: inspect.Signature | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> _Arguments:
    """One spelling for a call: by position where possible, defaults written out."""
    if signature is None:
        return tuple(args), dict(kwargs)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args, bound.kwargs
