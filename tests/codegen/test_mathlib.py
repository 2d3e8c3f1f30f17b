"""Elementary functions: distance to the true value over the whole range, limits, zeros, no calls.

float32 is compared with torch in float64, float64 with mpmath at some hundred points. `BOUNDS`
holds the ulp that the heads of the modules promise; code is for vectors and for scalars.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from codegen.engine import Source, assembly
from codegen.lanes.lanes import Lane, Lanes
from codegen.target import host
from ir import DType, dtypes
from tests.codegen.elementwise import SPECIAL, elementwise, emit, float_samples, torch_dtype, ulps

F32, F64 = dtypes.float32, dtypes.float64
BOUNDS: dict[str, tuple[float, float]] = {
    "exp": (1.0, 1.2),
    "exp2": (0.8, 0.8),
    "expm1": (1.5, 1.7),
    "sigmoid": (2.5, 2.0),
    "log": (1.2, 0.8),
    "log2": (2.0, 1.2),
    "log10": (1.8, 0.9),
    "log1p": (1.8, 1.5),
    "tanh": (1.9, 1.8),
    "sinh": (1.6, 1.7),
    "cosh": (1.3, 1.3),
    "asinh": (0.6, 1.6),
    "acosh": (0.6, 2.2),
    "atanh": (0.6, 1.9),
    "sin": (1.7, 1.7),
    "cos": (1.7, 1.8),
    "tan": (1.6, 2.8),
    "asin": (1.9, 1.3),
    "acos": (1.1, 1.1),
    "atan": (1.3, 1.9),
    "erf": (2.3, 2.4),
    "erfc": (4.5, 3.7),
    "erfinv": (2.6, 3.3),
    "rsqrt": (1.5, 1.5),
    "reciprocal": (0.6, 0.6),
    "sqrt": (0.6, 0.6),
}
ANYWHERE: frozenset[str] = frozenset()
FEATURES = pytest.mark.parametrize(
    "features", [ANYWHERE, host().instructions], ids=["anywhere", "here"]
)
FLUSHED = {"sigmoid"}  # where the result is denormal it may be zero
EXACT: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "log2": lambda x: mpmath.log(x, 2),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "reciprocal": lambda x: 1 / x,
}


def eager(name: str) -> Callable[..., Tensor]:
    return getattr(torch, name)


def compiled(
    name: str, dtype: DType, width: int, arity: int = 1, features: frozenset[str] = ANYWHERE
) -> Callable[..., Tensor]:
    return elementwise(partial(_call, name), [dtype] * arity, dtype, width, features)


def _call(name: str, s: Lanes, *xs: Lane) -> Lane:
    return getattr(s, name)(*xs)


def assert_close(
    got: Tensor, exact: np.ndarray, bound: float, *xs: Tensor, floor: float = 0.0
) -> None:
    """Within `bound` ulp, or below `floor` on both sides."""
    error = ulps(got, exact)
    error[(np.abs(exact) <= floor) & (got.abs().numpy() <= floor)] = 0.0
    worst = int(error.argmax())
    at = [x[worst].item() for x in xs]
    message = f"{error[worst]:.2f} ulp at {at}: {got[worst].item()} for {exact[worst]}"
    assert error[worst] <= bound, message


def assert_zero_signs(got: Tensor, expected: Tensor) -> None:
    zero = (expected == 0) & (got == 0)
    assert torch.equal(torch.signbit(got[zero]), torch.signbit(expected[zero]))


def exact_value(f: Callable[..., mpmath.mpf], *xs: float) -> np.longdouble:
    """The true value in the precision of numpy's longdouble; the limit where it overflows."""
    value = f(*map(mpmath.mpf, xs))
    if isinstance(value, mpmath.mpc):
        return np.longdouble("nan")
    high = float(value)
    return np.longdouble(high) if np.isinf(high) else np.longdouble(high) + float(value - high)


def exact_values(f: Callable[..., mpmath.mpf], limits: Tensor, *xs: Tensor) -> np.ndarray:
    """True values where arguments and eager's result are finite and not zero, else the latter."""
    values = limits.numpy().astype(np.longdouble)
    ordinary = torch.isfinite(limits) & (limits != 0)
    for x in xs:
        ordinary &= torch.isfinite(x)
    with mpmath.workprec(160):
        for i in ordinary.nonzero().flatten().tolist():
            values[i] = exact_value(f, *(x[i].item() for x in xs))
    return values


