"""Arguments that overlap in memory: where one of them is written, no plan may answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import jit


def write_then_read(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    return y * 2


def write_both(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x.mul_(3)
    y.add_(2)
    return x - y


def separate() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(4.0), torch.arange(4.0)


def same() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.arange(4.0)
    return x, x


def shifted() -> tuple[torch.Tensor, torch.Tensor]:
    base = torch.arange(5.0)
    return base[:4], base[1:]


def neighbors() -> tuple[torch.Tensor, torch.Tensor]:
    base = torch.arange(8.0)
    return base[:4], base[4:]


@pytest.mark.parametrize("function", [write_then_read, write_both])
@pytest.mark.parametrize("arguments", [separate, same, shifted, neighbors])
def test_overlap_is_eagers(
    function: Callable[..., torch.Tensor],
    arguments: Callable[[], tuple[torch.Tensor, torch.Tensor]],
) -> None:
    compiled = jit.jit(function)
    for _ in range(3):
        compiled(*separate())
    native = jit.stats(compiled).native
    found, expected = arguments(), arguments()
    torch.testing.assert_close(compiled(*found), function(*expected), rtol=0, atol=0)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    served = jit.stats(compiled).native - native
    assert served == (arguments in (separate, neighbors))
