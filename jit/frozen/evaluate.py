"""What a frozen graph computes from constants alone becomes a constant: transposed, cast, joined
or split weights, masks, tables of positions.

Laws
  * The node is pure and its result is neither written nor given away, for from now on all calls
    share it. A view of a constant may be given away: it was shared before.
  * A call that raises stays, and raises when the code runs.
  * Constants do not grow: what is made takes no more memory than what it is made of, or little.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ir import (
    Aliases,
    Block,
    Builder,
    Control,
    Graph,
    Interpreter,
    Node,
    TensorType,
    Value,
    copy_node,
    to_torch,
    type_of,
)

_LITTLE = 1 << 16  # bytes
_LISTS = ("prim::ListConstruct", "prim::ListUnpack", "prim::TupleConstruct", "prim::TupleUnpack")
_RAISED = (ArithmeticError, LookupError, ValueError, TypeError, RuntimeError, NotImplementedError)


def evaluate_constants(graph: Graph) -> None:
    """Evaluate constant nodes of a graph, in place."""
    _Evaluation(graph).run(graph.block)


class _Evaluation:
    """One walk; `known` has the values that are constants."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.aliases = Aliases(graph)
        self.known: dict[Value, Any] = {}

    def run(self, block: Block) -> None:
        """Evaluate what one block computes, and those inside."""
        for node in list(block.nodes):
            for inner in node.blocks:
                self.run(inner)
            if node.name == "prim::Constant":
                self.known[node.output] = to_torch(node.attrs.get("value"), node.output.type)
            elif self._is_candidate(node):
                self._evaluate(node)

    def _is_candidate(self, node: Node) -> bool:
        is_structure = isinstance(node.op.rule, Control)
        return (
            node.op.is_pure
            and not node.blocks
            and all(v in self.known for v in node.inputs)
            and (not is_structure or node.name in _LISTS)
            and not any(self.aliases.writes(v) for v in (*node.inputs, *node.outputs))
        )

    def _evaluate(self, node: Node) -> None:
        inputs = [self.known[v] for v in node.inputs]
        if not node.name.startswith("prim::") and next(_tensors(inputs), None) is None:
            return  # numbers are for the passes that fold them, and creating is cheap
        results = _run(node)
        if results is None or _bytes(results) > max(_bytes(inputs), _LITTLE):
            return
        self.known.update(zip(node.outputs, results, strict=True))
        for value, result in zip(node.outputs, results, strict=True):
            if isinstance(value.type, TensorType) and self._may_share(value):
                self._replace(node, value, result)

    def _may_share(self, value: Value) -> bool:
        """Whether all calls may have the same tensor for a value."""
        return self.aliases.is_external(value) or not self.aliases.escapes(value)

    def _replace(self, node: Node, value: Value, result: torch.Tensor) -> None:
        made = Builder.before(node).const(result, type_of(result))
        self.known[made] = result
        value.replace_all_uses_with(made)


def _run(node: Node) -> tuple[Any, ...] | None:
    """The results of a node of constants; None for one that raises."""
    graph = Graph("constant")
    builder = Builder(graph.block)
    env: dict[Value, Value] = {}
    _copy_inputs(node, builder, env)
    graph.block.append(copy_node(node, env))
    graph.block.set_returns([env[v] for v in node.outputs])
    try:
        with torch.no_grad():
            result = Interpreter(graph).run()
    except _RAISED:
        return None
    return (result,) if len(node.outputs) == 1 else tuple(result)


def _copy_inputs(node: Node, builder: Builder, env: dict[Value, Value]) -> None:
    """The cone of a node: constants, and lists of them."""
    for value in node.inputs:
        source = value.node
        if value not in env and source is not None:
            _copy_inputs(source, builder, env)
            builder.block.append(copy_node(source, env))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _bytes(values: Any) -> int:
    """The memory behind tensors, where that can be told."""
    dense = (t for t in _tensors(values) if t.layout is torch.strided and not t.is_nested)
    return sum({s._cdata: s.nbytes() for s in (t.untyped_storage() for t in dense)}.values())
