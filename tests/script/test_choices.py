"""Functions chosen at run time from dicts and lists."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F

import jit
from tests.script.support import agree


def square(x: torch.Tensor) -> torch.Tensor:
    return x * x


BY_NAME = {"relu": F.relu, "square": square, "least": functools.partial(torch.clamp, min=0.5)}
IN_ORDER = [torch.sin, square]


def by_name(x: torch.Tensor, names: list[str]):
    for name in names:
        if name in BY_NAME:
            x = BY_NAME[name](x)
    return x, sorted(BY_NAME)


def by_position(x: torch.Tensor, i: int):
    return IN_ORDER[i](x), IN_ORDER[-1](x)


def unchecked(x: torch.Tensor, name: str):
    return BY_NAME[name](x)


X = torch.tensor([-1.0, 0.25, 2.0])


@pytest.mark.parametrize("names", [["relu"], ["square", "least", "other"], []])
def test_names(names: list[str]) -> None:
    found, order = jit.script(by_name)(X, names)
    wanted, wanted_order = by_name(X, names)
    assert torch.equal(found, wanted) and order == wanted_order


@pytest.mark.parametrize("i", [0, 1, -1, 2, -3])
def test_positions(i: int) -> None:
    agree(by_position, X, i)


def test_a_name_that_is_not_there() -> None:
    scripted = jit.script(unchecked)
    with pytest.raises(KeyError, match="other"):
        scripted(X, "other")
    assert torch.equal(scripted(X, "square"), X * X)
