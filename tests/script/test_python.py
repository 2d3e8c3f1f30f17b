# ruff: noqa: UP031, UP032, UP037, UP045  (the constructs under test)
"""Python values and constructs: numbers, strings, containers, functions, captures."""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple, Optional

import pytest
import torch

import jit
from ir import Interpreter
from jit.script import compile_function
from tests.script.support import agree, compiled

SCALE = 3
SIZES = [2, 4]
WEIGHT = torch.tensor([1.0, 2.0])


class Point(NamedTuple):
    x: torch.Tensor
    n: int = 3


def arithmetic(a: int, b: float) -> tuple[object, ...]:
    return (
        a + b,
        a // 3,
        -a // 3,
        a % -4,
        a**2,
        2**a,
        a / 2,
        a * True,
        ~a,
        a << 2,
        a ^ 5,
        -b % 1.5,
        b // 0.7,
        +a,
        round(b),
        round(2.5),
        round(b, 1),
        divmod(a, 3),
        int(b),
        float(a),
        bool(a),
        str(a),
        abs(-a),
        max(a, 3),
        min(b, 1, a),
        pow(a, 2),
    )


def strings(s: str, n: int) -> tuple[object, ...]:
    return (
        s + "x",
        s * 2,
        s[0],
        s[1:],
        s[::-1],
        len(s),
        s.upper(),
        s.split(","),
        "a" in s,
        s == "a,b",
        f"{n:04d}|{s!r:>8}",
        f"{n}{{}}",
        "%d-%s" % (n, s),
        "%.2f" % 1.5,
        "{} {:.3f}".format(s, 0.5),
        s.removeprefix("a"),
        ord(s[0]),
        [c for c in s],
    )


def containers(items: list[int], table: dict[str, int]) -> tuple[object, ...]:
    items.append(7)
    items[0] += 1
    items[1:2] = [8, 9]
    del items[0]
    table["z"] = len(items)
    copy = list(items)
    copy.sort(reverse=True)
    head, *rest = (1, 2, 3)
    total = 0
    for key, value in table.items():
        total += value + len(key)
    return (
        copy,
        items + [1],
        items * 2,
        items[-1],
        items[::2],
        7 in items,
        sorted(items),
        sum(items),
        max(items),
        table["z"],
        table.get("q", 0),
        "z" in table,
        list(table.keys()),
        total,
        (head, rest),
        items.index(7),
        sorted(items, key=lambda v: -v),
        any([i > 3 for i in items]),
        all(i > 0 for i in items),
        tuple(items),
    )


def comprehensions(items: list[int], x: torch.Tensor) -> tuple[object, ...]:
    squares = [i * i for i in items if i % 2]
    pairs = [i * j for i in items for j in range(i)]
    tensors = [t + k for k, t in enumerate([x, x * 2])]
    table = {str(i): i for i in items}
    return (
        squares,
        pairs,
        tensors,
        table,
        [[j for j in range(i)] for i in items],
        torch.stack([f(x) for f in (torch.sin, torch.cos)]),
    )


def unpacking(x: torch.Tensor) -> tuple[object, ...]:
    (a, b), c = (x, 1), 2
    first, *middle, last = (1, 2, 3, 4)
    d = e = x + 1
    n, m = x.shape
    top, bottom = x
    return a, b, c, first, middle, last, d, e, n, m, top, bottom, [*middle, 9]


def walrus(n: int) -> int:
    if (m := n * 2) > 4 and (k := m - 1) > 5:
        return m + k
    return m


def helper(
    x: torch.Tensor, scale: float = 2.0, *rest: int, shift: int = 0, **named: int
) -> torch.Tensor:
    for r in rest:
        x = x + r
    return x * scale + shift + named.get("extra", 0)


