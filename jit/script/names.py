"""Which names a piece of source assigns and reads: what a loop has to carry."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_LEAVES = (ast.Constant, ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def stored_names(nodes: Iterable[ast.AST]) -> list[str]:
    """Names that the nodes bind in their own function, in order of first appearance."""
    return list(dict.fromkeys(name for node in nodes for name in _stored(node)))


def _stored(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.FunctionDef(name=name):
            yield name
        case ast.alias(name=name, asname=asname):
            yield asname or name.partition(".")[0]
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
    if isinstance(node, _SCOPES):
        return
    inner = _walrus_targets if isinstance(node, _COMPREHENSIONS) else _stored
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _LEAVES):
            yield from inner(child)


def _walrus_targets(node: ast.AST) -> Iterator[str]:
    """A comprehension keeps its own variables; only `:=` binds outside."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.NamedExpr):
            yield inner.target.id


@lru_cache(maxsize=1024)
def local_names(function: ast.FunctionDef | ast.Lambda) -> frozenset[str]:
    """Parameters and assigned names of a function, without those of an enclosing one."""
    return _bound_names(function) - _nonlocal_names(function)


@lru_cache(maxsize=1024)
def shared_names(function: ast.FunctionDef | ast.Lambda) -> frozenset[str]:
    """Names that functions nested in this one declare `nonlocal`."""
    inner = [n for n in ast.walk(function) if isinstance(n, ast.FunctionDef) and n is not function]
    return frozenset().union(*map(_nonlocal_names, inner))


def yields(function: ast.FunctionDef | ast.Lambda) -> bool:
    """Whether a function is a generator."""
    return any(_yields(node) for node in ast.iter_child_nodes(function))


def _yields(node: ast.AST) -> bool:
    if isinstance(node, ast.Yield | ast.YieldFrom):
        return True
    return not isinstance(node, _SCOPES) and any(map(_yields, ast.iter_child_nodes(node)))


def _nonlocal_names(function: ast.FunctionDef | ast.Lambda) -> frozenset[str]:
    if isinstance(function, ast.Lambda):
        return frozenset()
    return frozenset(_declared_nonlocal(function.body))


def _declared_nonlocal(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Nonlocal):
            yield from node.names
        elif not isinstance(node, (*_SCOPES, ast.expr)):
            yield from _declared_nonlocal(ast.iter_child_nodes(node))


def _bound_names(function: ast.FunctionDef | ast.Lambda) -> frozenset[str]:
    spec = function.args
    params = (*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg)
    body = function.body if isinstance(function.body, list) else [function.body]
    return frozenset((*stored_names(body), *(p.arg for p in params if p is not None)))


@lru_cache(maxsize=256)
def loaded_names(function: ast.AST, outside: ast.AST) -> frozenset[str]:
    """Names read anywhere in a function, except below one of its nodes."""
    return frozenset(_loaded(function, outside))


def _loaded(node: ast.AST, outside: ast.AST) -> Iterator[str]:
    if node is outside:
        return
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            yield name
        case ast.AugAssign(target=ast.Name(id=name)):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from _loaded(child, outside)


_REPEATED = (ast.For, ast.While, ast.Lambda, ast.FunctionDef, *_COMPREHENSIONS)


@lru_cache(maxsize=256)
def is_read_once(function: ast.FunctionDef | ast.Lambda, name: str) -> bool:
    """Whether a variable is read at one place, and no loop or nested function reads it again."""
    body = function.body if isinstance(function.body, list) else [function.body]
    return sum(_reads(node, name, 1) for node in body) <= 1


def _reads(node: ast.AST, name: str, weight: int) -> int:
    match node:
        case ast.Name(id=found, ctx=ast.Load()) if found == name:
            return weight
        case ast.For(iter=source) | ast.comprehension(iter=source):
            inner = [child for child in ast.iter_child_nodes(node) if child is not source]
            return _reads(source, name, weight) + sum(_reads(c, name, 2) for c in inner)
        case ast.ListComp(generators=[first, *rest]) | ast.GeneratorExp(generators=[first, *rest]):
            inner = [node.elt, *rest]
            return _reads(first, name, weight) + sum(_reads(c, name, 2) for c in inner)
    weight = 2 if isinstance(node, _REPEATED) else weight
    return sum(_reads(child, name, weight) for child in ast.iter_child_nodes(node))
