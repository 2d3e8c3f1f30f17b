"""Every way to pass arguments ends in a native call; every wrong one in Python's TypeError."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import jit
from tests.jit.support import assert_native, native

X, Y = torch.arange(6.0), torch.linspace(1, 2, 6)


@jit.jit
def weighted(x, y, scale: float = 2.0, *, flip: bool = False, bias=None):
    """The doc."""
    z = x * scale - y
    if flip:
        z = -z
    return z if bias is None else z + bias


SHAPES: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((X, Y), {}),
    ((X, Y, 0.5), {}),
    ((X,), {"y": Y}),
    ((), {"y": Y, "x": X}),
    ((X, Y), {"scale": 3.0}),
    ((X, Y), {"flip": True}),
    ((X, Y), {"flip": True, "scale": 1.5}),
    ((X, Y), {"scale": 1.5, "flip": True}),
    ((X, Y), {"bias": Y}),
    ((X, Y, 0.25), {"bias": Y, "flip": False}),
]


@pytest.mark.parametrize(("args", "kwargs"), SHAPES)
def test_each_shape_of_a_call_is_native(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for _ in range(2):
        weighted(*args, **kwargs)
    assert_native(weighted, *args, **kwargs)


WRONG: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((X,), {}),
    ((X, Y, 1.0, True), {}),
    ((X, Y), {"sclae": 1.0}),
    ((X, Y), {"x": X}),
]


@pytest.mark.parametrize(("args", "kwargs"), WRONG)
def test_wrong_calls_raise_as_python_does(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as wanted:
        weighted.__wrapped__(*args, **kwargs)
    with pytest.raises(TypeError) as found:
        weighted(*args, **kwargs)
    assert str(found.value) == str(wanted.value)


def test_a_scripted_function_names_what_is_missing() -> None:
    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    with pytest.raises(TypeError, match="missing"):
        jit.script(f)(X)


@pytest.mark.parametrize("wrong", [2, None, "x", [X]])
def test_a_scripted_function_names_what_has_another_type(wrong: Any) -> None:
    def f(x: torch.Tensor, n: int) -> torch.Tensor:
        return x + n

    scripted = jit.script(f)
    with pytest.raises(TypeError, match=r"f\(\) expected Tensor for 'x'"):
        scripted(wrong, 1)
    with pytest.raises(TypeError, match=r"f\(\) expected int for 'n', not float"):
        scripted(X, n=1.5)
    torch.testing.assert_close(scripted(X, n=1), X + 1)


def test_looks_like_the_function() -> None:
    assert weighted.__name__ == "weighted"
    assert weighted.__doc__ == "The doc."
    assert str(inspect.signature(weighted)) == str(inspect.signature(weighted.__wrapped__))


def test_starred_arguments() -> None:
    @jit.jit(warm=0)
    def total(x, *rest):
        for r in rest:
            x = x + r
        return x

    for count in range(4):
        assert_native(total, X, *[Y] * count)


def test_tuples_and_lists_are_taken_apart() -> None:
    @jit.jit(warm=0)
    def f(pair, many):
        return pair[0] * pair[1] + many[0] - many[1]

    assert_native(f, (X, 2.0), [Y, X])
    assert_native(f, (Y, 3.0), [X, X])
    assert jit.stats(f).compilations == 1


def test_dicts_are_taken_apart() -> None:
    @jit.jit
    def step(x: torch.Tensor, cache: dict[str, torch.Tensor]) -> Any:
        grown = torch.cat([cache["seen"], x])
        if "scale" in cache:
            grown = grown * cache["scale"]
        total = grown.sum() * len(cache)
        for name, value in cache.items():
            total = total + value.sum() * len(name)
        return total, {"seen": grown}

    def run(function: Any) -> Any:
        cache: dict[str, torch.Tensor] = {"seen": torch.ones(2)}
        for k in range(9):
            total, cache = function(torch.full((2,), float(k)), cache)
        return total, cache, function(torch.ones(1), {"scale": torch.ones(1) * 2, **cache})

    torch.testing.assert_close(run(step), run(step.__wrapped__))  # type: ignore[attr-defined]
    torch.testing.assert_close(run(step), run(step.__wrapped__))  # type: ignore[attr-defined]
    found = jit.stats(step)
    assert found.native >= 17 and found.compilations <= 4
    with pytest.raises(KeyError, match="seen"):
        step(torch.ones(1), {"scale": torch.ones(1)})


def test_dicts_that_are_changed_or_kept_are_eagers() -> None:
    @jit.jit
    def change(x: torch.Tensor, cache: dict[str, torch.Tensor]) -> torch.Tensor:
        cache["x"] = x
        return x + 1

    @jit.jit
    def keep(x: torch.Tensor, cache: dict[str, torch.Tensor]) -> Any:
        return x + 1, cache

    for k in range(3):
        x, cache = torch.full((2,), float(k)), {"x": torch.ones(1)}
        change(x, cache)
        assert cache["x"] is x
        assert keep(x, cache)[1] is cache


def test_methods_bind() -> None:
    class Scaler:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @jit.jit(warm=0)
        def apply(self, x):
            return x * self.factor

    two, three = Scaler(2.0), Scaler(3.0)
    for _ in range(2):
        torch.testing.assert_close(two.apply(X), X * 2)
        torch.testing.assert_close(three.apply(X), X * 3)
    two.factor = 5.0
    torch.testing.assert_close(two.apply(X), X * 5)
    assert native(two.apply) == 5
    assert isinstance(Scaler.apply, jit.ScriptFunction)


def test_mutable_defaults_are_eagers() -> None:
    @jit.jit(warm=0)
    def f(x, table=[0]):
        table.append(1)
        return x + len(table)

    assert [int(f(torch.zeros(()))) for _ in range(3)] == [2, 3, 4]


def test_equal_constants_of_other_types_are_other_constants() -> None:
    @jit.jit(warm=0)
    def f(x, flag):
        return x * flag

    integers, floats = torch.int64, torch.float32
    for flag, dtype in ((True, integers), (1, integers), (1.0, floats), (False, integers)):
        result = f(torch.ones(2, dtype=torch.int64), flag)
        assert result.dtype == dtype
        assert result[0] == flag


def test_very_large_numbers_are_eagers() -> None:
    @jit.jit(warm=0)
    def f(n: int):
        return n * 2

    assert f(2**70) == 2**71
    assert jit.stats(f).bailouts == {"number out of range": 1}


def test_negative_powers_of_integers_are_eagers() -> None:
    @jit.jit(warm=0)
    def f(x, n: int):
        return x**n

    x = torch.arange(4)
    assert torch.equal(f(x, 3), x**3)
    with pytest.raises(RuntimeError, match="negative integer powers"):
        f(x, -2)
    assert native(f) >= 1


def test_results_that_are_known_beforehand() -> None:
    @jit.jit(warm=0)
    def f(x):
        return x + 1, x.dtype, x.shape[0], [x.dim(), 7], None

    for _ in range(2):
        result = f(X)
        assert result[1:] == (torch.float32, 6, [1, 7], None)
    assert native(f) == 2


@pytest.mark.parametrize("value", [3, 2.5, True])
def test_numbers_of_tensors_keep_their_kind_as_any(value: Any) -> None:
    def f(x: torch.Tensor, kind: int) -> Any:
        return bool(x) if kind == 0 else int(x) if kind == 1 else float(x)

    scripted, x = jit.script(f), torch.tensor(value)
    kind = (bool, int, float).index(type(value))
    assert [repr(scripted(x, kind)) for _ in range(3)] == [repr(value)] * 3
