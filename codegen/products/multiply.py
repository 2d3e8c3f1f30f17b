"""A product in a plan: who computes it, and the call, split over threads.

    one row, few columns     a sum, in loop nests (`ir.ops.matmul`): bound by reading memory
    few rows                 dot products, where both operands lie along k (`codegen.products.dots`)
    MEASURED machines        generated code (`codegen.products.gemm`)
    elsewhere                generated code where the product is SMALL, else BLAS
                             (`codegen.products.blas`)

A product whose B lies along k, as weights do, and is large next to A is done as C' = B' A': what is
brought into panels is A then, and B is read once, in place.

On one core of a Zen 4 generated code was nowhere slower than MKL: in float32 1.1 to 1.4 times as
fast where all sizes are from 64 to 3072, 1.5 to 3 times where the call weighs most. MKL has slower
paths for such machines than for others, where BLAS keeps what its own overhead does not decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen.abi import I64, RANGE_TYPE, i64, offset, stack
from codegen.entry import EntryBuilder
from codegen.products import blas
from codegen.products.form import DTYPES, Form, height, is_swapped_cheaper
from codegen.products.microkernel import GROUP
from codegen.products.product import Product
from codegen.target import Target, host
from codegen.threads import emit_parallel_for
from ir import Dim, DType, hint, size_max

MEASURED = frozenset({"znver4"})
SMALL = 1 << 15  # multiplications: done before BLAS has found its way
DOTS = 16  # rows up to which transposing a panel costs more than folding dot products
GIL_WORK = 1 << 16  # multiplications that are worth letting other threads of Python run
THREAD_WORK = 1 << 17  # multiplications that are worth a thread


def can_multiply(dtype: DType | None) -> bool:
    """Whether there is native code for products of a dtype."""
    return dtype in DTYPES


def form_of(product: Product, dtype: DType, target: Target) -> Form | None:
    """The form of generated code that computes a product; None when BLAS does."""
    rows, is_a, is_b = hint(product.m), product.a.is_transposed, product.b.is_transposed
    has_dots = is_b and not is_a and rows <= DOTS
    is_measured = target.cpu in MEASURED or hint(product.work) <= SMALL
    if blas.routine(dtype) is not None and not has_dots and not is_measured:
        return None
    rank, columns, lanes = len(product.batch), hint(product.n), target.lanes(dtype.bits)
    if is_b and is_measured and is_swapped_cheaper(rows, columns, hint(product.k), lanes):
        return Form(dtype, height(columns), False, not is_a, rank, is_c_transposed=True)
    return Form(dtype, height(rows), is_a, is_b, rank, has_dots)


def emit_product(
    entry: EntryBuilder, product: Product, dtype: DType, addresses: Sequence[ll.Value]
) -> None:
    """C = A B, from and to pointers to the first elements of A, B and C."""
    form = form_of(product, dtype, host())
    if form is not None and form.is_c_transposed:
        a, b_, c = addresses
        product, addresses = product.swapped, (b_, a, c)
    record = _record(entry, product, dtype, addresses, form)
    if form is None:
        function, steps = blas.range_function(entry.module, product, dtype), product.count
    else:
        function, steps = _declared(entry.module, form.symbol), _units(product, form)
    builder, total = entry.builder, hint(product.count) * hint(product.work)
    end = entry.size(steps)
    if total < GIL_WORK:
        builder.call(function, [i64(0), end, record])
        return
    with entry.release_gil():
        if hint(steps) > 1:
            per_step = max(total // hint(steps), 1)
            grain = max(THREAD_WORK // per_step, 1)
            emit_parallel_for(builder, 0, end, grain, function, record, calls_blas=form is None)
        else:
            builder.call(function, [i64(0), end, record])


def _units(product: Product, form: Form) -> Dim:
    """How many units a form's function has to do."""
    width = GROUP * host().lanes(form.dtype.bits)
    groups = (product.n + (width - 1)) // width
    return product.count * form.strips(product.m) * groups


def _record(
    entry: EntryBuilder,
    product: Product,
    dtype: DType,
    addresses: Sequence[ll.Value],
    form: Form | None,
) -> ll.Value:
    """The product as `codegen.products.record` has it, in the frame."""
    b = entry.builder
    sizes = [product.n, product.m, product.k, product.b.leading, product.a.leading]
    row = product.m if form is not None and form.is_c_transposed else product.n
    words = [entry.size(d) for d in (*sizes, size_max(row, 1))]
    words += [b.ptrtoint(p, I64) for p in addresses]
    for size, *steps in zip(product.batch, product.a.batch, product.b.batch, strict=True):
        words += [entry.size(size), *(entry.size(s * dtype.itemsize) for s in steps)]
    record = stack(b, I64, len(words))
    for k, word in enumerate(words):
        b.store(word, offset(b, record, 8 * k))
    return record


def _declared(module: ll.Module, name: str) -> ll.Function:
    return module.globals.get(name) or ll.Function(module, RANGE_TYPE, name)
