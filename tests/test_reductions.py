"""Reductions of reductions, rows of many elements and of one in the same computation, long rows
that are run through several times, extrema of NaN, and the elements that targets name.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

import jit


def products(x: torch.Tensor) -> torch.Tensor:
    h = x.t() @ x
    return torch.tanh(h @ x[0].unsqueeze(1) @ x[0].unsqueeze(0))


def scalars(x: torch.Tensor) -> torch.Tensor:
    return (x.sum() * 2).sum() + x.sum()


def largest(x: torch.Tensor) -> torch.Tensor:
    return (x.sum() * 2).amax() + x.mean(0, keepdim=True).amax(0)


def kept(x: torch.Tensor) -> torch.Tensor:
    total = x.sum(1, keepdim=True)
    return torch.exp(-(total * 2).square().sum(1, keepdim=True)) + x


@pytest.mark.parametrize("function", [products, scalars, largest, kept], ids=lambda f: f.__name__)
@pytest.mark.parametrize("step", [1, 2], ids=["dense", "strided"])
def test_rows_of_one_element(function: Callable[[torch.Tensor], torch.Tensor], step: int) -> None:
    native = jit.jit(function)
    x = torch.randn(5, 4 * step, generator=torch.Generator().manual_seed(1))[:, ::step]
    for _ in range(3):
        torch.testing.assert_close(native(x), function(x), rtol=1e-5, atol=1e-5)
    assert jit.stats(native).native == 2


def softmax(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x, -1)


def spread(x: torch.Tensor) -> torch.Tensor:
    return x.std(-1)


@pytest.mark.parametrize("function", [softmax, spread], ids=lambda f: f.__name__)
@pytest.mark.parametrize("columns", [600, 5000], ids=["short", "long"])
def test_rows_that_fetch_the_next(
    function: Callable[[torch.Tensor], torch.Tensor], columns: int
) -> None:
    """The last row fetches what is behind the tensor, and a later one has other sizes."""
    native = jit.jit(function)
    for rows in (64, 64, 7, 33):
        x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
        torch.testing.assert_close(native(x), function(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("at", [None, 0, 70, 134])
def test_extrema_of_nan(dtype: torch.dtype, at: int | None) -> None:
    """NaN wins wherever it is in a row, infinities do not make it."""

    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.amax(1), x.amin(1)

    native = jit.jit(both)
    x = torch.randn(4, 135, generator=torch.Generator().manual_seed(2)).to(dtype)
    x[1, 3], x[1, 99] = float("inf"), float("-inf")
    if at is not None:
        x[2, at] = float("nan")
    for _ in range(3):
        for got, expected in zip(native(x), both(x), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


def stored(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(x.view(-1, x.shape[-1]), target)


def called(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.nll_loss(x @ x.t() @ x, target, reduction="sum")


def computed(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(torch.tanh(x) * 4, target, reduction="none")


@pytest.mark.parametrize("function", [stored, called, computed], ids=lambda f: f.__name__)
def test_targets(function: Callable[..., torch.Tensor]) -> None:
    """Scores in memory and scores on the way; ignored rows; a target that names no class."""
    native = jit.jit(function)
    for rows in (6, 6, 6, 9):
        generator = torch.Generator().manual_seed(rows)
        x = torch.randn(rows, 11, generator=generator)
        target = torch.randint(0, 11, (rows,), generator=generator)
        target[1] = -100
        torch.testing.assert_close(native(x, target), function(x, target), rtol=1e-5, atol=1e-5)
    for wrong in (-1, 11):
        target[2] = wrong
        with pytest.raises(IndexError, match="out of bounds"):
            native(x, target)


def similar(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(x, y, dim=-1)


def test_cosine_similarity() -> None:
    """Also of nothing; what is broadcast has other norms, so that is called back."""
    native, x, y = jit.jit(similar), torch.randn(4, 70), torch.randn(4, 70)
    x[1] = 0
    for columns in (70, 70, 70, 50, 1):
        a, b = x[:, :columns], y[:, :50] if columns == 1 else y[:, :columns]
        torch.testing.assert_close(native(a, b), similar(a, b), rtol=1e-5, atol=1e-6)
    assert jit.stats(native).native >= 3


TURNED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda x: torch.softmax(x.transpose(-1, -2), -1),
    "log_softmax": lambda x: torch.log_softmax(x.transpose(-1, -2), -1) * 2,
    "layer_norm": lambda x: F.layer_norm(x.transpose(-1, -2), (x.size(-2),)),
    "rms_norm": lambda x: F.rms_norm(x.transpose(-1, -2), (x.size(-2),)),
    "copied": lambda x: ((x - x.mean(1, keepdim=True)) / x.std()).transpose(-1, -2).contiguous(),
}


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [(40, 70), (3, 33, 17), (2, 1, 5)], ids=str)
def test_rows_across_memory(name: str, dtype: torch.dtype, size: tuple[int, ...]) -> None:
    """Rows whose elements are far apart, in results whose rows are not."""
    function = TURNED[name]
    native = jit.jit(function)
    x = torch.randn(size, generator=torch.Generator().manual_seed(3)).to(dtype)
    for _ in range(3):
        got, expected = native(x), function(x)
        torch.testing.assert_close(
            got,
            expected,
            rtol=1.6e-2 if dtype is torch.bfloat16 else 1e-5,
            atol=1e-2 if dtype is torch.bfloat16 else 1e-5,
        )
        assert got.stride() == expected.stride()


LOSSES = [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_are_native(loss: Callable[..., torch.Tensor], reduction: str) -> None:
    native = jit.jit(lambda x, y: loss(x, y, reduction=reduction))
    x, y = torch.randn(7, 33), torch.randn(7, 33)
    for _ in range(3):
        torch.testing.assert_close(native(x, y), loss(x, y, reduction=reduction))
    assert "called back" not in str(jit.explain(native))


def stretched(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> list[torch.Tensor]:
    a, b, c = torch.broadcast_tensors(x, y, z)
    return [a * b + c, a]


@pytest.mark.parametrize(
    "sizes",
    [
        ((3, 4), (4,), (3, 1)),
        ((3, 1), (1, 4), ()),
        ((4,), (3, 4), (3, 4)),
        ((2, 1, 4), (1,), (3, 1)),
    ],
)
def test_broadcast_tensors(sizes: tuple[tuple[int, ...], ...]) -> None:
    native = jit.jit(stretched)
    tensors = [torch.randn(size) for size in sizes]
    for _ in range(3):
        got, expected = native(*tensors), stretched(*tensors)
        torch.testing.assert_close(got, expected)
        assert got[1].stride() == expected[1].stride()
        assert (got[1] is tensors[0]) == (expected[1] is tensors[0])
    assert "called back" not in str(jit.explain(native))
    with pytest.raises(RuntimeError, match="must match"):
        native(torch.randn(3), torch.randn(4), tensors[2])


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str
)
def test_rms_norm_of_small_values(dtype: torch.dtype) -> None:
    """Without eps, what keeps it from dividing by nothing is that of the dtype it computes in."""
    native = jit.jit(lambda x, w: F.rms_norm(x, (24,), w))
    x, w = torch.randn(5, 24).to(dtype) * 1e-4, torch.randn(24).to(dtype)
    for _ in range(3):
        torch.testing.assert_close(native(x, w), F.rms_norm(x, (24,), w))
    assert "called back" not in str(jit.explain(native))


def test_what_a_loop_carries_and_a_reduction_of_it() -> None:
    def choices(weight: torch.Tensor, bias: torch.Tensor, count: int) -> list[int]:
        state, found = torch.zeros(weight.size(0)), []
        for _ in range(count):
            state = torch.tanh(weight @ state + bias)
            best = int(state.argmax())
            found.append(best)
            state[best] = -1.0
        return found

    compiled, generator = jit.jit(choices), torch.Generator().manual_seed(0)
    for _ in range(4):
        given = torch.randn(16, 16, generator=generator), torch.randn(16, generator=generator), 6
        assert compiled(*given) == choices(*given)
    assert jit.stats(compiled).native == 3


@pytest.mark.parametrize("columns", [1, 7, 16, 40, 64, 130, 1000])
def test_truth_of_rows(columns: int) -> None:
    """One element decides, wherever it is."""

    def truths(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (x > 0).any(-1), (x < 1).all(-1), (x > 0).any(0), (x == 5).any(), (x < 6).all()

    native = jit.jit(truths)
    for place in (0, columns // 2, columns - 1):
        x = torch.zeros(3, columns)
        x[1, place] = 5.0
        for _ in range(2):
            for got, expected in zip(native(x), truths(x), strict=True):
                assert torch.equal(got, expected)


@pytest.mark.parametrize("columns", [3, 40, 200, 520, 1000])
@pytest.mark.parametrize("rows", [1, 9, 70])
def test_columns(rows: int, columns: int) -> None:
    def down(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.sum(0), x.var(0, correction=0), x.argmax(0), x.amin(0), x.cumsum(0)

    native = jit.jit(down)
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
    for _ in range(3):
        for got, expected in zip(native(x), down(x), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [(0, 5), (1, 5), (5, 0), (9, 40), (3, 20, 33)], ids=str)
def test_prefixes_down_columns(dtype: torch.dtype, size: tuple[int, ...]) -> None:
    native = jit.jit(lambda x: (x.cumsum(0), x.cumsum(-2)))
    x = (torch.rand(size, generator=torch.Generator().manual_seed(4)) * 4).to(dtype)
    for y in (x, x.transpose(0, -1).contiguous().transpose(0, -1)):
        for _ in range(3):
            expected = y.cumsum(0), y.cumsum(-2)
            torch.testing.assert_close(native(y), expected, rtol=2e-2, atol=1e-2)


def down(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return x.sum(-2), x.amax(-2), (x != 3).all(-2)


@pytest.mark.parametrize("rows", [15, 16, 21, 1027], ids=str)
@pytest.mark.parametrize("columns", [1, 3, 8, 33, 70], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.bfloat16])
def test_few_columns(rows: int, columns: int, dtype: torch.dtype) -> None:
    """Rows that are combined side by side, and what is left of them."""
    generator = torch.Generator().manual_seed(rows)
    x = torch.randint(-3, 4, (2, rows, columns), generator=generator).to(dtype)
    native = jit.jit(down)
    for _ in range(3):
        torch.testing.assert_close(native(x), down(x))
    assert jit.stats(native).native == 2


@pytest.mark.parametrize("columns", [2, 9, 10, 31, 32, 40], ids=str)
def test_positions_in_short_rows(columns: int) -> None:
    x = torch.randint(-3, 4, (67, columns), generator=torch.Generator().manual_seed(columns))
    native = jit.jit(lambda x: (x.argmax(-1), x.float().min(-1)[1]))
    for _ in range(3):
        torch.testing.assert_close(native(x), (x.argmax(-1), x.float().min(-1)[1]))
