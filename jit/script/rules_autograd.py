"""Rules of torch.autograd: gradients asked for in compiled code."""

from __future__ import annotations

from typing import Any

import torch

from ir import TENSOR, ListType, OptionalType, SequenceType, Value
from jit.script import operators
from jit.script.constants import constant_of, make_tuple
from jit.script.dynamic import call_python
from jit.script.frame import Frame
from jit.script.functions import bind_named
from jit.script.rules import RULES, Rule, rule
from jit.script.values import Arguments, Operand

_GRAD = {
    "outputs": ..., "inputs": ..., "grad_outputs": None, "retain_graph": None,
    "create_graph": False, "only_inputs": True, "allow_unused": None, "is_grads_batched": False,
    "materialize_grads": False,
}  # fmt: skip
_FIXED = ("only_inputs", "is_grads_batched", "materialize_grads")


@rule(torch.autograd.grad)
def _grad(frame: Frame, given: Arguments) -> Operand:
    """A tuple of gradients, one for each input; None among them where inputs may be unused."""
    defaults = {k: frame.constant(v) for k, v in _GRAD.items() if v is not ...}
    bound = bind_named(frame, "grad", list(_GRAD), given, {**defaults})
    for name in _FIXED:
        if constant_of(bound[name]) != _GRAD[name]:
            raise frame.unsupported(f"{name}={not _GRAD[name]} needs eager mode: ask for it there")
    may_be_unused = bound["allow_unused"]
    if constant_of(may_be_unused) is None:
        may_be_unused = frame.constant(False)
    made = frame.op(
        "aten::grad",
        _tensors(frame, bound["outputs"]),
        inputs := _tensors(frame, bound["inputs"]),
        _weights(frame, bound["grad_outputs"]),
        bound["retain_graph"],
        bound["create_graph"],
        may_be_unused,
    )
    count = _length(inputs)
    if count is None:
        return frame.cast(made, SequenceType(OptionalType(TENSOR)))
    parts = frame.node("prim::ListUnpack", [made], [OptionalType(TENSOR)] * count).outputs
    if constant_of(may_be_unused) is False:
        parts = [frame.op("aten::_unwrap_optional", p) for p in parts]
    return make_tuple(frame, parts)


def _in_python(function: Any) -> Rule:
    """A function that differentiates functions: eager's, of Python functions made for it."""
    return lambda frame, given: call_python(frame, function, given, function.__name__)


for _name in ("jacobian", "hessian", "vjp", "jvp", "hvp", "vhp"):
    _function = getattr(torch.autograd.functional, _name)
    RULES[_function] = _in_python(_function)
for _function in (torch.func.jacrev, torch.func.jacfwd, torch.func.hessian, torch.func.vjp,
                  torch.func.jvp, torch.random.fork_rng):  # fmt: skip
    RULES[_function] = _in_python(_function)


def _tensors(frame: Frame, operand: Operand) -> Value:
    if operators.is_tensor(operand):
        operand = operators.rebuild(frame, [operand])
    return operators.as_list(frame, operand)


def _weights(frame: Frame, operand: Operand) -> Value:
    if constant_of(operand) is None:
        return frame.constant(None)
    weights = _tensors(frame, operand)
    return frame.cast(weights, ListType(OptionalType(TENSOR)))


def _length(tensors: Value) -> int | None:
    """The length of a list made right here."""
    node = tensors.node
    return len(node.inputs) if node is not None and node.name == "prim::ListConstruct" else None
