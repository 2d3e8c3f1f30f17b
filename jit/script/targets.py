"""Assignment targets: names, unpacking with `*`, items, attributes of tensors."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import torch

from ir import NONE, ListType, TensorType, Value
from jit.script.classes import set_field
from jit.script.constants import empty_list, make_list
from jit.script.dynamic import is_dynamic
from jit.script.frame import Frame
from jit.script.indexing import read_index, setitem
from jit.script.iteration import Indexed, iteration
from jit.script.modules import assign_attribute
from jit.script.operators import elements, is_tuple
from jit.script.scope import conditional, raise_exception
from jit.script.values import Instance, Items, Operand, PyObject, values_of


def assign(frame: Frame, target: ast.expr, operand: Operand) -> None:
    """Bind a target."""
    with frame.at(target):
        match target:
            case ast.Name(id=name):
                frame.bind(name, operand)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                _unpack(frame, targets, operand)
            case ast.Subscript():
                owner = frame.evaluate(target.value)
                setitem(frame, owner, read_index(frame, target.slice), operand)
                forget_items(frame, target.value)
            case ast.Attribute():
                set_attribute(frame, frame.evaluate(target.value), target.attr, operand)
            case ast.Starred():
                raise frame.unsupported("a starred target must be part of a tuple")


def forget_items(frame: Frame, owner: ast.expr) -> None:
    """What tests showed about the items of a container does not outlive an assignment to one of
    them.
    """
    frame.forget(f"{ast.unparse(owner)}[")


def set_attribute(frame: Frame, owner: Operand, name: str, operand: Operand) -> None:
    """`owner.name = operand`."""
    if isinstance(owner, Instance):
        set_field(frame, owner, name, operand)
        return
    if isinstance(owner, PyObject):
        assign_attribute(frame, owner, name, operand)
        return
    if isinstance(owner, Value) and isinstance(owner.type, TensorType) and name == "data":
        frame.op("aten::set_data", owner, operand)
        return
    if isinstance(owner, Value) and (is_dynamic(owner.type) or _is_tensors(owner, name)):
        frame.python(setattr, [owner, frame.constant(name), frame.require(operand)], NONE)
        return
    what = f"a value of type {owner.type}" if isinstance(owner, Value) else owner.describe()
    raise frame.unsupported(f"the attribute {name!r} of {what} cannot be assigned in compiled code")


def _is_tensors(owner: Value, name: str) -> bool:
    """Whether this is an attribute that tensors have, such as `grad`."""
    return isinstance(owner.type, TensorType) and hasattr(torch.Tensor, name)


def _unpack(frame: Frame, targets: Sequence[ast.expr], operand: Operand) -> None:
    star = next((i for i, t in enumerate(targets) if isinstance(t, ast.Starred)), None)
    over = iteration(frame, operand) if isinstance(operand, PyObject) else None
    if over is not None and not isinstance(over, Indexed):
        operand = Items(tuple(over))
    if is_tuple(operand):
        items = elements(frame, operand)
    elif star is not None:
        listed = frame.require(frame.call(PyObject(list, "list"), operand))
        _unpack_list(frame, targets, listed, star)
        return
    else:
        items = _runtime_elements(frame, operand, len(targets))
    if star is None:
        if len(items) != len(targets):
            few = "too many" if len(items) > len(targets) else "not enough"
            raise frame.mismatch(
                f"{few} values to unpack (expected {len(targets)}, got {len(items)})"
            )
        pairs = list(zip(targets, items, strict=True))
    else:
        pairs = _starred(frame, targets, items, star)
    for target, item in pairs:
        assign(frame, target, item)


def _unpack_list(frame: Frame, targets: Sequence[ast.expr], value: Value, star: int) -> None:
    """`a, *b, c = items` of a list: elements from both ends and the slice between."""
    tail = len(targets) - star - 1
    starred = targets[star]
    assert isinstance(starred, ast.Starred)
    _check_length(frame, frame.op("aten::len", value), len(targets) - 1)
    stop = frame.constant(-tail if tail else None)
    rest = frame.op("aten::slice", value, frame.constant(star), stop, 1)
    for i, target in enumerate(targets):
        if i == star:
            assign(frame, starred.value, rest)
        else:
            position = i if i < star else i - len(targets)
            assign(frame, target, frame.op("aten::__getitem__", value, position))


def _check_length(frame: Frame, length: Value, least: int) -> None:
    text = "not enough values to unpack (expected at least {}, got {})"
    suffices = frame.op("aten::ge", length, least)

    def fail() -> None:
        message = frame.op("aten::format", text, frame.constant(least), length)
        raise_exception(frame, ValueError, message)

    conditional(frame, suffices, lambda: None, fail)


def _starred(
    frame: Frame, targets: Sequence[ast.expr], items: list[Operand], star: int
) -> list[tuple[ast.expr, Operand]]:
    """`a, *b, c = items`: the middle becomes a list."""
    tail = len(targets) - star - 1
    if len(items) < star + tail:
        raise frame.mismatch(
            f"not enough values to unpack (expected at least {star + tail}, got {len(items)})"
        )
    middle = items[star : len(items) - tail]
    values = values_of(middle)
    starred = targets[star]
    assert isinstance(starred, ast.Starred)
    rest: Operand = Items(tuple(middle))
    if values is not None:
        rest = make_list(frame, values) if values else empty_list(frame)
    after = items[len(items) - tail :] if tail else []
    return [*zip(targets[:star], items), (starred.value, rest), *zip(targets[star + 1 :], after)]  # noqa: B905


def _runtime_elements(frame: Frame, operand: Operand, count: int) -> list[Operand]:
    """A list, tensor or string of a length known at run time, which must be `count`."""
    if isinstance(operand, Value) and isinstance(operand.type, ListType):
        return list(
            frame.node("prim::ListUnpack", [operand], [operand.type.element] * count).outputs
        )
    if isinstance(operand, Value) and isinstance(operand.type, TensorType):
        parts = frame.op("aten::unbind", operand, 0)
        return list(
            frame.node("prim::ListUnpack", [parts], [operand.type.erased()] * count).outputs
        )
    listed = frame.require(frame.call(PyObject(list, "list"), operand))
    assert isinstance(listed.type, ListType)
    return list(frame.node("prim::ListUnpack", [listed], [listed.type.element] * count).outputs)
