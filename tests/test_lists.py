"""Lists in native code: results, arguments left behind, aliases and exceptions are Python's."""

from __future__ import annotations

import copy
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jit
from tests.list_programs import Program, noted
from tests.programs import load

CALLS = [
    ([3, 1, 2], [5, 4], [0.5, -1.5, 2.0], 4),
    ([1], [7, 7, 7, 7, 7], [1.0, 0.0], -3),
    ([0], [0, -2], [3.5], 0),
    (list(range(9)), [9], [0.25] * 6, 11),
]


def outcome(function: Callable[..., Any], args: Any) -> Any:
    """What a call gives, raises and leaves behind; which lists are the same object."""
    given = copy.deepcopy(args)
    noted.clear()
    try:
        result = function(*given)
    except Exception as error:  # noqa: BLE001  the kind is what is compared
        return type(error), str(error), repr(given), list(noted)
    held = [v for v in (*given, *(result if isinstance(result, tuple) else (result,)))]
    held += [row for v in held if isinstance(v, list) for row in v if isinstance(row, list)]
    lists = [v for v in held if isinstance(v, list)]
    same = [[p is q for q in lists] for p in lists]
    return repr(result), repr(given), list(noted), same


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_programs(data: st.DataObject) -> None:
    check(Program(data.draw))


@pytest.mark.sweep
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_many_programs(data: st.DataObject) -> None:
    check(Program(data.draw))


def check(program: Program) -> None:
    eager = program.function()
    native = jit.jit(program.function())
    for args in [CALLS[0], *CALLS, *CALLS]:
        assert outcome(native, args) == outcome(eager, args), program.source


RAISING = {
    "index": ("a[9]", IndexError),
    "negative index": ("a[-4]", IndexError),
    "store": ("a.__setitem__(n, 1)", IndexError),
    "empty pop": ("[k for k in a if k > 9].pop()", IndexError),
    "pop": ("a.pop(n)", IndexError),
    "missing": ("a.index(99)", ValueError),
    "division": ("a[0] // (n - 5)", ZeroDivisionError),
    "own": ("fail(n)", KeyError),
}


@pytest.mark.parametrize("effect", ["", "    print(n)\n"], ids=["before effects", "after effects"])
@pytest.mark.parametrize(("expression", "kind"), RAISING.values(), ids=RAISING)
def test_exceptions(expression: str, kind: type[Exception], effect: str) -> None:
    """With Python's message, and nothing left half done that eager would not leave so, too."""
    raising = f"        return {expression}\n"
    if "fail" in expression:
        raising = "        raise KeyError(str(n))\n"
    if "__setitem__" in expression:
        raising = "        a[n] = 1\n"
    source = (
        "def generated(a: list[int], n: int):\n"
        f"    a.append(n)\n{effect}    if n > 4:\n{raising}    return a[0]\n"
    )
    eager, native = load(source), jit.jit(load(source))
    for n in (3, 4, 2, 5, 3, 5):
        assert outcome(native, ([1, 2], n)) == outcome(eager, ([1, 2], n))
    assert jit.stats(native).compilations == 1
    with pytest.raises(kind):
        native([1, 2], 5)


def test_ints_beyond_64_bits_are_pythons() -> None:
    source = (
        "def generated(n: int, k: int):\n    for i in range(k):\n        n = n * n\n    return n\n"
    )
    eager, native = load(source), jit.jit(load(source))
    for args in ((3, 2), (3, 3), (10, 5), (3, 4), (-7, 6), (2**62, 1), (1, 9)):
        assert native(*args) == eager(*args)
    found = jit.stats(native)
    assert found.native == 3
    assert found.bailouts["fault"] == 3


def test_arguments_that_are_one_list_run_in_eager() -> None:
    source = (
        "def generated(a: list[int], b: list[int]):\n"
        "    a.append(len(b))\n    b.append(len(a))\n    return a, b\n"
    )
    eager, native = load(source), jit.jit(load(source))
    for _ in range(3):
        one, other = [1], [1]
        assert native(one, one) == eager(other, other)
        assert native([1], [2]) == eager([1], [2])
    assert jit.stats(native).native


