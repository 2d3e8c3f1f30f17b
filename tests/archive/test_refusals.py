"""What is refused since an archive would give it another meaning, with its place."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

import jit

STATE = {"n": 0}
LOG: list[int] = []


def counts(n: int) -> int:
    STATE["n"] += n
    return STATE["n"]


def notes(n: int) -> int:
    LOG.append(n)
    return len(LOG)


def reads(n: int) -> int:
    return STATE["n"] + len(LOG) + n


@pytest.mark.parametrize("function", [counts, notes])
def test_state_in_globals(function: Any) -> None:
    with pytest.raises(jit.CompileError, match="of this process") as caught:
        jit.script(function).save_to_buffer()
    assert "^" in str(caught.value)


def test_globals_that_are_only_read() -> None:
    assert jit.load(io.BytesIO(jit.script(reads).save_to_buffer()))(2) == reads(2)


def is_dtype(x: Any) -> bool:
    return isinstance(x, torch.dtype)


def test_tests_for_dtypes() -> None:
    with pytest.raises(jit.CompileError, match="ints in archives"):
        jit.script(is_dtype).save_to_buffer()


class Bag:
    def __init__(self, items: list[int]) -> None:
        self.items = items

    def __iter__(self):
        yield from self.items


def holds(items: list[int]) -> bool:
    return 3 in Bag(items)


def test_objects_without_the_method() -> None:
    with pytest.raises(jit.CompileError, match="__contains__"):
        jit.script(holds).save_to_buffer()


def shown(n: int) -> str:
    try:
        if n > 1:
            raise KeyError("z")
    except KeyError as error:
        return f"{error!r}"
    return ""


def test_exceptions_as_repr_has_them() -> None:
    with pytest.raises(jit.CompileError, match="exception"):
        jit.script(shown).save_to_buffer()
