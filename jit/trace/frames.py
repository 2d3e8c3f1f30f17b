"""Whose code is running: the user's innermost line, and whether torch asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType

import torch

from ir import Span

_TORCH = str(Path(torch.__file__).parent)
_OURS = tuple(str(Path(__file__).parents[2] / package) + "/" for package in ("jit", "ir"))


def _frames() -> Iterator[FrameType]:
    """The frames of the caller's thread outside this package, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_OURS):
            yield frame
        frame = frame.f_back


def user_span() -> Span | None:
    """The innermost expression outside torch and this package."""
    for frame in _frames():
        if not frame.f_code.co_filename.startswith(_TORCH):
            return _span(frame.f_code, frame.f_lasti)
    return None


def is_asked_by_torch() -> bool:
    """Whether the innermost Python code outside this package is torch's own."""
    frame = next(_frames(), None)
    return frame is not None and frame.f_code.co_filename.startswith(_TORCH)


def is_iterating() -> bool:
    """Whether torch's `Tensor.__iter__` is the innermost code outside this package."""
    frame = next(_frames(), None)
    return frame is not None and frame.f_code.co_name == "__iter__" and is_asked_by_torch()


@lru_cache(maxsize=4096)
def _span(code: CodeType, offset: int) -> Span:
    """The span of one instruction; an expression of several lines ends with its first."""
    positions = list(code.co_positions())
    line, end_line, col, end_col = positions[offset // 2]
    start = col or 0
    return Span(
        code.co_filename,
        line or code.co_firstlineno,
        start,
        (end_col or start) if line == end_line else start + 1,
    )
