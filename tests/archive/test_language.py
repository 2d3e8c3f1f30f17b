"""What the front end takes beyond TorchScript's language, saved: read back by Relume and by torch,
each with the results of plain Python.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from tests.script.support import same

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def saved(target: Any) -> bytes:
    """The archive of a scripted function or module."""
    buffer = io.BytesIO()
    jit.save(jit.script(target), buffer)
    return buffer.getvalue()


def check(target: Any, *args: Any) -> Any:
    """Compare both readers with plain Python; gives our loaded copy."""
    data = saved(target)
    torch.manual_seed(0)
    wanted = target(*args)
    loaded = jit.load(io.BytesIO(data))
    for reader in (loaded, torch.jit.load(io.BytesIO(data))):
        torch.manual_seed(0)
        found = reader(*args)
        assert same(found, wanted), f"{found!r} is not {wanted!r}"
    return loaded


# tensors ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.Tensor([1, 2]),
        lambda: torch.Tensor([[1.0, 2.0], [3.0, 4.0]]),
        lambda: torch.LongTensor([1.5, -1.5]),
        lambda: torch.BoolTensor([0, 2]),
        lambda: torch.FloatTensor(2, 3).fill_(1.0),
        lambda: torch.DoubleTensor(torch.Size([2, 3])).fill_(1.0),
        lambda: torch.Tensor(),
    ],
)
def test_old_constructors(make: Callable[[], torch.Tensor]) -> None:
    check(make)


def seeded(x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.rand(2) + x


def test_seeds_after_dynamo_was_used() -> None:
    torch._dynamo.disable(seeded)(torch.ones(2))  # torch wraps `manual_seed` then
    check(seeded, torch.ones(2))


# modules ------------------------------------------------------------------------------------------
class Block(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.steps = [torch.nn.Linear(size, size), torch.nn.Tanh()]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x


class Unregistered(torch.nn.Module):
    """Modules in lists, tuples and dicts, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        shared = Block(3)
        self.own = torch.nn.Linear(3, 3)
        self.first = [shared, self.own]
        self.second = (shared, torch.nn.ReLU())
        self.named = {"gate": torch.nn.Sigmoid(), "bias": torch.nn.Linear(3, 3)}
        self.above = [self]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.first:
            x = module(x)
        for module in self.second:
            x = module(x)
        return self.named["gate"](x) + self.named["bias"](x)


def test_modules_in_plain_containers() -> None:
    module = Unregistered().eval()
    loaded = check(module, torch.rand(2, 3))
    assert isinstance(loaded.first, torch.nn.Module)
    assert torch.equal(loaded.state_dict()["named.bias.weight"], module.named["bias"].weight)


# sets ---------------------------------------------------------------------------------------------
def distinct(items: list[int]) -> int:
    return len(set(items))


def grown(n: int) -> list[bool]:
    s = {1, 2, n}
    s.add(4)
    s.discard(2)
    s.update([7, 8])
    return [i in s for i in range(9)]


def squares(items: list[int]) -> list[int]:
    return sorted({x * x for x in items if x > 1})


def summed(items: list[int]) -> tuple[int, int, int]:
    total = 0
    for x in set(items):
        total += x
    return total, max(set(items)), sum(set(items))


def algebra(a: list[int], b: list[int]) -> list[list[int]]:
    x, y = set(a), set(b)
    made = [x & y, x | y, x - y, x ^ y, x.union(b), x.intersection(b), x.difference(b)]
    return [sorted(s) for s in made]


def relations(a: list[int], b: list[int]) -> list[bool]:
    x, y = set(a), set(b)
    return [x <= y, x < y, x >= y, x > y, x == y, x != y, x.isdisjoint(y), not x, bool(y)]


def without_repeats(words: list[str]) -> list[str]:
    seen: set[str] = set()
    made: list[str] = []
    for word in words:
        if word not in seen:
            seen.add(word)
            made.append(word)
    return made


