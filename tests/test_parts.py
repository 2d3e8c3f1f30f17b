"""What has to wait for the types of tensors that a callback gives is compiled apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jit


def kept(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    chosen = x[torch.nonzero(x[:, 0] > 0).squeeze(1)]
    y = torch.tanh(chosen @ weight) * 2 + 1
    return y.sum(0), y.exp()


def changed(x: Tensor, weight: Tensor) -> Tensor:
    """Writes to what the callback gave, and to memory of its own."""
    result = torch.zeros_like(x)
    rows = torch.nonzero(x[:, 0] > 0).squeeze(1)
    chosen = x[rows]
    chosen.mul_(2).add_(weight.sum())
    result[rows] = chosen.sin()
    return result


def branched(x: Tensor, weight: Tensor) -> Tensor:
    rows, columns = torch.where(x > 1)
    if rows.numel() > 0:
        y = (x[rows, columns] * 2).cumsum(0)
        return y.relu() + y.mean()
    return x.sum() * weight.mean()


def twice(x: Tensor, weight: Tensor) -> Tensor:
    """The part has a part of its own."""
    first = torch.unique(x[:, 0].round())
    scaled = first.exp() / (1 + first.abs())
    second = torch.masked_select(scaled, scaled > 0.5)
    return torch.sigmoid(second) * second.sum() - weight.mean()


def repeated(x: Tensor, weight: Tensor) -> Tensor:
    total = torch.zeros(4)
    for k in range(3):
        rows = torch.nonzero(x[:, k] > 0).squeeze(1)
        total = total + torch.tanh(x[rows] @ weight).mul(0.5).sum(0)
    return total


def given(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=generator), torch.randn(8, 4, generator=generator)


@pytest.mark.parametrize("function", [kept, changed, branched, twice, repeated])
def test_values(function: Callable[..., Any]) -> None:
    compiled = jit.jit(function)
    for seed, rows in enumerate((9, 9, 9, 9, 5, 1, 12, 12)):
        torch.testing.assert_close(
            compiled(*given(rows, seed)), function(*given(rows, seed)), equal_nan=True
        )
    assert any(part.native for part in jit.stats(compiled).parts)


def test_a_part_is_explained() -> None:
    compiled = jit.jit(kept)
    for seed in range(5):
        compiled(*given(9, seed))
    (plan,) = jit.explain(compiled).plans
    (part,) = plan.parts
    assert part.stats.native >= 3 and part.plans[0].kernels
    assert "compiled apart, part 0 (index" in str(plan)


def test_parts_of_parts() -> None:
    compiled = jit.jit(twice)
    for seed in range(7):
        compiled(*given(9, seed))
    (part,) = jit.stats(compiled).parts
    assert part.parts and part.parts[0].native


def test_an_exception_inside_of_a_part() -> None:
    def checked(x: Tensor) -> Tensor:
        found = torch.nonzero(x).squeeze(1)
        y = found.exp() + found.sin()
        if y.numel() > 3:
            raise ValueError(f"{y.numel()} are too many")
        return y * 2

    compiled, few, many = jit.jit(checked), torch.tensor([0.0, 1, 2]), torch.ones(5)
    for _ in range(5):
        torch.testing.assert_close(compiled(few), checked(few))
    with pytest.raises(ValueError, match="5 are too many"):
        compiled(many)
    torch.testing.assert_close(compiled(few), checked(few))


def test_one_small_operator_is_left_to_the_interpreter() -> None:
    compiled = jit.jit(lambda x: torch.nonzero(x).sum())
    for _ in range(4):
        compiled(torch.ones(3))
    assert not jit.stats(compiled).parts


def unset_at_first(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    for row in x[x[:, 0] > 0]:
        last = torch.tanh(row) + row.sum()
    return last * 2, row.clone()


def test_a_part_is_given_variables_that_are_not_set() -> None:
    compiled = jit.jit(unset_at_first)
    for seed in range(5):
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))
        x[0, 0] = 1.0
        torch.testing.assert_close(compiled(x), unset_at_first(x))
    with pytest.raises(UnboundLocalError):
        compiled(-torch.ones(6, 4))
