"""Tensors of an archive: storages over its members, and the functions that pickles rebuild tensors
with.

A storage on the CPU is the member's own bytes (copied only when a packer has not aligned them), so
tensors that share a storage in the file share memory here. Sizes, strides and offsets are checked
against the storage before torch sees them.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ir import record
from jit.archive.reader import ArchiveReader
from jit.archive.unpickler import StorageRef

ALIGNMENT = 16  # bytes, that of the largest element
MAX_RANK = 64

_DTYPES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexHalfStorage": torch.complex32,
    "QInt8Storage": torch.qint8,
    "QUInt8Storage": torch.quint8,
    "QInt32Storage": torch.qint32,
    "QUInt4x2Storage": torch.quint4x2,
    "QUInt2x4Storage": torch.quint2x4,
} | {
    f"{name}Storage": getattr(torch, name.lower())
    for name in ("UInt16", "UInt32", "UInt64", "Float8_e4m3fn", "Float8_e5m2", "Float8_e4m3fnuz",
                 "Float8_e5m2fnuz", "Float8_e8m0fnu")
    if hasattr(torch, name.lower())
}  # fmt: skip
_KINDS = {dtype: kind for kind, dtype in _DTYPES.items()}
_BITS = {torch.quint4x2: 4, torch.quint2x4: 2}


@record
class Storage:
    """Bytes and how they are read."""

    content: torch.UntypedStorage
    dtype: torch.dtype
    numel: int


def dtype_of_storage(kind: str) -> torch.dtype:
    """The dtype of a class of storages; ValueError for an unknown one."""
    found = _DTYPES.get(kind)
    if found is None:
        raise ValueError(f"torch.{kind} is not supported")
    return found


def storage_of_dtype(dtype: torch.dtype) -> str:
    """The class of storages of a dtype; TypeError for one that archives do not have."""
    found = _KINDS.get(dtype)
    if found is None:
        raise TypeError(f"archives cannot hold a tensor of {dtype}")
    return found


def storage_size(dtype: torch.dtype, numel: int) -> int:
    """The bytes that elements take."""
    bits = _BITS.get(dtype)
    return numel * dtype.itemsize if bits is None else -(-numel * bits // 8)


class Storages:
    """The storages of one pickle, each made once."""

    def __init__(self, reader: ArchiveReader, folder: str, device: torch.device | None) -> None:
        self._reader = reader
        self._folder = folder
        self._device = device
        self._made: dict[str, torch.UntypedStorage] = {}

    def get(self, ref: StorageRef) -> Storage:
        """The storage that a pickle names."""
        dtype = dtype_of_storage(ref.kind)
        if ref.numel < 0:
            raise ValueError("a storage of a negative size")
        size = storage_size(dtype, ref.numel)
        content = self._made.get(ref.key)
        if content is None:
            content = self._made[ref.key] = self._read(ref, size)
        if content.nbytes() < size:
            raise ValueError(f"storage {ref.key} is used with {size} bytes, but is smaller")
        return Storage(content, dtype, ref.numel)

    def _read(self, ref: StorageRef, size: int) -> torch.UntypedStorage:
        device = self._device or torch.device(ref.device)
        if device.type == "meta":
            return torch.UntypedStorage(size, device="meta")
        member = f"{self._folder}/{ref.key}"
        found = self._reader.size(member)
        if found != size:
            raise self._reader.error(member, f"expected {size} bytes, found {found}")
        made = _over(self._reader.view(member))
        if device.type == "cpu":
            return made
        try:
            return torch.empty(0, dtype=torch.uint8, device="cpu").set_(made).to(
                device).untyped_storage()  # fmt: skip
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise self._reader.error(
                member, f"it was saved from {device}, which is not there ({reason}): "
                "pass map_location='cpu'"
            ) from None  # fmt: skip


def _over(buffer: Any) -> torch.UntypedStorage:
    """A storage over a buffer's own memory."""
    if len(buffer) == 0:
        return torch.UntypedStorage(0)
    content = torch.frombuffer(buffer, dtype=torch.uint8)
    if content.data_ptr() % ALIGNMENT:
        content = content.clone()
    return content.untyped_storage()


# tensors ------------------------------------------------------------------------------------------


