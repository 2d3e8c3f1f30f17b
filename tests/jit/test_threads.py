"""Many threads call one function, first calls and later ones."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

import jit

THREADS = 8


def run_in_threads(work: Callable[[int], None]) -> None:
    """Run `work(k)` in each of several threads at once; the first failure is raised here."""
    failures: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def body(k: int) -> None:
        start.wait()
        try:
            work(k)
        except BaseException as error:  # noqa: BLE001  raised below, in the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=body, args=(k,)) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_different_sizes_and_dtypes_at_once() -> None:
    @jit.jit
    def f(x, scale: float = 1.0):
        return (torch.tanh(x) * scale).sum(-1)

    dtypes = torch.float32, torch.float64

    def work(k: int) -> None:
        x = torch.linspace(-1, 1, 3 * (k + 2), dtype=dtypes[k % 2]).reshape(3, -1)
        for step in range(60):
            wanted = torch.tanh(x).sum(-1) * step
            torch.testing.assert_close(f(x, scale=float(step)), wanted)

    run_in_threads(work)
    found = jit.stats(f)
    assert found.native + found.interpreted == THREADS * 60
    assert found.native > 0
    assert found.compilations <= 2 * 4


def test_one_shape_is_compiled_once() -> None:
    @jit.jit
    def f(x):
        return torch.exp(x) + 1

    x = torch.ones(5)
    run_in_threads(lambda k: [f(x) for _ in range(50)] and None)
    assert jit.stats(f).compilations == 1


def test_other_functions_are_compiled_at_the_same_time() -> None:
    def make(k: int):
        def g(x):
            return x * k + torch.cos(x)

        return jit.jit(g, warm=0)

    x = torch.linspace(0, 1, 9)

    def work(k: int) -> None:
        torch.testing.assert_close(make(k)(x), x * k + torch.cos(x))

    run_in_threads(work)
