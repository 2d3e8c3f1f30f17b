"""Matrix products by the BLAS that is in the process, called by pointer.

Its matrices are column-major, so a row-major C = A B is computed as C' = B' A'. It uses as many
threads as torch lets it; many small products of a batch are split over torch's threads instead,
each done by one.
"""

from __future__ import annotations

from functools import cache

import llvmlite.ir as ll

from codegen import torch_abi
from codegen.abi import I8, PTR, RANGE_TYPE, VOID
from codegen.loops import counted
from codegen.products.product import Product
from codegen.products.record import Record
from ir import DType, dtypes

_ROUTINES = {dtypes.float32: "sgemm", dtypes.float64: "dgemm"}
_FORMS = ("_64_", "_")  # with 64-bit integers, else the classic name; both read ours in place
_SCALARS = {dtypes.float32: ll.FloatType(), dtypes.float64: ll.DoubleType()}


@cache
def routine(dtype: DType) -> str | None:
    """The symbol of the product for a dtype; None when the process has none."""
    name = _ROUTINES.get(dtype)
    names = [name + form for form in _FORMS] if name is not None else []
    return next((n for n in names if torch_abi.has(n)), None)


def range_function(module: ll.Module, product: Product, dtype: DType) -> ll.Function:
    """Products `begin` to `end` of a batch; one function per routine, transposes and rank."""
    marks = "".join("T" if f.is_transposed else "N" for f in (product.b, product.a))
    rank = len(product.batch)
    name = f"{_ROUTINES[dtype]}.{marks}.{rank}"
    found = module.globals.get(name)
    if found is not None:
        return found
    function = ll.Function(module, RANGE_TYPE, name)
    function.linkage = "internal"
    begin, end, address = function.args
    b = ll.IRBuilder(function.append_basic_block("entry"))
    record = Record(b, address)
    with counted(b, b.sub(end, begin)) as k:
        _multiply(b, record, record.matrices(b.add(begin, k), rank, dtype.itemsize), marks, dtype)
    b.ret_void()
    return function


def _multiply(
    b: ll.IRBuilder, record: Record, matrices: dict[str, ll.Value], marks: str, dtype: DType
) -> None:
    """One product of the batch."""
    pointer = {name: b.inttoptr(value, PTR) for name, value in matrices.items()}
    place = record.place
    one, zero = (_constant(b.module, dtype, number) for number in (1.0, 0.0))
    flags = [_flag(b.module, mark) for mark in marks]
    b.call(_declared(b.module, dtype), [
        *flags, place("n"), place("m"), place("k"), one, pointer["b"], place("ldb"),
        pointer["a"], place("lda"), zero, pointer["c"], place("ldc"),
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
