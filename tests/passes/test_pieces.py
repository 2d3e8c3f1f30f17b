"""Parts of a tensor that are read by their places in the list: native, and as eager has them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import jit


def chunked(x: Tensor, h: Tensor) -> Tensor:
    for t in range(x.size(0)):
        a, b = (x[t] * 2).chunk(3, 1), h.chunk(3, dim=-1)
        r = torch.sigmoid(a[0] + b[-1])
        h = torch.cat([r * a[2], b[1] - a[1], r], 1)
    return h


def split(x: Tensor, h: Tensor) -> Tensor:
    for t in range(x.size(0)):
        parts = x[t].split(4, 1)
        h = torch.cat([parts[2] + h[:, :4], parts[0] * h[:, 4:8], parts[-2] - h[:, 8:]], 1)
    return h


def unbound(x: Tensor, h: Tensor) -> Tensor:
    rows = x.unbind(0)
    return rows[0] * rows[-1] + h - rows[1]


def written(x: Tensor, h: Tensor) -> Tensor:
    parts = list(h.chunk(3, 1))
    parts[0] = parts[1] + x[0, :, :4]
    parts.append(parts[0])
    return parts[0] + parts[3] + parts[2]


@pytest.mark.parametrize("function", [chunked, split, unbound, written])
def test_places_of_parts(function: object) -> None:
    f = jit.script(function)
    for rows in (3, 5, 4, 6):
        x, h = torch.randn(rows, 2, 12), torch.randn(2, 12)
        for _ in range(3):
            torch.testing.assert_close(f(x, h), function(x, h))  # type: ignore[operator]
    if function is not written:
        assert "called back" not in str(jit.explain(f))


def far(x: Tensor) -> Tensor:
    return x.chunk(3, 0)[2]


def test_a_place_that_does_not_exist_raises() -> None:
    f = jit.script(far)
    for _ in range(3):
        assert f(torch.ones(3)).shape == (1,)
        with pytest.raises(IndexError):
            f(torch.ones(2))
