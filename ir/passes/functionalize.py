"""Mutation becomes values, where nobody outside can tell.

    %y = aten::zeros_like(%x, ...)           %y = aten::zeros_like(%x, ...)
    %v = aten::slice(%y, ...)                %a = aten::slice(%y, ...)
    %_ = aten::mul_(%v, %x)            ->    %b = aten::mul(%a, %x)
    %z = aten::exp(%y)                       %c = aten::cat([...%b...])     (`ir.inverse`)
                                             %z = aten::exp(%c)

Memory is followed by alias set. Each set has roots (graph parameters, results of ops that allocate)
and derived values (views, lists of members). The walk keeps, for every root, the value that holds
its contents now; a derived value is made anew from current contents where it is stale.

Laws
  * All writes of a set are turned, or none: each must be the in-place or `out=` twin of a row with
    a native rule, whose result has the sizes and strides of what it writes, through invertible
    views.
  * A set that meets what the walk does not follow (calls, opaque aliases, values that go around a
    loop) stays as it is. So do writes to part of memory from inside a loop: copying the rest in
    every iteration costs more than the write.
  * A written graph parameter gets its contents by one `aten::copy_` at the end of the graph, in
    order of the first writes, so that nothing outside changes before the graph has succeeded.
  * In-place results are their first operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ir.abstract import Known
from ir.alias import UNMARKED, Aliases
from ir.builder import Builder, evaluate_call
from ir.graph import Block, Graph, Node, Value, copy_node
from ir.inverse import write_through
from ir.op import Control, Effect, Op, Opaque, View
from ir.passes import dce, invariant
from ir.types import TensorType, same_each

_CONTAINERS = (
    "prim::ListConstruct", "prim::TupleConstruct", "prim::ListUnpack", "prim::TupleUnpack")
_READERS = ("prim::RaiseException", "prim::Print")
_MAY_COPY = ("aten::reshape", "aten::flatten")  # a view only where strides allow


def run(graph: Graph) -> bool:
    """Turn every alias set that allows it."""
    changed = _name_results(graph)
    if changed:
        invariant.run(graph)
        dce.run(graph)
    followed = _followed(graph)
    if not followed:
        return changed
    walk = _Walk(graph, followed)
    walk.block(graph.block)
    walk.finish()
    return True


def _name_results(graph: Graph) -> bool:
    """The result of an in-place op is the operand that it has written."""
    changed = False
    for node in graph.walk():
        if node.op.effect is Effect.WRITE and len(node.outputs) == 1 and node.output.uses:
            target = _target(node)
            if target is not None and node.op.schema.returns[0].alias == _written(node)[0][1]:
                node.output.replace_all_uses_with(target)
                changed = True
    return changed


def _written(node: Node) -> list[tuple[int, str | None]]:
    """Positions and alias sets of the operands that a node writes."""
    formals = node.op.schema.arguments
    return [(i, a.alias) for i, a in enumerate(formals) if a.is_written]


def _target(node: Node) -> Value | None:
    """The only operand that a node writes."""
    written = _written(node)
    return node.inputs[written[0][0]] if len(written) == 1 else None


# which sets to follow -----------------------------------------------------------------------------


def _followed(graph: Graph) -> set[Value]:
    """The values of all alias sets whose writes can be turned."""
    aliases, known = Aliases(graph), Known()
    followed: set[Value] = set()
    seen: set[Value] = set()
    for node in graph.walk():
        target = _target(node) if node.op.effect is Effect.WRITE else None
        if target is None or target in seen:
            continue
        members = aliases.members(target)
        seen.update(members)
        if _is_tractable(graph, members, known):
            followed.update(members)
    return followed


def _is_tractable(graph: Graph, members: Sequence[Value], known: Known) -> bool:
    is_param = any(v.block is graph.block for v in members)
    if is_param and any(v.node is not None and v.node.name in _CONTAINERS and _is_returned(v, graph)
                        for v in members):
        return False
    return all(_is_defined_well(v, graph) and _is_used_well(v, graph, known) for v in members)


def _is_returned(value: Value, graph: Graph) -> bool:
    return any(user is graph.block.returning for user, _ in value.uses)


def _is_defined_well(value: Value, graph: Graph) -> bool:
    node = value.node
    if node is None:
        return value.block is graph.block and isinstance(value.type, TensorType)
    if isinstance(node.op.rule, Control):
        return node.name in _CONTAINERS
    if node.name in UNMARKED:
        return False
    if node.op.effect is Effect.ALIAS:
        return isinstance(node.op.rule, View) and node.name not in _MAY_COPY
    return node.op.effect in (Effect.PURE, Effect.RANDOM) or (
        node.op.effect is Effect.WRITE and not value.uses)


def _is_used_well(value: Value, graph: Graph, known: Known) -> bool:
    return all(_is_good_use(value, user, position, graph, known) for user, position in value.uses)


def _is_good_use(value: Value, user: Node, position: int, graph: Graph, known: Known) -> bool:
    if user is graph.block.returning or user.name in _READERS or user.name in _CONTAINERS:
        return True
    if isinstance(user.op.rule, Control) or user.op.effect is Effect.SIDE:
        return False
    formal = user.op.schema.arguments[position]
    return not formal.is_written or (
        _functional(user, known) is not None and _is_writable(value, user, known))


def _functional(node: Node, known: Known) -> Op | None:
    """The row that computes what a node writes, where it has the sizes of the target."""
    op, target = node.op.inplace_of, _target(node)
    if op is None or isinstance(op.rule, Opaque) or target is None:
        return None
    inputs = _functional_inputs(node, node.inputs)
    if len(inputs) != len(op.schema.arguments):
        return None
    declared = [r.type for r in op.schema.returns]
    results = evaluate_call(op, [known.abstract(v) for v in inputs], declared)
    old, new = target.type, results[0]
    if not isinstance(old, TensorType) or not isinstance(new, TensorType) or not old.is_complete:
        return None
    is_same = same_each(old.dims, new.dims) and same_each(old.strides, new.strides)
    return op if is_same and _may_cast(new, old) else None


def _functional_inputs(node: Node, inputs: Sequence[Value]) -> list[Value]:
    """The operands of the functional row: without `out`."""
    formals = node.op.schema.arguments
    return [v for v, a in zip(inputs, formals, strict=True) if not (a.is_written and a.kwarg_only)]


def _may_cast(new: TensorType, old: TensorType) -> bool:
    """Whether torch writes results of one dtype into memory of another."""
    assert new.dtype is not None and old.dtype is not None
    return new.dtype is old.dtype or new.dtype.kind <= old.dtype.kind


def _is_writable(value: Value, user: Node, known: Known) -> bool:
    """Whether a write reaches the root: through invertible views, in no loop of its own."""
    scratch = Graph()
    through_view = False
    while _is_view(value):
        view = value.node
        assert view is not None
        through_view = True
        base = scratch.block.add_param(view.inputs[0].type)
        new = scratch.block.add_param(value.type)
        if write_through(Builder(scratch.block), view, base, new, known) is None:
            return False
        value = view.inputs[0]
    return not through_view or _loop_depth(user.block) == _loop_depth(_home(value))


def _root(value: Value) -> Value:
    while _is_view(value):
        assert value.node is not None
        value = value.node.inputs[0]
    return value


def _is_view(value: Value) -> bool:
    return value.node is not None and value.node.op.effect is Effect.ALIAS


def _home(value: Value) -> Block | None:
    return value.block if value.node is None else value.node.block


def _loop_depth(block: Block | None) -> int:
    depth = 0
    while block is not None and block.owner is not None:
        depth += bool(block.params)
        block = block.owner.block
    return depth


# turning them -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Derived:
    """A node that makes derived values: what it read when the graph was given, what its newest copy
    reads, and that copy's results."""

    sources: list[Value]
    inputs: list[Value]
    results: list[Value]