def calls(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (
        helper(x),
        helper(x, 3),
        helper(x, 1.0, 5, 6, shift=2),
        helper(x, shift=1, extra=4),
        helper(*(x, 2.0), **{"shift": 3}),
    )


def closures(x: torch.Tensor) -> torch.Tensor:
    offset = 1

    def inner(t: torch.Tensor, k: int = 2) -> torch.Tensor:
        return t * k + offset

    offset = 5
    twice = lambda f, t: f(f(t))  # noqa: E731
    return twice(inner, x) + functools.partial(inner, k=3)(x)


def captured(x: torch.Tensor) -> torch.Tensor:
    return x * SCALE + SIZES[1] + WEIGHT.sum()


def named_tuples(p: Point) -> Point:
    q = Point(p.x * p.n)
    return q._replace(n=p[1] + 1)


def optional(x: Optional[int], y: Optional[torch.Tensor] = None) -> int:
    if x is None:
        return 0
    assert isinstance(x, int)
    return x + 1 if y is None else x + y.numel()


def factorial(n: int) -> int:
    return 1 if n < 2 else n * factorial(n - 1)


def nested_recursion(x: torch.Tensor, n: int) -> tuple[torch.Tensor, bool]:
    scale, steps = x * 2, [3]

    def even(k: int) -> bool:
        return k == 0 or odd(k - 1)

    def odd(k: int, least: int = 0) -> bool:
        return k != least and even(k - 1)

    def power(y: torch.Tensor, k: int) -> torch.Tensor:
        if k <= 0:
            return y + len(steps)
        return power(y * scale, k - 1)

    steps.append(n)
    return power(x, n), even(n)


CASES = [
    (nested_recursion, (torch.ones(2), 3)),
    (nested_recursion, (torch.ones(2), 0)),
    (arithmetic, (7, 2.75)),
    (arithmetic, (-3, -0.5)),
    (strings, ("a,b", 42)),
    (containers, ([1, 2, 3], {"a": 1})),
    (comprehensions, ([1, 2, 3], torch.ones(2))),
    (unpacking, (torch.ones(2, 3),)),
    (walrus, (1,)),
    (walrus, (4,)),
    (calls, (torch.ones(2),)),
    (closures, (torch.ones(2),)),
    (captured, (torch.ones(2),)),
    (named_tuples, (Point(torch.ones(1), 4),)),
    (optional, (3, None)),
    (optional, (None, None)),
    (optional, (3, torch.ones(4))),
    (factorial, (6,)),
]


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: object, args: tuple[object, ...]) -> None:
    agree(fn, *args)


FAILING = [
    (lambda a: 1 // a, (0,)),
    (lambda a: 1 / a, (0,)),
    (lambda a: a % 0, (3,)),
    (lambda a: [1, 2][a], (5,)),
    (lambda a: {"x": 1}[a], ("y",)),
    (lambda a: int(a), ("q",)),
    (lambda a: "abc"[a], (9,)),
    (lambda a: a @ a, (torch.ones(2, 3),)),
    (lambda a: a[7], (torch.ones(2, 3),)),
    (lambda a: a.sum(dim=9), (torch.ones(2, 3),)),
    (lambda a: 2.0**a, (5000.0,)),
]


@pytest.mark.parametrize(("fn", "args"), FAILING)
def test_the_exception_is_pythons(fn: object, args: tuple[object, ...]) -> None:
    agree(fn, *args)


def test_annotations_give_types() -> None:
    def f(a: "Optional[int]", b: list[float], c: dict[str, torch.Tensor], d, e: bool = True):  # type: ignore[no-untyped-def]
        return a, b, c, d, e

    types = [str(p.type) for p in compile_function(f).graph.params]
    assert types == ["Optional[int]", "List[float]", "Dict[str, Tensor]", "Tensor", "bool"]


def test_captures_can_be_checked() -> None:
    namespace = {"torch": torch, "K": 2}
    fn = lambda x: x * SCALE + len(SIZES)  # noqa: E731
    source = compiled(fn, torch.ones(1))
    assert {c.name for c in source.captures} == {"SCALE", "SIZES"} and source.is_current()
    scale = SCALE
    try:
        globals()["SCALE"] = 99
        assert not source.is_current()
    finally:
        globals()["SCALE"] = scale
    SIZES.append(1)
    try:
        assert not source.is_current()
    finally:
        SIZES.pop()
    assert namespace["K"] == 2


def test_a_constant_argument_specializes_the_callee() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x, training=False)

    source = compiled(f, torch.ones(2))
    assert torch.equal(Interpreter(source.graph).run(torch.ones(2)), torch.ones(2))


def test_a_recursive_function_calls_itself() -> None:
    graph = compiled(factorial, 3).graph
    (call,) = [n for n in graph.walk() if n.name == "prim::CallFunction"]
    assert call.attrs["graph"] is graph


