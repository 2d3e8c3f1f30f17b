"""Objects of user classes inside compiled code: fields are variables, methods are compiled in
place.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import jit
from ir import Interpreter
from tests.script.support import agree, compiled


class Vector:
    unit = 1.0

    def __init__(self, x: float, y: float = 2.0) -> None:
        self.x = x
        self.y = y

    def norm2(self) -> float:
        return self.x * self.x + self.y * self.y

    @property
    def first(self) -> float:
        return self.x * self.unit

    def move(self, step: float) -> Vector:
        if step < 0:
            return self
        self.x += step
        return self

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.x + other.x, self.y + other.y)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vector) and self.x == other.x

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> float:
        return self.x if i == 0 else self.y

    def __contains__(self, v: float) -> bool:
        return v == self.x or v == self.y

    def __call__(self, t: torch.Tensor) -> torch.Tensor:
        return t * self.x + self.y

    __hash__ = None  # type: ignore[assignment]


class Scaled(Vector):
    def __init__(self, x: float, k: int) -> None:
        super().__init__(x)
        self.k = k

    def norm2(self) -> float:
        return super().norm2() * self.k


@dataclass
class Config:
    width: int
    name: str = "c"
    sizes: list[int] = field(default_factory=lambda: [1, 2])

    def area(self) -> int:
        return self.width * sum(self.sizes)


class Guard:
    def __init__(self) -> None:
        self.depth = 0

    def __enter__(self) -> Guard:
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


def uses(a: float) -> tuple[object, ...]:
    v = Vector(a)
    w = v + Vector(1.0, y=1.0)
    return (
        v.norm2(),
        w.x,
        w.first,
        len(w),
        w[1],
        2.0 in v,
        v == w,
        v.move(-1.0).x,
        v.move(1.5).x,
        v.x,
    )


def in_loops(n: int) -> tuple[object, ...]:
    v = Vector(0.5)
    total = 0.0
    for i in range(n):
        if i % 2:
            v.move(1.0)
            continue
        v.y = v.y * 2
        if v.norm2() > 1000:
            break
        total += v.x
    return v.x, v.y, total


def inherited(a: float) -> float:
    return Scaled(a, 3).norm2()


def data(n: int) -> tuple[object, ...]:
    c = Config(n, sizes=[n, n + 1])
    return c.area(), c.name, Config(2).area()


def contexts(x: torch.Tensor) -> tuple[object, ...]:
    g = Guard()
    with g as h:
        inside = h.depth
        y = Vector(2.0)(x)
    return inside, g.depth, y


@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (uses, (1.5,)),
        (in_loops, (0,)),
        (in_loops, (12,)),
        (inherited, (2.0,)),
        (data, (3,)),
        (contexts, (torch.ones(2),)),
    ],
)
def test_agrees(fn: object, args: tuple[object, ...]) -> None:
    agree(fn, *args)


def test_objects_inside_leave_no_trace() -> None:
    names = {n.name for n in compiled(in_loops, 3).graph.walk()}
    assert not names & {"prim::PythonOp", "prim::GetAttr", "prim::CallFunction"}


def test_an_object_that_leaves_is_a_python_object() -> None:
    def f(a: float) -> list[Vector]:
        return [Vector(a), Vector(2 * a)]

    result = Interpreter(compiled(f, 1.5).graph).run(1.5)
    assert [type(v) for v in result] == [Vector, Vector] and [v.x for v in result] == [1.5, 3.0]


def test_an_object_that_has_left_is_seen_by_all() -> None:
    def f(a: float) -> list[Vector]:
        v = Vector(a)
        kept: list[Vector] = []
        kept.append(v)
        v.x = 3.0
        kept[0].y = 5.0
        return [*kept, v]

    first, second = Interpreter(compiled(f, 1.5).graph).run(1.5)
    assert first is second and (first.x, first.y) == (3.0, 5.0)


class Thermometer:
    def __init__(self, kelvin: float) -> None:
        self.kelvin = kelvin

    @property
    def celsius(self) -> float:
        return self.kelvin - 273.15

    @celsius.setter
    def celsius(self, value: float) -> None:
        self.kelvin = value + 273.15

    @property
    def is_cold(self) -> bool:
        return self.kelvin < 280


class Heated(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.level = 1.0

    @property
    def double(self) -> float:
        return self.level * 2

    @double.setter
    def double(self, value: float) -> None:
        self.level = value / 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.double = 6.0
        return x * self.level


def test_setters_of_properties() -> None:
    def warm(kelvin: float) -> tuple[float, float]:
        t = Thermometer(kelvin)
        t.celsius += 10
        return t.kelvin, t.celsius

    compiled = jit.script(warm)
    for _ in range(3):
        assert compiled(250.0) == warm(250.0)
    module = Heated()
    assert jit.script(module)(torch.ones(2)).tolist() == [3.0, 3.0]

    def refused(kelvin: float) -> None:
        Thermometer(kelvin).is_cold = False  # type: ignore[misc]

    with pytest.raises(jit.CompileError, match="the property 'is_cold' has no setter"):
        jit.script(refused)


class Sized:
    def __init__(self, x: float) -> None:
        self.x = x

    def __abs__(self) -> float:
        return abs(self.x)

    def __round__(self, digits: int = 0) -> float:
        return round(self.x, digits)

    def __int__(self) -> int:
        return int(self.x)

    def __float__(self) -> float:
        return self.x

    @functools.cached_property
    def twice(self) -> float:
        return self.x * 2


class Upto:
    def __init__(self, n: int) -> None:
        self.n = n
        self.i = 0

    def __iter__(self) -> Upto:
        return self

    def __next__(self) -> int:
        if self.i >= self.n:
            raise StopIteration
        self.i += 1
        return self.i

    def __call__(self) -> int:
        return self.n


def special_methods(x: float) -> tuple[object, ...]:
    s = Sized(x)
    return abs(s), round(s, 1), int(s), float(s), s.twice, vars(Sized(x)), s.__dict__["x"]


def iterator_objects(n: int) -> tuple[object, ...]:
    found = [v for v in Upto(n) if v > 2]
    return list(Upto(n)), sum(Upto(n)), found, callable(Upto(n)), callable(Sized(1.0))


@pytest.mark.parametrize(("fn", "arg"), [(special_methods, -2.54), (iterator_objects, 4)])
def test_special_methods_of_objects(fn: Any, arg: Any) -> None:
    agree(fn, arg)
