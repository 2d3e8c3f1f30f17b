"""The range function that transforms a weight in panels for Winograd's convolution.

    filters[group][point, input channel][channel of the group] = G panels[group][taps ...] G^T

Groups and input channels are independent: a unit is a group.
"""

from __future__ import annotations

import llvmlite.ir as ll

from codegen.abi import I64, PTR, RANGE_TYPE, i64
from codegen.images.form import Form
from codegen.images.winograd import KERNEL, winograd_matrices
from codegen.images.winograd_lanes import both_sides, to_points
from codegen.lanes.lanes import Lane, Lanes
from codegen.loops import counted
from codegen.target import Target
from ir import dtypes

WORDS = ("panels", "filters", "in_channels")
FLOAT = dtypes.float32


class Filters:
    """Emits the range function, over groups, into a module."""

    def __init__(self, module: ll.Module, form: Form, target: Target) -> None:
        self.form, self.matrix = form, winograd_matrices(form.tile).filter
        self.function = ll.Function(module, RANGE_TYPE, form.filters)
        self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.s = Lanes(self.b, target.lanes(32), target.instructions)

    def emit(self) -> None:
        b = self.b
        begin, end, record = self.function.args
        panels, filters, depth = (
            b.load(b.gep(record, [i64(k)], source_etype=I64), typ=I64) for k in range(len(WORDS))
        )
        taps, points = KERNEL, len(self.matrix)
        step = b.mul(depth, i64(4 * self.form.vectors * self.s.width))
        with counted(b, b.sub(end, begin)) as k:
            group = b.add(begin, k)
            source = b.add(panels, b.mul(group, b.mul(step, i64(taps * taps))))
            target = b.add(filters, b.mul(group, b.mul(step, i64(points * points))))
            with counted(b, b.mul(depth, i64(self.form.vectors))) as vector:
                at = b.mul(vector, i64(4 * self.s.width))
                found = both_sides(to_points, self.matrix, self._load(b.add(source, at), step))
                for p, x in enumerate(x for row in found for x in row):
                    there = b.add(b.add(target, at), b.mul(step, i64(p)))
                    self.s.store(b.inttoptr(there, PTR), x, FLOAT)
        b.ret_void()

    def _load(self, start: ll.Value, step: ll.Value) -> list[list[Lane]]:
        """The taps of a vector of channels, in rows."""
        b = self.b
        places = [b.add(start, b.mul(step, i64(k))) for k in range(KERNEL * KERNEL)]
        taps = [self.s.load(b.inttoptr(p, PTR), FLOAT) for p in places]
        return [taps[k : k + KERNEL] for k in range(0, len(taps), KERNEL)]
