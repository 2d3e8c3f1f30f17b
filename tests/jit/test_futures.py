"""Tasks: in Python, in compiled code and in its native tier; nesting, exceptions, state of the
thread that starts them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from jit import Future, fork, wait

X = torch.randn(4)


def shifted(x: torch.Tensor, by: int) -> torch.Tensor:
    return x + by


def failing(x: torch.Tensor) -> torch.Tensor:
    if x.numel() > 3:
        raise KeyError("too long")
    return x


def started(x: torch.Tensor, by: int = 2) -> torch.Tensor:
    first = fork(shifted, x, by=by)
    second = torch.jit.fork(lambda y: y * x, x)
    return wait(first) - torch.jit.wait(second)


def collected(xs: list[torch.Tensor]) -> torch.Tensor:
    futures: list[Future[torch.Tensor]] = []
    for x in xs:
        futures.append(fork(torch.relu, x))
    total = torch.zeros(4)
    for future in futures:
        total = total + future.wait()
    return total


def nested(x: torch.Tensor, depth: int) -> torch.Tensor:
    if depth == 0:
        return x
    left, right = fork(nested, x, depth - 1), fork(nested, x, depth - 1)
    return left.wait() + right.wait()


CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (started, (X,)), (started, (X, 5)), (collected, ([X, -X, X * 2],)), (nested, (X, 6)),
]  # fmt: skip


@pytest.mark.parametrize(("f", "args"), CASES)
def test_tasks_compute_what_calls_do(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    expected = f(*args)
    for compiled in (jit.script(f), jit.jit(f)):
        for _ in range(3):
            torch.testing.assert_close(compiled(*args), expected)


def test_the_graph_has_tasks() -> None:
    names = [n.name for n in jit.script(started).graph.walk()]
    assert names.count("prim::fork") == names.count("aten::wait") == 2


def test_exceptions_come_out_at_wait() -> None:
    @jit.script
    def f(x: torch.Tensor) -> torch.Tensor:
        task = fork(failing, x)
        return wait(task)

    for _ in range(3):
        with pytest.raises(KeyError, match="too long"):
            f(X)
        torch.testing.assert_close(f(X[:2]), X[:2])


def test_grad_mode_is_carried_over() -> None:
    x = X.clone().requires_grad_()
    assert fork(lambda: x * 2).wait().requires_grad
    with torch.no_grad():
        assert not fork(lambda: x * 2).wait().requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert fork(torch.mm, x[None], x[:, None]).wait().dtype == torch.bfloat16
    jit.script(started)(x).sum().backward()
    torch.testing.assert_close(x.grad, 1 - 2 * x.detach())


def test_tasks_that_wait_for_each_other_do_not_starve() -> None:
    """Every thread of the pool waits for what only the last task does."""
    promise: Future[int] = Future()
    waiting = [fork(promise.wait) for _ in range(40)]
    fork(lambda: promise.set_result(3))
    assert [f.wait() for f in waiting] == [3] * 40


def test_a_task_runs_once_on_a_thread_of_its_own() -> None:
    runs: list[str] = []
    begun = threading.Event()

    def task() -> None:
        runs.append(threading.current_thread().name)
        begun.set()

    future = fork(task)
    assert begun.wait(10)
    future.wait()
    future.wait()
    assert runs == ["jit-fork"]


def test_promises() -> None:
    future: Future[int] = Future()
    seen: list[int] = []
    following = future.then(lambda f: f.value() + 1)
    future.add_done_callback(lambda f: seen.append(f.value()))
    assert not future.done()
    with pytest.raises(RuntimeError, match="no value yet"):
        future.value()
    future.set_result(4)
    assert future.done()
    assert (future.wait(), following.wait(), seen) == (4, 5, [4])
    with pytest.raises(RuntimeError, match="has its result"):
        future.set_result(5)
    failed: Future[int] = Future()
    failed.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        failed.then(lambda f: f.value()).wait()
    with pytest.raises(TypeError, match="expected an exception"):
        Future[int]().set_exception("no")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="belongs to a task"):
        fork(lambda: 1).set_result(2)


def test_tasks_inside_a_trace_are_recorded() -> None:
    traced = jit.trace(lambda x: wait(fork(lambda y: y * y.size(0), x)), (X,))
    torch.testing.assert_close(traced(X[:2]), X[:2] * 2)


def test_objects_of_compiled_code_stay_with_their_function() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def step(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1
            return x

    def f(x: torch.Tensor) -> int:
        counter = Counter()
        fork(counter.step, x).wait()
        return counter.count

    with pytest.raises(jit.CompileError, match="cannot change an object made in compiled code"):
        jit.script(f)
