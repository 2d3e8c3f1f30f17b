"""Matrix products by the BLAS that is in the process, called by pointer.

Its matrices are column-major, so a row-major C = A B is computed as C' = B' A'. It uses as many
threads as torch lets it; many small products of a batch are split over torch's threads instead,
each done by one.

    range function of a batch: void(begin, end, words)     words as `_WORDS`, then per batch dim:
                                                            size, step of A, step of B (bytes)
"""

from __future__ import annotations

from functools import cache

import llvmlite.ir as ll

from codegen import torch_abi
from codegen.abi import I8, I64, PTR, RANGE_TYPE, VOID, call, i64, offset, stack
from codegen.entry import EntryBuilder
from codegen.product import Product
from ir import DType, dtypes, hint

_ROUTINES = {dtypes.float32: "sgemm", dtypes.float64: "dgemm"}
_FORMS = ("_64_", "_")  # with 64-bit integers, else the classic name; both read ours in place
_SCALARS = {dtypes.float32: ll.FloatType(), dtypes.float64: ll.DoubleType()}
_WORDS = ("n", "m", "k", "ldb", "lda", "ldc", "a", "b", "c")
GIL_WORK = 1 << 16  # multiplications that are worth letting other threads of Python run
THREAD_WORK = 1 << 17  # multiplications that are worth a thread


@cache
def routine(dtype: DType) -> str | None:
    """The symbol of the product for a dtype; None when the process has none."""
    name = _ROUTINES.get(dtype)
    names = [name + form for form in _FORMS] if name is not None else []
    return next((n for n in names if torch_abi.has(n)), None)


def emit_product(
    entry: EntryBuilder, product: Product, dtype: DType, a: ll.Value, b: ll.Value, c: ll.Value
) -> None:
    """C = A B, from and to pointers to the first elements."""
    builder = entry.builder
    sizes = [product.n, product.m, product.k, product.b.leading, product.a.leading]
    ldc = product.n if not isinstance(product.n, int) else max(product.n, 1)
    words = [entry.size(d) for d in (*sizes, ldc)]
    words += [builder.ptrtoint(p, I64) for p in (a, b, c)]
    for size, *steps in zip(product.batch, product.a.batch, product.b.batch, strict=True):
        words += [entry.size(size), *(entry.size(s * dtype.itemsize) for s in steps)]
    context = stack(builder, I64, len(words))
    for k, word in enumerate(words):
        builder.store(word, offset(builder, context, 8 * k))
    function = _range_function(entry.module, product, dtype)
    count, work = entry.size(product.count), hint(product.work)
    if hint(product.count) * work < GIL_WORK:
        builder.call(function, [i64(0), count, context])
        return
    with entry.release_gil():
        if hint(product.count) > 1:
            grain = i64(max(THREAD_WORK // max(work, 1), 1))
            call(builder, "torch_parallel_for", i64(0), count, grain, function, context)
        else:
            builder.call(function, [i64(0), count, context])


def _range_function(module: ll.Module, product: Product, dtype: DType) -> ll.Function:
    """Products `begin` to `end` of a batch; one function per routine, transposes and rank."""
    marks = "".join("T" if f.is_transposed else "N" for f in (product.b, product.a))
    name = f"{_ROUTINES[dtype]}.{marks}.{len(product.batch)}"
    found = module.globals.get(name)
    if found is not None:
        return found
    function = ll.Function(module, RANGE_TYPE, name)
    function.linkage = "internal"
    begin, end, context = function.args
    b = ll.IRBuilder(function.append_basic_block("entry"))
    header, body, done = (b.append_basic_block(part) for part in ("test", "body", "done"))
    start = b.block
    b.branch(header)
    b.position_at_end(header)
    at = b.phi(I64)
    at.add_incoming(begin, start)
    b.cbranch(b.icmp_signed("<", at, end), body, done)
    b.position_at_end(body)
    _multiply(b, context, at, marks, len(product.batch), dtype)
    at.add_incoming(b.add(at, i64(1)), b.block)
    b.branch(header)
    b.position_at_end(done)
    b.ret_void()
    return function


def _multiply(
    b: ll.IRBuilder, context: ll.Value, at: ll.Value, marks: str, rank: int, dtype: DType
) -> None:
    """One product of the batch."""
    address = {name: offset(b, context, 8 * k) for k, name in enumerate(_WORDS)}
    word = {name: b.load(address[name], typ=I64) for name in ("m", "n", "a", "b", "c")}
    size = b.mul(b.mul(word["m"], word["n"]), i64(dtype.itemsize))
    moved = {"a": word["a"], "b": word["b"], "c": b.add(word["c"], b.mul(at, size))}
    rest = at
    for k in reversed(range(rank)):
        extent, *steps = (
            b.load(offset(b, context, 8 * (len(_WORDS) + 3 * k + j)), typ=I64) for j in range(3)
        )
        position = b.urem(rest, extent) if k else rest
        rest = b.udiv(rest, extent) if k else rest
        for name, step in zip(("a", "b"), steps, strict=True):
            moved[name] = b.add(moved[name], b.mul(position, step))
    pointer = {name: b.inttoptr(value, PTR) for name, value in moved.items()}
    one, zero = (_constant(b.module, dtype, number) for number in (1.0, 0.0))
    flags = [_flag(b.module, mark) for mark in marks]
    b.call(_declared(b.module, dtype), [
        *flags, address["n"], address["m"], address["k"], one, pointer["b"], address["ldb"],
        pointer["a"], address["lda"], zero, pointer["c"], address["ldc"],
    ])  # fmt: skip


def _declared(module: ll.Module, dtype: DType) -> ll.Function:
    name = routine(dtype)
    assert name is not None
    found = module.globals.get(name)
    return found or ll.Function(module, ll.FunctionType(VOID, [PTR] * 13), name)


def _constant(module: ll.Module, dtype: DType, number: float) -> ll.GlobalVariable:
    kind = _SCALARS[dtype]
    return _global(module, f"blas.{kind}.{number:g}", ll.Constant(kind, number))


def _flag(module: ll.Module, mark: str) -> ll.GlobalVariable:
    return _global(module, f"blas.{mark}", ll.Constant(I8, ord(mark)))


def _global(module: ll.Module, name: str, value: ll.Constant) -> ll.GlobalVariable:
    found = module.globals.get(name)
    if found is None:
        found = ll.GlobalVariable(module, value.type, name)
        found.global_constant, found.linkage, found.initializer = True, "private", value
    return found
