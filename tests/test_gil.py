"""Loops that touch no Python object let other threads of Python run, and get the GIL back on every
way out.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

import jit


def counted(n: int) -> int:
    s = 0
    for i in range(n):
        s = (s * 31 + i) % 1000003
    return s


def conditional(n: int) -> int:
    s = i = 0
    while i < n:
        s = (s * 31 + i) % 1000003
        i += 1
    return s


def nested(n: int) -> int:
    total = 0
    for k in range(3):
        s = k
        while s < n // 3:
            s += 1 + (s & total & 1)
        total += s
    return total


def over_lists(n: int) -> int:
    xs = [1, 2, 3, 4]
    for i in range(n):
        xs[i % 4] = (xs[(i * 7) % 4] + i) % 1000
        if i % 1000000 == 0:
            xs.append(i)
    return len(xs)


def over_tensors(n: int) -> torch.Tensor:
    x = torch.ones(8)
    for _ in range(n // 4):
        x = torch.sin(x) + 1
    return x


@contextmanager
def ticking() -> Iterator[list[int]]:
    """A thread that counts whenever it can run; nobody is made to let it."""
    ticks, is_over = [0], threading.Event()

    def tick() -> None:
        while not is_over.is_set():
            ticks[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick)
    thread.start()
    sys.setswitchinterval(60)
    try:
        yield ticks
    finally:
        sys.setswitchinterval(interval)
        is_over.set()
        thread.join()


@pytest.mark.parametrize("function", [counted, conditional, nested, over_lists, over_tensors])
def test_other_threads_run(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    for _ in range(3):
        assert torch.equal(torch.as_tensor(native(10)), torch.as_tensor(function(10)))
    with ticking() as ticks:
        before = ticks[0]
        for _ in range(50):  # until the other thread has found the time to take it
            native(3_000_000)
            if ticks[0] > before:
                return
    raise AssertionError("no other thread ran")


def divides(n: int, zero: int) -> int:
    s = 0
    for i in range(n):
        s += 100 // (i - zero)
    return s


def remembers(xs: list[int], n: int) -> int:
    """Changes its argument before it fails."""
    xs.append(n)
    s = 0
    for i in range(n):
        s += 100 // (i - 50000)
    return s


def raises(n: int) -> int:
    s = 0
    for i in range(n):
        s += i
        if s > 100000000:
            raise ValueError(f"too much: {s}")
    return s


def test_errors_in_loops_without_the_gil() -> None:
    native = jit.jit(divides)
    for _ in range(3):
        assert native(10, -1) == divides(10, -1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            native(100000, 50000)
    changing, xs = jit.jit(remembers), [1, 2]
    for k in range(4):
        assert changing(xs, k) == remembers([], k)
    with pytest.raises(ZeroDivisionError):
        changing(xs, 100000)
    assert xs == [1, 2, 0, 1, 2, 3, 100000]
    failing = jit.jit(raises)
    for _ in range(3):
        assert failing(10) == 45
    with pytest.raises(ValueError, match="too much: 1000"):
        failing(100000)
