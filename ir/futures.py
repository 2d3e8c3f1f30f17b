"""Tasks and their futures: what `prim::fork` starts and `aten::wait` waits for.

    fork ─► queue ─► a thread of the pool runs it ─► done: waiters wake, callbacks run
              └────► a thread that waits for it runs it itself

Laws
  * A task runs exactly once; its exception comes out of every `wait` for it.
  * No deadlock by want of threads: who waits for a task that nobody has begun runs it, and a thread
    of the pool that blocks is replaced, so that `THREADS` bounds those that work.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")
_LOG = logging.getLogger("jit")
_PATIENCE = 10.0  # seconds after which a thread without work ends
THREADS = max(2, os.cpu_count() or 1)  # that work on tasks at once, besides those that wait


class Future(Generic[T]):
    """A result that may not be there yet. Made by `fork`, or empty, to be filled by `set_result`
    or `set_exception`. Thread-safe.
    """

    def __init__(self) -> None:
        self._is_task = False
        self._task: Callable[[], T] | None = None  # until somebody begins it
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], object]] = []
        self._lock = threading.Lock()
        self._finished = threading.Event()

    def done(self) -> bool:
        """Whether the result, or an exception, is there."""
        return self._finished.is_set()

    def wait(self) -> T:
        """The result, as soon as it is there; raises the task's exception."""
        if not self.done() and not self._run():
            _POOL.block(self._finished)
        return self.value()

    def value(self) -> T:
        """The result of a future that is done; raises the task's exception, or RuntimeError when
        nothing is there yet.
        """
        if not self.done():
            raise RuntimeError("the future has no value yet: call wait() first")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def then(self, callback: Callable[[Future[T]], U]) -> Future[U]:
        """A future of what `callback` returns, which is called with this one when it is done."""
        following: Future[U] = Future()
        self.add_done_callback(lambda done: following._complete(lambda: callback(done)))
        return following

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Call `callback` with this future when it is done, at once if it is; callbacks run in
        their order, in the thread that fills the future.
        """
        with self._lock:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback(self)

    def set_result(self, result: T) -> None:
        """Fill the future; RuntimeError when it was filled before, or is that of a task."""
        self._fill(result, None)

    def set_exception(self, error: BaseException) -> None:
        """Let waiting raise; RuntimeError as for `set_result`."""
        if not isinstance(error, BaseException):
            raise TypeError(f"expected an exception, found a {type(error).__qualname__}")
        self._fill(None, error)

    def _fill(self, result: T | None, error: BaseException | None) -> None:
        with self._lock:
            if self._is_task or self.done():
                what = "belongs to a task" if self._is_task else "has its result already"
                raise RuntimeError(f"the future {what}")
            self._finish(result, error)
        self._call_back()

    def _finish(self, result: T | None, error: BaseException | None) -> None:
        self._value, self._error = result, error
        self._finished.set()

    def _call_back(self) -> None:
        for callback in self._callbacks:
            try:
                callback(self)
            except Exception:  # noqa: BLE001  it is not the task that failed
                _LOG.exception("a callback of a future failed")
        self._callbacks.clear()

    def _complete(self, compute: Callable[[], T]) -> None:
        """Fill the future with what `compute` gives or raises."""
        try:
            found: tuple[T | None, BaseException | None] = compute(), None
        except BaseException as error:  # noqa: BLE001  whatever it is comes out of wait
            found = None, error
        with self._lock:
            self._finish(*found)
        self._call_back()

    def _run(self) -> bool:
        """Run the task unless somebody has begun it; whether this did."""
        with self._lock:
            task, self._task = self._task, None
        if task is None:
            return False
        self._complete(task)
        return True


class _Pool:
    """Threads that run tasks in the order of their forks; started when there is work."""

    def __init__(self) -> None:
        self._queue: deque[Future[Any]] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._working = 0
        self._own = threading.local()

    def submit(self, future: Future[Any]) -> None:
        """Let a thread run a future's task."""
        with self._changed:
            self._queue.append(future)
            self._staff()

    def block(self, event: threading.Event) -> None:
        """Wait; if the caller is a thread of the pool, another one may work in its place."""
        if not getattr(self._own, "is_worker", False):
            event.wait()
            return
        with self._changed:
            self._working -= 1
            self._staff()
        event.wait()
        with self._changed:
            self._working += 1

    def _staff(self) -> None:
        """See to it that somebody takes what is in the queue."""
        if not self._queue:
            return
        if len(self._queue) <= self._idle:
            self._changed.notify()
        elif self._working < THREADS:
            self._working += 1
            threading.Thread(target=self._work, name="jit-fork", daemon=True).start()

    def _work(self) -> None:
        self._own.is_worker = True
        while True:
            with self._changed:
                while not self._queue:
                    self._idle, self._working = self._idle + 1, self._working - 1
                    is_wanted = self._changed.wait(_PATIENCE)
                    self._idle -= 1
                    if not is_wanted and not self._queue:
                        return
                    self._working += 1
                future = self._queue.popleft()
            future._run()
            del future  # an idle thread keeps nothing alive


_POOL = _Pool()


def _renew_pool() -> None:
    """After a fork of the process: the threads are gone."""
    global _POOL
    _POOL = _Pool()


os.register_at_fork(after_in_child=_renew_pool)


def fork(task: Callable[[], T]) -> Future[T]:
    """Start a task on another thread."""
    future: Future[T] = Future()
    future._is_task, future._task = True, task
    _POOL.submit(future)
    return future


def completed(task: Callable[[], T]) -> Future[T]:
    """The future of a task that is run at once."""
    future: Future[T] = Future()
    future._complete(task)
    return future


def wait(future: Future[T]) -> T:
    """The result of a future, as soon as it is there; raises its task's exception. Torch's own
    futures are futures, too.
    """
    return future.wait()
