"""Composite rows: what they decompose into computes what torch's operator does; reductions and
creation rows by their lane rules on Python numbers."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from ir.builder import Builder
from ir.dtypes import by_name, opmath
from ir.graph import Graph, Value
from ir.interpreter import Interpreter
from ir.op import Composite, Create, Op, Reduction, Scan
from ir.pyscalar import PyLane, PyScalars
from ir.typerules import axes
from ir.types import ListType
from tests.ir.test_rows import ATEN, as_ir, called, check_type, inferred, known_type, parameters
from tests.samples import DTYPES, Case, cases

# Those that decompose by what their operands come from are in tests/test_lookups.py.
COMPOSITE = [
    op for op in ATEN if isinstance(op.rule, Composite) and op.name != "aten::embedding_bag"
]
REDUCTIONS = [op for op in ATEN if isinstance(op.rule, Reduction)]
SCANS = [op for op in ATEN if isinstance(op.rule, Scan)]
CREATIONS = [op for op in ATEN if isinstance(op.rule, Create) and op.name != "aten::empty"]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}
UNTESTED = {"aten::new_empty"}  # arbitrary contents


def tame(case: Case) -> Case:
    """Without infinities and NaN, of moderate size: sums of the others are not comparable."""

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(v) for v in value]
        if not isinstance(value, torch.Tensor) or value.dtype is torch.bool:
            return value
        if value.dtype.is_floating_point:
            value = value.nan_to_num(1.5, 2.0, -2.0)
            value = value.where((value == 0) | (value.abs() > 1e-6), 0.25)
        return value.clamp(0 if value.dtype is torch.uint8 else -3, 3)

    return Case({n: one(v) for n, v in case.args.items()})


def decomposed(op: Op, case: Case) -> tuple[Graph, list[torch.Tensor]] | None:
    """A graph of the decomposition with the case's tensors as parameters; None when it refuses."""
    graph, tensors = Graph("composite"), []
    builder = Builder(graph.block)

    def argument(value: Any) -> Any:
        if isinstance(value, list):
            return [argument(v) for v in value]
        if not isinstance(value, torch.Tensor):
            return as_ir(value)
        tensors.append(value)
        return graph.block.add_param(known_type(value))

    given = {
        a.name: argument(case.args[a.name]) for a in op.schema.arguments if a.name in case.args
    }
    params = {**parameters(op, case), **given}
    assert isinstance(op.rule, Composite)
    result = op.rule.decompose(builder, *params.values())
    if result is None:
        return None
    for value in result if isinstance(result, tuple) else (result,):
        graph.block.add_return(value)
    return graph, tensors


@pytest.mark.parametrize("op", COMPOSITE, ids=lambda op: op.qualified)
def test_composite(op: Op) -> None:
    covered = 0
    for dtype in DTYPES:
        for case in map(tame, cases(op, dtype)):
            covered += check_composite(op, case)
    assert covered


def check_composite(op: Op, case: Case) -> bool:
    wanted, built = called(op, case), decomposed(op, case)
    if built is None or wanted is None:
        return False
    graph, tensors = built
    found = Interpreter(graph).run(*tensors)
    outputs = wanted if isinstance(wanted, tuple | list) else [wanted]
    results = found if isinstance(found, tuple | list) else [found]
    values = graph.returns
    if isinstance(values[0].type, ListType) and values[0].node is not None:
        values = values[0].node.inputs
    for value, result, out in zip(values, results, outputs, strict=True):
        if op.name not in UNTESTED:
            close(result, out, f"{op} {case}")
        if not isinstance(value.type, type(None)) and value.type.is_complete:
            check_type(value.type, result)
        assert result.shape == out.shape and result.dtype is out.dtype
    return True


