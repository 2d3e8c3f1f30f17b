"""Every row against torch: schemas, twins, coverage, types, and scalar rules on Python numbers."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch

from ir.dims import Dim
from ir.dtypes import DType, bool_, by_name, opmath
from ir.errors import TypeRuleError
from ir.op import TABLE, Op, Opaque, Pointwise, View
from ir.ops import (  # noqa: F401  (declaring the rows is their effect)
    activation,
    cast,
    compare,
    create,
    join,
    mutate,
    norm,
    pointwise,
    reduce,
    view,
)
from ir.pyscalar import PyLane, PyScalars
from ir.typerules import compute_dtype
from ir.types import TensorType
from tests.samples import DTYPES, PLAIN, Case, cases, grid

ATEN = [
    op
    for op in TABLE
    if op.name.startswith("aten::")
    and any(
        isinstance(a.type, TensorType) or "Tensor" in str(a.type)
        for a in (*op.schema.arguments, *op.schema.returns)
    )
]
POINTWISE = [op for op in ATEN if isinstance(op.rule, Pointwise) and op.name != "aten::empty_like"]
VIEWS = [op for op in ATEN if isinstance(op.rule, View)]

# Pointwise operators of torch on real dtypes that stay opaque, and why.
SPECIAL = "a special function without a lane primitive"
LOOP = "needs a loop whose length depends on the data"
NO_ROW = {
    "i0": SPECIAL,
    "igamma": SPECIAL,
    "igammac": SPECIAL,
    "mvlgamma": SPECIAL,
    "polygamma": SPECIAL,
    "special_airy_ai": SPECIAL,
    "special_erfcx": SPECIAL,
    "special_i0e": SPECIAL,
    "special_i1": SPECIAL,
    "special_i1e": SPECIAL,
    "special_log_ndtr": SPECIAL,
    "special_ndtri": SPECIAL,
    "special_zeta": SPECIAL,
    "gcd": LOOP,
    "lcm": LOOP,
    "frexp": "has two results",
    "equal": "gives a Python bool",
    "rrelu": "draws random numbers",
    "conj_physical": "gives a real tensor back itself",
    "_conj_physical": "for complex numbers only",
}
NO_ROW_PATTERNS = ("bessel", "polynomial")


def torch_op(op: Op) -> Any:
    """Torch's operator of a row."""
    packet = getattr(torch.ops.aten, op.name.removeprefix("aten::"))
    return getattr(packet, op.schema.overload or "default")


def registry() -> set[str]:
    """The text of every schema that torch knows."""
    return {str(s) for s in torch._C._jit_get_all_schemas()}


# declarations -------------------------------------------------------------------------------------
STATISTICS = re.compile(r"Tensor\([ab]!\)\?(?= running_)")  # written to, which torch does not mark


def test_schemas_are_torchs() -> None:
    known = registry()
    wrong = [
        t
        for op in ATEN
        if (t := STATISTICS.sub("Tensor?", op.schema.text.removeprefix("aten::")))
        and f"aten::{t}" not in known
    ]
    assert not wrong, "\n".join(wrong)


def test_every_pointwise_operator_has_a_row() -> None:
    missing = []
    for name in sorted({s.name for s in torch._C._jit_get_all_schemas() if "aten::" in s.name}):
        short = name.removeprefix("aten::")
        base = short if short.startswith("__") else short.rstrip("_")
        if base in NO_ROW or any(p in short for p in NO_ROW_PATTERNS):
            continue
        packet = getattr(torch.ops.aten, short)
        for overload in packet.overloads():
            tags = getattr(packet, overload).tags
            qualified = name if overload == "default" else f"{name}.{overload}"
            is_wanted = torch.Tag.pointwise in tags and overload != "grad_input"
            if is_wanted and TABLE.get(qualified) is None:
                missing.append(qualified)
    assert not missing, missing


def test_exceptions_are_needed() -> None:
    assert not [name for name in NO_ROW if TABLE.overloads(f"aten::{name}")]


def test_twins_point_to_their_row() -> None:
    for op in ATEN:
        if op.inplace_of is not None:
            assert isinstance(op.rule, Opaque)
            assert op.schema.is_mutable and not op.inplace_of.schema.is_mutable
            names = [a.name for a in op.schema.arguments if a.name != "out"]
            assert names == [a.name for a in op.inplace_of.schema.arguments]


# types and scalar rules ---------------------------------------------------------------------------
def known_type(x: torch.Tensor) -> TensorType:
    return TensorType(by_name(str(x.dtype)[6:]), tuple(x.shape), tuple(x.stride()), device="cpu")


def as_ir(value: Any) -> Any:
    """An argument as a type rule sees it."""
    if isinstance(value, torch.Tensor):
        return known_type(value)
    if isinstance(value, torch.dtype):
        return by_name(str(value)[6:])
    return [as_ir(v) for v in value] if isinstance(value, list) else value


def parameters(op: Op, case: Case) -> dict[str, Any]:
    """All parameters, with the schema's defaults."""
    given = {n: as_ir(v) for n, v in case.args.items()}
    return {
        a.name: given.get(a.name, a.default if a.has_default else None) for a in op.schema.arguments
    }


