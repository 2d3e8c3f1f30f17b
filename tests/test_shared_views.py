"""Results that are views of one tensor share its memory, where a write can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit


def row_and_all(x: torch.Tensor) -> Any:
    y = x * 2
    return y[0], y.t()


def written_before(x: torch.Tensor) -> Any:
    y = x.clone()
    row, turned = y[0], y.t()
    row += 1
    return turned, row, turned.stride()


def flat_and_column(x: torch.Tensor) -> Any:
    y = torch.exp(x)
    return y.reshape(-1), y[:, 1], y.sum()


def pieces(x: torch.Tensor) -> Any:
    a, b = (x + 1).chunk(2, 1)
    return a, b, (x + 2)[:1]


def ends(x: torch.Tensor) -> Any:
    y = x + 1
    return y[0], y[-1], y[1:3], y[:, ::2]


@pytest.mark.parametrize(
    "function", [row_and_all, written_before, flat_and_column, pieces, ends],
    ids=lambda f: f.__name__,
)  # fmt: skip
@pytest.mark.parametrize("rows", [4, 7])
def test_writes_are_seen_as_in_eager(function: Callable[..., Any], rows: int) -> None:
    compiled = jit.jit(function)
    for _ in range(3):
        x = torch.randn(rows, 6)
        found, expected = compiled(x), function(x)
        for a, b in zip(found, expected, strict=True):
            if isinstance(a, torch.Tensor):
                a.add_(1)
                b.add_(1)
        torch.testing.assert_close(found, expected)
        x = torch.randn(rows + 1, 6)
        torch.testing.assert_close(compiled(x), function(x))


def test_views_that_do_not_overlap_need_no_base() -> None:
    compiled = jit.jit(pieces)
    for _ in range(3):
        compiled(torch.randn(4, 6))
    assert "called back" not in str(jit.explain(compiled))



def kept(x: torch.Tensor) -> Any:
    y = x + 1
    return y, y.clone(), y * 1, -(-y), [y / 1, torch.relu(torch.relu(y))]


def test_copies_are_tensors_of_their_own() -> None:
    compiled = jit.jit(kept)
    for _ in range(3):
        y, *others, items = compiled(torch.ones(3))
        y.zero_()
        assert all(bool((other == 2).all()) for other in (*others, *items))


def written_through_no_index(x: torch.Tensor) -> Any:
    x.unsqueeze(-1).flatten()[0] = -1
    return x + 1


@pytest.mark.parametrize("is_turned", [False, True])
def test_writes_reach_the_argument_through_any_view(is_turned: bool) -> None:
    compiled = jit.jit(written_through_no_index)
    for _ in range(4):
        x = torch.arange(6.0).view(2, 3)
        x = x.t().contiguous().t() if is_turned else x
        y = x.clone(memory_format=torch.preserve_format)
        torch.testing.assert_close(compiled(x), written_through_no_index(y))
        torch.testing.assert_close(x, y)
