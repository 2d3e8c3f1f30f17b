"""What a function of products is given: sizes, distances and addresses, as one record of words.

range function: void(begin, end, record)      does products, or parts of them, begin to end

words   n m k   ldb lda ldc (elements)   a b c (addresses)
        then per dim of the batch: its size, step of A, step of B (bytes)
"""

from __future__ import annotations

import llvmlite.ir as ll

from codegen.abi import I64, i64, offset

WORDS = ("n", "m", "k", "ldb", "lda", "ldc", "a", "b", "c")


class Record:
    """The record as a range function reads it."""

    def __init__(self, b: ll.IRBuilder, address: ll.Value) -> None:
        self.b, self.address = b, address
        self.word = {name: self._at(k) for k, name in enumerate(WORDS)}

    def place(self, name: str) -> ll.Value:
        """Where a word is."""
        return offset(self.b, self.address, 8 * WORDS.index(name))

    def matrices(self, at: ll.Value, rank: int, itemsize: int) -> dict[str, ll.Value]:
        """The addresses of A, B and C of product `at` of a batch of `rank` dims."""
        b, word = self.b, self.word
        size = b.mul(b.mul(word["m"], word["n"]), i64(itemsize))
        found = {"a": word["a"], "b": word["b"], "c": b.add(word["c"], b.mul(at, size))}
        rest = at
        for k in reversed(range(rank)):
            extent, *steps = (self._at(len(WORDS) + 3 * k + j) for j in range(3))
            position = b.urem(rest, extent) if k else rest
            rest = b.udiv(rest, extent) if k else rest
            for name, step in zip(("a", "b"), steps, strict=True):
                found[name] = b.add(found[name], b.mul(position, step))
        return found

    def _at(self, k: int) -> ll.Value:
        return self.b.load(offset(self.b, self.address, 8 * k), typ=I64)
