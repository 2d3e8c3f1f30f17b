"""Dicts."""

from __future__ import annotations

# The types are those of the call, and the code is for the compiler:
# ruff: noqa: ANN001, ANN201, SIM110
# mypy: allow-untyped-defs, allow-untyped-calls


def merged(a, b):
    made = a.copy()
    made.update(b)
    return made


def merge(a, b):
    a.update(b)
    return a


def unequal(a, b):
    return not equal(a, b)


def equal(a, b):
    if len(a) != len(b):
        return False
    for key in a:
        if key not in b or a[key] != b[key]:
            return False
    return True
