"""What a generated convolution does to its sums on their way to memory.

    y[pixel, channel] = f(sum * scale[channel] + shift[channel] + residual[pixel, channel])

f is an operator on one tensor, or keeps its operand within bounds. `WORDS` are in the record of
every range function: addresses, of which the last three may be null, how many channels the result
has, and two numbers as bits of a float32: the bounds, or parameters of the operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import llvmlite.ir as ll

from codegen.abi import I32, I64, PTR, i64
from codegen.lanes.lanes import Lane, Lanes
from codegen.products.microkernel import larger
from ir import Pointwise, dtypes, lookup, record

WORDS = ("y", "residual", "scale", "shift", "channels", "low", "high")
FLOAT = dtypes.float32


@record(eq=False)
class Vector:
    """A vector of channels: where it starts, in bytes, and which ones exist."""

    start: ll.Value
    mask: Lane


class Epilogue:
    """Emits the ends of tiles into a range function; `word` are the words of its record."""

    def __init__(
        self, module: ll.Module, s: Lanes, word: Mapping[str, ll.Value], activation: str
    ) -> None:
        self.module, self.s, self.b, self.word = module, s, s.builder, word
        self.activation = activation
        self.low, self.high = (self._bound(word[name]) for name in ("low", "high"))

    def _bound(self, bits: ll.Value) -> Lane:
        bound = Lane(self.s, self.b.trunc(bits, I32), dtypes.int32)
        return self.s.splat(self.s.bitcast(bound, FLOAT))

    def vector(self, channel: ll.Value, end: ll.Value | None = None) -> Vector:
        """The vector that starts with a channel, which need not exist, of those before `end`."""
        b = self.b
        left = larger(b, b.sub(self.word["channels"] if end is None else end, channel), i64(0))
        return Vector(b.mul(channel, i64(4)), self.s.tail_mask(left))

    def _factors(self, name: str, absent: float, vector: Vector) -> Lane:
        b, s = self.b, self.s
        is_absent = b.icmp_unsigned("==", self.word[name], i64(0))
        default = b.ptrtoint(constant(self.module, f"no_{name}", [absent] * s.width), I64)
        here = b.select(is_absent, default, b.add(self.word[name], vector.start))
        return s.load(b.inttoptr(here, PTR), FLOAT, vector.mask)

    def store(self, results: Sequence[tuple[Lane, Vector, ll.Value]]) -> None:
        """Finish and store sums, each of a vector of channels of the pixel that starts so many
        bytes behind the first one. Of sums for the same place, the last one stays.
        """
        b, s, word = self.b, self.s, self.word
        scale, shift = (
            {v: self._factors(name, absent, v) for v in dict.fromkeys(v for _, v, _ in results)}
            for name, absent in (("scale", 1.0), ("shift", -0.0))
        )
        scaled = [s.fma(x, scale[v], shift[v]) for x, v, _ in results]
        places = [(b.add(pixel, v.start), v.mask) for _, v, pixel in results]

        def added() -> list[Lane]:
            return [
                x + s.load(b.inttoptr(b.add(word["residual"], at), PTR), FLOAT, mask)
                for x, (at, mask) in zip(scaled, places, strict=True)
            ]

        has_residual = b.icmp_unsigned("!=", word["residual"], i64(0))
        finished = s.replaced_if(has_residual, scaled, added)
        for x, (at, mask) in zip(finished, places, strict=True):
            s.store(b.inttoptr(b.add(word["y"], at), PTR), self._activated(x), FLOAT, mask)

    def _activated(self, x: Lane) -> Lane:
        s = self.s
        if self.activation:
            op = lookup(f"aten::{self.activation}")
            assert isinstance(op.rule, Pointwise)
            _, *numbers = op.rule.operands
            rest = [a for a in op.schema.arguments if a.name not in op.rule.operands]
            found: Lane = op.rule.scalar(
                s, x, *(self.low, self.high)[: len(numbers)], **{a.name: a.default for a in rest}
            )
            return found
        x = s.where(x < self.low, self.low, x)
        return s.where(x > self.high, self.high, x)


def constant(module: ll.Module, name: str, values: Sequence[float]) -> ll.GlobalVariable:
    """Floats of the module."""
    found = module.globals.get(name)
    if found is None:
        kind = ll.ArrayType(ll.FloatType(), len(values))
        found = ll.GlobalVariable(module, kind, name)
        found.linkage, found.global_constant, found.align = "internal", True, 64
        found.initializer = ll.Constant(kind, list(values) if any(map(_is_set, values)) else None)
    return found


def _is_set(value: float) -> bool:
    """Whether it has any bit set: -0.0 has."""
    return bool(value) or str(value).startswith("-")
