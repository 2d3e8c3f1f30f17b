"""A product in a plan: who computes it, and the call, split over torch's threads.

    one row, few columns     a sum, in loop nests (`ir.ops.matmul`): bound by reading memory
    few rows                 dot products, where both operands lie along k (`codegen.dots`)
    MEASURED machines        generated code (`codegen.gemm`)
    elsewhere                generated code where the product is SMALL, else BLAS (`codegen.blas`)

On one core of a Zen 4 generated code was nowhere slower than MKL: in float32 1.05 to 1.15 times as
fast where all sizes are from 256 to 1024, up to 1.4 times where B is large, 1.5 to 3 times where
the call weighs most. MKL has slower paths for such machines than for others, where BLAS keeps what
its own overhead does not decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ll

from codegen import blas
from codegen.abi import I64, RANGE_TYPE, i64, offset, stack
from codegen.entry import EntryBuilder
from codegen.product import Product
from codegen.product_form import DTYPES, Form, height
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
    is_faster = has_dots or target.cpu in MEASURED or hint(product.work) <= SMALL
    if blas.routine(dtype) is not None and not is_faster:
        return None
    return Form(dtype, height(rows), is_a, is_b, len(product.batch), has_dots)


def emit_product(
    entry: EntryBuilder, product: Product, dtype: DType, addresses: Sequence[ll.Value]
) -> None:
    """C = A B, from and to pointers to the first elements of A, B and C."""
    form = form_of(product, dtype, host())
    record = _record(entry, product, dtype, addresses)
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
            emit_parallel_for(builder, 0, end, grain, function, record)
        else:
            builder.call(function, [i64(0), end, record])


def _units(product: Product, form: Form) -> Dim:
    """How many units a form's function has to do."""
    width = form.group * host().lanes(form.dtype.bits)
    panels = (product.n + (width - 1)) // width
    return product.count * form.blocks(product.m) * panels


def _record(
    entry: EntryBuilder, product: Product, dtype: DType, addresses: Sequence[ll.Value]
) -> ll.Value:
    """The product as `codegen.product_record` has it, in the frame."""
    b = entry.builder
    sizes = [product.n, product.m, product.k, product.b.leading, product.a.leading]
    words = [entry.size(d) for d in (*sizes, size_max(product.n, 1))]
    words += [b.ptrtoint(p, I64) for p in addresses]
    for size, *steps in zip(product.batch, product.a.batch, product.b.batch, strict=True):
        words += [entry.size(size), *(entry.size(s * dtype.itemsize) for s in steps)]
    record = stack(b, I64, len(words))
    for k, word in enumerate(words):
        b.store(word, offset(b, record, 8 * k))
    return record


def _declared(module: ll.Module, name: str) -> ll.Function:
    return module.globals.get(name) or ll.Function(module, RANGE_TYPE, name)
