"""Rows of reductions (sum, extrema and their positions, all, any) and of prefixes.

Accumulators: 16-bit floats add up in float32, integers and bools in int64. NaN wins every extremum;
among equal elements (and among NaNs) argmax and argmin choose the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ir.dtypes import DType, bool_, int64, opmath, uint8
from ir.op import Op, Scan
from ir.ops.factory import FLOATS, NUMERIC, composite, reduction, scan
from ir.records import record
from ir.scalar import Lane, Scalars

Pair = tuple[Lane, Lane]
NOWHERE = 2**63 - 1  # the position of the neutral element: after every real one


def _wide(dtype: DType) -> DType:
    """The dtype that torch adds and multiplies in."""
    return opmath(dtype) if dtype.is_float else int64


def _summed(dtype: DType) -> DType:
    return dtype if dtype.is_float else int64


def _zero(s: Scalars, dtype: DType) -> Lane:
    return s.const(0, dtype)


def _one(s: Scalars, dtype: DType) -> Lane:
    return s.const(1, dtype)


def _plus(s: Scalars, a: Lane, b: Lane) -> Lane:
    return a + b


def _times(s: Scalars, a: Lane, b: Lane) -> Lane:
    return a * b


# sums and products --------------------------------------------------------------------------------
sum = reduction("""
    sum(Tensor self, *, ScalarType? dtype=None) -> Tensor  | .out
    sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) \
-> Tensor  | .IntList_out
    """, _zero, _plus, accumulate=_wide, results=lambda dtype: (_summed(dtype),), is_sum=True)
mean = reduction("""
    mean(Tensor self, *, ScalarType? dtype=None) -> Tensor  | .dtype_out
    mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) \
-> Tensor  | .out
    """, _zero, _plus, finish=lambda s, acc, count: acc / s.cast(count, acc.dtype),
    accumulate=_wide, results=lambda dtype: (dtype,), dtypes=FLOATS, is_sum=True)
prod = reduction("""
    prod(Tensor self, *, ScalarType? dtype=None) -> Tensor  | .out
    prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) \
