"""The pool of large buffers: results and temporaries whose pages are recycled instead of mapped
anew.

Fresh pages cost more than the arithmetic on them (mapping, first touch and unmapping run at a tenth
of the memory's speed). So a result of at least `threshold` bytes lives in a buffer that returns to
the pool when the last tensor on it dies, from whatever thread. At most `limit` bytes stay idle; the
longest idle buffers are unmapped first.

The pool itself is native (`codegen.runtime`); these are its controls, and the calls for generated
code.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

import llvmlite.ir as ll

from codegen.abi import call, i64
from codegen.runtime import is_loaded, runtime
from ir import record


@record
class PoolStatistics:
    """Bytes in idle buffers and in all, and how many buffers were mapped and reused since the
    start.
    """

    idle: int
    mapped: int
    fresh: int
    reused: int


def statistics() -> PoolStatistics:
    """The state of the pool now."""
    names = ("idle", "mapped", "fresh", "reused")
    return PoolStatistics(*(runtime().read_i64(f"relume_pool_{name}") for name in names))


def trim(keep: int = 0) -> None:
    """Unmap idle buffers until at most `keep` bytes are idle."""
    _function("trim", ctypes.c_int64)(keep)


def set_limit(limit: int) -> None:
    """Bytes that may stay idle; 0 switches recycling off."""
    runtime().write_i64("relume_pool_limit", limit)
    trim(limit)


def set_threshold(threshold: int) -> None:
    """Bytes from which on a result comes from the pool."""
    runtime().write_i64("relume_pool_threshold", threshold)


def emit_pool_alloc(builder: ll.IRBuilder, nbytes: int | ll.Value) -> ll.Value:
    """A buffer of the pool; null when there is no memory. Its data is aligned to pages."""
    return call(builder, "relume_pool_acquire", i64(nbytes))


def emit_pool_free(builder: ll.IRBuilder, data: ll.Value) -> None:
    """Give a buffer back."""
    call(builder, "relume_pool_release", data)


def _function(name: str, *parameters: type) -> Callable[..., None]:
    return ctypes.CFUNCTYPE(None, *parameters)(runtime().address(f"relume_pool_{name}"))


def _after_fork() -> None:
    if is_loaded():
        _function("after_fork")()


os.register_at_fork(after_in_child=_after_fork)
