"""Rules of torch: what is known while compiling, typed expressions, and functions that are more
than an op.

Tests for torch functions, tracing and torch.compile are False in compiled code, so the branches
behind them are never compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint
from torch.nn.modules import utils as _utils

from ir import BOOL, DTYPE, GENERATOR, SIZE, TENSOR, SequenceType, Value
from jit.script import operators
from jit.script.conditions import truth
from jit.script.constants import UNKNOWN, constant_of
from jit.script.dynamic import call_python
from jit.script.frame import Frame
from jit.script.instances import isinstance_of
from jit.script.known import known_value
from jit.script.library import LIBRARY
from jit.script.rules import RULES, Rule, computed, rule
from jit.script.scope import select
from jit.script.values import Arguments, Items, Operand, PyObject

# what is known while compiling --------------------------------------------------------------------

FALSE: tuple[Any, ...] = (
    torch.compiler.is_compiling,
    torch.compiler.is_dynamo_compiling,
    torch.overrides.has_torch_function,
    torch.overrides.has_torch_function_unary,
    torch.overrides.has_torch_function_variadic,
    torch._C._get_tracing_state,
)
COMPUTED: tuple[Any, ...] = (torch.finfo, torch.iinfo, torch.get_default_dtype, torch.promote_types)


def _known(value: Any) -> Rule:
    return lambda frame, given: frame.constant(value)


def _computed_or_called(function: Any) -> Rule:
    """Computed while compiling where the arguments are known, otherwise called."""
    known = computed(function)

    def apply(frame: Frame, given: Arguments) -> Operand:
        operands = (*given.args, *given.kwargs.values())
        if any(known_value(o) is UNKNOWN for o in operands):
            return call_python(frame, function, given, function.__name__)
        return known(frame, given)

    return apply


RULES.update(dict.fromkeys(FALSE, _known(False)))
RULES.update({f: _computed_or_called(f) for f in COMPUTED})


@rule(torch.result_type)
def _result_type(frame: Frame, given: Arguments) -> Operand:
    """The op gives a dtype's number."""
    return frame.python(torch.result_type, [frame.require(a) for a in given.args], DTYPE)


@rule(torch.Generator)
def _generator(frame: Frame, given: Arguments) -> Operand:
    named = dict(zip(("device",), given.args, strict=False))
    return frame.op("aten::Generator", **named, **given.kwargs)


@rule(torch.Size)
def _size(frame: Frame, given: Arguments) -> Operand:
    """For ops a size is a list of ints."""
    listed = frame.call(PyObject(list, "list"), *given.args)
    return frame.cast(frame.require(listed), SIZE)


@rule(torch.device)
def _device(frame: Frame, given: Arguments) -> Operand:
    if any(known_value(a) is UNKNOWN for a in given.args):
        return given.args[0]  # a device already, or a name that every op takes as a device
    return computed(torch.device)(frame, given)


def dtype_of(obj: Any) -> Any:
    """The dtype that a Python or numpy class stands for as an argument, None for other objects."""
    known = {float: torch.float64, int: torch.int64, bool: torch.bool, complex: torch.complex128}
    if isinstance(obj, type) and obj in known:
        return known[obj]
    if isinstance(obj, np.dtype) or (isinstance(obj, type) and issubclass(obj, np.generic)):
        return getattr(torch, np.dtype(obj).name, None)
    return None


@rule(torch.broadcast_shapes)
def _broadcast_shapes(frame: Frame, given: Arguments) -> Operand:
    shapes = [frame.require(a) for a in given.args]
    return frame.python(torch.broadcast_shapes, shapes, SIZE)


def _repeated(function: Any) -> Rule:
    """A number for each dimension, or one for all: a list where torch's own code asks for it, as
    what it merges with is one; a tuple, which it is in Python, for users.
    """

    def apply(frame: Frame, given: Arguments) -> Operand:
        made = frame.unit.services.call_function(frame, function, given)
        if not frame.source.is_library:
            return made
        return frame.call(PyObject(list, "list"), made)

    return apply


