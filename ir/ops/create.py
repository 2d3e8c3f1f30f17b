"""Rows of creation: constants, ranges, and what is like another tensor.

`zeros_like` and its kin are pointwise in their tensor, so that they take its layout; their rule
does not look at the element, and no load remains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ir.dims import Dim
from ir.dtypes import DType, Kind, by_code, float32, float64, int64
from ir.op import Create, Op
from ir.ops.cast import CONTIGUOUS, is_plain
from ir.ops.factory import Tensor, composite, declare, pointwise
from ir.scalar import Lane, Scalars
from ir.typerules import fail, filled, is_known, number_dtype
from ir.types import TENSOR, TensorType

OPTIONS = "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None"
FORMAT = f"{OPTIONS}, MemoryFormat? memory_format=None"

SizeRule = Callable[..., "tuple[Dim, ...] | None"]
DTypeRule = Callable[[Mapping[str, Any]], "DType | None"]


def create(schemas: str, sizes: SizeRule, scalar: Callable[..., Lane], *,
           dtype: DTypeRule = lambda params: None, dtypes: tuple[DType, ...] | None = None) -> Op:
    """Rows that need no tensor. `sizes(**params)` are the result's, None when they are not known;
    `dtype(params)` is the result's when parameter `dtype` is absent (None: the default float)."""

    def infer(**params: Any) -> TensorType:
        names = ("layout", "device", "pin_memory", "memory_format")
        options: dict[str, Any] = {n: params.pop(n) for n in names if n in params}
        if not is_known(*options.values(), params["dtype"]) or not is_ordinary(options):
            return TENSOR
        chosen = as_dtype(params.pop("dtype")) or dtype(params)
        dims = sizes(**params)
        if dims is None or (dtypes is not None and (chosen or float32) not in dtypes):
            return TENSOR
        return filled(dims, chosen)

    return declare(schemas, lambda _: Create(scalar), lambda rule, schema: infer)


def is_ordinary(options: Mapping[str, Any]) -> bool:
    """`is_plain`, where a new tensor may also ask for the contiguous format by name."""
    wanted = options.get("memory_format")
    return is_plain(**{**options, "memory_format": None if wanted == CONTIGUOUS else wanted})


def as_dtype(dtype: DType | int | None) -> DType | None:
    """A dtype from its integer code too."""
    return by_code(dtype) if isinstance(dtype, int) else dtype


# constants ----------------------------------------------------------------------------------------
def _sized(size: Any, **_: Any) -> tuple[Dim, ...] | None:
    return tuple(size) if is_known(size) else None


def _full(s: Scalars, index: Any, dtype: DType, /, *, fill_value: Any, **_: Any) -> Lane:
    return as_lane(s, fill_value, dtype)


def as_lane(s: Scalars, number: Any, dtype: DType) -> Lane:
    """A Python number or a lane as a lane of `dtype`."""
    is_number = isinstance(number, bool | int | float)
    return s.const(number, dtype) if is_number else s.cast(number, dtype)


def _of_value(name: str) -> DTypeRule:
    """The dtype of a number, except that floats follow the default dtype."""

    def rule(params: Mapping[str, Any]) -> DType | None:
        dtype = number_dtype(params[name])
        return None if dtype is not None and dtype.is_float else dtype

    return rule


create(f"zeros(SymInt[] size, *, {OPTIONS}) -> Tensor", _sized,
       lambda s, index, dtype, /, **_: s.const(0, dtype))
create(f"ones(SymInt[] size, *, {OPTIONS}) -> Tensor", _sized,
       lambda s, index, dtype, /, **_: s.const(1, dtype))
create(f"empty.memory_format(SymInt[] size, *, {FORMAT}) -> Tensor", _sized,
       lambda s, index, dtype, /, **_: s.const(0, dtype))
create(f"full(SymInt[] size, Scalar fill_value, *, {OPTIONS}) -> Tensor", _sized, _full,
       dtype=_of_value("fill_value"))
create(f"scalar_tensor(Scalar s, *, {OPTIONS}) -> Tensor", lambda **_: (),
       lambda builder, index, dtype, /, **params: as_lane(builder, params["s"], dtype))


def _like(dtype: Any, **options: Any) -> str | DType | None:
    return (as_dtype(dtype) or "self") if is_plain(**options) else None


pointwise(f"zeros_like(Tensor self, *, {FORMAT}) -> Tensor",
          lambda s, x, **_: s.const(0, x.dtype), _like)
pointwise(f"ones_like(Tensor self, *, {FORMAT}) -> Tensor",
          lambda s, x, **_: s.const(1, x.dtype), _like)
pointwise(f"empty_like(Tensor self, *, {FORMAT}) -> Tensor",
          lambda s, x, **_: s.const(0, x.dtype), _like)
