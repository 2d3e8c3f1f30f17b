"""Which trace this thread is recording."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jit.trace.recorder import Recorder


class _Active(threading.local):
    recorder: Recorder | None = None


ACTIVE = _Active()


def is_tracing() -> bool:
    """Whether this thread is recording a trace."""
    return ACTIVE.recorder is not None
