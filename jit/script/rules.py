"""The registry of rules: what a call of a particular Python object means in compiled code.

A rule `(frame, arguments) -> operand` states what a call means; a special form gets the ast of
the call, because its arguments are types or must not be evaluated. A finder makes rules for a
family of functions, such as those of `math`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from jit.script.constants import UNKNOWN, lift
from jit.script.frame import Frame
from jit.script.known import known_value
from jit.script.values import Arguments, Operand

Rule = Callable[[Frame, Arguments], Operand]
Form = Callable[[Frame, ast.Call], Operand]
Finder = Callable[[Any], Rule | None]

RULES: dict[Any, Rule] = {}
FORMS: dict[Any, Form] = {}
FINDERS: list[Finder] = []


def rule(*objects: Any) -> Callable[[Rule], Rule]:
    """Declare what a call of these objects means."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(objects, function))
        return function

    return register


def form(*objects: Any) -> Callable[[Form], Form]:
    """Declare a special form."""

    def register(function: Form) -> Form:
        FORMS.update(dict.fromkeys(objects, function))
        return function

    return register


def finder(function: Finder) -> Finder:
    """Declare a maker of rules."""
    FINDERS.append(function)
    return function


def rule_of(obj: Any) -> Rule | None:
    """The rule for calling `obj`, if one is declared or a finder makes one."""
    if _is_hashable(obj) and obj in RULES:
        return RULES[obj]
    return next((made for find in FINDERS if (made := find(obj)) is not None), None)


def special_form(obj: Any) -> Form | None:
    """The special form that `obj` is, if any."""
    return FORMS.get(obj) if _is_hashable(obj) else None


def _is_hashable(obj: Any) -> bool:
    try:
        hash(obj)
    except TypeError:
        return False
    return True


def computed(function: Callable[..., Any]) -> Rule:
    """The rule of a function that Python computes while compiling, on constants."""

    def apply(frame: Frame, given: Arguments) -> Operand:
        args = [known_value(a) for a in given.args]
        kwargs = {k: known_value(v) for k, v in given.kwargs.items()}
        name = getattr(function, "__name__", str(function))
        if any(a is UNKNOWN for a in (*args, *kwargs.values())):
            raise frame.unsupported(
                f"{name} is computed while compiling and needs constant arguments"
            )
        try:
            return lift(frame, function(*args, **kwargs), name)
        except (TypeError, ValueError, RuntimeError) as error:
            raise frame.mismatch(f"{name}: {error}") from error

    return apply
