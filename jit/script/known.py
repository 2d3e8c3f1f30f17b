"""Python objects of operands that are known while compiling."""

from __future__ import annotations

from typing import Any

from ir import TupleType, Value, to_torch
from jit.script.constants import UNKNOWN, constant_of
from jit.script.values import Items, Operand, PyObject


def known_value(operand: Operand) -> Any:
    """The Python object of an operand known while compiling, `UNKNOWN` otherwise; dtypes are
    torch's.
    """
    if isinstance(operand, PyObject):
        return operand.obj
    if isinstance(operand, Items):
        items = [known_value(i) for i in operand.items]
        return UNKNOWN if any(i is UNKNOWN for i in items) else tuple(items)
    if isinstance(operand, Value) and type(operand.type) is TupleType and not operand.type.fields:
        made = operand.node
        if made is not None and made.name == "prim::TupleConstruct":
            return known_value(Items(tuple(made.inputs)))
    if isinstance(operand, Value) and constant_of(operand) is not UNKNOWN:
        return to_torch(constant_of(operand), operand.type)
    return UNKNOWN
