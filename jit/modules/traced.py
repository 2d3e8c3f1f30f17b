"""`TopLevelTracedModule`: what `jit.trace(module)` gives, a module of the same state whose methods
are traces.

Parameters and buffers are kept in the traced module's own dicts, so that both modules see every
change of either; the mode (`training`) is each module's own, as a trace does what was done when it
was made. Python attributes of the original are not there.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ir import Graph, replace
from jit.archive.form import ModuleForm
from jit.modules.script_module import ScriptModule
from jit.script.state import TRACED

Module = torch.nn.Module
Compile = Callable[[Graph], Any]


class TracedModule(ScriptModule):
    """A submodule of a traced module: state, and the original's own forward."""

    _original: Module

    @property
    def original_name(self) -> str:
        """The name of the class that was traced."""
        return type(self._original).__name__

    def extra_repr(self) -> str:
        return f"original_name={self.original_name}"

    def _get_name(self) -> str:
        return type(self).__name__


class TopLevelTracedModule(TracedModule):
    """A traced module; made by `jit.trace` and `jit.trace_module`."""

    _traces: Mapping[str, Graph]
    _compile: Mapping[str, Compile]

    @property
    def graph(self) -> Graph:
        """The recorded graph of `forward`, on the tensors of its inputs."""
        return self._traces["forward"]

    def archive_form(self) -> ModuleForm:
        """What an archive is made from: the traces, on the modules below this one."""
        moved = {id(m._original): m for m in self.modules() if isinstance(m, TracedModule)}
        forms = {name: vars(self)[name].archive_form() for name in self._traces}
        return ModuleForm(
            self,
            {n: replace(form, graph=_with_modules(form.graph, moved)) for n, form in forms.items()},
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> TopLevelTracedModule:
        root = copy.deepcopy(self._original, memo)
        moved = {id(m): memo.get(id(m), m) for m in self._original.modules()}
        traces = {name: _with_modules(graph, moved) for name, graph in self._traces.items()}
        made = memo[id(self)] = traced_module(root, traces, self._compile, vars(self)[TRACED])
        made.train(self.training)
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise pickle.PicklingError(
            f"{self.original_name} is a trace without Python source: save it with jit.save"
        )


def traced_module(
    root: Module,
    traces: Mapping[str, Graph],
    compilers: Mapping[str, Compile],
    inputs: Mapping[str, list[Any]],
) -> TopLevelTracedModule:
    """The traced module of a module and the graphs of its methods; `compilers` make what is called
    of them, and `inputs` are those of the traces, with tensors on no device.
    """
    made = TopLevelTracedModule.__new__(TopLevelTracedModule)
    _mirror(root, made, {})
    made.__dict__.update({"_traces": traces, "_compile": compilers, TRACED: inputs})
    made.__dict__.update({name: compilers[name](graph) for name, graph in traces.items()})
    return made


def _mirror(module: Module, made: TracedModule, met: dict[int, ScriptModule]) -> None:
    """Let a traced module share the tensors of `module`; `met` has those of other modules. What is
    compiled already stays what it is.
    """
    Module.__init__(made)
    met[id(module)] = made
    for child in module.children():
        if isinstance(child, ScriptModule):
            met[id(child)] = child
        elif id(child) not in met:
            _mirror(child, TracedModule.__new__(TracedModule), met)
    made.__dict__.update(
        _original=module,
        _parameters=module._parameters,
        _buffers=module._buffers,
        _non_persistent_buffers_set=module._non_persistent_buffers_set,
        _modules={name: child and met[id(child)] for name, child in module._modules.items()},
        training=module.training,
        forward=module.forward,
    )


def _with_modules(graph: Graph, moved: Mapping[int, Module]) -> Graph:
    """A copy of a graph that reads the state of other modules."""
    clone = graph.copy()
    for node in clone.walk():
        value = node.attrs.get("value")
        if isinstance(value, Module):
            node.attrs["value"] = moved.get(id(value), value)
    return clone
