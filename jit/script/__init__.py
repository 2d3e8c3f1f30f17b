"""The script front end: Python source of tensor functions to typed SSA graphs.

    function -- pysource --> ast -- compile --> handlers (expressions, calls, control ...) --> Graph
                                       |
                                       +-- scope: names to operands, merges at if, loop
                                       +-- resolve, annotate: captured names, types
                                       +-- rules: builtins, math, numpy, torch

A handler turns one class of ast node into nodes of the graph; handlers call each other only
through the frame.
"""

from jit.script.compile import CompiledSource, compile_function

__all__ = ["CompiledSource", "compile_function"]
