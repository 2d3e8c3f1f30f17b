"""`jit.jit(module)`: a module of the same class and the same state, whose forward is compiled.

    model ────────┐
                  ├─► one __dict__: tensors, submodules, attributes, hooks, training flag
    jit.jit(model)┘

What is done to one of the two is seen by the other; calls of the first stay eager.

Where the language does not have the source of a forward, eager runs it, and others are compiled in
its place: the function that its decorator wraps, or else the forwards of its submodules, the
largest that can be. So a model whose outermost layer is all Python (configuration, caches, result
objects) still spends its time in native code.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, ClassVar

import torch
from torch.nn.modules.module import (
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_forward_hooks,
    _global_forward_pre_hooks,
)

from jit.archive.form import ModuleForm
from jit.config import Config
from jit.function import Key, ScriptFunction
from jit.modules.recursive import script_module
from jit.plainness import is_module

Module = torch.nn.Module
Children = dict[str, Module | None]


def compiled_module(module: Any, config: Config, is_strict: bool = False) -> Any:
    """A compiled module of the state of `module`; a module that is compiled, as it is."""
    if isinstance(module, CompiledModule) or isinstance(
        vars(module).get("forward"), ScriptFunction
    ):
        return module
    return _stand_in(module, Forward(module.forward, config=config, is_strict=is_strict))


def _stand_in(module: Module, forward: Forward) -> CompiledModule:
    """A module of the state of `module` with another forward."""
    cls = type(module)
    own: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__wrapped__": module,
        "_jit_parts": {},
        "_jit_is_part": False,
        "_jit_forward": staticmethod(forward),
    }
    made: CompiledModule = object.__new__(type(cls.__name__, (CompiledModule, cls), own))
    object.__setattr__(made, "__dict__", vars(module))
    forward.module = made
    return made


def compiled_forward(function: Any, config: Config, is_strict: bool = False) -> Forward | None:
    """The compiled forward of a module, to be put in the place of its own; None for any other
    function.
    """
    owner: Any = getattr(function, "__self__", None)
    if not is_module(owner) or getattr(function, "__func__", None) is not type(owner).forward:
        return None
    return Forward(function, config=config, is_strict=is_strict)


class CompiledModule(Module):
    """A module that shares its state with an eager one. Each has a class of its own, which holds
    what the two do not share.
    """

    __wrapped__: ClassVar[Module]
    """The module that this one was made from."""
    _jit_parts: ClassVar[dict[str, CompiledModule]]
    """What stands in place of submodules, by name, when they are compiled and not this forward."""
    _jit_is_part: ClassVar[bool]
    """Whether it stands in place of a submodule itself: then so do those of its submodules that a
    forward outside calls past this one's.
    """
    _jit_forward: ClassVar[Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As nn.Module's own; without hooks at once, which takes a microsecond less."""
        own = self.__dict__
        is_plain = not (
            own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own["_backward_hooks"]
            or own["_backward_pre_hooks"]
            or "forward" in own
            or _global_forward_hooks
            or _global_forward_pre_hooks
            or _global_backward_hooks
            or _global_backward_pre_hooks
        )
        return (self._jit_forward if is_plain else super().__call__)(*args, **kwargs)

    def archive_form(self) -> ModuleForm:
        """What an archive is made from: the module, scripted."""
        return script_module(self.__wrapped__).archive_form()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Who calls the class, as slices of containers do, makes a module of what it stands for."""
        return type(cls.__wrapped__)(*args, **kwargs)

    @property
    def forward(self) -> Any:
        """The compiled forward; what was assigned since comes first."""
        own = vars(self).get("forward")
        return self._jit_forward if own is None or own is self._jit_forward.__wrapped__ else own

    @forward.setter
    def forward(self, value: Any) -> None:
        vars(self)["forward"] = value

    @property
    def _modules(self) -> Children:
        shared: Children = vars(self)["_modules"]
        return _Children(shared, self._jit_parts) if self._jit_parts else shared

    @_modules.setter
    def _modules(self, value: Children) -> None:
        vars(self)["_modules"] = value

    def __getattr__(self, name: str) -> Any:
        if name in self._jit_parts:
            return self._modules[name]
        found = super().__getattr__(name)
        if self._jit_is_part and isinstance(found, Module):
            part = _compiled_part(found, self._jit_forward.executor.config)
            if part is not None:
                return self._jit_parts.setdefault(name, part)
        return found

    def __reduce_ex__(self, protocol: Any) -> Any:
        forward = self._jit_forward
        return compiled_module, (self.__wrapped__, *forward.options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return compiled_module(copy.deepcopy(self.__wrapped__, memo), *self._jit_forward.options)


class _Children(Children):
    """The submodules of a compiled module: its parts instead of what they were made from. What is
    written goes to the shared ones.
    """

    def __init__(self, shared: Children, parts: dict[str, CompiledModule]) -> None:
        super().__init__(shared)
        self._shared = shared
        for name, part in parts.items():
            if shared.get(name) is part.__wrapped__:
                super().__setitem__(name, part)

    def __setitem__(self, name: str, value: Module | None) -> None:
        super().__setitem__(name, value)
        self._shared[name] = value

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        del self._shared[name]


class Forward(ScriptFunction):
    """The compiled forward of a module. When it is refused, what its decorators wrap takes its
    place, or else submodules do.
    """

    inner: Forward | None = None
    """What is compiled in place of this forward, a decorator outside the language around it."""
    module: CompiledModule | None = None
    """What has this forward; of one that a module got as its own, made when it is refused."""

    @property
    def __code__(self) -> CodeType:
        """That of the function, which decorators look at."""
        code: CodeType = getattr(self._function, "__code__")  # noqa: B009  it may be any callable
        return code

    @property
    def options(self) -> tuple[Config, bool]:
        """What `compiled_module` makes such a module with."""
        return self.executor.config, self._is_strict

    @property
    def parts(self) -> dict[str, Forward]:
        """The forwards that were compiled in place of this one, by path."""
        if self.inner is not None:
            return {"": self.inner, **self.inner.parts}
        return dict(_forwards(self.module)) if self.module is not None else {}

    def _refuse(self, key: Key, reason: str, error: Exception) -> str:
        owner: Any = getattr(self._function, "__self__", None)
        if self.module is None and is_module(owner):
            self.module = _stand_in(owner, self)
        if self.module is not None and self.inner is None:
            self._divide(self.module)
        return super()._refuse(key, reason, error)

    def _divide(self, module: CompiledModule) -> None:
        config = self.executor.config
        bound: Any = self._function
        function: Any = getattr(bound, "__func__", bound)
        peeled = _peel(function)
        if peeled is not None:
            wrapper, cell = peeled
            self.inner = Forward(cell.cell_contents, config=config)
            self.inner.module = module
            function = _with_cell(wrapper, cell, CellType(self.inner))
        else:
            module._jit_parts.update(_compiled_parts(module.__wrapped__, config))
            function = _with_parts(function, module)
        is_method = isinstance(bound, MethodType)
        self._target = MethodType(function, bound.__self__) if is_method else function


def _with_parts(function: Callable[..., Any], module: CompiledModule) -> Callable[..., Any]:
    """A forward for the module that has parts, when it is called for the eager one."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(module if self is module.__wrapped__ else self, *args, **kwargs)

    return forward


