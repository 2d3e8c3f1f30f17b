"""Bad input: the exception that eager raises, from native functions too, and no harm done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from tests.jit.support import assert_native

V, W, M = torch.arange(6.0), torch.ones(6), torch.arange(12.0).reshape(3, 4)
K, L = torch.arange(1, 7), torch.full((6,), 2)
ZEROS = torch.zeros(6, dtype=torch.int64)


def add(x, y):
    return torch.exp(x) + y


def floor_divide(x, y):
    return x // y


def remainder(x, y):
    return x % y


def element(x, i: int):
    return x[i] * 2


def total(x, dim: int):
    return (x + 1).sum(dim)


def reshaped(x, n: int):
    return (x * 2).view(n, -1)


def joined(x, y):
    return torch.cat([x, y]) * 2


def divided(n: int, m: int):
    return n // m, n % m


def quotient(a: float, b: float):
    return a / b


def swapped(x, d: int):
    return x.transpose(0, d) + 1


def picked(x):
    return x.item() + 1


def joined_rows(x, y):
    return torch.stack([x, y]).sum(0)


def broadcast(x, n: int):
    return x.expand(n, 6) + 1


def checked(x, n: int):
    assert n > 0, f"not {n}"
    if n > 9:
        raise KeyError("too many")
    return x * n


CASES: list[tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = [
    (add, (V, W), (V, torch.ones(5))),
    (add, (V, W), (V, "y")),
    (add, (V, W), (V, None)),
    (add, (V, W), (V, [1.0])),
    (add, (M, torch.ones(4)), (M, torch.ones(3))),
    (floor_divide, (K, L), (K, ZEROS)),
    (remainder, (K, L), (K, ZEROS)),
    (element, (V, 2), (V, 6)),
    (element, (V, 2), (V, -7)),
    (element, (V, 2), (V, 2.5)),
    (element, (V, 2), (torch.tensor(1.0), 0)),
    (total, (M, 1), (M, 2)),
    (total, (M, -1), (M, -3)),
    (reshaped, (V, 3), (V, 4)),
    (reshaped, (V, 3), (V, 0)),
    (joined, (V, W), (V, M)),
    (divided, (7, 2), (7, 0)),
    (quotient, (1.0, 2.0), (1.0, 0.0)),
    (swapped, (M, 1), (M, 2)),
    (picked, (torch.ones(1),), (V,)),
    (joined_rows, (V, W), (V, torch.ones(7))),
    (broadcast, (V, 3), (torch.ones(5), 3)),
    (checked, (V, 2), (V, 0)),
    (checked, (V, 2), (V, 10)),
]
NAMES = [f"{f.__name__}-{k}" for k, (f, _, _) in enumerate(CASES)]


@pytest.mark.parametrize(("f", "good", "bad"), CASES, ids=NAMES)
@pytest.mark.filterwarnings("ignore::jit.JitWarning")  # of signatures outside the language
def test_exceptions_are_eagers(f: Callable[..., Any], good: Any, bad: Any) -> None:
    compiled = jit.jit(f)
    with pytest.raises(Exception) as wanted:
        f(*bad)
    for _ in range(3):
        torch.testing.assert_close(compiled(*good), f(*good))
        with pytest.raises(type(wanted.value)) as found:
            compiled(*bad)
        assert type(found.value) is type(wanted.value)
    assert_native(compiled, *good)


@pytest.mark.parametrize(("f", "good", "bad"), CASES, ids=NAMES)
@pytest.mark.filterwarnings("ignore::jit.JitWarning")
def test_bad_first_calls_do_no_harm(f: Callable[..., Any], good: Any, bad: Any) -> None:
    compiled = jit.jit(f, warm=0)
    for _ in range(3):
        with pytest.raises(Exception) as wanted:
            f(*bad)
        with pytest.raises(type(wanted.value)):
            compiled(*bad)
    for _ in range(3):
        torch.testing.assert_close(compiled(*good), f(*good))


def printed_remainder(x, y):
    print("seen")
    return x % y


def printed_element(x, k):
    print("seen")
    return x[k] + 7 % k


@pytest.mark.parametrize(
    ("f", "good", "bad"),
    [
        (printed_remainder, (K, L), (K, ZEROS)),
        (printed_element, (V, L), (V, ZEROS)),
        (printed_element, (V, L), (V, K + 3)),
    ],
)
def test_exceptions_after_an_effect_are_eagers(f: Callable[..., Any], good: Any, bad: Any) -> None:
    """The plan cannot start over: it raises what the operator would."""
    compiled = jit.jit(f)
    with pytest.raises((RuntimeError, IndexError)) as wanted:
        f(*bad)
    for _ in range(3):
        torch.testing.assert_close(compiled(*good), f(*good))
    with pytest.raises(type(wanted.value)) as found:
        compiled(*bad)
    assert type(found.value) is type(wanted.value)
