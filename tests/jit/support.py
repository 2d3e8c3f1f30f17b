"""What the tests of the tiers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import jit


def run_warm(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call until a plan has been compiled; the last result."""
    for _ in range(2):
        f(*args, **kwargs)
    return f(*args, **kwargs)


def native(f: Callable[..., Any]) -> int:
    """Calls that plans served."""
    return jit.stats(f).native


def assert_native(f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """The next call is served by a plan, and agrees with eager."""
    before = native(f)
    result = f(*args, **kwargs)
    assert native(f) == before + 1, jit.explain(f)
    torch.testing.assert_close(result, f.__wrapped__(*args, **kwargs))  # type: ignore[attr-defined]
