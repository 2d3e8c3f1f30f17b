"""Signatures of a program's methods, as Python's `inspect` has them."""

from __future__ import annotations

import inspect

from ir import Method


def signature_of(method: Method) -> inspect.Signature:
    """The parameters of a method's graph, `self` included, with its defaults."""
    kinds = inspect.Parameter
    params = []
    for position, value in enumerate(method.graph.params):
        name = value.name if value.name and value.name.isidentifier() else f"arg{position}"
        is_named = value.name in method.keyword_only
        kind = kinds.KEYWORD_ONLY if is_named else kinds.POSITIONAL_OR_KEYWORD
        default = method.defaults.get(str(value.name), kinds.empty)
        params.append(kinds(name, kind, default=default))
    return inspect.Signature(_defaults_last(params))


def _defaults_last(params: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Parameters as Python wants them: one without a default behind one that has it is
    keyword-only (archives have no mark for that), and so are all behind it.
    """
    seen, is_named, ordered = False, False, []
    for param in params:
        seen = seen or param.default is not param.empty
        is_named = is_named or (seen and param.default is param.empty)
        ordered.append(param.replace(kind=param.KEYWORD_ONLY) if is_named else param)
    return ordered