-> Tensor  | .int_out
    """, _one, _times, accumulate=_wide, results=lambda dtype: (_summed(dtype),))
cumsum = scan("cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor  | _ .out",
              Scan(_zero, _plus, _wide, _summed))
cumprod = scan("cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor  | _ .out",
               Scan(_one, _times, _wide, _summed))
count_nonzero = composite("""
    count_nonzero.dim_IntList(Tensor self, int[] dim) -> Tensor  | .dim_IntList_out
    count_nonzero(Tensor self, int? dim=None) -> Tensor          | .out
    """, lambda b, x, dim: b.sum(b.ne(x, 0), [dim] if isinstance(dim, int) else dim))


# truth --------------------------------------------------------------------------------------------
def truth(name: str, neutral: bool, combine: Callable[..., Lane]) -> Op:
    """The rows of `all` or `any`; on uint8 the result is uint8 too."""
    return reduction(f"""
        {name}(Tensor self) -> Tensor                                            | .all_out
        {name}.dim(Tensor self, int dim, bool keepdim=False) -> Tensor           | .out
        {name}.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor  | .dims_out
        """, lambda s, dtype: s.const(neutral, dtype), combine, accumulate=lambda dtype: bool_,
        results=lambda dtype: (uint8 if dtype is uint8 else bool_,), is_bitwise=True)


all = truth("all", True, lambda s, a, b: a & b)
any = truth("any", False, lambda s, a, b: a | b)


# extrema ------------------------------------------------------------------------------------------
def _lowest(s: Scalars, dtype: DType) -> Lane:
    if dtype.is_float:
        return s.const(-math.inf, dtype)
    return s.const(-(2 ** (dtype.bits - 1)) if dtype.is_signed else 0, dtype)


def _highest(s: Scalars, dtype: DType) -> Lane:
    if dtype.is_float:
        return s.const(math.inf, dtype)
    return s.const(2 ** (dtype.bits - dtype.is_signed) - 1, dtype)


def _larger(s: Scalars, a: Lane, b: Lane) -> Lane:
    return a | b if a.dtype.is_bool else s.maximum(a, b)


def _smaller(s: Scalars, a: Lane, b: Lane) -> Lane:
    return a & b if a.dtype.is_bool else s.minimum(a, b)


def _first(s: Scalars, a: Pair, b: Pair, better: Lane) -> Pair:
    """The better of two (element, position) pairs; `better` says that `b`'s element beats `a`'s."""
    (x, i), (y, j) = a, b
    is_float = x.dtype.is_float
    x_nan, y_nan = (s.isnan(x), s.isnan(y)) if is_float else (x != x, y != y)
    tie = (x == y) | (x_nan & y_nan)
    take = (tie & (j < i)) | (~x_nan & (better | y_nan))
    return s.where(take, y, x), s.where(take, j, i)


def _first_max(s: Scalars, a: Pair, b: Pair) -> Pair:
    return _first(s, a, b, b[0] & ~a[0] if a[0].dtype.is_bool else b[0] > a[0])


def _first_min(s: Scalars, a: Pair, b: Pair) -> Pair:
    return _first(s, a, b, a[0] & ~b[0] if a[0].dtype.is_bool else b[0] < a[0])


def _later_max(s: Scalars, a: Pair, b: Pair) -> Pair:
    """`_first_max` for a `b` that comes later: the positions need not be compared."""
    (x, i), (y, j) = a, b
    take = y & ~x if x.dtype.is_bool else ~(y <= x) & (x == x)
    return s.where(take, y, x), s.where(take, j, i)


def _later_min(s: Scalars, a: Pair, b: Pair) -> Pair:
    (x, i), (y, j) = a, b
    take = x & ~y if x.dtype.is_bool else ~(y >= x) & (x == x)
    return s.where(take, y, x), s.where(take, j, i)


def _larger_number(s: Scalars, a: Lane, b: Lane) -> Lane:
    return s.where(b < a, a, b)


def _smaller_number(s: Scalars, a: Lane, b: Lane) -> Lane:
    return s.where(a < b, a, b)


def extremum(schemas: str, neutral: Callable[..., Lane], combine: Callable[..., Lane],
             among_numbers: Callable[..., Lane]) -> Op:
    """Rows that give the extreme element."""
    return reduction(schemas, neutral, combine, accumulate=opmath, results=lambda dtype: (dtype,),
                     has_identity=False, among_numbers=among_numbers)


@record
class Extreme:
    """How to look for an extreme element and its place; `later` merges one that comes after."""

    neutral: Callable[..., Lane]
    first: Callable[..., Pair]
    later: Callable[..., Pair]


LARGEST = Extreme(_lowest, _first_max, _later_max)
SMALLEST = Extreme(_highest, _first_min, _later_min)


def position(schemas: str, extreme: Extreme, finish: Callable[..., Any],
             results: Callable[[DType], tuple[DType, ...]], **columns: Any) -> Op:
    """Rows that need to know where the extreme element is."""

    def init(s: Scalars, dtype: DType, first: Lane | None = None) -> Pair:
        start = s.const(NOWHERE, int64) if first is None else first
        return extreme.neutral(s, dtype), start

    return reduction(
        schemas, init, extreme.first, step=extreme.later, lift=lambda s, x, index: (x, index),
        finish=finish, accumulate=opmath, results=results, has_identity=False, indexed=True,
        **columns)


extremum("amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor  | .out",
         _lowest, _larger, _larger_number)
extremum("amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor  | .out",
         _highest, _smaller, _smaller_number)
extremum("max(Tensor self) -> Tensor  | .unary_out", _lowest, _larger, _larger_number)
extremum("min(Tensor self) -> Tensor  | .unary_out", _highest, _smaller, _smaller_number)
position("max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
         LARGEST, lambda s, acc, count: acc, lambda dtype: (dtype, int64))
position("min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
         SMALLEST, lambda s, acc, count: acc, lambda dtype: (dtype, int64))
position("argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor  | .out",
         LARGEST, lambda s, acc, count: acc[1], lambda dtype: (int64,), dtypes=NUMERIC)
position("argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor  | .out",
         SMALLEST, lambda s, acc, count: acc[1], lambda dtype: (int64,), dtypes=NUMERIC)
aminmax = reduction(
    "aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
    lambda s, dtype: (_highest(s, dtype), _lowest(s, dtype)),
    lambda s, a, b: (_smaller(s, a[0], b[0]), _larger(s, a[1], b[1])),
    lift=lambda s, x, index: (x, x), accumulate=opmath, results=lambda dtype: (dtype, dtype),
    has_identity=False)
