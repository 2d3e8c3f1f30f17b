"""The public functions: decorate and script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from jit.config import DEFAULT
from jit.function import ScriptFunction
from jit.modules import is_module, script_module, swap_forward
from jit.script import compile_function

F = TypeVar("F", bound=Callable[..., Any])


@overload
def jit(function: F, *, strict: bool = False, **knobs: Any) -> F: ...
@overload
def jit(function: None = None, *, strict: bool = False, **knobs: Any) -> Callable[[F], F]: ...
def jit(function: Any = None, *, strict: bool = False, **knobs: Any) -> Any:
    """Compile a function of tensors, numbers and containers; use as `@jit` or `@jit(warm=0)`.

    The first call of each combination of argument types scripts the source; plans are specialized
    to the sizes that calls bring. NumPy arrays in give NumPy arrays out. A call that plans cannot
    serve (one that needs gradients, say) behaves as the undecorated function; `jit.stats(f)` counts
    why. With `strict`, source outside the compiled language is an error instead of a warning. Other
    keywords are the knobs of `jit.config.Config`. A module is given back itself, its `forward`
    compiled.
    """
    config = DEFAULT.with_(**knobs)
    if function is None:
        return lambda f: jit(f, strict=strict, **knobs)
    if config.disable or isinstance(function, ScriptFunction):
        return function
    if is_module(function):
        return swap_forward(function, config, strict)
    return ScriptFunction(function, config=config, is_strict=strict)


def script(obj: Any) -> Any:
    """Compile a function from its source, with types from its annotations (an unannotated parameter
    is a Tensor); or a module, as a `ScriptModule` that shares its tensors.

    Values that the source captures are those of now, as in TorchScript. Raises `CompileError` with
    file, line and caret for what the language does not have.
    """
    if DEFAULT.disable or isinstance(obj, ScriptFunction):
        return obj
    if is_module(obj):
        return script_module(obj)
    return ScriptFunction(obj, compile_function(obj).graph, is_strict=True)
