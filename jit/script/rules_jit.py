"""Rules of `jit`'s own names and of torch.jit's, which mean the same: what is known while
compiling, typed expressions, tasks.

`is_scripting()` is True in compiled code, `is_tracing()` and what asks for torch's other compiler
or for captures of other devices False, so the branches behind them are decided while compiling.
"""

from __future__ import annotations

import ast
import typing

import torch
from torch.jit import _unwrap_optional  # type: ignore[attr-defined]

from ir import (
    BOOL,
    NONE,
    Block,
    FutureType,
    Graph,
    OptionalType,
    Type,
    Value,
    copy_node,
    fork,
    is_subtype,
    wait,
)
from jit.fusion import fuser, optimized_execution, strict_fusion
from jit.language import annotate, is_scripting, isinstance_
from jit.script.annotate import evaluate_annotation, type_of_annotation
from jit.script.conditions import condition
from jit.script.constants import lift
from jit.script.frame import OBJECT, Frame
from jit.script.functions import bind_named
from jit.script.methods import METHODS_OF_FUTURES
from jit.script.rules import RULES, Rule, computed, finder, form, rule
from jit.script.statements import conform
from jit.script.values import Arguments, Operand, Static
from jit.trace.active import is_tracing

# what is known while compiling --------------------------------------------------------------------


@rule(is_scripting, torch._jit_internal.is_scripting)
def _is_scripting(frame: Frame, given: Arguments) -> Operand:
    """True, except where torch uses it to refuse what works here."""
    return frame.constant(not frame.source.file.endswith("parametrize.py"))


@rule(
    is_tracing,
    torch.jit._trace.is_tracing,
    torch.compiler.is_compiling,
    torch.compiler.is_dynamo_compiling,
    torch.compiler.is_exporting,
    torch.cuda.is_current_stream_capturing,
    torch.xpu.is_current_stream_capturing,
)
def _is_tracing(frame: Frame, given: Arguments) -> Operand:
    return frame.constant(False)


# typed expressions --------------------------------------------------------------------------------


@form(isinstance, isinstance_, torch.jit.isinstance)
def _isinstance(frame: Frame, node: ast.Call) -> Operand:
    named = ast.copy_location(ast.Name("isinstance", ast.Load()), node.func)
    test = ast.copy_location(ast.Call(named, node.args, node.keywords), node)
    return condition(frame, test).as_value(frame)


@form(annotate, torch.jit.annotate, typing.cast)
def _annotate(frame: Frame, node: ast.Call) -> Operand:
    text = ast.unparse(node.args[0])
    annotation = evaluate_annotation(text, frame.annotation_names(), frame.span)
    type_ = type_of_annotation(annotation, frame.span)
    return conform(frame, frame.evaluate(node.args[1], type_), type_)


@rule(_unwrap_optional)
def _unwrap(frame: Frame, given: Arguments) -> Operand:
    value = frame.require(given.args[0])
    if not isinstance(value.type, OptionalType):
        return value
    return frame.op("aten::_unwrap_optional", value)


# traces -------------------------------------------------------------------------------------------


@finder
def _recorded(obj: typing.Any) -> Rule | None:
    """A trace is called as a graph; one with nested arguments or results, by Python."""
    graph = getattr(obj, "recorded_graph", None)
    if isinstance(graph, Graph):
        return lambda frame, given: _call_graph(frame, obj, graph, given)
    result = getattr(obj, "result_type", None)
    if isinstance(result, Type):
        return lambda frame, given: _call_trace(frame, obj, result, given)
    return None


def _call_graph(frame: Frame, obj: typing.Any, graph: Graph, given: Arguments) -> Operand:
    name = obj.__name__.rpartition(".")[2]
    names = [p.name or f"arg{k}" for k, p in enumerate(graph.params)]
    bound = bind_named(frame, name, names, given, _defaults(frame, obj))
    inputs = [frame.require(bound[n]) for n in names]
    for value, param, label in zip(inputs, graph.params, names, strict=True):
        if not is_subtype(value.type, param.type):
            raise frame.mismatch(f"{name}() takes a {param.type} as {label!r}, not a {value.type}")
    attrs = {"graph": graph, "name": name}
    if (receiver := getattr(obj, "__self__", None)) is not None:
        attrs["receiver"] = receiver
    types = [value.type for value in graph.returns]
    return frame.node("prim::CallFunction", inputs, types, **attrs).output


