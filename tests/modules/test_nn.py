"""Every module of torch.nn that runs on CPU tensors, scripted from its unchanged source, against
eager: in train and eval mode, with the inputs of torch's own module database.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing._internal.common_modules import ModuleInfo, module_db

import jit

FEW, MANY = 1, 6  # inputs of each module and mode, spread over the database's
GRADIENTS = (nn.Linear, nn.Conv2d, nn.LSTM, nn.LayerNorm, nn.BatchNorm1d, nn.MultiheadAttention)

REFUSED = {
    nn.LinearCrossEntropyLoss: "keeps its chunk sizes in a table of Python objects",
}
"""Modules that cannot be scripted, and why."""

DOUBLE = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)  # whose samples are of that dtype

UNDECLARED = {nn.CTCLoss: "declares tensors for lengths; lists and tuples are given to eager only"}


def run(module: nn.Module, args: Any, kwargs: Any) -> list[Any]:
    torch.manual_seed(0)
    return [module(*args, **kwargs) for _ in range(3)]


def samples(info: ModuleInfo, training: bool, count: int) -> list[tuple[nn.Module, Any, Any]]:
    """Modules with the arguments of a call that eager answers."""
    torch.manual_seed(0)
    dtype = torch.float64 if info.module_cls in DOUBLE else torch.float32
    inputs = info.module_inputs_func(info, "cpu", dtype, False, training)
    inputs = [sample for sample in inputs if sample.forward_input is not None]
    found = []
    for sample in inputs[-1 :: -max(1, len(inputs) // count)]:
        made = sample.constructor_input
        module = info.module_cls(*made.args, **made.kwargs).train(training)
        args, kwargs = sample.forward_input.args, sample.forward_input.kwargs
        if info.module_cls in UNDECLARED:
            args = [torch.tensor(a) if isinstance(a, list | tuple) else a for a in args]
        found.append((module, args, kwargs))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("info", module_db, ids=lambda info: info.name)
def test_scripted_equals_eager(info: ModuleInfo, training: bool, count: int) -> None:
    if info.module_cls in REFUSED:
        pytest.skip(REFUSED[info.module_cls])
    for module, args, kwargs in samples(info, training, count):
        eager = copy.deepcopy(module)
        with torch.no_grad():
            expected = run(eager, args, kwargs)
            found = run(jit.script(module), args, kwargs)
        torch.testing.assert_close(found, expected, equal_nan=True, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", GRADIENTS, ids=lambda cls: cls.__name__)
def test_gradients_equal_eager(cls: type[nn.Module]) -> None:
    (info,) = (i for i in module_db if i.module_cls is cls)
    module, args, kwargs = samples(info, True, FEW)[0]
    eager = copy.deepcopy(module)
    scripted = jit.script(module)
    for each in (eager, scripted):
        torch.manual_seed(0)
        result = each(*args, **kwargs)
        first = result[0] if isinstance(result, tuple) else result
        first.square().sum().backward()
    for name, parameter in eager.named_parameters():
        found = scripted.get_parameter(name).grad
        torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-4)
    assert any(p.grad is not None for p in scripted.parameters())


@pytest.mark.parametrize("cls", REFUSED, ids=lambda cls: cls.__name__)
def test_refused_with_a_reason(cls: type[nn.Module]) -> None:
    (info,) = (i for i in module_db if i.module_cls is cls)
    module, _, _ = samples(info, True, FEW)[0]
    with pytest.raises(jit.CompileError) as caught:
        jit.script(module)
    assert "^" in str(caught.value)