def inferred(op: Op, case: Case) -> Any:
    """What the row's type rule says; None when it leaves the call to the reference."""
    assert op.infer is not None
    try:
        result = op.infer(**parameters(op, case))
    except TypeRuleError:
        return None
    many = result if isinstance(result, list | tuple) else [result]
    return result if all(t.is_complete for t in many) else None


def called(op: Op, case: Case) -> Any:
    """What torch says; None when it refuses."""
    leading = [a for a in op.schema.arguments if not a.kwarg_only]
    absent = next((k for k, a in enumerate(leading) if a.name not in case.args), len(leading))
    positional = [case.args[a.name] for a in leading[:absent]]
    keywords = {n: v for n, v in case.args.items() if n not in {a.name for a in leading[:absent]}}
    try:
        return torch_op(op)(*positional, **keywords)
    except (RuntimeError, NotImplementedError, IndexError, ValueError, TypeError) as error:
        return None if "ZeroDivisionError" not in str(error) else "division"


def check_type(found: TensorType, wanted: torch.Tensor) -> None:
    assert found.dtype is by_name(str(wanted.dtype)[6:])
    assert found.shape == tuple(wanted.shape)
    if found.strides is not None and wanted.numel():
        sizes = wanted.shape
        assert [s for s, d in zip(found.strides, sizes, strict=True) if d != 1] == [
            s for s, d in zip(wanted.stride(), sizes, strict=True) if d != 1
        ]


TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9, torch.bfloat16: 1e-2, torch.float16: 2e-3}


@pytest.mark.parametrize("op", POINTWISE, ids=lambda op: op.qualified)
def test_pointwise(op: Op) -> None:
    covered = 0
    for dtype in DTYPES:
        for case in cases(op, dtype, PLAIN):
            case = with_grid(op, case, dtype)
            covered += check_pointwise(op, case)
    assert covered


def with_grid(op: Op, case: Case, dtype: torch.dtype) -> Case:
    """The case with tensors that pair all special values."""
    assert isinstance(op.rule, Pointwise)
    names = [n for n, v in case.args.items() if isinstance(v, torch.Tensor)]
    tensors = grid(dtype, len(names))
    if op.name in (
        "aten::lgamma",
        "aten::special_gammaln",
    ):  # eager's own error is large near the zeros
        tensors = [t.clamp(min=0) if t.dtype.is_floating_point else t for t in tensors]
    if op.name.removeprefix("aten::") in (
        "fmod",
        "remainder",
    ):  # eager is not exact for huge quotients
        tensors = [
            t.where((t.abs() > 1e-6) & (t.abs() < 1e4) | (t == 0), 1)
            if t.dtype.is_floating_point
            else t
            for t in tensors
        ]
    if op.name == "aten::logit_backward":  # eager's vector and scalar code differ on NaN
        tensors = [t.nan_to_num(nan=0.5) for t in tensors]
    given = {n: t > 0 if n in op.rule.own else t for n, t in zip(names, tensors, strict=True)}
    if "grad_output" in given:
        given["grad_output"] = given["grad_output"].clamp(-10, 10)
    if "value" in given and op.name != "aten::addcmul":
        given["value"] = given["value"][7 % len(given["value"])]
    return Case({**case.args, **given})


def check_pointwise(op: Op, case: Case) -> bool:
    """Type and values of one call; False when the row leaves it to the reference."""
    wanted, found = called(op, case), inferred(op, case)
    if isinstance(wanted, str):  # the rule must raise the fault where a divisor is zero
        if found is None:
            return False
        assert any(isinstance(v, str) for v in evaluate(op, case))
        case = Case({n: divisible(v) for n, v in case.args.items()})
        wanted = called(op, case)
    if found is None:
        return False
    if wanted is None and any(isinstance(v, str) for v in evaluate(op, case)):
        return True  # a fault, where torch raises
    assert wanted is not None, f"{op} accepts {case}, torch does not"
    check_type(found, wanted)
    lanes = torch.tensor(
        evaluate(op, case), dtype=torch.float64 if wanted.is_floating_point() else None
    )
    got = lanes.to(wanted.dtype)
    wanted = torch.where(agree(got, wanted), wanted, exact(op, case, wanted))
    assert agree(got, wanted).all(), f"{op} {case}\n{mismatch(case, got, wanted)}"
    return True


def divisible(value: Any) -> Any:
    """Without zeros, and without the lowest integer: eager crashes on dividing that by -1."""
    if not isinstance(value, torch.Tensor):
        return 1 if value == 0 and not isinstance(value, bool) else value
    lowest = torch.iinfo(value.dtype).min
    return torch.where((value == 0) | (value == lowest), 1, value)


