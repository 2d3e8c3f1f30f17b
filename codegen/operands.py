"""What a node's operands are, for lowering: parameters by name, pieces of list-valued views,
reduced axes.

`Known` maps the values that inference found to Python constants and symbolic sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codegen.index import Affine, Index, Var, broadcast
from ir import (
    At,
    Dim,
    DType,
    ListType,
    Lookup,
    Node,
    Pointwise,
    TensorType,
    Unknown,
    Value,
    View,
    record,
    typerules,
)

Known = Mapping[Value, Any]


@record
class Producer:
    """The node that computes a value; `piece` when the value is one element of a list of views."""

    node: Node
    piece: int | None = None


def producer(value: Value) -> Producer | None:
    """Who computes a value, looking through the unpacking of a list of views; None for a block
    parameter.
    """
    node = value.node
    if node is None:
        return None
    if node.op.name == "prim::ListUnpack":
        source = node.inputs[0].node
        if source is not None and isinstance(source.op.rule, View):
            return Producer(source, node.outputs.index(value))
    return Producer(node)


def tensor_type(value: Value) -> TensorType:
    """The type of a value that is known to be a tensor."""
    assert isinstance(value.type, TensorType)
    return value.type


def shape(value: Value) -> tuple[Dim, ...]:
    """The sizes of a tensor of complete type."""
    return tensor_type(value).shape


def node_of(value: Value) -> Node:
    """The producer of a value that has one."""
    assert value.node is not None
    return value.node


def arguments(node: Node, known: Known) -> dict[str, Any]:
    """The parameters of a node's schema by name: known values as Python objects, others as Values,
    lists as lists of them.
    """
    return {
        a.name: _argument(v, known)
        for a, v in zip(node.op.schema.arguments, node.inputs, strict=False)
    }


def _argument(value: Value, known: Known) -> Any:
    if value in known:
        return known[value]
    node = value.node
    if (
        isinstance(value.type, ListType)
        and node is not None
        and node.op.name == "prim::ListConstruct"
    ):
        return [_argument(v, known) for v in node.inputs]
    return value


def tensors_of(node: Node, known: Known) -> list[Value]:
    """The tensors among a node's operands, those in lists too."""

    def walk(argument: Any) -> list[Value]:
        if isinstance(argument, list | tuple):
            return [v for item in argument for v in walk(item)]
        is_tensor = isinstance(argument, Value) and isinstance(argument.type, TensorType)
        return [argument] if is_tensor else []

    return walk(list(arguments(node, known).values()))


def view_index(
    source: Producer, index: Index, known: Known, out_dims: tuple[Dim, ...]
) -> Index | None:
    """The input's index of a view at an output index; None when it is not affine."""
    node = source.node
    rule = node.op.rule
    assert isinstance(rule, View)
    params = arguments(node, known)
    self_ = params.pop(node.op.schema.arguments[0].name)
    if source.piece is not None:
        params["piece"] = source.piece
    inner = rule.index(list(index), self_.type.shape, out_dims, **params)
    return (
        None
        if inner is None
        else tuple(i if isinstance(i, Affine) else Affine(const=i) for i in inner)
    )


def is_affine(node: Node, known: Known) -> bool:
    """Whether a view's input has an affine index for each index of the view."""
    type_ = node.outputs[0].type
    if not isinstance(type_, TensorType):  # pieces of a list are slices
        return True
    index = tuple(Affine.of(Var(f"v{k}", d)) for k, d in enumerate(type_.shape))
    return view_index(Producer(node), index, known, type_.shape) is not None


@record
class Place:
    """Where a lookup reads: an affine part for each dim, and data positions of some dims."""

    at: Index
    positions: tuple[tuple[int, At], ...]


def lookup_place(node: Node, index: Index, known: Known) -> Place:
    """Where a lookup reads its first operand for an output index."""
    rule = node.op.rule
    assert isinstance(rule, Lookup)
    found = rule.index(index, **arguments(node, known))
    positions = tuple((k, i) for k, i in enumerate(found) if isinstance(i, At))
    return Place(tuple(Affine() if isinstance(i, At) else i for i in found), positions)


def position_index(at: At) -> Index:
    """The index of a position in the tensor that holds it."""
    return broadcast(at.index, shape(at.tensor))


def reduced_axes(node: Node, known: Known) -> tuple[tuple[int, ...], bool]:
    """The dims that a reduction runs over, in order, and whether they stay as size 1."""
    params = arguments(node, known)
    type_ = node.inputs[0].type
    assert isinstance(type_, TensorType)
    return typerules.axes(params.get("dim"), len(type_.shape)), bool(params.get("keepdim", False))


def element_dtype(node: Node, known: Known) -> DType:
    """The dtype to which a reduction or scan casts its input: parameter `dtype` when given, else
    the input's own.
    """
    type_ = node.inputs[0].type
    assert isinstance(type_, TensorType) and type_.dtype is not None
    return arguments(node, known).get("dtype") or type_.dtype


def pointwise_dtype(node: Node, rule: Pointwise, known: Known) -> DType:
    """The common dtype of a pointwise node's lanes."""
    params = arguments(node, known)
    operands = {n: _typed(params.pop(n)) for n in rule.operands}
    present = {n: v for n, v in operands.items() if v is not None}
    dtype = typerules.compute_dtype(rule, present, rule.result_rule(params))
    assert dtype is not None
    return dtype


def _typed(operand: Any) -> Any:
    if not isinstance(operand, Value):
        return operand
    return operand.type if isinstance(operand.type, TensorType) else Unknown(operand.type)
