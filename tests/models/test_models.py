"""Whole models, unchanged: what `jit.jit` compiles of each is as close to float64 as eager is,
over sizes that were not seen before; few compilations, and what they leave to Python is named.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jit
from jit.modules.compiled_module import Forward
from tests.models.zoo import MODELS

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

FACTOR = 3.0  # our error against float64, in eager's
ROUNDING = 16 * 2.0**-23  # of the largest element: what is as good as exact
SIZES = ((2, 9), (2, 9), (3, 12), (1, 7), (4, 10))
MAX_COMPILATIONS = 3
FAST = ("BERT, masked", "GPT-2, with a cache", "ViT", "ResNet")


def build(name: str, layers: int) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    model, inputs = MODELS[name](transformers, layers)
    return model.eval(), inputs


def tensors(result: Any) -> Iterator[Tensor]:
    """The tensors of a result, those of a cache aside."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, dict):
        for value in result.values():
            yield from tensors(value)
    elif isinstance(result, tuple | list):
        for value in result:
            yield from tensors(value)


def forwards(forward: Forward) -> Iterator[Forward]:
    """The compiled forward of a model, and what was compiled in its place."""
    yield forward
    for part in forward.parts.values():
        yield from forwards(part)


def double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def assert_close_to_exact(found: Any, eager: Any, exact: Any) -> None:
    assert type(found) is type(eager)
    triples = list(zip(tensors(found), tensors(eager), tensors(exact), strict=True))
    assert triples
    for ours, usual, wanted in triples:
        assert ours.shape == usual.shape and ours.dtype == usual.dtype
        error, reference = ((x.double() - wanted).abs().max().item() for x in (ours, usual))
        rounding = ROUNDING * max(1.0, wanted.abs().max().item())
        assert error <= max(FACTOR * reference, rounding), (error, reference)


def check(name: str, layers: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> None:
    model, inputs = build(name, layers)
    exact = copy.deepcopy(model).double()
    compiled = jit.jit(model)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", jit.JitWarning)  # parts are compiled where a whole is not
        for size in sizes:
            given = inputs(*size)
            wanted = exact(**{key: double(value) for key, value in given.items()})
            assert_close_to_exact(compiled(**given), model(**given), wanted)
    made = [jit.stats(forward) for forward in forwards(type(compiled)._jit_forward)]
    assert sum(stats.native for stats in made) >= len(sizes) - 2
    assert max(stats.compilations for stats in made) <= MAX_COMPILATIONS
    assert "compiler error" not in {reason for stats in made for reason in stats.bailouts}


@pytest.mark.parametrize("name", FAST)
def test_models_are_compiled(name: str) -> None:
    check(name, layers=1)


def test_generation_with_an_assigned_forward() -> None:
    """Caches that grow need no compilation for each step."""
    eager, _ = build("GPT-2, with a cache", 1)
    compiled = copy.deepcopy(eager)
    compiled.forward = jit.jit(compiled.forward)
    prompt = torch.randint(3, 60, (2, 5), generator=torch.Generator().manual_seed(0))
    options = {"max_new_tokens": 9, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", jit.JitWarning)
        for _ in range(2):
            found, wanted = (m.generate(prompt, **options) for m in (compiled, eager))
            assert torch.equal(found, wanted)
    made = [jit.stats(forward) for forward in forwards(compiled.forward)]
    assert max(stats.native for stats in made) >= 16
    assert max(stats.compilations for stats in made) <= MAX_COMPILATIONS


@pytest.mark.sweep
@pytest.mark.parametrize("name", sorted(MODELS.keys() - set(FAST)))
def test_more_models_are_compiled(name: str) -> None:
    check(name, layers=1)


@pytest.mark.sweep
@pytest.mark.parametrize("name", MODELS)
def test_deeper_models_over_many_sizes(name: str) -> None:
    check(name, 2, (*SIZES, *((b, n) for b in (1, 2, 5) for n in (4, 8, 16, 31))))
