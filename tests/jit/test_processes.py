"""Compiled functions in forked children, pickled, and copied."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import threading

import pytest
import torch

import jit
from tests.jit.support import native, run_warm

pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of JAX's, when loaded
X = torch.linspace(0, 1, 8)


@jit.jit
def decorated(x):
    return torch.exp(x) * 2


def plain(x):
    return torch.sin(x) + 1


aside = jit.jit(plain)


class Model:
    @jit.jit
    def forward(self, x):
        return x * 2


def run_in_child(work) -> int:
    """The exit code of a forked child that runs `work`: 0 when it returns True."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_calls_what_the_parent_compiled() -> None:
    wanted = run_warm(decorated, X)
    before = native(decorated)

    def is_native_there() -> bool:
        return torch.equal(decorated(X), wanted) and native(decorated) == before + 1

    assert run_in_child(is_native_there) == 0


def test_a_child_compiles() -> None:
    f = jit.jit(plain)
    wanted = plain(X)
    assert run_in_child(lambda: torch.allclose(run_warm(f, X), wanted) and native(f) == 2) == 0


def test_a_child_compiles_while_the_parent_held_the_lock() -> None:
    f = jit.jit(plain)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with f.executor.lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert run_in_child(lambda: run_warm(f, X) is not None and native(f) == 2) == 0
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("f", [decorated, aside, Model.forward])
def test_pickles_by_reference(f) -> None:
    again = pickle.loads(pickle.dumps(f))
    assert isinstance(again, jit.ScriptFunction)
    assert again.__qualname__ == f.__qualname__
    assert (again is f) == (f is not aside)


def test_pickles_inside_of_other_objects() -> None:
    made = pickle.loads(pickle.dumps(functools.partial(decorated, X)))
    torch.testing.assert_close(made(), torch.exp(X) * 2)


def test_what_has_no_reference_does_not_pickle() -> None:
    @jit.jit
    def local(x):
        return x

    with pytest.raises(pickle.PicklingError, match="local"):
        pickle.dumps(local)


def test_copies_are_the_function() -> None:
    assert copy.copy(decorated) is decorated
    assert copy.deepcopy({"f": decorated})["f"] is decorated
