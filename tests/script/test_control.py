"""Control flow: exact on every path, whatever is known only at run time."""

from __future__ import annotations

import pytest
import torch

from tests.script.support import agree, compiled


def elif_chain(n: int) -> int:
    if n < 0:
        r = -1
    elif n == 0:
        r = 0
    else:
        r = 1
    return r * 10


def early_return(x: torch.Tensor, n: int) -> torch.Tensor:
    if n > 3:
        return x
    y = x * 2
    if n > 1:
        if y.sum() > 0:
            return y
        y = y - 1
    return y + 1


def find(items: list[int], wanted: int) -> int:
    for i, item in enumerate(items):
        if item == wanted:
            return i
    return -1


def nested_return(n: int) -> int:
    for i in range(n):
        for j in range(n):
            if i * j > 6:
                return i * 100 + j
            if j > i:
                break
        else:
            if i == 5:
                return -5
    return n


def break_and_continue(n: int) -> int:
    total = 0
    i = 0
    while True:
        i += 1
        if i % 3 == 0:
            continue
        if i > n:
            break
        total += i
    return total * 1000 + i


def loop_else(n: int) -> int:
    for i in range(5):
        if i == n:
            break
    else:
        n = -n
    while n > 3:
        n -= 2
    else:
        n += 100
    return n


def newton(x: torch.Tensor) -> tuple[torch.Tensor, int]:
    y = x / 2
    steps = 0
    done = False
    while not done:
        z = (y + x / y) / 2
        done = bool((z - y).abs().max() < 1e-6)
        y = z
        steps += 1
    return y, steps


def ranges(n: int) -> list[int]:
    out = []
    for i in range(n, -n, -2):
        out.append(i)
    for i in range(2, n):
        out.append(i)
    for i in reversed(range(3)):
        out.append(i)
    return out


def over_tensor(x: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(x.shape[1:])
    for row in x:
        total = total * 0.5 + row
    return total


def over_zip(a: list[int], b: list[float]) -> float:
    total = 0.0
    for i, (x, y) in enumerate(zip(a, b), 1):
        total += i * x * y
    return total


def over_tuple(x: torch.Tensor, n: int) -> torch.Tensor:
    for f, k in ((torch.sin, 1), (torch.cos, 2)):
        if k > n:
            break
        x = f(x) * k
    return x


def bound_in_one_branch(n: int) -> int:
    if n > 2:
        y = n
    return y


def bound_in_loop(n: int) -> int:
    for i in range(n):
        last = i
    return last + i


def type_changes(n: int) -> str:
    x = 1
    if n > 0:
        x = "one"
    x = str(n)
    for x in ["a", "b"]:
        pass
    return x


def returned_from_with(x: torch.Tensor, n: int) -> torch.Tensor:
    for i in range(n):
        with torch.no_grad():
            x = x * 2
            if i == 1:
                break
            if i > 5:
                return x
    return x + 1


def raises(n: int) -> int:
    assert n != 7, f"not {n}"
    if n > 5:
        raise ValueError("too big")
    elif n < 0:
        raise IndexError
    return 10 // n


def integer_or_float(n: int) -> float:
    total = 0
    for i in range(n):
        total += 0.5
    return total


def ternaries(n: int) -> tuple[object, ...]:
    return (1 if n > 2 else 2), (n if n else None), ("a" if n < 0 else "b" if n == 0 else "c")


def short_circuit(n: int, items: list[int]) -> tuple[object, ...]:
    return (
        n or 5,
        n and 7,
        n > 0 and items[n - 1] > 0,
        not n,
        n == 0 or items[0] / n > 1,
        0 < n < 3,
    )


def matches(n: int) -> int:
    match n:
        case 1 | 2:
            return 10
        case 3:
            n = 5
        case k if k > 100:
            return k
        case _:
            return -1
    return n


def nested_loops(n: int) -> int:
    total = 0
    for i in range(n):
        j = i
        while j > 0:
            j -= 1
            if (i + j) % 2:
                continue
            for k in range(3):
                if k == j:
                    break
                total += k + 1
    return total


def loop_carried_optional(items: list[int]) -> int:
    best: int | None = None
    for item in items:
        if best is None or item > best:
            best = item
    return -1 if best is None else best


def while_not_none(n: int) -> int:
    x: int | None = n
    steps = 0
    while x is not None:
        steps += x
        x = x - 1 if x > 0 else None
    return steps


CASES = [
    (elif_chain, [(-3,), (0,), (4,)]),
    (early_return, [(torch.ones(2), k) for k in range(5)] + [(-torch.ones(2), 2)]),
    (find, [([4, 5, 6], 5), ([4], 9)]),
    (nested_return, [(k,) for k in range(8)]),
    (break_and_continue, [(k,) for k in range(6)]),
    (loop_else, [(k,) for k in range(8)]),
    (newton, [(torch.tensor([2.0, 9.0]),)]),
    (ranges, [(0,), (5,)]),
    (over_tensor, [(torch.arange(6.0).reshape(3, 2),), (torch.ones(0, 2),), (torch.tensor(1.0),)]),
    (over_zip, [([1, 2, 3], [0.5, 1.5])]),
    (over_tuple, [(torch.ones(2), k) for k in range(3)]),
    (bound_in_one_branch, [(1,), (3,)]),
    (bound_in_loop, [(0,), (3,)]),
    (type_changes, [(0,), (1,)]),
    (returned_from_with, [(torch.ones(2), k) for k in range(4)]),
    (raises, [(7,), (6,), (-1,), (0,), (3,)]),
    (integer_or_float, [(0,), (3,)]),
    (ternaries, [(-1,), (0,), (3,)]),
    (short_circuit, [(0, [3]), (1, [3]), (2, [1, 0]), (3, [1, 2, 3])]),
    (matches, [(1,), (3,), (7,), (101,)]),
    (nested_loops, [(0,), (6,)]),
    (loop_carried_optional, [([1],), ([3, 9, 2],)]),
    (while_not_none, [(0,), (3,)]),
]


@pytest.mark.parametrize(("fn", "args"), [(fn, a) for fn, calls in CASES for a in calls])
def test_every_path(fn: object, args: tuple[object, ...]) -> None:
    agree(fn, *args)


def test_dead_branches_are_not_compiled() -> None:
    flag = False

    def f(x: torch.Tensor) -> torch.Tensor:
        if flag or x is None or not isinstance(x, torch.Tensor) or not torch.jit.is_scripting():
            return eval("x")
        if hasattr(x, "no_such_thing"):
            return x.no_such_thing
        return x

    assert not list(compiled(f, torch.ones(1)).graph.walk())


def test_unread_outputs_are_pruned() -> None:
    def f(x: torch.Tensor, n: int) -> torch.Tensor:
        if n > 1:
            a = x * 2
            x = a + 1
        for i in range(n):
            b = x + i
            x = b * b
        return x

    text = str(compiled(f, torch.ones(1), 2).graph)
    assert text.count("Uninitialized") == 0
    assert "%x" in text and text.count("prim::Loop") == 1
