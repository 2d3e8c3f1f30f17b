"""`FrozenModule`: methods that are graphs, and the attributes that these still read.

A frozen module has the structure of the one that it was made from as far as something is left
there: attributes that its code changes, and those that were preserved. It shares them with the
original. Changing the mode of a frozen module changes nothing.
"""

from __future__ import annotations

import copy
import pickle
import types
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ir import Method, replace
from jit.archive.form import FunctionForm, ModuleForm
from jit.frozen.state import all_graphs, isolated
from jit.function import ScriptFunction
from jit.modules.script_module import ScriptModule, original_class
from jit.modules.watched import watch
from jit.script.state import DECLARED, annotation_of
from jit.signatures import signature_of

Module = torch.nn.Module
_CLASSES: dict[type, type[FrozenModule]] = {}


class FrozenModule(ScriptModule):
    """A frozen module, or what is left of a submodule of one; made by `jit.freeze`."""

    forms: Mapping[str, FunctionForm]
    """The methods of the frozen module; a submodule has none."""

    def archive_form(self) -> ModuleForm:
        """What an archive is made from: the module and the methods that were kept."""
        return ModuleForm(self, self.forms)

    def set_methods(self, forms: Mapping[str, FunctionForm]) -> None:
        """Give the module its methods."""
        own = vars(self)
        own["forms"] = forms
        for name, form in forms.items():
            signature = signature_of(Method(name, form.graph, dict(form.defaults)))
            own[name] = ScriptFunction(None, form.graph, signature=signature, is_frozen=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenModule:
        made = _blank(type(self))
        memo[id(self)] = made
        skipped = {"forms", *self.forms}
        state = {k: v for k, v in self.__getstate__().items() if k not in skipped}
        vars(made).update(copy.deepcopy(state, memo))
        watch(made)
        moved = {id(m): memo.get(id(m), m) for m in self.modules()}
        copies = {n: replace(f, graph=isolated(f.graph)) for n, f in self.forms.items()}
        made.set_methods(with_modules(copies, moved))
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise pickle.PicklingError(
            f"{self.original_name} is frozen, without Python source: save it with jit.save"
        )


def frozen_module(
    root: Module,
    forms: Mapping[str, FunctionForm],
    kept: Iterable[tuple[Module, str]],
    in_hand: set[int],
) -> FrozenModule:
    """A module of graphs that read the attributes in `kept`, of `root` and modules below it; what
    is `in_hand` of Python functions stays the module that it is.
    """
    made = _blank(_frozen_class(root))
    made.__dict__.update(
        _forward_hooks=root._forward_hooks.copy(), _forward_pre_hooks=root._forward_pre_hooks.copy()
    )
    moved: dict[int, Module] = {id(root): made}
    paths = {id(m): path for path, m in root.named_modules()}
    for owner, name in kept:
        if id(owner) in paths and id(owner) not in in_hand:
            _keep(_reach(root, made, paths[id(owner)], moved), owner, name)
    for module in moved.values():
        watch(module)
    made.set_methods(with_modules(forms, {i: m for i, m in moved.items() if i not in in_hand}))
    return made


def with_modules(
    forms: Mapping[str, FunctionForm], moved: Mapping[int, Module]
) -> dict[str, FunctionForm]:
    """The same methods of other modules; the graphs are changed."""
    for graph in all_graphs([form.graph for form in forms.values()]):
        for node in graph.walk():
            value = node.attrs.get("value")
            if isinstance(value, Module):
                node.attrs["value"] = moved.get(id(value), value)
    return dict(forms)


def _frozen_class(module: Module) -> type[FrozenModule]:
    """The class of frozen modules for the class of a module; one for each."""
    traced = vars(module).get("_original")
    cls = type(traced if isinstance(traced, Module) else module)
    cls = original_class(cls) or cls
    if cls not in _CLASSES:
        namespace = {"__module__": cls.__module__, "_original_class": cls}
        _CLASSES[cls] = types.new_class(
            cls.__name__, (FrozenModule,), {}, lambda body: body.update(namespace)
        )
    return _CLASSES[cls]


def _blank(cls: type[FrozenModule]) -> FrozenModule:
    made = cls.__new__(cls)
    Module.__init__(made)
    vars(made).update(training=False, forms={})
    return made


def _reach(root: Module, made: Module, path: str, moved: dict[int, Module]) -> Module:
    """The frozen module at a path, with those on the way."""
    for part in filter(None, path.split(".")):
        root = root._modules[part]  # type: ignore[assignment]
        if part not in made._modules:
            made._modules[part] = moved[id(root)] = _blank(_frozen_class(root))
        made = made._modules[part]  # type: ignore[assignment]
    return made


def _keep(made: Module, owner: Module, name: str) -> None:
    """Share one attribute."""
    for held in ("_modules", "_parameters", "_buffers"):
        if name in vars(owner)[held]:
            vars(made)[held][name] = vars(owner)[held][name]
            return
    vars(made)[name] = getattr(owner, name)
    declared = annotation_of(owner, name)
    if declared is not None:
        vars(made).setdefault(DECLARED, {})[name] = declared
