"""Empty lists and dicts whose element types are still open: the first element put in decides.

out = []                 List[Tensor], open
for i in range(n):       the loop's parameter for `out` is open with it
    out.append(i)        both become List[int]
"""

from __future__ import annotations

from ir import Type, Value


class Untyped:
    """The open values, each with the empty display that it holds."""

    __slots__ = ("_roots",)

    def __init__(self) -> None:
        self._roots: dict[Value, Value] = {}

    def __contains__(self, value: Value) -> bool:
        return value in self._roots

    def add(self, value: Value) -> None:
        """An empty display without a declared type."""
        self._roots[value] = value

    def follow(self, value: Value, source: Value) -> None:
        """`value` holds what `source` holds, open or not."""
        if source in self._roots:
            self._roots[value] = self._roots[source]

    def settle(self, value: Value, type_: Type) -> None:
        """An open value, and every other name of it, has this type."""
        root = self._roots[value]
        for other in [v for v, r in self._roots.items() if r is root]:
            other.type = type_
            del self._roots[other]
