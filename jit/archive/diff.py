"""The differences between two archives, told from what `inspect` finds in each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from jit.archive.inspect import MethodInfo, Summary, TensorInfo, size_text


def differences(a: Summary, b: Summary) -> Iterator[str]:
    """Lines that say what `b` has otherwise than `a`; none when code, weights and extra files are
    the same.
    """
    if a.version != b.version:
        yield f"version: {a.version} -> {b.version}"
    if a.root != b.root:
        yield f"top module: {a.root} -> {b.root}"
    yield from _named("weight", a.weights, b.weights, _tensor_change)
    yield from _named("function", _definitions(a), _definitions(b), _code_change)
    yield from _named("extra file", a.extra_files, b.extra_files, _size_change)


def _named(kind: str, a: Mapping[str, Any], b: Mapping[str, Any], change: Any) -> Iterator[str]:
    """What was removed, added and changed among things with names."""
    yield from (f"- {kind} {name}" for name in a if name not in b)
    yield from (f"+ {kind} {name}" for name in b if name not in a)
    for name in a:
        if name in b:
            for line in change(a[name], b[name]):
                yield f"{kind} {name}: {line}"


def _tensor_change(a: TensorInfo, b: TensorInfo) -> Iterator[str]:
    if str(a) != str(b):
        yield f"{a} -> {b}"
    elif a.checksum != b.checksum:
        yield f"other values in {a}"
    if a.device != b.device:
        yield f"{a.device} -> {b.device}"


def _size_change(a: int, b: int) -> Iterator[str]:
    if a != b:
        yield f"{size_text(a)} -> {size_text(b)}"


def _definitions(found: Summary) -> dict[str, MethodInfo]:
    """All functions and methods by qualified name."""
    named = {f.name: f for f in found.functions}
    for name, methods in found.classes.items():
        named |= {f"{name}.{m.name}": m for m in methods}
    return named


def _code_change(a: MethodInfo, b: MethodInfo) -> Iterator[str]:
    if a.code == b.code:
        return
    lines = difflib.unified_diff(a.code.split("\n"), b.code.split("\n"), lineterm="", n=1)
    yield "\n".join(["other code", *(f"    {line}" for line in list(lines)[2:])])
