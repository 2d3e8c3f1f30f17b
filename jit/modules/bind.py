"""From the generic form of a program to the bound form that runs.

    generic form                                    bound form
    %fc = prim::GetAttr[name="fc"](%self)           %fc = prim::Constant[value=<Linear>]()
    prim::CallMethod[name="forward"](%fc, %x)       prim::CallFunction[graph=..](%x)
    %w = prim::GetAttr[name="weight"](%fc)          the same: read when the code runs
    prim::CallMethod[name="add"](%object, %n)       prim::CallFunction[graph=..](%object, %n)

Modules are live objects, known while binding: a method is bound once for each module that it is
called on, and calls through an interface are resolved. Objects of script classes are values of the
run, their methods called with them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ir import Builder, ClassDef, Graph, Node, Value, class_of
from jit.script.state import COMPILED_HOOKS

Known = tuple[Any, ...]


def definition_of(obj: Any) -> ClassDef | None:
    """The class of a live object in its program, None for an object of another kind."""
    found = getattr(type(obj), "definition", None)
    return found if isinstance(found, ClassDef) else None


def later_hooks(module: Any) -> tuple[dict[int, Any], dict[int, Any]] | None:
    """The hooks, before and after, that a module got since it was made; None without any."""
    known = vars(module).get(COMPILED_HOOKS, frozenset())
    before = {k: h for k, h in module._forward_pre_hooks.items() if k not in known}
    after = {k: h for k, h in module._forward_hooks.items() if k not in known}
    return (before, after) if before or after else None


def call_with_hooks(module: Any, *args: Any) -> Any:
    """Call `forward`, and around it the hooks of `later_hooks`; the archive's code calls others."""
    before, after = later_hooks(module) or ({}, {})
    for key, hook in before.items():
        with_kwargs = key in module._forward_pre_hooks_with_kwargs
        changed = hook(module, args, {}) if with_kwargs else hook(module, args)
        changed = changed[0] if with_kwargs and changed is not None else changed
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    result = module.forward(*args)
    for key, hook in after.items():
        with_kwargs = key in module._forward_hooks_with_kwargs
        changed = hook(module, args, *([{}] if with_kwargs else []), result)
        result = result if changed is None else changed
    return result


def bind_method(module: Any, name: str) -> Graph:
    """The bound form of a method of a live module: its parameters are those behind `self`."""
    definition = definition_of(module)
    assert definition is not None
    return bind_graph(module, definition.methods[name].graph)


def bind_graph(module: Any, graph: Graph) -> Graph:
    """The bound form of a graph whose first parameter is a live module."""
    return _Binder().bound(graph, (module,))


class _Binder:
    """Binds one method and all that it calls."""

    def __init__(self) -> None:
        self._made: dict[tuple[Graph, tuple[int | None, ...]], Graph] = {}

    def bound(self, graph: Graph, modules: Known) -> Graph:
        """A graph for calls whose first arguments are these modules (None: not known)."""
        key = (graph, tuple(None if m is None else id(m) for m in modules))
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = graph.copy()
            _Pass(self, found, modules).run()
        return found


class _Pass:
    """One graph: `known` has the values that are modules known while binding."""

    def __init__(self, binder: _Binder, graph: Graph, modules: Known) -> None:
        self.binder = binder
        self.graph = graph
        self.known: dict[Value, Any] = {}
        self._place(modules)

    def _place(self, modules: Known) -> None:
        """Known arguments become constants, and no parameters any more."""
        builder = Builder(self.graph.block)
        if self.graph.block.nodes:
            builder = Builder.before(self.graph.block.nodes[0])
        params = self.graph.block.params
        for param, module in zip(list(params), modules, strict=False):
            if module is not None:
                param.replace_all_uses_with(self._constant(builder, module, param))
                params.remove(param)

    def _constant(self, builder: Builder, module: Any, like: Value) -> Value:
        definition = definition_of(module)
        type_ = like.type if definition is None else definition.type
        made = builder.const(module, type_)
        self.known[made] = module
        return made

    def run(self) -> None:
        """Rewrite every node."""
        for node in list(self.graph.walk()):
            match node.name:
                case "prim::GetAttr" if node.inputs[0] in self.known:
                    self._read(node)
                case "prim::CallMethod":
                    self._call_method(node)
                case "prim::CallFunction" | "prim::fork":
                    self._call(node, node.attrs["graph"])

    def _read(self, node: Node) -> None:
        """An attribute of a module: a submodule is known, too."""
        declared = class_of(node.output.type)
        value = getattr(self.known[node.inputs[0]], node.attrs["name"], None)
        if declared is None or not declared.is_module or definition_of(value) is None:
            return
        made = self._constant(Builder.before(node), value, node.output)
        node.output.replace_all_uses_with(made)
        node.erase()

    def _call_method(self, node: Node) -> None:
        owner, name = node.inputs[0], node.attrs["name"]
        live = self.known.get(owner)
        definition = definition_of(live) if live is not None else class_of(owner.type)
        if definition is None or definition.is_interface or (live is None and definition.is_module):
            return  # resolved when the code runs
        if live is not None and name == "forward" and later_hooks(live):
            self._call_hooked(node, live)
            return
        method = definition.methods[name]
        made = Builder.before(node).node(
            "prim::CallFunction",
            node.inputs,
            [v.type for v in node.outputs],
            {"graph": method.graph, "name": f"{definition.name}.{name}"},
        )
        for old, new in zip(node.outputs, made.outputs, strict=True):
            new.name = old.name
            old.replace_all_uses_with(new)
        node.erase()
        self._call(made, method.graph)

    def _call_hooked(self, node: Node, live: Any) -> None:
        """A module that got hooks after it was loaded is called from Python."""
        attrs = {"function": partial(call_with_hooks, live), "name": "hook", "objects": (live,)}
        types = [v.type for v in node.outputs]
        made = Builder.before(node).node("prim::PythonOp", node.inputs[1:], types, attrs)
        for old, new in zip(node.outputs, made.outputs, strict=True):
            old.replace_all_uses_with(new)
        node.erase()

    def _call(self, node: Node, callee: Graph) -> None:
        """A call of a graph: bound for the modules among its arguments."""
        modules = tuple(self.known.get(v) for v in node.inputs)
        node.attrs["graph"] = self.binder.bound(callee, modules)
        if any(m is not None for m in modules):
            node.set_inputs([v for v in node.inputs if v not in self.known])
