"""Every row through the native tier against torch: dtypes x layouts x special values, with constant
and with symbolic sizes.

The default run takes each row through every layout once, dtypes taking turns; `make sweep` takes
all combinations.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from codegen.refuse import Refused
from ir.op import Composite, Element, Op, Opaque, Reduction, Scan, View
from tests.calls import CALLS
from tests.ir.test_composites import UNTESTED, tame
from tests.ir.test_rows import ATEN, called, exact, inferred
from tests.native_ops import Missed, Specialization, is_fused, tensors_of
from tests.samples import DTYPES, LAYOUTS, PLAIN, Case, Layout, cases

ROWS = [
    op
    for op in ATEN
    if not isinstance(op.rule, Element | Opaque)
    and op.name not in (*UNTESTED, "aten::empty_like", "aten::empty")
    and op.qualified.removeprefix("aten::") not in CALLS
]
TOLERANCE = {torch.float32: 4e-6, torch.float64: 1e-13, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}
REFUSALS = (RuntimeError, NotImplementedError, IndexError, ValueError, TypeError)
OTHER = Layout("contiguous", (4, 6, 9))
Setup = tuple[torch.dtype, Layout, bool]


def turns(op: Op) -> Iterator[Setup]:
    """Each layout once; which dtype, and whether sizes are symbolic, depends on the row."""
    start = zlib.crc32(op.qualified.encode())
    for k, layout in enumerate(LAYOUTS):
        yield DTYPES[(start + 3 * k) % len(DTYPES)], layout, (start + k) % 2 == 0
    yield torch.float32, LAYOUTS[start % len(LAYOUTS)], start % 3 == 0


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.qualified)
def test_row(op: Op) -> None:
    for dtype, layout, symbolic in turns(op):
        for case in list(cases(op, dtype, layout))[:2]:
            check(op, case, symbolic)


@pytest.mark.sweep
@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.qualified)
def test_row_everywhere(op: Op) -> None:
    for dtype in DTYPES:
        for layout in LAYOUTS:
            for case in cases(op, dtype, layout):
                check(op, case, False)
                check(op, case, True)


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.qualified)
def test_other_sizes(op: Op) -> None:
    """A plan with symbolic sizes serves other sizes; where it assumed something, it may miss."""
    first, second = (next(cases(op, torch.float32, layout)) for layout in (PLAIN, OTHER))
    if is_tame(op):
        first, second = tame(first), tame(second)
    wanted = called(op, second)
    if wanted is None or (op.infer is not None and inferred(op, first) is None):
        return
    specialization = Specialization(op, first, True)
    native = specialization.compile()
    try:
        found = native(*tensors_of(op, second))
    except Missed:
        assert specialization.facts.assumptions, f"{op} {second}: missed"
        return
    compare(op, second, found, wanted, f"{op} {first}, then {second}")


def check(op: Op, case: Case, symbolic: bool) -> None:
    """The plan of one call gives what torch gives; a fault is raised where torch raises."""
    case = tame(case) if is_tame(op) else case
    wanted = called(op, case)
    if op.infer is not None and inferred(op, case) is None:
        return
    where = f"{op} {case}{' symbolic' if symbolic else ''}"
    specialization = Specialization(op, case, symbolic)
    try:
        native = specialization.compile()
    except Refused as refused:
        pytest.fail(f"{where}: refused: {refused}")
    if not isinstance(op.rule, View | Composite):
        assert is_fused(native.plan, specialization.graph.returns), f"{where}: not native"
    try:
        found = native(*specialization.tensors)
    except REFUSALS:  # called back: eager's own refusal
        assert wanted is None, where
        return
    except Missed:
        assert wanted is None or isinstance(wanted, str), f"{where}: the plan gave up"
        return
    assert wanted is not None and not isinstance(wanted, str), f"{where}: torch refuses"
    compare(op, case, found, wanted, where)


def is_tame(op: Op) -> bool:
    """Whether eager's own answers on extreme numbers depend on its order of operations."""
    return (
        isinstance(op.rule, Composite | Scan)
        or (isinstance(op.rule, Reduction) and op.rule.has_identity)
        or op.name.endswith(("fmod", "remainder", "_backward"))
    )


def compare(op: Op, case: Case, found: Any, wanted: Any, where: str) -> None:
    """Tensor by tensor; where eager is less exact than it could be, float64 counts too."""
    results = found if isinstance(found, tuple | list) else [found]
    outputs = wanted if isinstance(wanted, tuple | list) else [wanted]
    assert len(results) == len(outputs), where
    for k, (result, out) in enumerate(zip(results, outputs, strict=True)):
        assert (result.dtype, result.shape) == (out.dtype, out.shape), where
        good = agree(result, out)
        if not good.all() and len(outputs) == 1:
            good |= agree(result, exact(op, case, out))
        assert good.all(), f"{where} [{k}]\n{report(result, out, good)}"


def agree(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    if not wanted.is_floating_point():
        return found == wanted
    rtol = TOLERANCE[wanted.dtype]
    return torch.isclose(found, wanted, rtol=rtol, atol=rtol / 4, equal_nan=True)


def report(found: torch.Tensor, wanted: torch.Tensor, good: torch.Tensor) -> str:
    bad = (~good).nonzero()
    at = tuple(bad[0].tolist())
    values = f"{found[at].item()}, torch {wanted[at].item()}"
    return f"{len(bad)} of {good.numel()} differ; at {at} {values}"
