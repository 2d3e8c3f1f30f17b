"""Live modules as classes: fields for their state, methods for the graphs that are called on them.

    %m = prim::Constant[value=<Linear>]()              %fc = prim::GetAttr[name="fc"](%self)
    %w = prim::GetAttr[name="weight"](%m)       ==>    %w = prim::GetAttr[name="weight"](%fc)
    prim::CallFunction[receiver=<Linear>](%x)          prim::CallMethod[name="forward"](%fc, %x)

A method may reach only what its own module holds. A call whose graph reaches further (a hook, a
function that was given a module) is put in place of the call. Modules of one Python class with
equal structure and code share a class.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import torch

from ir import (
    BOOL,
    NONE,
    TENSOR,
    Builder,
    ClassDef,
    CompileError,
    Field,
    Graph,
    Method,
    Node,
    Role,
    TupleType,
    Type,
    Value,
    copy_node,
    erased_type_of,
)
from jit.archive.class_writer import write_class
from jit.archive.edits import check_hooks, is_unchanged, present_fields
from jit.archive.form import FunctionForm, ModuleForm, Savable
from jit.archive.generalize import Generalizer, receive_self
from jit.archive.holdings import MACHINERY, Holdings, own_tensors
from jit.archive.names import qualified_name
from jit.archive.spelling import Constants, as_identifier, is_written
from jit.modules.bind import definition_of
from jit.script import compile_function
from jit.script.state import DEFINED, is_constant, is_state, state_type

Module = torch.nn.Module
_PLAIN = (bool, int, float, complex, str)


class ModuleGeneralizer(Generalizer):
    """The program of a module and all it holds."""

    def __init__(self, form: ModuleForm) -> None:
        super().__init__()
        root: Module = form.module
        self._classes: dict[int, ClassDef] = {}
        self._made: dict[Hashable, ClassDef] = {}
        self.holdings = Holdings(root)
        modules = self.holdings.modules
        self._tensors = {id(t) for m in modules for t in own_tensors(m).values()}
        self._methods: dict[int, dict[Graph, str]] = {id(m): {} for m in modules}
        self._prepared: dict[Graph, Graph] = {}
        self._held: dict[Graph, tuple[set[int], set[Graph]]] = {}  # see `_holds`
        self._declared: dict[Graph, tuple[Mapping[str, Any], frozenset[str]]] = {}
        self._self: tuple[Module, Value] | None = None  # of the method that is being rewritten
        self._hooked: set[int] = set()  # modules whose hooks run with their calls
        self._variants: dict[Hashable, ClassDef] = {}  # of classes of loaded modules
        self._live: dict[Value, Module] = {}  # what values of a method are modules
        self._enter(root, form.methods)
        self.definition = self._class(root)

    def attribute(self, owner: Any, name: str) -> Any:
        """What the field of an object holds."""
        return self.holdings.attribute(owner, name)

    def object_class(self, value: Any) -> ClassDef | None:
        """The class of an object of the program, None for plain data."""
        return self._classes.get(id(value)) or super().object_class(value)

    # what calls what --------------------------------------------------------------------------

    def _enter(self, module: Module, forms: Mapping[str, FunctionForm]) -> None:
        """Note methods of a module that users may call, and its hooks."""
        graphs = {form.graph: name for name, form in forms.items()}
        self._declared |= {f.graph: (f.defaults, f.undeclared) for f in forms.values()}
        if definition_of(module) is None:
            for hook in (*_hooks(module._forward_pre_hooks), *_hooks(module._forward_hooks)):
                types = _hook_types(hook, forms.get("forward"))
                hooked = MethodType(hook, module)
                graph = compile_function(hooked, reads_state=True, untyped=types).graph
                graphs.setdefault(graph, _hook_name(hook))
            self._hooked.add(id(module))
        self._methods[id(module)] |= graphs
        for graph in graphs:
            self._prepare(graph, module)

    def _prepare(self, graph: Graph, receiver: Module) -> None:
        """Decide for every call in a method whether it is a call of a method, of a function, or is
        put in place.
        """
        made = self._prepared[graph] = graph.copy()
        held = set(map(id, self.holdings.below(receiver)))
        pending: list[tuple[Node, tuple[Graph, ...]]]  # with the graphs that a node comes from
        pending = [(node, (graph,)) for node in made.walk()]
        while pending:
            node, path = pending.pop(0)
            if node.name == "prim::fork":
                self._prepare_task(node, held)
            if node.name != "prim::CallFunction":
                continue
            callee, owner = node.attrs["graph"], node.attrs.get("receiver")
            reached = self._reached(callee)
            self._check_held(node, owner)
            if isinstance(owner, Module) and id(owner) in held:
                if reached <= self.holdings.identities(owner):
                    self._call(callee, owner, node.attrs["name"])
                    continue
            elif not reached:
                continue
            if callee in path:
                raise CompileError(
                    f"Could not export {node.attrs['name']!r}: it calls itself and reads modules "
                    "that are not its own",
                    node.span,
                )
            pending[:0] = [(inner, (*path, callee)) for inner in _splice(node)]

    def _prepare_task(self, node: Node, held: set[int]) -> None:
        """A task that is no more than a call of a method is that call."""
        task: Graph = node.attrs["graph"]
        call = task.returns[0].node
        if call is None or call.name != "prim::CallFunction" or len(task.block.nodes) > 1:
            return
        owner, callee = call.attrs.get("receiver"), call.attrs["graph"]
        if not isinstance(owner, Module) or id(owner) not in held or not self._reached(callee):
            return
        given = dict(zip(task.params, node.inputs, strict=True))
        node.set_inputs([given[v] for v in call.inputs])
        node.attrs = dict(call.attrs)
        self._call(callee, owner, node.attrs["name"])

    def _is_held(self, module: Module) -> bool:
        """Whether a module is part of what is saved, or a slice of such, made on the way."""
        if id(module) in self._methods:
            return True
        parts = list(module.children())
        return isinstance(module, _SLICED) and bool(parts) and all(map(self._is_held, parts))

    def _check_held(self, call: Node, owner: Any) -> None:
        if isinstance(owner, Module) and not self._is_held(owner):
            raise CompileError(
                f"Could not export a call of a {type(owner).__name__}: it is no submodule of what "
                "is saved; register it, in a ModuleList or ModuleDict if there are more",
                call.span,
            )

    def _call(self, graph: Graph, owner: Module, name: str) -> None:
        """Note a method of a module."""
        methods = self._methods[id(owner)]
        if definition_of(owner) is not None:
            methods[graph] = name  # of its class in the archive
        elif graph not in methods:
            taken, number = set(methods.values()), 0
            unique = name
            while unique in taken:
                number += 1
                unique = f"{name}{number}"
            methods[graph] = unique
            self._prepare(graph, owner)

    def _reached(self, graph: Graph) -> set[int]:
        """Modules and their tensors that a graph, or one that it calls, holds."""
        found: set[int] = set()
        seen, pending = {graph}, [graph]
        while pending:
            held, callees = self._holds(pending.pop())
            found |= held
            pending += callees - seen
            seen |= callees
        return found

    def _holds(self, graph: Graph) -> tuple[set[int], set[Graph]]:
        """Modules and their tensors that a graph holds itself, and the graphs that it calls."""
        if graph not in self._held:
            nodes = list(graph.walk())
            state = {id(node.attrs["value"]) for node in nodes if self._is_state(node)}
            callees = {g for node in nodes if isinstance(g := node.attrs.get("graph"), Graph)}
            self._held[graph] = state, callees
        return self._held[graph]

    # classes ----------------------------------------------------------------------------------

    def _class(self, module: Module) -> ClassDef:
        """The class of a module, after those of its submodules."""
        found = self._classes.get(id(module))
        if found is not None:
            return found
        loaded = definition_of(module)
        if loaded is not None:
            return self._loaded_class(module, loaded)
        for child in self.holdings.children(module).values():
            if child is not None:
                self._class(child)
        python = _python_class(module)
        wanted = qualified_name(python)
        definition = ClassDef(self.names.unique(wanted), python=python)
        definition.fields = dict(self._fields(module))
        definition.constants = dict(_constants(module))
        self._classes[id(module)] = self._adopted[definition] = definition
        self._write_methods(module, definition)
        if id(module) in self._hooked:
            definition.forward_pre_hooks = [*map(_hook_name, _hooks(module._forward_pre_hooks))]
            definition.forward_hooks = [*map(_hook_name, _hooks(module._forward_hooks))]
        key = (python, _code_of(definition))
        known = self._made.setdefault(key, definition)
        if known is not definition:
            self.names.release(definition.name)
            self._classes[id(module)] = known
        else:
            self.program.classes[definition.name] = definition
        return known

    def _loaded_class(self, module: Module, definition: ClassDef) -> ClassDef:
        """The class of a module that comes from an archive: that of its program, or one for what
        has become of the module.
        """
        for held in module.modules():
            known = definition_of(held)
            if known is not None:
                check_hooks(held, known)
        own = vars(module)
        defined = {name: own[name].archive_form() for name in own.get(DEFINED, ())}
        if defined or not is_unchanged(module):
            assert definition.reread is not None
            fields = present_fields(module, self._class_below)
            key = definition, tuple(fields.items()), tuple(map(id, defined.values()))
            variant = self._variants.get(key) or definition.reread(fields)
            definition = self._variants[key] = variant
        outer, self._self = self._self, None
        made = self._classes[id(module)] = self.adopt(definition)
        self._self = outer
        if defined:
            self._enter(module, defined)
            self._write_methods(module, made)
        return made

    def _class_below(self, module: Module) -> ClassDef:
        """The class of a submodule of a loaded one, whose code may call all of its methods."""
        if definition_of(module) is None and not self._methods[id(module)]:
            self._enter(module, _entries(module))
        return self._class(module)

    def _fields(self, module: Module) -> Iterator[tuple[str, Field]]:
        """Slots in torch's order."""
        for held, role in ((module._parameters, Role.PARAMETER), (module._buffers, Role.BUFFER)):
            for name, tensor in held.items():
                type_ = TENSOR if tensor is not None else state_type(module, name, tensor)
                yield name, Field(self.generic_type(type_), role)
        yield "training", Field(BOOL)
        hook = getattr(module, "_is_full_backward_hook", None)
        yield "_is_full_backward_hook", Field(erased_type_of(hook))
        held = {} if _traced_from(module) else vars(module)  # traces have no attributes
        for name, value in held.items():
            if name not in MACHINERY and is_state(module, name, value):
                type_ = self.generic_type(state_type(module, name, value))
                if is_written(type_):
                    yield name, Field(type_)
        for name, child in self.holdings.children(module).items():
            yield name, Field(NONE if child is None else self._class(child).type)

    # methods ----------------------------------------------------------------------------------

    def _write_methods(self, module: Module, definition: ClassDef) -> None:
        for graph, name in self._methods[id(module)].items():
            if name not in definition.methods:  # those of a loaded class are
                made = self._method_graph(graph, module, definition)
                defaults, undeclared = self._declared.get(graph, ({}, frozenset()))
                definition.methods[name] = Method(
                    name, made, dict(defaults), undeclared=undeclared
                )

    def _method_graph(self, graph: Graph, module: Module, definition: ClassDef) -> Graph:
        made = self._prepared[graph]
        outer, self._self = self._self, (module, receive_self(made, definition))
        self._live[self._self[1]] = module
        self.generalize(made)
        self._self = outer
        return made

    def generic_type(self, type_: Type) -> Type:
        """A type whose classes are those of the program; a module's comes with the module."""
        cls = getattr(type_, "cls", None)
        return (
            type_
            if isinstance(cls, type) and issubclass(cls, Module)
            else super().generic_type(type_)
        )

    def rewrite(self, node: Node) -> None:
        """One node in generic form."""
        if self._self is not None and self._is_state(node):
            self._rewrite_state(node, *self._self)
        elif self._self is not None and isinstance(node.attrs.get("receiver"), Module):
            self._rewrite_call(node, *self._self)
        else:
            outer, self._self = self._self, None
            super().rewrite(node)
            self._self = outer

    def _is_state(self, node: Node) -> bool:
        """Whether a node is a constant that belongs to a module."""
        value = node.attrs.get("value") if node.name == "prim::Constant" else None
        return isinstance(value, Module) or id(value) in self._tensors

    def _rewrite_state(self, node: Node, module: Module, receiver: Value) -> None:
        value = node.attrs["value"]
        if isinstance(value, Module):
            node.output.replace_all_uses_with(self._reach(node, value, module, receiver))
            node.erase()
        else:
            owner, name = self._place_of(module, value)
            holder = self._reach(node, owner, module, receiver)
            node.output.replace_all_uses_with(_get(node, holder, name, TENSOR))
            node.erase()

    def _rewrite_call(self, node: Node, module: Module, receiver: Value) -> None:
        owner = node.attrs["receiver"]
        name = self._methods[id(owner)][node.attrs["graph"]]
        target = self._reach(node, owner, module, receiver)
        is_task = node.name == "prim::fork"
        call = Builder.before(node).node(
            "prim::fork" if is_task else "prim::CallMethod",
            [target, *node.inputs],
            [v.type for v in node.outputs],
            {"method" if is_task else "name": name},
        )
        for old, new in zip(node.outputs, call.outputs, strict=True):
            old.replace_all_uses_with(new)
        node.erase()

    def _reach(self, node: Node, wanted: Module, module: Module, receiver: Value) -> Value:
        """The value of a submodule, read from `self` in front of a node."""
        path = self.holdings.path(module, wanted)
        if path is None:
            raise CompileError(
                f"Could not export a {type(wanted).__name__} that {type(module).__name__} uses: "
                "it is no submodule; register it, in a ModuleList or ModuleDict if there are more",
                node.span,
            )
        value, current = receiver, module
        for part in path:
            current = self.holdings.children(current)[part]  # type: ignore[assignment]
            value = _get(node, value, part, self._class(current).type)
            self._live[value] = current
        return value

    def _place_of(self, module: Module, tensor: Any) -> tuple[Module, str]:
        """The module below `module` that holds a tensor, and its name there."""
        for owner in self.holdings.below(module):
            for name, value in own_tensors(owner).items():
                if value is tensor:
                    return owner, name
        raise LookupError("the tensor belongs to another module")

    def _rewrite_read(self, node: Node) -> None:
        """What a module has besides its state, such as its hooks, is what it is now."""
        module, name = self._live.get(node.inputs[0]), node.attrs["name"]
        if module is None or name in self._class(module).fields:
            super()._rewrite_read(node)
            return
        value = getattr(module, name)
        kept = dict(value) if isinstance(value, dict) else value
        made = Builder.before(node).const(kept, node.output.type)
        node.output.replace_all_uses_with(made)
        node.erase()