pointwise(f"full_like(Tensor self, Scalar fill_value, *, {FORMAT}) -> Tensor",
          lambda s, x, value, **_: value, _like, follow=("fill_value",))


def new(name: str, function: str, *extra: str) -> None:
    """`x.new_zeros(size)` and its kin: `zeros(size)` with the dtype of x."""

    def decompose(b: Any, x: Tensor, size: Any, *rest: Any) -> Any:
        *numbers, dtype, layout, device, pin_memory = rest
        chosen = dtype if dtype is not None else x.type.dtype
        if chosen is None:
            return None
        return b.op(function, size, *numbers, dtype=chosen, layout=layout,
                      device=device, pin_memory=pin_memory)

    params = "".join(f", {e}" for e in extra)
    composite(f"{name}(Tensor self, SymInt[] size{params}, *, {OPTIONS}) -> Tensor", decompose)


new("new_zeros", "aten::zeros")
new("new_ones", "aten::ones")
new("new_empty", "aten::empty.memory_format")
new("new_full", "aten::full", "Scalar fill_value")


# ranges -------------------------------------------------------------------------------------------
def _range_size(end: Any, start: Any = 0, step: Any = 1) -> tuple[Dim, ...] | None:
    if not is_known(start, end, step):
        return None
    if step == 0 or (end - start) * (1 if step > 0 else -1) < 0:
        fail(f"arange: the range from {start} to {end} is not consistent with step {step}")
    if any(isinstance(v, float) for v in (start, end, step)):
        return (math.ceil((end - start) / step),)
    return ((end - start + step - (1 if step > 0 else -1)) // step,)


def _range_dtype(params: Mapping[str, Any]) -> DType | None:
    kinds = [number_dtype(v) for v in params.values()]
    return None if any(d is not None and d.kind is Kind.FLOAT for d in kinds) else int64


def _arange(s: Scalars, index: Any, dtype: DType, /, *, start: Any = 0, step: Any = 1,
            **_: Any) -> Lane:
    """start + step * i, in float64 for floats."""
    wide = float64 if dtype.is_float else int64
    position = s.cast(index[0], wide) * as_lane(s, step, wide) + as_lane(s, start, wide)
    return s.cast(position, dtype)


def _linspace(s: Scalars, index: Any, dtype: DType, /, *, start: Any, end: Any, steps: Any,
              **_: Any) -> Lane:
    """From both ends towards the middle, so that it is symmetric and ends exactly."""
    first, last = as_lane(s, start, dtype), as_lane(s, end, dtype)
    if steps == 1:
        return first
    step = (last - first) / (steps - 1)
    before = s.cast(index[0], dtype)
    after = s.cast(steps - 1 - index[0], dtype)
    return s.where(index[0] < steps // 2, first + step * before, last - step * after)


def _linspace_size(start: Any, end: Any, steps: Any) -> tuple[Dim, ...] | None:
    return (steps,) if isinstance(steps, int) else None


def _eye_size(n: Any, m: Any = None) -> tuple[Dim, ...] | None:
    return (n, n if m is None else m) if is_known(n, m) else None


create(f"""
    arange(Scalar end, *, {OPTIONS}) -> Tensor
    arange.start(Scalar start, Scalar end, *, {OPTIONS}) -> Tensor
    arange.start_step(Scalar start, Scalar end, Scalar step=1, *, {OPTIONS}) -> Tensor
    """, _range_size, _arange, dtype=_range_dtype)
create(f"linspace(Scalar start, Scalar end, int steps, *, {OPTIONS}) -> Tensor",
       _linspace_size, _linspace, dtypes=(float32, float64))
create(f"""
    eye(SymInt n, *, {OPTIONS}) -> Tensor
    eye.m(SymInt n, SymInt m, *, {OPTIONS}) -> Tensor
    """, _eye_size, lambda s, index, dtype, /, **_: s.cast(index[0] == index[1], dtype))


# triangles ----------------------------------------------------------------------------------------
def _without(b: Any, x: Tensor, compare: str, diagonal: Any) -> Tensor | None:
    """x with 0 where column - row is beyond the diagonal."""
    if x.type.rank is None or x.type.rank < 2:
        return None
    rows = b.arange(b.op("aten::size.int", x, -2))
    columns = b.arange(b.op("aten::size.int", x, -1))
    outside = b.op(compare, b.sub(columns, b.unsqueeze(rows, 1)), diagonal)
    return b.masked_fill(x, outside, 0)


tril = composite("tril(Tensor self, SymInt diagonal=0) -> Tensor  | _ .out",
                 lambda b, x, diagonal: _without(b, x, "aten::gt.Scalar", diagonal))
triu = composite("triu(Tensor self, SymInt diagonal=0) -> Tensor  | _ .out",
                 lambda b, x, diagonal: _without(b, x, "aten::lt.Scalar", diagonal))
