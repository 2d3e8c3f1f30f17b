"""Mutation becomes values, where nobody outside can tell.

    %y = aten::zeros_like(%x, ...)           %y = aten::zeros_like(%x, ...)
    %v = aten::slice(%y, ...)                %a = aten::slice(%y, ...)
    %_ = aten::mul_(%v, %x)            ->    %b = aten::mul(%a, %x)
    %z = aten::exp(%y)                       %c = aten::cat([...%b...])     (`ir.ops.memory`)
                                             %z = aten::exp(%c)

Memory is followed by alias set. Each set has roots (graph parameters, results of ops that allocate)
and derived values (views, lists of members). The walk keeps, for every root, the value that holds
its contents now; a derived value is made anew from current contents where it is stale.

Laws
  * All writes of a set are turned, or none (`ir.writes`). A set that meets what the walk does not
    follow (calls, opaque aliases, values that go around a loop) stays as it is. So do writes to
    part of memory from inside a loop: copying the rest in every iteration costs more.
  * A written graph parameter gets its contents by one `aten::copy_` at the end of the graph, so
    that nothing outside changes before the graph has succeeded.
  * In-place results are their first operand.
"""

from __future__ import annotations

from ir.abstract import Known
from ir.builder import Builder
from ir.graph import Block, Graph, Node, Value, copy_node
from ir.op import Control, Effect
from ir.ops.cast import convert
from ir.ops.mutate import copy
from ir.passes import dce, invariant
from ir.records import field, record
from ir.types import TensorType, is_subtype
from ir.writes import (
    followed_values,
    functional_inputs,
    functional_of,
    home_of,
    is_view,
    name_results,
    root_of,
    target_of,
    write_through,
)


def run(graph: Graph) -> bool:
    """Turn every alias set that allows it."""
    changed = name_results(graph)
    if changed:
        invariant.run(graph)
        dce.run(graph)
    followed = followed_values(graph)
    if not followed:
        return changed
    walk = _Walk(graph, followed)
    walk.block(graph.block)
    walk.finish()
    return True


@record(frozen=False)
class _Derived:
    """A node that makes derived values: what it read when the graph was given, what its newest copy
    reads, and that copy's results."""

    sources: list[Value]
    inputs: list[Value]
    results: list[Value]


