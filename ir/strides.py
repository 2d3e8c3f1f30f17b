"""Memory layout of results, as torch chooses it: strides are in elements, sizes may be symbolic.

Pointwise results follow torch's `TensorIterator`: operands that are all contiguous (or all
channels-last, or dense with equal strides) pass their layout on; otherwise dims are ordered by the
operands' strides and the result is dense in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

from ir.dims import Dim, same_dim
from ir.records import record
from ir.types import contiguous_strides

Dims = tuple[Dim, ...]


@record
class Layout:
    """Sizes and strides of one tensor."""

    dims: Dims
    strides: Dims

    @property
    def is_empty(self) -> bool:
        return any(isinstance(d, int) and d == 0 for d in self.dims)


def is_ordered(layout: Layout, order: Sequence[int]) -> bool:
    """Whether the elements lie densely, the dims of `order` from the innermost outward."""
    step: Dim = 1
    for k in order:
        if layout.dims[k] != 1:
            if layout.strides[k] != step:
                return False
            step = step * layout.dims[k]
    return True


def is_contiguous(layout: Layout) -> bool:
    """Row-major and dense; strides of dims of size 1 do not matter."""
    return layout.is_empty or is_ordered(layout, range(len(layout.dims) - 1, -1, -1))


def is_channels_last(layout: Layout) -> bool:
    """Dense with the channel dim (1) innermost, for 4-d tensors."""
    return len(layout.dims) == 4 and is_ordered(layout, (1, 3, 2, 0))


def suggests_channels_last(layout: Layout) -> bool:
    """Whether torch's operators take an image for channels-last: the strides of its dims of size 1,
    too, have to be in that order. Images that are part of others need not be dense, if all of their
    sizes and strides are known.
    """
    is_known = all(isinstance(n, int) for n in (*layout.dims, *layout.strides))
    if not is_channels_last(layout) and (len(layout.dims) != 4 or not is_known or layout.is_empty):
        return False
    if layout.strides[1] == 0:
        return False
    least: Dim = 0
    for k in (1, 3, 2, 0):
        size, stride = layout.dims[k], layout.strides[k]
        if stride < least or (k == 0 and least == layout.strides[1]):
            return False
        least = stride if isinstance(size, int) and size == 1 else stride * size
    return True


def is_dense(layout: Layout) -> bool:
    """Every element of the storage range is used exactly once, in some order of dims."""
    if len(layout.dims) == 1:
        return bool(layout.dims[0] == 0 or layout.dims[0] == 1 or layout.strides[0] == 1)
    return is_ordered(layout, _by_stride(layout)) if not layout.is_empty else is_contiguous(layout)


def is_apart(layout: Layout) -> bool:
    """Whether each element surely has a place of its own."""
    if is_dense(layout):
        return True
    pairs = [(s, d) for d, s in zip(layout.dims, layout.strides, strict=True)]
    known = [(s, d) for s, d in pairs if isinstance(s, int) and isinstance(d, int)]
    if len(known) < len(pairs):
        return False
    reach = 0
    for stride, size in sorted((s, d) for s, d in known if d != 1):
        if stride <= reach:
            return False
        reach += (size - 1) * stride
    return True


def _by_stride(layout: Layout) -> list[int]:
    """Dims from the innermost outward; those of size 1 last."""
    order: list[int] = []
    for k in range(len(layout.dims)):
        at = len(order)
        while at > 0 and _is_inner(layout, k, order[at - 1]):
            at -= 1
        order.insert(at, k)
    return order


def _is_inner(layout: Layout, a: int, b: int) -> bool:
    if layout.dims[a] == 1 or layout.dims[b] == 1:
        return bool(layout.dims[b] == 1 and layout.dims[a] != 1)
    return bool(layout.strides[a] < layout.strides[b])


def preserved_strides(layout: Layout) -> Dims:
    """Strides of a copy in `torch.preserve_format` (clone, to, empty_like)."""
    return layout.strides if is_dense(layout) else iterator_strides(layout.dims, [layout])


def pointwise_strides(dims: Dims, operands: Sequence[Layout]) -> Dims:
    """Strides of a pointwise result of sizes `dims`, given the operands as they are read."""
    if operands and all(_same(op.dims, dims) for op in operands):
        if all(is_contiguous(op) for op in operands):
            return contiguous_strides(dims)
        if all(is_channels_last(op) for op in operands):
            return _dense_strides(dims, (1, 3, 2, 0))
        if all(is_dense(op) and _same(op.strides, operands[0].strides) for op in operands):
            return operands[0].strides
    return iterator_strides(dims, operands)


def _same(a: Dims, b: Dims) -> bool:
    return len(a) == len(b) and all(x == y for x, y in zip(a, b, strict=True))


def iterator_strides(dims: Dims, operands: Sequence[Layout]) -> Dims:
    """Dense strides in the order of dims that the operands suggest, earlier operands first."""
    steps = [_broadcast_strides(dims, op) for op in operands if op.dims]
    order = list(range(len(dims) - 1, -1, -1))  # innermost first
    for i in range(1, len(dims)):
        at = i
        for before in range(i - 1, -1, -1):
            comparison = _compare(dims, steps, order[before], order[at])
            if comparison > 0:
                order[before], order[at] = order[at], order[before]
                at = before
            elif comparison < 0:
                break
    if order == list(range(len(dims) - 1, -1, -1)):
        return contiguous_strides(dims)
    return _dense_strides(dims, order)


def _broadcast_strides(dims: Dims, operand: Layout) -> Dims:
    offset = len(dims) - len(operand.dims)
    own = (
        0 if size == 1 and dims[offset + k] != 1 else stride
        for k, (size, stride) in enumerate(zip(operand.dims, operand.strides, strict=True))
    )
    return (*(0,) * offset, *own)


def _compare(dims: Dims, steps: Sequence[Dims], a: int, b: int) -> int:
    """1 when dim `b` belongs inside dim `a`, -1 when outside, 0 when no operand tells."""
    for strides in steps:
        x, y = strides[a], strides[b]
        if x == 0 or y == 0:
            continue
        if x != y:
            return 1 if x > y else -1
        if dims[a] > dims[b]:
            return 1
    return 0


def _dense_strides(dims: Dims, order: Sequence[int]) -> Dims:
    strides: list[Dim] = [1] * len(dims)
    step: Dim = 1
    for k in order:
        strides[k] = step
        step = step * dims[k]
    return tuple(strides)


def view_strides(in_dims: Dims, in_strides: Dims, out_dims: Dims) -> Dims | None:
    """Strides of the same elements, in row-major order, in other sizes; None if only a copy can."""
    if all(map(same_dim, in_strides, contiguous_strides(in_dims))):
        return contiguous_strides(out_dims)
    if any(isinstance(d, int) and d == 0 for d in in_dims):
        return in_strides if _same(in_dims, out_dims) else contiguous_strides(out_dims)
    out: list[Dim] = []
    todo = list(out_dims)
    base: Dim = in_strides[-1] if in_strides else 1
    size: Dim = 1  # elements of the current run of dims that are contiguous among themselves
    for k in range(len(in_dims) - 1, -1, -1):
        size = size * in_dims[k]
        if k > 0 and (in_dims[k - 1] == 1 or in_strides[k - 1] == size * base):
            continue
        filled: Dim = 1
        while todo and (filled < size or todo[-1] == 1):
            out.append(filled * base)
            filled = filled * todo.pop()
        if filled != size:
            return None
        if k > 0:
            base, size = in_strides[k - 1], 1
    if not in_dims:
        out.extend([base] * len(todo))
        todo.clear()
    return tuple(reversed(out)) if not todo else None
