"""Attention as one operator, called and written out: sizes around every vector and block, masks,
layouts; at least as accurate as torch's up to a factor, nothing read or written beyond operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import jit
from codegen.attention import fuse as attention
from codegen.attention.attend import ATTEND, spell_out
from codegen.attention.units import KEYS, Form
from codegen.engine import compile_object
from codegen.products import gemm
from codegen.target import Target, describe, host
from ir import TENSOR, Builder, Graph, Interpreter, dtypes

# batch, queries, keys, features, width of the values
SIZES: list[tuple[tuple[int, ...], int, int, int, int]] = [
    ((2, 3), 40, 40, 64, 64),
    ((1, 2), 16, KEYS + 1, 32, 32),
    ((2,), 33, 2 * KEYS + 7, 24, 40),
    ((), 17, 9, 5, 7),
    ((3, 1), 8, 8, 256, 33),
]
CALLED = [s for s in SIZES if len(s[0]) == 2 and s[3] == s[4]]  # others: `ir.ops.attention`


@pytest.fixture(autouse=True)
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MEASURED", {host().cpu})


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-2, -1) / 3.0, -1) @ v


def masked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax(mask + 0.125 * (q @ k.mT), dim=-1) @ v


def unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.softmax(torch.matmul(q, k.transpose(-1, -2)), -1).matmul(v)


def called(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def called_with_mask(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, mask, scale=0.3)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def fused(f: Callable[..., Tensor], *args: Tensor, count: int = 1) -> Tensor:
    """The result of the plan, in which there are so many attentions."""
    compiled = jit.jit(f)
    for _ in range(3):
        found = compiled(*args)
    kernels = str(jit.explain(compiled)).count("call (attend")
    assert kernels == count
    assert jit.stats(compiled).native == 2
    return found


def operands(size: tuple[Any, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    batch, queries, keys, features, width = size
    shapes = ((queries, features), (keys, features), (keys, width))
    q, k, v = (torch.randn(*batch, *s, dtype=dtype) for s in shapes)
    return q, k, v


def check(f: Callable[..., Tensor], *args: Tensor) -> None:
    """Against float64: with an error of no more than three times torch's, beyond what scores of
    that many features are rounded by.
    """
    exact = f(*(x.double() if x.is_floating_point() else x for x in args))
    found, eager = fused(f, *args), f(*args)
    assert (found.shape, found.dtype, found.stride()) == (eager.shape, eager.dtype, eager.stride())
    assert torch.equal(found.isnan(), eager.isnan())
    rounding = torch.finfo(found.dtype).eps * math.sqrt(args[0].shape[-1])
    errors = [(x.double() - exact).nan_to_num(0).pow(2).mean().sqrt() for x in (found, eager)]
    assert errors[0] <= 3 * errors[1] + rounding


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_written_out(size: tuple[Any, ...], dtype: torch.dtype) -> None:
    given = operands(size, dtype)
    check(plain, *given)
    check(unscaled, *given)
    check(masked, *given, torch.randn(*size[0], size[1], size[2], dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", CALLED, ids=str)
def test_called(size: tuple[Any, ...], dtype: torch.dtype) -> None:
    given = operands(size, dtype)
    check(called, *given)
    check(causal, *given)
    check(called_with_mask, *given, torch.randn(size[1], size[2], dtype=dtype))


@pytest.mark.parametrize("heads", [(6, 2), (6, 1), (4, 4)])
def test_heads_in_groups(heads: tuple[int, int]) -> None:
    def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    def with_mask(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)

    (q, _, _), (_, k, v) = (operands(((2, n), 20, 35, 16, 16), torch.float32) for n in heads)
    check(grouped, q, k, v)
    check(with_mask, q, k, v, torch.randn(2, heads[0], 20, 35))
    check(grouped, *(x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)))


def test_causal_with_more_or_fewer_keys_than_queries() -> None:
    for queries, keys in ((40, 17), (17, 40), (300, 300), (2 * KEYS, 2 * KEYS)):
        check(causal, *operands(((1, 2), queries, keys, 16, 16), torch.float32))


@pytest.mark.parametrize("dims", [(3, 2, 20, 50), (3, 1, 20, 50), (1, 1, 1, 50), (20, 50), (50,)])
def test_masks_are_repeated(dims: tuple[int, ...]) -> None:
    given = operands(((3, 2), 20, 50, 16, 16), torch.float32)
    check(masked, *given, torch.randn(dims))
    if len(dims) > 1:
        check(called_with_mask, *given, torch.rand(dims) < 0.7)


def test_queries_without_keys_give_what_torch_gives() -> None:
    given = operands(((1, 1), 20, KEYS + 9, 16, 16), torch.float32)
    mask = torch.zeros(20, KEYS + 9)
    mask[3] = -math.inf  # no key at all
    mask[5, :KEYS] = -math.inf  # none in the first block
    for f in (masked, called_with_mask):
        check(f, *given, mask)
    assert fused(masked, *given, mask)[0, 0, 3].isnan().all()
    assert (fused(called_with_mask, *given, mask)[0, 0, 3] == 0).all()


def test_what_is_no_number_stays_in_its_query() -> None:
    for value in (math.nan, math.inf, -math.inf):
        q, k, v = operands(((2,), 20, 30, 16, 16), torch.float32)
        q[1, 7, 3] = value
        assert torch.allclose(fused(plain, q, k, v), plain(q, k, v), 1e-4, 1e-5, equal_nan=True)


def test_layouts() -> None:
    q, k, v = torch.randn(2, 40, 3, 4, 16).permute(2, 0, 3, 1, 4)
    check(called, q, k, v)
    check(plain, q, k, v)
    columns = [x.mT.contiguous().mT for x in (q, k, v)]
    assert torch.allclose(fused(plain, *columns), plain(q, k, v), 1e-5, 1e-6)


def test_sizes_that_vary_need_no_new_plan() -> None:
    compiled = jit.jit(plain)
    for length in (20, 31, 8, 257, 600, 1, 64):
        given = operands(((1, 2), length, length + 3, 16, 16), torch.float32)
        assert torch.allclose(compiled(*given), plain(*given), 1e-5, 1e-6)
    assert jit.stats(compiled).compilations <= 3


def test_threads_do_not_change_results() -> None:
    count = torch.get_num_threads()
    given = operands(((2, 3), 200, 150, 32, 32), torch.float32)
    try:
        torch.set_num_threads(1)
        alone = fused(called, *given)
        torch.set_num_threads(2)
        assert torch.equal(fused(called, *given), alone)
    finally:
        torch.set_num_threads(count)


def test_scores_with_other_readers_are_left_alone() -> None:
    def weights_too(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(q @ k.mT, -1)
        return weights @ v, weights

    def along_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.softmax(q @ k.mT, -2) @ v

    given = operands(((), 20, 20, 16, 16), torch.float32)
    for f in (weights_too, along_queries):
        compiled = jit.jit(f)
        for _ in range(3):
            found = compiled(*given)
        assert "attend" not in str(jit.explain(compiled))
        for x, y in zip(found, f(*given), strict=True):
            assert torch.allclose(x, y, 1e-5, 1e-6)


MACHINES = [
    describe("x86_64-unknown-linux-gnu", "x86-64"),
    describe("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma"),
    describe("aarch64-unknown-linux-gnu", "neoverse-n1"),
]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.cpu)
@pytest.mark.parametrize("mask", ["none", "added", "causal"])
def test_other_machines(machine: Target, mask: str) -> None:
    for dtype in (dtypes.float32, dtypes.float64):
        name = Form(dtype, 2, mask == "added", mask == "causal", True).symbol
        module = gemm.module_of(name, machine)
        assert [f.name for f in module.functions if not f.is_declaration] == [name]
        assert compile_object(str(module), machine)


@pytest.mark.parametrize("is_safe", [False, True])
@pytest.mark.parametrize("is_masked", [False, True])
def test_what_is_called_back_is_torchs(is_masked: bool, is_safe: bool) -> None:
    graph = Graph("part")
    b = Builder(graph.block)
    operands = [graph.block.add_param(TENSOR) for _ in range(4)]
    mask = operands[3] if is_masked else b.const(None)
    constants = [b.const(x) for x in (0.5, False, is_safe, False)]
    made = b.node(ATTEND, [*operands[:3], mask, *constants], [TENSOR])
    graph.block.set_returns(made.outputs)
    spell_out(graph)
    q, k, v, mask = *(torch.randn(2, 3, n, 8) for n in (4, 7, 7)), torch.randn(4, 7)
    found = Interpreter(graph).run(q, k, v, mask)
    given = mask if is_masked else None
    wanted = F.scaled_dot_product_attention(q, k, v, given, scale=0.5)
    torch.testing.assert_close(found, wanted)
