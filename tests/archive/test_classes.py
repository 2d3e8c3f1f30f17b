"""Objects of user classes in archives: made, passed, changed, in containers; exceptions."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import jit

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Point:
    def __init__(self, x: int, y: int = 2) -> None:
        self.x = x
        self.y = y

    def norm(self) -> int:
        return self.x * self.x + self.y * self.y

    def scaled(self, factor: int = 3) -> Point:
        return Point(self.x * factor, self.y * factor)

    def __add__(self, other: Point) -> Point:
        return Point(self.x + other.x, self.y + other.y)

    @property
    def double(self) -> int:
        return self.x * 2


@dataclass
class Rate:
    count: int
    seconds: float = 2.0

    def per_second(self) -> float:
        return self.count / self.seconds


class Rejected(Exception):
    pass


def made(n: int) -> int:
    point = Point(n) + Point(1, 1)
    point.x += 3
    return point.norm()


def passed(p: Point) -> int:
    p.x += 1
    return p.norm() + p.double + p.scaled().y + p.scaled(2).x


def listed(n: int) -> int:
    points = [Point(i, i) for i in range(n)]
    total = 0
    for point in points:
        total += point.norm()
    return total + (points[0] + points[1]).x


def optional(n: int) -> int | None:
    point: Point | None = None
    if n > 1:
        point = Point(n, n)
    if point is None:
        return None
    return point.norm()


def of_dataclass(rates: list[Rate]) -> float:
    rates.append(Rate(3))
    return rates[0].per_second() + rates[1].seconds


def returned(n: int) -> Point:
    return Point(n, n + 1)


CASES: list[tuple[Callable[..., Any], Callable[[], tuple[Any, ...]]]] = [
    (made, lambda: (2,)),
    (passed, lambda: (Point(1, 2),)),
    (listed, lambda: (3,)),
    (optional, lambda: (2,)),
    (optional, lambda: (1,)),
    (of_dataclass, lambda: ([Rate(4)],)),
]


@pytest.mark.parametrize(("function", "arguments"), CASES)
def test_objects_give_the_same(function: Callable[..., Any], arguments: Any) -> None:
    data = jit.script(function).save_to_buffer()
    expected = function(*arguments())
    assert jit.load(io.BytesIO(data))(*arguments()) == expected
    if function is not of_dataclass:  # torch takes lists of classes that it has scripted only
        assert torch.jit.load(io.BytesIO(data))(*arguments()) == expected
    assert jit.load(io.BytesIO(data)).save_to_buffer() == data


def test_returned_objects_have_their_fields() -> None:
    found = jit.load(io.BytesIO(jit.script(returned).save_to_buffer()))(3)
    assert (found.x, found.y) == (3, 4)


def untyped_field(n: int) -> Point:
    point = Point(n)
    point.x = "text"  # type: ignore[assignment]
    return point


def new_field(p: Point) -> int:
    p.z = 1  # type: ignore[attr-defined]
    return p.x


@pytest.mark.parametrize(
    ("function", "message"), [(untyped_field, "has a int in 'x'"), (new_field, "'z' outside of")]
)
def test_objects_without_fixed_types_are_refused(function: Any, message: str) -> None:
    with pytest.raises(jit.CompileError, match=message):
        jit.script(function).save_to_buffer()


def rejects(n: int) -> int:
    if n > 0:
        raise Rejected(f"not {n}")
    return n


def test_exceptions_of_users() -> None:
    data = jit.script(rejects).save_to_buffer()
    with pytest.raises(Rejected, match="not 1"):
        jit.load(io.BytesIO(data))(1)
    with pytest.raises(torch.jit.Error, match="Rejected: not 1"):
        torch.jit.load(io.BytesIO(data))(1)


class Score:
    def __init__(self, name: str, value: float) -> None:
        self.name = name
        self.value = value

    def __lt__(self, other: Score) -> bool:
        return self.value < other.value

    def __call__(self, factor: float) -> Score:
        return Score(self.name, self.value * factor)

    def half(self) -> Score:
        return self(0.5)


def ranked(values: list[float]) -> list[str]:
    scores = [Score(f"{int(value)}", value).half() for value in values]
    scores.sort(reverse=True)
    return [score.name for score in scores]


def test_objects_are_called_and_sorted() -> None:
    data = jit.script(ranked).save_to_buffer()
    for reader in (jit.load, torch.jit.load):
        assert reader(io.BytesIO(data))([1.0, 3.0, 2.0]) == ranked([1.0, 3.0, 2.0])


class Place:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def __repr__(self) -> str:
        return f"({self.x}, {self.y})"


def found(n: int):
    places: list[Place] = []
    for i in range(n):
        places.append(Place(i % 2, 0))
    text = f"{{{places[0]}}} and {places[-1]!r} {n:3d}"
    return text, Place(1, 0) in places, places.count(Place(0, 0)), places.index(Place(1, 0))


def test_objects_are_found_and_shown() -> None:
    with pytest.warns(jit.JitWarning, match="call_method"):
        data = jit.script(found).save_to_buffer()
    assert jit.load(io.BytesIO(data))(3) == found(3)


def counted(n: int) -> int:
    counts: dict[Place, int] = {}
    for i in range(n):
        place = Place(i % 2, 0)
        counts[place] = counts.get(place, 0) + 1
    return len(counts)


def test_objects_as_keys_are_refused() -> None:
    scripted = jit.script(counted)
    assert scripted(5) == 2
    with pytest.raises(jit.CompileError, match="keys are objects of class Place"):
        scripted.save_to_buffer()
