"""torch as native code sees it: addresses of its C symbols, and where a tensor keeps its fields.

Two kinds of facts, both found at import and never assumed:

Symbols. `address(name)` looks a C name up in libtorch_cpu, libc10, libtorch_python and the process.
C names (`aoti_torch_*`, `torch_*`, BLAS) are torch's stable ABI; the few C++ names used are listed
in `CPP_SYMBOLS` under short C names, with other forms of them; only `relume_wrap` cannot be missed.

Layout. Reading a field of a TensorImpl takes 1 ns, asking torch for it through any interface 10 to
50. So `_probe` makes a few tensors whose fields are known through Python, and searches each field's
offset in their memory:

    PyObject    head | impl ──► TensorImpl
    TensorImpl  storage ──► StorageImpl, autograd_meta ──► AutogradMeta, rank,
                sizes[5], strides[5] (or one pointer to both), storage_offset, numel,
                dtype (u16), key_set (u64)
    StorageImpl data, resizable, allocator
    AutogradMeta grad_fn, requires_grad, forward_grad

Laws of the probe: an offset counts only when it is the one that fits every sample (else `LAYOUT` is
None and `LAYOUT_REASON` says which field); the samples differ in every field. One comparison of
`key_set` with the value of a plain CPU tensor then excludes conjugate and negative views, sparse,
quantized, meta, fake and functorch tensors, and subclasses with a Python key.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from ir import dtypes, record

POINTER = ctypes.sizeof(ctypes.c_void_p)
OBJECT_HEAD = object.__basicsize__
"""Bytes of a PyObject head: the field after it is the `at::Tensor` of a tensor object, so its
address is an AOTI handle.
"""
INLINE_RANK = 5
"""Sizes and strides of tensors up to this rank are stored inside the TensorImpl."""

CPP_SYMBOLS = {
    "relume_wrap": (  # moves from the tensor, or shares it; either way its handle is deleted after
        "_Z16THPVariable_WrapON2at10TensorBaseE",
        "_Z16THPVariable_WrapRKN2at10TensorBaseE",
        "_Z16THPVariable_WrapN2at10TensorBaseE",
    ),
    "relume_get_cpu_allocator": ("_ZN3c1015GetCPUAllocatorEv",),
    "relume_function_modes": ("_ZN2at4impl27torch_function_mode_enabledEv",),
    "relume_bump_version": ("_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE",),
    "relume_version_counter": ("_ZN5torch8autograd4impl15version_counterERKN2at6TensorE",),
}
_DISPATCH_TLS = "_ZN3c104impl26raw_local_dispatch_key_setE"


def _libraries() -> tuple[ctypes.CDLL, ...]:
    """The shared objects of torch that are already loaded, then the process itself (CPython,
    libc, libm).
    """
    folder = Path(torch.__file__).parent / "lib"
    names = ("libtorch_cpu.so", "libc10.so", "libtorch_python.so")
    return (
        *(ctypes.CDLL(str(folder / name)) for name in names if (folder / name).exists()),
        ctypes.CDLL(None),
    )


_LIBRARIES = _libraries()


def address(name: str) -> int | None:
    """Address of a C symbol (or of a name of `CPP_SYMBOLS`), None when this build of torch does
    not have it.
    """
    if name in _OWN:
        return _OWN[name]
    for linked in CPP_SYMBOLS.get(name, (name,)):
        for library in _LIBRARIES:
            if hasattr(library, linked):
                return ctypes.cast(getattr(library, linked), ctypes.c_void_p).value
    return None


def has(name: str) -> bool:
    """Whether `address` knows the symbol."""
    return address(name) is not None


_OWN = {"relume_tensor_type": id(torch.Tensor), "relume_parameter_type": id(torch.nn.Parameter)}
"""Addresses that no library exports: the two types of plain tensors, and the data found below."""


# --- dispatch state of a thread ---


@record
class DispatchState:
    """How native code learns that modes are active: autocast, functorch, tracing, Python dispatch,
    profiling keys.

    A thread's state is a pair of words (included, excluded keys, each relative to the default, so
    normally zero). The bits below are set by `torch.inference_mode`, which changes no result and
    stays on the fast path.
    """

    inference_included: int
    inference_excluded: int


CPU_ALLOCATOR = "relume_cpu_allocator"
"""Name of torch's default allocator, which may resize a storage that knows it."""
DISPATCH_TLS = "relume_dispatch_tls"
"""Name of the {module, offset} pair to be given to `__tls_get_addr`, which returns the address
of the pair of words.
"""


