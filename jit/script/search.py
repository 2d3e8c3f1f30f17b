"""Loops that look for something: `any`, `all` of a generator expression.

    any(p(x) for x in xs if q(x))     found = False
                                      for x in xs:
                                          if q(x):
                                              if p(x):
                                                  found = True
                                                  break

What comes behind the item that decides is not computed, as in Python.
"""

from __future__ import annotations

import ast

from ir import Value
from jit.script.frame import Frame
from jit.script.names import stored_names
from jit.script.scope import local_to


def found_by(frame: Frame, node: ast.GeneratorExp, test: ast.expr, found: bool) -> Value:
    """`found` if an item of the generator passes the test, otherwise the opposite."""
    name = f"$found{frame.unit.next_object()}"
    with local_to(frame, [name, *stored_names(g.target for g in node.generators)]):
        frame.scope[name] = frame.constant(not found)
        frame.execute(_loop(node, test, name, found))
        return frame.require(frame.load(name))


def _loop(node: ast.GeneratorExp, test: ast.expr, name: str, found: bool) -> ast.stmt:
    """The loops of a generator, left when an item passes the test."""
    store, load = ast.Name(name, ast.Store()), ast.Name(name, ast.Load())
    decided = load if found else ast.UnaryOp(ast.Not(), load)
    body: list[ast.stmt] = [ast.Assign([store], ast.Constant(found)), ast.Break()]
    body = [ast.If(test, body, [])]
    for generator in reversed(node.generators):
        for condition in reversed(generator.ifs):
            body = [ast.If(condition, body, [])]
        loop = ast.For(generator.target, generator.iter, body, [])
        body = [loop, ast.If(decided, [ast.Break()], [])]
    return body[0]
