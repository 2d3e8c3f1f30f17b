"""The state machine: observe, compile, generalize, refuse, switch off."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codegen
import jit
from codegen.callable import get_entry
from tests.jit.support import assert_native, native, run_warm


def test_the_second_call_is_native() -> None:
    @jit.jit
    def f(x, y):
        return torch.exp(x) * y + 1

    args = torch.randn(8, 5), torch.randn(8, 5)
    f(*args)
    assert (native(f), jit.stats(f).bailouts) == (0, {"observing": 1})
    assert_native(f, *args)
    assert_native(f, *args)
    assert jit.stats(f).compilations == 1


def test_warm_is_a_knob() -> None:
    @jit.jit(warm=0)
    def f(x):
        return x * 2

    assert_native(f, torch.ones(3))


def test_a_stream_of_lengths_compiles_at_most_twice() -> None:
    @jit.jit
    def f(x, y):
        return (torch.sigmoid(x) * y).sum()

    for n in range(2, 130):
        x = torch.ones(n)
        torch.testing.assert_close(f(x, x.clone()), torch.sigmoid(x).sum())
    assert jit.stats(f).compilations <= 2
    assert native(f) == 127


def test_sizes_that_were_equal_by_chance_are_told_apart() -> None:
    @jit.jit(warm=0)
    def f(x, y):
        return x.sum() + y.sum()

    for n, m in ((4, 4), (6, 6), (8, 9), (10, 3)):
        torch.testing.assert_close(f(torch.ones(n), torch.ones(m)), torch.tensor(float(n + m)))
    assert jit.stats(f).compilations == 3
    assert_native(f, torch.ones(100), torch.ones(7))


def test_sizes_that_need_other_assumptions_get_a_plan() -> None:
    @jit.jit(warm=0)
    def f(x, n: int):
        return x[:n].sum() + (1 if x.shape[0] > 10 else 0)

    for size, n in ((8, 3), (12, 5), (8, 3), (8, 20), (12, 20)):
        assert_native(f, torch.ones(size), n)
    for size, n in ((8, 3), (12, 5), (9, 30)):
        assert_native(f, torch.ones(size), n)
    assert jit.stats(f).compilations == 5


def test_sizes_zero_and_one_have_plans_of_their_own() -> None:
    @jit.jit(warm=0)
    def f(x, y):
        return x + y

    for n in (5, 6, 1, 0):
        assert_native(f, torch.ones(n, 3), torch.ones(1, 3))


def test_dtypes_and_layouts_have_plans_of_their_own() -> None:
    @jit.jit(warm=0)
    def f(x):
        return x * 2 + 1

    base = torch.arange(24.0).reshape(4, 6)
    for x in (base, base.double(), base.t(), base[:, ::2], base.int()):
        assert_native(f, x)
    assert jit.stats(f).compilations == 5


def test_an_int_that_is_a_number_needs_one_plan() -> None:
    @jit.jit(warm=0)
    def f(x, n: int):
        return x * n

    for n in range(-3, 4):
        assert_native(f, torch.ones(3), n)
    assert jit.stats(f).compilations == 1


def test_an_int_that_decides_sizes_becomes_a_symbol() -> None:
    @jit.jit(warm=0)
    def f(x, n: int):
        return x[:n] * 2

    for n in range(2, 9):
        assert_native(f, torch.ones(20), n)
    assert jit.stats(f).compilations <= 3


def test_kinds_beyond_the_limit_are_served_by_eager() -> None:
    @jit.jit(warm=0, plans=2)
    def f(x):
        return x + 1

    for dtype in (torch.float32, torch.float64, torch.int32, torch.int64):
        assert f(torch.ones(3, dtype=dtype)).dtype == dtype
    found = jit.stats(f)
    assert (found.compilations, found.bailouts) == (2, {"plan limit": 2})


def test_errors_are_eagers_and_do_not_poison_the_kind() -> None:
    @jit.jit(warm=0)
    def f(x, y):
        return x + y

    for _ in range(6):
        with pytest.raises(RuntimeError, match="must match the size"):
            f(torch.ones(3), torch.ones(4))
    for n in (3, 4, 5):
        torch.testing.assert_close(f(torch.ones(n), torch.ones(n)), torch.full((n,), 2.0))
    assert native(f) >= 2


def test_what_eager_raises_in_native_code_is_raised() -> None:
    @jit.jit(warm=0)
    def f(x, y):
        return torch.div(x, y, rounding_mode="floor")

    good = torch.tensor([6, 7]), torch.tensor([2, 3])
    assert_native(f, *good)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        f(good[0], torch.tensor([1, 0]))
    found = jit.stats(f)
    assert found.bailouts == {"fault": 1}
    assert found.native == 1


def test_plans_that_always_come_back_are_given_up() -> None:
    @jit.jit(warm=0, patience=5)
    def f(x, y):
        return torch.div(x, y, rounding_mode="floor")

    good, bad = torch.tensor([2, 3]), torch.tensor([1, 0])
    for y in (good, bad) * 6:  # as often in vain as not
        if y is good:
            f(y, y)
            continue
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            f(y, y)
    found = jit.stats(f)
    assert (found.native, found.bailouts) == (6, {"fault": 6})
    for _ in range(4):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            f(bad, bad)
    assert jit.stats(f).bailouts == {"fault": 6, "in vain": 4}
    assert f(good, good).tolist() == [1, 1]
    assert jit.stats(f).native == 6
    assert "6 calls served" in str(jit.explain(f))


def test_what_is_refused_for_good_is_forwarded_in_the_end() -> None:
    @jit.jit(warm=0, patience=5)
    def f(x, table):
        table.append("b")
        return x + len(table)

    for _ in range(8):
        table = ["a"]
        assert f(torch.zeros(2), table)[0] == 2
        assert table == ["a", "b"]
    found = jit.stats(f)
    assert found.bailouts["switched off"] == 1
    assert found.interpreted == 5
    assert get_entry(f) == codegen.forward_entry()


def test_a_function_outside_the_language_warns_and_runs() -> None:
    @jit.jit
    def f(x):
        yield x

    with pytest.warns(jit.JitWarning, match="f runs in eager mode"):
        assert next(f(1)) == 1
    assert next(f(2)) == 2
    assert jit.stats(f).bailouts == {"not scriptable": 1}
    assert get_entry(f) == codegen.forward_entry()


def test_strict_raises_instead() -> None:
    @jit.jit(strict=True)
    def f(x):
        yield x

    with pytest.raises(jit.CompileError, match="yield"):
        f(1)


def test_a_failing_compiler_never_loses_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise KeyError("broken")

    monkeypatch.setattr("codegen.compile_plan", fail)
    monkeypatch.setattr("codegen.default_cache", lambda: None)  # which may hold the plan

    @jit.jit(warm=0)
    def f(x):
        return x + 1

    with pytest.warns(jit.JitWarning, match="KeyError: 'broken'"):
        assert f(torch.zeros(1)) == 1
    assert f(torch.zeros(1)) == 1
    assert jit.stats(f).bailouts == {"compiler error": 2}


def test_knobs_have_names() -> None:
    with pytest.raises(TypeError, match="wram: no such knob"):
        jit.jit(wram=1)


def test_arrays_in_arrays_out() -> None:
    @jit.jit
    def f(x, y):
        return torch.exp(x) + y, x.sum()

    x = np.linspace(0, 1, 7)
    made, total = run_warm(f, x, 1.0)
    assert isinstance(made, np.ndarray)
    assert native(f) == 2
    np.testing.assert_allclose(made, np.exp(x) + 1)
    np.testing.assert_allclose(total, x.sum())


def test_numbers_of_numpy_are_numbers() -> None:
    @jit.jit(warm=0)
    def f(x, y):
        return x * y

    for y in (np.float64(2.0), np.float32(0.5), np.float64(3.0)):
        torch.testing.assert_close(f(torch.ones(3), y), torch.full((3,), float(y)))
    assert (native(f), jit.stats(f).compilations) == (3, 1)


@pytest.mark.parametrize("strides", [slice(None, None, -1), slice(None, None, 2)])
def test_arrays_that_torch_cannot_share(strides: slice) -> None:
    @jit.jit(warm=0)
    def f(x):
        return x + 1

    x = np.arange(6.0)[strides]
    np.testing.assert_array_equal(f(x), x + 1)
    x.flags.writeable = False
    np.testing.assert_array_equal(f(x), x + 1)
    np.testing.assert_array_equal(f(x.astype(">f8")), x + 1)
