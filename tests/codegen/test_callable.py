"""`NativeCallable`: every kind of call reaches the entry; objects live and die like others."""

from __future__ import annotations

import ctypes
import gc
import os
import weakref
from typing import Any

import pytest

from codegen import callable as callable_module
from codegen.callable import NativeCallable, get_entry, set_entry
from codegen.engine import Source
from codegen.runtime import engine, forward_entry, slow_entry


class Function(NativeCallable):
    def __init__(self, name: str = "f") -> None:
        self.name = name

    def _call_slow(self, *args: Any, **kwargs: Any) -> Any:
        return (self.name, args, kwargs)

    def myself(self) -> Function:
        return self


@pytest.fixture(params=["none", "slow", "forward without target"])
def function(request: pytest.FixtureRequest) -> Function:
    made = Function()
    entries = {"none": lambda: 0, "slow": slow_entry, "forward without target": forward_entry}
    set_entry(made, entries[request.param]())
    return made


def test_every_kind_of_call(function: Function) -> None:
    assert function() == ("f", (), {})
    assert function(1, 2) == ("f", (1, 2), {})
    assert function(1, k=2) == ("f", (1,), {"k": 2})
    assert function(*range(1000)) == ("f", tuple(range(1000)), {})
    assert function(**{"a": 1, "b": 2}) == ("f", (), {"a": 1, "b": 2})
    assert list(map(function, [1, 2])) == [("f", (1,), {}), ("f", (2,), {})]
    assert type(function).__call__(function, 3) == ("f", (3,), {})
    assert function.__call__(3) == ("f", (3,), {})


def test_exceptions_pass(function: Function) -> None:
    def fail(*args: object) -> None:
        raise ValueError("user's own")

    function._call_slow = fail
    with pytest.raises(ValueError, match="user's own"):
        function(1)


def test_entry_is_stored() -> None:
    f, g = Function(), Function()
    assert get_entry(f) == 0
    set_entry(f, slow_entry())
    assert get_entry(f) == slow_entry()
    assert get_entry(g) == 0


CONSTANT = """
@_Py_NoneStruct = external global i8
declare void @Py_IncRef(ptr)
define ptr @constant(ptr %self, ptr %args, i64 %nargsf, ptr %kwnames) {
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}
"""


def test_calls_take_the_native_way() -> None:
    library = engine().load(Source.of_text(CONSTANT))
    f = Function()
    set_entry(f, library.address("constant"), keep=library)
    assert f(1, 2, k=3) is None
    assert [f(k) for k in range(3)] == [None] * 3
    assert f(*[1]) is None


def test_without_the_flag_calls_are_slow_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callable_module, "_FLAGS_OFFSET", None)

    class Unflagged(Function):
        pass

    library = engine().load(Source.of_text(CONSTANT))
    f = Unflagged()
    set_entry(f, library.address("constant"), keep=library)
    assert f(1) in (None, ("f", (1,), {}))  # CPython may let the flag be inherited


def test_libraries_live_as_long_as_the_object() -> None:
    f = Function()
    kept = [Marked(), Marked()]
    watches = [weakref.ref(x) for x in kept]
    for x in kept:
        set_entry(f, slow_entry(), keep=x)
    del kept, x
    gc.collect()
    assert all(watch() is not None for watch in watches)
    del f
    gc.collect()
    assert all(watch() is None for watch in watches)


class Marked:
    pass


def test_forward_calls_the_target() -> None:
    f = Function()
    f._target = lambda *args, **kwargs: (args, kwargs)
    set_entry(f, forward_entry())
    assert f(1, 2, k=3) == ((1, 2), {"k": 3})

    def replace(*args: object) -> object:
        f._target = None
        gc.collect()
        return args

    f._target = replace
    assert f(5) == (5,)
    with pytest.raises(TypeError):
        f(5)  # None is no callable


def test_garbage_collection() -> None:
    f = Function()
    f.me = f
    f._target = f.myself
    set_entry(f, forward_entry())
    watch = weakref.ref(f)
    assert f() is f
    del f
    gc.collect()
    assert watch() is None


def test_layout_is_what_ctypes_says() -> None:
    f = Function()
    pointer = ctypes.c_void_p.from_address(id(f) + object.__basicsize__)
    assert pointer.value is None
    set_entry(f, 4096)
    assert pointer.value == 4096
    set_entry(f, 0)


def test_survives_fork() -> None:
    f = Function()
    set_entry(f, slow_entry())
    child = os.fork()
    if child == 0:
        os._exit(0 if f(1) == ("f", (1,), {}) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
