"""The range function that brings a convolution's weight into panels.

    panels[block][tap, input channel][channel of the block] = weight[channel, input channel, tap]

A vector of a panel is a column of the weight: squares of one vector's size are loaded along the
weight's rows and transposed in registers. Rows beyond the last channel become zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import I64, PTR, RANGE_TYPE, i64, offset
from codegen.frame import frame
from codegen.images.form import Form
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import carried, ceil_divide, counted
from codegen.prefetch import prefetch
from codegen.products.microkernel import smaller
from codegen.target import Target
from ir import dtypes

WORDS = ("weight", "panels", "in_channels", "taps", "group_blocks", "group_channels")
"""The record that a range function gets. Rows of the weight are contiguous, `in_channels` times
`taps` elements each, the taps innermost. The panels of a group of channels begin a block.
"""
FLOAT = dtypes.float32


class Panels:
    """Emits the range function, over blocks, into a module."""

    def __init__(self, module: ll.Module, form: Form, target: Target) -> None:
        self.form = form
        self.function = ll.Function(module, RANGE_TYPE, form.panels)
        self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.s = Lanes(self.b, target.lanes(32), target.instructions)
        self.vector_bytes = 4 * self.s.width

    def emit(self) -> None:
        b, lanes = self.b, self.s.width
        begin, end, record = self.function.args
        self.word = {
            name: b.load(offset(b, record, 8 * k), typ=I64) for k, name in enumerate(WORDS)
        }
        self.depth = b.mul(self.word["in_channels"], self.word["taps"])
        self.trash = frame(b, self.vector_bytes)
        step = i64(self.form.vectors * self.vector_bytes)
        with counted(b, b.sub(end, begin)) as k:
            block = b.add(begin, k)
            panel = b.add(self.word["panels"], b.mul(block, b.mul(self.depth, step)))
            group, within = (f(block, self.word["group_blocks"]) for f in (b.udiv, b.urem))
            start = b.mul(group, self.word["group_channels"])
            last = b.add(start, b.sub(self.word["group_channels"], i64(1)))
            for v in range(self.form.vectors):
                vector = b.add(b.mul(within, i64(self.form.vectors)), i64(v))
                channel = b.add(start, b.mul(vector, i64(lanes)))
                self._vector(channel, last, b.add(panel, i64(v * self.vector_bytes)))
        b.ret_void()

    def _vector(self, channel: ll.Value, last: ll.Value, panel: ll.Value) -> None:
        """The panel of one vector of channels, up to the last one."""
        b, s, word = self.b, self.s, self.word
        row_bytes = b.mul(self.depth, i64(4))
        rows = [b.add(channel, i64(k)) for k in range(s.width)]
        starts = [
            b.inttoptr(b.add(word["weight"], b.mul(smaller(b, r, last), row_bytes)), PTR)
            for r in rows
        ]
        exists = [b.icmp_signed("<=", r, last) for r in rows]
        ahead = b.add(b.ptrtoint(starts[0], I64), b.mul(row_bytes, i64(s.width)))

        def square(turn: ll.Value, state: Sequence[ll.Value]) -> Sequence[ll.Value]:
            first = b.mul(turn, i64(s.width))
            left = b.sub(self.depth, first)
            found = []
            for start, is_row in zip(starts, exists, strict=True):
                mask = s.tail_mask(b.select(is_row, left, i64(0)))
                found.append(s.load(offset(b, start, b.mul(first, i64(4))), FLOAT, mask))
            self._fetch(b.add(ahead, b.mul(turn, i64(s.width * self.vector_bytes))))
            return self._put(s.transposed(found), left, panel, *state)

        carried(b, ceil_divide(b, self.depth, s.width), [i64(0), i64(0)], square)

    def _fetch(self, start: ll.Value) -> None:
        """Fetch as much as a square has: rows follow each other, so that after all squares of a
        vector all rows of the next one are there.
        """
        for k in range(self.s.width):
            line = self.b.add(start, i64(k * self.vector_bytes))
            prefetch(self.b, self.b.inttoptr(line, PTR), level=2)

    def _put(
        self,
        vectors: Sequence[Lane],
        left: ll.Value,
        panel: ll.Value,
        tap: ll.Value,
        channel: ll.Value,
    ) -> list[ll.Value]:
        """Store vectors for neighboring elements of a row, the first of them for a tap and an
        input channel; gives those of the element after the last one.
        """
        b, word = self.b, self.word
        step = i64(self.form.vectors * self.vector_bytes)
        for k, x in enumerate(vectors):
            at = b.mul(b.add(b.mul(tap, word["in_channels"]), channel), step)
            exists = b.icmp_signed("<", i64(k), left)
            place = b.select(exists, b.add(panel, at), b.ptrtoint(self.trash, I64))
            self.s.store(b.inttoptr(place, PTR), x, FLOAT)
            following = b.add(tap, i64(1))
            wraps = b.icmp_signed(">=", following, word["taps"])
            tap = b.select(wraps, i64(0), following)
            channel = b.select(wraps, b.add(channel, i64(1)), channel)
        return [tap, channel]
