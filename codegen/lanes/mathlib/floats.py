"""What the elementary functions need to know of a float format, and polynomial evaluation.

The bit tricks rest on the layout sign | exponent | digits. Adding `magic` (1.5 * 2**digits)
rounds a float to an integer, which then stands in the low bits of the sum: `bits(x + magic) <<
digits` is that integer in exponent position, and `bits(x + magic + bias) << digits` are the bits
of 2**integer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

from codegen.lanes.lane import Lane, LaneBuilder
from ir import DType, dtypes, record


@record(eq=False)
class Format:
    """Constants of float32 or float64; ln 2 is `ln2_hi + ln2_lo`, `ln2_hi * exponent` is exact."""

    dtype: DType
    bits: DType  # the integer of the same size
    digits: int  # explicit bits of the significand
    bias: int
    ln2_hi: float
    ln2_lo: float

    @property
    def magic(self) -> float:
        """Adding it rounds to an integer."""
        return 1.5 * 2.0**self.digits

    @property
    def smallest_normal(self) -> float:
        """2**(1 - bias)."""
        return 2.0 ** (1 - self.bias)

    @property
    def sign(self) -> int:
        """The sign bit as an integer."""
        return -(1 << (self.bits.bits - 1))


SINGLE = Format(dtypes.float32, dtypes.int32, 23, 127, 0.693145751953125, 1.42860682030941723212e-6)
DOUBLE = Format(dtypes.float64, dtypes.int64, 52, 1023, 0.6931471803691238, 1.9082149292705877e-10)
LN2 = 0.6931471805599453
LOG2E = 1.4426950408889634
_HORNER = 12  # coefficients in one chain at most


def format_of(x: Lane) -> Format:
    """The format of a float lane."""
    if x.dtype is dtypes.float32:
        return SINGLE
    if x.dtype is dtypes.float64:
        return DOUBLE
    raise TypeError(f"elementary functions take float32 or float64 lanes, not {x.dtype}")


def polynomial(s: LaneBuilder, x: Lane, coefficients: Sequence[float | Lane]) -> Lane:
    """`c[0] + c[1] * x + c[2] * x**2 + ...`, one fma per degree.

    Horner's rule; the upper part of a long polynomial is split into even and odd powers, to shorten
    the chain of dependent operations.
    """
    if len(coefficients) > _HORNER:
        square = x * x
        even, odd = (polynomial(s, square, coefficients[2 + k :: 2]) for k in (0, 1))
        coefficients = [*coefficients[:2], s.fma(odd, x, even)]
    *rest, last = coefficients
    result = last
    for c in reversed(rest):
        result = s.fma(result, x, c)
    if not isinstance(result, Lane):
        raise ValueError("a polynomial needs two coefficients or more")
    return result


def in_double(function: Callable[..., Lane]) -> Callable[..., Lane]:
    """Let a function of float64 lanes serve float32 lanes: nearly exact, at half the speed."""

    @wraps(function)
    def either(s: LaneBuilder, *xs: Lane) -> Lane:
        if xs[0].dtype is dtypes.float64:
            return function(s, *xs)
        return s.cast(function(s, *(s.cast(x, dtypes.float64) for x in xs)), dtypes.float32)

    return either


def two_sum(a: Lane, b: Lane) -> tuple[Lane, Lane]:
    """(rounded sum, its error)."""
    total = a + b
    from_b = total - a
    return total, (a - (total - from_b)) + (b - from_b)


def fast_two_sum(a: Lane, b: Lane) -> tuple[Lane, Lane]:
    """(rounded sum, its error) for |a| >= |b|."""
    total = a + b
    return total, b - (total - a)


def two_product(s: LaneBuilder, a: Lane, b: Lane | float) -> tuple[Lane, Lane]:
    """(rounded product, its error)."""
    product = s.product(a, b)
    return product, s.fma(a, b, -product)
