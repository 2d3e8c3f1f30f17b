"""When two results agree: the tolerance that `compare` and the benchmarks state.

The reference is the eager function run in float64 (floating arguments widened, float64 as default
dtype). The unit of error is the tolerance of the result's dtype, `atol + rtol * |reference|`.
A result agrees when it has the reference's structure and sizes, and its largest error is at most
one unit, or at most twice that of eager itself: nobody is asked to be more exact than eager where
the mathematics is badly conditioned. Integers and bools must be exact, except where eager's own
differ from the float64 run (a rounding to 8 bits, say).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]
Function = Callable[..., Any]

# dtype: (rtol, atol)
TOLERANCES = {
    "float64": (1e-9, 1e-10),
    "float32": (1e-4, 1e-5),
    "float16": (2e-3, 1e-4),
    "bfloat16": (2e-2, 1e-3),
}
EXACT = (0.0, 0.5)  # a difference of one is two units


@dataclass(frozen=True, slots=True)
class Error:
    """The largest difference, as it is and in units of the tolerance."""

    absolute: float = 0.0
    units: float = 0.0


class Mismatch(Exception):
    """Two results that differ in structure or size, so that no error can be stated."""


def leaves(result: Any) -> list[tuple[Array, str]]:
    """The arrays of a nested result in order, each with the name of its dtype."""
    return list(_leaves(result))


def _leaves(result: Any) -> Iterator[tuple[Array, str]]:
    match result:
        case None:
            return
        case torch.Tensor():
            dtype = str(result.dtype).removeprefix("torch.")
            plain = result.detach().resolve_conj().resolve_neg().cpu()
            yield (plain.double() if plain.is_floating_point() else plain).numpy(), dtype
        case dict():
            for value in result.values():
                yield from _leaves(value)
        case list() | tuple():
            for value in result:
                yield from _leaves(value)
        case bool() | int() | float() | complex() | np.generic() | np.ndarray():
            array = np.asarray(result)
            yield array, array.dtype.name
        case _ if hasattr(result, "__array__"):
            yield from _leaves(np.asarray(result))
        case _:
            raise Mismatch(f"a result of type {type(result).__name__} cannot be compared")


@dataclass(frozen=True, slots=True)
class Reference:
    """The result to agree with, where it came from, and how far eager itself is from it."""

    leaves: list[tuple[Array, str]]
    name: str
    tolerances: list[tuple[float, float]]
    eager_error: Error = Error()

    @staticmethod
    def of(
        f: Function,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        tolerance: tuple[float, float] | None = None,
    ) -> Reference:
        """The reference for a call of `f`; eager's own result when `f` refuses float64."""
        own_args, own_kwargs = fresh((args, dict(kwargs)))
        eager = leaves(f(*own_args, **own_kwargs))
        tolerances = [tolerance or TOLERANCES.get(dtype, EXACT) for _, dtype in eager]
        try:
            made = Reference(_in_float64(f, args, kwargs), "eager in float64", tolerances)
            return replace(made, eager_error=made._error(eager))
        except (RuntimeError, TypeError, ValueError, Mismatch) as refusal:
            name = f"eager as it is (float64: {type(refusal).__name__})"
            return Reference(eager, name, tolerances)

    def error(self, result: Any) -> Error:
        """The largest error of a result; `Mismatch` when its structure differs."""
        return self._error(leaves(result))

    def _error(self, got: list[tuple[Array, str]]) -> Error:
        if not len(self.leaves) == len(got) == len(self.tolerances):
            raise Mismatch(f"{len(got)} results instead of {len(self.leaves)}")
        errors = [
            _array_error(r, g, tolerance)
            for (r, _), (g, _), tolerance in zip(self.leaves, got, self.tolerances, strict=True)
        ]
        return Error(
            max((e.absolute for e in errors), default=0.0),
            max((e.units for e in errors), default=0.0),
        )

    def accepts(self, error: Error) -> bool:
        """Whether a result with this error agrees."""
        return error.units <= max(1.0, 2.0 * self.eager_error.units)


def _array_error(reference: Array, got: Array, tolerance: tuple[float, float]) -> Error:
    if reference.shape != got.shape:
        raise Mismatch(f"a result of shape {got.shape} instead of {reference.shape}")
    if not reference.size:
        return Error()
    rtol, atol = tolerance
    wide = np.complex128 if "c" in (reference.dtype.kind, got.dtype.kind) else np.float64
    r, g = reference.astype(wide), got.astype(wide)
    with np.errstate(invalid="ignore", over="ignore"):
        same = (reference == got) | (np.isnan(r) & np.isnan(g))
        difference = np.where(same, 0.0, np.abs(r - g))
        scale = atol + rtol * np.abs(r)
        # An infinite or NaN reference allows nothing but itself; a difference may be NaN.
        units = np.where(same, 0.0, np.where(np.isfinite(scale), difference / scale, np.inf))
    return Error(_largest(difference), _largest(units))


def _largest(values: Array) -> float:
    return float(np.where(np.isnan(values), np.inf, values).max())


def fresh(values: Any) -> Any:
    """A deep copy of arguments, so that a function that writes to them can be called again."""
    return copy.deepcopy(values)


def widened(value: Any) -> Any:
    """The arguments with every floating tensor and array in float64."""
    match value:
        case torch.Tensor() if value.is_floating_point():
            return value.detach().double()
        case np.ndarray() if value.dtype.kind == "f":
            return value.astype(np.float64)
        case dict():
            return {key: widened(v) for key, v in value.items()}
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(map(widened, value))
        case torch.nn.Module():
            return copy.deepcopy(value).double()
    return fresh(value)


def _in_float64(
    f: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[Array, str]]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            return leaves(widened(f)(*widened(args), **widened(dict(kwargs))))
    finally:
        torch.set_default_dtype(before)
