"""Matrix products as BLAS takes them: sizes, leading dimensions and transposes, found from the
memory of the operands.

    C[i, m, n] = sum over k of A[i, m, k] * B[i, k, n]        i runs over batches

BLAS reads a matrix whose rows or columns are contiguous, with any distance between them: so
transposed, sliced and broadcast operands need no copy. Batches of A that lie like more rows, with
one B for all of them, become rows of one product.
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.nest import Buffer
from ir import Dim, product, record, replace, same_dim, size_max


@record
class Factor:
    """An operand: is it its columns that are contiguous, how far from one to the next (or between
    rows), and how far from one batch to the next, in elements.
    """

    is_transposed: bool
    leading: Dim
    batch: tuple[Dim, ...]

    @property
    def transposed(self) -> Factor:
        """The same memory with rows for columns."""
        return replace(self, is_transposed=not self.is_transposed)


@record
class Product:
    """A batch of products whose result is row-major, or column-major if it is swapped."""

    batch: tuple[Dim, ...]
    m: Dim
    n: Dim
    k: Dim
    a: Factor
    b: Factor

    @property
    def count(self) -> Dim:
        return product(self.batch)

    @property
    def swapped(self) -> Product:
        """The same product as C' = B' A'."""
        a, b = self.b.transposed, self.a.transposed
        return replace(self, m=self.n, n=self.m, a=a, b=b)

    @property
    def work(self) -> Dim:
        """Multiplications of one product."""
        return self.m * self.n * self.k


@record
class _Matrix:
    """Sizes and strides of an operand, batches first."""

    dims: tuple[Dim, ...]
    strides: tuple[Dim, ...]

    @staticmethod
    def of(buffer: Buffer, is_left: bool) -> _Matrix:
        """A vector is a row on the left, a column on the right."""
        dims, strides = buffer.dims, buffer.strides
        if len(dims) == 1:
            return (
                _Matrix((1, *dims), (0, *strides))
                if is_left
                else _Matrix((*dims, 1), (*strides, 0))
            )
        return _Matrix(dims, strides)

    def layout(self) -> tuple[bool, Dim] | None:
        """Whether it is transposed, and its leading dimension; None when BLAS cannot read it."""
        rows, columns = self.dims[-2:]
        down, right = self.strides[-2:]
        for is_transposed, count, size, step, along in (
            (False, rows, columns, down, right),
            (True, columns, rows, right, down),
        ):
            if not _is_one(along) and not _is_one(size):
                continue
            if _is_one(count):
                return is_transposed, size_max(size, 1)
            if step >= size and not same_dim(step, 0):
                return is_transposed, size_max(step, 1)
        return None


def is_readable(buffer: Buffer, is_left: bool) -> bool:
    """Whether BLAS can read an operand where it is."""
    return _Matrix.of(buffer, is_left).layout() is not None


def product_of(left: Buffer, right: Buffer) -> Product:
    """The product of two readable operands."""
    a, b = _Matrix.of(left, True), _Matrix.of(right, False)
    (m, k), (_, n) = a.dims[-2:], b.dims[-2:]
    batch, a_steps, b_steps = _batches(a, b)
    (a_transposed, a_leading), (b_transposed, b_leading) = _layout(a), _layout(b)
    while batch and same_dim(b_steps[-1], 0) and not a_transposed:
        if _is_one(m):
            if not a_steps[-1] >= k or same_dim(a_steps[-1], 0):
                break
            a_leading = size_max(a_steps[-1], 1)
        elif not same_dim(a_steps[-1], m * a_leading):
            break
        m = m * batch[-1]
        batch, a_steps, b_steps = batch[:-1], a_steps[:-1], b_steps[:-1]
    return Product(
        tuple(batch),
        m,
        n,
        k,
        Factor(a_transposed, a_leading, tuple(a_steps)),
        Factor(b_transposed, b_leading, tuple(b_steps)),
    )


def _layout(matrix: _Matrix) -> tuple[bool, Dim]:
    found = matrix.layout()
    assert found is not None, "an operand was not copied"
    return found


def _batches(a: _Matrix, b: _Matrix) -> tuple[Sequence[Dim], Sequence[Dim], Sequence[Dim]]:
    """The common batch sizes, and the steps of both operands (0 where one is repeated)."""
    rank = max(len(a.dims), len(b.dims)) - 2
    dims: list[Dim] = []
    steps: tuple[list[Dim], list[Dim]] = ([], [])
    for k in range(rank):
        sizes = [_at(x.dims[:-2], k - rank, 1) for x in (a, b)]
        size = sizes[1] if _is_one(sizes[0]) else sizes[0]
        if _is_one(size):
            continue
        dims.append(size)
        for x, own, out in zip((a, b), sizes, steps, strict=True):
            out.append(0 if _is_one(own) else _at(x.strides[:-2], k - rank, 0))
    return dims, *steps


def _at(items: Sequence[Dim], k: int, default: Dim) -> Dim:
    return items[k] if len(items) >= -k else default


def _is_one(size: Dim) -> bool:
    return same_dim(size, 1)