@FEATURES
@pytest.mark.parametrize("width", [16, 1])
@pytest.mark.parametrize("name", BOUNDS)
def test_float32(name: str, width: int, features: frozenset[str]) -> None:
    x = float_samples(F32, 100_000)
    got = compiled(name, F32, width, features=features)(x)
    expected = eager(name)(x.double())
    floor = 1.2e-38 if name in FLUSHED else 0.0
    assert_close(got, expected.numpy(), BOUNDS[name][0], x, floor=floor)
    assert_zero_signs(got, expected)


@FEATURES
def test_one_plus_tanh(features: frozenset[str]) -> None:
    """One operation, as exact as its result: nothing cancels."""
    rule = elementwise(lambda s, x: 1 + s.tanh(x), [F32], F32, 16, features)
    for least, bound in ((-8.0, 2.6), (-43.0, 6.0)):
        x = torch.linspace(least, 20.0, 100_003)
        assert_close(rule(x), (2 / (1 + torch.exp(-2 * x.double()))).numpy(), bound, x)


@FEATURES
@pytest.mark.parametrize("width", [8, 1])
@pytest.mark.parametrize("name", BOUNDS)
def test_float64(name: str, width: int, features: frozenset[str]) -> None:
    x = float_samples(F64, 200)
    got = compiled(name, F64, width, features=features)(x)
    limits = eager(name)(x)
    exact = exact_values(EXACT.get(name) or getattr(mpmath, name), limits, x)
    floor = 2.3e-308 if name in FLUSHED else 0.0
    overflow = np.isinf(exact) & torch.isfinite(got).numpy()  # eager's sinh and cosh overflow early
    exact[overflow] = got.numpy()[overflow]
    assert_close(got, exact, BOUNDS[name][1], x, floor=floor)
    assert_zero_signs(got, limits)


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_far_angles(name: str, dtype: DType) -> None:
    """Random angles beyond the near reduction, and the neighbors of multiples of pi/2."""
    random = np.random.default_rng(3)
    top = 38 if dtype is F32 else 307
    far = 10.0 ** random.uniform(3, top, 300) * random.choice([-1, 1], 300)
    multiples = random.integers(1, 1 << 40, 300) * (np.pi / 2)
    x = torch.from_numpy(np.concatenate([far, multiples])).to(torch_dtype(dtype))
    got = compiled(name, dtype, 8)(x)

    def reduced(x: mpmath.mpf) -> mpmath.mpf:
        with mpmath.workprec(1400):
            return getattr(mpmath, name)(x)

    exact = exact_values(reduced, x, x)
    assert_close(got, exact, BOUNDS[name][dtype is F64], x)


GAMMA = {"lgamma": mpmath.loggamma, "digamma": mpmath.digamma}


@pytest.mark.parametrize("name", GAMMA)
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_gamma_family(name: str, dtype: DType) -> None:
    x = float_samples(dtype, 4000)
    got, expected = compiled(name, dtype, 8)(x), eager(name)(x.double())
    relative, absolute = (2e-7, 2e-7) if dtype is F32 else (1e-13, 1e-13)
    moderate = x.abs() < 1e15  # eager's reflection degrades before
    got, expected = got.double()[moderate], expected[moderate]
    if dtype is F32:
        expected = expected.float().double()
    near_pole = (x[moderate] - x[moderate].round()).abs() < 1e-3
    keep = (x[moderate] > 0) | ~near_pole | (x[moderate] == 0)
    torch.testing.assert_close(
        got[keep], expected[keep], rtol=relative, atol=absolute, equal_nan=True
    )
    positive = torch.linspace(2.5, 200, 100, dtype=torch.float64).to(torch_dtype(dtype))
    exact = exact_values(GAMMA[name], positive, positive)
    assert_close(compiled(name, dtype, 8)(positive), exact, 0.6 if dtype is F32 else 5, positive)


def pairs(dtype: DType, count: int) -> tuple[Tensor, Tensor]:
    """Random and moderate pairs, powers of small integers, all pairs of special values."""
    x, y = float_samples(dtype, count, 1), float_samples(dtype, count, 2)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    special = torch.tensor(SPECIAL, dtype=torch.float64).to(torch_dtype(dtype))
    grid = torch.cartesian_prod(special, special)
    whole = torch.arange(-20, 20).repeat(10).to(x.dtype)
    base = x[count : count + len(whole)]
    return torch.cat([x, grid[:, 0], base]), torch.cat([y, grid[:, 1], whole[: len(base)]])


