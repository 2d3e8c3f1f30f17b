"""Python's garbage collector while something is compiled: it waits.

Compiling makes many objects that refer to one another and drops few before its end, so that
collections in between walk a heap as large as torch's to find nothing: a third of the time that
scripting a model of twelve layers takes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No automatic collections inside, as far as it is up to this thread."""
    if not gc.isenabled():  # switched off by the user, or paused already
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
