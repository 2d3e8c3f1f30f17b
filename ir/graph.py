"""Graph, Block, Node, Value: the typed SSA form. All mutation of structure happens here.

A graph has one block; a block has parameters, nodes in order and returns; a node applies an op to
inputs, may own blocks (`prim::If`, `prim::Loop`) and defines outputs. Fixed fields, no free-form
bag: what a pass learns lives in its own table.

Invariants (checked by `ir.verify`)
  * A value is defined once, by a block (parameter) or by a node (output), and its definition comes
    before every use in the same block or an enclosing one.
  * `value.uses` lists each (node, position) that reads it; a block's returns are the inputs of its
    `Return` pseudo node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ir.op import Control, Effect, Op, row
from ir.printer import print_block
from ir.source import Span
from ir.types import Type

# The one row that a block needs to exist: its pseudo node reads the block's returns.
RETURN = row("prim::Return(...) -> ()", Control(), effect=Effect.SIDE)


class Value:
    """An SSA name: `type`, where it is defined, who uses it."""

    __slots__ = ("block", "name", "node", "type", "uses")

    def __init__(self, type_: Type, name: str | None = None) -> None:
        self.type = type_
        self.name = name
        self.node: Node | None = None  # producer; None for a block parameter
        self.block: Block | None = None  # owner of a parameter
        self.uses: list[tuple[Node, int]] = []

    def replace_all_uses_with(self, other: Value) -> None:
        """Make every reader of this value read `other`."""
        for user, position in list(self.uses):
            user.replace(position, other)

    def __repr__(self) -> str:
        return f"%{self.name or '?'} : {self.type}"


class Node:
    """One application of an op."""

    __slots__ = ("attrs", "block", "blocks", "inputs", "op", "outputs", "span")

    def __init__(
        self,
        op: Op,
        inputs: Iterable[Value] = (),
        types: Iterable[Type] = (),
        attrs: dict[str, Any] | None = None,
        span: Span | None = None,
    ) -> None:
        self.op = op
        self.inputs: list[Value] = list(inputs)
        self.outputs: list[Value] = []
        self.attrs: dict[str, Any] = attrs or {}
        self.blocks: list[Block] = []
        self.span = span
        self.block: Block | None = None
        for position, value in enumerate(self.inputs):
            value.uses.append((self, position))
        for type_ in types:
            self.add_output(type_)

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value

    @property
    def name(self) -> str:
        return self.op.name

    def add_input(self, value: Value) -> None:
        value.uses.append((self, len(self.inputs)))
        self.inputs.append(value)

    def add_output(self, type_: Type, name: str | None = None) -> Value:
        value = Value(type_, name)
        value.node = self
        self.outputs.append(value)
        return value

    def replace(self, position: int, value: Value) -> None:
        """Read `value` at an input position."""
        self.inputs[position].uses.remove((self, position))
        self.inputs[position] = value
        value.uses.append((self, position))

    def set_inputs(self, values: Sequence[Value]) -> None:
        self._drop_inputs()
        for value in values:
            self.add_input(value)

    def remove_output(self, position: int) -> None:
        if self.outputs[position].uses:
            raise ValueError(f"{self.outputs[position]} is used")
        del self.outputs[position]

    def add_block(self) -> Block:
        block = Block(self)
        self.blocks.append(block)
        return block

    def erase(self) -> None:
        """Take the node out of its block; its outputs must be unused."""
        if any(value.uses for value in self.outputs):
            raise ValueError(f"{self.op} still has uses")
        self._drop_inputs()
        for block in self.blocks:
            block.clear()
        assert self.block is not None
        self.block.nodes.remove(self)
        self.block = None

    def _drop_inputs(self) -> None:
        for position, value in enumerate(self.inputs):
            value.uses.remove((self, position))
        self.inputs.clear()

    def __repr__(self) -> str:
        outs = ", ".join(map(repr, self.outputs))
        return f"{outs} = {self.op.name}({', '.join('%' + str(v.name) for v in self.inputs)})"


class Return(Node):
    """The pseudo node that reads a block's returns, so that a return is a use like any other."""

    __slots__ = ()


class Block:
    """Parameters, nodes in order, returns. `owner` is the node that the block belongs to, None
    for the graph's own."""

    __slots__ = ("nodes", "owner", "params", "returning")

    def __init__(self, owner: Node | None = None) -> None:
        self.owner = owner
        self.params: list[Value] = []
        self.nodes: list[Node] = []
        self.returning = Return(RETURN)
        self.returning.block = self

    @property
    def returns(self) -> list[Value]:
        return self.returning.inputs

    def add_param(self, type_: Type, name: str | None = None) -> Value:
        value = Value(type_, name)
        value.block = self
        self.params.append(value)
        return value

    def add_return(self, value: Value) -> None:
        self.returning.add_input(value)

    def set_returns(self, values: Sequence[Value]) -> None:
        self.returning.set_inputs(values)

    def append(self, node: Node) -> Node:
        node.block = self
        self.nodes.append(node)
        return node

    def insert_before(self, node: Node, anchor: Node) -> Node:
        node.block = self
        self.nodes.insert(self.nodes.index(anchor), node)
        return node

    def splice(self, body: Block, anchor: Node) -> list[Value]:
        """Move the nodes of another block, which its owner needs no more, in front of `anchor`;
        what the block has returned."""
        at = self.nodes.index(anchor)
        self.nodes[at:at] = body.nodes
        for node in body.nodes:
            node.block = self
        returns = list(body.returns)
        body.set_returns(())
        body.nodes.clear()
        return returns

    def clear(self) -> None:
        """Drop every node, last first."""
        self.returning.set_inputs(())
        for node in reversed(list(self.nodes)):
            node.erase()

    def walk(self) -> Iterator[Node]:
        """Every node of this block and of the blocks inside, outer first."""
        for node in list(self.nodes):
            yield node
            for block in node.blocks:
                yield from block.walk()

    def values(self) -> Iterator[Value]:
        """Every value that this block and the blocks inside define, parameters first."""
        yield from self.params
        for node in self.nodes:
            yield from node.outputs
            for block in node.blocks:
                yield from block.values()


class Graph:
    """The unit of compilation: a named block."""

    __slots__ = ("block", "name")

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.block = Block()

    @property
    def params(self) -> list[Value]:
        return self.block.params

    @property
    def returns(self) -> list[Value]:
        return self.block.returns

    def walk(self) -> Iterator[Node]:
        return self.block.walk()

    def copy(self) -> Graph:
        """A deep copy; types, ops, spans and attribute values are shared."""
        clone = Graph(self.name)
        copy_block(self.block, clone.block, {})
        return clone

    def __str__(self) -> str:
        return print_block(self.block)


def copy_block(source: Block, target: Block, env: dict[Value, Value]) -> None:
    """Append a copy of `source` (parameters, nodes, returns) to `target`; `env` maps outer and
    copied values."""
    for param in source.params:
        env[param] = target.add_param(param.type, param.name)
    for node in source.nodes:
        target.append(copy_node(node, env))
    for value in source.returns:
        target.add_return(env.get(value, value))


def copy_node(node: Node, env: dict[Value, Value]) -> Node:
    """A copy of one node reading the mapped inputs; its outputs are added to `env`."""
    clone = Node(node.op, (env.get(v, v) for v in node.inputs), (), dict(node.attrs), node.span)
    for block in node.blocks:
        copy_block(block, clone.add_block(), env)
    for value in node.outputs:
        env[value] = clone.add_output(value.type, value.name)
    return clone
