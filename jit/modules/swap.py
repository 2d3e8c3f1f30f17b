"""`jit.jit(module)`: the module itself, its forward compiled, or what of it compiles.

Where the language does not have the source of a forward, eager runs it, and others are compiled in
its place: the function that its decorator wraps, or else the forwards of its submodules, the
largest that can be. So a model whose outermost layer is all Python (configuration, caches, result
objects) still spends its time in native code.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import torch

from jit.config import Config
from jit.function import Key, ScriptFunction

Module = torch.nn.Module


def is_module(obj: Any) -> bool:
    """Whether an object is a module."""
    return isinstance(obj, Module)


def swap_forward(module: Any, config: Config, is_strict: bool) -> Any:
    """Let `module(...)` run compiled; the same module. Calls still go through nn.Module's own, so
    hooks, modes and weights are what they are at the time of the call.
    """
    if not isinstance(vars(module).get("forward"), ScriptFunction):
        forward = Forward(module.forward, config=config, is_strict=is_strict)
        forward.module = module
        module.forward = forward
    return module


class Forward(ScriptFunction):
    """The compiled forward of a module. When it is refused, what its decorators wrap takes its
    place, or else submodules do.
    """

    inner: Forward | None = None
    """What is compiled in place of this forward, a decorator outside the language around it."""
    module: Module | None = None

    @property
    def __code__(self) -> CodeType:
        """That of the function, which decorators look at."""
        code: CodeType = getattr(self._function, "__code__")  # noqa: B009  it may be any callable
        return code

    @property
    def parts(self) -> dict[str, Forward]:
        """The forwards that were compiled in place of this one, by path."""
        if self.inner is not None:
            return {"": self.inner, **self.inner.parts}
        if self.module is None or not self._refused:
            return {}
        found: dict[str, Forward] = {}
        for path, part in _parts(self.module):
            forward = vars(part).get("forward")
            if isinstance(forward, Forward):
                found[path] = forward
        return found

    def _refuse(self, key: Key, reason: str, error: Exception) -> str:
        if self.module is not None and self.inner is None:
            self._divide(self.module)
        return super()._refuse(key, reason, error)

    def _divide(self, module: Module) -> None:
        config = self.executor.config
        peeled = _peel(getattr(self._function, "__func__", self._function))
        if peeled is None:
            for _, part in _parts(module):
                swap_forward(part, config, is_strict=False)
            return
        function, cell = peeled
        self.inner = Forward(cell.cell_contents, config=config)
        self.inner.module = module
        target = _with_cell(function, cell, CellType(self.inner))
        is_method = isinstance(self._function, MethodType)
        self._target = MethodType(target, module) if is_method else target


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


def _parts(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """The nearest submodules worth compiling, by path: through containers, which have no forward,
    and without torch's own single operators, which eager serves as well.
    """
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if type(child).forward is Module.forward:
            yield from _parts(child, f"{path}.")
        elif any(child.children()) or not type(child).__module__.startswith("torch.nn."):
            yield path, child
