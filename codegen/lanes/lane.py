"""Lanes over llvmlite: the element protocol of `ir.scalar`, for one element or a vector `<N x T>`.

    Lane(value: float | <N x float>, dtype)          what an operator takes and gives
    LaneBuilder(IRBuilder, width)                    arithmetic, casts, choice, rounding (this file)
      + memory (lane_memory.py), elementary functions (mathlib/)  =  Lanes  (lanes.py)

Invariants
  * A lane is as wide as its LLVM type says: 1 (a plain scalar) or N. What does not vary in the
    vectorized loop stays scalar; an operator on a scalar and a vector splats the scalar, and an
    operator on scalars gives a scalar.
  * bool lanes are `i1` / `<N x i1>`; 16-bit floats exist in memory only.
  * `+ - *` on floats carry the flag `contract` (the back end may form fma), no other fast-math
    flag.
  * Nothing here traps or gives poison: divisors are made safe, shifts have a meaning at every
    count, and a float out of the integer's range converts to some integer.
  * `cold` and `repeat` end the current basic block: an emitter must read `builder.block` again
    after it ran a rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import llvmlite.ir as ll

from codegen.lanes.constants import Splat, places
from ir import DType, dtypes

Number = bool | int | float
CONTRACT = ("contract",)
BIT = ll.IntType(1)
_FAR = 2.0**100  # divisors between its inverse and it have inverses of full precision
_TYPES: dict[DType, ll.Type] = {
    dtypes.bool_: BIT,
    dtypes.uint8: ll.IntType(8),
    dtypes.int8: ll.IntType(8),
    dtypes.int16: ll.IntType(16),
    dtypes.int32: ll.IntType(32),
    dtypes.int64: ll.IntType(64),
    dtypes.float32: ll.FloatType(),
    dtypes.float64: ll.DoubleType(),
}
_FLOAT_OPS = {"+": "fadd", "-": "fsub", "*": "fmul"}
_INT_OPS = {"+": "add", "-": "sub", "*": "mul"}
_BIT_OPS = {"&": "and_", "|": "or_", "^": "xor"}


@cache
def _type(dtype: DType, width: int) -> ll.Type:
    """The LLVM type of a lane: one object, since llvmlite prints each type once."""
    return _TYPES[dtype] if width == 1 else ll.VectorType(_TYPES[dtype], width)


class Lane:
    """One element, or one vector of elements, as an LLVM value of known dtype."""

    __slots__ = ("dtype", "s", "value")

    def __init__(self, s: LaneBuilder, value: ll.Value, dtype: DType) -> None:
        self.s = s
        self.value = value
        self.dtype = dtype

    @property
    def width(self) -> int:
        """How many elements: 1 for a scalar."""
        return self.value.type.count if isinstance(self.value.type, ll.VectorType) else 1

    def __repr__(self) -> str:
        return f"Lane({self.dtype} x {self.width}: {self.value.get_reference()})"

    def __bool__(self) -> bool:
        raise TypeError("a lane has no truth value while code is emitted; use `where` or `any`")

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Lane:
        return self.s.arithmetic("+", self, other)

    def __radd__(self, other: Any) -> Lane:
        return self.s.arithmetic("+", other, self)

    def __sub__(self, other: Any) -> Lane:
        return self.s.arithmetic("-", self, other)

    def __rsub__(self, other: Any) -> Lane:
        return self.s.arithmetic("-", other, self)

    def __mul__(self, other: Any) -> Lane:
        return self.s.arithmetic("*", self, other)

    def __rmul__(self, other: Any) -> Lane:
        return self.s.arithmetic("*", other, self)

    def __truediv__(self, other: Any) -> Lane:
        return self.s.divide(self, other)

    def __rtruediv__(self, other: Any) -> Lane:
        return self.s.divide(other, self)

    def __floordiv__(self, other: Any) -> Lane:
        return self.s.int_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Lane:
        return self.s.int_divide(other, self)

    def __mod__(self, other: Any) -> Lane:
        return self.s.int_remainder(self, other)

    def __rmod__(self, other: Any) -> Lane:
        return self.s.int_remainder(other, self)

    def __neg__(self) -> Lane:
        return self.s.negate(self)

    def __and__(self, other: Any) -> Lane:
        return self.s.bitwise("&", self, other)

    def __or__(self, other: Any) -> Lane:
        return self.s.bitwise("|", self, other)

    def __xor__(self, other: Any) -> Lane:
        return self.s.bitwise("^", self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Lane:
        return Lane(self.s, self.s.builder.not_(self.value), self.dtype)

    def __lshift__(self, other: Any) -> Lane:
        return self.s.shift_left(self, other)

    def __rlshift__(self, other: Any) -> Lane:
        return self.s.shift_left(other, self)

    def __rshift__(self, other: Any) -> Lane:
        return self.s.shift_right(self, other)

    def __rrshift__(self, other: Any) -> Lane:
        return self.s.shift_right(other, self)

    def __lt__(self, other: Any) -> Lane:
        return self.s.compare("<", self, other)

    def __le__(self, other: Any) -> Lane:
        return self.s.compare("<=", self, other)

    def __gt__(self, other: Any) -> Lane:
        return self.s.compare(">", self, other)

    def __ge__(self, other: Any) -> Lane:
        return self.s.compare(">=", self, other)

    def __eq__(self, other: Any) -> Lane:  # type: ignore[override]
        return self.s.compare("==", self, other)

    def __ne__(self, other: Any) -> Lane:  # type: ignore[override]
        return self.s.compare("!=", self, other)


class LaneBuilder:
    """Builds lanes at the position of an IRBuilder.

    `width` is the vector length of `iota`, `load` and `splat`; `features` are instructions that the
    target is known to have ("avx512f"): none for code that must run anywhere. `is_bounded` says
    that no exact arithmetic on ints leaves 64 bits. Inside of `beside(x)` code is put where `x` is
    computed, in front of the loops that it does not depend on (a hook).
    """

    def __init__(
        self, builder: ll.IRBuilder, width: int, features: frozenset[str] = frozenset()
    ) -> None:
        if width & (width - 1):
            raise ValueError(f"a vector has a power of two elements, not {width}")
        self.builder = builder
        self.width = width
        self.features = features
        self.on_fault: Callable[[Lane, str], None] | None = None
        self.beside: Callable[[Lane], AbstractContextManager[None]] = lambda x: nullcontext()
        self.contracts = True
        self.is_bounded = False

    # making lanes

    def const(self, value: Number, dtype: DType) -> Lane:
        """A constant; always scalar, since operators splat it as wide as the other operand."""
        if dtype.is_float:
            return Lane(self, ll.Constant(_TYPES[dtype], float(value)), dtype)
        if dtype.is_bool:
            return Lane(self, ll.Constant(BIT, int(bool(value))), dtype)
        wrapped = int(value) & ((1 << dtype.bits) - 1)
        if dtype.is_signed and wrapped >> (dtype.bits - 1):
            wrapped -= 1 << dtype.bits
        return Lane(self, ll.Constant(_TYPES[dtype], wrapped), dtype)

    def known(self, x: Lane) -> Number | None:
        """The value of a scalar constant."""
        value = x.value
        if not isinstance(value, ll.Constant) or not isinstance(value.constant, int | float):
            return None
        return value.constant

    def splat(self, x: Lane, width: int | None = None) -> Lane:
        """The scalar in every element of a vector, by default of the builder's width."""
        width = self.width if width is None else width
        if x.width == width:
            return x
        if x.width != 1:
            raise ValueError(f"cannot widen {x} to {width} elements")
        vector = ll.VectorType(x.value.type, width)
        if isinstance(x.value, ll.Constant):
            return Lane(self, Splat(vector, x.value), x.dtype)
        first = self.builder.insert_element(
            ll.Constant(vector, ll.Undefined), x.value, ll.Constant(ll.IntType(32), 0)
        )
        mask = places(*[0] * width)
        return Lane(self, self.builder.shuffle_vector(first, first, mask), x.dtype)

    def iota(self, dtype: DType) -> Lane:
        """0, 1, 2, ... along the vector (the scalar 0 at width 1)."""
        if self.width == 1:
            return self.const(0, dtype)
        element = _TYPES[dtype]
        numbers = [
            ll.Constant(element, float(i) if dtype.is_float else i) for i in range(self.width)
        ]
        return Lane(self, ll.Constant(ll.VectorType(element, self.width), numbers), dtype)

    def llvm_type(self, dtype: DType, width: int) -> ll.Type:
        """The LLVM type of a lane."""
        return _type(dtype, width)

    def match(self, *operands: Lane | Number) -> tuple[Lane, ...]:
        """The operands as lanes of one width; Python numbers take the dtype of the lanes."""
        lanes = [x for x in operands if isinstance(x, Lane)]
        dtype, width = lanes[0].dtype, max(x.width for x in lanes)
        if any(x.dtype is not dtype for x in lanes):
            raise TypeError(f"operands of different dtypes: {', '.join(map(repr, lanes))}")
        return tuple(
            self.splat(x if isinstance(x, Lane) else self.const(x, dtype), width) for x in operands
        )

    def call(
        self, name: str, result: ll.Type, *args: ll.Value, mangled: Sequence[ll.Type]
    ) -> ll.Value:
        """Call the overloaded intrinsic `name`, declared under its name mangled with types."""
        full = ".".join([name, *map(_mangle, mangled)])
        module = self.builder.module
        function = module.globals.get(full)
        if function is None:
            function = ll.Function(
                module, ll.FunctionType(result, [arg.type for arg in args]), full
            )
        return self.builder.call(function, args)

    def libm(self, name: str, *operands: Lane) -> Lane:
        """A function of the C library on float64, as Python's `math` calls it."""
        module, kind = self.builder.module, ll.DoubleType()
        function = module.globals.get(name)
        if function is None:
            function = ll.Function(module, ll.FunctionType(kind, [kind] * len(operands)), name)
        value = self.builder.call(function, [x.value for x in operands])
        return Lane(self, value, dtypes.float64)

    def _same_type(self, name: str, *operands: Lane | Number) -> Lane:
        """An intrinsic whose operands and result have one type."""
        lanes = self.match(*operands)
        kind = lanes[0].value.type
        return Lane(
            self, self.call(name, kind, *(x.value for x in lanes), mangled=[kind]), lanes[0].dtype
        )

    # arithmetic

    def arithmetic(self, op: str, a: Lane | Number, b: Lane | Number) -> Lane:
        """`+`, `-` or `*`."""
        x, y = self.match(a, b)
        if x.dtype.is_bool:
            raise TypeError(f"`{op}` on bool lanes; cast before computing")
        if x.dtype.is_float:
            flags = CONTRACT if self.contracts else ()
            value = getattr(self.builder, _FLOAT_OPS[op])(x.value, y.value, flags=flags)
        else:
            value = getattr(self.builder, _INT_OPS[op])(x.value, y.value)
        return Lane(self, value, x.dtype)

    def exact(self, op: str, a: Lane, b: Lane | Number) -> Lane:
        """`+`, `-` or `*` on one int64; a fault where the result does not fit, unless it is known
        to (`is_bounded`).
        """
        x, y = self.match(a, b)
        name = _INT_OPS[op]
        if self.is_bounded:
            value = getattr(self.builder, name)(x.value, y.value, flags=("nsw",))
            return Lane(self, value, x.dtype)
        kind = x.value.type
        pair = ll.LiteralStructType([kind, BIT])
        both = self.call(
            f"llvm.s{name}.with.overflow", pair, x.value, y.value, mangled=[kind]
        )
        overflow = self.builder.extract_value(both, 1)
        self.fault(Lane(self, overflow, dtypes.bool_), "an int beyond 64 bits")
        return Lane(self, self.builder.extract_value(both, 0), x.dtype)

    def divide(self, a: Lane | Number, b: Lane | Number) -> Lane:
        """The correctly rounded quotient of floats."""
        is_shared = not isinstance(b, Lane) or b.width == 1
        x, y = self.match(a, b)
        if not x.dtype.is_float:
            raise TypeError(f"`/` on {x.dtype} lanes; cast to a float before dividing")
        if is_shared and x.width > 1:
            return self._divide_by_scalar(x, b if isinstance(b, Lane) else self.const(b, x.dtype))
        return Lane(self, self.builder.fdiv(x.value, y.value), x.dtype)

    def _divide_by_scalar(self, x: Lane, y: Lane) -> Lane:
        """x / y for one y, in two multiplications: x * low + x * high, 1 / y = high + low.

        `high` is one unit below the rounded 1 / y, so `low` has its sign: zeros and infinities
        need no care. One quotient in some 10**8 is not the nearest float but the second nearest.
        Divisors whose inverse is no normal number divide.
        """
        divisor = self.known(y)
        if divisor is not None and abs(math.frexp(divisor)[0]) == 0.5 and abs(divisor) < _FAR:
            return x * (1.0 / divisor)  # exact
        with self.beside(y):
            inverse = self.divide(1.0, y)
            high = inverse * (1.0 - (2.0**-24 if x.dtype.bits == 32 else 2.0**-53))
            low = self.fma(-high, y, 1.0) * inverse
            is_near = self.fmin(self.abs(y), self.abs(inverse)) > 1.0 / _FAR
            high, low = self.splat(high, x.width), self.splat(low, x.width)
        divide = self.builder.fdiv
        quotient = self.fma(x, high, self.product(x, low))
        return self.cold(
            ~is_near,
            quotient,
            lambda: Lane(self, divide(x.value, self.splat(y, x.width).value), x.dtype),
        )

    def product(self, a: Lane | Number, b: Lane | Number) -> Lane:
        """`a * b` rounded, never fused into an addition: for terms such as `fma(a, b, -p)`."""
        x, y = self.match(a, b)
        return Lane(self, self.builder.fmul(x.value, y.value), x.dtype)

    def negate(self, x: Lane) -> Lane:
        """`-x`; flips the sign bit of a float."""
        if x.dtype.is_float:
            return Lane(self, self.builder.fneg(x.value), x.dtype)
        return 0 - x

    def int_divide(self, a: Lane | Number, b: Lane | Number) -> Lane:
        """`a // b` on integers, toward zero; smallest // -1 wraps, a zero divisor counts as 1."""
        x, y = self.match(a, b)
        _require_int("//", x.dtype)
        if isinstance(b, int) and b not in (0, -1):
            return self._raw_divide(x, y)
        if not x.dtype.is_signed:
            return self._raw_divide(x, self.where(y == 0, 1, y))
        quotient = self._raw_divide(x, self.where((y == 0) | (y == -1), 1, y))
        return self.where(y == -1, 0 - x, quotient)

    def int_remainder(self, a: Lane | Number, b: Lane | Number) -> Lane:
        """`a - (a // b) * b` on integers: the sign is that of `a`, as in C."""
        x, y = self.match(a, b)
        _require_int("%", x.dtype)
        if not (isinstance(b, int) and b not in (0, -1)):
            y = self.where((y == 0) | (y == -1) if x.dtype.is_signed else y == 0, 1, y)
        return x - self._raw_divide(x, y) * y

    def _raw_divide(self, x: Lane, y: Lane) -> Lane:
        """Integer division by a divisor that is neither zero nor overflows.

        No machine divides integer vectors. Below 64 bits the quotient of floats is exact after
        truncation, because the float has more bits than dividend and divisor together need; a
        constant divisor becomes a multiplication.
        """
        is_constant = isinstance(y.value, ll.Constant)
        if x.width > 1 and x.dtype.bits < 64 and not is_constant:
            via = dtypes.float32 if x.dtype.bits < 32 else dtypes.float64
            return self.cast(self.cast(x, via) / self.cast(y, via), x.dtype)
        divide = self.builder.sdiv if x.dtype.is_signed else self.builder.udiv
        return Lane(self, divide(x.value, y.value), x.dtype)

    def bitwise(self, op: str, a: Lane | Number, b: Lane | Number) -> Lane:
        """`&`, `|` or `^` on integers and bools."""
        x, y = self.match(a, b)
        return Lane(self, getattr(self.builder, _BIT_OPS[op])(x.value, y.value), x.dtype)

    def shift_left(self, a: Lane | Number, b: Lane | Number) -> Lane:
        """`a << b`; 0 for a count that is negative or reaches the width of the type."""
        x, y = self.match(a, b)
        bits = x.dtype.bits
        if isinstance(b, int):
            return (
                Lane(self, self.builder.shl(x.value, y.value), x.dtype) if 0 <= b < bits else x ^ x
            )
        in_range = self._below(y, bits)
        count = self.where(in_range, y, 0)
        return self.where(in_range, Lane(self, self.builder.shl(x.value, count.value), x.dtype), 0)

    def shift_right(self, a: Lane | Number, b: Lane | Number) -> Lane:
        """`a >> b`, arithmetic on signed lanes; a count out of range leaves only sign bits."""
        x, y = self.match(a, b)
        bits = x.dtype.bits
        if x.dtype.is_signed:
            count = self.where(self._below(y, bits), y, bits - 1)
            return Lane(self, self.builder.ashr(x.value, count.value), x.dtype)
        in_range = self._below(y, bits)
        count = self.where(in_range, y, 0)
        return self.where(in_range, Lane(self, self.builder.lshr(x.value, count.value), x.dtype), 0)

    def logical_shift_right(self, x: Lane, count: int) -> Lane:
        """The bits of an integer moved down by a constant, zeros from above."""
        (x, c) = self.match(x, count)
        return Lane(self, self.builder.lshr(x.value, c.value), x.dtype)

    def _below(self, x: Lane, bound: int) -> Lane:
        """`0 <= x < bound` in one unsigned comparison."""
        (x, limit) = self.match(x, bound)
        return Lane(self, self.builder.icmp_unsigned("<", x.value, limit.value), dtypes.bool_)

    # comparison and choice

    def compare(self, op: str, a: Lane | Number, b: Lane | Number) -> Lane:
        """A bool lane; comparisons with NaN are false except `!=`."""
        x, y = self.match(a, b)
        if x.dtype.is_float:
            emit = self.builder.fcmp_unordered if op == "!=" else self.builder.fcmp_ordered
        else:
            emit = self.builder.icmp_signed if x.dtype.is_signed else self.builder.icmp_unsigned
        return Lane(self, emit(op, x.value, y.value), dtypes.bool_)

    def where(self, c: Lane, a: Lane | Number, b: Lane | Number) -> Lane:
        """`a` where the bool lane holds, else `b`; both are computed."""
        x, y = self.match(a, b)
        width = max(c.width, x.width)
        x, y = self.splat(x, width), self.splat(y, width)
        return Lane(self, self.builder.select(c.value, x.value, y.value), x.dtype)

    def fault(self, condition: Lane, reason: str) -> None:
        """Leave the kernel with `reason` if the condition holds for a live element (a hook)."""
        if self.on_fault is not None:
            self.on_fault(condition, reason)

    # conversion

    def cast(self, x: Lane, dtype: DType) -> Lane:
        """torch's conversion; to a 16-bit float: a float32 lane of the values that dtype has."""
        if dtype is dtypes.float16 or dtype is dtypes.bfloat16:
            return self.round_to_half(self.cast(x, dtypes.float32), dtype)
        if x.dtype is dtype:
            return x
        if dtype.is_bool:
            return x != 0
        if x.dtype.is_bool and dtype.is_float:  # one masked move; LLVM would convert integers
            return self.where(x, self.const(1.0, dtype), self.const(0.0, dtype))
        target = self.llvm_type(dtype, x.width)
        if x.dtype.is_float and dtype.is_int:
            return self._float_to_int(x, dtype)
        if x.dtype.is_float:
            emit = self.builder.fpext if dtype.bits > x.dtype.bits else self.builder.fptrunc
        elif dtype.is_float:
            emit = self.builder.sitofp if x.dtype.is_signed else self.builder.uitofp
        elif dtype.bits == x.dtype.bits:
            return Lane(self, x.value, dtype)
        elif dtype.bits < x.dtype.bits:
            emit = self.builder.trunc
        else:
            emit = self.builder.sext if x.dtype.is_signed else self.builder.zext
        return Lane(self, emit(x.value, target), dtype)

    def _float_to_int(self, x: Lane, dtype: DType) -> Lane:
        """Truncation to 32 or 64 bits, narrowed by wrapping; frozen: NaN gives some integer."""
        via = dtypes.int64 if dtype.bits == 64 else dtypes.int32
        raw = self.builder.fptosi(x.value, self.llvm_type(via, x.width))
        frozen = ll.instructions.Instruction(self.builder.block, raw.type, "freeze", [raw])
        self.builder._insert(frozen)
        return self.cast(Lane(self, frozen, via), dtype)

    def bitcast(self, x: Lane, dtype: DType) -> Lane:
        """The same bits as an element of another dtype of the same size."""
        if dtype.bits != x.dtype.bits:
            raise TypeError(f"bitcast of {x.dtype} to {dtype}")
        if x.dtype.is_float == dtype.is_float:
            return Lane(self, x.value, dtype)
        return Lane(self, self.builder.bitcast(x.value, self.llvm_type(dtype, x.width)), dtype)

    def round_to_half(self, x: Lane, dtype: DType) -> Lane:
        """The nearest value of float16 or bfloat16, as float32 (ties to even, NaN kept)."""
        if dtype is dtypes.float16:
            half = ll.HalfType() if x.width == 1 else ll.VectorType(ll.HalfType(), x.width)
            return Lane(
                self,
                self.builder.fpext(self.builder.fptrunc(x.value, half), x.value.type),
                dtypes.float32,
            )
        return self.bitcast(self.bfloat16_bits(x) & ~0xFFFF, dtypes.float32)

    def bfloat16_bits(self, x: Lane) -> Lane:
        """An int32 lane whose upper half is the float32 lane as bfloat16; the lower is garbage."""
        bits = self.bitcast(x, dtypes.int32)
        rounded = bits + 0x7FFF + ((bits >> 16) & 1)
        return self.where(x != x, 0x7FC00000, rounded)

    # rounding and sign

    def abs(self, x: Lane) -> Lane:
        """The absolute value; the smallest integer stays itself, as in torch."""
        if x.dtype.is_float:
            return self._same_type("llvm.fabs", x)
        return self.where(x < 0, 0 - x, x) if x.dtype.is_signed else x

    def floor(self, x: Lane) -> Lane:
        """The largest integer not above."""
        return self._same_type("llvm.floor", x)

    def ceil(self, x: Lane) -> Lane:
        """The smallest integer not below."""
        return self._same_type("llvm.ceil", x)

    def trunc(self, x: Lane) -> Lane:
        """The integer part, toward zero."""
        return self._same_type("llvm.trunc", x)

    def round(self, x: Lane) -> Lane:
        """The nearest integer, halves to even."""
        return self._same_type("llvm.roundeven", x)

    def copysign(self, x: Lane, y: Lane | Number) -> Lane:
        """The magnitude of `x` with the sign bit of `y`."""
        return self._same_type("llvm.copysign", x, y)

    def signbit(self, x: Lane) -> Lane:
        """Whether the sign bit is set (also of -0.0 and NaN)."""
        if x.dtype.is_float:
            x = self.bitcast(x, dtypes.int32 if x.dtype.bits == 32 else dtypes.int64)
        return x < 0

    def isnan(self, x: Lane) -> Lane:
        """Whether the element is NaN."""
        return x != x

    def unordered(self, x: Lane, y: Lane) -> Lane:
        """Whether either is NaN."""
        return Lane(self, self.builder.fcmp_unordered("uno", x.value, y.value), dtypes.bool_)

    def isinf(self, x: Lane) -> Lane:
        """Whether the element is an infinity."""
        return self.abs(x) == float("inf")

    # extrema. `where(y < x, y, x)` is one machine instruction and gives x when either is NaN.

    def minimum(self, x: Lane, y: Lane | Number) -> Lane:
        """The smaller; NaN if either is NaN."""
        return self._extremum("<", x, y, prefer_number=False)

    def maximum(self, x: Lane, y: Lane | Number) -> Lane:
        """The larger; NaN if either is NaN."""
        return self._extremum(">", x, y, prefer_number=False)

    def fmin(self, x: Lane, y: Lane | Number) -> Lane:
        """The smaller; the other if one is NaN."""
        return self._extremum("<", x, y, prefer_number=True)

    def fmax(self, x: Lane, y: Lane | Number) -> Lane:
        """The larger; the other if one is NaN."""
        return self._extremum(">", x, y, prefer_number=True)

    def _extremum(self, op: str, x: Lane, y: Lane | Number, *, prefer_number: bool) -> Lane:
        if not x.dtype.is_float:
            return self.where(self.compare(op, x, y), x, y)
        number = self.known(y) if isinstance(y, Lane) else y
        y_is_number = number is not None and number == number
        x, y = self.match(x, y)
        if prefer_number:
            chosen = self.where(self.compare(op, x, y), x, y)
            return chosen if y_is_number else self.where(y != y, x, chosen)
        chosen = self.where(self.compare(op, y, x), y, x)
        return chosen if y_is_number else self.where(y != y, math.nan, chosen)

    def fma(self, x: Lane | Number, y: Lane | Number, z: Lane | Number) -> Lane:
        """`x * y + z` with one rounding."""
        return self._same_type("llvm.fma", x, y, z)

    def sqrt(self, x: Lane) -> Lane:
        """The correctly rounded square root."""
        return self._same_type("llvm.sqrt", x)

    # across the elements of a vector

    def any(self, x: Lane) -> ll.Value:
        """An `i1` value: whether the bool lane holds for any element."""
        if x.width == 1:
            return x.value
        whole = ll.IntType(x.width)
        return self.builder.icmp_unsigned(
            "!=", self.builder.bitcast(x.value, whole), ll.Constant(whole, 0)
        )

    # control flow

    def cold(self, condition: Lane, fast: Lane, slow: Callable[[], Lane]) -> Lane:
        """`slow()` if the condition holds for any element, else `fast`: an unlikely branch."""
        taken = self.any(condition)
        here = self.builder.block
        aside = self.builder.append_basic_block("cold")
        join = self.builder.append_basic_block("join")
        self.builder.cbranch(taken, aside, join).set_weights([1, 1000])
        self.builder.position_at_end(aside)
        result = slow()
        (result, _) = self.match(result, fast)
        end = self.builder.block
        self.builder.branch(join)
        self.builder.position_at_end(join)
        phi = self.builder.phi(fast.value.type)
        phi.add_incoming(fast.value, here)
        phi.add_incoming(result.value, end)
        return Lane(self, phi, fast.dtype)

    def in_pieces(self, count: int, function: Callable[..., Lane], *lanes: Lane) -> Lane:
        """`function` of lanes of one width, `count` elements at a time, in a loop through memory:
        less code than all at once, for what is rarely run. The result has the last lane's dtype.
        """
        width, b, step = lanes[0].width, self.builder, ll.IntType(64)
        if width <= count:
            return function(*lanes)
        slots = [self._in_memory(x) for x in lanes]
        before, body, done = b.block, b.append_basic_block("piece"), b.append_basic_block("done")
        b.branch(body)
        b.position_at_end(body)
        start = b.phi(step)
        addresses = [
            b.gep(slot, [start], source_etype=_type(x.dtype, 1))
            for slot, x in zip(slots, lanes, strict=True)
        ]
        pieces = [
            Lane(self, b.load(address, typ=_type(x.dtype, count), align=x.dtype.itemsize), x.dtype)
            for address, x in zip(addresses, lanes, strict=True)
        ]
        b.store(function(*pieces).value, addresses[-1], align=lanes[-1].dtype.itemsize)
        following = b.add(start, step(count))
        start.add_incoming(step(0), before)
        start.add_incoming(following, b.block)
        b.cbranch(b.icmp_unsigned("<", following, step(width)), body, done)
        b.position_at_end(done)
        return Lane(self, b.load(slots[-1], typ=lanes[-1].value.type, align=1), lanes[-1].dtype)

    def _in_memory(self, x: Lane) -> ll.Value:
        """The address of a copy in the function's frame."""
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(x.value.type)
        self.builder.store(x.value, slot)
        slot.type = ll.PointerType()  # whose elements may be read as any type
        return slot

    def replaced_if(
        self, condition: ll.Value, plain: Sequence[Lane], others: Callable[[], Sequence[Lane]]
    ) -> list[Lane]:
        """`others()` if an `i1` is set, else the plain ones: lanes of the same types."""
        before = self.builder.block
        with self.builder.if_then(condition):
            replaced = others()
            inside = self.builder.block
        found = []
        for x, other in zip(plain, replaced, strict=True):
            phi = self.builder.phi(x.value.type)
            phi.add_incoming(x.value, before)
            phi.add_incoming(other.value, inside)
            found.append(Lane(self, phi, x.dtype))
        return found

    def repeat(
        self,
        start: Sequence[Lane],
        again: Callable[..., Lane],
        step: Callable[..., Sequence[Lane]],
    ) -> list[Lane]:
        """`xs = start; while any(again(*xs)): xs = step(*xs)`; the last `xs`."""
        before = self.builder.block
        head = self.builder.append_basic_block("repeat")
        body = self.builder.append_basic_block("step")
        done = self.builder.append_basic_block("done")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        state = [Lane(self, self.builder.phi(x.value.type), x.dtype) for x in start]
        self.builder.cbranch(self.any(again(*state)), body, done)
        self.builder.position_at_end(body)
        following = step(*state)
        for x, first, then in zip(state, start, following, strict=True):
            x.value.add_incoming(first.value, before)
            x.value.add_incoming(then.value, self.builder.block)
        self.builder.branch(head)
        self.builder.position_at_end(done)
        return state


def _require_int(op: str, dtype: DType) -> None:
    if not dtype.is_int:
        raise TypeError(f"`{op}` on {dtype} lanes; it is for integers")


def _mangle(kind: ll.Type) -> str:
    """The suffix that LLVM gives an overloaded intrinsic for a type."""
    if isinstance(kind, ll.VectorType):
        return f"v{kind.count}{_mangle(kind.element)}"
    if isinstance(kind, ll.PointerType):
        return "p0"
    if isinstance(kind, ll.IntType):
        return f"i{kind.width}"
    return {ll.HalfType: "f16", ll.FloatType: "f32", ll.DoubleType: "f64"}[type(kind)]
