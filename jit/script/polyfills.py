"""Library functions that call functions, in Python of ours, which is compiled in their place: so
that what they call is compiled with them, and archives hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from types import FunctionType
from typing import Any

from torch._higher_order_ops.while_loop import while_loop

from jit.script.frame import Frame
from jit.script.rules import Rule, rule
from jit.script.values import Arguments, Operand

# Bodies are for the compiler, which takes types from each call:
# ruff: noqa: ANN001, ANN202
# mypy: allow-untyped-defs


def _while_loop(cond_fn, body_fn, carried_inputs, additional_inputs=()):
    while cond_fn(*carried_inputs, *additional_inputs):
        carried_inputs = body_fn(*carried_inputs, *additional_inputs)
    return carried_inputs


def _apply(tensor, function):
    flat = tensor.reshape(-1)
    for i in range(flat.numel()):
        flat[i] = function(flat[i].item())
    return tensor.copy_(flat.view_as(tensor))


def _map(tensor, other, function):
    flat, more = tensor.reshape(-1), other.expand_as(tensor).reshape(-1)
    for i in range(flat.numel()):
        flat[i] = function(flat[i].item(), more[i].item())
    return tensor.copy_(flat.view_as(tensor))


def _groupby(iterable, key=None):
    groups = []  # type: ignore[var-annotated]
    for item in iterable:
        name = item if key is None else key(item)
        if len(groups) > 0 and groups[-1][0] == name:
            groups[-1][1].append(item)
        else:
            groups.append((name, [item]))
    return groups


def _compiled(polyfill: Callable[..., Any]) -> Rule:
    assert isinstance(polyfill, FunctionType)

    def apply(frame: Frame, given: Arguments) -> Operand:
        return frame.unit.services.call_function(frame, polyfill, given)

    return apply


METHODS: dict[str, Rule] = {"apply_": _compiled(_apply), "map_": _compiled(_map)}
"""Methods of tensors."""

rule(while_loop)(_compiled(_while_loop))
rule(groupby)(_compiled(_groupby))
