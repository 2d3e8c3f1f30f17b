"""Inputs of traces in archives."""

from __future__ import annotations

import copy
import io
import zipfile

import pytest
import torch
from torch import Tensor

import jit
from jit.archive.inspect import TensorInfo


class Two(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)

    def forward(self, x: Tensor, more: dict[str, Tensor], times: Tensor) -> Tensor:
        return self.layer(x) * times + more["a"]

    def other(self, x: Tensor) -> Tensor:
        return x + 1


INPUTS = (torch.ones(1, 2), {"a": torch.ones(3)}, torch.tensor(2))
pytestmark = pytest.mark.filterwarnings("ignore")


def opened(data: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(data))


def test_inputs_of_a_trace_are_told() -> None:
    data = jit.trace(Two(), INPUTS).save_to_buffer()
    first, second, third = jit.inspect(io.BytesIO(data)).traced_inputs["forward"]
    assert isinstance(first, TensorInfo) and first.sizes == (1, 2)
    assert second["a"].sizes == (3,) and third.dtype == "Long" and third.device == "cpu"
    assert opened(data).getinfo("archive/traced_inputs/0").file_size == 0


def test_inputs_are_kept_over_a_cycle() -> None:
    inputs = {"forward": INPUTS, "other": torch.ones(4)[1:]}
    data = jit.trace_module(Two(), inputs).save_to_buffer()
    assert jit.load(io.BytesIO(data)).save_to_buffer() == data
    assert set(jit.inspect(io.BytesIO(data)).traced_inputs) == {"forward", "other"}
    theirs = io.BytesIO()
    torch.jit.save(torch.jit.trace(Two(), INPUTS), theirs)
    again = jit.load(io.BytesIO(theirs.getvalue())).save_to_buffer()
    assert jit.inspect(io.BytesIO(again)).traced_inputs["forward"][0].sizes == (1, 2)


def test_copies_of_a_trace_are_saved_alike() -> None:
    made = jit.trace(Two(), INPUTS)
    assert copy.deepcopy(made).save_to_buffer() == made.save_to_buffer()


def test_inputs_are_not_stored_when_not_wanted() -> None:
    data = jit.trace(Two(), INPUTS, _store_inputs=False).save_to_buffer()
    assert jit.inspect(io.BytesIO(data)).traced_inputs is None
    torch.jit.load(io.BytesIO(data))(*INPUTS)
