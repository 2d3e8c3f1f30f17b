"""The script front end: Python source of tensor functions to typed SSA graphs.

    function -- pysource --> ast -- compile --> handlers (expressions, calls, statements, control ...) --> Graph
                                       |
                                       +-- scope: names to operands, merges at if and loop
                                       +-- resolve, annotate: captured names, annotations

A handler turns one class of ast node into nodes of the graph; handlers call each other only
through the frame.
"""

from jit.script.compile import CompiledSource, compile_function

__all__ = ["CompiledSource", "compile_function"]