@jit.ignore
def resident() -> int:
    """The memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_lists_of_a_loop_are_freed() -> None:
    source = (
        "def generated(n: int):\n    before = resident()\n    last = [0]\n"
        "    for i in range(n):\n        row = [i] * 100000\n        row[0] += last[0]\n"
        "        last = row\n    return last[0], resident() - before\n"
    )
    native = jit.jit(load(source, {"resident": resident}))
    for _ in range(3):
        total, more = native(300)
        assert total == sum(range(300))
        assert more < 80e6  # 240 MB, if they stayed
    assert jit.stats(native).native


def test_changes_in_a_loop_that_is_called_back_are_kept() -> None:
    """A list that the interpreter changes is an object everywhere."""
    source = (
        "def generated(x: torch.Tensor, n: int):\n"
        "    h, tags = torch.zeros(4), [0]\n    tags.pop()\n    for i in range(n):\n"
        "        if i >= 10:\n            break\n"
        "        h = torch.relu(h + torch.linalg.matrix_power(x[i:i + 1].T @ x[i:i + 1], 2)[0])\n"
        "        t = int(h.sum())\n        if len(tags) > 0 and tags[-1] == t:\n"
        "            continue\n        tags.append(t)\n    return tags, len(tags)\n"
    )
    eager, native = load(source), jit.jit(load(source))
    x = torch.rand(5, 4)
    for _ in range(3):
        assert native(x, 5) == eager(x, 5)


held: list[int] = []


@jit.ignore
def grow(k: int) -> int:
    """Change a list that it was not given."""
    held.append(k)
    return len(held)


def test_calls_change_lists_that_they_are_not_given() -> None:
    source = (
        "def generated(a: list[int], n: int):\n    s = 0\n    for i in range(n):\n"
        "        s += grow(i) + len(a) + a[-1]\n    a.append(5)\n    return s\n"
    )
    eager, native = load(source, {"grow": grow}), jit.jit(load(source, {"grow": grow}))
    for _ in range(3):
        results = []
        for function in (eager, native):
            held[:] = [1, 2]
            results.append((function(held, 3), list(held)))
        assert results[0] == results[1]


@pytest.mark.parametrize("ending", ["torch.linalg.cholesky(-torch.eye(2))", "a[99]"])
def test_changes_before_an_exception_are_kept(ending: str) -> None:
    source = (
        "def generated(a: list[int], n: int):\n    a.append(n)\n    s = len(str(n))\n"
        f"    if n > 3:\n        a.append(7)\n        s = int({ending})\n    return s\n"
    )
    eager, native = load(source), jit.jit(load(source))
    for n in (1, 2, 4, 3, 5):
        assert outcome(native, ([1, 2], n))[0] == outcome(eager, ([1, 2], n))[0]
        assert outcome(native, ([1, 2], n))[2] == outcome(eager, ([1, 2], n))[2]


@pytest.mark.parametrize("kind", ["list[list[int]]", "tuple[list[int], list[int]]"])
def test_lists_inside_of_arguments_are_changed(kind: str) -> None:
    source = (
        f"def generated(rows: {kind}, n: int):\n    rows[0].append(n)\n"
        "    for i in range(n):\n        rows[1].append(i)\n    return len(rows[1])\n"
    )
    eager, native = load(source), jit.jit(load(source))
    for n in (1, 2, 4, 3):
        rows, others = ([1], [2]), ([1], [2])
        made = tuple if kind.startswith("tuple") else list
        assert eager(made(rows), n) == native(made(others), n)
        assert rows == others


def test_a_list_that_a_callback_made_is_changed_natively() -> None:
    source = (
        "def generated(a: list[int]):\n    b = a.copy()\n    b.reverse()\n    a[1:3] = [7, 7, 7]\n"
        "    return a, b\n"
    )
    eager, native = load(source), jit.jit(load(source))
    for _ in range(4):
        assert outcome(native, ([3, 1, 2],)) == outcome(eager, ([3, 1, 2],))


def test_a_known_list_repeated_is_native() -> None:
    source = "def generated(n: int):\n    p = [True] * n\n    p[1] = False\n    return p, len(p)\n"
    eager, native = load(source), jit.jit(load(source))
    for n in (4, 4, 3, 9, 1):
        assert outcome(native, (n,)) == outcome(eager, (n,))
    assert "called back" not in str(jit.explain(native))


def test_lists_in_dicts() -> None:
    def grouped(numbers: list[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for number in numbers:
            if number % 3 not in found:
                found[number % 3] = []
            found[number % 3].append(number)
        return found

    compiled = jit.script(grouped)
    for _ in range(3):
        assert compiled([3, 1, 4, 1, 5]) == grouped([3, 1, 4, 1, 5])
