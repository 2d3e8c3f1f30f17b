"""Native entries: what passes the guards computes, the rest reaches the next entry unchanged."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable

import llvmlite.ir as ll
import pytest
import torch
from torch import Tensor

from codegen import runtime, torch_abi
from codegen.callable import set_entry
from codegen.entry import EntryBuilder
from codegen.linked import hits, install
from codegen.params import (
    AnyParam,
    BoolParam,
    Captured,
    ConstParam,
    DictParam,
    FloatParam,
    IntParam,
    Param,
    SequenceParam,
    TensorParam,
)
from ir import dtypes
from ir.dims import Facts
from tests.codegen.native import MISSED, Plan, chain, each, is_miss, plan, store, symbols

F32 = dtypes.float32
(N,) = symbols(1)
VECTOR = TensorParam(F32, (N,))


def eager(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) * b + a


@pytest.fixture(params=["layout", "shim"])
def readers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to read tensors: by layout, and for builds of torch where that is not known."""
    if request.param == "shim":
        monkeypatch.setattr(torch_abi, "LAYOUT", None)
        monkeypatch.setattr(torch_abi, "DISPATCH", None)
    return request.param


@pytest.fixture
def fused(readers: str) -> Plan:
    return plan([VECTOR, VECTOR], chain)


@pytest.mark.parametrize("size", [2, 3, 64, 1000])
def test_computes(fused: Plan, size: int) -> None:
    a, b = torch.randn(size), torch.randn(size)
    result = fused(a, b)
    assert torch.equal(result, eager(a, b))
    assert hits(fused.library) == 1
    result.resize_(3 * size).fill_(1)  # it is torch's own memory


def test_inputs_that_are_served(fused: Plan) -> None:
    base = torch.randn(20)
    leaf = torch.randn(5, requires_grad=True)
    served = [
        (base[3:8], base[10:15]),
        (torch.nn.Parameter(base[:5], requires_grad=False), base[5:10]),
        (leaf.detach(), base[:5]),
        (torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])),
    ]
    for a, b in served:
        assert torch.equal(fused(a, b), eager(a, b))
    with torch.no_grad():
        assert torch.equal(fused(leaf, leaf), eager(leaf, leaf))
        assert not fused(leaf, leaf).requires_grad
    with torch.inference_mode():
        made = torch.randn(5)
        assert torch.equal(fused(made, leaf), eager(made, leaf))
        assert fused(base, base).is_inference()
    assert torch.equal(fused(made, made), eager(made, made))
    assert hits(fused.library) == len(served) + 5


class Subclass(torch.Tensor):
    pass


