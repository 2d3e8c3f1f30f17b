"""The script front end: Python source of tensor functions to typed SSA graphs.

    function -- pysource --> ast -- compile --> handlers (expressions, calls, control ...) --> Graph
                                       |
                                       +-- scope: names to operands, merges at if, loop
                                       +-- resolve, annotate: captured names, types
                                       +-- rules: builtins, math, numpy, torch

A handler turns one class of ast node into nodes of the graph; handlers call each other only
through the frame.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ir import Type
from jit.call import Binding
from jit.lazy import LazyModule
from jit.script.compiled import CompiledMethod, CompiledSource
from jit.script.state import (
    COMPILED_HOOKS,
    DECLARED,
    DEFINED,
    DEPENDENTS,
    WATCHED,
    is_state,
)

_ANNOTATE = LazyModule("jit.script.annotate")
_COMPILE = LazyModule("jit.script.compile")
_CHECK_CLASS = LazyModule("jit.script.check_class")
_EXAMPLES = LazyModule("jit.script.examples")
_OVERLOADS = LazyModule("jit.script.overloads")


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
    """Compile a function (see `jit.script.compile`, which is loaded by the first call)."""
    made = _COMPILE.compile_function(
        fn,
        arg_types,
        name=name,
        bound=bound,
        reads_state=reads_state,
        untyped=untyped,
        binding=binding,
    )
    assert isinstance(made, CompiledSource)
    return made


def check_class(cls: type) -> None:
    """Check that the methods of a class compile (see `jit.script.check_class`)."""
    _CHECK_CLASS.check_class(cls)


def annotated_types(fn: Any) -> dict[str, Type]:
    """Types of parameters that annotations tell (see `jit.script.annotate`)."""
    found = _ANNOTATE.annotated_types(fn)
    assert isinstance(found, dict)
    return found


def undeclared_types(fn: Any) -> dict[str, Type]:
    """Types of parameters that declare none (see `jit.script.overloads`)."""
    found = _OVERLOADS.undeclared_types(fn)
    assert isinstance(found, dict)
    return found


def example_types(fn: Any, examples: Sequence[Sequence[Any]]) -> dict[str, Type]:
    """Types of parameters from examples (see `jit.script.examples`)."""
    found = _EXAMPLES.example_types(fn, examples)
    assert isinstance(found, dict)
    return found


__all__ = [
    "COMPILED_HOOKS",
    "DECLARED",
    "DEFINED",
    "DEPENDENTS",
    "WATCHED",
    "CompiledMethod",
    "CompiledSource",
    "annotated_types",
    "check_class",
    "compile_function",
    "example_types",
    "is_state",
    "undeclared_types",
]
