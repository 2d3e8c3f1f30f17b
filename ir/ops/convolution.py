"""Rows of convolutions, pooling, resizing and padding: called, with sizes and layouts of the
results stated here.

Sizes along a spatial dim, for a window of `kernel` elements, `dilation` apart:

    convolution, pooling    (size + 2 padding - dilation (kernel - 1) - 1) // stride + 1
    transposed              (size - 1) stride - 2 padding + dilation (kernel - 1) + padding' + 1

Results are row-major, or channels-last when the input is (for a convolution: or the weight).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dims import Dim
from ir.dtypes import int64
from ir.ops.factory import FLOATS, structured
from ir.strides import Layout, is_channels_last, is_contiguous, suggests_channels_last
from ir.typerules import fail, filled, is_known
from ir.types import TENSOR, TensorType

Sizes = Sequence[Any]


def _layout(tensor: TensorType) -> Layout | None:
    strides = tensor.strides
    if strides is None or None in strides or not tensor.is_complete:
        return None
    return Layout(tensor.shape, strides)  # type: ignore[arg-type]


def _result(dims: tuple[Dim, ...], *operands: TensorType) -> TensorType:
    """A result laid out as the operands suggest; unknown where that is not decided by law."""
    layouts = [_layout(t) for t in operands]
    if all(x is not None and is_contiguous(x) for x in layouts):
        return filled(dims, operands[0].dtype)
    first = layouts[0]
    if first is None or len(dims) != 4:
        return TENSOR
    if suggests_channels_last(first):
        return _channels_last(dims, operands[0])
    return filled(dims, operands[0].dtype) if is_channels_last(first) else TENSOR


def _channels_last(dims: tuple[Dim, ...], like: TensorType) -> TensorType:
    _, c, h, w = dims
    return TensorType(like.dtype, dims, (h * w * c, 1, w * c, c), device="cpu")


def _each(values: Any, rank: int) -> list[Any]:
    """A parameter per spatial dim; one value stands for all."""
    items = [values] if isinstance(values, int) else list(values)
    return items * rank if len(items) == 1 else items


def _windows(size: Dim, kernel: Dim, stride: int, padding: int, dilation: int,
             ceil_mode: bool = False) -> Dim:
    """How many windows fit."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    if stride <= 0 or span < 0:
        fail(f"windows of {kernel} every {stride} do not fit {size}")
    if not ceil_mode:
        return span // stride + 1
    count = (span + (stride - 1)) // stride + 1
    return count - 1 if (count - 1) * stride >= size + padding else count  # starts in the padding


def _is_floats(*tensors: TensorType | None) -> bool:
    present = [t for t in tensors if t is not None]
    dtypes = {t.dtype for t in present}
    return all(t.is_complete for t in present) and len(dtypes) == 1 and dtypes <= set(FLOATS)


