"""Graphs whose parameters are known, and whose nodes are read when something first asks for them:
most methods of a large archive are never called.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock

from ir import Block, Graph, Value

_LOCK = RLock()


class DeferredGraph(Graph):
    """`defer` says how to read it; an error of reading is raised by every later use, too."""

    __slots__ = ("_is_reading", "_read", "_signature")

    def __init__(self, name: str) -> None:
        self._signature = Block()
        self._read: Callable[[], object] | None = None
        self._is_reading = False
        super().__init__(name)

    def defer(self, read: Callable[[], object]) -> None:
        """Let `read` add nodes and results when they are needed."""
        self._read = read

    @property
    def params(self) -> list[Value]:
        return self._signature.params

    @property
    def block(self) -> Block:
        if self._read is not None:
            with _LOCK:
                self._complete()
        return self._signature

    @block.setter
    def block(self, block: Block) -> None:
        self._signature = block

    def _complete(self) -> None:
        """Read, unless another thread was faster, or this one is about it."""
        if self._read is None or self._is_reading:
            return
        self._is_reading = True
        try:
            self._read()
            self._read = None
        except BaseException:
            self._signature.clear()
            raise
        finally:
            self._is_reading = False