_SLICED = (torch.nn.Sequential, torch.nn.ModuleList)


def _hooks(held: Any) -> list[FunctionType]:
    """The functions that run with calls of the saved module; those of submodules are part of the
    code that calls them.
    """
    found = [getattr(hook, "hook", hook) for hook in held.values()]
    return [hook for hook in dict.fromkeys(found) if isinstance(hook, FunctionType)]


def _hook_name(hook: FunctionType) -> str:
    """What a hook is called as a method; a lambda has no name."""
    return as_identifier(hook.__name__.strip("<>"))


def _hook_types(hook: FunctionType, forward: FunctionForm | None) -> dict[str, Type]:
    """What a hook is given: the arguments of forward, as a tuple, and its result."""
    if forward is None or len(forward.graph.returns) != 1:
        return {}
    given = TupleType(tuple(v.type for v in forward.graph.params if v.name != "self"))
    return dict(
        zip(hook.__code__.co_varnames[1:], (given, forward.graph.returns[0].type), strict=False)
    )


def _entries(module: Module) -> Mapping[str, FunctionForm]:
    """The methods that users may call of any module."""
    if isinstance(module, Savable):
        form = module.archive_form()
        return form.methods if isinstance(form, ModuleForm) else {}
    forward = type(module).forward
    if forward is Module.forward:
        return {}
    graph = compile_function(MethodType(forward, module), reads_state=True).graph
    return {"forward": FunctionForm(graph)}


