"""Derived types are eager's: dtype, sizes, strides; with constant and with symbolic sizes."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from ir import Builder, Facts, Graph, Op, TensorType, dtypes, hint, infer, reference, type_of
from ir.builder import evaluate_call
from ir.op import TABLE, Control, Element, Opaque, Pointwise, Scalar
from ir.schema import NO_DEFAULT
from ir.types import BOOL, INT, TENSOR, ListType, contiguous_strides
from tests.ir.layouts import abstract_of, pointwise_arguments, visible
from tests.samples import LAYOUTS, cases

POINTWISE = [
    op for op in TABLE if isinstance(op.rule, Pointwise) and op.name.startswith("aten::")
]
OTHERS = [
    op
    for op in TABLE
    if not isinstance(op.rule, Pointwise | Opaque | Control | Scalar | Element)
]
SAMPLES = 12
CONVERTS_IN_PLACE = ("aten::copy",)  # keeps even the gaps between the elements of `self`
UNSAMPLED = (  # take class indices, or bags of them
    "aten::nll_loss", "aten::cross_entropy_loss", "aten::embedding_bag",
)
UNCHECKED_REFUSALS = (  # eager refuses for reasons that are not about types of single operands
    "layer_norm", "rms_norm", "positive", "flipud", "clamp", "clip", "lerp", "sub", "heaviside",
    "copy",
    "_prelu_kernel", "gelu_backward",
)  # fmt: skip


def run(op: Op, values: Sequence[Any]) -> tuple[Any, ...] | None:
    """Eager's results, None when it refuses."""
    formals = op.schema.arguments
    split = sum(not a.kwarg_only for a in formals)
    named = {a.name: v for a, v in zip(formals[split:], values[split:], strict=True)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = reference(op)(*values[:split], **named)
    except (RuntimeError, TypeError, IndexError, ValueError, ZeroDivisionError):
        return None
    return result if len(op.schema.returns) > 1 else (result,)


def derive(op: Op, abstract: Sequence[Any]) -> tuple[Any, ...]:
    return evaluate_call(op, abstract, [r.type for r in op.schema.returns])


def pairs(
    results: Sequence[Any], derived: Sequence[Any]
) -> Iterator[tuple[torch.Tensor, TensorType]]:
    """Each tensor of eager's results with the type derived for it, where one was."""
    for result, abstract in zip(results, derived, strict=True):
        if isinstance(result, torch.Tensor):
            result, abstract = [result], [abstract]
        if isinstance(abstract, list | tuple):
            for tensor, type_ in zip(result, abstract, strict=True):
                if isinstance(type_, TensorType) and type_.is_complete:
                    yield tensor, type_


def check(op: Op, values: Sequence[Any]) -> int:
    """Compare one call, constant and symbolic; the number of tensors compared."""
    results = run(op, values)
    abstract = [abstract_of(v) for v in values]
    derived = derive(op, abstract)
    if results is None:
        known = any(isinstance(t, TensorType) and t.is_complete for t in derived)
        assert not known or any(name in op.name for name in UNCHECKED_REFUSALS), "eager refuses"
        return 0
    count = 0
    for tensor, type_ in pairs(results, derived):
        assert visible(type_) == visible(type_of(tensor)), [str(v) for v in abstract]
        count += 1
    check_symbolic(op, values, results)
    return count


def check_symbolic(op: Op, values: Sequence[Any], results: tuple[Any, ...]) -> None:
    """Equal sizes become one symbol; the hints of derived sizes must be eager's sizes."""
    facts = Facts()
    symbols: dict[int, Any] = {}

    def size(n: int) -> Any:
        return n if n < 2 else symbols.setdefault(n, facts.symbol(n))

    def symbolic(value: Any) -> Any:
        if isinstance(value, TensorType):
            dims = tuple(map(size, value.shape))
            is_plain = value.strides == contiguous_strides(value.shape)
            strides = contiguous_strides(dims) if is_plain else value.strides
            return value.with_(dims=dims, strides=strides)
        return list(map(symbolic, value)) if isinstance(value, list) else value

    for tensor, type_ in pairs(results, derive(op, [symbolic(abstract_of(v)) for v in values])):
        assert [hint(d) for d in type_.shape] == list(tensor.shape)


@pytest.mark.parametrize("op", POINTWISE, ids=lambda op: op.qualified)
def test_pointwise(op: Op) -> None:
    if op.name in CONVERTS_IN_PLACE:
        pytest.skip("keeps gaps")
    rng = random.Random(op.qualified)
    torch.manual_seed(0)
    compared = sum(check(op, pointwise_arguments(rng, op)) for _ in range(SAMPLES))
    assert compared or "clamp" in op.name or "clip" in op.name


@pytest.mark.parametrize("op", OTHERS, ids=lambda op: op.qualified)
def test_other_rows(op: Op) -> None:
    compared = calls = 0
    for dtype in (torch.float32, torch.int64):
        for layout in LAYOUTS:
            for case in cases(op, dtype, layout):
                given = [case.args.get(a.name, a.default) for a in op.schema.arguments]
                if NO_DEFAULT in given:
                    continue
                calls += 1
                compared += check(op, [list(v) if isinstance(v, tuple) else v for v in given])
    assert compared or not calls or op.name in UNSAMPLED


# graphs -------------------------------------------------------------------------------------------
def symbolic_graph() -> tuple[Graph, Builder, Any, Any, Facts]:
    facts = Facts()
    n, m = facts.symbol(7), facts.symbol(5)
    graph = Graph()
    x = graph.block.add_param(TensorType(dtypes.float32, (n, m), (m, 1), device="cpu"), "x")
    return graph, Builder(graph.block), x, (n, m), facts


def test_sizes_stay_symbolic() -> None:
    graph, b, x, (n, m), facts = symbolic_graph()
    rows = b.op("aten::size", x, 0)
    twice = b.op("aten::mul", rows, 2)
    shape = b.op("aten::size", x)
    columns = b.op("aten::__getitem__", shape, 1)
    count = b.op("aten::numel", x)
    flat = b.view(x, [-1])
    back = b.view(flat, columns, -1)
    joined = b.cat([x, x], 0)
    known = infer(graph)
    assert [known[v] for v in (rows, twice, columns, count)] == [n, 2 * n, m, n * m]
    assert flat.type.dims == (n * m,) and back.type.dims == (m, n)
    assert joined.type.dims == (2 * n, m)
    assert not facts.assumptions


def test_comparison_of_sizes_is_assumed() -> None:
    graph, b, x, _, facts = symbolic_graph()
    equal = b.op("aten::eq", b.op("aten::size", x, 0), b.op("aten::size", x, 1))
    assert infer(graph)[equal] is False
    assert [str(a) for a in facts.assumptions] == ["s0 != s1"]


def test_changing_list_is_not_known() -> None:
    graph, b, *_ = symbolic_graph()
    sizes = b.list_([2, 3])
    first = b.op("aten::len", sizes)
    assert infer(graph)[first] == 2
    b.op("aten::append", sizes, 4)
    assert first not in infer(graph)


def add_branch(b: Builder, condition: Any, *results: Any) -> Any:
    node = b.node("prim::If", [condition], [TENSOR])
    for result in results:
        block = node.add_block()
        block.add_return(result(Builder(block)))
    return node.output


def test_branches_join() -> None:
    graph, b, x, (n, m), _ = symbolic_graph()
    condition = graph.block.add_param(BOOL)
    result = add_branch(b, condition, lambda b: b.neg(x), lambda b: b.sum(x, [1], True))
    taken = add_branch(b, b.const(True), lambda b: b.neg(x), lambda b: b.sum(x, [1], True))
    infer(graph)
    assert result.type.dims == (n, None) and result.type.dtype is dtypes.float32
    assert taken.type.dims == (n, m)


def test_loop_reaches_a_fixed_point() -> None:
    graph, b, x, (n, m), _ = symbolic_graph()
    inputs = [b.const(3), b.const(True), x, x, b.const(0)]
    loop = b.node("prim::Loop", inputs, [TENSOR, TENSOR, INT])
    body = loop.add_block()
    _, same, grown, count = (body.add_param(t) for t in (INT, TENSOR, TENSOR, INT))
    inner = Builder(body)
    following = inner.op("aten::add", count, 1)
    body.set_returns([inner.const(True), inner.exp(same), inner.cat([grown, grown], 0), following])
    known = infer(graph)
    assert loop.outputs[0].type.dims == (n, m)
    assert loop.outputs[1].type.dims != (n, m)
    assert count not in known and count.type == INT


def test_profile_completes_opaque_results() -> None:
    graph, b, x, (n, _), _ = symbolic_graph()
    product = b.cdist(x, x)
    after = b.relu(product)
    assert infer(graph).profiled == set() and product.type == TENSOR
    seen = TensorType(dtypes.float32, (n, n), (n, 1), device="cpu")
    known = infer(graph, profile={product: seen})
    assert known.profiled == {product} and after.type == seen


def test_split_gives_a_list_of_types() -> None:
    graph = Graph()
    x = graph.block.add_param(type_of(torch.zeros(5, 4)))
    b = Builder(graph.block)
    parts = b.split(x, 2)
    last = b.op("aten::__getitem__", parts, -1)
    infer(graph)
    assert isinstance(parts.type, ListType) and last.type.dims == (1, 4)
