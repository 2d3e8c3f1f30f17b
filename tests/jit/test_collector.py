"""The garbage collector is as it was after compiling, whatever happened."""

from __future__ import annotations

import gc

import pytest

import jit
from jit.collector import paused
from jit.script import compile_function


def test_collections_wait_and_come_back() -> None:
    with paused():
        assert not gc.isenabled()
        with paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_switched_off_stays_off() -> None:
    gc.disable()
    try:
        with paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_errors_end_the_pause() -> None:
    def refused(x):  # type: ignore[no-untyped-def]
        yield x

    with pytest.raises(jit.CompileError):
        compile_function(refused)
    assert gc.isenabled()