def _python_class(module: Module) -> type:
    """The class that users wrote for a module."""
    traced = _traced_from(module)
    if traced is not None:
        return type(traced)
    found: type = getattr(type(module), "_original_class", None) or type(module)
    return found


def _traced_from(module: Module) -> Module | None:
    """The module that a traced module was made from."""
    found = vars(module).get("_original")
    return found if isinstance(found, Module) else None


def _splice(call: Node) -> list[Node]:
    """Put the nodes of a called graph in place of the call; gives them."""
    callee: Graph = call.attrs["graph"]
    assert call.block is not None
    env = dict(zip(callee.params, call.inputs, strict=True))
    made = [call.block.insert_before(copy_node(node, env), call) for node in callee.block.nodes]
    for output, value in zip(call.outputs, callee.returns, strict=True):
        output.replace_all_uses_with(env.get(value, value))
    call.erase()
    return [inner for node in made for inner in _with_inner(node)]


def _with_inner(node: Node) -> Iterator[Node]:
    yield node
    for block in node.blocks:
        yield from block.walk()


def _get(node: Node, owner: Value, name: str, type_: Type) -> Value:
    """Read an attribute in front of a node."""
    made = Builder.before(node).node("prim::GetAttr", [owner], [type_], {"name": name})
    made.output.name = name
    return made.output


def _constants(module: Module) -> Iterator[tuple[str, tuple[Type, Any]]]:
    """Attributes that are declared to keep their values."""
    names = [*vars(module), *getattr(module, "__constants__", ())]
    for name in dict.fromkeys(names):
        value = getattr(module, name, None)
        if name not in MACHINERY and is_constant(module, name) and isinstance(value, _PLAIN):
            yield name, (erased_type_of(value), value)


def _code_of(definition: ClassDef) -> Hashable:
    """What tells classes apart."""
    constants = Constants()
    text = write_class(definition, constants)
    return text.replace(definition.name, "?"), tuple(map(id, constants.values))
