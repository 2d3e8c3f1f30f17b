"""What loop nests can compute: nodes of a kind with a rule for them, on tensors of known types."""

from __future__ import annotations

from codegen.operands import Known, arguments, producer
from ir import (
    BOOL,
    FLOAT,
    INT,
    Create,
    DType,
    Join,
    ListType,
    Lookup,
    Node,
    Pointwise,
    Reduction,
    Scan,
    TensorType,
    Type,
    Value,
    View,
    dtypes,
)

FUSIBLE = (Pointwise, View, Create, Join, Lookup, Reduction, Scan)
REGISTERS: dict[Type, DType] = {INT: dtypes.int64, FLOAT: dtypes.float64, BOOL: dtypes.bool_}


def is_fusible(node: Node, known: Known) -> bool:
    """Whether loop nests can compute the node: a kind with a rule, types complete, parameters
    known.
    """
    if node.name == "prim::ListUnpack":
        source = producer(node.outputs[0])
        return source is not None and source.piece is not None and is_fusible(source.node, known)
    if not isinstance(node.op.rule, FUSIBLE):
        return False
    lanes = node.op.rule.operands if isinstance(node.op.rule, Pointwise) else ()
    params = arguments(node, known)
    return all(is_complete(v) for v in node.outputs) and all(
        _is_usable(value, name in lanes or isinstance(node.op.rule, Create))
        for name, value in params.items()
    )


def is_complete(value: Value) -> bool:
    """Whether everything is known of a tensor that loops over it need."""
    type_ = value.type
    if isinstance(type_, ListType):  # pieces of a view: typed where they are unpacked
        return all(
            user.name == "prim::ListUnpack" and all(map(is_complete, user.outputs))
            for user, _ in value.uses
        )
    return (
        isinstance(type_, TensorType)
        and type_.is_complete
        and type_.dtype in dtypes.COMPILED
        and type_.device in (None, "cpu")
    )


def _is_usable(argument: object, is_number_allowed: bool) -> bool:
    if isinstance(argument, list | tuple):
        return all(_is_usable(a, is_number_allowed) for a in argument)
    if not isinstance(argument, Value):
        return True
    if isinstance(argument.type, TensorType):
        return is_complete(argument)
    return is_number_allowed and argument.type in REGISTERS
