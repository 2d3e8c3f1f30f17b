"""Parallel loops: every step is done once, on whatever threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import llvmlite.ir as ll
import pytest
import torch
from torch import Tensor

from codegen import parallel
from codegen.abi import I32, RANGE_TYPE, i32, i64
from codegen.entry import EntryBuilder
from codegen.params import IntParam, TensorParam
from codegen.runtime import loops
from codegen.threads import emit_parallel_for
from ir import dtypes
from tests.codegen.native import Plan, each, load, plan, store, symbols

pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of JAX's, when loaded
ALWAYS = (1 << 63) - 1
SIZE = 10_000


def adding(late: int = 0) -> Plan:
    """A function of a vector and a grain: adds 1 to every element in parallel. All parts but the
    first sleep for some microseconds.
    """

    def part(module: ll.Module) -> ll.Function:
        function = ll.Function(module, RANGE_TYPE, "part")
        function.linkage = "internal"
        start, end, data = function.args
        b = ll.IRBuilder(function.append_basic_block())
        if late:
            sleep = ll.Function(module, ll.FunctionType(I32, [I32]), "usleep")
            is_first = b.icmp_signed("==", start, i64(0))
            b.call(sleep, [b.select(is_first, i32(0), i32(late))])

        def element(k: ll.Value) -> None:
            at = b.add(start, k)
            store(b, b.fadd(load(b, data, at), ll.FloatType()(1.0)), data, at)

        each(b, b.sub(end, start), element)
        b.ret_void()
        return function

    def body(entry: EntryBuilder) -> None:
        x, grain = entry.args
        function = part(entry.module)
        emit_parallel_for(entry.builder, 0, x.sizes[0], grain.value, function, x.data)
        entry.finish(entry.box_int(x.sizes[0]))

    return plan([TensorParam(dtypes.float32, symbols(1), is_mutated=True), IntParam()], body)


@pytest.fixture
def workers() -> Iterator[None]:
    """Loops run on our workers."""
    loops().write_i64(parallel.UNTIL, ALWAYS)
    yield
    loops().write_i64(parallel.UNTIL, 0)


@pytest.fixture(params=["torch", "workers"])
def threads(request: pytest.FixtureRequest) -> None:
    """Whose threads loops run on."""
    if request.param == "workers":
        request.getfixturevalue("workers")


def is_added(function: Plan, rounds: int = 1) -> bool:
    x = torch.zeros(SIZE)
    for _ in range(rounds):
        function(x, 16)
    return bool(x.eq(rounds).all())


@pytest.mark.parametrize("size", [2, 7, 100_000])
def test_every_step_is_done_once(threads: None, size: int) -> None:
    function, x = adding(), torch.zeros(size)
    for grain in (1, 3, 1000, 10**9):
        assert function(x, grain) == size
    assert x.eq(4).all()


def test_several_callers_at_once(threads: None) -> None:
    function, found = adding(), []
    callers = [
        threading.Thread(target=lambda: found.append(is_added(function, 300))) for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert found == [True] * len(callers)


def test_workers_sleep_and_wake(workers: None) -> None:
    function = adding()
    for _ in range(3):
        assert is_added(function, 20)
        time.sleep(0.005)


def test_a_forked_child_hires_workers_of_its_own(workers: None) -> None:
    function = adding()
    assert is_added(function)
    child = os.fork()
    if child == 0:
        os._exit(0 if is_added(function, 20) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(torch.get_num_threads() < 2, reason="one thread waits for nobody")
def test_a_pool_that_is_late_is_left_for_a_while() -> None:
    punctual, late = adding(), adding(late=20_000)
    loops().write_i64(parallel.UNTIL, 0)
    x: Tensor = torch.zeros(SIZE)
    late(x, 16)
    until = loops().read_i64(parallel.UNTIL)
    assert until > time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    punctual(x, 16)  # on the workers
    assert loops().read_i64(parallel.UNTIL) == until
    loops().write_i64(parallel.UNTIL, 0)
    assert x.eq(2).all()
