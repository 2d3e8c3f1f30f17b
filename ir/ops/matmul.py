"""Rows of matrix products, and what is made of them: linear layers, sums with products.

Every product is one rule, `matmul`'s: 1-d operands are vectors, leading dims of higher ones are
batches that broadcast, and the result is row-major. What is added to a product (a bias, `self` of
`addmm`) is an op of its own, which fuses with what follows. So 16-bit products with something
added, which torch rounds once, stay calls; so do products of integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.dims import Dim
from ir.dims import product as product_of
from ir.dtypes import float32, float64
from ir.op import Op, Structured
from ir.ops.factory import NUMERIC, Tensor, composite, declare
from ir.typerules import broadcast, fail, filled
from ir.types import TENSOR, TensorType, same_each

NATIVE = (float32, float64)
FEW = 4  # columns up to which loops of sums are as fast as products


# types --------------------------------------------------------------------------------------------
def is_known_tensor(*operands: Any) -> bool:
    """Whether operands are CPU tensors of complete type and one numeric dtype."""
    return (all(isinstance(t, TensorType) and t.is_complete and t.device in (None, "cpu")
                for t in operands)
            and len({t.dtype for t in operands}) == 1 and operands[0].dtype in NUMERIC)


def product_dims(a: Sequence[Dim], b: Sequence[Dim]) -> tuple[Dim, ...]:
    """Sizes of `matmul`'s result."""
    if not a or not b:
        fail("a matrix product needs at least 1-d tensors")
    inner = b[0] if len(b) == 1 else b[-2]
    if a[-1] != inner:
        fail(f"a matrix product of {list(a)} and {list(b)}: {a[-1]} and {inner} differ")
    return (*broadcast(tuple(a[:-2]), tuple(b[:-2])), *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def _as_sum(b: Any, x: Tensor, y: Tensor) -> Tensor | None:
    """A product with one row or few columns reads more memory than it computes: a sum, whose loops
    read it faster, and fuse."""
    if not is_known_tensor(x.type, y.type) or x.type.dtype not in NATIVE:
        return None
    a, c = x.type.shape, y.type.shape
    rows, columns = product_of(a[:-1]) if len(c) < 3 else a[-2], c[-1] if len(c) > 1 else 1
    if not any(isinstance(n, int) and n <= most for n, most in ((rows, 1), (columns, FEW))):
        return None
    left = b.unsqueeze(x, -2) if len(a) > 1 and len(c) > 1 else x
    right = b.transpose(y, -2, -1) if len(c) > 1 else y
    if len(a) > 1 and len(c) > 2:
        right = b.unsqueeze(right, -3)
    return b.sum(b.mul(left, right), [-1])


def product(schemas: str, ranks: tuple[int, int] | None = None) -> Op:
    """A family of products; `ranks` are those that the operands must have (default: any)."""

    def infer(**operands: TensorType) -> TensorType:
        a, b = operands.values()
        if not is_known_tensor(a, b):
            return TENSOR
        if ranks is not None and (len(a.shape), len(b.shape)) != ranks:
            fail(f"this product takes tensors of ranks {ranks}")
        if ranks == (3, 3) and a.shape[0] != b.shape[0]:
            fail(f"batches of {a.shape[0]} and {b.shape[0]} matrices differ")
        return filled(product_dims(a.shape, b.shape), a.dtype)

    return declare(schemas, lambda _: Structured(True, _as_sum), lambda rule, schema: infer)


matmul = product("matmul(Tensor self, Tensor other) -> Tensor | .out")
mm = product("mm(Tensor self, Tensor mat2) -> Tensor | .out", (2, 2))
bmm = product("bmm(Tensor self, Tensor mat2) -> Tensor | .out", (3, 3))
mv = product("mv(Tensor self, Tensor vec) -> Tensor | .out", (2, 1))
dot = product("dot(Tensor self, Tensor tensor) -> Tensor | .out", (1, 1))
composite("vdot(Tensor self, Tensor other) -> Tensor | .out",
          lambda b, x, y: b.dot(x, y) if x.type.dtype in NATIVE else None)


# linear -------------------------------------------------------------------------------------------
def _linear_type(input: TensorType, weight: TensorType, bias: TensorType | None) -> TensorType:
    if not is_known_tensor(*(t for t in (input, weight, bias) if t is not None)):
        return TENSOR
    if len(weight.shape) not in (1, 2):
        fail("the weight of a linear layer is a matrix")
    dims = product_dims(input.shape, tuple(reversed(weight.shape)))
    if bias is not None and (len(bias.shape) > 1 or (len(weight.shape) == 1 and bias.shape)):
        return TENSOR
    return filled(dims if bias is None else broadcast(dims, bias.shape), input.dtype)


def _linear(b: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    if x.type.dtype not in NATIVE or not _linear_type(
            x.type, weight.type, bias and bias.type).is_complete:
        return None
    result = b.matmul(x, b.t(weight))
    return result if bias is None else b.add(result, bias)


linear = composite("linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor | .out",
                   _linear, _linear_type)


# sums with products -------------------------------------------------------------------------------
def _scaled(b: Any, x: Tensor, factor: Any) -> Tensor:
    return x if isinstance(factor, int | float) and factor == 1 else b.mul(x, factor)


def _sum_with(multiply: Callable[[Any, Tensor, Tensor], Tensor]) -> Callable[..., Any]:
    """The decomposition of beta * self + alpha * product; nothing of `self` is read for beta 0."""

    def decompose(b: Any, x: Tensor, left: Tensor, right: Tensor, beta: Any,
                  alpha: Any) -> Tensor | None:
        if not isinstance(beta, int | float) or x.type.dtype not in NATIVE:
            return None
        found = multiply(b, left, right)
        if not found.type.is_complete:
            return None
        if not same_each(broadcast(x.type.shape, found.type.shape), found.type.shape):
            return None
        result = _scaled(b, found, alpha)
        return result if beta == 0 else b.add(_scaled(b, x, beta), result)

    return decompose


for _name, _operands, _multiply in (
        ("addmm", "Tensor mat1, Tensor mat2", lambda b, x, y: b.mm(x, y)),
        ("baddbmm", "Tensor batch1, Tensor batch2", lambda b, x, y: b.bmm(x, y)),
        ("addmv", "Tensor mat, Tensor vec", lambda b, x, y: b.mv(x, y)),
        ("addr", "Tensor vec1, Tensor vec2", lambda b, x, y: b.outer(x, y)),
        ("addbmm", "Tensor batch1, Tensor batch2", lambda b, x, y: b.sum(b.bmm(x, y), [0]))):
    composite(f"{_name}(Tensor self, {_operands}, *, Scalar beta=1, Scalar alpha=1) -> Tensor"
              " | _ .out", _sum_with(_multiply))
