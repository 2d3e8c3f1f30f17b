"""Structured rows, and composites of them, as plans: against torch, over dtypes and layouts, with
constant and with symbolic sizes; types (sizes and strides) exactly as torch's.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import jit
from codegen.partition import Callback
from ir.op import TABLE, Lookup, Op, Structured
from ir.registry import lookup
from tests.calls import CALLS
from tests.ir.test_rows import called
from tests.native_ops import Specialization
from tests.samples import LAYOUTS, Case, Layout, cases

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}
REFUSALS = (RuntimeError, NotImplementedError, IndexError, ValueError, TypeError)


def test_every_row_has_calls() -> None:
    kinds = (Lookup, Structured)
    rows = {op.qualified.removeprefix("aten::") for op in TABLE if isinstance(op.rule, kinds)}
    assert rows <= set(CALLS)


@pytest.mark.parametrize("layout", LAYOUTS[:3], ids=lambda layout: layout.name)
@pytest.mark.parametrize("name", CALLS)
def test_row(name: str, layout: Layout) -> None:
    op = lookup(f"aten::{name}")
    for dtype in DTYPES:
        for case in cases(op, dtype, layout):
            is_native = layout.name == "contiguous" and dtype is not torch.bfloat16
            check(op, case, False, is_native)
            check(op, case, True, False)


def resized(image: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.interpolate(image, size=(9, 8), mode="bilinear")


def convolved(image: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(image, torch.ones(4, 4, 3, 3))


@pytest.mark.parametrize("function", [resized, convolved])
@pytest.mark.parametrize("is_split", [False, True])
def test_layouts_of_one_image(function: Any, is_split: bool) -> None:
    """Operators take it for channels-last by the strides of all dims, those of size 1 too."""

    def after(table: torch.Tensor) -> torch.Tensor:
        split = table.reshape(1, 7, 7, -1).permute(0, 3, 1, 2)
        return function(split if is_split else table.t().unsqueeze(0).reshape(1, 4, 7, 7)) + 1

    native = jit.jit(after)
    for _ in range(3):
        table = torch.randn(49, 4)
        found, wanted = native(table), after(table)
        torch.testing.assert_close(found, wanted)
        assert found.stride() == wanted.stride()
    assert jit.stats(native).native == 2


def test_signals_are_row_major_wherever_they_lie() -> None:
    def after(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv1d(x.transpose(1, 2), weight, padding=1).exp() * 2

    native = jit.jit(after)
    for rows in (1, 1, 3, 4):
        x, weight = torch.randn(rows, 9, 4), torch.randn(5, 4, 3)
        found, wanted = native(x, weight), after(x, weight)
        torch.testing.assert_close(found, wanted)
        assert found.stride() == wanted.stride()
    assert "apart" not in str(jit.explain(native)) and jit.stats(native).native == 3


@pytest.mark.parametrize("is_choice", [False, True])
@pytest.mark.parametrize("queries", [1, 4])
def test_queries_that_are_masked_from_every_key(queries: int, is_choice: bool) -> None:
    mask = torch.ones(2, 1, queries, 7, dtype=torch.bool)
    mask[0, :, 0], mask[1, :, :, 3:] = False, False
    given = mask if is_choice else torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    query, key = torch.randn(2, 3, queries, 8), torch.randn(2, 3, 7, 8)
    case = Case({"query": query, "key": key, "value": key, "attn_mask": given})
    for symbolic in (False, True):
        check(lookup("aten::scaled_dot_product_attention"), case, symbolic, not symbolic)


def check(op: Op, case: Case, symbolic: bool, is_native: bool) -> None:
    """The plan gives what torch gives, laid out as torch does."""
    wanted = called(op, case)
    if wanted is None or isinstance(wanted, str):
        return
    where = f"{op} {case}{' symbolic' if symbolic else ''}"
    specialization = Specialization(op, case, symbolic)
    native = specialization.compile()
    if is_native:
        items = [i for items in native.plan.prepared.items.values() for i in items]
        assert not any(isinstance(i, Callback) for i in items), f"{where}: called back"
    found = native(*specialization.tensors)
    for result, expected in zip(_flat(found), _flat(wanted), strict=True):
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape), where
        if result.numel():
            assert _steps(result) == _steps(expected), where
        tolerance = TOLERANCE.get(result.dtype, 0)
        assert torch.allclose(result, expected, tolerance, 8 * tolerance, equal_nan=True), where


def _flat(result: Any) -> list[torch.Tensor]:
    return list(result) if isinstance(result, tuple | list) else [result]


def _steps(x: torch.Tensor) -> list[int]:
    """Strides where they matter."""
    return [s for s, n in zip(x.stride(), x.shape, strict=True) if n > 1]