_KEPT: list[object] = []
"""Memory behind `_OWN`."""


def _find_dispatch_state() -> DispatchState | None:
    """Registers `DISPATCH_TLS` and reads what inference mode changes; None without ELF
    thread-local storage.
    """
    index = _tls_index(_DISPATCH_TLS)
    if index is None:
        return None
    get = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(("__tls_get_addr", _LIBRARIES[-1]))
    words = (ctypes.c_uint64 * 2).from_address(get(ctypes.addressof(index)))
    with torch.inference_mode(False):
        normal = tuple(words)
    with torch.inference_mode():
        included, excluded = words
    if normal != (0, 0) or included == 0 or excluded == 0:
        return None
    _OWN[DISPATCH_TLS] = ctypes.addressof(index)
    _KEPT.append(index)
    return DispatchState(included, excluded)


def _tls_index(name: str) -> ctypes.Array[ctypes.c_uint64] | None:
    """The {module, offset} pair of a thread-local variable of libc10, None where the loader does
    not tell.
    """
    library = _LIBRARIES[1] if len(_LIBRARIES) == 4 else None
    process = _LIBRARIES[-1]
    if library is None or not (hasattr(process, "dlinfo") and hasattr(process, "__tls_get_addr")):
        return None
    if not hasattr(library, name):
        return None
    module, base = ctypes.c_uint64(), ctypes.c_void_p()
    handle = ctypes.c_void_p(library._handle)
    rtld_tls_module, rtld_tls_data = 9, 10  # dlinfo requests of ELF systems
    if process.dlinfo(handle, rtld_tls_module, ctypes.byref(module)):
        return None
    if process.dlinfo(handle, rtld_tls_data, ctypes.byref(base)) or not base.value:
        return None
    here = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    return (ctypes.c_uint64 * 2)(module.value, here - base.value)


# --- layout of a tensor ---


@record
class TensorLayout:
    """Byte offsets of fields, by the struct that holds them (see the picture above), and the key
    sets of plain tensors.
    """

    impl: int
    storage: int
    storage_data: int
    storage_resizable: int
    storage_allocator: int
    rank: int
    sizes: int
    strides: int
    storage_offset: int
    numel: int
    dtype: int
    key_set: int
    autograd_meta: int
    meta_grad_fn: int
    meta_requires_grad: int
    meta_forward_grad: int
    plain_keys: int
    """`key_set` of a strided CPU tensor outside of inference mode."""
    inference_keys: int
    """`key_set` of one made in inference mode."""


class _ProbeFailed(Exception):
    """No offset, or more than one, fits all samples of a field."""


_IMPL_BYTES = 192
_STORAGE_BYTES = 88
_META_BYTES = 184


def _words(base: int, offset: int, count: int = 1) -> tuple[int, ...]:
    return tuple((ctypes.c_uint64 * count).from_address(base + offset))


def _search(
    field: str,
    size: int,
    samples: Iterable[Callable[[int], bool]],
    step: int = POINTER,
    start: int = 0,
) -> int:
    """The only offset below `size` for which every sample's predicate holds."""
    tests = list(samples)
    found = [offset for offset in range(start, size, step) if all(test(offset) for test in tests)]
    if len(found) != 1:
        raise _ProbeFailed(f"{field}: {len(found)} offsets fit")
    return found[0]


def _word_is(base: int, value: int) -> Callable[[int], bool]:
    return lambda offset: _words(base, offset)[0] == value


def _words_are(base: int, values: Sequence[int]) -> Callable[[int], bool]:
    return lambda offset: _words(base, offset, len(values)) == tuple(values)


def _u16_is(base: int, value: int) -> Callable[[int], bool]:
    return lambda offset: ctypes.c_uint16.from_address(base + offset).value == value


def _strided_samples() -> list[torch.Tensor]:
    """Tensors of ranks 1 to 5 whose sizes, strides, offsets and element counts differ pairwise."""
    storage = torch.empty(6000)
    shapes: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
        ((3,), (7,), 101),
        ((2, 5), (11, 13), 211),
        ((3, 2, 7), (17, 19, 23), 307),
        ((2, 3, 2, 5), (29, 31, 37, 41), 401),
        ((2, 2, 3, 2, 11), (43, 47, 53, 59, 61), 503),
    ]
    return [storage.as_strided(*shape) for shape in shapes]


