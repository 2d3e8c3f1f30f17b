"""Rows of views: where the elements of the result lie in the input.

`shape(in_dims, **params)` gives sizes, `index(out_index, in_dims, out_dims, **params)` the
input's index, an affine expression per input dim (a plain size where it is constant). Sizes may be
symbolic; in a formula the index stands left of them, for it has the operators. `shape` raises
TypeRuleError where eager would refuse.

    permute    in[order[k]] = out[k]                 slice    in = start + step * out
    expand     in = 0 where the input's size is 1    flip     in = size - 1 - out
    split      a slice per piece                     reshape  in = sum(out * stride) per input dim
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from ir.dims import Dim, product, same_dim
from ir.op import Op
from ir.ops.cast import CONTIGUOUS
from ir.ops.factory import Tensor, composite, view
from ir.strides import view_strides
from ir.typerules import axes, axis, broadcast, fail, is_known
from ir.types import TENSOR, ListType, same_each

Dims = tuple[Dim, ...]
Index = Sequence[Any]
END = 2**62  # `slice` ends at or beyond this are "to the end"


# identity -----------------------------------------------------------------------------------------
def _same_shape(dims: Dims, **_: Any) -> Dims:
    return dims


def _same_index(out: Index, dims: Dims, out_dims: Dims, **_: Any) -> Index:
    return out


alias = view("""
    alias(Tensor(a) self) -> Tensor(a)
    detach(Tensor(a) self) -> Tensor(a)
    positive(Tensor(a) self) -> Tensor(a)
    """, _same_shape, _same_index)


# the same elements in row-major order -------------------------------------------------------------
def _sizes(dims: Dims, size: Sequence[Dim]) -> Dims:
    """`size` with its -1 replaced by what is left."""
    total = product(dims)
    unknown = [k for k, d in enumerate(size) if isinstance(d, int) and d == -1]
    if len(unknown) > 1 or any(isinstance(d, int) and d < -1 for d in size):
        fail(f"invalid shape {list(size)}")
    if unknown:
        rest = product(d for k, d in enumerate(size) if k not in unknown)
        if rest == 0 or total % rest != 0:
            fail(f"shape {list(size)} is invalid for {total} elements")
        return tuple(total // rest if k in unknown else d for k, d in enumerate(size))
    if product(size) != total:
        fail(f"shape {list(size)} is invalid for {total} elements")
    return tuple(size)


def _split_index(out: Index, dims: Dims, out_dims: Dims, **_: Any) -> Index | None:
    """Input dims that the output splits into several: affine. Merged ones need a division: None.
    Sizes match when they are equal by structure: a view is no reason to assume more."""
    if any(isinstance(d, int) and d == 0 for d in out_dims):
        return [0] * len(dims)
    index: list[Any] = []
    k = 0  # output dims consumed
    for size in dims:
        place: Any = 0
        taken: Dim = 1
        while not same_dim(taken, size) and k < len(out_dims):
            place = place * out_dims[k] + out[k]
            taken = taken * out_dims[k]
            k += 1
            if not isinstance(taken, int) or not isinstance(size, int) or taken <= size:
                continue
            return None
        if not same_dim(taken, size):
            return None
        index.append(place)
    return index if all(isinstance(d, int) and d == 1 for d in out_dims[k:]) else None


def _reshape(b: Any, x: Tensor, shape: Any) -> Tensor | None:
    """A view where the strides allow one, else a view of a contiguous copy."""
    strides = x.type.strides
    if strides is None or None in strides or not x.type.is_complete:
        return None
    copy = b.op("aten::clone", x, memory_format=CONTIGUOUS)
    result = b.view(copy, shape)
    if not result.type.is_complete:
        return None
    if view_strides(x.type.shape, strides, result.type.shape) is None:
        return result
    result.node.erase()
    copy.node.erase()
    return b.view(x, shape)


def _flatten(b: Any, x: Tensor, start_dim: Any, end_dim: Any) -> Tensor | None:
    if not x.type.is_complete or not isinstance(start_dim, int) or not isinstance(end_dim, int):
        return None
    dims = x.type.shape
    start, end = axis(start_dim, len(dims)), axis(end_dim, len(dims))
    if start > end:
        return None
    sizes = [d if isinstance(d, int) else b.op("aten::size.int", x, k) for k, d in enumerate(dims)]
    merged = product(dims[start:end + 1])
    return _reshape(b, x, [*sizes[:start], merged if isinstance(merged, int) else -1,
                           *sizes[end + 1:]])


def _unflatten_shape(dims: Dims, dim: int, sizes: Sequence[Dim]) -> Dims:
    at = axis(dim, len(dims))
    return (*dims[:at], *_sizes(dims[at:at + 1], sizes), *dims[at + 1:])


view_ = view("""
    view(Tensor(a) self, SymInt[] size) -> Tensor(a)
    _unsafe_view(Tensor self, SymInt[] size) -> Tensor
    """, lambda dims, size: _sizes(dims, size), _split_index, strict=True)
reshape = composite("reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)", _reshape)
flatten = composite(
    "flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)", _flatten)
unflatten = view("unflatten.int(Tensor(a) self, int dim, SymInt[] sizes) -> Tensor(a)",
                 _unflatten_shape, _split_index)
ravel = composite("ravel(Tensor(a) self) -> Tensor(a)", lambda b, x: b.reshape(x, [-1]))
view_as = composite("view_as(Tensor(a) self, Tensor other) -> Tensor(a)",
                    lambda b, x, other: b.view(x, b.size(other)))
reshape_as = composite("reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)",
                       lambda b, x, other: b.reshape(x, b.size(other)))


# permutations -------------------------------------------------------------------------------------
def permutation(schemas: str, order: Callable[..., Sequence[int]],
                aliases: Iterable[str] = ()) -> Op:
    """Rows whose output dim `k` is input dim `order(rank, **params)[k]`."""

    def shape(dims: Dims, /, **params: Any) -> Dims:
        return tuple(dims[k] for k in order(len(dims), **params))

    def index(out: Index, dims: Dims, out_dims: Dims, /, **params: Any) -> Index:
        index: list[Any] = [0] * len(dims)
        for i, k in zip(out, order(len(dims), **params), strict=True):
            index[k] = i
        return index

    return view(schemas, shape, index, aliases=aliases)


def _permuted(rank: int, dims: Sequence[int]) -> list[int]:
    order = [axis(d, rank) for d in dims]
    if len(order) != rank or len(set(order)) != rank:
        fail(f"permute: {list(dims)} is not an order of {rank} dims")
    return order


def _swapped(rank: int, a: int, b: int) -> list[int]:
    i, j = axis(a, rank), axis(b, rank)
    order = list(range(rank))
    if rank:
        order[i], order[j] = order[j], order[i]
    return order


def _moved(rank: int, source: int | Sequence[int], destination: int | Sequence[int]) -> list[int]:
    sources, targets = ([axis(d, rank) for d in ([dims] if isinstance(dims, int) else dims)]
                        for dims in (source, destination))
    if len(set(sources)) != len(targets) or len(set(targets)) != len(sources):
        fail("movedim: source and destination do not match")
    rest = iter(k for k in range(rank) if k not in sources)
    placed = dict(zip(targets, sources, strict=True))
    return [placed[k] if k in placed else next(rest) for k in range(rank)]


def _matrix(rank: int) -> list[int]:
    if rank < 2:
        fail("mT: at least 2 dims are needed")
    return _swapped(rank, -2, -1)


def _t(rank: int) -> list[int]:
    if rank > 2:
        fail(f"t: at most 2 dims are allowed, not {rank}")
    return list(range(rank))[::-1]


permute = permutation("permute(Tensor(a) self, int[] dims) -> Tensor(a)", _permuted)
transpose = permutation("""
    transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
    swapdims(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
    """, lambda rank, dim0, dim1: _swapped(rank, dim0, dim1))
swapaxes = permutation("swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)",
                       lambda rank, axis0, axis1: _swapped(rank, axis0, axis1))
movedim = permutation("""
    movedim.int(Tensor(a) self, int source, int destination) -> Tensor(a)
    movedim.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)
    """, _moved, aliases=("moveaxis",))
t = permutation("t(Tensor(a) self) -> Tensor(a)", _t)
numpy_T = permutation("""
    numpy_T(Tensor(a) self) -> Tensor(a)
    numpy_T.a(Tensor(a) self) -> Tensor(a)
    """, lambda rank: list(range(rank))[::-1])
mT = permutation("""
    mT(Tensor(a) self) -> Tensor(a)
    mT.a(Tensor(a) self) -> Tensor(a)
    """, _matrix)


# dims of size 1 -----------------------------------------------------------------------------------
def _expanded(dims: Dims, size: Sequence[Dim], implicit: bool = False) -> Dims:
    added = len(size) - len(dims)
    if added < 0:
        fail(f"expand: {len(size)} sizes for {len(dims)} dims")
    result: list[Dim] = []
    for k, wanted in enumerate(size):
        keep = isinstance(wanted, int) and wanted == -1
        if k < added and keep:
            fail("expand: -1 is not allowed for a new dim")
        own = dims[k - added] if k >= added else 1
        if not keep and own != 1 and own != wanted:
            fail(f"expand: size {own} does not stretch to {wanted}")
        result.append(own if keep else wanted)
    return tuple(result)


def _expand_index(out: Index, dims: Dims, out_dims: Dims, **_: Any) -> Index:
    tail = out[len(out) - len(dims):]
    return [0 if isinstance(d, int) and d == 1 else i for i, d in zip(tail, dims, strict=True)]


def _unsqueeze_at(dims: Dims, dim: int) -> int:
    return axis(dim, len(dims) + 1)


def _squeezed(dims: Dims, dim: int | Sequence[int] | None) -> list[int]:
    """The dims that stay. A symbolic size is never 1."""
    chosen = range(len(dims)) if dim is None else [axis(d, len(dims)) for d in
                                                   ([dim] if isinstance(dim, int) else dim)]
    return [k for k, d in enumerate(dims) if k not in chosen or not (isinstance(d, int) and d == 1)]


def _squeeze_shape(dims: Dims, dim: int | Sequence[int] | None = None) -> Dims:
    return tuple(dims[k] for k in _squeezed(dims, dim))


def _squeeze_index(out: Index, dims: Dims, out_dims: Dims,
                   dim: int | Sequence[int] | None = None) -> Index:
    index: list[Any] = [0] * len(dims)
    for i, k in zip(out, _squeezed(dims, dim), strict=True):
        index[k] = i
    return index


def _unsqueeze_index(out: Index, dims: Dims, out_dims: Dims, dim: int) -> Index:
    at = _unsqueeze_at(dims, dim)
    return [*out[:at], *out[at + 1:]]


expand = view("expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)",
              _expanded, _expand_index)
broadcast_to = view("broadcast_to(Tensor(a) self, SymInt[] size) -> Tensor(a)",
                    _expanded, _expand_index)
expand_as = composite("expand_as(Tensor(a) self, Tensor other) -> Tensor(a)",
                      lambda b, x, other: b.expand(x, b.size(other)))


def _broadcast_tensors(b: Any, tensors: Any) -> Any:
    """What has the common sizes is given back as it is, the others as views of the sizes of it."""
    if not isinstance(tensors, list) or not all(x.type.is_complete for x in tensors):
        return None
    sizes = broadcast(*(x.type.shape for x in tensors))
    whole = [x for x in tensors if same_each(x.type.shape, sizes)]
    if not whole and not all(isinstance(size, int) for size in sizes):
        return None
    size = b.size(whole[0]) if whole else list(sizes)
    return b.list_([x if x in whole else b.expand(x, size) for x in tensors])


def _broadcast_types(tensors: Any) -> Any:
    is_covered = isinstance(tensors, list) and is_known(tensors)
    if not is_covered or not all(x.is_complete for x in tensors):
        return ListType(TENSOR)
    sizes, stretch = broadcast(*(x.shape for x in tensors)), expand.infer
    assert stretch is not None
    return [x if same_each(x.shape, sizes) else stretch(self=x, size=list(sizes))
            for x in tensors]


broadcast_tensors = composite("broadcast_tensors(Tensor[] tensors) -> Tensor[]",
                              _broadcast_tensors, _broadcast_types)
unsqueeze = view(
    "unsqueeze(Tensor(a) self, int dim) -> Tensor(a)",
    lambda dims, dim: (*dims[:(at := _unsqueeze_at(dims, dim))], 1, *dims[at:]), _unsqueeze_index)
squeeze = view("""
    squeeze(Tensor(a) self) -> Tensor(a)
    squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)
    squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)
    """, _squeeze_shape, _squeeze_index)


# parts of a dim -----------------------------------------------------------------------------------
def _resized(dims: Dims, at: int, size: Dim) -> Dims:
    return (*dims[:at], size, *dims[at + 1:])


def _moved_index(out: Index, at: int, place: Any) -> Index:
    return [*out[:at], place, *out[at + 1:]]


def _bounded(position: Dim | None, size: Dim, default: Dim) -> Dim:
    """A slice bound in [0, size]; negative ones count from the end."""
    if position is None:
        return default
    if isinstance(position, int) and position >= END:
        return size
    if position < 0:
        position = position + size
        return 0 if position < 0 else position
    return size if not same_dim(position, size) and position > size else position


def _slice_range(dims: Dims, dim: int, start: Dim | None, end: Dim | None,
                 step: Dim) -> tuple[int, Dim, Dim]:
    """The dim, first position and number of positions."""
    if not dims:
        fail("slice: a 0-d tensor cannot be sliced")
    if step <= 0:
        fail("slice: step must be positive")
    at = axis(dim, len(dims))
    first = _bounded(start, dims[at], 0)
    last = _bounded(end, dims[at], dims[at])
    return at, first, 0 if last <= first else (last - first + step - 1) // step


def _slice_shape(dims: Dims, dim: int, start: Dim | None, end: Dim | None, step: Dim) -> Dims:
    at, _, length = _slice_range(dims, dim, start, end, step)
    return _resized(dims, at, length)


def _slice_index(out: Index, dims: Dims, out_dims: Dims, dim: int, start: Dim | None,
                 end: Dim | None, step: Dim) -> Index:
    at, first, _ = _slice_range(dims, dim, start, end, step)
    return _moved_index(out, at, out[at] * step + first)


def _selected(dims: Dims, dim: int, index: Dim) -> tuple[int, Dim]:
    if not dims:
        fail("select: a 0-d tensor has no dim to select from")
    at = axis(dim, len(dims))
    position = index + dims[at] if index < 0 else index
    if position < 0 or position >= dims[at]:
        fail(f"index {index} is out of range for size {dims[at]}")
    return at, position


def _select_shape(dims: Dims, dim: int, index: Dim) -> Dims:
    at, _ = _selected(dims, dim, index)
    return (*dims[:at], *dims[at + 1:])


def _select_index(out: Index, dims: Dims, out_dims: Dims, dim: int, index: Dim) -> Index:
    at, position = _selected(dims, dim, index)
    return [*out[:at], position, *out[at:]]


def _narrowed(dims: Dims, dim: int, start: Dim, length: Dim) -> tuple[int, Dim]:
    if not dims:
        fail("narrow: a 0-d tensor has no dims")
    at = axis(dim, len(dims))
    first = start + dims[at] if start < 0 else start
    if length < 0 or first < 0 or first + length > dims[at]:
        fail(f"narrow: [{start}, {start} + {length}) is out of range for size {dims[at]}")
    return at, first


def _narrow_index(out: Index, dims: Dims, out_dims: Dims, dim: int, start: Dim,
                  length: Dim) -> Index:
    at, first = _narrowed(dims, dim, start, length)
    return _moved_index(out, at, out[at] + first)


slice_ = view("slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, "
              "SymInt step=1) -> Tensor(a)", _slice_shape, _slice_index)
select = view("select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)",
              _select_shape, _select_index, position="index")
narrow = view("narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)",
              lambda dims, dim, start, length: _resized(
                  dims, _narrowed(dims, dim, start, length)[0], length),
              _narrow_index)


# several parts ------------------------------------------------------------------------------------
def pieces(schemas: str, starts: Callable[..., list[Dim]]) -> Op:
    """Rows that cut `dim` into consecutive parts, which begin at `starts(size, **params)`."""

    def shape(dims: Dims, dim: int, **params: Any) -> list[Dims]:
        if not dims:
            fail("a 0-d tensor cannot be split")
        at = axis(dim, len(dims))
        bounds = [*starts(dims[at], **params), dims[at]]
        return [_resized(dims, at, end - start) for start, end in pairwise(bounds)]

    def index(out: Index, dims: Dims, out_dims: Dims, dim: int, piece: int, **params: Any) -> Index:
        at = axis(dim, len(dims))
        return _moved_index(out, at, out[at] + starts(dims[at], **params)[piece])

    return view(schemas, shape, index)


def _every(size: Dim, step: Dim) -> list[Dim]:
    """Starts of parts of `step` positions, the last one shorter."""
    if step < 0 or (step == 0 and size != 0):
        fail(f"split: size {step} must be positive")
    if not isinstance(size, int) or not isinstance(step, int):
        count = _count(size, step)
        return [step * k for k in range(count)]
    return list(range(0, size, step)) if size else [0]


def _count(size: Dim, step: Dim) -> int:
    """The number of parts: it shapes the graph, so a symbolic one is fixed by comparisons."""
    count = 1
    while step * count < size:
        count += 1
    return count


def _chunks(size: Dim, chunks: int) -> list[Dim]:
    if chunks <= 0:
        fail(f"chunk: {chunks} chunks")
    if isinstance(size, int) and size == 0:
        return [0] * chunks
    return _every(size, (size + chunks - 1) // chunks)


def _of_sizes(size: Dim, sizes: Sequence[Dim]) -> list[Dim]:
    starts: list[Dim] = [0]
    for length in sizes:
        if length < 0:
            fail("split: negative size")
        starts.append(starts[-1] + length)
    if starts.pop() != size:
        fail(f"split: sizes {list(sizes)} do not sum to {size}")
    return starts


def _sections(size: Dim, sections: int) -> list[Dim]:
    """Parts whose sizes differ by at most one, the longer ones first; the size must be known."""
    if sections <= 0 or not isinstance(size, int):
        fail(f"tensor_split: {sections} sections of {size}")
    short, longer = divmod(size, sections)
    return [k * short + min(k, longer) for k in range(sections)]


def _at_indices(size: Dim, indices: Sequence[Dim]) -> list[Dim]:
    """Parts that begin at given positions; out of order, they would overlap."""
    starts = [0, *(_bounded(i, size, 0) for i in indices)]
    if any(b < a for a, b in pairwise(starts)):
        fail("tensor_split: the indices decrease")
    return starts


def _unbind_shape(dims: Dims, dim: int) -> list[Dims]:
    if not dims:
        fail("unbind: a 0-d tensor has no dims")
    at = axis(dim, len(dims))
    return [(*dims[:at], *dims[at + 1:])] * _count_of(dims[at])


def _count_of(size: Dim) -> int:
    if isinstance(size, int):
        return size
    return _count(size, 1)


def _unbind_index(out: Index, dims: Dims, out_dims: Dims, dim: int, piece: int) -> Index:
    at = axis(dim, len(dims))
    return [*out[:at], piece, *out[at:]]


split = pieces("split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]",
               lambda size, split_size: _every(size, split_size))
split_sizes = pieces("""
    split.sizes(Tensor(a -> *) self, SymInt[] split_size, int dim=0) -> Tensor(a)[]
    """, lambda size, split_size: _of_sizes(size, split_size))
split_with_sizes = pieces("""
    split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]
    split(Tensor(a -> *) self, int[] split_sizes, int dim=0) -> Tensor(a)[]
    """, lambda size, split_sizes: _of_sizes(size, split_sizes))
chunk = pieces("chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]",
               lambda size, chunks: _chunks(size, chunks))
tensor_split = pieces("tensor_split.sections(Tensor(a -> *) self, SymInt sections, int dim=0) -> "
                      "Tensor(a)[]", lambda size, sections: _sections(size, sections))
tensor_split_indices = pieces(
    "tensor_split.indices(Tensor(a -> *) self, SymInt[] indices, int dim=0) -> Tensor(a)[]",
    lambda size, indices: _at_indices(size, indices))
unbind = view("unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]",
              _unbind_shape, _unbind_index)


# other index maps ---------------------------------------------------------------------------------
def _flip_index(out: Index, dims: Dims, out_dims: Dims, flipped: Sequence[int]) -> Index:
    over = {axis(d, len(dims)) for d in flipped}
    pairs = enumerate(zip(out, dims, strict=True))
    return [i * -1 + (d - 1) if k in over else i for k, (i, d) in pairs]


def _flip_shape(dims: Dims, flipped: Sequence[int]) -> Dims:
    if flipped:
        axes(flipped, len(dims))
    return dims


def _diagonal(dims: Dims, offset: int, dim1: int, dim2: int) -> tuple[int, int, Dim]:
    a, b = axis(dim1, len(dims)), axis(dim2, len(dims))
    if a == b or len(dims) < 2:
        fail("diagonal: two different dims are needed")
    rows, columns = (dims[a], dims[b] - offset) if offset >= 0 else (dims[a] + offset, dims[b])
    length = rows if rows <= columns else columns
    return a, b, 0 if length < 0 else length


def _diagonal_shape(dims: Dims, offset: int, dim1: int, dim2: int) -> Dims:
    a, b, length = _diagonal(dims, offset, dim1, dim2)
    return (*(d for k, d in enumerate(dims) if k not in (a, b)), length)


def _diagonal_index(out: Index, dims: Dims, out_dims: Dims, offset: int, dim1: int,
                    dim2: int) -> Index:
    a, b, _ = _diagonal(dims, offset, dim1, dim2)
    rest = iter(out[:-1])
    at = {a: out[-1] + max(-offset, 0), b: out[-1] + max(offset, 0)}
    return [at[k] if k in at else next(rest) for k in range(len(dims))]


def _unfold_shape(dims: Dims, dimension: int, size: int, step: int) -> Dims:
    at = axis(dimension, len(dims))
    if not dims or size < 0 or step <= 0 or size > dims[at]:
        fail(f"unfold: windows of {size} every {step} do not fit {list(dims)}")
    return (*_resized(dims, at, (dims[at] - size) // step + 1), size)


def _unfold_index(out: Index, dims: Dims, out_dims: Dims, dimension: int, size: int,
                  step: int) -> Index:
    at = axis(dimension, len(dims))
    return _moved_index(out[:-1], at, out[at] * step + out[-1])


def _roll(b: Any, x: Tensor, shifts: Sequence[int], dims: Sequence[int]) -> Any:
    """Per dim: the last `shift` positions in front of the others. The sizes must be known."""
    if not dims:
        flat = _roll(b, b.reshape(x, [-1]), shifts, [0])
        return flat if flat is None else b.view(flat, b.size(x))
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.type.shape[dim] if x.type.is_complete and x.type.rank else None
        if not isinstance(size, int) or size == 0 or not isinstance(shift, int):
            return None
        cut = -shift % size
        x = b.cat([b.slice(x, dim, cut, None, 1), b.slice(x, dim, 0, cut, 1)], dim)
    return x


def _repeat(b: Any, x: Tensor, repeats: Any) -> Tensor | None:
    """Every dim that repeats gets a new one in front; then the pairs are merged."""
    if not x.type.is_complete or not all(isinstance(r, int) and r > 0 for r in repeats):
        return None
    if len(repeats) < len(x.type.shape):
        return None
    for _ in range(len(repeats) - len(x.type.shape)):
        x = b.unsqueeze(x, 0)
    return _spread(b, x, {k: r for k, r in enumerate(repeats) if r > 1}, 0)


def _spread(b: Any, x: Tensor, repeats: dict[int, int], apart: int) -> Tensor:
    """A copy with dims repeated: as a whole (`apart` 0), or each element next to its like (1)."""
    for dim in reversed(repeats):
        x = b.unsqueeze(x, dim + apart)
    sizes = [-1] * len(x.type.shape)
    for k, (dim, count) in enumerate(repeats.items()):
        sizes[dim + apart + k] = count
    copy = b.op("aten::clone", b.expand(x, sizes), memory_format=CONTIGUOUS)
    for dim in repeats:
        copy = b.flatten(copy, dim, dim + 1)
    return copy


def _repeat_interleave(b: Any, x: Tensor, repeats: Any, dim: Any, output_size: Any) -> Any:
    if not x.type.is_complete or not isinstance(repeats, int) or repeats < 1:
        return None
    if output_size is not None or not isinstance(dim, int | None):
        return None
    if dim is None:
        x, dim = b.flatten(x), 0
    return _spread(b, x, {axis(dim, len(x.type.shape)): repeats}, 1)


flip = view("flip(Tensor self, int[] dims) -> Tensor  | .out",
            lambda in_dims, dims: _flip_shape(in_dims, dims),
            lambda out, in_dims, out_dims, dims: _flip_index(out, in_dims, out_dims, dims),
            copies=True)
fliplr = composite("fliplr(Tensor self) -> Tensor",
                   lambda b, x: b.flip(x, [1]) if x.type.rank and x.type.rank > 1 else None)
flipud = composite("flipud(Tensor self) -> Tensor",
                   lambda b, x: b.flip(x, [0]) if x.type.rank else None)
diagonal = view("diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)",
                _diagonal_shape, _diagonal_index)
unfold = view("unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)",
              _unfold_shape, _unfold_index)
roll = composite("roll(Tensor self, SymInt[1] shifts, int[1] dims=[]) -> Tensor  | .out", _roll)
repeat = composite("repeat(Tensor self, SymInt[] repeats) -> Tensor  | .out", _repeat)
repeat_interleave = composite(
    "repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, "
    "SymInt? output_size=None) -> Tensor", _repeat_interleave)
