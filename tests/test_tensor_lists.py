"""Native lists of tensors: values, results, which tensors are the same object, exceptions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import jit
from tests.programs import load


def viterbi(em: Tensor, tr: Tensor) -> tuple[list[int], Tensor]:
    score = em[0]
    back: list[Tensor] = []
    for i in range(1, em.size(0)):
        best, k = (score[:, None] + tr).max(0)
        score = best + em[i]
        back.append(k)
    path = [int(score.argmax())]
    for i in range(len(back) - 1, -1, -1):
        path.append(int(back[i][path[-1]]))
    path.reverse()
    return path, score.max()


def states(x: Tensor, w: Tensor) -> tuple[list[Tensor], Tensor]:
    h = torch.zeros(8)
    outs: list[Tensor] = []
    for i in range(x.size(0)):
        h = torch.tanh(x[i] + h * w)
        outs.append(h)
    return outs, h


def recurrence(x: Tensor) -> tuple[Tensor, int]:
    rows = [x[0]]
    for i in range(1, x.size(0)):
        rows.append(torch.minimum(rows[-1], rows[i - 1] * 0.5) + x[i])
    return rows[-1], len(rows)


def window(x: Tensor, n: int) -> tuple[Tensor, list[Tensor]]:
    held: list[Tensor] = []
    total = torch.zeros(8)
    for i in range(x.size(0)):
        held.append(x[i] * 2)
        if len(held) > n:
            held.pop(0)
        most = held[0]
        for t in held[1:]:
            most = torch.maximum(most, t)
        total = total + most
    return total, held


def evaluate(codes: list[int], x: Tensor) -> tuple[Tensor, int]:
    stack: list[Tensor] = []
    for c in codes:
        if c >= 0:
            stack.append(x[c])
        else:
            b = stack.pop()
            a = stack.pop()
            stack.append(a + b if c == -1 else torch.tanh(a * b))
    return stack.pop(), len(stack)


def beam(lp: Tensor) -> tuple[list[int], Tensor]:
    scores = torch.zeros(4)
    history: list[Tensor] = []
    for i in range(lp.size(0)):
        all_scores = scores[:, None] + lp[i][None, :]
        scores, chosen = torch.topk(all_scores.reshape(-1), 4)
        history.append(chosen)
    best = int(scores.argmax())
    tokens: list[int] = []
    for i in range(len(history) - 1, -1, -1):
        k = int(history[i][best])
        tokens.append(k % lp.size(1))
        best = k // lp.size(1)
    return tokens, scores


def comprehensions(x: Tensor, n: int) -> tuple[Tensor, int, list[Tensor]]:
    ys = [x[i] * i for i in range(n)]
    zs = [y + 1 for y in ys if float(y[0]) > 0]
    total = torch.zeros(8)
    for z in zs:
        total = total + z
    return total, len(zs), zs


def exchange(x: Tensor, n: int) -> list[Tensor]:
    a = [x[0] * 1, x[1] * 1, x[2] * 1]
    for i in range(n):
        t = a[i % 3]
        a[i % 3] = a[(i + 1) % 3]
        a[(i + 1) % 3] = t + 1
    b = a[1:] + a[:1]
    b.reverse()
    c = b * 2
    c.insert(1, c[-1])
    del c[0]
    c.extend(a)
    return c


def early(x: Tensor, n: int) -> list[Tensor]:
    outs: list[Tensor] = []
    for i in range(n):
        h = x[i] * 2
        if float(h.sum()) > 3.0:
            return outs
        outs.append(h)
    if n > 5:
        raise ValueError("many")
    return outs


def nested(x: Tensor, n: int) -> tuple[Tensor, list[list[Tensor]]]:
    groups: list[list[Tensor]] = [[], []]
    for i in range(n):
        groups[i % 2].append(x[i] + 1)
    total = torch.zeros(8)
    for group in groups:
        for t in group:
            total = total + t
    return total, groups


def same_twice(x: Tensor, y: Tensor, n: int) -> tuple[list[Tensor], Tensor, Tensor]:
    z = x[0] + y
    rows = [x[1], y, z]
    for _ in range(n):
        rows.append(rows[len(rows) // 2])
        rows.append(z)
    last = rows[-1] if n > 3 else rows[0]
    return rows, last, z


def joined(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    outs: list[Tensor] = []
    i, h = 0, x[0]
    while i < n:
        h = torch.sigmoid(h + x[i])
        outs.append(h)
        i += 2
    return torch.stack(outs), torch.cat(outs)


def called(x: Tensor, n: int) -> tuple[Tensor, list[Tensor]]:
    rows: list[Tensor] = []
    for i in range(n):
        rows.append(torch.special.i0(x[i]))  # no native form: an object of torch's
    total = rows[0] * 1
    for row in rows:
        total = total + row
    return total, rows


def widths(x: Tensor, n: int) -> tuple[float, list[Tensor]]:
    parts: list[Tensor] = []
    for i in range(n):
        parts.append(x[i, : i + 1] * 2)
    total = 0.0
    for part in parts:
        total += float(part.sum())
    return total, parts


def written(x: Tensor, n: int) -> list[Tensor]:
    rows = [torch.zeros(8) for _ in range(n)]
    for i in range(1, n):
        rows[i].copy_(rows[i - 1] + x[i])
        rows[i][0] = 5.0
    return rows


def large(x: Tensor, n: int) -> tuple[Tensor, int]:
    rows: list[Tensor] = []
    for i in range(n):
        rows.append((x[i][:, None] * torch.ones(1, 8192)) * i)
        if len(rows) > 2:
            rows.pop(0)
    return rows[0][:, 3] + rows[-1][:, 5], len(rows)


X = torch.randn(12, 8, generator=torch.Generator().manual_seed(1))
W = torch.randn(8, generator=torch.Generator().manual_seed(2))
NATIVE: dict[Callable[..., Any], list[tuple[Any, ...]]] = {
    viterbi: [(torch.randn(20, 8), torch.randn(8, 8)), (torch.randn(9, 8), torch.randn(8, 8))],
    states: [(X, W), (X[:7], W)],
    recurrence: [(X,), (X[:5],)],
    window: [(X, 3), (X, 5)],
    evaluate: [([0, 1, -1, 2, 3, -2, -1], X), ([0, 1, 2, -1, -2], X), ([0, -1], X)],
    beam: [(torch.randn(10, 9),)],
    comprehensions: [(X, 9), (X, 3)],
    exchange: [(X, 7), (X, 2)],
    early: [(X * 0.1, 5), (X * 0.1, 9), (X, 4)],
    nested: [(X, 9), (X, 6)],
    same_twice: [(X, W, 5), (X, W, 2)],
    large: [(X, 6), (X, 3)],
}
OTHERS: dict[Callable[..., Any], list[tuple[Any, ...]]] = {
    joined: [(X, 9), (X, 6)],
    called: [(X, 4), (X, 7)],
    widths: [(X, 5), (X, 6)],
    written: [(X, 9), (X, 6)],
}


def outcome(function: Callable[..., Any], args: Any) -> Any:
    """What a call gives or raises."""
    try:
        return function(*copy.deepcopy(args))
    except Exception as error:  # noqa: BLE001  the kind is what is compared
        return type(error), str(error)


def tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple):
        for item in result:
            yield from tensors(item)


def shared(result: Any) -> list[list[tuple[bool, bool]]]:
    """Which tensors are the same object, and which have the same memory."""
    found = list(tensors(result))
    memory = [t.untyped_storage().data_ptr() for t in found]
    return [
        [(p is q, a == b) for q, b in zip(found, memory, strict=True)]
        for p, a in zip(found, memory, strict=True)
    ]


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert one.stride() == other.stride()
        torch.testing.assert_close(one, other)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-4)
    else:
        assert one == other


def check(native: Callable[..., Any], eager: Callable[..., Any], args: Any) -> None:
    given, expected = outcome(native, args), outcome(eager, args)
    assert_same(given, expected)
    assert shared(given) == shared(expected)


@pytest.mark.parametrize("function", [*NATIVE, *OTHERS], ids=lambda f: f.__name__)
def test_functions(function: Callable[..., Any]) -> None:
    native = jit.jit(function)
    for _ in range(3):
        for args in {**NATIVE, **OTHERS}[function]:
            check(native, function, args)
    if function in NATIVE:
        report = str(jit.explain(native))
        assert "called back" not in report and "refused" not in report


def test_argument_is_itself() -> None:
    native = jit.jit(same_twice)
    for _ in range(3):
        rows, _, _ = native(X, W, 5)
        assert rows[1] is W
        assert rows[0].data_ptr() == X[1].data_ptr()


def test_memory_of_dropped_tensors() -> None:
    """A window over many large tensors holds only those in it."""
    native = jit.jit(large)
    x = torch.ones(64, 8)
    assert_same(native(x, 64), large(x, 64))
    assert_same(native(x, 64), large(x, 64))


# generated programs -------------------------------------------------------------------------------
HEAD = """
def generated(x: torch.Tensor, y: torch.Tensor, n: int):
    i, t, u = 1, y * 2, x[1]
    a = [x[0], y, t]
    b = [t + 1]
    g = [a, b]