def _probe() -> TensorLayout:
    strided = _strided_samples()
    plain = [
        torch.empty(2),
        torch.empty((2, 3), dtype=torch.int64),
        torch.empty(()),
        torch.empty(0),
    ]
    typed = [torch.empty(1, dtype=getattr(torch, dtype.name)) for dtype in dtypes.COMPILED]
    codes = [dtype.code for dtype in dtypes.COMPILED]
    every = strided + plain
    rank = _search("rank", _IMPL_BYTES, (_word_is(t._cdata, t.dim()) for t in every))
    sizes = _search(
        "sizes", _IMPL_BYTES, (_words_are(t._cdata, t.shape) for t in strided), start=rank
    )
    storage = _search(
        "storage", _IMPL_BYTES, (_word_is(t._cdata, t.untyped_storage()._cdata) for t in every)
    )
    layout = {
        "impl": _search("impl", 48, (_word_is(id(t), t._cdata) for t in every), start=OBJECT_HEAD),
        "rank": rank,
        "sizes": sizes,
        "strides": _search(
            "strides", _IMPL_BYTES, (_words_are(t._cdata, t.stride()) for t in strided), start=sizes
        ),
        "storage": storage,
        "storage_data": _storage_data(every),
        "storage_offset": _search(
            "storage_offset",
            _IMPL_BYTES,
            (_word_is(t._cdata, int(t.storage_offset())) for t in every),
        ),
        "numel": _search("numel", _IMPL_BYTES, (_word_is(t._cdata, t.numel()) for t in every)),
        "dtype": _search(
            "dtype",
            _IMPL_BYTES,
            (_u16_is(t._cdata, code) for t, code in zip(typed, codes, strict=True)),
            step=2,
        ),
        "key_set": _search(
            "key_set",
            _IMPL_BYTES,
            (
                _word_is(t._cdata, _keys(t))
                for t in [*every, torch.empty(1).conj(), torch._neg_view(plain[0])]
            ),
        ),
        "plain_keys": _keys(plain[0]),
        "inference_keys": _inference_keys(),
    }
    if any(_keys(t) != layout["plain_keys"] for t in [*every, *typed]):
        raise _ProbeFailed("key_set: plain tensors differ")
    layout |= _probe_resizable([t.untyped_storage() for t in plain])
    _check_out_of_line(rank, sizes)
    return TensorLayout(**layout, **_probe_autograd())


def _storage_data(samples: Sequence[torch.Tensor]) -> int:
    """The data pointer may be kept twice (pointer and owner of the memory): the first is the
    pointer.
    """

    def fits(offset: int) -> bool:
        storages = [t.untyped_storage() for t in samples]
        return all(_words(s._cdata, offset)[0] == s.data_ptr() for s in storages)

    for offset in range(0, _STORAGE_BYTES, POINTER):
        if fits(offset):
            return offset
    raise _ProbeFailed("storage_data: 0 offsets fit")


def _probe_resizable(storages: Sequence[torch.UntypedStorage]) -> dict[str, int]:
    """What makes storages that torch allocated resizable, unlike those that wrap foreign memory.

    Registers `CPU_ALLOCATOR`.
    """
    tensors = [torch.frombuffer(bytearray(8 * k), dtype=torch.uint8) for k in (1, 2, 3)]
    wrapped = [t.untyped_storage() for t in tensors]
    owned, foreign = ([s._cdata for s in some] for some in (storages, wrapped))
    flag = _search(
        "resizable",
        _STORAGE_BYTES,
        [_byte_is(base, 1) for base in owned] + [_byte_is(base, 0) for base in foreign],
        step=1,
        start=2 * POINTER,
    )
    allocator = _cpu_allocator()
    fits = [_word_is(base, allocator) for base in owned] + [_word_is(base, 0) for base in foreign]
    _OWN[CPU_ALLOCATOR] = allocator
    return {
        "storage_resizable": flag,
        "storage_allocator": _search("allocator", _STORAGE_BYTES, fits, start=2 * POINTER),
    }


def _cpu_allocator() -> int:
    """What c10::GetCPUAllocator() returns."""
    get = address("relume_get_cpu_allocator")
    if get is None:
        raise _ProbeFailed("allocator: no way to ask for it")
    return int(ctypes.CFUNCTYPE(ctypes.c_void_p)(get)())


def _byte_is(base: int, value: int) -> Callable[[int], bool]:
    return lambda offset: ctypes.c_uint8.from_address(base + offset).value == value


