"""Every module of torch.nn: scripted and saved, loaded by torch and by Relume, saved again."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing._internal.common_modules import ModuleInfo, module_db

import jit
from tests.modules.test_nn import FEW, MANY, REFUSED, samples

UNSAVED = {
    info.module_cls: "has no sizes before its first call"
    for info in module_db
    if issubclass(info.module_cls, nn.modules.lazy.LazyModuleMixin)
}
"""Modules that can be scripted, but not saved, and why."""

OURS = {nn.GaussianNLLLoss: "zips sizes with strict lengths, which is Python's own"}
"""Modules that torch does not load, and why."""

pytestmark = pytest.mark.filterwarnings("ignore")


def load_both(data: bytes) -> tuple[Any, Any]:
    return torch.jit.load(io.BytesIO(data)), jit.load(io.BytesIO(data))


def run(module: Any, args: Any, kwargs: Any) -> Any:
    torch.manual_seed(0)
    return module(*args, **kwargs)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("info", module_db, ids=lambda info: info.name)
def test_saved_equals_eager(info: ModuleInfo, training: bool, count: int) -> None:
    reason = REFUSED.get(info.module_cls) or UNSAVED.get(info.module_cls)
    if reason is not None:
        pytest.skip(reason)
    for module, args, kwargs in samples(info, training, count):
        data = jit.script(copy.deepcopy(module)).save_to_buffer()
        with torch.no_grad():
            expected = run(module, args, kwargs)
            only = info.module_cls in OURS
            for loaded in [jit.load(io.BytesIO(data))] if only else load_both(data):
                found = run(loaded, args, kwargs)
                torch.testing.assert_close(found, expected, equal_nan=True, atol=1e-5, rtol=1e-4)
        assert jit.load(io.BytesIO(data)).save_to_buffer() == data


@pytest.mark.parametrize("cls", UNSAVED, ids=lambda cls: cls.__name__)
def test_unsaved_with_a_reason(cls: type[nn.Module]) -> None:
    (info,) = (i for i in module_db if i.module_cls is cls)
    module, _, _ = samples(info, True, FEW)[0]
    with pytest.raises(jit.CompileError):
        jit.script(module).save_to_buffer()


@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda cls: cls.__name__)
def test_loaded_recurrent_modules_train(cls: type[nn.RNNBase]) -> None:
    module = cls(3, 4)
    loaded = jit.load(io.BytesIO(jit.script(module).save_to_buffer()))
    x = torch.rand(5, 2, 3)
    for each in (module, loaded):
        each(x)[0].square().sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(loaded.get_parameter(name).grad, parameter.grad)


@pytest.mark.parametrize("info", module_db, ids=lambda info: info.name)
def test_archives_of_torch_go_back(info: ModuleInfo) -> None:
    (module, args, kwargs), *_ = samples(info, False, FEW)
    file = io.BytesIO()
    try:
        torch.jit.save(torch.jit.script(copy.deepcopy(module)), file)
    except Exception as error:  # noqa: BLE001  torch has no exception of its own for this
        pytest.skip(f"torch does not script it: {error!s:.80}")
    theirs, ours = load_both(file.getvalue())
    name = "forward" if hasattr(theirs, "forward") else "forward__0"  # of overloads
    data = ours.save_to_buffer()
    with torch.no_grad():
        expected = run(getattr(theirs, name), args, kwargs)
        for loaded in (ours, *load_both(data)):
            found = run(getattr(loaded, name), args, kwargs)
            torch.testing.assert_close(found, expected, equal_nan=True, atol=1e-5, rtol=1e-4)
    assert jit.load(io.BytesIO(data)).save_to_buffer() == data


TRACED = [
    (nn.LSTM(3, 4), (5, 2, 3)),
    (nn.MultiheadAttention(4, 2), (5, 2, 4), (5, 2, 4), (5, 2, 4)),
    (nn.TransformerEncoderLayer(4, 2, 8), (5, 2, 4)),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), (2, 3, 8, 8)),
]


@pytest.mark.parametrize(("module", "sizes"), [(m, s) for m, *s in TRACED])
def test_traces_equal_eager(module: nn.Module, sizes: list[tuple[int, ...]]) -> None:
    module = copy.deepcopy(module).eval()
    inputs = tuple(map(torch.rand, sizes))
    with torch.no_grad():
        data = jit.trace(module, inputs).save_to_buffer()
        expected = module(*inputs)
        for loaded in load_both(data):
            torch.testing.assert_close(loaded(*inputs), expected)
    assert jit.load(io.BytesIO(data)).save_to_buffer() == data
