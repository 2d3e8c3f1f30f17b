"""Which attributes of a module are state, read when the code runs, and of which types.

State are parameters, buffers and plain data; a constant is what is declared so (`Final`,
`__constants__`), what the class defines without an annotation, None without a declared type, and
every object that has no type here: functions, configurations, submodules.

A declaration is an annotation of the class, `self.x: List[int] = []` in `__init__`, or the type
of a `torch.jit.Attribute`, which the script module keeps under `DECLARED`.
"""

from __future__ import annotations

import ast
import enum
import inspect
import sys
import typing
from collections.abc import Iterator
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ir import (
    CompileError,
    DictType,
    ListType,
    ObjectType,
    OptionalType,
    SetType,
    TupleType,
    Type,
    UnionType,
    erased_type_of,
)
from jit.script.annotate import evaluate_annotation, type_of_annotation
from jit.script.pysource import has_text, read_function

Module = torch.nn.Module
DECLARED = "_declared_types"
FROZEN = "_frozen_attributes"
COMPILED_HOOKS = "_compiled_hooks"
DEPENDENTS = "_dependents"
DEFINED = "_defined_methods"
TRACED = "_traced_inputs"
INTERNAL = frozenset((DECLARED, FROZEN, COMPILED_HOOKS, DEPENDENTS, DEFINED, TRACED))
"""Attributes of our own that script modules have."""
WATCHED = ("_modules", "_forward_hooks", "_forward_pre_hooks")
"""Attributes of script modules whose changes drop what was compiled (see `jit.modules.watched`)."""
_FINAL = (typing.Final, getattr(torch.jit, "Final", typing.Final))
_ANNOTATIONS: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()


def is_state(obj: Any, name: str, value: Any) -> bool:
    """Whether the attribute `name` of an object, which holds `value` now, is read at run time."""
    if not isinstance(obj, Module) or name in INTERNAL or is_watched(obj, name):
        return False
    if name in obj._parameters or name in obj._buffers:
        return value is not None or declared_type(obj, name) is not None
    if is_constant(obj, name):
        return False
    declared = declared_type(obj, name)
    if declared is not None:
        return is_data(declared)
    if value is None or name not in vars(obj) or _holds_module(value):
        return False
    return is_data(erased_type_of(value))


def _holds_module(value: Any) -> bool:
    """Whether a container has a module among its items, which is known while compiling."""
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list | tuple) and any(isinstance(i, Module) for i in items)


def is_watched(obj: Any, name: str) -> bool:
    """Whether no code compiled through a module outlives a change of this attribute."""
    return name in WATCHED and DEPENDENTS in vars(obj)


def is_constant(obj: Any, name: str) -> bool:
    """Whether an attribute is declared, or was found, to keep its value."""
    if name in getattr(obj, "__constants__", ()) or name in vars(obj).get(FROZEN, ()):
        return True
    annotation = annotation_of(obj, name)
    return annotation in _FINAL or typing.get_origin(annotation) in _FINAL


def freeze(obj: Any, name: str) -> None:
    """From now on take an attribute for a constant: code depends on it that does not compile
    otherwise.
    """
    vars(obj).setdefault(FROZEN, set()).add(name)


def is_data(type_: Type) -> bool:
    """Whether values of a type are data, and not objects known while compiling."""
    match type_:
        case ObjectType(cls=cls):
            return isinstance(cls, type) and issubclass(cls, enum.Enum)
        case ListType(element=element) | SetType(element=element) | OptionalType(element=element):
            return is_data(element)
        case DictType(key=key, value=value):
            return is_data(key) and is_data(value)
        case TupleType(elements=elements):
            return all(map(is_data, elements))
        case UnionType(members=members):
            return all(map(is_data, members))
    return True


def state_type(obj: Any, name: str, value: Any) -> Type:
    """The type of an attribute: declared, or that of its present value."""
    return declared_type(obj, name) or erased_type_of(value)


def declared_type(obj: Any, name: str) -> Type | None:
    """The declared type of an attribute; None without a declaration that has a meaning here."""
    annotation = annotation_of(obj, name)
    if annotation is None or annotation in _FINAL:
        return None
    try:
        return type_of_annotation(annotation)
    except CompileError:
        return None


def annotation_of(obj: Any, name: str) -> Any:
    """The declaration of an attribute, None without one."""
    given = getattr(obj, "__dict__", {}).get(DECLARED, {})
    if name in given:
        return given[name]
    return _annotations(type(obj)).get(name)


def _annotations(cls: type) -> dict[str, Any]:
    """Annotations of a class's body and of its `__init__`'s assignments to self, and those of its
    bases.
    """
    found = _ANNOTATIONS.get(cls)
    if found is None:
        found = _ANNOTATIONS[cls] = {}
        for base in reversed(cls.__mro__):
            if base not in (object, Module):
                pairs = [*inspect.get_annotations(base).items(), *_init_annotations(base)]
                found.update((name, _evaluated(base, a)) for name, a in pairs)
    return found


def _evaluated(cls: type, annotation: Any) -> Any:
    names = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
    try:
        while isinstance(annotation, str):
            annotation = evaluate_annotation(annotation, {**vars(typing), **names}, None)
    except CompileError:
        return None
    return annotation


def _init_annotations(cls: type) -> Iterator[tuple[str, str]]:
    init = vars(cls).get("__init__")
    if not isinstance(init, FunctionType) or not init.__code__.co_varnames:
        return
    owner = init.__code__.co_varnames[0]
    try:
        if not has_text(init, rf"(^|[:;])[\s(]*{owner}\s*\.\s*\w+[\s)]*:"):
            return
        node = read_function(init).node
    except CompileError:
        return  # made by exec: nothing is declared
    for statement in ast.walk(node):
        match statement:
            case ast.AnnAssign(
                target=ast.Attribute(value=ast.Name(id=found), attr=name), annotation=annotation
            ) if found == owner:
                yield name, ast.unparse(annotation)
