"""Rows on Python numbers: the scalar rule says what the reference says, or raises a fault."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from ir import BOOL, FLOAT, INT, Facts, Op, dtypes, hint, overloads, registry
from ir.op import TABLE, Scalar
from ir.ops.methods import SYMBOLIC
from ir.pyscalar import PyLane, PyScalars

ROWS = [op for op in TABLE if isinstance(op.rule, Scalar)]
NON_FINITE = [math.inf, -math.inf, math.nan]
VALUES: dict[Any, list[Any]] = {
    INT: [0, 1, -1, 2, 3, -3, 7, -8, 64, 100, 2**40 + 1],
    FLOAT: [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.25, 7.5, -1e-3, 1e19, 800.0, *NON_FINITE],
    BOOL: [False, True],
}
SMALL = [0, 1, -1, 2, 3, -3, 7]  # what powers and shifts take
LANES = {INT: dtypes.int64, FLOAT: dtypes.float64, BOOL: dtypes.bool_}
LARGEST = 2**62  # beyond, Python's integers and 64-bit ones part


def by_python(op: Op, values: tuple[Any, ...]) -> Any:
    """The reference's result, None when it raises or leaves the row's types."""
    assert op.python is not None
    try:
        result = op.python(*values)
    except (ArithmeticError, LookupError, ValueError):
        return None
    expected = {INT: int, FLOAT: float, BOOL: bool}[op.schema.returns[0].type]
    return result if type(result) is expected and abs(result) != 2**63 else None


def by_rule(op: Op, values: tuple[Any, ...]) -> Any:
    """The scalar rule's result, None for a fault."""
    lanes = [PyLane(v, LANES[a.type]) for v, a in zip(values, op.schema.arguments, strict=True)]
    builder = PyScalars()
    lane = op.rule.scalar(builder, *lanes)
    if builder.faults:
        return None
    assert lane.dtype is LANES[op.schema.returns[0].type]
    return lane.value


def agree(a: Any, b: Any) -> bool:
    if isinstance(a, float) and a == a and math.isfinite(a):
        is_close = math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-300)
        return is_close and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b or (a != a and b != b))


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.qualified)
def test_rule_is_pythons(op: Op) -> None:
    grows = "pow" in op.name or "shift" in op.name
    choices = [SMALL if grows and a.type == INT else VALUES[a.type] for a in op.schema.arguments]
    for values in itertools.product(*choices):
        expected = by_python(op, values)
        found = by_rule(op, values)
        if isinstance(expected, int) and abs(expected) > LARGEST:
            continue
        if expected is None:
            assert found is None, f"{values}: Python raises, the rule gives {found}"
        else:
            assert found is None or agree(expected, found), f"{values}: {found}, not {expected}"
            assert found is not None or grows, f"{values}: a fault, expected {expected}"


ON_SIZES = [op for op in ROWS if op.name in SYMBOLIC]


@pytest.mark.parametrize("op", ON_SIZES, ids=lambda op: op.qualified)
def test_symbolic_sizes(op: Op) -> None:
    formals = op.schema.arguments
    if any(a.type != INT for a in formals) or op.name.endswith(("Bool", "Int")):
        pytest.skip("not on sizes")
    facts = Facts()
    assert op.python is not None
    for values in itertools.product((2, 3, 12), repeat=len(formals)):
        result = op.python(*(facts.symbol(v) for v in values))
        expected = op.python(*values)
        assert (result if isinstance(result, bool) else hint(result)) == expected


def test_every_overload_without_tensors_has_a_reference() -> None:
    for name in "add eq len __getitem__ append pop keys split format slice sorted".split():
        for op in overloads(f"aten::{name}"):
            if not any(str(a.type).startswith("Tensor") for a in op.schema.arguments):
                assert op.python is not None, op


@pytest.mark.parametrize(
    ("qualified", "args", "expected"),
    [
        ("aten::find", ("banana", "na", 0, -1), 2),
        ("aten::count", ("banana", "a", 0, -1), 3),
        ("aten::slice.t", ([1, 2, 3, 4], 1, None, 2), [2, 4]),
        ("aten::pop.t", ([1, 2, 3], -1), 3),
        ("aten::append.t", ([1], 2), [1, 2]),
        ("aten::add.t", ((1, 2), [3]), [1, 2, 3]),
        ("aten::eq.int_list", ((1, 2), [1, 2]), True),
        ("aten::keys.str", ({"a": 1},), ["a"]),
        ("aten::get.default_str", ({"a": 1}, "b", 5), 5),
        ("aten::format", ("{}-{}", 1, "x"), "1-x"),
        ("aten::__round_to_zero_floordiv.int", (-7, 2), -3),
        ("aten::divmod.int", (-7, 2), (-4, 1)),
        ("aten::__range_length", (0, 10, 3), 4),
        ("aten::__range_length", (10, 0, -3), 4),
        ("aten::__range_length", (5, 0, 1), 0),
    ],
)
def test_references(qualified: str, args: tuple[Any, ...], expected: Any) -> None:
    python = registry.lookup(qualified).python
    assert python is not None and python(*args) == expected
