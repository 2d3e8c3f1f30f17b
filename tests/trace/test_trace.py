"""The tracer: what stays dynamic, what warns, which inputs it takes, what its check finds."""

from __future__ import annotations

import dataclasses
import math
import warnings
import weakref
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ir import Interpreter
from jit.api import script, script_if_tracing
from jit.trace.active import is_tracing
from jit.trace.check import TracingCheckError
from jit.trace.recorder import TracerWarning
from jit.trace.structure import flatten
from jit.trace.tracer import trace_graph
from jit.tracing import trace

A, B = torch.randn(3, 4), torch.randn(5, 6)


def agrees(f: Callable[..., Any], example: Any, *others: Any) -> None:
    """The trace of `f` on an example computes what `f` does, there and on other inputs."""
    args = example if isinstance(example, tuple) else (example,)
    traced = trace_graph(f, args)
    assert not traced.warnings
    for other in (example, *others):
        args = other if isinstance(other, tuple) else (other,)
        leaves, _ = flatten((args, {}))
        torch.testing.assert_close(Interpreter(traced.graph).run(*leaves), f(*args))


DYNAMIC = [
    lambda x: x.reshape(x.size(0) * x.size(1)) + torch.zeros(x.numel(), device=x.device),
    lambda x: x[: x.shape[0] // 2] * (x.shape[1] - 1),
    lambda x: F.interpolate(x[None, None], size=(x.shape[0] * 2, x.shape[-1]), mode="bilinear"),
    lambda x: torch.einsum("ij,kj->ik", x, x),
    lambda x: F.softmax(x, -1).view(x.size(0), -1).expand(2, *x.shape),
    lambda x: x @ x.T / x.size(-1) ** 0.5,
    lambda x: x.sum(0) * math.floor(x.size(0) / 2) + math.ceil(x.size(0) / 2) - x.size(0) % 2,
    lambda x: 7 - x.size(0) + 2 * x + 12 // x.size(0) + torch.arange(x.size(1)),
    lambda x: torch.full((x.size(0), 2), 1.5).sum() * torch.ones(x.shape).sum() * -x.shape[0],
    lambda x: x.view(x.shape + (1,)).flatten(0, 1),
    lambda x: x.new_zeros(x.shape).repeat(x.size(0), 1),
    lambda x: F.pad(x, (0, x.size(0))).narrow(1, x.size(1), x.size(0)),
    lambda x: torch.cat([x, torch.zeros(x.size(0), 2)], 1).split([x.size(1), 2], 1)[1],
]


@pytest.mark.parametrize("f", DYNAMIC)
def test_sizes_stay_dynamic(f: Callable[..., Any]) -> None:
    agrees(f, A, B)


SUBSCRIPTS = [
    lambda x: x[0:3],  # the whole example
    lambda x: x[-2:, ..., None, ::2],
    lambda x: x[..., -1],
    lambda x: x[None, 1:, 2],
    lambda x: x[[0, 2]] + x[torch.tensor(1)],
    lambda x: x[:, torch.tensor([1, 0])][x[:, 0] > 0],
    lambda x: x[x > 0],
    lambda x: x[True, 1],
]


@pytest.mark.parametrize("f", SUBSCRIPTS)
def test_subscripts(f: Callable[..., Any]) -> None:
    agrees(f, A, B)


def test_assignment_through_subscripts() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[:3, 0] = 5
        y[1:3] = x[1:3] * 2
        y[y > 1] = 0.5
        y[-1] = x[0][None]
        y[torch.tensor([0, 1])] += x[0]
        return y

    agrees(f, A, B)


def test_device_is_read_at_run_time() -> None:
    graph = trace_graph(lambda x: torch.zeros(4, device=x.device) + x.to(x.device), (A,)).graph
    assert [n.name for n in graph.walk()].count("prim::device") == 2
    assert not any(n.attrs.get("value") == "cpu" for n in graph.walk())


def test_dtype_of_a_moved_tensor_is_its_own() -> None:
    graph = trace_graph(lambda x: x.to(x.device), (A,)).graph
    assert Interpreter(graph).run(A.double()).dtype == torch.float64


def test_in_place_and_constants() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        t = torch.tensor([1.0, 2.0])  # new at every call
        t += 1
        return x.clone().add_(t.sum()).mul_(2).T

    agrees(f, A, B, A)


LOOKS = [
    (lambda x: x + 1 if x.sum() > 0 else x, "tested a tensor"),
    (lambda x: x * int(x.sum()), "as an int"),
    (lambda x: x * float(x.sum()), "as a float"),
    (lambda x: x * x.sum().item(), "value of a tensor"),
    (lambda x: x + x.tolist()[0][0], "values of a tensor"),
    (lambda x: x + torch.from_numpy(x.numpy() * 2), "NumPy took"),
    (lambda x: x + float(np.asarray(x).sum()), "NumPy took"),
    (lambda x: x * len(x), "length of a tensor"),
    (lambda x: sum(row.sum() for row in x), "iterates over a tensor"),
    (lambda x: sum(x.sum() * i for i in range(x.size(0))), "took as an int the size 3"),
    (lambda x: x * torch.tensor(x.shape).sum(), "took as an int the size 3"),
    (lambda x: x * 2 if x.size(0) > 2 else x, "compared the size 3"),
    (lambda x: x * int(x.size(0)), "took as an int the size 3"),
    (lambda x: x * math.sqrt(x.size(1)), "took as a float the size 4"),
    (lambda x: x * torch.equal(x, x), "aten::equal"),
    (lambda x: x * (0.5 in x), "looked for a value"),
]


@pytest.mark.parametrize(("f", "what"), LOOKS)
def test_looks_warn_at_the_users_line(f: Callable[..., Any], what: str) -> None:
    with pytest.warns(TracerWarning, match=what) as caught:
        trace_graph(f, (A,))
    assert {w.filename for w in caught} == {__file__}
    assert {w.lineno for w in caught} == {f.__code__.co_firstlineno}


def test_looks_that_decide_nothing_are_silent() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        f"{x.sum():.2f} {x} {x.shape} {x.size(0):3d}"
        {x.size(0): 1}
        return F.multi_head_attention_forward(  # compares sizes in torch's own Python code
            x[:, None], x[:, None], x[:, None], 4, 2, torch.eye(12, 4), None, None, None,
            False, 0.0, torch.eye(4), None,
        )[0]  # fmt: skip

    agrees(f, A, torch.randn(6, 4))


Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


OUTPUTS = [
    lambda x: (x, x + 1),
    lambda x: [x, x + 1, None],
    lambda x: {"a": x * 2, "b": (x, 3)},
    lambda x: Pair(x, x + 1),
    lambda x: Output(x * 2),
    lambda x: (x + 1,),
    lambda x: (x.size(0), 2.5, "text", None, x),
    lambda x: x.max(0),
]


@pytest.mark.parametrize("f", OUTPUTS)
def test_outputs_are_rebuilt(f: Callable[..., Any]) -> None:
    traced = trace(f, (A,))
    for x in (A, B, A):
        expected, result = f(x), traced(x)
        assert type(result) is type(expected)
        torch.testing.assert_close(flatten(result)[0], flatten(expected)[0])
        assert str(flatten(result)[1]) == str(flatten(expected)[1])


def test_no_output() -> None:
    def f(x: torch.Tensor) -> None:
        x.add_(1)

    traced, x = trace(f, (A.clone(),)), A.clone()
    assert traced(x) is None
    torch.testing.assert_close(x, A + 1)


def test_inputs_nested_and_constant() -> None:
    def f(items: list[Any], named: dict[str, Any], scale: float, mask: object = None) -> Any:
        return items[0] * scale + named["a"] + named["b"][0]

    traced = trace(f, ([A, A], {"a": A, "b": (A,)}, 2.0))
    torch.testing.assert_close(traced([B, B], {"a": B, "b": (B,)}, 2.0), B * 4)
    torch.testing.assert_close(traced([B, B], named={"a": B, "b": (B,)}, scale=2.0), B * 4)
    with pytest.raises(TypeError, match="traced with other inputs"):
        traced([B, B], {"a": B, "b": (B,)}, 3.0)
    with pytest.raises(TypeError, match="traced with other inputs"):
        traced([B], {"a": B, "b": (B,)}, 2.0)


def test_keyword_inputs() -> None:
    traced = trace(lambda x, y: x - y, (), example_kwarg_inputs={"y": A, "x": A * 2})
    torch.testing.assert_close(traced(B * 3, y=B), B * 2)


def test_parameter_names() -> None:
    graph = trace(lambda x, weight: x * weight, (A, A)).graph
    assert [p.name for p in graph.params] == ["x", "weight"]


def test_closures_are_captured_by_reference() -> None:
    weight, leaf = torch.ones(4), torch.ones(4, requires_grad=True)
    traced = trace(lambda x: x * weight * leaf, (A,))
    weight.mul_(2)
    torch.testing.assert_close(traced(B[:, :4]), B[:, :4] * 2 * leaf)
    traced(A).sum().backward()
    torch.testing.assert_close(leaf.grad, A.sum(0) * 2)


def test_gradients_flow_to_inputs() -> None:
    traced = trace(lambda x: (x.exp() * x).sum(), (A,))
    x, y = (B.clone().requires_grad_() for _ in range(2))
    traced(x).backward()
    (y.exp() * y).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


MODULES = [
    (torch.nn.MultiheadAttention(4, 2, batch_first=True), (2, 3, 4), (5, 7, 4), 3),
    (torch.nn.LSTM(4, 3), (2, 3, 4), (5, 7, 4), 1),
    (torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, padding="same"), torch.nn.BatchNorm2d(2), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(2, 3),
    ).eval(), (2, 1, 4, 4), (3, 1, 5, 7), 1),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shape", "other", "times"), MODULES)