def rebuild(kind: str, arguments: tuple[Any, ...]) -> torch.Tensor:
    """The tensor that a rebuilding function of `torch._utils` makes of its arguments."""
    match kind, arguments:
        case "_rebuild_tensor", (storage, offset, size, stride):
            return _strided(storage, offset, size, stride)
        case "_rebuild_tensor_v2" | "_rebuild_tensor_v3", (
            storage, offset, size, stride, requires_grad, _, *rest
        ):  # fmt: skip
            made = _strided(storage, offset, size, stride)
            if kind == "_rebuild_tensor_v2" and rest:
                made = _with_bits(made, rest[0])
            return made.requires_grad_(bool(requires_grad)) if requires_grad else made
        case "_rebuild_qtensor", (storage, offset, size, stride, quantizer, requires_grad, _):
            return _quantized(storage, offset, size, stride, quantizer)
        case "_rebuild_sparse_tensor", (layout, data):
            return _sparse(layout, data)
        case "_rebuild_sparse_tensor", (layout, size, requires_grad, *parts, _):
            return _compressed(layout, size, parts).requires_grad_(bool(requires_grad))
        case "_rebuild_parameter", (data, requires_grad, _):
            return torch.nn.Parameter(data, bool(requires_grad))
    raise ValueError(f"{kind} is called with {len(arguments)} arguments")


def _strided(storage: Any, offset: Any, size: Any, stride: Any) -> torch.Tensor:
    _check_extent(storage, offset, size, stride)
    content = storage.content
    made = torch.empty(0, dtype=storage.dtype, device=content.device)
    return made.set_(content, offset, size, stride)


def _check_extent(storage: Any, offset: Any, size: Any, stride: Any) -> None:
    """ValueError when a tensor does not lie inside its storage."""
    if not isinstance(storage, Storage) or not _are_sizes(offset, *size, *stride):
        raise ValueError("a tensor is not described by a storage, an offset, sizes and strides")
    if len(size) != len(stride) or len(size) > MAX_RANK:
        raise ValueError(f"a tensor of {len(size)} sizes and {len(stride)} strides")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.numel:
        raise ValueError(f"a tensor reaches element {last} of a storage of {storage.numel}")
    if offset > storage.numel or math.prod(size) >= 1 << 62:
        raise ValueError("a tensor does not lie inside its storage")


def _are_sizes(*values: Any) -> bool:
    return all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _with_bits(tensor: torch.Tensor, bits: Any) -> torch.Tensor:
    """The conjugate and negative views that a tensor was saved as."""
    if not isinstance(bits, dict):
        raise ValueError("the bits of a tensor are no dict")
    if bits.get("conj"):
        torch._C._set_conj(tensor, True)
    if bits.get("neg"):
        torch._C._set_neg(tensor, True)
    return tensor


def _quantized(storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any) -> torch.Tensor:
    _check_extent(storage, offset, size, stride)
    device = storage.content.device
    scheme, *parameters = quantizer
    if scheme in ("per_tensor_affine", "per_tensor_symmetric"):
        scale, zero_point = parameters
        made = torch._empty_affine_quantized(
            [0], scale=scale, zero_point=zero_point, dtype=storage.dtype, device=device
        )
    else:
        scales, zero_points, axis = parameters
        made = torch._empty_per_channel_affine_quantized(
            list(size), scales=scales, zero_points=zero_points, axis=axis, dtype=storage.dtype,
            device=device,
        )  # fmt: skip
    return made.set_(storage.content, offset, size, stride)


def _sparse(layout: Any, data: Any) -> torch.Tensor:
    indices, values, size, *_ = data
    if layout not in (1, torch.sparse_coo):
        raise ValueError(f"sparse layout {layout} is not supported")
    if not _are_sizes(*size):
        raise ValueError("a sparse tensor has no sizes")
    return torch.sparse_coo_tensor(indices, values, tuple(size), check_invariants=True)


# Layouts by their codes in archives, as far as tensors of them are made of three parts.
_COMPRESSED = {2: torch.sparse_csr, 4: torch.sparse_csc, 5: torch.sparse_bsr, 6: torch.sparse_bsc}


def _compressed(layout: Any, size: Any, parts: list[Any]) -> torch.Tensor:
    """A sparse tensor as TorchScript stores it: its sizes, then its parts."""
    if layout == 1:
        return _sparse(layout, (*parts, size))
    if layout not in _COMPRESSED or len(parts) != 3 or not _are_sizes(*size):
        raise ValueError(f"sparse layout {layout} is not supported")
    compressed, plain, values = parts
    return torch.sparse_compressed_tensor(
        compressed, plain, values, tuple(size), layout=_COMPRESSED[layout], check_invariants=True
    )
