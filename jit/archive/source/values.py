"""What an expression means while it is read: a graph value, or something without one of its own."""

from __future__ import annotations

import ast
from typing import Any

from ir import ObjectType, Value, field, record


@record
class Dotted:
    """A path that is not yet a value: `torch.add`, `ops.prim.dtype`, `__torch__.pkg.Class`."""

    path: str


@record
class BoundMethod:
    """An attribute that is about to be called."""

    owner: Value
    name: str


@record(eq=False)
class Closure:
    """A nested function: `def __forked_function()`."""

    node: ast.FunctionDef


@record(frozen=False, eq=False)
class Context:
    """A context manager of torch, such as `no_grad`: made by the class and these arguments, each
    time that the code runs.
    """

    cls: type
    args: list[Value] = field(default_factory=list)


Operand = Value | Dotted | BoundMethod | Closure | Context


def context_type(cls: type) -> ObjectType:
    """The type of a context manager of torch."""
    return ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)


def constant_value(value: Value) -> Any:
    """The value of a constant, None for anything else."""
    node = value.node
    return node.attrs["value"] if node is not None and node.name == "prim::Constant" else None


def describe(operand: Operand) -> str:
    """For messages: what an operand is."""
    match operand:
        case Dotted(path=path):
            return f"the name {path}"
        case BoundMethod(name=name):
            return f"the method {name!r}"
        case Closure():
            return "a nested function"
        case Context():
            return "a context manager"
    return f"a {operand.type}"
