"""Methods of script modules: compiled when they are first asked for, kept in the instance.

    s.forward ──► ModuleMethod.__get__ ──► compile ──► vars(s)["forward"], which comes first

`forward` and exported methods have a graph with the annotated types. The other methods of user
classes are scripted for the types that calls bring, and run in Python where that is not possible.
"""

from __future__ import annotations

import warnings
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from ir import CompileError, LateModule
from jit.declared import is_variadic
from jit.function import ScriptFunction
from jit.modules.watched import depend
from jit.reasons import JitWarning
from jit.script import compile_function
from jit.script.compiled import CompiledMethod

if TYPE_CHECKING:
    from jit.script import sharing
    from jit.script.sharing import Example
else:
    sharing = LateModule("jit.script.sharing")

Module = torch.nn.Module
_EXAMPLES: WeakValueDictionary[FunctionType, Example] = WeakValueDictionary()


class ModuleMethod(CompiledMethod):
    """A method in the class of script modules."""

    def __init__(self, name: str, function: FunctionType, is_entry: bool) -> None:
        """`is_entry`: the method has one graph, as `forward` and exported methods do."""
        super().__init__(name, function)
        self.is_entry = is_entry

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self.function
        if is_uninitialized(obj):
            return MethodType(self.function, obj)
        try:
            return self.compiled(obj)
        except CompileError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001  a bug of ours is reported, and eager answers
            text = f"the compiler failed: {type(error).__name__}: {error}"
        code = self.function.__code__
        text = f"{self.function.__qualname__} runs in eager mode: {text}"
        warnings.warn_explicit(text, JitWarning, code.co_filename, code.co_firstlineno)
        return MethodType(self.function, obj)

    def compiled(self, obj: Any) -> ScriptFunction:
        """The compiled method of one object; CompileError when it is an entry outside of the
        language.
        """
        made = compile_method(MethodType(self.function, obj), self.is_entry)
        depend(obj)
        return vars(obj).setdefault(self.name, made)  # type: ignore[no-any-return]


def is_uninitialized(module: Module) -> bool:
    """Whether a lazy module has not seen its first input yet."""
    tensors = (*module.parameters(), *module.buffers())
    return any(isinstance(t, UninitializedParameter | UninitializedBuffer) for t in tensors)


def compile_method(method: Any, is_entry: bool) -> ScriptFunction:
    """A bound method, compiled; CompileError when it is an entry outside of the language."""
    if not is_entry or is_variadic(method):
        return ScriptFunction(method, is_strict=is_entry, reads_state=True)
    owner, function = method.__self__, method.__func__
    known = _EXAMPLES.get(function)
    graph = known.graph_for(owner) if known is not None else None
    if graph is not None:
        return ScriptFunction(method, graph, is_strict=True, reads_state=True)
    source = compile_function(method, reads_state=True)
    made = ScriptFunction(method, source.graph, is_strict=True, reads_state=True)
    example = sharing.Example.of(owner, source)
    if example is not None:
        made.__dict__["_example"] = _EXAMPLES[function] = example  # it lives as long as the method
    return made


def methods_of(cls: type) -> dict[str, ModuleMethod]:
    """The methods of a module's class that are compiled for calls from Python."""
    found: dict[str, ModuleMethod] = {}
    classes = [c for c in cls.__mro__ if issubclass(c, Module) and c is not Module]
    for owner in reversed(classes):
        for name, function in vars(owner).items():
            found.pop(name, None)
            if isinstance(function, FunctionType) and _is_compiled(owner, name, function):
                is_entry = name == "forward" or _modifier(function) == "export"
                found[name] = ModuleMethod(name, function, is_entry)
    return found


def _modifier(function: FunctionType) -> str:
    """What a decorator of `torch.jit` has asked for, in one word."""
    return str(getattr(function, "_torchscript_modifier", "")).partition(" ")[0]


def _is_compiled(owner: type, name: str, function: FunctionType) -> bool:
    """Whether calls from Python are compiled: entries, and what users added to nn.Module."""
    modifier = _modifier(function)
    if name == "forward" or modifier:
        return modifier in ("", "export", "default")
    is_special = name.startswith("__") or hasattr(Module, name)
    return not is_special and not owner.__module__.startswith("torch.")
