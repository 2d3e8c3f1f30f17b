"""What users write in functions that are to be compiled: marks, types and typed expressions.

Each means in Python what it says, and the compiler gives it its meaning in compiled code
(`jit.script.rules_jit`). The marks are those of `torch.jit`, so that either package's decorators
serve both.
"""

from __future__ import annotations

import typing
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from torch._jit_internal import FunctionModifiers

from ir import is_instance

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
_UNTYPED = (typing.List, typing.Tuple, typing.Dict)  # noqa: UP006  what users write

Final = typing.Final
"""Annotates an attribute that compiled code may take as a constant."""

Error = Exception
"""What `except` has to name for errors raised in compiled code: these keep their Python classes."""


def is_scripting() -> bool:
    """False: Python is running. True in compiled code, where branches on it are decided while
    compiling.
    """
    return False


# marks --------------------------------------------------------------------------------------------


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Leave a function or method to Python: compiled code calls it, and an archive cannot hold it.
    Used as `@ignore` or `@ignore()`; `ignore(drop=True)` is `unused`.
    """
    if callable(drop):
        return _mark(drop, FunctionModifiers.IGNORE)
    if not isinstance(drop, bool):
        raise TypeError(f"@ignore takes a bool or a function, not a {type(drop).__qualname__}")
    if drop or kwargs.pop("drop_on_export", False):
        warnings.warn("ignore(drop=True) is spelled @unused", FutureWarning, stacklevel=2)
        return unused
    if kwargs:
        raise TypeError(f"@ignore got an unexpected keyword argument {next(iter(kwargs))!r}")
    return ignore


def unused(fn: Any) -> Any:
    """Leave a function, method or property out: a call of it in compiled code raises, so that an
    archive can do without.
    """
    if isinstance(fn, property):
        for accessor in filter(None, (fn.fget, fn.fset)):
            _mark(accessor, FunctionModifiers.UNUSED)
        return fn
    return _mark(fn, FunctionModifiers.UNUSED)


def export(fn: Any) -> Any:
    """Compile a method of a module although `forward` does not call it, so that it can be called on
    the compiled module.
    """
    return _mark(fn, FunctionModifiers.EXPORT)


def _mark(fn: Any, modifier: str) -> Any:
    fn._torchscript_modifier = modifier
    return fn


def script_method(fn: Any) -> Any:
    """The old spelling of `export`, in classes that derive from `ScriptModule`."""
    return export(fn)


def _overload(func: F) -> F:
    """Declare one signature of a function that has several. Compiled code needs no declaration: a
    function is compiled for the types that each call passes.
    """
    return func


def _overload_method(func: F) -> F:
    """Declare one signature of a method, as `_overload` does of a function."""
    return func


def interface(obj: C) -> C:
    """Declare a class as interface: what is annotated with it may hold any object or module that
    has its methods, with their signatures.
    """
    if not isinstance(obj, type):
        raise TypeError(f"interface takes a class, not a {type(obj).__qualname__}")
    obj.__torch_script_interface__ = True  # type: ignore[attr-defined]
    return obj


# types --------------------------------------------------------------------------------------------


class Attribute(NamedTuple):
    """A value for a module's attribute, with the type that compiled code is to give it."""

    value: Any
    type: Any


def annotate(the_type: Any, the_value: Any) -> Any:
    """`the_value`; compiled code takes it for a value of `the_type`."""
    return the_value


def isinstance_(obj: Any, target_type: Any) -> bool:
    """Whether `obj` is a value of a type such as `List[int]`, elements included, or of one in a
    tuple of types; compiled code refines `obj` accordingly. TypeError for a container type that
    does not name its elements' types.
    """
    if target_type in _UNTYPED:
        raise TypeError(f"{target_type} must name the types of its elements")
    return is_instance(obj, target_type)