@record(frozen=False)
class _Walk:
    """`current` holds the contents of each root that was written."""

    graph: Graph
    followed: set[Value]
    current: dict[Value, Value] = field(default_factory=dict)
    derived: dict[Node, _Derived] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    roots: dict[Node, list[Value]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note, before anything changes, which roots from outside each If and Loop writes."""
        for node in self.graph.walk():
            target = target_of(node) if node.op.effect is Effect.WRITE else None
            if target in self.followed:
                self.note(root_of(target), node)

    def note(self, root: Value, node: Node) -> None:
        """`node` writes `root`: so do the nodes around it, up to the root's home."""
        block = node.block
        while block is not None and block is not home_of(root) and block.owner is not None:
            roots = self.roots.setdefault(block.owner, [])
            if root not in roots:
                roots.append(root)
            block = block.owner.block

    def block(self, block: Block) -> None:
        """Turn the nodes of a block in order."""
        for node in list(block.nodes):
            if node.op.effect is Effect.WRITE and target_of(node) in self.followed:
                self.write(node)
                continue
            sources = list(node.inputs)
            for position, value in enumerate(sources):
                node.replace(position, self.read(value, node))
            if node.name == "prim::If":
                self.branches(node)
            elif node.name == "prim::Loop":
                self.loop(node)
            elif node.op.effect is Effect.ALIAS and not self.followed.isdisjoint(node.outputs):
                self.derived[node] = _Derived(sources, list(node.inputs), node.outputs)

    # reading and writing ----------------------------------------------------------------------

    def read(self, value: Value, anchor: Node) -> Value:
        """The value that stands for `value` in front of `anchor`."""
        if value not in self.followed:
            return value
        node = value.node
        if node is None or node not in self.derived:
            return self.current.get(value, value)
        made = self.derived[node]
        inputs = [self.read(v, anchor) for v in made.sources]
        if inputs != made.inputs:
            made = _Derived(made.sources, inputs, self.remake(node, inputs, anchor))
            self.derived[node] = made
        return made.results[node.outputs.index(value)]

    def remake(self, node: Node, inputs: list[Value], anchor: Node) -> list[Value]:
        """A copy of a derived node, in front of `anchor`."""
        assert anchor.block is not None
        if isinstance(node.op.rule, Control):
            again = copy_node(node, dict(zip(node.inputs, inputs, strict=True)))
            _insert(again, anchor)
            return again.outputs
        result = _builder(anchor, self.known).apply(node.op, inputs)
        return list(result) if isinstance(result, tuple) else [result]

    def write(self, node: Node) -> None:
        """Compute what the node writes as a value, and make that current."""
        op, target = functional_of(node, self.known), target_of(node)
        assert op is not None and target is not None and isinstance(target.type, TensorType)
        builder = Builder.before(node, self.known)
        inputs = functional_inputs(node, [self.read(v, node) for v in node.inputs])
        new = builder.apply(op, inputs)
        assert target.type.dtype is not None
        new = convert(builder, new, target.type.dtype)
        self.store(target, new, builder, node)
        node.erase()

    def store(self, target: Value, new: Value, builder: Builder, anchor: Node) -> None:
        """`new` is what `target` holds from here on."""
        while is_view(target):
            view = target.node
            assert view is not None
            target = self.derived[view].sources[0]
            written = write_through(builder, view, self.read(target, anchor), new, self.known)
            assert written is not None, "the set is not tractable"
            new = written
        self.current[target] = new

    # control flow -----------------------------------------------------------------------------

    def branches(self, node: Node) -> None:
        """What a branch writes comes out of the If."""
        before = (dict(self.current), dict(self.derived))
        after: list[dict[Value, Value]] = []
        for block in node.blocks:
            self.current, self.derived = dict(before[0]), dict(before[1])
            self.block(block)
            after.append(self.current)
        self.current, self.derived = before
        for root in self.roots.get(node, []):
            values = [current.get(root, root) for current in after]
            for block, value in zip(node.blocks, values, strict=True):
                block.add_return(value)
            self.current[root] = node.add_output(_contents(root))
        for output, *values in zip(node.outputs, *(b.returns for b in node.blocks), strict=True):
            _forget_layout([output], values)

    def loop(self, node: Node) -> None:
        """What a loop writes goes around it."""
        (body,) = node.blocks
        roots = self.roots.get(node, [])
        before = (dict(self.current), dict(self.derived))
        for root in roots:
            node.add_input(self.current.get(root, root))
            self.current[root] = body.add_param(_contents(root))
        self.block(body)
        for root in roots:
            body.add_return(self.current[root])
        self.current, self.derived = before
        for root in roots:
            self.current[root] = node.add_output(_contents(root))
        carried = zip(node.outputs, body.params[1:], node.inputs[2:], body.returns[1:], strict=True)
        for output, param, first, following in carried:
            _forget_layout([output, param], [first, following])

    # the end ----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Written parameters get their contents; returns read what is current."""
        end = self.graph.block.returning
        builder = _builder(end, self.known)
        for param in self.graph.params:
            if self.current.get(param, param) is not param:
                builder.call(f"{copy.name}_", [param, self.current[param]])
                self.current[param] = param
        for position, value in enumerate(list(end.inputs)):
            end.replace(position, self.read(value, end))


def _forget_layout(places: list[Value], values: list[Value]) -> None:
    """A value computed anew may lie otherwise than the memory that it stands for: where that is
    handed on, strides are no longer known."""
    for place in places:
        if isinstance(place.type, TensorType) and not all(
            is_subtype(v.type, place.type) for v in values
        ):
            place.type = TensorType(place.type.dtype, place.type.dims)


def _contents(root: Value) -> TensorType:
    """The type of whatever a root holds."""
    assert isinstance(root.type, TensorType)
    return TensorType(root.type.dtype, root.type.dims, root.type.strides)


def _insert(node: Node, anchor: Node) -> None:
    assert anchor.block is not None
    if anchor is anchor.block.returning:
        anchor.block.append(node)
    else:
        anchor.block.insert_before(node, anchor)


def _builder(anchor: Node, known: Known) -> Builder:
    assert anchor.block is not None
    if anchor is anchor.block.returning:
        return Builder(anchor.block, known=known)
    return Builder.before(anchor, known)
