"""Whole programs agree with Python: see `programs`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.script.programs import CALLS
from tests.script.support import agree


@pytest.mark.parametrize(("fn", "args"), CALLS, ids=[fn.__name__ for fn, _ in CALLS])
def test_program(fn: Any, args: tuple[Any, ...]) -> None:
    agree(fn, *args)
