"""Joins are computed where they lie: each piece by a loop nest that writes into the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from jit import explain, jit, stats


def sums(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([x * 2, y + 1], 1)


def stacked(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([x + y[:, :1], x * 2], -1) - 1


def kept(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    double = x * 2
    return torch.cat([double, y], 1) + 1, double


def nested(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([torch.cat([x, y + 1], 1) * 2, y.cumsum(0), x.cumsum(1)], 1)


def reduced(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([x.sum(1, keepdim=True), y.softmax(1), x.amax(1, keepdim=True) + x], 1)


def twice(x: Tensor, y: Tensor) -> Tensor:
    parts = [x * 2, x + 1]
    return torch.cat(parts, 1).sum(0) + torch.cat(parts, 0).sum()


def sorted_between(x: Tensor, y: Tensor) -> Tensor:
    parts = [x * 2, x + 1]
    return torch.cat(parts, 0) + torch.sort(x * 2)[0].sum()


def used_elsewhere(x: Tensor, y: Tensor) -> Tensor:
    parts = [x * 2, x + 1]
    return torch.cat(parts, 0) + torch.block_diag(parts[0], parts[1]).sum() + len(parts)


def returned(x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    parts = [x * 2, x + 1]
    return torch.cat(parts, 0), parts


def looped(x: Tensor, y: Tensor) -> Tensor:
    total = torch.cat([x + 1, y], 1)
    for _ in range(3):
        total = torch.cat([total[:, 3:] * 2, total[:, :3] + 1], 1)
    return total


def promoted(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([x.double() * 2, (y > 0), x.int() + 1], 1)


def legacy(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([torch.zeros(0), x * 2], 1)


def same(x: Tensor, y: Tensor) -> Tensor:
    double = x * 2
    return torch.cat([double, double, double.flip(1)], 0)


ALL = [sums, stacked, kept, nested, reduced, twice, sorted_between, used_elsewhere, returned]
ALL += [looped, promoted, legacy, same]


@pytest.mark.parametrize("function", ALL, ids=lambda f: f.__name__)
def test_joins_of_what_is_computed(function: Callable[..., Any]) -> None:
    generator = torch.Generator().manual_seed(1)
    native = jit(function)
    for rows in (5, 5, 5, 9, 40):
        x, y = torch.randn(rows, 7, generator=generator), torch.randn(rows, 4, generator=generator)
        torch.testing.assert_close(native(x, y), function(x, y))
    assert stats(native).native >= 2


def test_pieces_are_not_stored_first() -> None:
    native = jit(sums)
    for _ in range(3):
        native(torch.ones(6, 5), torch.ones(6, 3))
    assert "kernel 2" not in str(explain(native))
