"""Operators, conversions, memory access and control flow of lanes, against torch."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Iterator
from typing import Any

import llvmlite.ir as ll
import pytest
import torch
from torch import Tensor

from codegen.lanes.lanes import Lane, Lanes
from ir import DType, dtypes
from ir.scalar import Scalars
from tests.codegen.elementwise import (
    I64,
    POINTER,
    elementwise,
    engine,
    float_samples,
    native,
    torch_dtype,
)

INTS = [dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64]
FLOATS = [dtypes.float32, dtypes.float64]
WIDTHS = [1, 16]
WIDE = [(dtype, 16) for dtype in INTS + FLOATS] + [(dtypes.int32, 1), (dtypes.float32, 1)]


def int_samples(dtype: DType, seed: int = 0) -> Tensor:
    info = torch.iinfo(torch_dtype(dtype))
    edges = torch.tensor(
        [0, 1, 2, 3, 7, info.max, info.min, info.max - 1], dtype=torch_dtype(dtype)
    )
    generator = torch.Generator().manual_seed(seed)
    some = torch.randint(-100, 100, (2000,), generator=generator).to(torch_dtype(dtype))
    far = torch.randint(info.min // 2, info.max // 2, (2000,), generator=generator)
    values = torch.cat([edges, some, far.to(torch_dtype(dtype))])
    return values[torch.randperm(len(values), generator=generator)]


def samples(dtype: DType, seed: int = 0) -> Tensor:
    return float_samples(dtype, 1000, seed) if dtype.is_float else int_samples(dtype, seed)


def check(rule: Callable[..., Lane], eager: Callable[..., Tensor], *xs: Tensor, width: int) -> None:
    kinds = [dtypes.by_name(str(x.dtype).removeprefix("torch.")) for x in xs]
    expected = eager(*xs)
    output = dtypes.by_name(str(expected.dtype).removeprefix("torch."))
    got = elementwise(rule, kinds, output, width)(*xs)
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("dtype", "width"), WIDE, ids=str)
@pytest.mark.parametrize("op", ["add", "sub", "mul", "lt", "le", "gt", "ge", "eq", "ne"])
def test_operators(op: str, dtype: DType, width: int) -> None:
    python, eager = getattr(operator, op), getattr(torch, op)
    check(lambda s, x, y: python(x, y), eager, samples(dtype, 1), samples(dtype, 2), width=width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", INTS, ids=str)
def test_integer_division_truncates_and_never_traps(dtype: DType, width: int) -> None:
    x, y = int_samples(dtype, 1), int_samples(dtype, 2)
    y = torch.where(y == 0, torch.ones_like(y), y)
    exact = [int(a) for a in x], [int(b) for b in y]
    pairs = list(zip(*exact, strict=True))
    trunc = [abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) for a, b in pairs]
    quotient = _wrapped(trunc, dtype)
    rest = _wrapped([a - q * b for (a, b), q in zip(pairs, trunc, strict=True)], dtype)
    check(lambda s, x, y: x // y, lambda x, y: quotient, x, y, width=width)
    check(lambda s, x, y: x % y, lambda x, y: rest, x, y, width=width)
    zero = torch.zeros_like(y)
    check(lambda s, x, y: x // y, lambda x, y: x, x, zero, width=width)
    check(lambda s, x: x // 7, lambda x: torch.div(x, 7, rounding_mode="trunc"), x, width=width)
    check(lambda s, x: x % 3, lambda x: torch.fmod(x, 3), x, width=width)


def _wrapped(values: list[int], dtype: DType) -> Tensor:
    bits = dtype.bits
    low = -(1 << (bits - 1)) if dtype.is_signed else 0
    return torch.tensor([(v - low) % (1 << bits) + low for v in values], dtype=torch_dtype(dtype))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", INTS, ids=str)
def test_bits_and_shifts(dtype: DType, width: int) -> None:
    x = int_samples(dtype, 1)
    count = int_samples(dtype, 3) % (2 * dtype.bits)
    for op in (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift):
        check(lambda s, x, y, op=op: op(x, y), op, x, count, width=width)
        for known in (0, 1, dtype.bits - 1, dtype.bits, dtype.bits + 1):
            check(
                lambda s, x, op=op, n=known: op(x, n),
                lambda x, op=op, n=known: op(x, n),
                x,
                width=width,
            )
    check(lambda s, x: ~x, torch.bitwise_not, x, width=width)
    check(lambda s, x: -x, torch.neg, x, width=width)
    check(lambda s, x: s.abs(x), torch.abs, x, width=width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rounding_sign_and_extrema(dtype: DType, width: int) -> None:
    x, y = float_samples(dtype, 1000, 1), float_samples(dtype, 1000, 2).flip(0)
    x, y = (torch.where(v.isnan(), float("nan"), v) for v in (x, y))  # C's fmin keeps loud NaNs
    for name in ("abs", "floor", "ceil", "trunc", "round", "signbit", "isnan", "isinf"):
        check(lambda s, x, n=name: getattr(s, n)(x), getattr(torch, name), x, width=width)
    for name in ("minimum", "maximum", "fmin", "fmax", "copysign"):
        check(lambda s, x, y, n=name: getattr(s, n)(x, y), getattr(torch, name), x, y, width=width)
    for name in ("minimum", "maximum", "fmin", "fmax"):
        for bound in (0.5, float("nan")):
            limit = torch.tensor(bound, dtype=x.dtype)
            check(
                lambda s, x, n=name, b=bound: getattr(s, n)(x, b),
                lambda x, n=name, b=limit: getattr(torch, n)(x, b),
                x,
                width=width,
            )
    check(lambda s, x: -x, torch.neg, x, width=width)
    check(lambda s, x, y: x / y, torch.div, x, y, width=width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("divisor", [3.0, -5.0, 255.0, -0.25, 1e-40, 1e38, float("inf"), 0.0])
def test_division_by_one_scalar(divisor: float, width: int) -> None:
    x = float_samples(dtypes.float32, 1000)
    x = x[(x.abs() > 1e-30) | (x == 0) | x.isnan()]  # below, the last bit may differ
    got = elementwise(lambda s, x: x / divisor, [dtypes.float32], dtypes.float32, width)(x)
    torch.testing.assert_close(got, x / divisor, rtol=0, atol=0, equal_nan=True)
    number = ~got.isnan()
    assert torch.equal(got.signbit()[number], (x / divisor).signbit()[number])


def test_the_protocol_is_whole() -> None:
    names = {name for name in vars(Scalars) if not name.startswith("_")}
    assert names
    assert not {name for name in names if not hasattr(Lanes, name)}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("source", [*INTS, *FLOATS, dtypes.bool_], ids=str)
def test_casts(source: DType, width: int) -> None:
    if source.is_bool:
        x = torch.tensor([True, False] * 20)
    else:
        x = samples(source)
    for target in [*INTS, *FLOATS, dtypes.bool_, dtypes.float16, dtypes.bfloat16]:
        kept = x
        if source.is_float and target.is_int:  # out of range is undefined in C and in eager
            info = torch.iinfo(torch_dtype(target))
            kept = x[(x > float(info.min) - 1) & (x < float(info.max))]
        check(
            lambda s, x, t=target: s.cast(x, t),
            lambda x, t=target: x.to(torch_dtype(t)),
            kept,
            width=width,
        )


def test_casts_of_nan_and_huge_floats_do_not_trap() -> None:
    x = torch.tensor([float("nan"), 1e30, -1e30, float("inf"), 1.5] * 4)
    got = elementwise(lambda s, x: s.cast(x, dtypes.int32), [dtypes.float32], dtypes.int32, 4)(x)
    assert got[4::5].eq(1).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
def test_half_precision_in_memory(dtype: DType, width: int) -> None:
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int16).view(torch_dtype(dtype))
    same = elementwise(lambda s, x: x, [dtype], dtype, width)(every)
    nan = every.isnan()
    assert torch.equal(same[~nan].view(torch.int16), every[~nan].view(torch.int16))
    assert same[nan].isnan().all()
    wide = float_samples(dtypes.float32, 20_000)
    ties = every.float()[~nan] + every.float()[~nan] * 2.0**-9
    for x in (wide, ties):
        check(lambda s, x: x, lambda x: x.to(torch_dtype(dtype)), x, width=width)


def test_scalars_and_vectors_mix() -> None:
    def rule(s: Lanes, x: Lane) -> Lane:
        scalar = s.const(3, dtypes.int32) * s.const(5, dtypes.int32)
        assert scalar.width == 1
        return s.where(s.const(True, dtypes.bool_), x, 0) + scalar * s.iota(dtypes.int32)

    x = torch.arange(32, dtype=torch.int32)
    expected = x + 15 * torch.arange(8, dtype=torch.int32).repeat(4)
    check(rule, lambda x: expected, x, width=8)


def test_misuse_is_refused() -> None:
    s = Lanes(ll.IRBuilder(), 4)
    x, y = s.const(1.0, dtypes.float32), s.const(1, dtypes.int32)
    with pytest.raises(TypeError, match="different dtypes"):
        x + y
    with pytest.raises(TypeError, match="cast to a float"):
        y / y
    with pytest.raises(TypeError, match="for integers"):
        x // x
    with pytest.raises(TypeError, match="truth value"):
        bool(x)
    with pytest.raises(ValueError, match="power of two"):
        Lanes(ll.IRBuilder(), 3)


def test_fault_reaches_the_hook() -> None:
    s = Lanes(ll.IRBuilder(), 4)
    seen: list[tuple[Lane, str]] = []
    s.on_fault = lambda condition, reason: seen.append((condition, reason))
    condition = s.const(True, dtypes.bool_)
    s.fault(condition, "division by zero")
    assert seen == [(condition, "division by zero")]


# memory


def _function(body: Callable[[Lanes, Any], None], width: int, count: int) -> Callable[..., None]:
    """A native function of `count` pointers and an i64."""
    module = ll.Module()
    kind = ll.FunctionType(ll.VoidType(), [*[POINTER] * count, I64])
    function = ll.Function(module, kind, "f")
    b = ll.IRBuilder(function.append_basic_block())
    body(Lanes(b, width), function.args)
    b.ret_void()
    kinds = [*[ctypes.c_void_p] * count, ctypes.c_int64]
    return native(engine().load(module), "f", *kinds)


MEMORY = [*INTS, *FLOATS, dtypes.bool_, dtypes.float16, dtypes.bfloat16]


@pytest.mark.parametrize("width", [1, 8, 32])
@pytest.mark.parametrize("dtype", MEMORY, ids=str)
def test_masked_load_and_store(dtype: DType, width: int) -> None:
    def body(s: Lanes, args: Any) -> None:
        source, target, count = args
        mask = s.tail_mask(count)
        s.store(target, s.load(source, dtype, mask), dtype, mask)

    copy = _function(body, width, 2)
    source = torch.randint(0, 2, (width,)).to(torch_dtype(dtype))
    for n in range(width + 1):
        target = torch.full((width,), 1).to(torch_dtype(dtype))
        copy(source.data_ptr(), target.data_ptr(), n)
        assert torch.equal(target[:n], source[:n])
        assert target[n:].eq(1).all()


@pytest.fixture
def page_end() -> Iterator[int]:
    """The address after which memory may not be touched; a page of zeros lies before it."""
    page = 4096
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    base = libc.mmap(None, 2 * page, 3, 0x22, -1, 0)
    libc.mprotect(ctypes.c_void_p(base + page), page, 0)
    yield base + page
    libc.munmap(ctypes.c_void_p(base), 2 * page)


def test_masked_load_does_not_touch_the_rest(page_end: int) -> None:
    def body(s: Lanes, args: Any) -> None:
        s.store(args[1], s.load(args[0], dtypes.float32, s.tail_mask(args[2])), dtypes.float32)

    target = torch.ones(16)
    _function(body, 16, 2)(page_end - 12, target.data_ptr(), 3)
    assert target.eq(0).all()


@pytest.mark.parametrize("stride", [2, 7])
def test_gather_does_not_touch_what_follows(page_end: int, stride: int) -> None:
    def body(s: Lanes, args: Any) -> None:
        s.store(args[1], s.gather(args[0], stride, dtypes.float32), dtypes.float32)

    target = torch.ones(16)
    _function(body, 16, 2)(page_end - 4 * (15 * stride + 1), target.data_ptr(), 0)
    assert target.eq(0).all()


@pytest.mark.parametrize("stride", [0, 1, 3, -1, -2, 8, -9, None])
@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("dtype", MEMORY, ids=str)
def test_gather_and_scatter(dtype: DType, width: int, stride: int | None) -> None:
    """`None`: a stride known at run time only."""

    def body(s: Lanes, args: Any) -> None:
        source, target, step = args
        x = s.gather(source, step if stride is None else stride, dtype)
        s.store(target, x, dtype)

    def back(s: Lanes, args: Any) -> None:
        source, target, step = args
        s.scatter(target, step if stride is None else stride, s.load(source, dtype), dtype)

    actual = 5 if stride is None else stride
    memory = torch.randint(0, 2, (256,)).to(torch_dtype(dtype))
    target = torch.zeros(width).to(torch_dtype(dtype))
    index = 128 + actual * torch.arange(width)
    start = memory.data_ptr() + 128 * memory.itemsize
    _function(body, width, 2)(start, target.data_ptr(), actual)
    assert torch.equal(target, memory[index])
    if actual:
        changed, values = memory.clone(), 1 - memory[index].int()
        changed[index] = values.to(memory.dtype)
        values = values.to(memory.dtype)
        _function(back, width, 2)(values.data_ptr(), start, actual)
        assert torch.equal(memory, changed)


@pytest.mark.parametrize("width", [1, 2, 16])
def test_reduce_and_any(width: int) -> None:
    def body(s: Lanes, args: Any) -> None:
        source, target, limit = args
        x = s.load(source, dtypes.int64)
        total = s.reduce(x, lambda a, b: a + b)
        found = Lane(s, s.any(x == Lane(s, limit, dtypes.int64)), dtypes.bool_)
        s.store_scalar(target, s.where(found, total, -total), dtypes.int64)

    x, out = torch.arange(1, width + 1), torch.zeros(1, dtype=torch.int64)
    run = _function(body, width, 2)
    run(x.data_ptr(), out.data_ptr(), width)
    assert out.item() == x.sum()
    run(x.data_ptr(), out.data_ptr(), width + 1)
    assert out.item() == -x.sum()


@pytest.mark.parametrize("width", [1, 8])
def test_cold_and_repeat(width: int) -> None:
    def rule(s: Lanes, x: Lane) -> Lane:
        def halve(x: Lane) -> list[Lane]:
            return [s.where(x > 1.0, x * 0.5, x)]

        (small,) = s.repeat([x], lambda x: x > 1.0, halve)
        return s.cold(x > 1000.0, small, lambda: s.where(x > 1000.0, -1.0, small))

    def eager(x: Tensor) -> Tensor:
        halved = torch.where(x > 1, x * 0.5 ** torch.ceil(torch.log2(x.clamp_min(1))), x)
        return torch.where(x > 1000, -1.0, halved)

    check(
        rule, eager, torch.tensor([0.25, 1.0, 1.5, 2.0, 3.0, 999.0, 1001.0, 1e9] * 3), width=width
    )