def test_modules(module: torch.nn.Module, shape: Any, other: Any, times: int) -> None:
    traced = trace(module, (torch.randn(shape),) * times)
    x = torch.randn(other)
    torch.testing.assert_close(traced(*(x,) * times), module(*(x,) * times))


def test_parameters_are_read_at_every_call() -> None:
    module = torch.nn.Linear(4, 2)
    traced = trace(module, (A,))
    with torch.no_grad():
        module.weight.zero_()
    torch.testing.assert_close(traced(A), module.bias.expand(3, 2))


def test_buffers_are_updated_once_per_call() -> None:
    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.norm(x) * self.calls

    module, twin = Counting(), Counting()
    traced = trace(module, (A,))
    assert module.calls == 1  # by the traced run; the check leaves no marks
    twin(A)
    for x in (B[:, :4], A):
        torch.testing.assert_close(traced(x), twin(x))
    torch.testing.assert_close(module.state_dict(), twin.state_dict())


class Running(torch.nn.Module):
    """Replaces a buffer instead of writing to it, and counts in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(4))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total = self.total * 0.5 + x.mean(0)
        return x - self.total


def test_replaced_buffers_are_assigned_at_every_call() -> None:
    module, twin = Running(), Running()
    traced = trace(module, (A,))
    twin(A)
    for x in (B[:, :4], A, A):
        torch.testing.assert_close(traced(x), twin(x))
    torch.testing.assert_close(module.total, twin.total)


def test_attributes_that_the_trace_cannot_change_are_named() -> None:
    class Counting(Running):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return super().forward(x)

    with pytest.warns(TracerWarning, match="'calls' of .*Counting was assigned"):
        trace(Counting(), (A,))


def test_moved_modules_are_followed() -> None:
    module = torch.nn.BatchNorm1d(4).eval()
    traced = trace(module, (A,))
    module.double()
    module.running_mean = torch.full((4,), 2.0, dtype=torch.float64)
    x = B[:, :4].double()
    for _ in range(3):
        torch.testing.assert_close(traced(x), module(x))


def test_example_inputs_are_left_alone() -> None:
    x = A.clone()
    traced = trace(lambda x: x.add_(1), (x,))
    torch.testing.assert_close(traced(A.clone()), A + 1)


def test_tracing_is_known_to_be_under_way() -> None:
    seen = []
    trace_graph(lambda x: seen.append(is_tracing()) or x, (A,))
    assert seen == [True]
    assert not is_tracing()


def test_torch_knows_of_the_trace() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x * 2 if torch.jit.is_tracing() else x

    torch.testing.assert_close(trace(f, (A,))(B), B * 2)
    assert not torch.jit.is_tracing()


def test_an_error_in_the_function_ends_the_trace() -> None:
    with pytest.raises(RuntimeError, match="size"):
        trace_graph(lambda x: x.view(5, 5), (A,))
    assert not is_tracing()


def test_scripted_functions_keep_their_control_flow() -> None:
    @script
    def step(x: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        if bool(x.sum() > 0):
            return x + n, x
        return x - n, x

    def f(x: torch.Tensor) -> torch.Tensor:
        y, z = step(x * 2, x.size(0))
        return y * z

    traced = trace(f, (A.abs(),))
    for x in (A.abs(), -B.abs()):
        torch.testing.assert_close(traced(x), f(x))


@script
def _parts(x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"a": x, "b": x + 1}


@script
def _count(x: torch.Tensor, n: int) -> int:
    if bool(x.sum() > 0):
        return n * 2
    return n


@script_if_tracing
def _flipped(x: torch.Tensor) -> torch.Tensor:
    if bool(x.sum() > 0):
        return x * 2
    return x


SCRIPTED = [
    lambda x: _parts(x)["b"] * 2,
    lambda x: x + _count(x, x.size(0)),
    lambda x: x.new_zeros(_count(x, x.size(1)), 2).sum(0),
    lambda x: _flipped(x) + 1,
]


@pytest.mark.parametrize("f", SCRIPTED)
def test_results_of_scripted_functions_are_followed(f: Callable[..., Any]) -> None:
    traced = trace(f, (A.abs(),))
    for x in (A.abs(), -B.abs(), B.abs()):
        torch.testing.assert_close(traced(x), f(x))


def test_traces_are_called_by_scripted_functions() -> None:
    pair = trace(lambda x: (x * 2, x + x.size(0)), (A,))
    nested = trace(lambda x: {"a": x, "b": x * x.size(1)}, (A,))
    module = trace(torch.nn.Linear(4, 2), (A,))

    def f(x: torch.Tensor) -> torch.Tensor:
        a, b = pair(x)
        return a + b + nested(x)["b"]

    def g(x: torch.Tensor) -> torch.Tensor:
        return module(x) + 1

    for _ in range(3):
        torch.testing.assert_close(script(f)(B), f(B))
        torch.testing.assert_close(script(g)(A), g(A))


def test_objects_that_may_hold_tensors_are_no_results() -> None:
    class Cache:
        def __init__(self, x: torch.Tensor) -> None:
            self.x = x

    with pytest.raises(TypeError, match="a trace cannot return a Cache"):
        trace(lambda x: Cache(x), (A,))


def test_traced_functions_inside_a_trace() -> None:
    inner = trace(lambda x: x + x.size(0), (A,))
    torch.testing.assert_close(trace(lambda x: inner(x) * 2, (A,))(B), (B + 5) * 2)


# the check ----------------------------------------------------------------------------------------
def test_check_notes_random_operators() -> None:
    with pytest.warns(TracerWarning, match="nondeterministic nodes"):
        trace(lambda x: x + torch.rand(x.shape), (A,))


def test_check_finds_changing_python_state() -> None:
    calls = []

    def f(x: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        y = x * 2
        return y + len(calls)

    with pytest.raises(TracingCheckError, match=r"return y \+ len\(calls\)"):
        trace(f, (A,))


def test_check_inputs_find_a_frozen_size() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        for _ in range(x.size(0)):
            x = x + 1
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        trace(f, (A,))
        with pytest.raises(TracingCheckError, match=r"x = x \+ 1"):
            trace(f, (A,), check_inputs=[(B,)])


def test_check_finds_a_constant_of_the_example() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return x * x.sum().item()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        with pytest.raises(TracingCheckError, match=r"x \* x.sum\(\).item\(\)"):
            trace(f, (A,), check_inputs=[(B,)])


def test_check_compares_what_is_written_after_it_was_named() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        y.view(-1).add_(1)
        return y

    torch.testing.assert_close(trace(f, (A,))(B), B + 2)


def test_a_trace_and_its_check_keep_no_intermediate_results() -> None:
    dead = []

    def f(x: torch.Tensor) -> torch.Tensor:
        first = x * 2
        last = (first + 1).relu()
        reference = weakref.ref(first)
        del first
        dead.append(reference() is None)
        return last

    torch.testing.assert_close(trace(f, (A,))(B), (B * 2 + 1).relu())
    assert dead == [True, True]
