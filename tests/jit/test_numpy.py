"""NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jit

DTYPES = ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool")


@jit.jit
def double(x):
    return x + x


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_are_kept(dtype: str) -> None:
    x = np.arange(12).reshape(3, 4).astype(dtype)
    for _ in range(3):
        made = double(x)
        assert isinstance(made, np.ndarray)
        assert made.dtype == x.dtype
        np.testing.assert_array_equal(made, x + x)


LAYOUTS = {
    "transposed": lambda x: x.T,
    "stepped": lambda x: x[::2, 1:],
    "reversed": lambda x: x[::-1],
    "broadcast": lambda x: np.broadcast_to(x[0], (3, 4)),
    "empty": lambda x: x[:0],
    "0-d": lambda x: np.asarray(x[0, 0]),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(layout: Any) -> None:
    x = layout(np.arange(12.0).reshape(3, 4))
    for _ in range(3):
        np.testing.assert_array_equal(double(x), x + x)


def test_read_only_arrays_are_not_written() -> None:
    x = np.arange(4.0)
    x.flags.writeable = False
    for _ in range(3):
        np.testing.assert_array_equal(double(x), [0, 2, 4, 6])
    np.testing.assert_array_equal(x, np.arange(4.0))


def test_arrays_are_written_in_place() -> None:
    @jit.jit
    def f(x):
        x.mul_(2)
        return x

    for _ in range(3):
        x = np.arange(4.0)
        made = f(x)
        np.testing.assert_array_equal(x, [0, 2, 4, 6])
        assert np.shares_memory(made, x)


def test_numpy_functions_in_the_body() -> None:
    @jit.jit
    def f(x, y):
        return np.where(x > y, np.exp(x), np.sqrt(np.abs(y))).sum() + np.maximum(x, y)

    x, y = np.random.default_rng(0).standard_normal((2, 5, 3))
    wanted = np.where(x > y, np.exp(x), np.sqrt(np.abs(y))).sum() + np.maximum(x, y)
    for _ in range(3):
        np.testing.assert_allclose(f(x, y), wanted)


def test_several_results_keywords_and_nested_arguments() -> None:
    @jit.jit
    def f(xs: list, scale: float = 2.0, *, bias):
        return xs[0] * scale + bias, (xs[1].sum(), 3)

    x = np.arange(4.0)
    for _ in range(3):
        total, (second, number) = f([x, x], bias=x)
        np.testing.assert_array_equal(total, x * 3)
        assert (float(second), number) == (6.0, 3)
        np.testing.assert_array_equal(f([x, x], scale=1.0, bias=x)[0], x * 2)


def test_numpy_scalars() -> None:
    @jit.jit
    def f(x, scale):
        return x * scale

    x = np.arange(4.0)
    for scale in (np.float64(3), np.int64(3), np.float32(3), 3):
        np.testing.assert_array_equal(f(x, scale), x * 3)


def test_unsupported_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match="numpy"):
        double(np.array(["a"]))


def test_a_function_without_a_graph_gets_the_arrays() -> None:
    @jit.jit
    def f(x):
        return x.astype("float32").tobytes()

    x = np.arange(4.0)
    with pytest.warns(jit.JitWarning, match="eager"):
        assert f(x) == x.astype("float32").tobytes()
    assert f(x) == x.astype("float32").tobytes()


def test_a_name_that_is_bound_later() -> None:
    @jit.jit
    def f(x):
        return later(x) + np.exp(x)

    def later(x):
        return x * 2

    x = np.arange(4.0)
    for _ in range(3):
        np.testing.assert_allclose(f(x), x * 2 + np.exp(x))