def missing(items: list[int]) -> int:
    try_these = set(items)
    try_these.remove(99)
    return len(try_these)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (distinct, ([1, 2, 1],)),
        (distinct, ([],)),
        (grown, (5,)),
        (squares, ([3, -3, 2, 1],)),
        (summed, ([3, 4, 3],)),
        (algebra, ([1, 2, 3], [2, 3, 4])),
        (relations, ([1, 2], [1, 2, 3])),
        (relations, ([1, 2], [2, 1])),
        (relations, ([], [1])),
        (without_repeats, (["a", "b", "a"],)),
    ],
)
def test_sets_inside(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    check(function, *args)


def test_a_missing_member_raises() -> None:
    with pytest.raises(KeyError, match="99"):
        jit.load(io.BytesIO(saved(missing)))([1, 2])


def joined(a: set[int], b: set[int]) -> tuple[set[int], int]:
    return a | b, len(a & b)


def marked(a: set[str]) -> int:
    a.add("new")
    return len(a)


def test_sets_as_arguments_and_results() -> None:
    data = saved(joined)
    loaded = jit.load(io.BytesIO(data))
    buffer = io.BytesIO()
    jit.save(loaded, buffer)
    again = jit.load(io.BytesIO(buffer.getvalue()))
    for _ in range(3):
        assert loaded({1, 2}, {2, 3}) == again({1, 2}, {2, 3}) == ({1, 2, 3}, 1)
    theirs = torch.jit.load(io.BytesIO(data))
    assert theirs({1: True}, {2: True}) == ({1: True, 2: True}, 0)


def counted_members(a: set[int]) -> int:
    return len(a)


def test_sets_are_sets_when_saved_again() -> None:
    again = jit.load(io.BytesIO(jit.load(io.BytesIO(saved(counted_members))).save_to_buffer()))
    assert again({1, 2}) == 2
    assert again.save_to_buffer() == saved(counted_members)


def test_a_set_that_was_passed_in_is_changed() -> None:
    given = {"a"}
    assert jit.load(io.BytesIO(saved(marked)))(given) == 2
    assert given == {"a", "new"}


# dtypes, which are ints in archives ---------------------------------------------------------------
def seen_as(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x.view(torch.int32), x.view(dtype=torch.int16)


def test_views_as_another_dtype() -> None:
    check(seen_as, torch.rand(2, 4))


def marked_sign(x: torch.Tensor) -> torch.Tensor:
    x.view(torch.int32)[0] = 0
    return x


def test_writing_through_a_view_as_another_dtype_is_refused() -> None:
    with pytest.raises(jit.CompileError, match="written to") as info:
        saved(marked_sign)
    assert "x.view(torch.int32)" in str(info.value)


# dicts with defaults ------------------------------------------------------------------------------
def counted(words: list[str]) -> tuple[int, int, bool, int]:
    seen = defaultdict(int)
    for word in words:
        seen[word] += 1
    missing: int = seen["none"]
    found: int = seen["a"]
    return found, missing, "none" in seen, len(seen)


def tallied(items: list[int]) -> dict[int, float]:
    sums: dict[int, float] = defaultdict(float)
    for x in items:
        sums[x % 2] += x / 2
    return sums


def grouped(items: list[int]) -> int:
    groups = defaultdict(list)
    for x in items:
        groups[x % 2].append(x)
    return len(groups)


@pytest.mark.parametrize("words", [[], ["a"], ["b", "a", "a"]])
def test_default_dicts_of_numbers(words: list[str]) -> None:
    check(counted, words)


def test_default_dicts_are_dicts_outside() -> None:
    loaded = jit.load(io.BytesIO(saved(tallied)))
    assert loaded([1, 2, 3]) == dict(tallied([1, 2, 3]))


def test_default_dicts_of_lists_are_refused() -> None:
    with pytest.raises(jit.CompileError, match="defaultdict of 'list'") as info:
        saved(grouped)
    assert "defaultdict(list)" in str(info.value)