"""
LISTS = ("a", "b", "g[{I}]")
TENSORS = ("t", "u", "y", "x[{I}]", "{L}[{I}]", "({T} + {T})", "torch.tanh({T})", "({T} * 0.5)",
           "{L}.pop()", "{L}.pop({I})", "torch.maximum({T}, {T})", "({T} if {B} else {T})",
           "torch.flip({T}, [0])", "torch.special.i0({T})")  # fmt: skip
INTS = ("i", "n", "2", "-1", "len({L})", "({I} + {I})", "int({T}[{I}])")
BOOLS = ("{I} < {I}", "float({T}[0]) > 0.5", "len({L}) > 3")
STATEMENTS = (
    "t = {T}", "u = {T}", "t = {T}", "i = {I} & 7", "{L}.append({T})", "{L}.append({T})",
    "{L}[{I}] = {T}", "{L}.insert({I}, {T})", "{L}.reverse()", "{L}.extend({L}[:2])",
    "del {L}[{I}]", "a = {L}", "b = {L}[{I}:]", "b = {L}[:3] + {L}[:2]", "b = {L}.copy()",
    "b = [{T}] * ({I} & 3)",
    "b = [v + 1 for v in {L}]", "g[{I}] = {L}", "g.append({L})", "{L}.clear()",
    "t = torch.stack({L}).sum(0)", "for v in {L}: u = u + v", "u.mul_(0.5)", "t[{I}] = 2.0",
    "{L}[{I}].mul_(0.5)",
)  # fmt: skip
RESULTS = (
    "a, b, g, t, u, i",
    "[float(v.sum()) for r in g + [a, b] for v in r], t + u, i, [len(r) for r in g]",
    "[float(v.sum()) for r in g + [b] for v in r], a, t, u, i",
)
"""All that is computed: what raises in eager is computed by any tier."""


class Program:
    """A generated function, with its source."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        lines = [self.statement(1) for _ in range(draw(st.integers(2, 7)))]
        self.source = HEAD + "".join(lines) + f"    return {self.one_of(RESULTS)}\n"

    def one_of(self, options: tuple[str, ...]) -> str:
        return str(self.draw(st.sampled_from(options)))

    def fill(self, text: str, depth: int = 0) -> str:
        for mark, options in (("{T}", TENSORS), ("{I}", INTS), ("{L}", LISTS), ("{B}", BOOLS)):
            while mark in text:
                choice = self.one_of(options[:4] if depth > 1 else options)
                choice = options[0] if depth > 3 else choice
                text = text.replace(mark, self.fill(choice, depth + 1), 1)
        return text

    def statement(self, level: int) -> str:
        indent = "    " * level
        kind = self.draw(st.integers(0, 9))
        if kind < 2 and level < 3:
            head = "for k in range(n & 3):" if kind == 0 else f"if {self.fill('{B}')}:"
            inner = [self.statement(level + 1) for _ in range(self.draw(st.integers(1, 3)))]
            return f"{indent}{head}\n{''.join(inner)}"
        return f"{indent}{self.fill(self.one_of(STATEMENTS))}\n"

    def function(self) -> Callable[..., Any]:
        return load(self.source)


def check_program(program: Program) -> None:
    """Code that nothing needs may raise in eager only."""
    native, eager = jit.jit(program.function()), program.function()
    x = torch.linspace(-1, 2, 24).reshape(3, 8)
    for n in (3, 3, 2, 7):
        args = (x, x[1] + 0.25, n)
        given, expected = outcome(native, args), outcome(eager, args)
        if not is_raised(expected) or is_raised(given):
            assert_same(given, expected)
            assert shared(given) == shared(expected), program.source


def is_raised(result: Any) -> bool:
    return isinstance(result[0], type)


@settings(max_examples=15, deadline=None, derandomize=True,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(st.data())
def test_programs(data: st.DataObject) -> None:
    check_program(Program(data.draw))


@pytest.mark.sweep
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_many_programs(data: st.DataObject) -> None:
    check_program(Program(data.draw))
