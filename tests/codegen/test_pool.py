"""The buffer pool: recycled, bounded, returned from any thread, usable in a forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import torch

from codegen import pool
from codegen.entry import EntryBuilder
from codegen.params import IntParam
from codegen.runtime import runtime
from codegen.torch_abi import is_plain
from ir import dtypes
from tests.codegen.native import Plan, plan

MIB = 1 << 20


@pytest.fixture(scope="module")
def empty() -> Plan:
    """empty(n): an uninitialized float32 vector."""

    def body(entry: EntryBuilder) -> None:
        entry.finish(entry.box(entry.alloc(dtypes.float32, [entry.args[0].value])))

    return plan([IntParam()], body)


@pytest.fixture(autouse=True)
def fresh_pool() -> Iterator[None]:
    limit = runtime().read_i64("relume_pool_limit")
    threshold = runtime().read_i64("relume_pool_threshold")
    pool.trim()
    yield
    pool.set_limit(limit)
    pool.set_threshold(threshold)
    pool.trim()


def elements(mib: int) -> int:
    return mib * MIB // 4


def test_large_results_are_recycled(empty: Plan) -> None:
    before = pool.statistics()
    first = empty(elements(16))
    address = first.data_ptr()
    assert address % 64 == 0
    first.fill_(3)
    assert pool.statistics().idle == 0
    del first
    assert pool.statistics().idle >= 16 * MIB
    second = empty(elements(16))
    assert second.data_ptr() == address
    after = pool.statistics()
    assert (after.fresh - before.fresh, after.reused - before.reused) == (1, 1)


def test_small_results_are_torchs(empty: Plan) -> None:
    before = pool.statistics()
    kept = [empty(1000) for _ in range(10)]
    assert pool.statistics() == before
    assert len(kept) == 10


def test_views_keep_the_buffer(empty: Plan) -> None:
    made = empty(elements(8)).fill_(5)
    view = made[100:200]
    del made
    assert pool.statistics().idle == 0
    other = empty(elements(8)).fill_(7)
    assert view.eq(5).all()
    assert other.eq(7).all()


def test_a_fit_is_modest(empty: Plan) -> None:
    del_me = empty(elements(64))
    del del_me
    small = empty(elements(8))  # does not take the 64 MiB buffer
    assert pool.statistics().idle >= 64 * MIB
    assert small.numel() == elements(8)


def test_the_limit_holds(empty: Plan) -> None:
    pool.set_limit(40 * MIB)
    kept = [empty(elements(16)) for _ in range(4)]
    assert pool.statistics().mapped >= 64 * MIB
    kept.clear()
    left = pool.statistics()
    assert left.idle <= 40 * MIB
    assert left.mapped == left.idle
    pool.set_limit(0)
    assert pool.statistics().mapped == 0
    empty(elements(16))
    assert pool.statistics().mapped == 0


def test_trim_keeps_the_newest(empty: Plan) -> None:
    old, new = empty(elements(8)), empty(elements(16))
    address = new.data_ptr()
    del old, new
    pool.trim(20 * MIB)
    assert 16 * MIB <= pool.statistics().idle <= 20 * MIB
    assert empty(elements(16)).data_ptr() == address


def test_cold_buffers_can_be_written(empty: Plan) -> None:
    kept = [empty(elements(12)).fill_(k) for k in range(5)]
    kept.clear()  # all but the newest are cold now
    kept = [empty(elements(12)).fill_(k) for k in range(5)]
    assert [bool(t.eq(k).all()) for k, t in enumerate(kept)] == [True] * 5


def test_threads_share_the_pool(empty: Plan) -> None:
    failures: list[int] = []

    def work(k: int) -> None:
        for n in range(60):
            made = empty(elements(4 + n % 3)).fill_(k)
            if not bool(made[:: 64 * 1024].eq(k).all()):
                failures.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    state = pool.statistics()
    assert state.mapped == state.idle


def test_fork_while_the_pool_is_busy(empty: Plan) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            empty(elements(4))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                made = empty(elements(4))
                made[-8:].fill_(2)  # few elements: torch's own threads do not survive a fork
                os._exit(0 if made[-1] == 2 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()


def test_results_behave_like_tensors(empty: Plan) -> None:
    made = empty(elements(8)).fill_(1)
    assert made.sum().item() == elements(8)
    assert torch.equal(made.clone(), made)
    assert made.numpy().shape == made.shape
    assert made._version == 1
    made.requires_grad_()
    (made * 2).sum().backward()
    assert made.grad is not None


def test_results_can_grow(empty: Plan) -> None:
    made = empty(elements(8)).fill_(4)
    made.resize_(elements(16))
    assert pool.statistics().idle >= 8 * MIB  # torch has copied the elements into its own memory
    assert made[: elements(8)].eq(4).all()
    made.resize_(3)
    assert made.tolist() == [4.0] * 3
    made.untyped_storage().resize_(0)
    assert made.data_ptr() == 0


def test_results_are_plain_tensors(empty: Plan) -> None:
    assert is_plain(empty(elements(8)))
    with torch.inference_mode():
        assert empty(elements(8)).is_inference()


def test_no_memory_is_an_error(empty: Plan) -> None:
    with pytest.raises(RuntimeError, match="no memory"):
        empty(1 << 55)
