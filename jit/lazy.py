"""Modules of our own that are imported at their first use: `import jit` does not wait for what only
compiling, saving or explaining needs. The module that holds one has functions in front of it, with
the types that callers see.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """The functions of a module, which is imported when one is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)
