"""The script front end: Python source of tensor functions to typed SSA graphs.

    function -- pysource --> ast -- compile --> handlers (expressions, calls, control ...) --> Graph
                                       |
                                       +-- scope: names to operands, merges at if, loop
                                       +-- resolve, annotate: captured names, types
                                       +-- rules: builtins, math, numpy, torch

A handler turns one class of ast node into nodes of the graph; handlers call each other only
through the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ir import LateModule

if TYPE_CHECKING:
    from ir import Type
    from jit.call import Binding
    from jit.script import compile
    from jit.script.compiled import CompiledSource
else:
    compile = LateModule("jit.script.compile")


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
    return compile.compile_function(
        fn,
        arg_types,
        name=name,
        bound=bound,
        reads_state=reads_state,
        untyped=untyped,
        binding=binding,
    )
