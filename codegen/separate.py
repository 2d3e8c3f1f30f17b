"""A long entry apart from what it calls, so that each is compiled as it deserves.

The entry of a large graph is straight code: guards, calls of kernels, releases, each run once per
call. Optimizing it takes LLVM longer than everything else together and saves microseconds of calls
that take milliseconds. So from `LONG` on it becomes a module of its own, compiled as it stands.
Kernels and testers (the guards proper) keep the whole pipeline. An entry with loops of its own is
not taken apart: its code is what a scalar loop runs.

    module ─► Part(entry, variables; opt 0) + Part(every other function; opt 2), to be linked

What a module looks like is what llvmlite prints: each definition starts a line and ends with a line
`}`. Constants go where they are mentioned, variables with the entry, which alone has some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ir import field, record

LONG = 100_000  # characters of an entry: 300 blocks, 0.15 s of optimization
FULL, AS_IT_STANDS = 2, 0

_LOOP = re.compile(r'^"?loop\.body', re.M)  # of `codegen.control`
_NAME = re.compile(r'@("[^"]*"|[\w.$]+)')


@record
class Part:
    """IR text of a module, and how much LLVM is to make of it."""

    text: str
    opt: int = FULL


@record(frozen=False)
class _Items:
    """What stands at the top level of a module."""

    head: list[str] = field(default_factory=list)
    """Target, types, metadata."""
    declared: list[str] = field(default_factory=list)
    constants: list[tuple[str, str]] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    """Functions for others."""
    inner: list[str] = field(default_factory=list)


def separate(text: str) -> list[Part]:
    """The parts of a module; the module itself unless it has a long entry without loops."""
    if len(text) < LONG:
        return [Part(text)]
    items = _items(text)
    entries = "\n".join(items.entries)
    if len(entries) < LONG or not items.inner or _LOOP.search(entries):
        return [Part(text)]
    inner = "\n".join(items.inner).replace("define internal ", "define hidden ")
    common = [*items.head, *items.declared]
    declared = [_declaration(function) for function in items.inner]
    apart = [*common, *declared, *items.variables, *_mentioned(items, entries), entries]
    rest = [*common, *_mentioned(items, inner), inner]
    return [Part("\n".join(apart), AS_IT_STANDS), Part("\n".join(rest))]


def _items(text: str) -> _Items:
    items = _Items()
    for item in _top_level(text):
        if item.startswith("define "):
            (items.inner if item.startswith("define internal ") else items.entries).append(item)
        elif item.startswith("@"):
            name, _, what = item.partition(" = ")
            if what.startswith("external "):
                items.declared.append(item)
            elif " constant " in what:
                items.constants.append((name, item))
            else:
                items.variables.append(item)
        elif item.startswith("declare "):
            items.declared.append(item)
        else:
            items.head.append(item)
    return items


def _top_level(text: str) -> Iterator[str]:
    """Definitions of functions, and other lines."""
    start, end = 0, len(text)
    while start < end:
        stop = text.find("\n}" if text.startswith("define ", start) else "\n", start)
        if stop < 0:
            stop = end
        elif text.startswith("define ", start):
            stop += 2
        yield text[start:stop]
        start = stop + 1


def _mentioned(items: _Items, functions: str) -> list[str]:
    names = set(_NAME.findall(functions))
    return [item for name, item in items.constants if name[1:] in names]


def _declaration(function: str) -> str:
    """The declaration of a function that another module defines."""
    head = function[: function.index("\n")]
    return head[: head.rindex(")") + 1].replace("define internal ", "declare hidden ")
