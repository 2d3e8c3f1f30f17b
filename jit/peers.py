"""The other ways to run a tensor function, each prepared at its best settings.

torch.jit and torch.compile take the user's torch function. Numba, JAX and numexpr cannot: for them
a function must be written by hand, and without one their row says so. Numba and numexpr get NumPy
arrays, JAX its own arrays; a result that JAX computes in the background is waited for.

A peer that is missing or has no source raises `Unavailable`; whatever else it raises is its own.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch

from jit.measure import Runner

Function = Callable[..., Any]


class Unavailable(Exception):
    """Why a peer cannot take part; the text is its note."""


def prepare(
    name: str,
    own: Function | None,
    eager: Function,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    threads: int,
) -> tuple[Runner, str]:
    """A runner for a peer, and a note; `own` is the function written for it, if any."""
    if name in _TORCH:
        call, note = _TORCH[name](own or eager, args, kwargs)
        return Runner(call, args, kwargs), note
    if own is None:
        reason = (
            "needs its own source" if name in OWN_SOURCE else "unknown name, and no function given"
        )
        raise Unavailable(reason)
    if name not in OWN_SOURCE:
        return Runner(own, args, kwargs), ""
    return OWN_SOURCE[name](own, args, kwargs, threads), ""


def _torch_jit(
    f: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Function, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.jit.script(f), "scripted"
        except (RuntimeError, NotImplementedError, TypeError, ValueError, OSError) as error:
            refused = type(error).__name__
        return torch.jit.trace(
            f, args, example_kwarg_inputs=dict(kwargs) or None
        ), f"traced (scripting: {refused})"


def _torch_compile(
    f: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Function, str]:
    return torch.compile(f), ""


def _numba(own: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any], threads: int) -> Runner:
    numba = _load("numba")
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if not hasattr(own, "py_func"):
        parallel = threads > 1 and "prange" in inspect.getsource(own)
        own = numba.njit(fastmath=True, error_model="numpy", parallel=parallel)(own)
    return Runner(own, _as_numpy(args), _as_numpy(dict(kwargs)))


def _numexpr(
    own: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any], threads: int
) -> Runner:
    _load("numexpr").set_num_threads(threads)
    return Runner(own, _as_numpy(args), _as_numpy(dict(kwargs)))


def _jax(own: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any], threads: int) -> Runner:
    jax = _load("jax")
    jax.config.update("jax_enable_x64", True)  # or it would compute 64-bit inputs in 32 bits
    own = own if hasattr(own, "lower") else jax.jit(own)

    def to_device(value: Any) -> Any:
        return jax.numpy.asarray(value) if hasattr(value, "__array__") else value

    device_args = jax.tree.map(to_device, _as_numpy(args))
    device_kwargs = jax.tree.map(to_device, _as_numpy(dict(kwargs)))
    if hasattr(own(*device_args, **device_kwargs), "block_until_ready"):
        return Runner(own, device_args, device_kwargs, wait=".block_until_ready()")
    return Runner(lambda *a, **k: jax.block_until_ready(own(*a, **k)), device_args, device_kwargs)


def _as_numpy(value: Any) -> Any:
    match value:
        case torch.Tensor():
            return value.detach().numpy()
        case dict():
            return {key: _as_numpy(v) for key, v in value.items()}
        case list() | tuple():
            return type(value)(map(_as_numpy, value))
    return value


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise Unavailable(f"not installed ({error.name})") from error


_TORCH = {
    "torch.jit": _torch_jit,
    "torch.compile": _torch_compile,
}
OWN_SOURCE = {"numba": _numba, "numexpr": _numexpr, "jax": _jax}