def _defaults(frame: Frame, obj: typing.Any) -> dict[str, Operand]:
    """Default values of a graph's parameters."""
    return {name: lift(frame, v, name) for name, v in obj.archive_form().defaults.items()}


def _call_trace(frame: Frame, obj: typing.Any, result: Type, given: Arguments) -> Operand:
    count, names = len(given.args), list(given.kwargs)
    values = [frame.require(o) for o in (*given.args, *given.kwargs.values())]

    def call(*args: object) -> object:
        return obj(*args[:count], **dict(zip(names, args[count:], strict=True)))

    return frame.python(call, values, result, obj.__name__)


# controls -----------------------------------------------------------------------------------------

_CONTEXTS = (
    (strict_fusion, torch.jit.strict_fusion),
    (fuser, torch.jit._fuser.fuser),
    (optimized_execution, torch.jit._fuser.optimized_execution),
)
RULES.update({name: computed(ours) for ours, theirs in _CONTEXTS for name in (ours, theirs)})


# tasks --------------------------------------------------------------------------------------------


@rule(fork, torch.jit.fork)
def _fork(frame: Frame, given: Arguments) -> Operand:
    """The call becomes a graph of its own, whose parameters are the values that it reads."""
    if not given.args:
        raise frame.mismatch("fork() missing a required argument: the function")
    function, *args = given.args
    if isinstance(function, Value):
        raise frame.mismatch(f"fork takes a function, not a {function.type}")
    given = Arguments([_boxed(frame, a) for a in args], given.kwargs)
    graph = Graph(getattr(function, "name", "task").rpartition(".")[2])
    before = frame.scope.copy()
    with frame.inside(graph.block):
        result = frame.require(frame.unit.services.call(frame, function, given))
    _keep_objects(frame, before)
    graph.block.add_return(result)
    inputs = _lift(graph.block)
    attrs = {"graph": graph, "name": graph.name}
    return frame.node("prim::fork", inputs, [FutureType(result.type)], **attrs).output


def _boxed(frame: Frame, operand: Operand) -> Operand:
    """An argument as it is now; functions and modules stay what they are."""
    return operand if isinstance(operand, Static) else frame.require(operand)


def _keep_objects(frame: Frame, before: dict[str, typing.Any]) -> None:
    """What a task does to objects of compiled code would be seen by nobody."""
    changed = [k for k, v in frame.scope.items() if before.get(k) is not v]
    if any(key.startswith(OBJECT) for key in changed):
        raise frame.unsupported(
            "a task that fork starts cannot change an object made in compiled code; return what "
            "it computes instead"
        )
    frame.scope.clear()
    frame.scope.update(before)


def _lift(block: Block) -> list[Value]:
    """Make every value that the block reads from outside a parameter; constants are copied."""
    made = set(block.values())
    inputs: dict[Value, Value] = {}
    readers = [*block.walk(), *(b.returning for n in block.walk() for b in n.blocks)]
    for node in [*readers, block.returning]:
        for position, value in enumerate(node.inputs):
            if value in made:
                continue
            if value not in inputs:
                inputs[value] = _received(block, value)
            node.replace(position, inputs[value])
    return [value for value, param in inputs.items() if param.block is block]


def _received(block: Block, value: Value) -> Value:
    if value.node is None or value.node.name != "prim::Constant":
        return block.add_param(value.type, value.name)
    constant = copy_node(value.node, {})
    constant.block = block
    block.nodes.insert(0, constant)
    return constant.output

@rule(wait, torch.jit.wait)
def _wait(frame: Frame, given: Arguments) -> Operand:
    return _future_wait(frame, frame.require(given.args[0]), Arguments([], {}))


def _future_wait(frame: Frame, owner: Value, given: Arguments) -> Operand:
    if not isinstance(owner.type, FutureType):
        raise frame.mismatch(f"wait takes a future, not a {owner.type}")
    return frame.op("aten::wait", owner)


def _future_done(frame: Frame, owner: Value, given: Arguments) -> Operand:
    return frame.python(lambda future: future.done(), [owner], BOOL, "done")


def _future_set(frame: Frame, owner: Value, given: Arguments) -> Operand:
    (result,) = map(frame.require, given.args)
    return frame.python(lambda future, x: future.set_result(x), [owner, result], NONE, "set_result")


METHODS_OF_FUTURES.update(wait=_future_wait, value=_future_wait, done=_future_done,
                          set_result=_future_set)  # fmt: skip
