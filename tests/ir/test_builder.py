"""The builder: constants, calls, insertion points; torch's objects as types and constants."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch

from ir import (
    Builder,
    Facts,
    Graph,
    Span,
    TypeMismatch,
    constant_of,
    dtypes,
    reference,
    to_torch,
    type_of,
)
from ir.op import TABLE, Control, Effect
from ir.registry import lookup, overloads
from ir.torch_bridge import erased_type_of, opaque_overloads
from ir.types import DEVICE, DTYPE, FLOAT, INT, MEMORY_FORMAT, NONE, TENSOR, ListType, TupleType

Point = namedtuple("Point", "x y")


def build() -> tuple[Graph, Builder]:
    graph = Graph()
    return graph, Builder(graph.block, Span("f.py", 3))


def ops_of(graph: Graph) -> list[str]:
    return [node.op.qualified for node in graph.block.nodes]


def test_equal_scalars_share_a_constant() -> None:
    _, b = build()
    assert b.const(1) is b.const(1)
    assert len({b.const(1), b.const(1.0), b.const(True), b.const("1")}) == 4
    assert b.const(0.0) is not b.const(-0.0)
    assert b.const(None).type == NONE and b.const(dtypes.float32).type == DTYPE


def test_symbolic_size_is_no_constant() -> None:
    _, b = build()
    with pytest.raises(ValueError, match="symbolic"):
        b.const(Facts().symbol(3))


def test_call_fills_in_defaults() -> None:
    graph, b = build()
    x = graph.block.add_param(TENSOR, "x")
    y = b.add(x, 1)
    assert y.type == TENSOR and y.node.span == Span("f.py", 3)
    assert ops_of(graph) == ["prim::Constant", "aten::add.Scalar"]
    assert [v.node and v.node.attrs["value"] for v in y.node.inputs] == [None, 1, 1]


def test_sequences_become_nodes() -> None:
    graph, b = build()
    x = graph.block.add_param(TENSOR)
    pair = b.tuple_([x, x])
    joined = b.cat(pair)  # reads the tuple's elements
    assert joined.node.inputs[0].node.inputs == [x, x]
    passed = graph.block.add_param(TupleType((TENSOR, TENSOR)))
    assert b.stack(passed, 1).node.inputs[0].node.inputs[0].node.name == "prim::TupleUnpack"
    assert b.view(x, 2, b.const(3)).node.inputs[1].type == ListType(INT)
    assert b.list_([]).type == ListType(TENSOR)


def test_conversion_nodes() -> None:
    graph, b = build()
    x, i = graph.block.add_param(TENSOR), graph.block.add_param(INT)
    converted = b.leaky_relu(x, x).node.inputs[1].node
    assert converted.op.qualified == "aten::ScalarImplicit"
    rate = b.dropout(x, i, False).node.inputs[1]
    assert rate.type == FLOAT and rate.node.op.qualified == "aten::Float.int"


def test_several_results() -> None:
    graph, b = build()
    x = graph.block.add_param(type_of(torch.zeros(2, 3)))
    values, indices = b.max(x, 1)
    assert values.type.dims == indices.type.dims == (2,)
    assert values.type.dtype is dtypes.float32 and indices.type.dtype is dtypes.int64


def test_before_inserts_in_front() -> None:
    graph, b = build()
    x = graph.block.add_param(TENSOR)
    last = b.exp(x).node
    Builder.before(last).neg(x)
    assert ops_of(graph) == ["aten::neg", "aten::exp"]
    assert graph.block.nodes[0].span == last.span


def test_errors_carry_the_span() -> None:
    _, b = build()
    with pytest.raises(TypeMismatch) as raised:
        b.op("aten::exp", "text")
    assert raised.value.span == Span("f.py", 3)


# the bridge ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.zeros(2, 3), "Float(2, 3, strides=[3, 1], requires_grad=0, device=cpu)"),
        (torch.zeros(2, 3).t(), "Float(3, 2, strides=[1, 3], requires_grad=0, device=cpu)"),
        (torch.zeros((), dtype=torch.bool), "Bool(requires_grad=0, device=cpu)"),
        (torch.zeros(2).to_sparse(), "Tensor(..., requires_grad=0, device=cpu)"),
        ([1, 2], "List[int]"),
        ([1, None], "List[Optional[int]]"),
        ((1, "a"), "Tuple[int, str]"),
        ({"a": 1.5}, "Dict[str, float]"),
        (torch.Size([1]), "Size"),
        (Point(1, 2.0), "Point"),
        (torch.float16, "dtype"),
        (None, "NoneType"),
    ],
    ids=str,
)
def test_type_of(value: object, text: str) -> None:
    assert str(type_of(value)) == text


def test_erased_type_has_no_sizes() -> None:
    assert erased_type_of([torch.zeros(2), torch.zeros(3)]) == ListType(TENSOR)


@pytest.mark.parametrize(
    ("value", "constant", "type_"),
    [
        (torch.int32, dtypes.int32, DTYPE),
        (torch.channels_last, 2, MEMORY_FORMAT),
        (torch.device("cpu"), "cpu", DEVICE),
    ],
)
def test_constants_round_trip(value: object, constant: object, type_: object) -> None:
    assert constant_of(value) == (constant, type_)
    assert to_torch(*constant_of(value)) == value


@pytest.mark.parametrize(
    ("qualified", "effect"),
    [
        ("aten::mm", Effect.PURE),
        ("aten::chunk", Effect.ALIAS),
        ("aten::dropout", Effect.RANDOM),
        ("aten::rand", Effect.RANDOM),
        ("aten::index_put_", Effect.WRITE),
        ("aten::batch_norm", Effect.WRITE),
        ("aten::pop.t", Effect.WRITE),
        ("aten::warn", Effect.SIDE),
        ("prim::Print", Effect.SIDE),
    ],
)
def test_effects(qualified: str, effect: Effect) -> None:
    assert lookup(qualified).effect is effect


def test_rows_have_the_effect_that_torch_declares() -> None:
    for row in (op for op in TABLE if not isinstance(op.rule, Control)):
        for op in opaque_overloads(row.name):
            assert op.qualified != row.qualified or op.effect is row.effect, row


def test_reference_is_torchs_operator() -> None:
    x = torch.rand(3)
    assert torch.equal(reference(lookup("aten::exp"))(x), x.exp())
    assert reference(lookup("aten::add.int"))(2, 3) == 5
    assert overloads("aten::no_such_operator") == ()
    with pytest.raises(KeyError, match=r"no operator is called aten::add\.nothing"):
        lookup("aten::add.nothing")
