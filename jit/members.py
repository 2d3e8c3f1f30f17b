"""What can be asked of a compiled function under TorchScript's names: schema, graphs, plans."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ir
from ir import record

if TYPE_CHECKING:
    from ir import Graph, Schema
    from jit.executor import Executor


@record
class ExecutionPlan:
    """One plan: the specialized graph and the guards in front of it."""

    graph: Graph
    guards: Sequence[str]
    hits: int


@record
class GraphExecutorState:
    """The graph of a function and the plans that were made of it, the newest first."""

    graph: Graph
    execution_plans: Sequence[ExecutionPlan]
    fallback: Graph
    """What serves calls that no plan takes."""


class Members:
    """Mixin of compiled functions."""

    __module__: str
    __name__: str
    __qualname__: str
    executor: Executor
    _signature: inspect.Signature

    @property
    def graph(self) -> Graph:
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The function's name."""
        return self.__name__

    @property
    def qualified_name(self) -> str:
        """The name that archives give it."""
        return f"__torch__.{self.__module__}.{self.__qualname__}".replace(".<locals>", "")

    @property
    def schema(self) -> Schema:
        """Parameters with types and defaults, and the result: `f(Tensor x, int n=3) -> Tensor`."""
        return schema_of(self.__name__, self.graph, self._signature.parameters)

    @property
    def inlined_graph(self) -> Graph:
        """The graph with the functions that it calls inside."""
        graph = self.graph.copy()
        ir.PASSES["inline"].run(graph)
        return graph

    def graph_for(self, *args: Any, **kwargs: Any) -> Graph:
        """Call the function; the specialized graph of the plan that served the call, the function's
        graph when none did.
        """
        before = {id(made): made.plan.hits for made in self.executor.compiled}
        self(*args, **kwargs)  # type: ignore[operator]
        for made in self.executor.compiled:
            if made.plan.hits > before.get(id(made), 0):
                return made.job.specialized().graph
        return self.graph

    def get_debug_state(self) -> GraphExecutorState:
        """The graph, and the plans in the order in which calls try them."""
        plans = [
            ExecutionPlan(c.job.specialized().graph, list(c.guards), c.plan.hits)
            for c in self.executor.chain
        ]
        return GraphExecutorState(self.graph, plans, self.graph)


def schema_of(name: str, graph: Graph, parameters: Mapping[str, inspect.Parameter]) -> Schema:
    """The schema of a graph whose parameters are those of a function."""
    formals: list[str] = []
    is_named = False
    for value, (label, parameter) in zip(graph.params, parameters.items(), strict=False):
        if parameter.kind is parameter.KEYWORD_ONLY and not is_named:
            formals.append("*")
            is_named = True
        default = "" if parameter.default is parameter.empty else f"={_text(parameter.default)}"
        formals.append(f"{ir.type_text(value.type)} {label}{default}")
    results = [ir.type_text(value.type) for value in graph.returns]
    result = results[0] if len(results) == 1 else f"({', '.join(results)})"
    label = re.sub(r"[^\w.]", "_", name)  # <lambda>
    return ir.parse_schema(f"{label}({', '.join(formals)}) -> {result}")


def _text(value: Any) -> str:
    """A default value as schemas write it."""
    return f'"{value}"' if isinstance(value, str) else str(value)