def _peel(function: Any) -> tuple[FunctionType, CellType] | None:
    """A decorated function, and the cell of its closure that has what it wraps."""
    wrapped = getattr(function, "__wrapped__", None)
    if not isinstance(function, FunctionType) or not isinstance(wrapped, FunctionType):
        return None
    cells = (c for c in function.__closure__ or () if c.cell_contents is wrapped)
    return next(((function, cell) for cell in cells), None)


def _with_cell(function: FunctionType, old: CellType, new: CellType) -> FunctionType:
    """The same function with another cell in its closure."""
    closure = tuple(new if cell is old else cell for cell in function.__closure__ or ())
    made = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, closure
    )
    made.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(made, function)
    return made


def _compiled_parts(module: Module, config: Config) -> Iterator[tuple[str, CompiledModule]]:
    """The submodules worth compiling, by name."""
    for name, child in vars(module)["_modules"].items():
        part = _compiled_part(child, config) if child is not None else None
        if part is not None:
            yield name, part


def _compiled_part(module: Module, config: Config) -> CompiledModule | None:
    """What stands in place of a submodule: one with its forward compiled; a container, which has no
    forward, with its parts; nothing for torch's own single operators, which eager serves as well.
    """
    is_container = type(module).forward is Module.forward
    is_operator = type(module).__module__.startswith("torch.nn.") and not any(module.children())
    parts = dict(_compiled_parts(module, config)) if is_container else {}
    if not parts if is_container else is_operator:
        return None
    made = compiled_module(module, config)
    if not isinstance(made, CompiledModule):
        return None
    made._jit_parts.update(parts)
    type(made)._jit_is_part = not is_container
    return made


def _forwards(module: CompiledModule, prefix: str = "") -> Iterator[tuple[str, Forward]]:
    """The compiled forwards nearest below a module, by path."""
    for name, part in module._jit_parts.items():
        if type(part.__wrapped__).forward is Module.forward:
            yield from _forwards(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part._jit_forward
