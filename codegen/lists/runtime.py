"""The runtime of native lists, as LLVM IR: memory, growth, search, sorting, and the way from and to
Python's lists.

    %List = { data, length, capacity, object, references, depth, previous, next }

A list is a header that every name of it points to, so aliases share it, and a block of elements:
i64 for ints, double for floats, i8 for bools, a header's address for lists and tensors. The header
of a tensor, its handle, has capacity 0: its elements lie behind it or belong to the object. All
headers of one call hang on a chain whose first link is a stack slot of the entry; every way out
frees the chain, so no path can leak. References only serve to free a list earlier, when a loop
drops it.

`object` is the Python list that stands for this one: the argument, or what it was boxed to.
`depth` is how many levels of headers are below a list: 0 for numbers.

A function that gives a header gives null when there is no memory for it, or when a Python list
holds something else than it should; both are left to the interpreter.
"""

from __future__ import annotations

from codegen.lists import boxes as list_boxes
from codegen.lists import elements as list_elements
from codegen.lists import memory as list_memory
from codegen.lists import slices as list_slices

DATA, LENGTH, CAPACITY, OBJECT, REFERENCES, DEPTH = range(0, 48, 8)
"""Byte offsets of a header's fields."""
HEADER_WORDS = 8


def text() -> str:
    """The whole library."""
    return list_memory.TEXT + list_slices.TEXT + list_elements.text() + list_boxes.text()
