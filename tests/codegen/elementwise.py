"""Element loops over lane rules, and distances in ulp, for the tests of lanes and mathlib."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import llvmlite.ir as ll
import numpy as np
import torch
from torch import Tensor

from codegen.engine import Engine, Library
from codegen.lanes.lanes import Lane, Lanes
from ir import DType, dtypes

I64, POINTER = ll.IntType(64), ll.PointerType()
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    1e-45,
    -1e-45,
    5e-324,
    1.1754943508222875e-38,
]
SPECIAL += [
    2.2250738585072014e-308,
    3.4028234663852886e38,
    -3.4028234663852886e38,
    1.7976931348623157e308,
]
SPECIAL += [
    float("inf"),
    float("-inf"),
    float("nan"),
    88.7,
    89.0,
    -87.4,
    -104.5,
    709.7,
    -745.2,
    16777217.0,
    1e22,
]


@cache
def engine() -> Engine:
    return Engine()


def emit(
    rule: Callable[..., Lane],
    inputs: Sequence[DType],
    output: DType,
    width: int,
    features: frozenset[str] = frozenset(),
) -> ll.Module:
    """for (i = 0; i < n; i += width) out[i] = rule(builder, in0[i], in1[i], ...)"""
    module = ll.Module()
    signature = ll.FunctionType(ll.VoidType(), [*[POINTER] * len(inputs), POINTER, I64])
    function = ll.Function(module, signature, "loop")
    *sources, target, count = function.args
    before, body, done = (function.append_basic_block(name) for name in ("entry", "body", "done"))
    ll.IRBuilder(before).branch(body)
    b = ll.IRBuilder(body)
    s = Lanes(b, width, features)
    index = b.phi(I64)
    index.add_incoming(I64(0), before)

    def at(pointer: ll.Value, dtype: DType) -> ll.Value:
        return b.gep(pointer, [index], source_etype=s.memory_type(dtype))

    xs = [s.load(at(p, dtype), dtype) for p, dtype in zip(sources, inputs, strict=True)]
    s.store(at(target, output), rule(s, *xs), output)
    following = b.add(index, I64(width))
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, count), body, done)
    ll.IRBuilder(done).ret_void()
    return module


def native(library: Library, name: str, *kinds: Any) -> Callable[..., None]:
    """A function of a library, which stays loaded as long as the callable."""
    function = ctypes.CFUNCTYPE(None, *kinds)(library.address(name))

    def call(*args: Any) -> None:
        function(*args)
        assert library is not None

    return call


def elementwise(
    rule: Callable[..., Lane],
    inputs: Sequence[DType],
    output: DType,
    width: int,
    features: frozenset[str] = frozenset(),
) -> Callable[..., Tensor]:
    """The rule as a function of contiguous tensors of any length."""
    module = emit(rule, inputs, output, width, features)
    pointers = [ctypes.c_void_p] * (len(inputs) + 1)
    loop = native(engine().load(module), "loop", *pointers, ctypes.c_int64)

    def run(*xs: Tensor) -> Tensor:
        n = xs[0].numel()
        padded = -(-n // width) * width
        xs = tuple(torch.cat([x, x[:1].expand(padded - n)]).contiguous() for x in xs)
        out = torch.empty(padded, dtype=torch_dtype(output))
        loop(*(x.data_ptr() for x in xs), out.data_ptr(), padded)
        return out[:n]

    return run


def torch_dtype(dtype: DType) -> torch.dtype:
    return getattr(torch, dtype.name)


def float_samples(dtype: DType, count: int, seed: int = 0) -> Tensor:
    """Random bit patterns, moderate numbers of several spreads, special values."""
    random = np.random.default_rng(seed)
    kind = np.float32 if dtype is dtypes.float32 else np.float64
    patterns = random.integers(0, 256, count * kind().itemsize, dtype=np.uint8).view(kind)
    spread = [random.normal(size=count // 4) * scale for scale in (0.3, 1, 10, 100)]
    with np.errstate(over="ignore"):
        parts = [patterns, *spread, SPECIAL]
        return torch.from_numpy(np.concatenate([np.asarray(part).astype(kind) for part in parts]))


def ulps(got: Tensor, exact: np.ndarray) -> np.ndarray:
    """|got - exact| in units in the last place of `exact`; inf where only one of them is NaN."""
    got_array = got.numpy()
    kind = got_array.dtype
    with np.errstate(all="ignore"):
        rounded = exact.astype(kind)
        info = np.finfo(kind)
        unit = np.spacing(np.clip(np.abs(rounded), info.tiny, info.max)).astype(np.longdouble)
        error = np.abs(got_array.astype(np.longdouble) - exact) / unit
    same = (got_array == rounded) | (np.isnan(got_array) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error)).astype(np.float64)
