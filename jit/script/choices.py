"""A run-time index into what is known while compiling: one of several modules or functions.

layers[i](x)        if i == 0: layers[0](x) elif i == 1: layers[1](x) else: layers[2](x)
ACTIVATIONS[name]   the same with names; none of them raises KeyError
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ir import INT, STR, ListType, Value
from jit.script.conditions import truth
from jit.script.constants import lift
from jit.script.frame import Frame
from jit.script.scope import conditional, raise_exception
from jit.script.values import ChoiceOf, Operand, PyObject, Static

_SEQUENCES = (torch.nn.ModuleList, torch.nn.Sequential)
_MAPPINGS = (torch.nn.ModuleDict, dict)


def choose_item(frame: Frame, owner: PyObject, index: Value) -> Operand | None:
    """`layers[i]` of a container of modules, or of a dict of functions; None of any other."""
    if isinstance(owner.obj, _SEQUENCES) and index.type == INT:
        items = [lift(frame, m, f"{owner.name}[{i}]") for i, m in enumerate(owner.obj)]
        return choose_position(frame, items, index, owner.name)
    if not isinstance(owner.obj, _MAPPINGS) or index.type != STR:
        return None
    items = [lift(frame, v, f"{owner.name}[{k!r}]") for k, v in owner.obj.items()]
    names = [frame.constant(k) for k in owner.obj if isinstance(k, str)]
    if not 0 < len(names) == len(items) == sum(isinstance(i, Static) for i in items):
        return None
    listed = frame.node("prim::ListConstruct", names, [ListType(STR)]).output
    _check(frame, frame.op("aten::__contains__", listed, index), KeyError, index)
    return _choose(frame, index, names, items)


def choose_position(
    frame: Frame, items: Sequence[Operand], index: Value, name: str = "the sequence"
) -> Operand | None:
    """One of several operands, by position; None where they are no functions or modules."""
    count = len(items)
    if not 0 < count == sum(isinstance(i, Static) for i in items):
        return None
    low, high = frame.op("aten::ge", index, -count), frame.op("aten::lt", index, count)
    message = frame.constant(f"index out of range: {name} has {count} items")
    _check(frame, frame.op("aten::__and__", low, high), IndexError, message)
    position = frame.op("aten::remainder", index, count)
    return _choose(frame, position, [frame.constant(i) for i in range(count)], items)


def _check(frame: Frame, holds: Value, error: type[Exception], message: Value) -> None:
    known = truth(frame, holds)
    if isinstance(known, Value):
        conditional(frame, known, lambda: None, lambda: raise_exception(frame, error, message))


def _choose(
    frame: Frame, key: Value, candidates: Sequence[Value], items: Sequence[Operand]
) -> Operand:
    result = items[-1]
    for candidate, item in zip(reversed(candidates[:-1]), reversed(items[:-1]), strict=True):
        assert isinstance(item, Static) and isinstance(result, Static)
        result = ChoiceOf(frame.op("aten::eq", key, candidate), item, result)
    return result
