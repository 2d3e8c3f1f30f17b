"""Parameters that declare no type: tensors in archives, and after loading what a call brings."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

import jit

X = torch.tensor([1.0, 2.0])
pytestmark = pytest.mark.filterwarnings("ignore")

# mypy: allow-untyped-defs, allow-untyped-calls


def scaled(x, n, by: int = 2):
    if n > 1:
        x = x * n
    return x / by


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, x, drop=0.5, train=False, name="a"):
        y = x * self.weight + drop
        return y if train else y + len(name)


def saved(target: Any) -> bytes:
    return jit.script(target).save_to_buffer()


@pytest.mark.parametrize("args", [(X, torch.tensor(3)), (X, 3), (X, 0.5), (4, 3), (2.5, 3)])
def test_numbers_in_place_of_tensors(args: tuple[Any, ...]) -> None:
    loaded = jit.load(io.BytesIO(saved(scaled)))
    for _ in range(3):
        assert repr(loaded(*args)) == repr(scaled(*args))
        assert repr(loaded(args[0], n=args[1], by=4)) == repr(scaled(*args, by=4))


def test_arrays_are_taken_as_tensors() -> None:
    loaded = jit.load(io.BytesIO(saved(scaled)))
    found = loaded(X.numpy(), 3)
    assert isinstance(found, np.ndarray) and found.tolist() == [1.5, 3.0]


def test_what_the_code_has_no_meaning_for() -> None:
    loaded = jit.load(io.BytesIO(saved(scaled)))
    with pytest.raises(TypeError, match="expected Tensor for 'x', not str"):
        loaded("a", 3)
    with pytest.raises(TypeError, match="missing a required argument: 'n'"):
        loaded(3)


def test_defaults_tell_types() -> None:
    data, module = saved(Scaled()), Scaled()
    for loaded in (jit.load(io.BytesIO(data)), torch.jit.load(io.BytesIO(data))):
        for args in ((X,), (X, 0.25), (X, 0.25, True), (X, 1.0, False, "name")):
            torch.testing.assert_close(loaded(*args), module(*args))
    assert torch.equal(jit.load(io.BytesIO(data))(3), module(3))


@pytest.mark.parametrize("target", [scaled, Scaled()], ids=["function", "module"])
def test_they_stay_over_a_cycle(target: Any) -> None:
    data = saved(target)
    assert jit.load(io.BytesIO(data)).save_to_buffer() == data
    theirs = torch.jit.load(io.BytesIO(data))
    buffer = io.BytesIO()
    torch.jit.save(theirs, buffer)
    jit.load(io.BytesIO(buffer.getvalue()))