def test_a_bound_method_reads_its_object() -> None:
    class Scaler:
        factor = 3

        def apply(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor

    scaler = Scaler()
    source = compile_function(scaler.apply)
    assert torch.equal(Interpreter(source.graph).run(torch.ones(2)), torch.full((2,), 3.0))
    scaler.factor = 4
    assert not source.is_current()


@torch.no_grad()
def decorated(x: torch.Tensor, k: int = 2, *, scale: float = 1.5) -> torch.Tensor:
    return x * k * scale


@torch.jit.ignore
def left_to_python(x: torch.Tensor, words: list[str]) -> list[str]:
    return [w for w in reversed(words)] + sorted({str(x.dim())})


def with_callback(x: torch.Tensor) -> list[str]:
    return left_to_python(x, ["a", "b"]) + ["c"]


def with_comment(x, n):  # type: ignore[no-untyped-def]
    # type: (Tensor, int) -> Tensor
    return x * n


def test_wrappers_are_compiled_as_they_are() -> None:
    x = torch.ones(2, requires_grad=True)
    result = jit.script(decorated)(x, 3, scale=2.0)
    assert torch.equal(result, torch.full((2,), 6.0)) and not result.requires_grad
    agree(lambda x: decorated(x, scale=3.0), torch.ones(2))


def test_ignored_functions_are_called_back() -> None:
    agree(with_callback, torch.ones(2))


LOG = [1, 2]


@torch.jit.ignore
def log(n: int) -> int:
    LOG.append(n)
    return n


def logged(n: int) -> tuple[int, int]:
    before = len(LOG)
    return log(n) + before, len(LOG)


def test_captured_lists_are_read_anew_where_python_may_change_them() -> None:
    scripted = jit.script(logged)
    found = [scripted(n) for n in (5, 6, 7)]
    assert found == [(5 + 2, 3), (6 + 3, 4), (7 + 4, 5)] and LOG == [1, 2, 5, 6, 7]


def test_type_comments_give_types() -> None:
    graph = compile_function(with_comment).graph
    assert [str(p.type) for p in graph.params] == ["Tensor", "int"]


def functional(items: list[int], n: int) -> tuple[object, ...]:
    total = functools.reduce(lambda a, b: a * b, items)
    doubled = list(map(lambda v: v * 2, items))
    odd = list(filter(lambda v: v % 2, items))
    unique = set(items)
    unique.add(n)
    return total, doubled, odd, len(unique), n in unique, functools.reduce(operator.add, items, 10)


def test_functions_of_functions() -> None:
    agree(functional, [1, 2, 3, 3], 7)


class Entry(NamedTuple):
    key: str
    size: int


def test_what_named_tuples_tell_of_themselves() -> None:
    def f(n: int) -> tuple[tuple[str, ...], dict[str, str | int], bool]:
        entry = Entry("a", n)
        return entry._fields, entry._asdict(), ... is ...

    compiled = jit.script(f)
    for _ in range(3):
        assert compiled(3) == f(3)


def test_rows_become_columns() -> None:
    def f(rows: list[list[int]], pairs: list[tuple[int, str]]) -> object:
        numbers, names = zip(*pairs)
        return [sum(column) for column in zip(*rows)], list(zip(*rows)), numbers, names

    compiled = jit.script(f)
    for _ in range(3):
        assert compiled([[1, 2], [3, 4]], [(1, "a"), (2, "b")]) == f(
            [[1, 2], [3, 4]], [(1, "a"), (2, "b")]
        )


def test_an_open_list_takes_the_type_of_its_place() -> None:
    def f(d: dict[str, list[int]]) -> dict[str, list[int]]:
        d.setdefault("b", []).append(5)
        return d

    compiled = jit.script(f)
    for _ in range(3):
        assert compiled({"a": [1]}) == f({"a": [1]})


def test_the_first_of_a_listing_and_names_in_a_dict_of_modules() -> None:
    class Chosen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleDict({"a": torch.nn.Tanh(), "b": torch.nn.Sigmoid()})
            self.w = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))

        def forward(self, name: str) -> tuple[bool, torch.dtype]:
            return name in self.parts, next(self.parameters()).dtype

    compiled = jit.script(Chosen())
    for name in ("a", "b", "c", "a"):
        assert compiled(name) == (name != "c", torch.float64)


def identities(n: int, x: torch.Tensor | None) -> tuple[bool, ...]:
    return n is not None is not False, 0 < n is not None, n == 3 == None, x is None is False


def tells_tensors(items: list[Any], x: torch.Tensor | None) -> list[bool]:
    return [torch.is_tensor(i) for i in items] + [torch.is_tensor(x), torch.is_tensor(3)]


def test_identity_in_a_chain_of_comparisons() -> None:
    for x in (None, torch.ones(1)):
        agree(identities, 3, x)


def test_what_is_a_tensor_is_asked_where_the_type_leaves_it_open() -> None:
    scripted = jit.script(tells_tensors)
    for x in (None, torch.ones(1)):
        items = [1, torch.ones(2), "a", None]
        assert scripted(items, x) == tells_tensors(items, x)