def agree(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    if not wanted.is_floating_point():
        return got == wanted
    rtol = TOLERANCE[wanted.dtype]
    return torch.isclose(got, wanted, rtol=rtol, atol=rtol * 1e-2, equal_nan=True)


def exact(op: Op, case: Case, wanted: torch.Tensor) -> torch.Tensor:
    """What torch computes in float64: where eager is less exact (bfloat16 in several steps, vector
    code at infinities and denormals), a rule may have this answer too."""
    if not wanted.is_floating_point():
        return wanted
    wide = {
        n: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
        for n, v in case.args.items()
    }
    return called(op, Case(wide)).to(wanted.dtype)


def mismatch(case: Case, got: torch.Tensor, wanted: torch.Tensor) -> str:
    bad = ~torch.isclose(got, wanted, rtol=1e-2, equal_nan=True)
    k = int(bad.nonzero()[0]) if bad.any() else 0
    args = {
        n: v.broadcast_to(wanted.shape)[k].item() if isinstance(v, torch.Tensor) else v
        for n, v in case.args.items()
    }
    return f"{args}: {got[k].item()}, torch {wanted[k].item()}"


def evaluate(op: Op, case: Case) -> list[Any]:
    """The rule on every element; a fault's reason where there is one."""
    rule = op.rule
    assert isinstance(rule, Pointwise)
    params = parameters(op, case)
    types = {n: params.pop(n) for n in rule.operands}
    result = rule.result_rule(params)
    compute = compute_dtype(rule, {n: t for n, t in types.items() if t is not None}, result)
    assert compute is not None
    count = max(v.numel() for v in case.args.values() if isinstance(v, torch.Tensor))
    results = []
    for k in range(count):
        s = PyScalars()
        lanes = [
            None
            if types[n] is None
            else as_lane(s, case.args.get(n, types[n]), k, bool_ if n in rule.own else compute)
            for n in rule.operands
        ]
        lane = rule.scalar(s, *lanes, **params)
        results.append(s.faults[0] if s.faults else lane.value)
    return results


def as_lane(s: PyScalars, value: Any, k: int, dtype: DType) -> PyLane:
    if isinstance(value, torch.Tensor):
        return PyLane(value.flatten()[k if value.dim() else 0].item(), opmath(dtype))
    return s.const(value, opmath(dtype))


# views --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", VIEWS, ids=lambda op: op.qualified)
def test_view(op: Op) -> None:
    covered = 0
    for case in cases(op, torch.float32, PLAIN):
        wanted, found = called(op, case), inferred(op, case)
        if found is None:
            continue
        assert wanted is not None, f"{op} accepts {case}, torch does not"
        outputs = wanted if isinstance(wanted, tuple | list) else [wanted]
        types = found if isinstance(found, list) else [found]
        assert len(outputs) == len(types)
        for piece, (type_, out) in enumerate(zip(types, outputs, strict=True)):
            check_type(type_, out)
            check_index(op, case, out, piece if isinstance(found, list) else None)
            covered += 1
    assert covered


def check_index(op: Op, case: Case, out: torch.Tensor, piece: int | None) -> None:
    """Reading the input at the mapped indices gives the output."""
    rule = op.rule
    assert isinstance(rule, View)
    params = parameters(op, case)
    name = op.schema.arguments[0].name
    params.pop(name)
    params.update({} if piece is None else {"piece": piece})
    source = case.args[name]
    shape: tuple[Dim, ...] = tuple(source.shape)
    for k in range(0, out.numel(), max(1, out.numel() // 17)):
        at = [int(i) for i in torch.unravel_index(torch.tensor(k), out.shape)] if out.dim() else []
        inner = rule.index(at, shape, tuple(out.shape), **params)
        if inner is None:
            flat = source.contiguous().flatten()[k]
        else:
            flat = source[tuple(inner)]
        assert flat.item() == out[tuple(at)].item() or math.isnan(out[tuple(at)].item())


# promotion ----------------------------------------------------------------------------------------
MIXED = [op for op in POINTWISE if len(op.rule.operands) - len(op.rule.own) >= 2]


@pytest.mark.parametrize("op", MIXED, ids=lambda op: op.qualified)
def test_promotion(op: Op) -> None:
    """Operands of two dtypes, with dims and without, and numbers: torch's type, or none."""
    assert isinstance(op.rule, Pointwise)
    for dtype in DTYPES:
        base = next(cases(op, dtype, PLAIN))
        operands = {
            n: base.args[n] for n in op.rule.operands if n in base.args and n not in op.rule.own
        }
        for name, value in operands.items():
            for changed in others(value):
                check_promotion(op, Case({**base.args, name: changed}))


def others(operand: Any) -> list[Any]:
    """The operand with other dtypes; of a number, numbers of each kind."""
    if not isinstance(operand, torch.Tensor):
        return [True, 2, 0.5]
    return [v for d in DTYPES for v in (operand.to(d), torch.ones((), dtype=d))]


def check_promotion(op: Op, case: Case) -> None:
    wanted, found = called(op, case), inferred(op, case)
    if found is not None and not isinstance(wanted, str):
        assert wanted is not None, f"{op} accepts {case}, torch does not"
        assert found.dtype is by_name(str(wanted.dtype)[6:]), (
            f"{op} {case}: {found}, {wanted.dtype}"
        )
        assert found.shape == tuple(wanted.shape)
