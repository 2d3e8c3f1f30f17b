"""`jit.freeze`, `jit.run_frozen_optimizations` and `jit.optimize_for_inference`.

    ScriptModule ─► methods as graphs ─► attributes become constants ─► passes ─► FrozenModule

A frozen module is an ordinary script module: it runs in every tier, and it can be saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ir import PASSES, Graph, run_pipeline
from jit.archive.form import FunctionForm, Savable
from jit.captures import place_of
from jit.config import DEFAULT
from jit.frozen.absorb import absorb
from jit.frozen.dropout import drop_dropout
from jit.frozen.evaluate import evaluate_constants
from jit.frozen.layout import lay_out
from jit.frozen.module import FrozenModule, frozen_module
from jit.frozen.state import all_graphs, exposed, fold_state, isolated, object_of
from jit.modules.script_module import ScriptModule
from jit.state import Place

Module = torch.nn.Module
_CLEANING = tuple(PASSES[name] for name in ("unpack", "fold", "invariant", "cse", "dce"))


def freeze(
    mod: Any, preserved_attrs: Sequence[str] | None = None, optimize_numerics: bool = True
) -> Any:
    """A module that does what the methods of `mod` do in eval mode, with parameters, buffers,
    attributes and submodules as constants of its graphs.

    `forward` is kept, and what `preserved_attrs` names: methods, attributes, submodules, with dots
    below submodules ("encoder.scale"). Attributes that the kept methods change stay attributes.
    Constants share memory with the tensors they were made from and need no gradient; changing the
    original's weights afterwards is undefined. With `optimize_numerics` results may differ by
    rounding: see `run_frozen_optimizations`.

    RuntimeError for a module that is not compiled or is in training mode, AttributeError for a
    name in `preserved_attrs` that `mod` does not have.
    """
    if DEFAULT.disable:
        return mod
    _check(mod)
    names = list(dict.fromkeys(preserved_attrs or ()))
    forms = dict(_methods(mod, names))
    preserved = [_resolve(mod, name) for name in names if name not in forms]
    graphs = all_graphs([form.graph for form in forms.values()])
    fold_state(graphs, {place for owner, name in preserved for place in _places(owner, name)})
    for graph in graphs:
        run_pipeline(graph, _CLEANING)
    kept = [*preserved, *(read for g in graphs for read in _attributes(g))]
    made = frozen_module(mod, forms, kept, exposed(graphs))
    run_frozen_optimizations(made, optimize_numerics)
    return made


def run_frozen_optimizations(
    mod: Any, optimize_numerics: bool = True, preserved_methods: Sequence[str] | None = None
) -> None:
    """Optimize the graphs of a frozen module in place; `freeze` has done it for what it gives.

    Dropout disappears, and what is computed from constants alone becomes a constant. With
    `optimize_numerics` the weights of convolutions and linear layers absorb the batch
    normalizations, factors and summands behind them, computed in float64 and rounded once.
    `preserved_methods` changes nothing: all methods of a frozen module are optimized.

    TypeError for a module that is not frozen.
    """
    if not isinstance(mod, FrozenModule):
        raise TypeError(f"expected a frozen module, not a {type(mod).__qualname__}: use jit.freeze")
    for graph in _graphs(mod):
        drop_dropout(graph)
        evaluate_constants(graph)
        if optimize_numerics:
            absorb(graph)
        run_pipeline(graph, _CLEANING)
    mod.set_methods(mod.forms)


def optimize_for_inference(mod: Any, other_methods: Sequence[str] | None = None) -> Any:
    """`freeze`, where that was not done, and layouts for the CPU: the weights of convolutions over
    images are laid out channels-last.

    `other_methods` are the methods to keep besides `forward` when `mod` is not frozen yet. The
    result can be saved. Raises what `freeze` raises.
    """
    if DEFAULT.disable:
        return mod
    made = mod if isinstance(mod, FrozenModule) else freeze(mod, other_methods)
    for graph in _graphs(made):
        lay_out(graph)
    made.set_methods(made.forms)
    return made


def _check(mod: Any) -> None:
    if not isinstance(mod, ScriptModule):
        raise RuntimeError(
            f"freeze takes a compiled module, not a {type(mod).__qualname__}: "
            "compile it with jit.script or jit.trace first"
        )
    if mod.training:
        raise RuntimeError(
            f"freeze takes a module in eval mode, and {mod.original_name} is in training mode: "
            "call .eval() first"
        )


def _methods(mod: ScriptModule, names: Sequence[str]) -> Iterator[tuple[str, FunctionForm]]:
    """The methods to keep, with graphs of their own."""
    for name in dict.fromkeys(("forward", *names)):
        method = getattr(mod, name, None) if "." not in name else None
        form = method.archive_form() if isinstance(method, Savable) else None
        if isinstance(form, FunctionForm):
            yield name, FunctionForm(isolated(form.graph), form.defaults)
        elif name == "forward":
            raise RuntimeError(f"{mod.original_name} has no compiled forward to freeze")


def _resolve(mod: Module, name: str) -> tuple[Module, str]:
    """The module that has an attribute, and its name there."""
    path, _, attribute = name.rpartition(".")
    owner: Any = mod
    for part in filter(None, path.split(".")):
        owner = owner._modules.get(part)
        if owner is None:
            break
    if owner is None or not hasattr(owner, attribute):
        raise AttributeError(f"preserved_attrs names {name!r}, which {type(mod).__name__} has not")
    return owner, attribute


def _places(owner: Module, name: str) -> Iterator[Place]:
    """Where a preserved attribute is kept; for a submodule, where all of it is."""
    value = getattr(owner, name)
    pairs: Sequence[tuple[Module, str]] = [(owner, name)]
    if isinstance(value, Module):
        pairs = [(m, key) for m in value.modules() for key in _attribute_names(m)]
    for module, key in pairs:
        holder, key = place_of(module, key)
        yield id(holder), key


def _attribute_names(module: Module) -> list[str]:
    return [*vars(module), *module._parameters, *module._buffers]


def _attributes(graph: Graph) -> Iterator[tuple[Module, str]]:
    """The attributes of modules that a graph still reads or sets."""
    for node in graph.walk():
        if node.name in ("prim::GetAttr", "prim::SetAttr"):
            owner = object_of(node.inputs[0])
            if isinstance(owner, Module):
                yield owner, node.attrs["name"]


def _graphs(mod: FrozenModule) -> list[Graph]:
    forms: Mapping[str, FunctionForm] = mod.forms
    return all_graphs([form.graph for form in forms.values()])
