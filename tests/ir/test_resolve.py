"""Overload choice agrees with TorchScript's where that takes a call, else with eager's meaning."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ir import TypeMismatch, registry
from ir.resolve import UNKNOWN, Actual, Converted, Fixed, Gathered, Given, Spread, resolve
from ir.torch_bridge import constant_of
from ir.types import (
    BOOL,
    FLOAT,
    INT,
    NUMBER,
    STR,
    TENSOR,
    DictType,
    ListType,
    OptionalType,
    TupleType,
)

VARIABLES = {
    "x": ("Tensor", TENSOR),
    "y": ("Tensor", TENSOR),
    "i": ("int", INT),
    "j": ("int", INT),
    "f": ("float", FLOAT),
    "b": ("bool", BOOL),
    "n": ("number", NUMBER),
    "s": ("str", STR),
    "li": ("List[int]", ListType(INT)),
    "lf": ("List[float]", ListType(FLOAT)),
    "lt": ("List[Tensor]", ListType(TENSOR)),
    "ls": ("List[str]", ListType(STR)),
    "d": ("Dict[str, Tensor]", DictType(STR, TENSOR)),
    "o": ("Optional[Tensor]", OptionalType(TENSOR)),
    "t": ("Tuple[Tensor, Tensor]", TupleType((TENSOR, TENSOR))),
}

CALLS = """
    add(x, y) | add(x, i) | add(x, f) | add(x, 2) | add(x, y, alpha=2) | add(i, j) | add(f, i)
    add(i, f) | add(f, f) | add(li, li) | add(s, s) | add(lt, lt) | sub(x, 1.5) | sub(i, j)
    rsub(x, 1) | mul(x, y) | mul(x, b) | mul(f, i) | mul(li, i) | div(x, y) | div(x, 2)
    div(i, j) | div(f, f) | div(x, y, rounding_mode='floor') | floor_divide(x, i)
    floordiv(i, j) | floordiv(f, i) | remainder(x, 2) | remainder(i, j) | remainder(f, f)
    pow(x, 2) | pow(x, y) | pow(2, x) | pow(i, j) | pow(f, i) | pow(f, f) | neg(x) | neg(i)
    neg(f) | eq(x, y) | eq(x, 1) | eq(i, j) | eq(f, i) | eq(b, b) | eq(s, s) | eq(li, li)
    ne(x, 0.5) | ne(ls, ls) | lt(x, y) | lt(i, j) | lt(i, f) | le(f, i) | gt(x, i) | ge(f, f)
    ge(s, s) | __and__(x, y) | __and__(b, b) | __and__(i, j) | __or__(x, b) | __xor__(i, j)
    __lshift__(i, j) | sum(x) | sum(x, 0) | sum(x, [0, 1]) | sum(x, li, True)
    sum(x, dim=[0], keepdim=True) | sum(x, 1, dtype=torch.float64) | sum(x, dtype=torch.int64)
    sum(li) | mean(x) | mean(x, 1, True) | max(x) | max(x, 1) | max(x, y) | max(x, 0, True)
    min(x, 1) | amax(x, 1) | amax(x, [0, 1]) | argmax(x) | argmax(x, 1) | var(x) | var(x, 1)
    std(x, [0], True) | norm(x) | norm(x, 2) | all(x) | all(x, 0) | any(x) | cumsum(x, 0)
    softmax(x, 1) | softmax(x, -1, torch.float32) | view(x, [2, 3]) | view(x, li) | view(x, -1)
    view(x, 2, 3) | view(x, i, -1) | reshape(x, [6]) | reshape(x, -1) | permute(x, [1, 0])
    permute(x, 1, 0) | transpose(x, 0, 1) | t(x) | expand(x, [2, 3]) | expand(x, 2, 3)
    unsqueeze(x, 0) | squeeze(x) | squeeze(x, 1) | flatten(x) | flatten(x, 1) | select(x, 0, i)
    narrow(x, 0, 1, 2) | slice(x, 0, 1, 5, 2) | slice(x, 0, None, None, 1) | slice(li, 1, 2, 1)
    split(x, 2) | split(x, [1, 2], 0) | chunk(x, 2, 1) | unbind(x) | cat(lt) | cat(lt, 1)
    cat([x, y], 0) | cat((x, y)) | cat(t) | stack(lt, 1) | stack([x, y]) | where(x, x, y)
    where(x, x, 0.5) | where(x, 1, 0) | clamp(x, 0) | clamp(x, 0, 1) | clamp(x, min=0)
    clamp(x, None, 1.5) | clamp(x, y) | clamp_min(x, 0) | exp(x) | exp(f) | exp(i) | sqrt(x)
    sqrt(f) | sqrt(i) | sin(x) | log(f) | floor(f) | zeros([2, 3]) | zeros(li) | zeros(2, 3)
    zeros([2], dtype=torch.int32) | ones(i) | full([2], 1.5) | full([2], i) | arange(5)
    arange(i) | arange(1, 5) | arange(0, i, 2) | arange(f) | zeros_like(x) | full_like(x, 2)
    empty([2]) | linspace(0, 1, 5) | eye(3) | to(x, torch.float64) | to(x, y) | to(x, 'cpu')
    to(x, dtype=torch.int32) | type_as(x, y) | matmul(x, y) | mm(x, y) | addmm(x, x, y, beta=1)
    linear(x, y) | linear(x, y, o) | conv2d(x, y) | conv2d(x, y, None, [1, 1])
    conv2d(x, y, None, 1, 1) | conv2d(x, y, padding='same') | max_pool2d(x, [2, 2])
    layer_norm(x, [3]) | layer_norm(x, li, o, o) | dropout(x, 0.5, True) | dropout(x, f, b)
    gelu(x) | gelu(x, approximate='tanh') | leaky_relu(x, 0.1) | softplus(x) | embedding(x, y)
    gather(x, 1, y) | index_select(x, 0, y) | scatter(x, 0, y, x) | scatter(x, 0, y, 1.0)
    topk(x, 2) | sort(x) | sort(x, 0, True) | masked_fill(x, y, 0) | masked_fill(x, y, f)
    tril(x) | roll(x, 1, 0) | roll(x, [1], [0]) | flip(x, [0]) | repeat(x, [2, 1])
    repeat(x, 2, 1) | len(x) | len(li) | len(s) | len(d) | len(lt) | __getitem__(li, 0)
    __getitem__(lt, i) | __getitem__(d, s) | append(li, 1) | append(lt, x) | keys(d) | values(d)
    size(x) | size(x, 0) | dim(x) | numel(x) | Int(x) | Int(f) | Int(b) | Float(x) | Bool(x)
    Bool(i) | item(x) | lerp(x, y, 0.5) | lerp(x, y, x) | addcmul(x, x, y)
    addcmul(x, x, y, value=2) | fill_(x, 0) | fill_(x, y) | copy_(x, y) | add_(x, 1)
    add_(x, y) | mul_(x, f) | zero_(x) | relu(x) | bernoulli(x) | bernoulli(x, 0.5)
    outer(x, y) | tensor(1.5) | tensor(i) | tensor(lf) | format(s, i, x) | split(s)
    join(s, ls) | startswith(s, s) | atan2(f, f) | bitwise_and(x, 1) | bitwise_and(x, y)
    logical_not(x) | isnan(x) | isnan(f) | einsum(s, lt) | round(x) | round(f)
    repeat_interleave(x, 2) | repeat_interleave(x, y) | searchsorted(x, y) | bucketize(x, y)
    bincount(x) | std(x, dim=0)
    """
NAMES = [call.strip() for line in CALLS.strip().splitlines() for call in line.split("|")]


def torchscript_choice(call: str) -> str | None:
    """The overload that TorchScript takes; None when it refuses the call."""
    params = ", ".join(f"{n}: {kind}" for n, (kind, _) in VARIABLES.items())
    try:
        unit = torch.jit.CompilationUnit(f"def f({params}):\n    return torch.ops.aten.{call}\n")
    except RuntimeError:
        return None
    name = f"aten::{call.partition('(')[0]}"
    node = next(n for n in unit.f.graph.nodes() if n.kind() == name)
    return node.schema().partition("(")[0]


class _Argument:
    """Turns the text of an argument into what overload choice sees."""

    def __getitem__(self, name: str) -> Any:
        if name == "torch":
            return torch
        return Actual(VARIABLES[name][1], UNKNOWN, name)


def _actual(value: Any) -> Actual:
    if isinstance(value, Actual):
        return value
    if isinstance(value, list | tuple):
        items = [_actual(v) for v in value]
        types = [a.type for a in items]
        is_list = isinstance(value, list)
        return Actual(ListType(types[0]) if is_list else TupleType(tuple(types)), items, value)
    constant, type_ = constant_of(value)
    return Actual(type_, constant, constant)


def our_choice(call: str) -> Any:
    """Our resolution of a call written as text."""
    name, _, rest = call.partition("(")
    args, kwargs = eval(f"(lambda *a, **k: (a, k))({rest}", {}, _Argument())
    named = {k: _actual(v) for k, v in kwargs.items()}
    return resolve(f"aten::{name}", [_actual(a) for a in args], named)


@pytest.mark.parametrize("call", NAMES)
def test_choice_is_torchscripts(call: str) -> None:
    expected = torchscript_choice(call)
    if expected is None:
        pytest.skip("TorchScript refuses this call")
    assert our_choice(call).op.qualified == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("dropout(x, 1, True)", "aten::dropout"),  # an int for a float
        ("leaky_relu(x, 1)", "aten::leaky_relu"),
        ("add(2, x)", "aten::add.Tensor"),  # a number for a tensor
        ("mul(i, x)", "aten::mul.Tensor"),
        ("add(b, i)", "aten::add.int"),  # a bool for an int
        ("sqrt(b)", "aten::sqrt.int"),
        ("transpose(x, b, 1)", "aten::transpose.int"),
        ("div(i, f)", "aten::div.float"),
        ("sum(x, (0, 1))", "aten::sum.dim_IntList"),
        ("cat((x, y), dim=0)", "aten::cat"),
        ("add(n, i)", "aten::add"),
    ],
)
def test_beyond_torchscript(call: str, expected: str) -> None:
    assert our_choice(call).op.qualified == expected


def test_sources() -> None:
    assert isinstance(our_choice("add(x, y)").inputs[2], Fixed)
    assert isinstance(our_choice("view(x, 2, 3)").inputs[1], Gathered)
    assert isinstance(our_choice("cat(t)").inputs[0], Spread)
    assert isinstance(our_choice("narrow(x, 0, y, i)").inputs[1], Given)
    pooled = our_choice("avg_pool2d(x, 2)").inputs[1]
    assert isinstance(pooled, Gathered) and len(pooled.items) == 2
    assert our_choice("dropout(x, 1, True)").inputs[1] == Fixed(1.0, FLOAT)
    converted = our_choice("zeros(2, x)").inputs[0]
    assert isinstance(converted, Gathered) and isinstance(converted.items[1], Converted)


def test_generic_results() -> None:
    assert our_choice("__getitem__(lt, 0)").returns == (TENSOR,)
    assert our_choice("__getitem__(d, s)").returns == (TENSOR,)
    assert our_choice("keys(d)").returns == (ListType(STR),)
    assert our_choice("slice(li, 1, 2)").returns == (ListType(INT),)


def test_refusal_lists_the_nearest() -> None:
    with pytest.raises(TypeMismatch) as raised:
        our_choice("sum(x, s)")
    text = str(raised.value)
    assert "expected Optional[List[int]] for argument 'dim', found str" in text
    assert text.count("aten::sum") == 4 and "Tensor(a!) out" not in text
    with pytest.raises(TypeMismatch, match="there is no argument 'keepdims'"):
        our_choice("sum(x, 0, keepdims=True)")
    with pytest.raises(TypeMismatch, match="no operator is called aten::nothing"):
        our_choice("nothing(x)")


def test_rows_stand_in_torchs_order() -> None:
    ours = [op.qualified for op in registry.overloads("aten::add")]
    torchs = [str(s).partition("(")[0] for s in torch._C._jit_get_schemas_for_operator("aten::add")]
    assert ours == torchs


def test_defaults_that_are_text_are_what_their_literal_says() -> None:
    (op,) = registry.overloads("aten::strip")
    assert op.schema.arguments[1].default == " \n\t\f\v"
