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
from jit.lazy import lazy_module, load
from jit.script.compiled import CompiledMethod, CompiledSource
from jit.script.state import DECLARED, is_state

_COMPILE = lazy_module("jit.script.compile")


def compile_function(
    fn: Any,
    arg_types: Sequence[Type] | None = None,
    *,
    name: str | None = None,
    bound: Mapping[str, Any] | None = None,
    reads_state: bool = False,
) -> CompiledSource:
    """Compile a function (see `jit.script.compile`, which is loaded by the first call)."""
    made = load(_COMPILE, "compile_function")(
        fn, arg_types, name=name, bound=bound, reads_state=reads_state
    )
    assert isinstance(made, CompiledSource)
    return made


__all__ = ["DECLARED", "CompiledMethod", "CompiledSource", "compile_function", "is_state"]
