"""Objects with `__next__`: as the generators that they stand for.

    def __next__(self):                       while True:
        if self.at == len(self.items):            ended = True
            raise StopIteration                   for item in next(self):
        self.at += 1                     ==>          ended = False
        return self.items[self.at - 1]                yield item
                                                  if ended: return

There `next` is the method as a generator of at most one item: `return x` yields it, `raise
StopIteration` returns. A method that may hand on what another iterator raises, or that returns from
inside of a `try`, stays Python's business.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from types import FunctionType

from ir import UnsupportedError
from jit.script.pysource import read_function
from jit.script.structure import class_attribute
from jit.script.templates import template
from jit.script.values import Arguments, GeneratorOf, Instance, PyObject

_NEXT = "next"
_ITEMS = """
while True:
    ended = True
    for item in next:
        ended = False
        yield item
    if ended:
        return
"""


def as_generator(instance: Instance) -> GeneratorOf | None:
    """The items of an iterator that was made in compiled code; None where its `__next__` cannot be
    put in their place.
    """
    function = class_attribute(instance.cls, "__next__")
    if not isinstance(function, FunctionType):
        return None
    try:
        node = read_function(function).node
    except UnsupportedError:
        return None
    step = _step(node) if isinstance(node, ast.FunctionDef) else None
    if step is None:
        return None
    source = PyObject(function, "__next__")
    once = GeneratorOf(source, step, Arguments([instance], {}))
    return GeneratorOf(source, _items(), Arguments([once], {}))


@cache
def _items() -> ast.FunctionDef:
    given = ast.arguments([], [ast.arg(f"${_NEXT}")], None, [], [], None, [])
    return ast.FunctionDef("__iter__", given, template(_ITEMS).body, [], None)


@cache
def _step(node: ast.FunctionDef) -> ast.FunctionDef | None:
    """`__next__` as a generator of one item or none."""
    if any(map(_hands_on, ast.walk(node))):
        return None
    copy = deepcopy(node)
    falls = [] if _ends(copy.body) else [ast.Expr(ast.Yield())]
    copy.body = [*_Once().block(copy.body), *falls]
    return ast.fix_missing_locations(copy)


def _ends(body: Sequence[ast.stmt]) -> bool:
    """Whether control never comes behind these statements."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise():
            return True
        case ast.If(body=then, orelse=orelse):
            return _ends(then) and _ends(orelse)
        case ast.While(test=ast.Constant(value=test), body=inner):
            breaks = (n for s in inner for n in ast.walk(s) if isinstance(n, ast.Break))
            return bool(test) and not any(breaks)
    return False


def _hands_on(node: ast.AST) -> bool:
    """Whether a part of `__next__` asks another iterator, or returns from inside of a `try`."""
    match node:
        case ast.Call(func=ast.Name(id="next") | ast.Attribute(attr="__next__"), args=args):
            return len(args) < 2
        case ast.Try() | ast.TryStar() | ast.With():
            return any(isinstance(n, ast.Return) for n in ast.walk(node))
    return isinstance(node, ast.Yield | ast.YieldFrom)


class _Once(ast.NodeTransformer):
    """Returns yield; `raise StopIteration` returns."""

    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements of a body."""
        made = [self.visit(s) for s in statements]
        return [s for m in made for s in (m if isinstance(m, list) else [m])]

    def visit_Return(self, node: ast.Return) -> list[ast.stmt]:
        """Yield, and end."""
        item = ast.copy_location(ast.Expr(ast.Yield(node.value)), node)
        return [item, ast.copy_location(ast.Return(), node)]

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        """The end of the items."""
        match node.exc:
            case ast.Name(id="StopIteration") | ast.Call(func=ast.Name(id="StopIteration")):
                return ast.copy_location(ast.Return(), node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """A nested function returns to its caller."""
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        """The same."""
        return node
