"""What an archive's classes are in this process.

A named tuple or enum is the Python class of its qualified name when the module of that name is
already imported and the class has the same fields or members; nothing is ever imported for it.
Otherwise a class is made. Objects of script classes get a made class whose methods run graphs.
"""

from __future__ import annotations

import builtins
import enum
import re
import sys
from collections import namedtuple
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch

from ir import (
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    STR,
    ClassDef,
    DictType,
    FutureType,
    Interpreter,
    ListType,
    Method,
    ObjectType,
    OptionalType,
    ParseError,
    ScriptObject,
    SetType,
    TensorType,
    TupleType,
    Type,
    UnionType,
)
from jit.archive.torchbind import result_of
from jit.script.library import library
from jit.signatures import signature_of

_MANGLE = re.compile(r"\.___torch_mangle_\d+(?=\.)")


_CONTEXTS: dict[str, type] = {
    "torch.autograd.grad_mode.no_grad": torch.no_grad,
    "torch.autograd.grad_mode.enable_grad": torch.enable_grad,
    "torch.autograd.grad_mode.inference_mode": torch.inference_mode,
    "torch.autograd.grad_mode.set_grad_enabled": torch.set_grad_enabled,
    "torch.amp.autocast_mode.autocast": torch.autocast,
    "torch.autograd.profiler.record_function": torch.profiler.record_function,
}
_CLASSES: dict[Type, Any] = {
    INT: int, FLOAT: float, BOOL: bool, COMPLEX: complex, STR: str, NONE: type(None),
    NUMBER: (int, float, complex), DEVICE: torch.device,
}  # fmt: skip


def python_name(name: str) -> str:
    """The name in Python of what archives call `__torch__.package.___torch_mangle_3.Class`."""
    return _MANGLE.sub("", name).removeprefix("__torch__.")


def imported(name: str) -> Any:
    """The object of a qualified name if its module is imported, else None."""
    module, _, last = python_name(name).rpartition(".")
    found = sys.modules.get(module or "__main__")
    return vars(found).get(last) if found is not None else None


def script_exception(name: str) -> type[Exception]:
    """The class of an exception by qualified name, made where this process has none."""
    found = vars(builtins).get(name.removeprefix("builtins.")) or imported(name)
    if isinstance(found, type) and issubclass(found, Exception):
        return _saying(found)
    module, _, last = name.rpartition(".")
    return type(last or "Error", (RuntimeError,), {"__module__": module or "__main__"})


def _saying(cls: type[Exception]) -> type[Exception]:
    """A class whose exceptions say what they are given: archives hold their whole texts."""
    base = next(c for c in cls.__mro__ if c.__module__ == "builtins")
    methods = {n: getattr(base, n) for n in ("__init__", "__str__") if _is_written(cls, n)}
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, (cls,), {**methods, **names}) if methods else cls


def _is_written(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name), FunctionType)


@library
def raise_named(message: str, name: str) -> None:
    """Raise the exception of a class that the run has the name of."""
    raise script_exception(name)(message)


class ArchivePythons:
    """The classes of one archive."""

    def named_tuple(self, name: str, fields: tuple[str, ...], defaults: Sequence[Any]) -> Any:
        """The class of a named tuple."""
        found = imported(name)
        if isinstance(found, type) and getattr(found, "_fields", None) == fields:
            return found
        module, _, last = python_name(name).rpartition(".")
        try:
            return namedtuple(last, fields, defaults=defaults, module=module or "__main__")
        except ValueError as error:
            raise ParseError(f"{name} is no named tuple: {error}") from None

    def enum(self, name: str, members: dict[str, Any]) -> Any:
        """The class of an enum."""
        found = imported(name)
        if isinstance(found, enum.EnumMeta):
            actual = {str(n): m.value for n, m in vars(found)["_member_map_"].items()}
            if actual == members:
                return found
        module, _, last = python_name(name).rpartition(".")
        try:
            return enum.Enum(last, members, module=module or "__main__")
        except (ValueError, TypeError) as error:
            raise ParseError(f"{name} is no enum: {error}") from None

    def script_class(self, definition: ClassDef) -> type[ScriptObject]:
        """The class of a script class's objects."""
        module, _, last = python_name(definition.name).rpartition(".")
        namespace: dict[str, Any] = {"__module__": module or "__main__", "definition": definition}
        namespace |= {name: run_method(method) for name, method in definition.methods.items()}
        for name, (getter, setter) in definition.properties.items():
            namespace[name] = property(namespace[getter], namespace.get(setter or ""))
        return type(last, (ScriptObject,), namespace)

    def context(self, name: str) -> type | None:
        """The context manager of torch of a qualified name, or None."""
        return _CONTEXTS.get(python_name(name))

    def exception(self, name: str) -> type[Exception]:
        """The class of an exception."""
        return script_exception(name)

    def bound_result(self, name: str, method: str) -> str | None:
        """The annotation of what a method of torch's registry of classes returns."""
        return result_of(name, method)

    def of_type(self, type_: Type) -> Any:
        """The Python class that `isinstance` tests for a type, or a tuple of them."""
        match type_:
            case TensorType():
                return torch.Tensor
            case ListType():
                return list
            case DictType():
                return dict
            case SetType():
                return set
            case TupleType(cls=cls):
                return cls or tuple
            case FutureType():
                return torch.futures.Future
            case OptionalType(element=element):
                return (self.of_type(element), type(None))
            case UnionType(members=members):
                return tuple(map(self.of_type, members))
            case ObjectType(cls=ClassDef() as definition):
                return definition.python or torch.nn.Module
            case ObjectType(cls=cls):
                return cls or object
        return _CLASSES.get(type_, object)


def run_method(method: Method) -> Callable[..., Any]:
    """A method as a Python function, run by the interpreter."""
    interpreter = Interpreter(method.graph)
    signature = signature_of(method)

    def run(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return interpreter.run(*bound.args, *bound.kwargs.values())

    run.__name__ = run.__qualname__ = method.name
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run
