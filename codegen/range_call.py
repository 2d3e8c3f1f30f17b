"""Calls of range functions: `f(begin, end, record)` does the units begin .. end - 1 of a work that
a record of words describes, shared out over threads where that pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import llvmlite.ir as ll

from codegen.abi import I64, RANGE_TYPE, i64, offset, stack
from codegen.entry import EntryBuilder
from codegen.nest import Buffer
from codegen.threads import emit_parallel_for
from ir import Dim, Value, hint

THREAD_WORK = 1 << 17  # multiplications that are worth a thread


class Body(Protocol):
    """What a call uses of the body that it is part of (`codegen.body`)."""

    entry: EntryBuilder
    pointers: dict[Value, ll.Value]


def address(body: Body, buffer: Buffer) -> ll.Value:
    """Where a buffer begins, as a word."""
    b = body.entry.builder
    start = body.entry.size(buffer.offset * buffer.dtype.itemsize)
    return b.ptrtoint(offset(b, body.pointers[buffer.base], start), I64)


def record_of(entry: EntryBuilder, words: Sequence[ll.Value]) -> ll.Value:
    """A record of words in the frame."""
    b = entry.builder
    record = stack(b, I64, len(words))
    for k, word in enumerate(words):
        b.store(word, offset(b, record, 8 * k))
    return record


def range_function(entry: EntryBuilder, symbol: str) -> ll.Function:
    """A range function of that name."""
    return entry.module.globals.get(symbol) or ll.Function(entry.module, RANGE_TYPE, symbol)


def call_range(
    entry: EntryBuilder, symbol: str, units: Dim, work: int, words: Sequence[ll.Value]
) -> None:
    """All units of a range function, `work` multiplications each; its record lies in the frame."""
    b, function, record = entry.builder, range_function(entry, symbol), record_of(entry, words)
    end = entry.size(units)
    if hint(units) * work < THREAD_WORK:
        b.call(function, [i64(0), end, record])
        return
    with entry.release_gil():
        grain = max(THREAD_WORK // max(work, 1), 1)
        emit_parallel_for(b, 0, end, grain, function, record)
