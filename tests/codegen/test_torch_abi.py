"""The layout probe: right on tensors that it has not seen, refusing samples that do not fit."""

from __future__ import annotations

import ctypes

import pytest
import torch

from codegen import torch_abi
from codegen.torch_abi import LAYOUT, address, has
from ir import dtypes


def word(base: int, offset: int) -> int:
    return ctypes.c_uint64.from_address(base + offset).value


def test_the_pinned_torch_is_understood() -> None:
    assert LAYOUT is not None, torch_abi.LAYOUT_REASON
    assert torch_abi.DISPATCH is not None
    assert torch_abi.SNAPSHOT is not None


TENSORS = {
    "scalar": lambda: torch.tensor(2.5),
    "view": lambda: torch.randn(40)[7:],
    "transposed": lambda: torch.randn(3, 4, 5).transpose(0, 2),
    "rank 7": lambda: torch.randn(1, 2, 3, 1, 2, 3, 1).permute(6, 5, 4, 3, 2, 1, 0),
    "expanded": lambda: torch.randn(3, 1).expand(3, 9),
    "empty": lambda: torch.randn(0, 4),
    "parameter": lambda: torch.nn.Parameter(torch.randn(3)),
    "result": lambda: torch.randn(3, requires_grad=True) * 2,
    "resized": lambda: torch.randn(3).resize_(50),
    **{
        d.name: lambda d=d: torch.zeros(3, 2, dtype=getattr(torch, d.name)) for d in dtypes.COMPILED
    },
}


@pytest.mark.parametrize("make", TENSORS.values(), ids=TENSORS)
def test_fields(make) -> None:
    at, tensor = LAYOUT, make()
    impl = word(id(tensor), at.impl)
    rank = word(impl, at.rank)
    if rank <= torch_abi.INLINE_RANK:
        sizes, strides = impl + at.sizes, impl + at.strides
    else:
        sizes = word(impl, at.sizes)
        strides = sizes + 8 * rank
    assert rank == tensor.dim()
    assert tuple(word(sizes, 8 * k) for k in range(rank)) == tensor.shape
    assert tuple(word(strides, 8 * k) for k in range(rank)) == tensor.stride()
    assert word(impl, at.numel) == tensor.numel()
    data = word(word(impl, at.storage), at.storage_data)
    if tensor.numel():
        start = data + word(impl, at.storage_offset) * tensor.element_size()
        assert start == tensor.data_ptr()
    code = ctypes.c_uint16.from_address(impl + at.dtype).value
    assert f"torch.{dtypes.by_code(code)}" == str(tensor.dtype)
    assert word(impl, at.key_set) == at.plain_keys


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(2, dtype=torch.complex64).conj(),
        lambda: torch._neg_view(torch.randn(2)),
        lambda: torch.randn(2, device="meta"),
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.eye(2).to_mkldnn(),
        lambda: torch._efficientzerotensor(2),
    ],
)
def test_other_key_sets_differ(make) -> None:
    assert word(word(id(tensor := make()), LAYOUT.impl), LAYOUT.key_set) != LAYOUT.plain_keys
    assert tensor is not None


def test_autograd_fields() -> None:
    at = LAYOUT

    def meta(tensor: torch.Tensor) -> int:
        return word(word(id(tensor), at.impl), at.autograd_meta)

    plain, leaf = torch.randn(2), torch.randn(2, requires_grad=True)
    result, frozen = leaf.exp(), torch.nn.Parameter(torch.randn(2), requires_grad=False)
    assert meta(plain) == 0
    assert word(meta(leaf), at.meta_grad_fn) == 0
    assert ctypes.c_uint8.from_address(meta(leaf) + at.meta_requires_grad).value == 1
    assert word(meta(result), at.meta_grad_fn) != 0
    if meta(frozen):
        assert word(meta(frozen), at.meta_grad_fn) == 0
        assert ctypes.c_uint8.from_address(meta(frozen) + at.meta_requires_grad).value == 0


def test_a_misunderstood_field_gives_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_abi, "_keys", lambda tensor: 12345)
    layout, reason = torch_abi._find_layout()
    assert layout is None
    assert reason.startswith("key_set")


def test_symbols() -> None:
    for name in (
        "sgemm_",
        "torch_get_num_threads",
        "aoti_torch_empty_strided",
        "PyObject_Vectorcall",
        "relume_tensor_type",
    ):
        assert has(name)
    assert address("relume_tensor_type") == id(torch.Tensor)
    assert address("no_such_symbol_anywhere") is None
