"""Matrix products as plans, generated and by BLAS: every layout and every remainder of the tiles,
at least as accurate as torch's, nothing read or written beyond the operands.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import mmap
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from codegen import generated
from codegen.engine import compile_object
from codegen.products import form as product_form
from codegen.products import gemm, multiply
from codegen.products.form import TALLEST, Form, height, is_swapped_cheaper
from codegen.products.microkernel import DEPTH
from codegen.target import Target, describe, host
from ir import dtypes, lookup
from tests.native_ops import Specialization
from tests.samples import Case

DTYPES = (torch.float32, torch.float64)
SIZES = [(8, 16, 16), (9, DEPTH, 17), (13, 2 * DEPTH + 1, 33), (17, DEPTH + 1, 18)]
SIZES += [
    (33, 300, 150),
    (1100, 3, 5),
    (16, DEPTH + 1, 33),
    (47, 2 * DEPTH + 5, 77),
    (144, 90, 300),
]
NO_ACCESS = 0
EMPTY = [(0, 5, 6), (6, 0, 7), (7, 5, 0)]


@pytest.fixture(params=["generated", "blas"], autouse=True)
def who(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who computes the products of a test."""
    machines = {host().cpu} if request.param == "generated" else set()
    monkeypatch.setattr(multiply, "MEASURED", machines)
    monkeypatch.setattr(multiply, "SMALL", 0)
    return str(request.param)


