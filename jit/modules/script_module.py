"""`ScriptModule`: a module whose methods are compiled.

The class of a script module is made from the Python class of the module that was scripted: it
derives from `ScriptModule` and from that class, so that `isinstance` holds, everything of nn.Module
works, and what is not compiled is the class's own Python. Compiled methods stand in the instance
(see `methods`); copies and pickles leave them out and compile for themselves.
"""

from __future__ import annotations

import inspect
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ir import CompileError, Graph
from jit.archive.form import FunctionForm, ModuleForm
from jit.archive.saveable import Saveable, code_of
from jit.compilation_unit import NAMES, functions_of
from jit.function import ScriptFunction
from jit.modules.methods import ModuleMethod, compile_method, is_uninitialized, methods_of
from jit.modules.watched import Watched, invalidate, watch
from jit.script.state import DEFINED, DEPENDENTS, WATCHED, is_state

_CLASSES: WeakKeyDictionary[type, weakref.ref[type]] = WeakKeyDictionary()


class Member:
    """A property of script modules; an attribute, tensor or submodule of the user's that has its
    name comes first.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read
        self.__doc__ = read.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        for held in (obj._parameters, obj._buffers, obj._modules):
            if self.name in held:
                return held[self.name]
        return self.read(obj)


class ScriptModule(Saveable, torch.nn.Module):
    """A compiled module; made by `jit.script(module)` and `jit.load`.

    Its members are those of `forward`, which has `graph`, `code`, `schema` and their like, too.
    """

    graph = Member(lambda self: self.forward.graph)
    schema = Member(lambda self: self.forward.schema)
    code = Member(lambda self: code_of(self)[0])
    code_with_constants = Member(lambda self: code_of(self))
    inlined_graph = Member(lambda self: self.forward.inlined_graph)

    @property
    def original_name(self) -> str:
        """The name of the class that was scripted."""
        return type(self).__name__

    def graph_for(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph that runs for these arguments (see `ScriptFunction.graph_for`)."""
        forward: Any = self.forward
        made: Graph = forward.graph_for(*args, **kwargs)
        return made

    def get_debug_state(self) -> Any:
        """The tier states of `forward`."""
        forward: Any = self.forward
        return forward.get_debug_state()

    def archive_form(self) -> ModuleForm:
        """What an archive is made from: the module and the methods that users may call.
        CompileError for a lazy module that has not been called.
        """
        if is_uninitialized(self):
            raise CompileError(
                f"{self.original_name} has parameters without a size, as no input was seen yet: "
                "call the module once before it is saved"
            )
        return ModuleForm(self, dict(self._entry_forms()))

    def _entry_forms(self) -> Iterator[tuple[str, FunctionForm]]:
        for name, method in inspect.getmembers_static(type(self)):
            if isinstance(method, ModuleMethod) and method.is_entry and method.is_in_force(self):
                yield name, getattr(self, name).archive_form()
        for name in vars(self).get(DEFINED, ()):
            yield name, vars(self)[name].archive_form()

    def define(self, src: str) -> None:
        """Add compiled methods from a text of function definitions, whose first parameter is the
        module; their names are those of a `CompilationUnit`. Raises `CompileError`.
        """
        names = dict(NAMES)
        for name in functions_of(src, names):
            vars(self)[name] = compile_method(types.MethodType(names[name], self), is_entry=True)
            vars(self)[DEFINED] = (*vars(self).get(DEFINED, ()), name)

    def forward_magic_method(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a special method of the class that was scripted."""
        return getattr(type(self), method_name)(self, *args, **kwargs)

    # structure ------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__class__" and issubclass(value, torch.nn.Module) and not is_made(value):
            value = script_class(value)  # a lazy module becomes what it stands for
        own = vars(self)
        is_open = name in own and is_state(self, name, own[name]) and is_state(self, name, value)
        super().__setattr__(name, value)
        if not is_open and DEPENDENTS in own and name not in self._parameters:
            invalidate(own[DEPENDENTS])

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if DEPENDENTS in vars(self):
            invalidate(vars(self)[DEPENDENTS])

    def _drop_compiled(self) -> None:
        """Forget compiled methods: what they were compiled from has changed."""
        for name in [n for n in vars(self) if self._is_compiled(n)]:
            del vars(self)[name]

    def _is_compiled(self, name: str) -> bool:
        """Whether an attribute is a compiled method of the class."""
        method = vars(type(self)).get(name)
        return (
            isinstance(method, ModuleMethod)
            and isinstance(vars(self)[name], ScriptFunction)
            and method.is_in_force(self)
        )

    # copies ---------------------------------------------------------------------------------------

    def __getstate__(self) -> Any:
        return self._without_compiled(super().__getstate__())  # type: ignore[no-untyped-call]

    def _without_compiled(self, state: Any) -> Any:
        """A state that copies can have: they compile for themselves."""
        if not isinstance(state, dict):
            return state
        kept = {k: v for k, v in state.items() if k not in vars(self) or not self._is_compiled(k)}
        kept.pop(DEPENDENTS, None)
        return kept | {k: dict(kept[k]) for k in WATCHED if isinstance(kept.get(k), Watched)}

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        watch(self)


RecursiveScriptModule = ScriptModule


def original_class(cls: type) -> type | None:
    """The class that a class of script modules was made from; None for any other class."""
    found = vars(cls).get("_original_class")
    return found if isinstance(found, type) else None


def is_made(cls: type) -> bool:
    """Whether a class is one of script modules, from Python or an archive, and not a user's own
    that derives from `ScriptModule`.
    """
    return original_class(cls) is not None or hasattr(cls, "definition")


def script_class(cls: type[torch.nn.Module]) -> type[ScriptModule]:
    """The class of script modules for a Python class; one for each."""
    known = _CLASSES.get(cls)
    found = known() if known is not None else None
    if found is None:
        found = _make_class(cls)
        _CLASSES[cls] = weakref.ref(found)
    return found


def _make_class(cls: type[torch.nn.Module]) -> type[ScriptModule]:
    """The user's class comes first; what makes copies is ours in any case."""

    def get_state(self: ScriptModule) -> Any:
        return self._without_compiled(cls.__getstate__(self))

    def set_state(self: ScriptModule, state: Any) -> None:
        cls.__setstate__(self, state)
        watch(self)

    namespace: Mapping[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__getstate__": get_state,
        "__setstate__": set_state,
        "__reduce_ex__": _reduce,
        "_original_class": cls,
        **methods_of(cls),
    }
    bases = (ScriptModule,) if issubclass(ScriptModule, cls) else (cls, ScriptModule)
    return types.new_class(cls.__name__, bases, {}, lambda body: body.update(namespace))


def _reduce(module: ScriptModule, protocol: Any) -> Any:
    return _new, (original_class(type(module)),), module.__getstate__()


def _new(cls: type[torch.nn.Module]) -> ScriptModule:
    """A script module without state, of a Python class."""
    made = script_class(cls)
    return made.__new__(made)
