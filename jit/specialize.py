"""Write what was observed of a call into a copy of its graph, and into the guards that a plan
needs.

    call + history ─► typed parameters, sizes constant or symbolic ─► passes ─► Specialized
                  └─► params and captured (guards)

The graph's own parameters, one for each of the function's, are replaced: what varies becomes a
parameter in the order of the call (the items of a list one by one), what does not becomes a
constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

import codegen
from codegen import (
    Captured,
    ConstParam,
    DictParam,
    FloatParam,
    HeldParam,
    IntParam,
    ListParam,
    Param,
    Refused,
    SequenceParam,
    TensorParam,
)
from ir import (
    BOOL,
    FLOAT,
    INT,
    PASSES,
    Builder,
    Dim,
    Facts,
    Graph,
    Known,
    ListType,
    Node,
    ObjectType,
    TensorType,
    Value,
    autograd_nodes,
    constant_of,
    contiguous_strides,
    dtype_of,
    field,
    optimize,
    record,
    resizes,
)
from jit.call import Default, Source
from jit.captures import Extra, tensor_constants
from jit.given import Given, Role
from jit.only_read import holds_list, is_only_read
from jit.packing import pack_weights
from jit.profile import is_constant

_ELEMENTS = {Role.INTS: INT, Role.FLOATS: FLOAT, Role.BOOLS: BOOL}


@record(frozen=False)
class Specialized:
    """A graph for one kind of call: its guards, the known values, and what was assumed about
    sizes.
    """

    graph: Graph
    params: list[Param]
    captured: list[Captured]
    known: Known
    facts: Facts
    taken: dict[Node, list[Node]]
    """Nodes that others of the graph do besides."""


def specialize(
    graph: Graph,
    sources: Sequence[Source],
    given: Given,
    extras: Sequence[tuple[Extra, Any]],
    sizes: Callable[[Facts], list[Dim]],
) -> Specialized:
    """Specialize a graph to calls like this one. `sources` tell where the call has the value of
    each parameter; `extras` are the tensors that the graph reads itself; `sizes` gives the
    measures. Raises Refused, or TypeRuleError when eager would refuse the call.
    """
    facts = Facts()
    if torch.get_default_dtype() is not torch.float32:
        raise Refused("default dtype")
    for node in autograd_nodes(graph):
        raise Refused("gradients inside", node)
    graph = graph.copy()
    _drop_grad_modes(graph)
    PASSES["rebind"].run(graph)
    _refuse_each(graph, lambda node: node.op.reshapes)
    work = _Specializer(graph, iter(sizes(facts)))
    work.arguments(sources, given)
    work.tensors(extras)
    known = optimize(work.graph, work.known)
    _refuse_each(work.graph, lambda node: resizes(node, known))
    _check_declarations(work.graph)
    taken = codegen.lay_out_images(work.graph, known, work.held)
    taken |= codegen.fuse_attention(work.graph, known)
    work.captured += pack_weights(work.graph, known, work.held)
    _name_values(work.graph)
    return Specialized(work.graph, work.params, work.captured, known, facts, taken)


def _refuse_each(graph: Graph, changes_sizes: Callable[[Node], bool]) -> None:
    """Refuse what changes sizes of tensors that plans take for fixed."""
    for node in filter(changes_sizes, graph.walk()):
        raise Refused("sizes in place", node)


_NUMBERS = (INT, FLOAT, BOOL)


def _check_declarations(graph: Graph) -> None:
    """What an annotation says of a value is wrong where this call has a number of another kind."""
    for node in graph.walk():
        if node.name == "prim::unchecked_cast":
            found, declared = node.inputs[0].type, node.output.type
            if found != declared and found in _NUMBERS and declared in _NUMBERS:
                raise Refused("declared type", node, f"a {found}, declared as {declared}")


_GRAD_MODES = (torch.no_grad, torch.enable_grad, torch.set_grad_enabled)


def _drop_grad_modes(graph: Graph) -> None:
    """A plan serves calls that need no gradient, for which grad modes mean nothing; any other
    context manager is refused.
    """
    for node in list(graph.walk()):
        if node.name not in ("prim::Enter", "prim::Exit"):
            continue
        manager = node.inputs[0]
        if not isinstance(manager.type, ObjectType) or manager.type.cls not in _GRAD_MODES:
            raise Refused("context", node, str(manager.type))
        for entered in node.outputs:
            entered.replace_all_uses_with(manager)
        node.erase()
        if not manager.uses and manager.node is not None:
            manager.node.erase()


@record(frozen=False)
class _Specializer:
    graph: Graph
    measures: Iterator[Dim]
    params: list[Param] = field(default_factory=list)
    captured: list[Captured] = field(default_factory=list)
    known: dict[Value, Any] = field(default_factory=dict)
    held: dict[Value, torch.Tensor] = field(default_factory=dict)
    builder: Builder = field(init=False)

    def __post_init__(self) -> None:
        nodes = self.graph.block.nodes
        self.builder = Builder.before(nodes[0]) if nodes else Builder(self.graph.block)

    def arguments(self, sources: Sequence[Source], given: Given) -> None:
        """Replace the graph's parameters by those of the call."""
        old = list(self.graph.params)
        operands: dict[int, Value] = {}
        for k, (value, name, role) in enumerate(
            zip(given.values, given.names, given.roles, strict=True)
        ):
            if k in given.held:
                self.params.append(ConstParam(value, is_identity=True))
                continue
            param, operands[k] = self.operand(value, name, role)
            self.params.append(param)
        for parameter, source in zip(old, sources, strict=True):
            found = self.from_source(source, operands)
            is_items = found.node is not None and holds_list(found.type)
            if is_items and not is_only_read(parameter):
                raise Refused(
                    "argument type",
                    detail=f"{parameter.name}, which the function changes or keeps",
                )
            parameter.replace_all_uses_with(found)
        del self.graph.params[: len(old)]

    def from_source(self, source: Source, operands: Mapping[int, Value]) -> Value:
        """The value of one parameter."""
        match source:
            case int():
                return operands[source]
            case tuple():
                return self.builder.tuple_([operands[k] for k in source])
            case Default(name=name, value=value):
                return self.default(name, value)
        raise Refused("argument type", detail="**keywords")

    def default(self, name: str, value: object) -> Value:
        """A parameter's default: part of the graph. What can change its state is not."""
        if value is None or isinstance(value, (bool, int, float)) or is_constant(value):
            return self.builder.const(*constant_of(value))
        if type(value) is tuple:
            return self.builder.tuple_([self.default(name, v) for v in value])
        raise Refused("argument type", detail=f"default of {name}, a {type(value).__qualname__}")

    def tensors(self, extras: Sequence[tuple[Extra, Any]]) -> None:
        """Turn the tensor constants of the graph into parameters that the entry reads itself."""
        for node, (extra, tensor) in zip(tensor_constants(self.graph), extras, strict=True):
            param, value = self.tensor(tensor, extra.key)
            captured = Captured(extra.holder, extra.key, param)
            if extra.is_held:
                self.held[value] = tensor
                captured = Captured(tensor, extra.key, HeldParam(param))
            self.captured.append(captured)
            node.output.replace_all_uses_with(value)

    def operand(self, value: Any, name: str, role: Role) -> tuple[Param, Value]:
        """The guard of one argument, and the value that stands for it."""
        if isinstance(value, torch.Tensor):
            return self.tensor(value, name)
        if type(value) is float:
            return FloatParam(), self.graph.block.add_param(FLOAT, name)
        if type(value) is int:
            return self.integer(value, name, role)
        if role.takes(value):
            type_ = ListType(_ELEMENTS[role])
            return ListParam(str(type_.element)), self.graph.block.add_param(type_, name)
        if type(value) in (list, tuple):
            return self.sequence(value, name, role)
        if type(value) is dict:
            return self.mapping(value, name, role)
        if value is not None and not isinstance(value, bool) and not is_constant(value):
            raise Refused("argument type", detail=f"{name}, a {type(value).__qualname__}")
        return ConstParam(value), self.builder.const(*constant_of(value))

    def integer(self, value: int, name: str, role: Role) -> tuple[Param, Value]:
        """A number in a register; or a size, constant or symbolic."""
        dim = self._measure(value) if role is Role.SIZE else None
        if isinstance(dim, int):
            return ConstParam(value), self.builder.const(value)
        made = self.graph.block.add_param(INT, name)
        if dim is not None:
            self.known[made] = dim
        return IntParam(dim), made

    def sequence(self, value: Any, name: str, role: Role) -> tuple[Param, Value]:
        """A tuple or list of its items."""
        pairs = [self.operand(item, f"{name}[{k}]", role) for k, item in enumerate(value)]
        items = [operand for _, operand in pairs]
        made = self.builder.list_(items) if type(value) is list else self.builder.tuple_(items)
        return SequenceParam(tuple(param for param, _ in pairs), type(value) is list), made

    def mapping(self, value: dict[Any, Any], name: str, role: Role) -> tuple[Param, Value]:
        """A dict of these keys, in this order."""
        if not value or {type(key) for key in value} - {str, int}:
            raise Refused("argument type", detail=f"{name}, a dict with keys of other types")
        pairs = [(key, self.operand(item, f"{name}[{key!r}]", role)) for key, item in value.items()]
        made = self.builder.dict_([(key, operand) for key, (_, operand) in pairs])
        return DictParam(tuple((key, param) for key, (param, _) in pairs)), made

    def tensor(self, tensor: torch.Tensor, name: str) -> tuple[TensorParam, Value]:
        """A tensor of known dtype, with sizes and strides as far as they vary."""
        dims = tuple(map(self._measure, tensor.shape))
        dtype = dtype_of(tensor.dtype)
        if dtype is None:
            raise Refused("argument type", detail=f"{name}, a tensor of {tensor.dtype}")
        is_contiguous = tensor.is_contiguous()
        strides = (
            contiguous_strides(dims)
            if is_contiguous
            else tuple(map(self._measure, tensor.stride()))
        )
        type_ = TensorType(dtype, dims, strides, False, "cpu")
        return TensorParam(
            dtype, dims, None if is_contiguous else strides
        ), self.graph.block.add_param(type_, name)

    def _measure(self, value: int) -> Dim:
        return value if value < 2 else next(self.measures)


def _name_values(graph: Graph) -> None:
    """Give results without a name that of their op, for readers of the report."""
    for node in graph.walk():
        for value in node.outputs:
            if value.name is None:
                value.name = node.name.partition("::")[2].lower()