def multiplied(x: Tensor, y: Tensor, symbolic: bool = False) -> Tensor:
    specialization = Specialization(lookup("aten::matmul"), Case({"self": x, "other": y}), symbolic)
    result: Tensor = specialization.compile()(*specialization.tensors)
    return result


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same matrices: row-major, column-major, or with room between rows."""
    if layout == "rows":
        return x.contiguous()
    if layout == "columns":
        return x.mT.contiguous().mT
    return torch.nn.functional.pad(x, (1, 2))[..., 1:-2]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).pow(2).mean().sqrt())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layouts", [*itertools.product(("rows", "columns", "slice"), repeat=2)])
def test_layouts(layouts: tuple[str, str], dtype: torch.dtype) -> None:
    for m, k, n in SIZES:
        x, y = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
        x, y = laid_out(x, layouts[0]), laid_out(y, layouts[1])
        found = multiplied(x, y, symbolic=m % 2 == 1)
        exact = x.double() @ y.double()
        rounding = torch.finfo(dtype).eps * math.sqrt(k) * 6
        assert found.shape == (m, n)
        assert torch.allclose(found.double(), exact, rounding, 4 * rounding)


@pytest.mark.parametrize("sizes", EMPTY)
def test_nothing_to_do(sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    assert torch.equal(multiplied(torch.randn(m, k), torch.randn(k, n)), torch.zeros(m, n))


@pytest.mark.parametrize("batches", [((3,), (3,)), ((2, 1), (3,)), ((2, 3), (1, 1)), ((), (4,))])
def test_batches(batches: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    for layouts in itertools.product(("rows", "columns"), repeat=2):
        for m, k, n in ((9, 20, 37), (32, 160, 140)):
            x, y = torch.randn(*batches[0], m, k), torch.randn(*batches[1], k, n)
            x, y = laid_out(x, layouts[0]), laid_out(y, layouts[1])
            assert torch.allclose(multiplied(x, y), x @ y, 1e-5, 1e-5 * math.sqrt(k))


@pytest.mark.parametrize("is_transposed", [False, True])
def test_long_sums_lose_no_more_than_torch(who: str, is_transposed: bool) -> None:
    torch.manual_seed(0)
    for k in (300, 3000):
        x, y = torch.randn(40, k), torch.randn(k, 200)
        y = laid_out(y, "columns" if is_transposed else "rows")
        exact = x.double() @ y.double()
        assert error(multiplied(x, y), exact) <= 1.2 * error(x @ y, exact)


def test_what_is_no_number_stays_in_its_row_and_column() -> None:
    for m, k, n in ((9, 20, 35), (17, 150, 16), (31, 150, 60)):
        for value in (math.nan, math.inf, -math.inf):
            for layout in ("rows", "columns"):
                x, y = torch.randn(m, k), laid_out(torch.randn(k, n), layout)
                x[m - 1, k - 1] = value
                y[0, n - 1] = value
                assert torch.allclose(multiplied(x, y), x @ y, 1e-4, 1e-4, equal_nan=True)


@pytest.fixture
def at_edge() -> Iterator[Callable[[Tensor], Tensor]]:
    """Copies of tensors that end where memory ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    areas = []

    def copy(x: Tensor) -> Tensor:
        size = x.numel() * x.itemsize
        room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        area = mmap.mmap(-1, room + mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        areas.append((area, start + room))
        assert libc.mprotect(ctypes.c_void_p(start + room), mmap.PAGESIZE, NO_ACCESS) == 0
        made = torch.frombuffer(area, dtype=x.dtype, count=x.numel(), offset=room - size)
        return made.view_as(x).copy_(x)

    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    yield copy
    for _, end in areas:
        libc.mprotect(end, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_may_end_where_memory_ends(
    at_edge: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    for m, k, n in (
        (5, 7, 6),
        (8, 130, 33),
        (9, 20, 16),
        (8, 20, 16),
        (20, 130, 35),
        (31, 270, 61),
    ):
        x, y = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
        for left in (at_edge(x), at_edge(x.t().contiguous()).t()):
            for right in (at_edge(y), at_edge(y.t().contiguous()).t()):
                assert torch.allclose(multiplied(left, right), x @ y, 1e-4, 1e-4)


def test_threads_do_not_change_results() -> None:
    count = torch.get_num_threads()
    try:
        for layout in ("rows", "columns"):
            x, y = torch.randn(300, 130), laid_out(torch.randn(130, 700), layout)
            torch.set_num_threads(1)
            alone = multiplied(x, y)
            torch.set_num_threads(2)
            assert torch.allclose(multiplied(x, y), alone, 1e-5, 1e-5)
    finally:
        torch.set_num_threads(count)


MACHINES = [
    describe("x86_64-unknown-linux-gnu", "x86-64"),
    describe("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma"),
    describe("aarch64-unknown-linux-gnu", "neoverse-n1"),
]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.cpu)
def test_other_machines(who: str, machine: Target) -> None:
    form = Form(dtypes.float32, TALLEST, False, True, 1)
    few = Form(dtypes.float32, 3, False, True, 1, has_dots=True)
    columns = [Form(d, h, is_c_transposed=True) for d in product_form.DTYPES for h in (TALLEST, 5)]
    names = (form.symbol, form.tile, form.pack, few.symbol, few.tile)
    for name in (*names, *(c.symbol for c in columns), *(c.tile for c in columns)):
        assert generated.is_generated(name)
        module = gemm.module_of(name, machine)
        defined = [f.name for f in module.functions if not f.is_declaration]
        assert defined == [name]
        assert compile_object(str(module), machine)


def test_tiles_leave_few_rows_over() -> None:
    assert [height(rows) for rows in (0, 1, 7, 8, 9, 16, 17, 64)] == [1, 1, 7, 8, 5, 8, 6, 8]


@pytest.mark.parametrize(
    ("sizes", "is_swapped"),
    [((128, 768, 768), True), ((16, 256, 1024), True), ((47, 2 * DEPTH + 5, 77), True),
     ((9, 256, 1024), False), ((128, 64, 128), False), ((33, 300, 150), False)],
)  # fmt: skip
def test_large_weights_are_read_in_place(sizes: tuple[int, int, int], is_swapped: bool) -> None:
    m, k, n = sizes
    assert is_swapped_cheaper(m, n, k, lanes=16) == is_swapped


def test_names_of_others_are_not_ours() -> None:
    assert not generated.is_generated("relume_pool_acquire")
