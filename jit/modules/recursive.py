"""A module and all it holds as script modules: copies by reference, which share tensors.

Each module is copied once, so that shared submodules stay shared; lists, tuples and dicts are
copied with the modules inside, bound methods are bound to the copy. Everything else is shared.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections import OrderedDict
from types import MethodType
from typing import Any

import torch
from torch.nn.modules.module import _WrappedHook
from torch.utils.hooks import RemovableHandle

from jit.collector import paused
from jit.function import ScriptFunction
from jit.modules.methods import ModuleMethod, compile_method, is_uninitialized
from jit.modules.script_module import ScriptModule, is_made, script_class
from jit.modules.watched import watch
from jit.script.state import DECLARED

Module = torch.nn.Module


def script_module(module: Module) -> ScriptModule:
    """Compile a module: `forward` and exported methods now, what else is called when it is called.

    A script module is given back as it is; one with lazy parameters compiles when it has been
    initialized by a call. Raises `CompileError` with file, line and caret for what
    the language does not have.
    """
    if is_made(type(module)):
        assert isinstance(module, ScriptModule)
        return module
    with paused():
        made = _Copier().module(module)
    if is_uninitialized(made):
        return made
    for method in vars(type(made)).values():
        if isinstance(method, ModuleMethod) and method.is_entry and method.is_in_force(made):
            method.compiled(made)
    return made


class _Copier:
    """One walk over a module; `made` has the copy of everything met, by identity."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}
        self.met: list[Any] = []  # alive, as their identities are keys

    def module(self, module: Module) -> ScriptModule:
        """The script module of a module."""
        if is_made(type(module)):
            assert isinstance(module, ScriptModule)
            return module
        if id(module) in self.made:
            found: ScriptModule = self.made[id(module)]
            return found
        cls = script_class(type(module))
        made: ScriptModule = cls.__new__(cls)
        self._remember(module, made)
        own = vars(made)
        own.update({name: self.value(value) for name, value in vars(module).items()})
        for name, value in list(own.items()):
            if isinstance(value, torch.jit.Attribute):
                own.setdefault(DECLARED, {})[name] = value.type
                own[name] = value.value
        self._forward(made)
        watch(made)
        _move_handles(module, made)
        return made

    def _forward(self, made: ScriptModule) -> None:
        """A forward of the instance's own is compiled like that of the class."""
        forward = vars(made).get("forward")
        if isinstance(forward, MethodType):
            vars(made)["forward"] = compile_method(forward, is_entry=True)

    def value(self, value: Any) -> Any:
        """An attribute of the copy."""
        if id(value) in self.made:
            return self.made[id(value)]
        match value:
            case torch.jit.ScriptModule():  # compiled by torch: called in Python
                return value
            case Module():
                return self.module(value)
            case MethodType(__self__=Module() as owner) if id(owner) in self.made:
                return MethodType(value.__func__, self.made[id(owner)])
            case ScriptFunction() if isinstance(value.__wrapped__, MethodType):
                return self.value(value.__wrapped__)
            case functools.partial():
                kwargs = {k: self.value(v) for k, v in value.keywords.items()}
                return functools.partial(
                    self.value(value.func), *map(self.value, value.args), **kwargs
                )
            case _WrappedHook() if value.with_module:
                return _WrappedHook(value.hook, self.value(value.module()))
        if type(value) in (dict, OrderedDict):
            return self._remember(value, type(value)((k, self.value(v)) for k, v in value.items()))
        if type(value) in (list, tuple, set):
            return self._remember(value, type(value)(map(self.value, value)))
        return value

    def _remember(self, value: Any, made: Any) -> Any:
        self.made[id(value)] = made
        self.met.append(value)
        return made


def _move_handles(module: Module, made: Module) -> None:
    """Let handles that a module keeps remove the copy's hooks."""
    places = {id(value): name for name, value in vars(module).items()}
    for name, handle in list(vars(made).items()):
        if isinstance(handle, RemovableHandle):
            hooks = handle.hooks_dict_ref()
            if id(hooks) in places:
                vars(made)[name] = moved = copy.copy(handle)
                moved.hooks_dict_ref = weakref.ref(vars(made)[places[id(hooks)]])
