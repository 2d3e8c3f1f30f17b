"""One op as a plan: a graph with a single call, specialized to the call's tensors and compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from codegen.callable import NativeCallable, set_entry
from codegen.linked import Plan
from codegen.params import TensorParam
from codegen.partition import Group
from codegen.plan import compile_plan, emit
from ir.abstract import Known
from ir.builder import Builder
from ir.dims import Dim, Facts
from ir.graph import Graph, Value
from ir.op import Op
from ir.ops.control import LIST_UNPACK
from ir.passes import decompose, unpack
from ir.passes.infer import infer
from ir.types import ListType, TensorType, contiguous_strides
from tests.ir.test_rows import as_ir, inferred, known_type
from tests.samples import Case


class Missed(BaseException):
    """The plan's entry refused the arguments, or a rule raised a fault."""


class Native(NativeCallable):
    """A plan with nothing behind it."""

    plan: Plan

    def _call_slow(self, *args: Any, **kwargs: Any) -> Any:
        raise Missed


class Specialization:
    """A graph that calls `op` as `case` does; `tensors` are the arguments of its parameters."""

    def __init__(self, op: Op, case: Case, symbolic: bool) -> None:
        self.graph = Graph(op.name.partition("::")[2])
        self.facts = Facts()
        self.tensors: list[torch.Tensor] = []
        self.params: list[TensorParam] = []
        self._sizes: dict[int, Dim] = {}
        self._symbolic = symbolic
        builder = Builder(self.graph.block)
        inputs = [
            self._input(
                builder, case.args.get(a.name, a.default if a.has_default else None), a.type
            )
            for a in op.schema.arguments
        ]
        result = builder.apply(op, inputs)
        self._return(builder, op, case, result)
        self.known = self._optimize()

    def _input(self, builder: Builder, argument: Any, formal: Any) -> Value:
        if isinstance(argument, torch.Tensor):
            return self._param(argument)
        if isinstance(argument, list | tuple):
            items = [self._input(builder, v, None) for v in argument]
            return builder.list_(items, None if items else formal.element)
        return builder.const(as_ir(argument))

    def _param(self, x: torch.Tensor) -> Value:
        type_ = known_type(x)
        dims = tuple(map(self._dim, x.shape))
        strides = type_.strides if not x.is_contiguous() else contiguous_strides(dims)
        self.tensors.append(x)
        self.params.append(TensorParam(type_.dtype, dims, None if x.is_contiguous() else strides))
        return self.graph.block.add_param(type_.with_(dims=dims, strides=strides))

    def _dim(self, size: int) -> Dim:
        if not self._symbolic or size < 2:
            return size
        return self._sizes.setdefault(size, self.facts.symbol(size))

    def _return(self, builder: Builder, op: Op, case: Case, result: Any) -> None:
        if isinstance(op.schema.returns[0].type, ListType):
            pieces = inferred(op, case) or []
            result = tuple(
                builder.node(LIST_UNPACK, [result], [TensorType()] * len(pieces)).outputs
            )
        for value in result if isinstance(result, tuple) else (result,):
            self.graph.block.add_return(value)

    def _optimize(self) -> Known:
        known = infer(self.graph)
        decompose.run(self.graph, known)
        unpack.run(self.graph)
        return infer(self.graph)

    def compile(self) -> Native:
        """The plan as a callable; raises Refused."""
        native = Native()
        native.plan = compile_plan(emit(self.graph, self.params, self.known, self.facts))
        set_entry(native, native.plan.install(), keep=(native.plan,))
        return native


def is_fused(plan: Plan, returns: Sequence[Value]) -> bool:
    """Whether generated code computes every result (no call back into Python)."""
    groups = [i for items in plan.prepared.items.values() for i in items if isinstance(i, Group)]
    computed = {v for g in groups for n in g.nodes for v in n.outputs}
    return all(v in computed for v in returns)


def tensors_of(op: Op, case: Case) -> list[torch.Tensor]:
    """The tensors of a call in the order in which its specialization takes them."""
    values = [case.args.get(a.name) for a in op.schema.arguments]
    nested = [v if isinstance(v, list) else [v] for v in values]
    return [x for items in nested for x in items if isinstance(x, torch.Tensor)]
