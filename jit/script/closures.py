"""Nested functions and lambdas that become values: handed to Python, stored or returned.

Inside compiled code a nested function is compiled in place wherever it is called; for the time of
the call it has the variables that nested functions declare `nonlocal`. As a value it is a Python
function made from its source, which closes over what its free names hold at that point.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ir import ANY, Value
from jit.script.frame import Frame, Scope
from jit.script.names import loaded_names, local_names, shared_names
from jit.script.values import Closure

_LOOPS = (ast.For, ast.While, ast.comprehension)


@contextmanager
def lending(frame: Frame, inner: Frame) -> Iterator[None]:
    """Lend a nested function the variables of enclosing ones that nested functions assign, and take
    them back as it leaves them. Who calls has them from its own call, or is where they are defined.
    """
    outer = inner.parent
    assert outer is not None
    lent = (outer.lent | shared_names(outer.source.node)) - local_names(inner.source.node)
    inner.lent |= lent
    if not lent:
        yield
        return
    if frame is not outer and not lent <= frame.lent:
        raise frame.unsupported(
            "a nested function that shares variables by nonlocal is called outside of the function "
            "that defines it; return the value and assign it there"
        )
    inner.scope.update(_variables(frame, lent))
    yield
    for name in lent:
        frame.scope.pop(f"{name}?", None)
    frame.scope.update(_variables(inner, lent))


def _variables(frame: Frame, names: frozenset[str]) -> Scope:
    keys = (key for name in names for key in (name, f"{name}?"))
    return {key: frame.scope[key] for key in keys if key in frame.scope}


def materialize_closure(frame: Frame, closure: Closure) -> Value:
    """The Python function. Refused where a free name is assigned more than once: a function made
    now would not see the later value.
    """
    outer: Frame = closure.frame
    node: ast.FunctionDef | ast.Lambda = closure.node
    free = sorted((loaded_names(node, node.args) & set(outer.scope)) - local_names(node))
    for name in free:
        if _is_reassigned(outer.source.node, name):
            raise frame.unsupported(
                f"a nested function that becomes a value reads {name!r}, which is assigned more "
                "than once; make it a parameter with a default"
            )
    values = [frame.require(outer.load(name)) for name in free]
    defaults = [frame.require(v) for v in closure.defaults.values()]
    make = _maker(node, free, list(closure.defaults), outer)
    return frame.python(make, [*values, *defaults], ANY, "function")


def _is_reassigned(function: ast.FunctionDef | ast.Lambda, name: str) -> bool:
    is_parameter = any(a.arg == name for a in ast.walk(function.args) if isinstance(a, ast.arg))
    return is_parameter + sum(_assignments(function, name, 1)) > 1


def _assignments(node: ast.AST, name: str, weight: int) -> Iterator[int]:
    """How often a name is assigned, inside a loop more than once."""
    match node:
        case ast.Name(id=found, ctx=ast.Store() | ast.Del()) if found == name:
            yield weight
        case ast.FunctionDef(name=found) | ast.ExceptHandler(name=found) if found == name:
            yield weight
    weight = 2 if isinstance(node, _LOOPS) else weight
    for child in ast.iter_child_nodes(node):
        yield from _assignments(child, name, weight)


def _maker(
    node: ast.FunctionDef | ast.Lambda, free: Sequence[str], defaulted: Sequence[str], outer: Frame
) -> Callable[..., Any]:
    """A function from the values of free names and defaults to the Python function."""
    copy = ast.parse(ast.unparse(node)).body[0]
    inner = copy.value if isinstance(copy, ast.Expr) else copy
    assert isinstance(inner, ast.FunctionDef | ast.Lambda)
    names = {name: f"default_{name}" for name in defaulted}
    _name_defaults(inner.args, names)
    if isinstance(inner, ast.FunctionDef):
        body: list[ast.stmt] = [inner, ast.Return(ast.Name(inner.name, ast.Load()))]
    else:
        body = [ast.Return(inner)]
    tree = ast.parse(f"def make({', '.join((*free, *names.values()))}): pass")
    (make,) = tree.body
    assert isinstance(make, ast.FunctionDef)
    make.body = body
    space = dict(outer.annotation_names())
    exec(compile(ast.fix_missing_locations(tree), outer.source.file, "exec"), space)
    made: Callable[..., Any] = space["make"]
    return made


def _name_defaults(spec: ast.arguments, names: dict[str, str]) -> None:
    """Let defaults be names, whose values are given when the function is made."""
    positional = [*spec.posonlyargs, *spec.args]
    tail = positional[len(positional) - len(spec.defaults) :]
    spec.defaults = [ast.Name(names[a.arg], ast.Load()) for a in tail]
    spec.kw_defaults = [
        default and ast.Name(names[a.arg], ast.Load())
        for a, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    ]
