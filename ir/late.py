"""Imports that wait until something needs them, so that `import jit` reads only what a decorator
takes. Two forms, each next to an ordinary import that type checkers see:

  * names of a package, in its `__init__`:
        if TYPE_CHECKING:
            from ir.graph import Block, Graph
        __getattr__, __dir__ = late_names(__name__, {"ir.graph": "Block Graph"})
  * a module that some functions of a file use:
        if TYPE_CHECKING:
            from jit import remembered
        else:
            remembered = LateModule("jit.remembered")
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


class LateModule:
    """Stands for a module, which is imported when an attribute of it is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


def late_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names are found in these modules: from the
    name of each to its names, in one text.
    """
    homes = {name: home for home, names in modules.items() for name in names.split()}
    own = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = __import__(homes[name], fromlist=[name])  # which may be a package
        found = own[name] = getattr(home, name)
        return found

    return get, lambda: sorted({*own, *homes})