def _keys(tensor: torch.Tensor) -> int:
    return int(torch._C._dispatch_keys(tensor).raw_repr())


def _inference_keys() -> int:
    with torch.inference_mode():
        return _keys(torch.empty(1))


def _check_out_of_line(rank: int, sizes: int) -> None:
    """Above `INLINE_RANK` dimensions one pointer in the place of `sizes` leads to all sizes,
    then all strides.
    """
    big = torch.empty((1, 2, 1, 3, 1, 5, 1)).transpose(1, 5)
    if _words(big._cdata, rank) != (7,) or _words(_words(big._cdata, sizes)[0], 0, 14) != (
        *big.shape,
        *big.stride(),
    ):
        raise _ProbeFailed("sizes: no out-of-line array above rank 5")


def _probe_autograd() -> dict[str, int]:
    """Offsets of the autograd metadata and in it.

    Its struct has gaps with arbitrary content, so each sample is strict: one and the same tensor
    before and after a change, the address of a node that Python knows too, a shared pointer with
    its control block.
    """
    leaves = [torch.empty(2), torch.empty(3, dtype=torch.float64)]
    before = [_words(t._cdata, 0, _IMPL_BYTES // POINTER) for t in leaves]
    for leaf in leaves:
        leaf.requires_grad_()
    appeared = [_word_appears(t._cdata, words) for t, words in zip(leaves, before, strict=True)]
    meta = _search("autograd_meta", _IMPL_BYTES, appeared)

    def metas(tensors: Iterable[torch.Tensor]) -> list[int]:
        return [_words(t._cdata, meta)[0] for t in tensors]

    with torch.enable_grad():
        results = [leaf.neg() for leaf in leaves]
    nodes = [_words(id(t.grad_fn), OBJECT_HEAD)[0] for t in results]
    return {
        "autograd_meta": meta,
        "meta_grad_fn": _search(
            "grad_fn",
            _META_BYTES,
            [_word_is(base, node) for base, node in zip(metas(results), nodes, strict=True)]
            + [_word_is(base, 0) for base in metas(leaves)],
        ),
        "meta_requires_grad": _probe_requires_grad(leaves, metas(leaves)),
        "meta_forward_grad": _probe_forward_grad(metas, leaves),
    }


def _word_appears(base: int, before: Sequence[int]) -> Callable[[int], bool]:
    """Whether the word at an offset was null and is not any more."""
    return lambda offset: before[offset // POINTER] == 0 and _words(base, offset)[0] != 0


def _probe_requires_grad(leaves: Sequence[torch.Tensor], bases: Sequence[int]) -> int:
    """The byte that is 1 while a leaf requires grad and 0 after it was told not to."""
    on = [bytes((ctypes.c_uint8 * _META_BYTES).from_address(base)) for base in bases]
    for leaf in leaves:
        leaf.requires_grad_(False)
    off = [bytes((ctypes.c_uint8 * _META_BYTES).from_address(base)) for base in bases]
    changes = [
        lambda offset, a=a, b=b: (a[offset], b[offset]) == (1, 0)
        for a, b in zip(on, off, strict=True)
    ]
    return _search("requires_grad", _META_BYTES, changes, step=1)


def _probe_forward_grad(
    metas: Callable[[Iterable[torch.Tensor]], list[int]], leaves: Sequence[torch.Tensor]
) -> int:
    """The shared pointer (object, control block 16 bytes before it) that only a dual tensor has."""
    level = torch._C._enter_dual_level()
    try:
        samples = [(torch.empty(2), torch.empty(2)) for _ in leaves]
        duals = [torch._C._VariableFunctions._make_dual(*sample, level=level) for sample in samples]
        tests = [_is_shared_pointer(base) for base in metas(duals)]
        tests += [_word_is(base, 0) for base in metas(leaves)]
        return _search("forward_grad", _META_BYTES, tests)
    finally:
        torch._C._exit_dual_level(level=level)


def _is_shared_pointer(base: int) -> Callable[[int], bool]:
    def test(offset: int) -> bool:
        pointer, control = _words(base, offset, 2)
        return control != 0 and pointer == control + 2 * POINTER

    return test


def _find_layout() -> tuple[TensorLayout | None, str]:
    try:
        with torch.inference_mode(False):
            return _probe(), ""
    except (_ProbeFailed, AttributeError, RuntimeError) as failure:  # also: torch has changed
        return None, str(failure)


# --- what tells a used tensor from a new one ---


@record
class Snapshot:
    """Sizes of the structs whose bytes change when a tensor is used, and where the count of its
    in-place writes is: `impl_bytes` and `storage_bytes` are what the allocator gave, so that
    nothing of the struct is left out.
    """

    object_bytes: int
    impl_bytes: int
    storage_bytes: int
    version_counter: int
    """Offset in the TensorImpl of the pointer to the counter; null in inference mode."""
    version: int
    """Offset of the 32-bit count in the counter."""


_COUNTER_BYTES = 24
_PLAIN_HEAD = 2 * POINTER  # count and type; builds without a GIL have two counts


def _find_snapshot(layout: TensorLayout | None) -> Snapshot | None:
    """None where the layout is unknown, where objects have no single reference count, or where
    the allocator or torch do not tell.
    """
    has_symbols = has("_PyObject_GetDictPtr") and has("malloc_usable_size")
    if layout is None or OBJECT_HEAD != _PLAIN_HEAD or not has_symbols:
        return None
    try:
        with torch.inference_mode(False):
            return _probe_snapshot(layout)
    except _ProbeFailed:
        return None


def _probe_snapshot(layout: TensorLayout) -> Snapshot:
    written = [torch.zeros(2), torch.zeros((2, 3), dtype=torch.int64), torch.zeros(())]
    for writes, tensor in enumerate(written):
        for _ in range(writes):
            tensor.add_(1)
    version_counter = _version_counter(layout, written)
    several = [torch.empty(k) for k in range(64)]
    counters = [_words(t._cdata, version_counter)[0] for t in written]
    versions = [_u32_is(c, t._version) for c, t in zip(counters, written, strict=True)]
    return Snapshot(
        torch.Tensor.__basicsize__,
        _usable_bytes([t._cdata for t in several]),
        _usable_bytes([t.untyped_storage()._cdata for t in several]),
        version_counter,
        _search("version", _COUNTER_BYTES, versions, step=4, start=POINTER),
    )


def _version_counter(layout: TensorLayout, tensors: Sequence[torch.Tensor]) -> int:
    """Where TensorImpls keep the pointer to their counter."""
    find = address("relume_version_counter")
    if find is None:
        raise _ProbeFailed("version_counter: no way to ask for it")
    ask = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(find)
    offsets = {int(ask(id(t) + layout.impl)) - t._cdata for t in tensors}
    if len(offsets) != 1 or not 0 < min(offsets) < _IMPL_BYTES:
        raise _ProbeFailed("version_counter: not at one place of the tensor")
    return offsets.pop()


def _u32_is(base: int, value: int) -> Callable[[int], bool]:
    return lambda offset: ctypes.c_uint32.from_address(base + offset).value == value


def _usable_bytes(bases: Iterable[int]) -> int:
    """What the allocator gives an object of a kind; now and then it gives one more."""
    usable = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)(address("malloc_usable_size") or 0)
    return min(int(usable(base)) for base in bases)


VERSION = str(torch.__version__)
LAYOUT, LAYOUT_REASON = _find_layout()
SNAPSHOT = _find_snapshot(LAYOUT)
DISPATCH = _find_dispatch_state()


# --- the same questions in Python, for builds of torch where they have no native answer ---


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor of exact type is strided, on the CPU, neither conjugate nor negative, and
    needs no gradient.
    """
    keys = _keys(tensor)
    is_tracked = tensor.requires_grad and torch.is_grad_enabled()
    is_dual = torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None
    return keys in (_PLAIN_KEYS, _INFERENCE_KEYS) and not is_tracked and not is_dual


def is_plain_mutable(tensor: torch.Tensor) -> bool:
    """`is_plain`, and no inference tensor, which may not be written outside of inference mode."""
    return is_plain(tensor) and not tensor.is_inference()


def increment_version(tensor: torch.Tensor) -> None:
    """Count one write to a tensor."""
    torch.autograd.graph.increment_version(tensor)


def has_no_modes() -> bool:
    """Whether no mode is active that changes what operators mean."""
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._is_torch_function_mode_enabled()
        or torch._C._functorch.maybe_current_level() is not None
        or torch.is_autocast_enabled("cpu")
        or torch._C._get_tracing_state() is not None
    )


with torch.inference_mode(False):
    _PLAIN_KEYS, _INFERENCE_KEYS = _keys(torch.empty(1)), _inference_keys()
