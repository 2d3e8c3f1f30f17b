"""What compiled code shares with Python around it: variables of enclosing functions, names that do
not exist yet, functions handed to torch, arguments of any number. Held against plain Python.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import pytest
import torch
from torch._higher_order_ops.while_loop import while_loop
from torch.jit.annotations import BroadcastingList2

import jit
from tests.script.support import same


class Color(Enum):
    RED = 1
    GREEN = 2


def counts(n: int) -> Any:
    total, seen = 0, [1]

    def log() -> int:
        seen.append(total)
        return total

    def add(k: int) -> int:
        nonlocal total
        if k > 1:
            total += k
            return log()
        total -= 1
        return log() * 2

    return [add(i) for i in range(n) if i != 1], total, seen


def nested(n: int) -> Any:
    a = 1

    def outer(k: int) -> int:
        b = k

        def inner() -> None:
            nonlocal a, b
            a += b
            for i in range(2):
                b += i

        inner()
        inner()
        return b

    return outer(n), a


def best(x: torch.Tensor) -> Any:
    found = None

    def see(v: torch.Tensor) -> None:
        nonlocal found
        found = v if found is None else torch.maximum(found, v)

    for i in range(3):
        see(x * i)
    return found


def last_round(n: int) -> int:
    total = 0
    for i in range(n):
        if i > 0:
            total += previous  # noqa: F821
        previous = i * 2  # noqa: F841
    return total


def too_early(n: int) -> int:
    if n > 5:
        n = later  # noqa: F821
    later = 3
    return n + later


def not_there(n: int) -> int:
    return no_such_function(n) if n > 5 else n  # type: ignore[name-defined]  # noqa: F821


def defined_below(n: int) -> int:
    return below(n)


def below(n: int) -> int:
    return n + 1


def any_number(*xs: torch.Tensor) -> Any:
    return torch.stack(xs).sum(), len(xs)


def any_names(x: torch.Tensor, **scales: float) -> Any:
    for name, scale in scales.items():
        x = x * scale + len(name)
    return x


def looped(x: torch.Tensor) -> Any:
    return while_loop(lambda v, n: v.sum() < 10, lambda v, n: (v * 2, n + 1), (x, torch.zeros(1)))


def applied(x: torch.Tensor) -> Any:
    y = x.apply_(lambda v: v * 3 + 1).clone()
    return x.t().map_(y[0], lambda a, b: a - b), x


def gradients(x: torch.Tensor, y: torch.Tensor) -> Any:
    (one,) = torch.autograd.grad((x * x).sum(), x)
    two = torch.autograd.grad([(x * y).sum()], [x, y], create_graph=True)
    return one, two, torch.autograd.grad(x * x, (x, y), torch.ones(2), allow_unused=True)


def members(name: str, value: int) -> Any:
    return Color[name], Color(value), len(Color)


def numpys(x: torch.Tensor, a: float) -> Any:
    return np.prod(x.shape), np.floor(a), [1, 2, 3][slice(0, 2)]


def ordered(n: int) -> Any:
    made: OrderedDict[str, int] = OrderedDict()
    made["b"] = n
    made["a"] = n + 1
    return made, list(made)


def pair(size: BroadcastingList2[int]) -> int:  # type: ignore[valid-type]
    return size[0] * size[1]


def leaf() -> torch.Tensor:
    return torch.ones(2, requires_grad=True)


X = torch.arange(4.0).reshape(2, 2)
CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (counts, (4,)), (nested, (3,)), (best, (X - 1,)), (last_round, (4,)), (too_early, (1,)),
    (too_early, (9,)), (not_there, (2,)), (not_there, (9,)), (defined_below, (2,)),
    (any_number, (X,)), (any_number, (X, X)), (looped, (X,)), (applied, (X,)),
    (gradients, (leaf(), leaf())), (members, ("RED", 2)), (members, ("BLUE", 2)),
    (numpys, (X, 2.5)), (ordered, (2,)), (pair, ([2, 3],)),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::jit.JitWarning")
@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    compiled = jit.script(fn)
    for _ in range(3):
        try:
            wanted = fn(*copy.deepcopy(args))
        except Exception as error:  # noqa: BLE001
            with pytest.raises(type(error)) as caught:
                compiled(*copy.deepcopy(args))
            assert caught.value.args == error.args
        else:
            found = compiled(*copy.deepcopy(args))
            assert same(found, wanted), f"{found!r} is not {wanted!r}"


def test_any_names() -> None:
    compiled = jit.script(any_names)
    for names in ({}, {"a": 2.0}, {"a": 2.0, "bc": 0.5}):
        assert same(compiled(X, **names), any_names(X, **names))


def test_shared_variables_stay_with_their_function() -> None:
    def elsewhere(n: int) -> int:
        total = 0

        def add() -> None:
            nonlocal total
            total += n

        repeat(add)
        return total

    with pytest.raises(jit.UnsupportedError, match="called outside of the function that defines"):
        jit.script(elsewhere)


def repeat(function: Callable[[], None]) -> None:
    function()
    function()
