"""What cannot be compiled is refused with the user's line, a caret, and a way out."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import pytest
import torch

import jit
from ir import CompileError, TypeMismatch, UnsupportedError
from jit import JitWarning
from jit.script import compile_function


def yields(n: int):
    yield n  # error: yield


def assigns_global(n: int) -> int:
    global OPAQUE  # error: global is not supported in compiled code: pass the value in
    OPAQUE = n
    return n


def defines_class(n: int) -> int:
    class Inner:  # error: a class definition inside a function
        pass

    return n


def endless(items: list[int]):
    return list(zip(items, itertools.cycle([1, 2])))  # error: itertools.cycle has no end


def reassigned(n: int):
    f = [lambda: k for k in range(n)]  # error: reads 'k', which is assigned more than once
    return f


def grows(items: set[int]):
    items.add("s")  # error: a str cannot be added to a Set[int]; annotate it with a Union
    return items


def unknown_class(n: int) -> int:
    try:
        return 10 // n
    except OPAQUE:  # error: except takes exception classes
        return 0


def unknown_method(x):
    return x.no_such_method()  # error: a Tensor has no attribute 'no_such_method'


def wrong_types(x, s: str):
    return torch.add(x, s)  # error: expected


class Opaque:
    def __init__(self) -> None:
        self.state = 1


OPAQUE = Opaque()


def calls_unknown(x):
    return OPAQUE(x)  # error: cannot be called in compiled code


def wrong_result(n: int) -> str:
    return n  # error: str was declared, but this is int


def wrong_count(n: int):
    a, b = (n, n, n)  # error: too many values to unpack (expected 2, got 3)
    return a + b


def missing_argument(x):
    return torch.nn.functional.relu()  # error: missing a required argument: 'input'


def unknown_name(x, far: bool):
    if far:
        x = x + no_such_name  # noqa: F821
    return x


REFUSED = [
    (yields, UnsupportedError),
    (assigns_global, UnsupportedError),
    (defines_class, UnsupportedError),
    (endless, UnsupportedError),
    (reassigned, UnsupportedError),
    (grows, TypeMismatch),
    (unknown_class, UnsupportedError),
    (unknown_method, TypeMismatch),
    (wrong_types, TypeMismatch),
    (calls_unknown, UnsupportedError),
    (wrong_result, TypeMismatch),
    (wrong_count, TypeMismatch),
    (missing_argument, TypeMismatch),
]


@pytest.mark.parametrize(("fn", "error"), REFUSED)
def test_refused_at_its_line(fn: Any, error: type[CompileError]) -> None:
    lines, first = inspect.getsourcelines(fn)
    (offset, comment) = next((i, line) for i, line in enumerate(lines) if "# error:" in line)
    with pytest.raises(error) as caught:
        compile_function(fn)
    wanted = comment.partition("# error:")[2].partition("# noqa")[0].strip()
    assert wanted in caught.value.message
    assert caught.value.span is not None
    assert caught.value.span.line == first + offset and caught.value.span.file == __file__


def walk(visit, n: int):
    return n if n < 1 else walk(visit, n - 1)


def test_calls_that_never_end_are_refused() -> None:
    def walked(n: int):
        return walk(lambda k: k, n)

    with pytest.raises(UnsupportedError, match="does 'walk' call itself") as caught:
        compile_function(walked)
    assert caught.value.span is not None
    assert caught.value.span.line == walk.__code__.co_firstlineno + 1


def test_an_undefined_name_is_an_error_of_the_run_that_reads_it() -> None:
    with pytest.warns(JitWarning, match="name 'no_such_name' is not defined") as warned:
        compiled = jit.script(unknown_name)
    assert warned[0].filename == __file__
    *_, line, carets = str(warned[0].message).splitlines()
    assert line[carets.index("^") :].startswith("no_such_name") and carets.count("^") == 12
    assert compiled(torch.ones(1), False) == 1
    with pytest.raises(NameError, match="name 'no_such_name' is not defined"):
        compiled(torch.ones(1), True)


def test_caret_stands_under_the_expression() -> None:
    with pytest.raises(TypeMismatch) as caught:
        compile_function(unknown_method)
    *_, line, carets = str(caught.value).splitlines()
    start = carets.index("^")
    assert line[start : start + carets.count("^")] == "x.no_such_method"


def test_a_function_that_waits() -> None:
    async def later(x):
        return x

    with pytest.raises(UnsupportedError, match="make it a plain function") as caught:
        jit.script(later)
    assert "async def later(x):" in str(caught.value)


def test_no_source() -> None:
    namespace: dict[str, Any] = {}
    exec("def f(x):\n    return x", namespace)
    with pytest.raises(UnsupportedError, match="cannot be read"):
        compile_function(namespace["f"])


def test_a_run_time_error_shows_the_line() -> None:
    from ir import Interpreter

    def f(x):
        return x @ x

    with pytest.raises(RuntimeError) as caught:
        Interpreter(compile_function(f).graph).run(torch.ones(2, 3))
    assert "return x @ x" in caught.value.__notes__[0]
