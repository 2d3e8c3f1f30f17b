"""Rows of what a tensor's type says: sizes, strides, dtype. Known without looking at memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir.dims import product
from ir.dtypes import DType, Kind, code_of
from ir.op import Op, Opaque, row
from ir.typerules import Exactly, TypeRule, Unknown, axis, fail, is_known
from ir.types import BOOL, DEVICE, DTYPE, INT, LAYOUT, STR, ListType, TensorType, Type


def metadata(schema: str, python: Callable[..., Any], known: Callable[..., Any], type_: Type) -> Op:
    """A row; `known` gives the value from a complete type and the other parameters, or None."""
    return row(schema, Opaque(), python=python, infer=_rule(known, type_))


def _rule(known: Callable[..., Any], type_: Type) -> TypeRule:
    def infer(**params: Any) -> Exactly | Unknown | Type:
        tensor, *rest = params.values()
        if tensor is None or not tensor.is_complete or not is_known(*rest):
            return type_  # None where control never comes
        value = known(tensor, *rest)
        return type_ if value is None else Exactly(value)

    return infer


def _stride(tensor: TensorType, dim: int) -> Any:
    return tensor.strides and tensor.strides[_axis(tensor, dim)]


def _size(tensor: TensorType, dim: int) -> Any:
    return tensor.shape[_axis(tensor, dim)]


def _axis(tensor: TensorType, dim: int) -> int:
    if not tensor.shape:
        fail("a 0-d tensor has no dims")
    return axis(dim, len(tensor.shape))


def _strides(tensor: TensorType) -> list[Any] | None:
    return None if tensor.strides is None or None in tensor.strides else list(tensor.strides)


def _of_dtype(column: Callable[[DType], Any]) -> Callable[[TensorType], Any]:
    return lambda tensor: None if tensor.dtype is None else column(tensor.dtype)


metadata(
    "aten::size(Tensor self) -> int[]",
    lambda self: list(self.size()),
    lambda t: list(t.shape),
    ListType(INT),
)
metadata(
    "aten::size.int(Tensor self, int dim) -> int", lambda self, dim: self.size(dim), _size, INT
)
metadata(
    "aten::stride(Tensor self) -> int[]",
    lambda self: list(self.stride()),
    _strides,
    ListType(INT),
)
metadata(
    "aten::stride.int(Tensor self, int dim) -> int",
    lambda self, dim: self.stride(dim),
    _stride,
    INT,
)
metadata("aten::dim(Tensor self) -> int", lambda self: self.dim(), lambda t: len(t.shape), INT)
metadata(
    "aten::numel(Tensor self) -> int", lambda self: self.numel(), lambda t: product(t.shape), INT
)
metadata("aten::len.Tensor(Tensor t) -> int", len, lambda t: t.shape[0] if t.shape else None, INT)
metadata("prim::dtype(Tensor a) -> ScalarType", lambda a: a.dtype, _of_dtype(lambda d: d), DTYPE)
row(  # in programs of TorchScript a dtype is an int
    "aten::Int.dtype(ScalarType a) -> int",
    Opaque(),
    python=code_of,
    infer=lambda a: Exactly(a.code) if isinstance(a, DType) else INT,
)
metadata("prim::device(Tensor a) -> Device", lambda a: a.device, lambda t: t.device, DEVICE)
row(
    "prim::type(Device self) -> str",
    Opaque(),
    python=lambda self: self.type,
    infer=lambda self: Exactly(self.partition(":")[0]) if isinstance(self, str) else STR,
)
for _name in ("nested", "sparse", "quantized", "mkldnn"):  # what has sizes and strides is dense
    metadata(
        f"prim::is_{_name}(Tensor a) -> bool",
        lambda a, name=f"is_{_name}": getattr(a, name),
        lambda t: False,
        BOOL,
    )
for _name in ("cpu", "cuda", "mps", "xpu", "meta"):
    metadata(
        f"prim::is_{_name}(Tensor a) -> bool",
        lambda a, name=f"is_{_name}": getattr(a, name),
        lambda t, name=_name: None if t.device is None else t.device.partition(":")[0] == name,
        BOOL,
    )
_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "_mkldnn", "sparse_csc", "sparse_bsr",
            "sparse_bsc", "jagged")  # fmt: skip


def _layout_code(layout: object) -> int:
    """The code of a layout; what plans hold is that code already."""
    if isinstance(layout, int):
        return layout
    return _LAYOUTS.index(str(layout).removeprefix("torch."))


# What has sizes and strides is strided.
metadata("prim::layout(Tensor a) -> Layout", lambda a: a.layout, lambda t: 0, LAYOUT)
row(
    "aten::Int.layout(Layout a) -> int",
    Opaque(),
    python=_layout_code,
    infer=lambda a: Exactly(a) if isinstance(a, int) else INT,
)
metadata(
    "prim::itemsize(Tensor a) -> int", lambda a: a.itemsize, _of_dtype(lambda d: d.itemsize), INT
)
metadata(
    "aten::element_size(Tensor self) -> int",
    lambda self: self.element_size(),
    _of_dtype(lambda d: d.itemsize),
    INT,
)
metadata(
    "aten::is_floating_point(Tensor self) -> bool",
    lambda self: self.is_floating_point(),
    _of_dtype(lambda d: d.is_float),
    BOOL,
)
metadata(
    "aten::is_complex(Tensor self) -> bool",
    lambda self: self.is_complex(),
    _of_dtype(lambda d: d.kind is Kind.COMPLEX),
    BOOL,
)
metadata(
    "aten::is_signed(Tensor self) -> bool",
    lambda self: self.is_signed(),
    _of_dtype(lambda d: d.is_signed),
    BOOL,
)
