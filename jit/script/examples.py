"""Types of parameters from examples of their arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ir import Type, erased_type_of
from jit.script.merging import merge_types


def example_types(
    function: Callable[..., Any], examples: Sequence[Sequence[Any]]
) -> dict[str, Type]:
    """The types that argument tuples suggest for parameters without annotation: what holds all that
    occur. TypeError for an example that does not fit the parameters.
    """
    signature = inspect.signature(function)
    found: dict[str, list[Type]] = {}
    for example in examples:
        bound = signature.bind(*example)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if signature.parameters[name].annotation is inspect.Parameter.empty:
                found.setdefault(name, []).append(erased_type_of(value))
    return {name: functools.reduce(merge_types, types) for name, types in found.items()}