class Mode(torch.utils._python_dispatch.TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


X = torch.randn(8)


MISFITS: dict[str, Callable[[], object]] = {
    "float64": lambda: X.double(),
    "int32": lambda: X.int(),
    "rank 0": lambda: torch.tensor(1.0),
    "rank 2": lambda: X[None],
    "rank 7": lambda: X.view(1, 1, 1, 1, 1, 1, 8),
    "other size": lambda: torch.randn(9),
    "size 1": lambda: torch.randn(1),
    "empty": lambda: torch.randn(0),
    "stride": lambda: torch.randn(16)[::2],
    "expanded": lambda: torch.randn(1).expand(8),
    "requires grad": lambda: X.clone().requires_grad_(),
    "result": lambda: X.clone().requires_grad_() * 2,
    "parameter": lambda: torch.nn.Parameter(X),
    "negative view": lambda: torch._neg_view(X),
    "imaginary part": lambda: torch.randn(8, dtype=torch.complex64).conj().imag,
    "complex": lambda: X.to(torch.complex64),
    "conjugate": lambda: X.to(torch.complex64).conj(),
    "subclass": lambda: X.as_subclass(Subclass),
    "meta": lambda: X.to("meta"),
    "sparse": lambda: X.to_sparse(),
    "quantized": lambda: torch.quantize_per_tensor(X, 0.1, 0, torch.qint8),
    "nested": lambda: torch.nested.nested_tensor([X]),
    "no memory": lambda: _without_memory(),
    "array": lambda: X.numpy(),
    "None": lambda: None,
    "int": lambda: 3,
    "list": lambda: [1.0] * 8,
    "type": lambda: torch.Tensor,
}


def _without_memory() -> Tensor:
    tensor = torch.randn(8)
    tensor.untyped_storage().resize_(0)
    return tensor


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", MISFITS.values(), ids=MISFITS)
def test_misfits_reach_the_next_entry(fused: Plan, make: Callable[[], object]) -> None:
    misfit = make()
    for args in ((misfit, X), (X, misfit)):
        result = fused(*args)
        assert is_miss(result)
        assert all(got is sent for got, sent in zip(result[1], args, strict=True))
    assert hits(fused.library) == 0


def test_fake_and_functorch_tensors_miss(fused: Plan) -> None:
    from torch._subclasses import FakeTensorMode

    fake = FakeTensorMode().from_tensor(X)
    assert is_miss(fused(fake, fake))
    seen: list[object] = []

    def record(x: Tensor) -> Tensor:
        seen.append(fused(x, x))
        return x.sum()

    torch.vmap(record)(X[None])
    torch.func.grad(record)(X)
    torch.func.jvp(record, (X,), (X,))
    assert len(seen) == 3
    assert all(map(is_miss, seen))


def test_dual_tensors_miss(fused: Plan) -> None:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(X, X)
        with torch.no_grad():
            assert is_miss(fused(dual, X))


def test_modes_miss(fused: Plan) -> None:
    from torch.overrides import TorchFunctionMode

    class FunctionMode(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    for mode in (Mode(), FunctionMode(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with mode:
            assert is_miss(fused(X, X))
    seen: list[object] = []
    torch.jit.trace(lambda x: (seen.append(fused(x, x)), x)[1], X, check_trace=False)
    assert len(seen) == 1
    assert is_miss(seen[0])
    assert not is_miss(fused(X, X))


def test_wrong_calls_reach_the_next_entry(fused: Plan) -> None:
    assert fused() == (MISSED, (), {})
    assert is_miss(fused(X))
    assert is_miss(fused(X, X, X))
    assert is_miss(fused(X, b=X))
    assert fused(1, *range(300), key=2) == (MISSED, (1, *range(300)), {"key": 2})
    assert not is_miss(fused(*[X, X]))


def test_entries_chain() -> None:
    first, second = plan([VECTOR, VECTOR], chain), plan([AnyParam()], _return_none)
    set_entry(first, install(first.library, following=install(second.library)), keep=second)
    assert not is_miss(first(X, X))
    assert first(3) is None
    assert is_miss(first(3, 4))


def _return_none(entry: EntryBuilder) -> None:
    entry.finish(entry.box_object(entry.constant(None)))


def _identity(entry: EntryBuilder) -> None:
    entry.finish(entry.box_object(entry.args[0].obj))


@pytest.mark.parametrize(
    ("param", "good", "bad"),
    [
        (IntParam(), [0, -5, 2**63 - 1, -(2**63)], [True, 2**63, 1.0, None, "1"]),
        (IntParam(N), [2, 7], [0, 1, -1]),
        (FloatParam(), [0.0, -1.5, float("nan")], [1, True, None, X]),
        (FloatParam(accept_int=True), [0.5, 3, -7], [True, 2**70, "1"]),
        (BoolParam(), [True, False], [1, 0, None, 1.0]),
        (ConstParam(None), [None], [0, False]),
        (ConstParam(True), [True], [1, False]),
        (ConstParam(7), [7], [8, 7.0, True, 2**64 + 7]),
        (ConstParam(2**70), [2**70], [7, 2**70 + 1]),
        (ConstParam(-0.0), [-0.0], [0.0, 0]),
        (ConstParam(float("nan")), [float("nan")], [1.0]),
        (ConstParam("mean"), ["mean", "".join(["me", "an"])], ["sum", b"mean"]),
        (ConstParam(torch.float32), [torch.float32], [torch.float64, None]),
        (ConstParam(torch.device("cpu")), [torch.device("cpu")], [torch.device("meta"), "cpu"]),
        (ConstParam((1, 2)), [(1, 2)], [(1, 3), [1, 2]]),
        (SequenceParam((IntParam(), FloatParam())), [(1, 2.0)], [(1,), [1, 2.0], (1, 2), 3]),
        (SequenceParam((AnyParam(),), is_list=True), [[3]], [[], [1, 2], (3,)]),
        (
            DictParam((("a", ConstParam(1)), (2, FloatParam()))),
            [{"a": 1, 2: 0.5}],
            [{"a": 2, 2: 0.5}, {2: 0.5, "a": 1}, {"a": 1}, {"b": 1, 2: 0.5}, {"a": 1, 2: 1}, [1]],
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, Param) else str(len(value)),
)
def test_scalars(param: Param, good: list[object], bad: list[object]) -> None:
    function = plan([param], _identity)
    for value in good:
        assert function(value) is value
    for value in bad:
        assert is_miss(function(value)), value


def test_equality_that_raises_is_a_miss() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError

    function = plan([ConstParam(Odd())], _identity)
    assert is_miss(function(Odd()))


def test_boxing() -> None:
    def body(entry: EntryBuilder) -> None:
        i, f, t = (arg.value for arg in entry.args)
        items = [entry.box_int(i), entry.box_float(f), entry.box_bool(t)]
        items.append(entry.box_sequence([entry.box_object(entry.constant("x"))], is_list=True))
        entry.finish(entry.box_sequence(items))

    function = plan([IntParam(), FloatParam(), BoolParam()], body)
    assert function(-3, 0.25, True) == (-3, 0.25, True, ["x"])
    assert function(1 << 62, -0.0, False) == (1 << 62, 0.0, False, ["x"])


def test_keywords() -> None:
    function = plan([IntParam(), IntParam(), IntParam()], _identity, keywords=("alpha", "beta"))
    assert function(1, alpha=2, beta=3) == 1
    assert is_miss(function(1, beta=3, alpha=2))
    assert is_miss(function(1, 2, 3))
    assert is_miss(function(1, alpha=2))
    assert is_miss(function(1, 2, beta=3))


def test_captured_values_are_read_at_each_call() -> None:
    mapping: dict[str, object] = {"weight": X}

    def body(entry: EntryBuilder) -> None:
        entry.finish(entry.box_object(entry.captured[0].obj))

    function = plan([], body, captured=[Captured(mapping, "weight", VECTOR)])
    assert function() is X
    mapping["weight"] = other = torch.randn(4)
    assert function() is other
    mapping["weight"] = None
    assert is_miss(function())
    del mapping["weight"]
    assert is_miss(function())


def _sizes(entry: EntryBuilder) -> None:
    """All sizes and strides, as a tuple."""
    (x,) = entry.args
    entry.finish(entry.box_sequence([entry.box_int(v) for v in (*x.sizes, *x.strides)]))


@pytest.mark.parametrize("rank", range(8))
def test_ranks_and_free_strides(readers: str, rank: int) -> None:
    facts = Facts()
    dims = tuple(facts.symbol(2) for _ in range(rank))
    function = plan([TensorParam(F32, dims, (None,) * rank)], _sizes)
    x = torch.empty_strided([k + 2 for k in range(rank)], [3 * k + 1 for k in range(rank)])
    assert function(x) == (*x.shape, *x.stride())


def test_shape_relations() -> None:
    facts = Facts()
    n, m = facts.symbol(8), facts.symbol(9)
    transposed = TensorParam(F32, (n, m), (1, n))
    joined = TensorParam(F32, (n * m + 1,))
    function = plan([joined, transposed, TensorParam(F32, (n, 1, 3))], lambda e: _return_none(e))
    t = torch.randn(5, 4).t()
    assert function(torch.randn(21), t, torch.randn(4, 1, 3)) is None
    assert is_miss(function(torch.randn(20), t, torch.randn(4, 1, 3)))
    assert is_miss(function(torch.randn(21), t.contiguous(), torch.randn(4, 1, 3)))
    assert is_miss(function(torch.randn(21), t, torch.randn(4, 1, 4)))
    strange = torch.empty_strided(
        (4, 1, 3), (3, 77, 1)
    )  # the stride of a dim of size 1 means nothing
    assert function(torch.randn(21), t, strange) is None


def test_assumptions() -> None:
    facts = Facts()
    n, m = facts.symbol(8), facts.symbol(9)
    assert n < m
    params = [TensorParam(F32, (n,)), TensorParam(F32, (m,))]
    function = plan(params, _identity, assumptions=list(facts.assumptions))
    a, b = torch.randn(3), torch.randn(4)
    assert function(a, b) is a
    assert is_miss(function(b, a))


@pytest.mark.parametrize("dtype", dtypes.COMPILED, ids=repr)
def test_result_types(dtype: dtypes.DType) -> None:
    def body(entry: EntryBuilder) -> None:
        (n, m) = (arg.value for arg in entry.args)
        entry.finish(entry.box(entry.alloc(dtype, [n, m, 3], [1, n, entry.builder.mul(n, m)])))

    made = plan([IntParam(), IntParam()], body)(4, 5)
    assert made.dtype is getattr(torch, dtype.name)
    assert made.shape == (4, 5, 3)
    assert made.stride() == (1, 4, 20)


def test_written_arguments() -> None:
    def body(entry: EntryBuilder) -> None:
        (x,) = entry.args
        b = entry.builder
        each(b, x.sizes[0], lambda i: store(b, ll.FloatType()(7.0), x.data, i))
        entry.mark_written(x.obj)
        entry.finish(entry.box_object(x.obj))

    function = plan([TensorParam(F32, (N,), is_mutated=True)], body)
    x = torch.zeros(4)
    before = x._version
    assert function(x) is x
    assert x.eq(7).all()
    assert x._version == before + 1
    original = torch.zeros(4)
    lazy = torch._lazy_clone(original)
    function(lazy)
    assert original.eq(0).all()
    with torch.inference_mode():
        made = torch.zeros(4)
    assert is_miss(function(made))


def test_without_torchs_cpp_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C++ names that may go have a way around them."""
    for name in ("relume_function_modes", "relume_bump_version"):
        monkeypatch.setitem(torch_abi.CPP_SYMBOLS, name, ())
    test_written_arguments()
    assert not is_miss(plan([VECTOR, VECTOR], chain)(X, X))


@pytest.mark.parametrize("symbol", torch_abi.CPP_SYMBOLS["relume_wrap"])
def test_every_form_of_wrap_boxes(symbol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(torch_abi.CPP_SYMBOLS, "relume_wrap", (symbol,))
    if not torch_abi.has("relume_wrap"):
        pytest.skip("another form in this torch")
    library = runtime._load.__wrapped__()
    box = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(library.address("relume_box"))
    kind = ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * 6)
    alloc = kind(library.address("relume_alloc"))
    handle, size, stride = ctypes.c_void_p(), ctypes.c_int64(5), ctypes.c_int64(1)
    alloc(1, ctypes.addressof(size), ctypes.addressof(stride), 6, 20, ctypes.addressof(handle))
    made = box(handle)
    references = sys.getrefcount(made)
    assert references == 2
    assert made.fill_(3).tolist() == [3.0] * 5


def test_errors_carry_their_exception() -> None:
    def body(entry: EntryBuilder) -> None:
        b, (x, divisor) = entry.builder, entry.args
        out = entry.alloc(F32, x.sizes)
        is_zero = b.icmp_signed("==", divisor.value, ll.IntType(64)(0))
        entry.raise_if(is_zero, "ZeroDivisionError", "integer division by zero")
        entry.require(b.icmp_signed(">", divisor.value, ll.IntType(64)(0)))
        entry.finish(entry.box(out))

    function = plan([VECTOR, IntParam()], body)
    with pytest.raises(ZeroDivisionError, match="integer division by zero"):
        function(X, 0)
    assert is_miss(function(X, -1))
    assert function(X, 1).shape == X.shape


def test_no_memory_is_an_error() -> None:
    def body(entry: EntryBuilder) -> None:
        entry.finish(entry.box(entry.alloc(F32, [entry.args[0].value])))

    with pytest.raises(RuntimeError, match="no memory"):
        plan([IntParam()], body)(1 << 55)


def _failing(entry: EntryBuilder) -> None:
    """Owns a tensor and an object when it misses."""
    b, (x, obj) = entry.builder, entry.args
    out = entry.alloc(F32, x.sizes)
    boxed = entry.box(out)
    entry.box_object(obj.obj)
    entry.require(b.icmp_unsigned("==", obj.obj, entry.constant(None)))
    entry.finish(boxed)


def _references(*objects: object) -> list[int]:
    gc.collect()
    return [sys.getrefcount(x) for x in objects]


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize(
    "call",
    [
        lambda fused, failing, x, mark: fused(x, x),
        lambda fused, failing, x, mark: fused(x, mark),
        lambda fused, failing, x, mark: failing(x, mark),
        lambda fused, failing, x, mark: failing(x, None),
        lambda fused, failing, x, mark: fused(x, x, key=mark),
    ],
)
def test_nothing_leaks(call: Callable[..., object]) -> None:
    fused, failing = plan([VECTOR, VECTOR], chain), plan([VECTOR, AnyParam()], _failing)
    x, mark = torch.randn(4096), object()
    for _ in range(200):
        call(fused, failing, x, mark)
    before, memory = _references(x, mark, None), _resident()
    for _ in range(3000):
        call(fused, failing, x, mark)
    assert all(abs(b - a) < 50 for a, b in zip(before, _references(x, mark, None), strict=True))
    assert _resident() - memory < 4 << 20  # 3000 tensors would take 48 MB


def test_threads() -> None:
    fused = plan([VECTOR, VECTOR], chain)
    failures: list[object] = []

    def work(size: int) -> None:
        a, b = torch.randn(size), torch.randn(size)
        expected = eager(a, b)
        for k in range(300):
            if k % 3 == 0 and not is_miss(fused(a, None)):
                failures.append("hit")
            if not torch.equal(fused(a, b), expected):
                failures.append(size)

    threads = [threading.Thread(target=work, args=(k,)) for k in (3, 50, 777, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_gil_is_released() -> None:
    def body(entry: EntryBuilder) -> None:
        b, (flag,) = entry.builder, entry.args
        slot = b.inttoptr(flag.value, ll.PointerType())
        with entry.release_gil():
            wait, done = b.append_basic_block("wait"), b.append_basic_block("done")
            b.branch(wait)
            b.position_at_end(wait)
            seen = b.load_atomic(slot, "acquire", 8, typ=ll.IntType(64))
            b.cbranch(b.icmp_signed("==", seen, ll.IntType(64)(0)), wait, done)
            b.position_at_end(done)
        entry.finish(entry.box_int(seen))

    cell = ctypes.c_int64(0)
    function = plan([IntParam()], body)
    waiter = threading.Thread(target=function, args=(ctypes.addressof(cell),))
    waiter.start()
    assert waiter.is_alive()
    cell.value = 5  # this line runs only when the waiter has let go of the GIL
    waiter.join(10)
    assert not waiter.is_alive()
