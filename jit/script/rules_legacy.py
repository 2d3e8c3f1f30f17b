"""The old constructors of tensors, which take sizes or elements.

torch.FloatTensor(2, 3)         torch.empty(2, 3, dtype=torch.float32)
torch.FloatTensor([2, 3])       torch.tensor([2, 3], dtype=torch.float32)

What else they take (tensors, storages) is left to Python.
"""

from __future__ import annotations

from typing import Any

import torch

from ir import BOOL, FLOAT, INT, SIZE, TENSOR, ListType, Type
from jit.script import operators
from jit.script.constants import make_list
from jit.script.dynamic import call_python
from jit.script.frame import Frame
from jit.script.rules import Rule, rule
from jit.script.values import Arguments, Operand

_TYPED = (
    torch.FloatTensor, torch.DoubleTensor, torch.HalfTensor, torch.BFloat16Tensor,
    torch.LongTensor, torch.IntTensor, torch.ShortTensor, torch.CharTensor, torch.ByteTensor,
    torch.BoolTensor,
)  # fmt: skip


def _constructor(cls: Any) -> Rule:
    def apply(frame: Frame, given: Arguments) -> Operand:
        dtype = cls.dtype if cls in _TYPED else torch.get_default_dtype()
        args = [operators.as_list(frame, a) for a in given.args]
        types = [a.type for a in args]
        if given.kwargs:
            pass
        elif all(t == INT for t in types):
            sizes = make_list(frame, args or [frame.constant(0)], INT)
            return frame.op("aten::empty", sizes, dtype=dtype)
        elif types == [SIZE]:
            return frame.op("aten::empty", args[0], dtype=dtype)
        elif len(types) == 1 and _holds_numbers(types[0]):
            return frame.op("aten::tensor", args[0], dtype=dtype)
        return call_python(frame, cls, given, cls.__name__, TENSOR)

    return apply


def _holds_numbers(type_: Type) -> bool:
    """Whether a type is that of a list of real numbers, or of such lists."""
    while isinstance(type_, ListType):
        type_ = type_.element
        if type_ in (BOOL, INT, FLOAT):
            return True
    return False


for _class in (torch.Tensor, *_TYPED):
    rule(_class)(_constructor(_class))