@dataclass(slots=True)
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
            target = _target(node) if node.op.effect is Effect.WRITE else None
            if target in self.followed:
                self.note(_root(target), node)

    def note(self, root: Value, node: Node) -> None:
        """`node` writes `root`: so do the nodes around it, up to the root's home."""
        block = node.block
        while block is not None and block is not _home(root) and block.owner is not None:
            roots = self.roots.setdefault(block.owner, [])
            if root not in roots:
                roots.append(root)
            block = block.owner.block

    def block(self, block: Block) -> None:
        """Turn the nodes of a block in order."""
        for node in list(block.nodes):
            if node.op.effect is Effect.WRITE and _target(node) in self.followed:
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
            copy = copy_node(node, dict(zip(node.inputs, inputs, strict=True)))
            _insert(copy, anchor)
            return copy.outputs
        result = _builder(anchor, self.known).apply(node.op, inputs)
        return list(result) if isinstance(result, tuple) else [result]

    def write(self, node: Node) -> None:
        """Compute what the node writes as a value, and make that current."""
        op, target = _functional(node, self.known), _target(node)
        assert op is not None and target is not None and isinstance(target.type, TensorType)
        builder = Builder.before(node, self.known)
        inputs = _functional_inputs(node, [self.read(v, node) for v in node.inputs])
        new = builder.apply(op, inputs)
        if new.type.dtype is not target.type.dtype:
            new = builder.call("aten::_to_copy", [new], {"dtype": target.type.dtype})
        self.store(target, new, builder, node)
        node.erase()

    def store(self, target: Value, new: Value, builder: Builder, anchor: Node) -> None:
        """`new` is what `target` holds from here on."""
        while _is_view(target):
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

    # the end ----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Written parameters get their contents; returns read what is current."""
        end = self.graph.block.returning
        builder = _builder(end, self.known)
        for param in self.graph.params:
            if self.current.get(param, param) is not param:
                builder.call("aten::copy_", [param, self.current[param]])
                self.current[param] = param
        for position, value in enumerate(list(end.inputs)):
            end.replace(position, self.read(value, end))


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
