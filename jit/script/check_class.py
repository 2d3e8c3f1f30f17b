"""The check of a class at its decoration: every method compiles for the types that it declares.

    @jit.script
    class Point: ...       an object is made of parameters for `__init__`, each method is called

Nothing is kept of it: methods are compiled again where compiled code calls them.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import torch

from ir import TENSOR, Builder, Graph, UnsupportedError, Value
from jit.script.annotate import type_of_annotation
from jit.script.classes import construct, find_method, has_source, is_compiled_class
from jit.script.compile import SERVICES
from jit.script.frame import Frame, Unit
from jit.script.functions import function_frame
from jit.script.pysource import read_function
from jit.script.resolve import Resolver
from jit.script.signature import declared_types
from jit.script.values import Arguments, Instance


def check_class(cls: type) -> None:
    """CompileError, with file, line and caret, when objects of a class cannot be used in compiled
    code. Enums, named tuples, exceptions and interfaces need no check.
    """
    if issubclass(cls, torch.nn.Module) and not hasattr(cls, "__torch_script_interface__"):
        raise UnsupportedError(
            f"{cls.__qualname__} is a class of modules: script an object of it instead"
        )
    if _has_own_meaning(cls):
        return
    if not is_compiled_class(cls):
        raise UnsupportedError(
            f"objects of class {cls.__qualname__} cannot be made in compiled code: it has a "
            "metaclass, __new__, __slots__ or __getattr__, or belongs to a library"
        )
    for name, method in _methods(cls):
        _check_method(cls, name, method)


def _has_own_meaning(cls: type) -> bool:
    return (
        issubclass(cls, enum.Enum | BaseException)
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
        or hasattr(cls, "__torch_script_interface__")
    )


def _methods(cls: type) -> Iterator[tuple[str, FunctionType]]:
    """The methods that a class defines in source, but for those left to Python."""
    for name, method in vars(cls).items():
        if (
            isinstance(method, FunctionType)
            and not hasattr(method, "_torchscript_modifier")
            and has_source(method)
        ):
            yield name, method


def _check_method(cls: type, name: str, method: FunctionType) -> None:
    """Compile a method of an object of parameters."""
    unit, graph = Unit(SERVICES), Graph(name)
    frame = Frame(
        unit, read_function(method), Resolver(method, unit.captures), Builder(graph.block)
    )
    instance = construct(frame, cls, Arguments(_init_arguments(frame, cls), {}))
    assert isinstance(instance, Instance)
    if name == "__init__":
        return
    bound = find_method(instance, name)
    assert bound is not None
    frame.call(bound, *_parameters(frame, method))


def _init_arguments(frame: Frame, cls: Any) -> list[Any]:
    """Graph parameters for those of a class's `__init__`."""
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls)
        types = [
            type_of_annotation(hints.get(f.name, f.type), frame.span)
            for f in dataclasses.fields(cls)
            if f.init
        ]
        return [frame.builder.block.add_param(t) for t in types]
    if cls.__init__ is object.__init__:
        return []
    init: FunctionType = cls.__init__
    return _parameters(function_frame(frame, init, frame.builder), init)


def _parameters(frame: Frame, method: FunctionType) -> list[Any]:
    """A graph parameter for each parameter behind `self`."""
    types, _ = declared_types(method, frame.source, frame)
    spec = frame.source.node.args
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)][1:]
    block = frame.builder.block
    made: list[Value] = [block.add_param(types.get(name, TENSOR), name) for name in names]
    return list(made)
