"""Modules of our own that are loaded at their first use: `import jit` does not wait for what only
compiling needs. Only a package's facade uses this, for modules below it.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from types import ModuleType

_LOCK = threading.RLock()


def lazy_module(name: str) -> ModuleType:
    """The module `name`, which is executed when an attribute of it is first asked for."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load(module: ModuleType, name: str) -> Callable[..., object]:
    """A function of a lazy module; threads that ask first at once load it once."""
    with _LOCK:
        found: Callable[..., object] = getattr(module, name)
        return found
