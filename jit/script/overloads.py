"""Types of parameters that declare none where one graph has to stand for all calls, as in archives:
those of the first `typing.overload`, else an optional tensor where the default is None.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from ir import TENSOR, Type, erased_type_of, optional
from jit.declared import annotations_of, signature_of
from jit.script.annotate import evaluate_annotation, type_of_annotation

_PLAIN = (bool, int, float, str)


def undeclared_types(function: Callable[..., Any]) -> dict[str, Type]:
    """Types for undeclared parameters that are more than a tensor; CompileError for an overload
    whose annotation has no type.
    """
    stubs = typing.get_overloads(function)
    declared = annotations_of(stubs[0]) if stubs else {}
    names = {**vars(typing), **getattr(stubs[0], "__globals__", {})} if stubs else {}
    found: dict[str, Type] = {}
    for name, parameter in signature_of(function).parameters.items():
        if parameter.annotation is not parameter.empty:
            continue
        if name in declared:
            found[name] = _type_of(declared[name], names)
        elif parameter.default is None:
            found[name] = optional(TENSOR)
        elif type(parameter.default) in _PLAIN:
            found[name] = erased_type_of(parameter.default)
    return {name: type_ for name, type_ in found.items() if type_ != TENSOR}


def _type_of(annotation: Any, names: dict[str, Any]) -> Type:
    while isinstance(annotation, str):
        annotation = evaluate_annotation(annotation, names, None)
    return type_of_annotation(annotation)
