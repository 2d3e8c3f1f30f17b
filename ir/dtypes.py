"""Element types of tensors: their kind, width, torch's integer code, and the promotion lattice.

Invariants: a `DType` is interned (compare with `is`); `code` is the integer that TorchScript
programs and archives use for the dtype (uint8 0, int8 1, ... bool 11, bfloat16 15); everything here
works without torch.
"""

from __future__ import annotations

from enum import IntEnum

from ir.records import record


class Kind(IntEnum):
    """Promotion category, in torch's order: a higher category always wins."""

    BOOL = 0
    INT = 1
    FLOAT = 2
    COMPLEX = 3


@record(eq=False)
class DType:
    """One element type: torch's name, category, bits, signedness and torch's integer code."""

    name: str
    kind: Kind
    bits: int
    code: int
    is_signed: bool = True

    @property
    def itemsize(self) -> int:
        """Bytes per element in memory (bool takes one byte)."""
        return max(self.bits, 8) // 8

    @property
    def is_float(self) -> bool:
        return self.kind is Kind.FLOAT

    @property
    def is_int(self) -> bool:
        return self.kind is Kind.INT

    @property
    def is_bool(self) -> bool:
        return self.kind is Kind.BOOL

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, ...]:
        return (by_name, (self.name,))


uint8 = DType("uint8", Kind.INT, 8, 0, is_signed=False)
int8 = DType("int8", Kind.INT, 8, 1)
int16 = DType("int16", Kind.INT, 16, 2)
int32 = DType("int32", Kind.INT, 32, 3)
int64 = DType("int64", Kind.INT, 64, 4)
float16 = DType("float16", Kind.FLOAT, 16, 5)
float32 = DType("float32", Kind.FLOAT, 32, 6)
float64 = DType("float64", Kind.FLOAT, 64, 7)
complex64 = DType("complex64", Kind.COMPLEX, 64, 9)
complex128 = DType("complex128", Kind.COMPLEX, 128, 10)
bool_ = DType("bool", Kind.BOOL, 1, 11, is_signed=False)
bfloat16 = DType("bfloat16", Kind.FLOAT, 16, 15)

ALL = (
    uint8,
    int8,
    int16,
    int32,
    int64,
    float16,
    float32,
    float64,
    complex64,
    complex128,
    bool_,
    bfloat16,
)
COMPILED = tuple(dtype for dtype in ALL if dtype.kind is not Kind.COMPLEX)  # the rest stays opaque
_BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_CODE = {dtype.code: dtype for dtype in ALL}
_OPAQUE_CODES = {
    "complex32": 8,
    "qint8": 12,
    "quint8": 13,
    "qint32": 14,
    "quint4x2": 16,
    "quint2x4": 17,
    "float8_e5m2": 23,
    "float8_e4m3fn": 24,
    "float8_e5m2fnuz": 25,
    "float8_e4m3fnuz": 26,
    "uint16": 27,
    "uint32": 28,
    "uint64": 29,
}


def by_name(name: str) -> DType:
    """The dtype that torch calls `name`; KeyError when it is not a dtype of the typed IR."""
    return _BY_NAME[name]


def by_code(code: int) -> DType | None:
    """The dtype of torch's integer code, None for dtypes that stay opaque (float8 ...)."""
    return _BY_CODE.get(code)


def code_of(dtype: object) -> int:
    """The integer code of a dtype of the IR or of torch's own, also of a code itself; KeyError for
    a dtype without one.
    """
    if isinstance(dtype, int):
        return dtype
    if isinstance(dtype, DType):
        return dtype.code
    name = str(dtype).removeprefix("torch.")
    return _BY_NAME[name].code if name in _BY_NAME else _OPAQUE_CODES[name]


def promote(a: DType, b: DType) -> DType:
    """The common dtype of two tensors of equal rank class (torch.promote_types)."""
    if a is b:
        return a
    if a.kind is not b.kind:
        low, high = sorted((a, b), key=lambda d: d.kind)
        if high is complex64 and low is float64:
            return complex128
        return high
    if a.kind is Kind.INT and a.is_signed != b.is_signed:  # the next signed type that holds both
        signed = a if a.is_signed else b
        return int16 if signed is int8 else signed
    if a.bits == b.bits:  # float16 with bfloat16
        return float32
    return a if a.bits > b.bits else b


def opmath(dtype: DType) -> DType:
    """The dtype in which lanes compute: float32 for 16-bit floats, otherwise the dtype itself."""
    return float32 if dtype is float16 or dtype is bfloat16 else dtype
