"""Records mean what dataclasses of the same fields mean."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from functools import cached_property
from typing import Any, ClassVar

import pytest

from ir import field, record, replace


@record
class Point:
    x: int
    y: float = 0.5
    note: str = field(default="", compare=False)
    origin: ClassVar[int] = 0


@record
class Named(Point):
    name: str = "p"
    tags: list[str] = field(default_factory=list)


@record(frozen=False)
class Counter:
    start: int
    seen: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = [self.start]


@record(eq=False)
class Alone:
    x: int


@record(slots=False)
class Lazy:
    x: int
    y: int = 7

    @cached_property
    def double(self) -> int:
        return 2 * self.x


@record
class Own:
    x: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and self.x % 2 == other.x % 2

    def __repr__(self) -> str:
        return "own"


def test_arguments() -> None:
    assert (Point(1).x, Point(1).y, Point(y=2.0, x=1).y) == (1, 0.5, 2.0)
    assert Point.origin == 0
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Point(1, z=2)  # type: ignore[call-arg]


def test_equality_and_hash() -> None:
    assert Point(1) == Point(1, 0.5, "other") != Point(2)
    assert hash(Point(1)) == hash(Point(1, 0.5, "other"))
    assert Point(1) != Named(1) and Alone(1) != Alone(1)
    assert {Point(1): "a"}[Point(1)] == "a"
    nan = float("nan")
    assert Point(1, nan) == Point(1, nan)  # of the same object, as in a tuple
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter(1))


def test_own_methods_stay() -> None:
    assert Own(1) == Own(3) != Own(2)
    assert repr(Own(1)) == "own"


def test_inherited_fields_come_first() -> None:
    assert Named(1, 2.0, "n", "q", ["t"]).tags == ["t"]
    assert Named(1).tags is not Named(1).tags
    assert repr(Named(1)) == "Named(x=1, y=0.5, note='', name='p', tags=[])"


def test_fields_that_are_not_passed() -> None:
    assert Counter(3).seen == [3]
    with pytest.raises(TypeError):
        Counter(3, [4])  # type: ignore[call-arg]


def test_slots() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]
    assert Lazy(2).double == 4 and Lazy.y == 7


def test_patterns() -> None:
    match Point(1, 2.0):
        case Point(x, y):
            assert (x, y) == (1, 2.0)


def test_replace() -> None:
    assert replace(Named(1), x=2) == Named(2)
    assert replace(Counter(1), start=5).seen == [5]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copies(copied: Any) -> None:
    assert copied(Named(1, tags=["a"])) == Named(1, tags=["a"])


def test_a_record_that_holds_itself_prints() -> None:
    holder = Named(1)
    holder.tags.append(holder)  # type: ignore[arg-type]
    assert "tags=[...]" in repr(holder)


def test_same_as_dataclasses() -> None:
    twin = dataclasses.make_dataclass(
        "Point", [("x", int), ("y", float, 0.5), ("note", str, "")], frozen=True
    )
    for args in ((1,), (1, 2.0), (1, 2.0, "n")):
        assert repr(Point(*args)) == repr(twin(*args))
    assert Point.__match_args__ == twin.__match_args__  # type: ignore[attr-defined]
