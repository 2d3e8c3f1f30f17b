"""Archives that torch has written run as they do in torch."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

from jit.archive.load import load
from tests.archive.saved import Detection, Detector, Mode, ResNet, Tagger, clipped, saved

CALLS = 3  # the first ones are interpreted, then plans serve


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    if isinstance(a, list | tuple):  # torch makes named tuples of its own
        return (
            isinstance(a, list) == isinstance(b, list)
            and len(a) == len(b)
            and all(map(equal, a, b))
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def check(obj: Any, *inputs: tuple[Any, ...]) -> Any:
    archive = saved(obj)
    made = load(io.BytesIO(archive))
    theirs = torch.jit.load(io.BytesIO(archive))
    with torch.no_grad():
        for args in inputs:
            wanted = theirs(*args)
            for _ in range(CALLS):
                assert equal(wanted, made(*args))
    return made


def test_function_with_defaults() -> None:
    check(torch.jit.script(clipped), (torch.ones(3) * 50, 3.0, 5), (torch.ones(3), 2.0, 1))


def test_tagger() -> None:
    torch.manual_seed(0)
    made = check(Tagger().eval(), (torch.arange(12) % 5,), (torch.arange(4), 2))
    assert {n for n, _ in made.named_parameters()} == {n for n, _ in Tagger().named_parameters()}


def test_resnet() -> None:
    torch.manual_seed(0)
    made = check(ResNet().eval(), (torch.randn(2, 3, 32, 32),))
    assert not made.training
    assert made.stem.weight.requires_grad


@torch.no_grad()
def test_detector() -> None:
    torch.manual_seed(0)
    made = check(
        Detector(),
        (torch.randn(2, 4), Mode.FAST),
        (torch.randn(2, 4), Mode.EXACT, -10.0),
    )
    found, _, _ = made(torch.randn(2, 4), Mode.FAST, -10.0)
    assert type(found[0]) is Detection  # the class of this process, which is imported
    with pytest.raises(ValueError, match="expected two dims"):
        made(torch.randn(1, 2, 4), Mode.FAST)
    with pytest.raises(AssertionError, match="float only"):
        made.double()(torch.randn(2, 4).double(), Mode.FAST)


def test_traced() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)).eval()
    check(torch.jit.trace(model, torch.randn(3, 4)), (torch.randn(5, 4),))