# convolutions -------------------------------------------------------------------------------------
def _conv_type(input: TensorType, weight: TensorType, bias: TensorType | None, stride: Sizes,
               padding: Any, dilation: Sizes, groups: int, output_padding: Sizes | None = None,
               ) -> TensorType:
    if not _is_floats(input, weight, bias) or not is_known(
            stride, padding, dilation, groups, output_padding):
        return TENSOR
    rank = len(weight.shape) - 2
    if len(input.shape) not in (rank + 1, rank + 2):
        fail(f"a convolution of {list(input.shape)} with {list(weight.shape)}")
    batch, channels, sizes = input.shape[:-rank - 1], input.shape[-rank - 1], input.shape[-rank:]
    is_transposed = output_padding is not None
    if channels != (weight.shape[0] if is_transposed else weight.shape[1] * groups):
        fail(f"{channels} channels for a weight of {list(weight.shape)} in {groups} groups")
    steps, apart = _each(stride, rank), _each(dilation, rank)
    if isinstance(padding, str):
        out = _padded_by_name(sizes, weight.shape[2:], steps, apart, padding)
    elif output_padding is None:
        out = [_windows(*given) for given in zip(
            sizes, weight.shape[2:], steps, _each(padding, rank), apart, strict=True)]
    else:
        out = [(n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, k, s, p, d, extra in zip(
            sizes, weight.shape[2:], steps, _each(padding, rank), apart,
            _each(output_padding, rank), strict=True)]
    made = weight.shape[1] * groups if is_transposed else weight.shape[0]
    if rank == 1 and not is_transposed and _is_signal(input, weight):
        return filled((*batch, made, *out), input.dtype)
    return _conv_result((*batch, made, *out), input, weight)


def _is_signal(input: TensorType, weight: TensorType) -> bool:
    """Whether results are row-major wherever the input lies: signals of more than one element are
    no images for torch.
    """
    layout = _layout(weight)
    return input.shape[-1] != 1 and layout is not None and is_contiguous(layout)


def _conv_result(dims: tuple[Dim, ...], input: TensorType, weight: TensorType) -> TensorType:
    """A weight that is channels-last and nothing else makes the result of a row-major input so."""
    given, layout = _layout(input), _layout(weight)
    decides = layout is not None and is_channels_last(layout) and not is_contiguous(layout)
    if decides and len(dims) == 4 and given is not None and is_contiguous(given):
        return _channels_last(dims, input)
    return _result(dims, input, weight)


def _padded_by_name(sizes: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes,
                    padding: str) -> list[Dim]:
    if padding == "same" and all(s == 1 for s in stride):
        return list(sizes)
    if padding != "valid":
        fail(f"padding {padding!r} with stride {list(stride)}")
    return [_windows(n, k, s, 0, d)
            for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]


_OPERANDS = "Tensor input, Tensor weight, Tensor? bias=None"
for _rank in (1, 2, 3):
    _ones, _zeros = ([value] * _rank for value in (1, 0))
    structured(f"""
        conv{_rank}d({_OPERANDS}, SymInt[{_rank}] stride={_ones}, SymInt[{_rank}] padding={_zeros},\
 SymInt[{_rank}] dilation={_ones}, SymInt groups=1) -> Tensor
        conv{_rank}d.padding({_OPERANDS}, SymInt[{_rank}] stride={_ones}, str padding="valid",\
 SymInt[{_rank}] dilation={_ones}, SymInt groups=1) -> Tensor
        """, _conv_type)
    _overload = "" if _rank == 1 else ".input"
    structured(f"conv_transpose{_rank}d{_overload}({_OPERANDS}, SymInt[{_rank}] stride={_ones}, "
               f"SymInt[{_rank}] padding={_zeros}, SymInt[{_rank}] output_padding={_zeros}, "
               f"SymInt groups=1, SymInt[{_rank}] dilation={_ones}) -> Tensor", _conv_type)
structured("convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, "
           "SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, "
           "SymInt groups) -> Tensor",
           lambda transposed, output_padding, **params: TENSOR if not isinstance(transposed, bool)
           else _conv_type(**params, output_padding=output_padding if transposed else None))


# pooling ------------------------------------------------------------------------------------------
def _pool_type(rank: int, self: TensorType, kernel_size: Sizes, stride: Sizes, padding: Sizes,
               dilation: Sizes = (1,), ceil_mode: bool = False) -> TensorType:
    if not _is_floats(self) or not is_known(kernel_size, stride, padding, dilation, ceil_mode):
        return TENSOR
    if len(self.shape) not in (rank + 1, rank + 2):
        fail(f"pooling over {rank} dims of {list(self.shape)}")
    kernel = _each(kernel_size, rank)
    given = zip(self.shape[-rank:], kernel, _each(stride or kernel, rank), _each(padding, rank),
                _each(dilation, rank), [ceil_mode] * rank, strict=True)
    return _result((*self.shape[:-rank], *(_windows(*g) for g in given)), self)


def _adaptive_type(rank: int, self: TensorType, output_size: Sizes) -> TensorType:
    if not _is_floats(self) or not is_known(output_size):
        return TENSOR
    if len(self.shape) not in (rank + 1, rank + 2):
        fail(f"pooling over {rank} dims of {list(self.shape)}")
    return _result((*self.shape[:-rank], *_each(output_size, rank)), self)


def _average(b: Any, x: Any, output_size: Any) -> Any:
    """One window over everything is a mean."""
    sizes = [output_size] if isinstance(output_size, int) else output_size
    if not isinstance(sizes, list | tuple) or any(not isinstance(n, int) or n != 1 for n in sizes):
        return None
    layout = _layout(x.type)
    if layout is None or not is_contiguous(layout) or not _is_floats(x.type):
        return None
    return b.mean(x, list(range(-len(sizes), 0)), True)


def _declare_pooling(rank: int) -> None:
    n, zeros = f"int[{rank}]", "[0]" if rank == 1 else "0"
    ones = "[1]" if rank == 1 else "1"
    structured(f"max_pool{rank}d(Tensor self, {n} kernel_size, {n} stride=[], {n} padding={zeros}, "
               f"{n} dilation={ones}, bool ceil_mode=False) -> Tensor",
               lambda **params: _pool_type(rank, **params))
    divisor = ", int? divisor_override=None" if rank > 1 else ""
    structured(f"avg_pool{rank}d(Tensor self, {n} kernel_size, {n} stride=[], {n} padding={zeros}, "
               f"bool ceil_mode=False, bool count_include_pad=True{divisor}) -> Tensor | .out",
               lambda count_include_pad, divisor_override=None, **params: _pool_type(
                   rank, **params))
    sym = n if rank == 1 else f"Sym{n[0].upper()}{n[1:]}"
    structured(f"adaptive_avg_pool{rank}d(Tensor self, {sym} output_size) -> Tensor | .out",
               lambda self, output_size: _adaptive_type(rank, self, output_size), _average)


for _rank in (1, 2, 3):
    _declare_pooling(_rank)


def _with_indices(self: TensorType, **params: Any) -> tuple[TensorType, TensorType]:
    values = _pool_type(2, self, **params)
    return values, values.with_(dtype=int64) if values.is_complete else TENSOR


structured("max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], "
           "int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
           _with_indices)


# resizing -----------------------------------------------------------------------------------------
def _resized(self: TensorType, output_size: Any, factors: Any = None) -> TensorType:
    if not _is_floats(self) or not is_known(output_size, factors):
        return TENSOR
    rank, sizes = len(self.shape) - 2, output_size
    if sizes is None and factors is not None and len(factors) == rank:
        sizes = [_multiple(d, f) for d, f in zip(self.shape[2:], factors, strict=True)]
    if sizes is None or None in sizes:
        return TENSOR
    if len(sizes) != rank:
        fail(f"{len(sizes)} sizes for {rank} dims")
    return _result((*self.shape[:2], *sizes), self)


def _multiple(size: Dim, factor: float) -> Dim | None:
    """A size times a factor, rounded down; None when that is not known."""
    if isinstance(size, int):
        return int(size * factor)
    return size * int(factor) if factor == int(factor) else None


for _name, _corners in (("nearest", ""), ("bilinear", "bool align_corners, "),
                        ("bicubic", "bool align_corners, ")):
    structured(f"""
        upsample_{_name}2d(Tensor self, SymInt[2] output_size, {_corners}float? scales_h=None, \
float? scales_w=None) -> Tensor | .out
        """, lambda self, output_size, **_: _resized(self, output_size))
    structured(f"""
        upsample_{_name}2d.vec(Tensor input, SymInt[]? output_size, {_corners}\
float[]? scale_factors) -> Tensor
        """, lambda input, output_size, scale_factors, **_: _resized(
            input, output_size, scale_factors))


# padding ------------------------------------------------------------------------------------------
def _padded(self: TensorType, pad: Any, mode: Any, value: Any) -> TensorType:
    """`pad` names how much before and after, the last dim first."""
    layout = _layout(self)
    if layout is None or not is_known(pad) or (mode == "circular" and not is_contiguous(layout)):
        return TENSOR
    dims = list(self.shape)
    if len(pad) % 2 or len(pad) > 2 * len(dims):
        fail(f"pad {list(pad)} does not fit {len(dims)} dims")
    for k in range(len(pad) // 2):
        dims[-1 - k] = dims[-1 - k] + pad[2 * k] + pad[2 * k + 1]
    return _result(tuple(dims), self)


structured("pad(Tensor self, SymInt[] pad, str mode=\"constant\", float? value=None) -> Tensor",
           _padded)