BINARY: dict[str, tuple[Callable[..., mpmath.mpf] | None, float, float]] = {
    "pow": (lambda x, y: x**y, 0.9, 1.0),
    "hypot": (mpmath.hypot, 0.6, 1.0),
    "atan2": (mpmath.atan2, 1.7, 2.0),
    "fmod": (None, 0.0, 0.0),
}


@FEATURES
@pytest.mark.parametrize("width", [16, 1])
@pytest.mark.parametrize("name", BINARY)
def test_binary_float32(name: str, width: int, features: frozenset[str]) -> None:
    x, y = pairs(F32, 50_000)
    got = compiled(name, F32, width, 2, features)(x, y)
    expected = eager(name)(x.double(), y.double())
    assert_close(got, expected.numpy(), BINARY[name][1], x, y)
    assert_zero_signs(got, expected)


def _remainder(x: float, y: float) -> float:
    return math.fmod(x, y) if math.isfinite(x) and y else math.nan


@pytest.mark.parametrize("width", [8, 1])
@pytest.mark.parametrize("name", BINARY)
def test_binary_float64(name: str, width: int) -> None:
    x, y = pairs(F64, 400)
    got, limits = compiled(name, F64, width, 2)(x, y), eager(name)(x, y)
    if name == "fmod":  # eager overflows in between
        rests = map(_remainder, x.tolist(), y.tolist())
        limits = torch.tensor(list(rests), dtype=x.dtype)
    f, _, bound = BINARY[name]
    regular = (x != 0) & (y != 0)
    exact = limits.numpy().astype(np.longdouble)
    if f is not None:
        exact[regular] = exact_values(f, limits[regular], x[regular], y[regular])
    assert_close(got, exact, bound, x, y)
    assert_zero_signs(got, limits)


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize(
    "y", [0, 1, 2, 3, 4, 5, 7, 8, 0.5, -0.5, -1, -2, -3, 2.4, 1 / 2.4, 11, 1e10]
)
def test_power_of_a_known_exponent(y: float, dtype: DType) -> None:
    """As in eager, the exponent is rounded to the dtype, and 1 / x**2 is 0 where x**2 overflows."""
    x = float_samples(dtype, 2000)
    got = elementwise(lambda s, x: s.pow(x, y), [dtype], dtype, 16)(x)
    exponent = torch.tensor(y, dtype=x.dtype).item()
    floor = torch.finfo(x.dtype).tiny if y == -2 else 0.0
    assert_close(
        got, torch.pow(x.double(), exponent).numpy(), (2.0, 6.0)[dtype is F64], x, floor=floor
    )


@pytest.mark.parametrize("width", [8, 1])
@pytest.mark.parametrize("name", ["uint8", "int8", "int32", "int64"])
def test_integer_power(name: str, width: int) -> None:
    dtype = dtypes.by_name(name)
    base = torch.arange(-9, 10).repeat(12).to(torch_dtype(dtype))
    exponent = torch.arange(-3, 9).repeat_interleave(19)
    exponent = (exponent if dtype.is_signed else exponent.abs()).to(torch_dtype(dtype))
    got = compiled_power(dtype, width)(base, exponent)
    assert torch.equal(got, torch.pow(base, exponent))
    square = elementwise(lambda s, x: s.pow(x, 3), [dtype], dtype, width)(base)
    assert torch.equal(square, torch.pow(base, 3))


def compiled_power(dtype: DType, width: int) -> Callable[..., Tensor]:
    return elementwise(lambda s, x, y: s.pow(x, y), [dtype, dtype], dtype, width)


UNARY = [*BOUNDS, *GAMMA]


@FEATURES
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_no_library_is_called(dtype: DType, features: frozenset[str]) -> None:
    """Neither by name, nor after the back end has lowered an operation that it does not know."""
    for name in [*UNARY, *BINARY]:
        arity = 2 if name in BINARY else 1
        rule = partial(_call, name)
        module = emit(rule, [dtype] * arity, dtype, 8, features)
        source = Source.of(module)
        assert source.imports == ()
        assert not re.search(r"\b(callq?|bl)\s", assembly(source.text, host())), name