for _function in (_utils._single, _utils._pair, _utils._triple, _utils._quadruple):
    RULES[_function] = _repeated(_function)


@rule(torch.nonzero)
def _nonzero(frame: Frame, given: Arguments) -> Operand:
    as_tuple = constant_of(given.kwargs.pop("as_tuple", frame.constant(False)))
    if not isinstance(as_tuple, bool):
        raise frame.unsupported("torch.nonzero needs an as_tuple known while compiling")
    if not as_tuple:
        return frame.op("aten::nonzero", *given.args, **given.kwargs)
    return frame.cast(frame.op("aten::nonzero_numpy", *given.args), SequenceType(TENSOR))


@rule(torch.is_tensor)
def _is_tensor(frame: Frame, given: Arguments) -> Operand:
    (operand,) = given.args
    if not isinstance(operand, Value):
        return frame.constant(False)
    verdict = isinstance_of(operand.type, (torch.Tensor,), frame.span)
    if isinstance(verdict, bool):
        return frame.constant(verdict)
    attrs = {"types": verdict.tested, "classes": verdict.classes}
    return frame.node("prim::isinstance", [operand], [BOOL], **attrs).output


@rule(torch.from_numpy)
def _from_numpy(frame: Frame, given: Arguments) -> Operand:
    """Captured arrays are tensors already."""
    (operand,) = given.args
    if operators.is_tensor(operand):
        return operand
    return call_python(frame, torch.from_numpy, given, "torch.from_numpy", TENSOR)


@rule(torch.cond)
def _cond(frame: Frame, given: Arguments) -> Operand:
    test, then, orelse, *rest = given.args
    operands = operators.elements(frame, rest[0]) if rest else []
    holds = truth(frame, test)
    if isinstance(holds, bool):
        return frame.call(then if holds else orelse, *operands)
    return select(
        frame, holds, lambda: frame.call(then, *operands), lambda: frame.call(orelse, *operands)
    )


@rule(torch.utils.checkpoint.checkpoint)
def _checkpoint(frame: Frame, given: Arguments) -> Operand:
    """Recomputing saves memory in training and never changes results."""
    return frame.call(given.args[0], *given.args[1:])


_DISABLED = torch._compile._disable_dynamo(lambda: None).__code__


def original_of(obj: Any) -> Any:
    """What `torch.compile` was given, and what torch wraps once dynamo is loaded."""
    obj = getattr(obj, "_torchdynamo_orig_callable", obj)
    return obj.__wrapped__ if getattr(obj, "__code__", None) is _DISABLED else obj


@rule(torch.random.manual_seed)
def _manual_seed(frame: Frame, given: Arguments) -> Operand:
    return frame.python(LIBRARY["manual_seed"], [frame.require(a) for a in given.args], GENERATOR)


# torch functions whose Python source is not compiled
# ------------------------------------------------

# Tensor methods written in Python whose op has the same parameters.
METHODS_AS_OPS = frozenset(
    ("split", "unflatten", "register_hook", "refine_names", "detach", "rsub", "istft", "backward")
)


@rule(torch.einsum)
def _einsum(frame: Frame, given: Arguments) -> Operand:
    equation, *tensors = given.args
    if len(tensors) == 1 and not operators.is_tensor(tensors[0]):
        return frame.op("aten::einsum", equation, tensors[0])
    return frame.op(
        "aten::einsum", equation, operators.as_list(frame, operators.rebuild(frame, tensors))
    )


@rule(torch.meshgrid)
def _meshgrid(frame: Frame, given: Arguments) -> Operand:
    tensors = (
        given.args[0]
        if len(given.args) == 1 and not operators.is_tensor(given.args[0])
        else Items(tuple(given.args))
    )
    if isinstance(tensors, Items):
        tensors = operators.rebuild(frame, list(tensors.items))
    made = frame.op("aten::meshgrid", operators.as_list(frame, tensors), **given.kwargs)
    return frame.cast(made, SequenceType(TENSOR))
