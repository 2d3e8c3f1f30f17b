"""Library functions that TorchScript has no operator for, in its own language: archives hold them
as functions, compiled for the types of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from ir import BOOL, INT, NONE, STR, CompileError, DictType, Graph, ListType, Node, Type
from jit.archive.sets import FUNCTIONS
from jit.script import compile_function
from jit.script.library import library_name

# The types are those of the call, and the code is for the compiler:
# ruff: noqa: ANN001, ANN201, ANN202, SIM110
# mypy: allow-untyped-defs, allow-untyped-calls


def set_slice(items, start, stop, step, new):
    low, high = _bounds(len(items), start, stop)
    rest = items[high:]
    while len(items) > low:
        items.pop()
    items.extend(new)
    items.extend(rest)


def delete_slice(items, start, stop, step):
    low, high = _bounds(len(items), start, stop)
    rest = items[high:]
    while len(items) > low:
        items.pop()
    items.extend(rest)


def _bounds(size, start, stop):
    low = 0 if start is None else start
    high = size if stop is None else stop
    low = max(0, low + size) if low < 0 else min(low, size)
    high = max(0, high + size) if high < 0 else min(high, size)
    return low, max(low, high)


def sorted_by(items, keys, reverse):
    made, order = items[:0], keys[:0]
    for i in range(len(items)):
        place = len(made)
        while place > 0 and (keys[i] > order[place - 1] if reverse else keys[i] < order[place - 1]):
            place -= 1
        made.insert(place, items[i])
        order.insert(place, keys[i])
    return made


def repeat(text, count):
    made = ""
    for _ in range(count):
        made += text
    return made


def equal_dicts(a, b):
    if len(a) != len(b):
        return False
    for key in a:
        if key not in b or a[key] != b[key]:
            return False
    return True


def contains_text(text, part):
    return text.find(part) != -1


def product(items):
    made = 1
    for item in items:
        made *= item
    return made


def broadcast_two(a, b):
    made = a[:0]
    for i in range(max(len(a), len(b))):
        m = a[i - max(len(a), len(b)) + len(a)] if i >= len(b) - len(a) else 1
        n = b[i - max(len(a), len(b)) + len(b)] if i >= len(a) - len(b) else 1
        if m != n and m != 1 and n != 1:
            raise RuntimeError(
                "Shape mismatch: objects cannot be broadcast to a single shape: "
                f"{a} and {b}"
            )
        made.append(n if m == 1 else m)
    return made


def removeprefix(text, part):
    return text[len(part) :] if text.startswith(part) else text


def removesuffix(text, part):
    return text[: len(text) - len(part)] if part != "" and text.endswith(part) else text


Test = Callable[[Sequence[Type]], bool]
_SUBSTITUTES: dict[str, tuple[Callable[..., Any], Test]] = {
    "set_slice": (set_slice, lambda types: types[3] == NONE),
    "delete_slice": (delete_slice, lambda types: types[3] == NONE),
    "sorted_by": (sorted_by, lambda types: types[2] == BOOL),
    "operator_mul": (repeat, lambda types: list(types) == [STR, INT]),
    "operator_eq": (equal_dicts, lambda types: all(isinstance(t, DictType) for t in types)),
    "operator_contains": (contains_text, lambda types: list(types) == [STR, STR]),
    "str_removeprefix": (removeprefix, lambda types: list(types) == [STR, STR]),
    "str_removesuffix": (removesuffix, lambda types: list(types) == [STR, STR]),
    "broadcast_shapes": (broadcast_two, lambda types: list(types) == [ListType(INT)] * 2),
    "math_prod": (product, lambda types: list(types) == [ListType(INT)]),
}


def substitute(node: Node) -> Graph | None:
    """A graph with the meaning of a call of the library, None when there is none."""
    called = node.attrs["function"]
    types = [v.type for v in node.inputs]
    function, fits = _SUBSTITUTES.get(library_name(called) or "", (None, None))
    if isinstance(called, FunctionType) and called in FUNCTIONS:
        function = called
    elif fits is None or not fits(types):
        return None
    assert function is not None
    try:
        graph: Graph = compile_function(function, types).graph
    except CompileError:
        return None
    return graph if [v.type for v in graph.returns] == [v.type for v in node.outputs] else None
