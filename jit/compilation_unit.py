"""`CompilationUnit`: functions compiled from source text.

    cu = jit.CompilationUnit('''
    def double(x):
        return helper(x) * 2
    def helper(x: Tensor) -> Tensor:
        return x.relu()
    ''')
    cu.double(x)

The text is Python, function definitions only; annotations and bodies may use torch, Tensor, math,
and the names of typing and of jit without importing them.
"""

from __future__ import annotations

import ast
import linecache
import math
import textwrap
import typing
from collections.abc import Callable, Container, Iterator
from itertools import count
from typing import Any

import torch

from ir import CompileError, Future, Span, UnsupportedError, fork, wait
from jit import language
from jit.function import ScriptFunction
from jit.script import compile_function

_NUMBERS = count(1)
NAMES: dict[str, Any] = {
    **{name: getattr(typing, name) for name in typing.__all__},
    "torch": torch,
    "Tensor": torch.Tensor,
    "math": math,
    "inf": math.inf,
    "nan": math.nan,
    "annotate": language.annotate,
    "is_scripting": language.is_scripting,
    "Future": Future,
    "fork": fork,
    "wait": wait,
}


class CompilationUnit:
    """Functions compiled from text, as attributes by name. A function may call those that the unit
    has when it is first asked for.
    """

    def __init__(self, source: str = "", _frames_up: int = 0) -> None:
        self._names = dict(NAMES)
        self._functions: dict[str, ScriptFunction] = {}
        self.define(source)

    def define(
        self, source: str, rcb: Callable[[str], Any] | None = None, _frames_up: int = 0
    ) -> None:
        """Add the functions of a text; `rcb` resolves names that the text does not define. Raises
        CompileError, with line and caret, for text that is no function or that does not compile.
        """
        names = functions_of(source, self._names, self._functions, rcb)
        try:
            self._functions |= {name: _compile(self._names[name]) for name in names}
        except CompileError:
            for name in names:
                del self._names[name]
            raise

    def create_function(self, name: str, graph: Any, shouldMangle: bool = False) -> ScriptFunction:
        """Add a function that is given as a graph."""
        if name in self._functions:
            if not shouldMangle:
                raise CompileError(f"the function {name!r} is defined already")
            name = next(n for k in count(1) if (n := f"{name}_{k}") not in self._functions)
        made = self._functions[name] = ScriptFunction(None, graph.copy())
        made.__name__ = made.__qualname__ = name
        self._names[name] = made
        return made

    def find_function(self, name: str) -> ScriptFunction | None:
        """A function, None for a name that the unit does not have."""
        return self._functions.get(name)

    def get_functions(self) -> list[ScriptFunction]:
        """All functions, in the order of their definition."""
        return list(self._functions.values())

    def drop_all_functions(self) -> None:
        """Forget all functions."""
        for name in self._functions:
            self._names.pop(name, None)
        self._functions.clear()

    def set_optimized(self, enabled: bool) -> None:
        """Accepted without effect: see `jit.optimized_execution`."""

    def __getattr__(self, name: str) -> ScriptFunction:
        found: ScriptFunction | None = vars(self).get("_functions", {}).get(name)
        if found is None:
            raise AttributeError(f"the compilation unit has no function {name!r}")
        return found


def functions_of(
    source: str,
    names: dict[str, Any],
    taken: Container[str] = (),
    rcb: Callable[[str], Any] | None = None,
) -> list[str]:
    """Run a text of function definitions, which adds its functions to `names`; what they are
    called, none of it in `taken`.
    """
    file = f"<CompilationUnit {next(_NUMBERS)}>"
    text = textwrap.dedent(source)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    tree = _parse(text, file)
    if rcb is not None:
        names |= {n: v for n in _free_names(tree) if (v := rcb(n)) is not None}
    found = [node.name for node in _definitions(tree, file)]
    twice = next((n for n in found if n in taken or found.count(n) > 1), None)
    if twice is not None:
        raise CompileError(f"the function {twice!r} is defined already")
    exec(compile(text, file, "exec", dont_inherit=True), names)
    return found


def _compile(function: Any) -> ScriptFunction:
    return ScriptFunction(function, compile_function(function).graph, is_strict=True)


def _parse(text: str, file: str) -> ast.Module:
    try:
        return ast.parse(text, file)
    except SyntaxError as error:
        column = (error.offset or 1) - 1
        span = Span(file, error.lineno or 1, column, column + 1)
        raise CompileError(f"the source text is no Python: {error.msg}", span) from None


def _definitions(tree: ast.Module, file: str) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list:
            what = "decorators" if isinstance(node, ast.FunctionDef) else type(node).__name__
            end = node.end_col_offset if node.end_lineno == node.lineno else None
            span = Span(file, node.lineno, node.col_offset, end or node.col_offset + 1)
            raise UnsupportedError(
                f"a compilation unit has function definitions only, not {what}", span
            )
        yield node


def _free_names(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
