"""Modules that come from an archive: a class of script modules for each class of its program.

Methods are bound to the module (see `bind`) when they are first asked for, and kept in the
instance. Structure and state are those of any `nn.Module`.
"""

from __future__ import annotations

import copy
import inspect
import io
from collections.abc import Mapping
from typing import Any

import torch

from ir import ClassDef, CompileError, LateModule, Method, Role, Type, erased_type_of
from jit.function import ScriptFunction
from jit.modules.bind import bind_graph, bind_method, definition_of
from jit.modules.methods import ModuleMethod
from jit.modules.script_module import ScriptModule
from jit.modules.watched import depend, watch
from jit.numpy_bridge import has_numpy
from jit.signatures import signature_of

_LOAD = LateModule("jit.archive.load")  # which makes what this file defines


class UndeclaredFunction(ScriptFunction):
    """A method with parameters that declare no type: tensors, unless a call brings something else;
    then the archive's code is read again for that.
    """

    def _call_slow(self, *args: Any, **kwargs: Any) -> Any:
        others = self._others(args, kwargs)
        return self._for(others)(*args, **kwargs) if others else super()._call_slow(*args, **kwargs)

    __call__ = _call_slow

    def _others(self, args: Any, kwargs: Any) -> tuple[tuple[str, Type], ...]:
        """The undeclared parameters that are no tensors in a call, with what they are."""
        if all(isinstance(v, torch.Tensor) for v in (*args, *kwargs.values())):
            return ()
        try:
            given = self._signature.bind(*args, **kwargs).arguments
        except TypeError:
            return ()  # which the call itself says
        named = {n: v for n, v in given.items() if n in self._method.undeclared}
        if has_numpy(named.values()):
            return ()  # arrays are taken as tensors
        return tuple(
            (n, erased_type_of(v)) for n, v in named.items() if not isinstance(v, torch.Tensor)
        )

    @property
    def _method(self) -> Method:
        definition = definition_of(self.__self__)
        assert definition is not None
        return definition.methods[self.__name__.rpartition(".")[2]]

    def _for(self, types: tuple[tuple[str, Type], ...]) -> ScriptFunction:
        """The method for other types; TypeError where its code has no meaning for them."""
        known: dict[Any, ScriptFunction] = self.__dict__.setdefault("_variants", {})
        if types not in known:
            reread = self._method.reread
            assert reread is not None
            try:
                graph = bind_graph(self.__self__, reread(dict(types)).graph)
            except CompileError as error:
                name, type_ = types[0]
                raise TypeError(
                    f"{self.__name__}() expected Tensor for {name!r}, not {type_}"
                ) from error
            known[types] = ScriptFunction(None, graph, signature=self._signature)
        return known[types]


class LoadedMethod(ModuleMethod):
    """A method of the program in the class of its modules."""

    def __init__(self, method: Method) -> None:
        self.name = method.name
        self.method = method
        self.is_entry = True

    @property
    def source(self) -> None:
        """Archives have graphs."""
        return None

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self.compiled(obj)

    def compiled(self, obj: Any) -> ScriptFunction:
        """The method of one object."""
        graph = bind_method(obj, self.name)
        signature = signature_of(self.method)
        params = list(signature.parameters.values())[1:]
        kind = UndeclaredFunction if self.method.undeclared else ScriptFunction
        made = kind(None, graph, signature=inspect.Signature(params))
        made.__self__ = obj
        depend(obj)
        return vars(obj).setdefault(self.name, made)  # type: ignore[no-any-return]

    def is_in_force(self, obj: object) -> bool:
        """Whether `obj` has no other attribute in front of the method."""
        own = vars(obj).get(self.name)
        return own is None or (isinstance(own, ScriptFunction) and own._function is None)


class LoadedModule(ScriptModule):
    """A module of an archive; `definition` is its class there."""

    definition: ClassDef

    @property
    def original_name(self) -> str:
        """The name of the class that was saved."""
        return type(self).__name__

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor) and name in self._parameters:
            self._parameters[name] = value  # type: ignore[assignment]  # as compiled code may do
        else:
            super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> LoadedModule:
        made = memo[id(self)] = type(self).__new__(type(self))
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made

    def __copy__(self) -> LoadedModule:
        made = type(self).__new__(type(self))
        made.__setstate__(self.__getstate__())
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As an archive: the class is known nowhere else."""
        return _from_archive, (self.save_to_buffer(),)


def _from_archive(archive: bytes) -> Any:
    return _LOAD.load(io.BytesIO(archive))


def module_class(definition: ClassDef) -> type[LoadedModule]:
    """The Python class of a class of modules; one for each definition."""
    if definition.python is None:
        module, _, name = definition.name.rpartition(".")
        namespace: dict[str, Any] = {"__module__": module, "definition": definition}
        for method in definition.methods.values():
            namespace[method.name] = LoadedMethod(method)
        for attribute, (getter, setter) in definition.properties.items():
            namespace[attribute] = _property(getter, setter)
        definition.python = type(name, (LoadedModule,), namespace)
    return definition.python


def _property(getter: str, setter: str | None) -> property:
    def write(self: Any, value: Any) -> None:
        getattr(self, str(setter))(value)

    return property(lambda self: getattr(self, getter)(), write if setter else None)


def new_module(definition: ClassDef) -> LoadedModule:
    """A module of a class, without state."""
    cls = module_class(definition)
    made = cls.__new__(cls)
    torch.nn.Module.__init__(made)
    return made


def set_state(module: LoadedModule, state: Mapping[str, Any]) -> None:
    """Give a module the value of each of its class's fields; ValueError for a missing one."""
    own = vars(module)
    for name, field in module.definition.fields.items():
        if name not in state:
            raise ValueError(f"attribute {name!r} of {module.definition.name} has no value")
        value = state[name]
        if isinstance(value, torch.nn.Module):
            own["_modules"][name] = value
        elif field.role is Role.PARAMETER:
            own["_parameters"][name] = value
        elif field.role is Role.BUFFER:
            own["_buffers"][name] = value
        else:
            own[name] = value
    own.update({name: value for name, (_, value) in module.definition.constants.items()})
    _register_hooks(module)
    watch(module)


def _register_hooks(module: LoadedModule) -> None:
    """The hooks of the class run with calls of the module, as any hook does."""
    for name in module.definition.forward_pre_hooks:
        module._forward_pre_hooks[len(module._forward_pre_hooks)] = _hook(name)
    for name in module.definition.forward_hooks:
        module._forward_hooks[len(module._forward_hooks)] = _hook(name)


def _hook(name: str) -> Any:
    def run(module: LoadedModule, *args: Any) -> Any:
        return getattr(module, name)(*args)

    run.__name__ = run.__qualname__ = name
    return run
