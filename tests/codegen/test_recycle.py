"""Small results that the caller has dropped are given out again, and never while anybody could
tell.
"""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from codegen import torch_abi
from codegen.recycle import LIMIT, SETS, WAYS
from jit import jit

needs_snapshot = pytest.mark.skipif(
    torch_abi.SNAPSHOT is None, reason="this build of torch does not tell what changed"
)


def compiled() -> Callable[..., torch.Tensor]:
    """A function that was called often enough to be native, of 3 x 5 floats."""
    function = jit(lambda x: x * 2 + 1)
    for _ in range(3):
        function(torch.ones(3, 5))
    return function


@needs_snapshot
def test_a_dropped_result_is_given_out_again() -> None:
    function, x = compiled(), torch.randn(3, 5)
    first = id(function(x))
    others = [torch.empty(3, 5) for _ in range(8)]  # what a freed object's memory would become
    second = function(x)
    assert id(second) == first
    assert torch.equal(second, x * 2 + 1)
    assert len(others) == 8


@needs_snapshot
def test_results_take_turns() -> None:
    """A loop that feeds results back gets by with as many tensors as a set has."""
    function, x = compiled(), torch.zeros(3, 5)
    objects = set()
    for _ in range(10):
        x = function(x)
        objects.add(id(x))
    assert len(objects) <= WAYS
    assert torch.equal(x, torch.full((3, 5), 2.0**10 - 1))


def test_results_that_live_are_apart() -> None:
    function = compiled()
    inputs = [torch.randn(3, 5) for _ in range(20)]
    results = [function(x) for x in inputs]
    assert len({r.data_ptr() for r in results}) == 20
    assert all(torch.equal(r, x * 2 + 1) for r, x in zip(results, inputs, strict=True))


KEPT: dict[str, Callable[[torch.Tensor], Any]] = {
    "view": lambda y: y[1:],
    "detached": lambda y: y.detach(),
    "data": lambda y: y.data,
    "numpy": lambda y: y.numpy(),
    "dlpack": torch.utils.dlpack.to_dlpack,
    "storage": lambda y: y.untyped_storage(),
    "lazy clone": lambda y: y._lazy_clone(),
    "alias": lambda y: torch.ops.aten.alias(y),
    "saved for backward": lambda y: torch.ones(3, 5, requires_grad=True) * y,
    "attribute": lambda y: y.__dict__,
    "weak": weakref.ref,
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_of_a_result_stays_as_it_is(name: str) -> None:
    function = compiled()
    y = function(torch.ones(3, 5))
    kept = KEPT[name](y)
    address = y.data_ptr()
    del y
    again = function(torch.zeros(3, 5))
    assert torch.equal(again, torch.ones(3, 5))
    if name == "weak":
        assert kept() is not again
    elif name == "attribute":
        kept["mark"] = 1
        assert not hasattr(again, "mark")
    else:
        assert again.data_ptr() != address
    if name == "dlpack":
        kept = torch.utils.dlpack.from_dlpack(kept)
    if name in ("view", "detached", "data", "numpy", "dlpack", "lazy clone", "alias"):
        assert (torch.as_tensor(kept) == 3).all()
    if name == "saved for backward":
        leaf = kept.grad_fn.next_functions[0][0].variable
        kept.sum().backward()
        assert torch.equal(leaf.grad, torch.full((3, 5), 3.0))


def _label(y: torch.Tensor) -> None:
    y.label = "mine"


def _make_a_cycle(y: torch.Tensor) -> None:
    y.me = y


CHANGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "written": lambda y: y.add_(1),
    "shape": lambda y: y.resize_(2, 2),
    "larger": lambda y: y.resize_(30, 30),
    "transposed": lambda y: y.t_(),
    "other memory": lambda y: y.set_(torch.zeros(3, 5)),
    "other data": lambda y: setattr(y, "data", torch.zeros(3, 5)),
    "no memory": lambda y: y.untyped_storage().resize_(0),
    "less memory": lambda y: y.untyped_storage().resize_(8),
    "shared memory": lambda y: y.share_memory_(),
    "gradient": lambda y: y.requires_grad_(),
    "gradient and back": lambda y: y.requires_grad_().requires_grad_(False),
    "hook": lambda y: y.requires_grad_().register_hook(lambda g: g * 2),
    "attribute": _label,
    "cycle": _make_a_cycle,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_done_to_a_result_is_not_seen_in_the_next(name: str) -> None:
    function = compiled()
    y = function(torch.ones(3, 5))
    CHANGES[name](y)
    del y
    gc.collect()
    again, new = function(torch.zeros(3, 5)), torch.ones(3, 5)
    assert torch.equal(again, new)
    facts = ("shape", "requires_grad", "is_leaf", "grad", "_version", "_backward_hooks", "__dict__")
    assert [getattr(again, fact) for fact in facts] == [getattr(new, fact) for fact in facts]
    assert again.stride() == new.stride()
    assert not again.is_shared()
    assert again.untyped_storage().nbytes() == new.untyped_storage().nbytes()


def test_kinds_of_one_shape_are_apart() -> None:
    function = jit(lambda x: (x + 1, x > 0, x.double(), x.t().contiguous().t()))
    x = torch.randn(4, 4)
    for _ in range(5):
        for got, wanted in zip(function(x), (x + 1, x > 0, x.double(), x), strict=True):
            assert got.dtype == wanted.dtype
            assert torch.equal(got, wanted)
        assert function(x)[3].stride() == (1, 4)


def test_inference_tensors_stay_in_inference_mode() -> None:
    function, x = compiled(), torch.ones(3, 5)
    for _ in range(3):
        with torch.inference_mode():
            assert function(x).is_inference()
            assert function(x).is_inference()
        assert not function(x).is_inference()


def test_threads_do_not_share_results() -> None:
    function = jit(lambda x: x * 3)
    function(torch.ones(64))
    function(torch.ones(64))
    wrong: list[float] = []

    def work(value: float) -> None:
        x = torch.full((64,), value)
        for _ in range(3000):
            y = function(x)
            if y[0] != value * 3 or y[63] != value * 3:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_is_bounded() -> None:
    """Large results die at once; of small ones only as many stay as the table holds."""
    function = jit(lambda x: x + 1)
    for size in (10, 20):
        function(torch.zeros(size))
    large = weakref.ref(function(torch.zeros(LIMIT)))
    assert large() is None
    small = [weakref.ref(function(torch.zeros(size))) for size in range(1, 1000)]
    assert sum(r() is not None for r in small) <= SETS * WAYS
