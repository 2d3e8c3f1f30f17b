"""Values as the pickles of archives, `data.pkl` and `constants.pkl`: protocol 2, and of it the
opcodes that TorchScript's own reader knows.

    tensors        `torch._utils._rebuild_tensor_v2` on a storage, which is a member of its own;
                   storages and tensors that are shared stay shared
    objects        their class and a dict of their slots, or what `__getstate__` returns
    lists, dicts   tagged with their type, so that empty ones keep it
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    TENSOR,
    ClassDef,
    DictType,
    DType,
    ListType,
    ObjectType,
    OptionalType,
    TupleType,
    Type,
    UnionType,
    constant_of,
    erased_type_of,
)
from jit.archive.source.annotations import read_tag
from jit.archive.spelling import annotation
from jit.archive.tensors import storage_of_dtype

_BUILDERS = {
    INT: "build_intlist",
    FLOAT: "build_doublelist",
    BOOL: "build_boollist",
    TENSOR: "build_tensorlist",
}
_PICKLE = "torch.jit._pickle"
# What the parts of a compressed tensor are called, by layout.
_SPARSE_PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


class Pickler:
    """Pickles one value and gathers the storages that it refers to."""

    def __init__(
        self,
        class_at: Callable[[Any], ClassDef | None],
        attribute: Callable[[Any, str], Any] = getattr,
        device: str | None = None,
    ) -> None:
        """`class_at` gives the class of an object of the program, None for other values;
        `attribute` what a field of an object holds. Tensors are said to be on `device`, by default
        on their own.
        """
        self._device = device
        self.storages: list[torch.UntypedStorage] = []
        self._class_at = class_at
        self._attribute = attribute
        self._parts: list[bytes] = []
        self._memo: dict[object, int] = {}
        self._kept: list[object] = []  # what the memo's identities belong to
        self._storage_keys: dict[int, int] = {}

    def dump(self, value: Any, type_: Type) -> bytes:
        """The pickle of a value of a type."""
        self._parts = [b"\x80\x02"]
        self.push(value, type_)
        self._parts.append(b".")
        return b"".join(self._parts)

    def push(self, value: Any, type_: Type) -> None:
        """One value. What its type leaves open is taken from the value."""
        if isinstance(type_, OptionalType):
            type_ = type_.element
        if isinstance(type_, UnionType) or type_ == ANY:
            type_ = erased_type_of(value)
        definition = self._class_at(value)
        if definition is not None:
            self._push_object(value, definition)
            return
        match value:
            case None:
                self._emit(b"N")
            case bool():
                self._emit(b"\x88" if value else b"\x89")
            case int() if type_ in (FLOAT, COMPLEX):
                self.push(float(value) if type_ == FLOAT else complex(value), type_)
            case int():
                self._push_int(value)
            case float():
                self._emit(b"G" + struct.pack(">d", value))
            case complex():
                self._push_call("builtins", "complex", (value.real, value.imag), (FLOAT, FLOAT))
            case torch.Tensor():
                self._memoized(value, lambda: self._push_tensor(value))
            case tuple():
                elements = type_.elements if isinstance(type_, TupleType) else ()
                self._push_tuple(value, elements or tuple(map(erased_type_of, value)))
            case list():
                self._memoized(value, lambda: self._push_list(value, type_))
            case dict():
                self._memoized(value, lambda: self._push_dict(value, type_))
            case torch.device():
                self._push_device(str(value))
            case torch.ScriptObject():
                self._memoized(value, lambda: self._push_bound(value))
            case _:
                self._push_rest(value, type_)

    def _push_rest(self, value: Any, type_: Type) -> None:
        """Text, and what the IR keeps as an integer or as text."""
        kept, found = constant_of(value)
        if isinstance(kept, DType):
            self._push_int(kept.code)
        elif isinstance(kept, int):
            self._push_int(kept)
        elif isinstance(kept, str) and found == DEVICE:
            self._push_device(kept)
        elif isinstance(kept, str):
            self._push_text(kept)
        else:
            raise TypeError(f"archives cannot hold a {type(value).__qualname__}: {value!r:.80}")

    # opcodes ----------------------------------------------------------------------------------

    def _emit(self, code: bytes) -> None:
        self._parts.append(code)

    def _remember(self, key: object) -> None:
        """Give what was just pushed a number in the memo."""
        number = self._memo[key] = len(self._memo)
        self._emit(b"q" + bytes((number,)) if number < 256 else b"r" + struct.pack("<I", number))

    def _recall(self, key: object) -> bool:
        number = self._memo.get(key)
        if number is None:
            return False
        self._emit(b"h" + bytes((number,)) if number < 256 else b"j" + struct.pack("<I", number))
        return True

    def _memoized(self, value: object, push: Callable[[], None]) -> None:
        """Push an object once; the second time it is the same one."""
        key = ("object", id(value))
        if not self._recall(key):
            push()
            self._kept.append(value)
            self._remember(key)

    def _push_global(self, module: str, name: str) -> None:
        if not self._recall((module, name)):
            self._emit(f"c{module}\n{name}\n".encode())
            self._remember((module, name))

    def _push_text(self, text: str) -> None:
        if not self._recall(text):
            data = text.encode()
            self._emit(b"X" + struct.pack("<I", len(data)) + data)
            self._remember(text)

    def _push_int(self, value: int) -> None:
        if 0 <= value < 1 << 8:
            self._emit(b"K" + bytes((value,)))
        elif 0 <= value < 1 << 16:
            self._emit(b"M" + struct.pack("<H", value))
        elif -(1 << 31) <= value < 1 << 31:
            self._emit(b"J" + struct.pack("<i", value))
        elif -(1 << 63) <= value < 1 << 63:
            self._emit(b"\x8a\x08" + struct.pack("<q", value))
        else:
            raise OverflowError(f"archives hold integers of 64 bits, not {value}")

    def _push_tuple(self, values: Sequence[Any], types: Sequence[Type]) -> None:
        self._push_items(values, types, len(values) > 3)
        self._emit((b")", b"\x85", b"\x86", b"\x87", b"t")[min(len(values), 4)])

    def _push_items(self, values: Sequence[Any], types: Sequence[Type], marked: bool) -> None:
        if marked:
            self._emit(b"(")
        for value, type_ in zip(values, types, strict=True):
            self.push(value, type_)

    def _push_ints(self, values: Sequence[int]) -> None:
        self._emit(b"(")
        for value in values:
            self._push_int(value)
        self._emit(b"t")

    def _push_call(
        self, module: str, name: str, args: Sequence[Any], types: Sequence[Type]
    ) -> None:
        self._push_global(module, name)
        self._push_tuple(args, types)
        self._emit(b"R")

    # containers -------------------------------------------------------------------------------

    def _push_list(self, values: list[Any], type_: Type) -> None:
        type_ = type_ if isinstance(type_, ListType) else erased_type_of(values)
        assert isinstance(type_, ListType)
        builder = _BUILDERS.get(type_.element)
        if builder:
            self._push_global(_PICKLE, builder)
            self._emit(b"(]")
        else:
            self._push_global(_PICKLE, "restore_type_tag")
            self._emit(b"]")
        self._push_items(values, [type_.element] * len(values), True)
        self._emit(b"e")
        if builder:
            self._emit(b"tR")
        else:
            self._push_tag(type_)

    def _push_dict(self, values: dict[Any, Any], type_: Type) -> None:
        type_ = type_ if isinstance(type_, DictType) else erased_type_of(values)
        assert isinstance(type_, DictType)
        self._push_global(_PICKLE, "restore_type_tag")
        self._emit(b"}(")
        for key, value in values.items():
            self.push(key, type_.key)
            self.push(value, type_.value)
        self._emit(b"u")
        self._push_tag(type_)

    def _push_tag(self, type_: Type) -> None:
        self._push_text(annotation(type_))
        self._emit(b"\x86R")

    def _push_device(self, name: str) -> None:
        self._push_global("torch", "device")
        self._push_text(name)
        self._emit(b"\x85R")

    # objects ----------------------------------------------------------------------------------

    def _push_object(self, value: Any, definition: ClassDef) -> None:
        module, _, name = definition.name.rpartition(".")
        if isinstance(value, enum.Enum):
            self._push_global(module, name)
            self.push(value.value, erased_type_of(value.value))
            self._emit(b"R")  # TorchScript's reader wants no tuple here
        elif isinstance(value, tuple):
            self._push_tuple(value, [f.type for f in definition.fields.values()])
        else:
            self._memoized(value, lambda: self._push_instance(value, definition, module, name))

    def _push_instance(self, value: Any, definition: ClassDef, module: str, name: str) -> None:
        self._push_global(module, name)
        self._emit(b")\x81")
        state = definition.methods.get("__getstate__")
        if state is not None:
            self.push(value.__getstate__(), state.graph.returns[0].type)
        else:
            self._emit(b"}(")
            for field, declared in definition.fields.items():
                self._push_text(field)
                self.push(self._attribute(value, field), declared.type)
            self._emit(b"u")
        self._emit(b"b")

    def _push_bound(self, value: Any) -> None:
        """An object of torch's registry of classes, by its own state."""
        module, _, name = str(value._type()).rpartition(".")
        self._push_global(module, name)
        self._emit(b")\x81")
        method = value._get_method("__getstate__")
        declared = method.schema.returns[0].type.annotation_str
        self.push(method(), read_tag(declared, ObjectType))
        self._emit(b"b")

    # tensors ----------------------------------------------------------------------------------

    def _push_tensor(self, tensor: torch.Tensor) -> None:
        if tensor.layout in _SPARSE_PARTS:
            self._push_sparse(tensor)
            return
        if tensor.layout is not torch.strided:
            raise TypeError(f"archives cannot hold a tensor of layout {tensor.layout}")
        rebuild = "_rebuild_qtensor" if tensor.is_quantized else "_rebuild_tensor_v2"
        self._push_global("torch._utils", rebuild)
        self._emit(b"(")
        self._push_storage(tensor)
        self._push_int(int(tensor.storage_offset()))
        self._push_ints(tensor.shape)
        self._push_ints(tensor.stride())
        if tensor.is_quantized:
            self._push_quantizer(tensor)
        self.push(tensor.requires_grad, BOOL)
        self._push_call("collections", "OrderedDict", (), ())
        bits = {"conj": tensor.is_conj(), "neg": tensor.is_neg()}
        if any(bits.values()):
            self._push_dict({k: v for k, v in bits.items() if v}, erased_type_of({"conj": True}))
        self._emit(b"tR")

    def _push_storage(self, tensor: torch.Tensor) -> None:
        """A storage, once; readers share what the memo shares."""
        storage = tensor.untyped_storage()
        known = ("storage", storage._cdata, tensor.dtype)
        if self._recall(known):
            return
        number = self._storage_keys.setdefault(storage._cdata, len(self.storages))
        if number == len(self.storages):
            self.storages.append(storage)
        self._emit(b"(")
        self._push_text("storage")
        self._push_global("torch", storage_of_dtype(tensor.dtype))
        self._push_text(str(number))
        self._push_text(self._device or str(tensor.device))
        self._push_int(storage.nbytes() // tensor.element_size())
        self._emit(b"tQ")
        self._remember(known)

    def _push_quantizer(self, tensor: torch.Tensor) -> None:
        self._emit(b"(")
        scheme = tensor.qscheme()
        self._push_global("torch", str(scheme).removeprefix("torch."))
        if scheme is torch.per_tensor_affine:
            self.push(tensor.q_scale(), FLOAT)
            self._push_int(tensor.q_zero_point())
        else:
            self._push_tensor(tensor.q_per_channel_scales())
            self._push_tensor(tensor.q_per_channel_zero_points())
            self._push_int(tensor.q_per_channel_axis())
        self._emit(b"t")

    def _push_sparse(self, tensor: torch.Tensor) -> None:
        self._push_global("torch._utils", "_rebuild_sparse_tensor")
        self._emit(b"(")
        self.push(tensor.layout, erased_type_of(tensor.layout))
        self._push_ints(tensor.shape)
        self.push(tensor.requires_grad, BOOL)
        for part in _SPARSE_PARTS[tensor.layout]:
            self.push(getattr(tensor.detach(), part)(), TENSOR)
        self._push_call("collections", "OrderedDict", (), ())
        self._emit(b"tR")


def storage_bytes(storage: torch.UntypedStorage) -> memoryview:
    """The bytes of a storage, without a copy when they are in this process's memory."""
    if storage.device.type == "meta":
        return memoryview(b"")
    flat = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    return memoryview(flat.cpu().numpy())  # type: ignore[arg-type]
