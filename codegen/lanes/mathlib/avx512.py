"""What AVX-512 does in one instruction: tables in registers, exponents and significands of floats.

Every function wants `is_available`. Vectors are cut into registers; narrower ones are padded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import llvmlite.ir as ll

from codegen.lanes.constants import places
from codegen.lanes.lane import Lane, LaneBuilder
from codegen.lanes.shuffles import joined, part
from ir import DType, dtypes

TABLE = 16  # entries: float32 of one register, float64 of two
_NEEDED = frozenset(("avx512f", "avx512dq"))
_BITS = 512
_I32 = ll.IntType(32)
_NEAR_ONE = _I32(0b1011)  # the interval [3/4, 3/2); NaN below zero
_NEAR_ZERO = _I32(0b0010)  # the number of smaller magnitude, with the sign of the first one
_CURRENT_ROUNDING = _I32(4)


def is_available(s: LaneBuilder) -> bool:
    """Whether the target has these instructions."""
    return s.features >= _NEEDED


def lookup(s: LaneBuilder, table: Sequence[float], index: Lane, dtype: DType) -> Lane:
    """The entries of a table of `TABLE` numbers that the lowest bits of integer lanes, as large as
    those, name.
    """
    parts = _registers(s.llvm_type(dtype, _BITS // dtype.bits), tuple(table))
    if len(parts) == 1:
        return _each(s, "permvar.sf", dtype, [index], lambda i: [*parts, i])
    return _each(s, "vpermi2var.pd", dtype, [index], lambda i: [parts[0], i, parts[1]])


@cache
def _registers(kind: ll.VectorType, table: tuple[float, ...]) -> list[ll.Constant]:
    """A table, one vector after the other."""
    size = kind.count
    return [ll.Constant(kind, list(table[k : k + size])) for k in range(0, len(table), size)]


def scaled(s: LaneBuilder, y: Lane, n: Lane) -> Lane:
    """`y * 2**floor(n)`, rounded once, through the denormals and up to inf."""
    return _each(
        s,
        f"mask.scalef.{_suffix(y.dtype)}",
        y.dtype,
        [y, n],
        lambda y, n: [y, n, y, _every(y), _CURRENT_ROUNDING],
    )


def limited(s: LaneBuilder, x: Lane, limit: float) -> Lane:
    """The nearest number of at most that magnitude, for NaN too."""
    return _each(
        s,
        f"mask.range.{_suffix(x.dtype)}",
        x.dtype,
        [x, s.splat(s.const(limit, x.dtype), x.width)],
        lambda x, most: [x, most, _NEAR_ZERO, x, _every(x), _CURRENT_ROUNDING],
    )


def exponent_of(s: LaneBuilder, x: Lane) -> Lane:
    """floor(log2|x|): -inf for zero, inf for inf."""
    return _each(
        s,
        f"mask.getexp.{_suffix(x.dtype)}",
        x.dtype,
        [x],
        lambda x: [x, x, _every(x), _CURRENT_ROUNDING],
    )


def significand_of(s: LaneBuilder, x: Lane) -> Lane:
    """x / 2**e in [3/4, 3/2); 1 for zero and inf, NaN for negative numbers."""
    return _each(
        s,
        f"mask.getmant.{_suffix(x.dtype)}",
        x.dtype,
        [x],
        lambda x: [x, _NEAR_ONE, x, _every(x), _CURRENT_ROUNDING],
    )


def _suffix(dtype: DType) -> str:
    return "ps" if dtype is dtypes.float32 else "pd"


def _every(x: ll.Value) -> ll.Constant:
    """The mask of all elements."""
    return ll.Constant(ll.IntType(x.type.count), -1)


def _each(
    s: LaneBuilder,
    name: str,
    dtype: DType,
    xs: Sequence[Lane],
    operands: Callable[..., Sequence[ll.Value]],
) -> Lane:
    """The intrinsic on each register of some lanes; `operands` are what it takes for them."""
    count, width = _BITS // dtype.bits, xs[0].width
    wide = [_padded(s, x, count) for x in xs]
    parts = []
    for start in range(0, wide[0].width, count):
        given = operands(*(_part(s, x, start, count).value for x in wide))
        result = s.llvm_type(dtype, count)
        function = _declared(s, f"llvm.x86.avx512.{name}.512", result, given)
        parts.append(Lane(s, s.builder.call(function, given), dtype))
    return _part(s, joined(s, parts), 0, width)


def _declared(s: LaneBuilder, name: str, result: ll.Type, given: Sequence[ll.Value]) -> ll.Function:
    signature = ll.FunctionType(result, [value.type for value in given])
    known = s.builder.module.globals.get(name)
    return ll.Function(s.builder.module, signature, name) if known is None else known


def _part(s: LaneBuilder, x: Lane, start: int, count: int) -> Lane:
    return x if x.width == count else part(s, x, start, count)


def _padded(s: LaneBuilder, x: Lane, count: int) -> Lane:
    """At least `count` elements: the first ones are those of `x`."""
    if x.width >= count:
        return x
    whole = s.splat(x, 2) if x.width == 1 else x
    mask = places(*(k % x.width for k in range(count)))
    return Lane(s, s.builder.shuffle_vector(whole.value, whole.value, mask), x.dtype)
