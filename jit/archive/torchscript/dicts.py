"""Dicts."""

from __future__ import annotations

# The types are those of the call, and the code is for the compiler:
# ruff: noqa: ANN001, ANN201, SIM110
# mypy: allow-untyped-defs


def equal(a, b):
    if len(a) != len(b):
        return False
    for key in a:
        if key not in b or a[key] != b[key]:
            return False
    return True
