"""Compile a function, run its graph in the interpreter, and compare with plain Python."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from ir import Interpreter, erased_type_of
from jit.script import compile_function
from jit.script.compiled import CompiledSource


def compiled(fn: Callable[..., Any], *args: Any) -> CompiledSource:
    """The function compiled for the types of these arguments."""
    return compile_function(fn, [erased_type_of(a) for a in args])


def outcome(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Any, Any]:
    """What a call does: its result or exception, and what it leaves in its arguments."""
    args = copy.deepcopy(args)
    torch.manual_seed(0)
    try:
        return "returns", fn(*args), args
    except Exception as error:  # noqa: BLE001
        return "raises", error, args


def agree(fn: Callable[..., Any], *args: Any) -> CompiledSource:
    """Check that the graph does what the function does, mutation and exceptions included."""
    source = compiled(fn, *args)
    kind, result, left = outcome(Interpreter(source.graph).run, args)
    wanted_kind, wanted, wanted_left = outcome(fn, args)
    if kind != wanted_kind:
        raise AssertionError(f"{kind} {result!r}, eager {wanted_kind} {wanted!r}") from (
            result if kind == "raises" else None
        )
    if kind == "raises":
        assert type(result) is type(wanted), f"raises {result!r}, eager {wanted!r}"
        loose = isinstance(
            result, RuntimeError | IndexError | TypeError | AssertionError
        )  # texts of torch, of pytest
        assert result.args == wanted.args or loose
    else:
        assert same(result, wanted), f"{result!r} is not {wanted!r}"
    assert same(left, wanted_left), f"arguments became {left!r}, in eager {wanted_left!r}"
    return source


def same(a: Any, b: Any) -> bool:
    """Equal in value and type; a list may stand for a torch.Size."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.allclose(a, b, equal_nan=True)
    if isinstance(b, torch.Size):
        return list(a) == list(b)
    if isinstance(a, tuple | list):
        pairs_with = isinstance(b, tuple) == isinstance(a, tuple)
        return pairs_with and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))