def close(found: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
    rtol = TOLERANCE.get(wanted.dtype, 0)
    torch.testing.assert_close(
        found, wanted, rtol=rtol, atol=rtol * 4, equal_nan=True, msg=lambda text: f"{what}\n{text}"
    )


def test_a_composite_refuses_what_it_does_not_know() -> None:
    graph = Graph("unknown")
    x = graph.block.add_param(known_type(torch.ones(2, 3)).erased())
    row = next(op for op in COMPOSITE if op.qualified == "aten::softmax.int")
    assert isinstance(row.rule, Composite)
    assert row.rule.decompose(Builder(graph.block), x, 0, None) is None
    assert not graph.block.nodes


# lane rules ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.qualified)
def test_reduction(op: Op) -> None:
    covered = 0
    for dtype in DTYPES:
        for case in cases(op, dtype):
            assert isinstance(op.rule, Reduction)
            covered += check_reduction(op, tame(case) if op.rule.has_identity else case)
    assert covered


def check_reduction(op: Op, case: Case) -> bool:
    wanted, found = called(op, case), inferred(op, case)
    if found is None:
        return False
    assert wanted is not None, f"{op} accepts {case}, torch does not"
    outputs = wanted if isinstance(wanted, tuple) else (wanted,)
    types = found if isinstance(found, tuple) else (found,)
    params = parameters(op, case)
    columns = evaluate_reduction(op, case.args["self"], params)
    for type_, out, column in zip(types, outputs, zip(*columns, strict=True), strict=True):
        check_type(type_, out)
        kind = torch.float64 if out.is_floating_point() else None
        close(torch.tensor(column, dtype=kind).to(out.dtype), out.flatten(), f"{op} {case}")
    return True


def evaluate_reduction(op: Op, x: torch.Tensor, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    """For each kept index the outputs; elements are combined in halves, as vectors are."""
    rule = op.rule
    assert isinstance(rule, Reduction)
    source = params.get("dtype") or by_name(str(x.dtype)[6:])
    dtype = opmath(rule.accumulate(source))
    over = axes(params.get("dim"), x.dim())
    kept = [k for k in range(x.dim()) if k not in over]
    rows = x.permute(*kept, *over).reshape(*(x.shape[k] for k in kept), -1)
    results = []
    for at in itertools.product(*(range(x.shape[k]) for k in kept)):
        s = PyScalars()
        lifted = [
            rule.lift(s, s.cast(PyLane(v, opmath(source)), dtype), PyLane(i, by_name("int64")))
            for i, v in enumerate(rows[at].tolist())
        ]
        accumulators = [rule.init(s, dtype), *lifted]
        while len(accumulators) > 1:
            half = (len(accumulators) + 1) // 2
            low, high = accumulators[:half], accumulators[half:]
            accumulators = [rule.combine(s, a, b) for a, b in zip(low, high, strict=False)] + low[
                len(high) :
            ]
        lanes = rule.finish(s, accumulators[0], PyLane(len(lifted), by_name("int64")))
        results.append(tuple(v.value for v in (lanes if isinstance(lanes, tuple) else (lanes,))))
    return results


@pytest.mark.parametrize("op", SCANS, ids=lambda op: op.qualified)
def test_scan(op: Op) -> None:
    for dtype in DTYPES:
        for case in map(tame, cases(op, dtype)):
            wanted, found = called(op, case), inferred(op, case)
            check_type(found, wanted)
            rows = case.args["self"].movedim(case.args["dim"], -1)
            out = evaluate_scan(op, rows, parameters(op, case)).to(wanted.dtype)
            close(out, wanted.movedim(case.args["dim"], -1), f"{op} {case}")


def evaluate_scan(op: Op, rows: torch.Tensor, params: dict[str, Any]) -> torch.Tensor:
    rule, s = op.rule, PyScalars()
    assert isinstance(rule, Scan)
    source = params.get("dtype") or by_name(str(rows.dtype)[6:])
    dtype = opmath(rule.accumulate(source))
    result = []
    for row in rows.reshape(-1, rows.shape[-1]).tolist():
        lane = rule.init(s, dtype)
        for number in row:
            lane = rule.combine(s, lane, s.cast(PyLane(number, opmath(source)), dtype))
            result.append(lane.value)
    return torch.tensor(result, dtype=torch.float64 if dtype.is_float else None).reshape(rows.shape)


@pytest.mark.parametrize("op", CREATIONS, ids=lambda op: op.qualified)
def test_creation(op: Op) -> None:
    covered = 0
    for case in cases(op, torch.float32):
        wanted, found = called(op, case), inferred(op, case)
        if found is None:
            continue
        assert wanted is not None, f"{op} accepts {case}, torch does not"
        check_type(found, wanted)
        s, rule = PyScalars(), op.rule
        assert isinstance(rule, Create)
        indices = itertools.product(*map(range, wanted.shape))
        lanes = [
            rule.scalar(
                s,
                [PyLane(i, by_name("int64")) for i in at],
                opmath(found.dtype),
                **parameters(op, case),
            )
            for at in indices
        ]
        out = torch.tensor([lane.value for lane in lanes]).to(wanted.dtype)
        close(out, wanted.flatten(), f"{op} {case}")
        covered += 1
    assert covered


def test_values_of_a_graph_are_values() -> None:
    graph, tensors = decomposed(
        next(op for op in COMPOSITE if op.qualified == "aten::softmax.int"),
        Case({"self": torch.ones(2, 3), "dim": 1}),
    ) or pytest.fail("refused")
    assert len(tensors) == 1 and all(isinstance(v, Value) for v in graph.returns)
