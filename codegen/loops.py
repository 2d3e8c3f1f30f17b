"""Counted loops in generated code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llvmlite.ir as ll

from codegen.abi import I64, i64


def ceil_divide(b: ll.IRBuilder, x: ll.Value, y: int | ll.Value) -> ll.Value:
    """x / y, rounded up for x > 0 and to something not positive for others; y > 0."""
    less = i64(y - 1) if isinstance(y, int) else b.sub(y, i64(1))
    return b.sdiv(b.add(x, less), i64(y))


class counted:
    """`with counted(b, n) as i:` emits a loop over 0 .. n - 1."""

    def __init__(self, b: ll.IRBuilder, count: ll.Value) -> None:
        self.b, self.count = b, count

    def __enter__(self) -> ll.Value:
        b = self.b
        self.test, work, self.done = (
            b.append_basic_block(f"each.{part}") for part in ("test", "body", "done")
        )
        before = b.block
        b.branch(self.test)
        b.position_at_end(self.test)
        self.index = b.phi(I64)
        self.index.add_incoming(i64(0), before)
        b.cbranch(b.icmp_unsigned("<", self.index, self.count), work, self.done)
        b.position_at_end(work)
        return self.index

    def __exit__(self, *_: object) -> None:
        b = self.b
        self.index.add_incoming(b.add(self.index, i64(1)), b.block)
        b.branch(self.test)
        b.position_at_end(self.done)


def carried(
    b: ll.IRBuilder,
    count: ll.Value,
    start: Sequence[ll.Value],
    body: Callable[[ll.Value, Sequence[ll.Value]], Sequence[ll.Value]],
) -> Sequence[ll.Value]:
    """A loop over 0 .. n - 1 whose every turn makes new values of those of the turn before; gives
    the last ones.
    """
    before = b.block
    loop = counted(b, count)
    with loop as index:
        inside = b.block
        b.position_after(loop.index)
        values = [b.phi(x.type) for x in start]
        b.position_at_end(inside)
        following = body(index, values)
        for phi, first, next_ in zip(values, start, following, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(next_, b.block)
    return values
