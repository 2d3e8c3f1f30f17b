"""Which writes of a graph can become values: the decisions behind `passes.functionalize`.

A write can be turned when its op is the in-place or `out=` twin of a row with a native rule, whose
result has the sizes and strides of what it writes, through invertible views (`ir.ops.memory`). All
writes of an alias set can, or none is turned: then every value of the set is also made and read
only by what the pass follows.
"""

from __future__ import annotations

from collections.abc import Sequence

from ir.abstract import Known
from ir.alias import Aliases
from ir.builder import Builder, evaluate_call
from ir.graph import Block, Graph, Node, Value
from ir.op import Control, Effect, Op, Opaque, View
from ir.ops.cast import convert
from ir.ops.memory import INVERSES, MAY_COPY, UNMARKED
from ir.ops.mutate import copy
from ir.resolve import UNKNOWN
from ir.types import NONE, TensorType, Type, same_each

_CONTAINERS = (
    "prim::ListConstruct", "prim::TupleConstruct", "prim::ListUnpack", "prim::TupleUnpack")
_READERS = ("prim::RaiseException", "prim::Print")


def written_operands(node: Node) -> list[tuple[int, str | None]]:
    """Positions and alias sets of the operands that a node writes."""
    formals = node.op.schema.arguments
    return [(i, a.alias) for i, a in enumerate(formals) if a.is_written]


def target_of(node: Node) -> Value | None:
    """The only operand that a node writes."""
    written = written_operands(node)
    return node.inputs[written[0][0]] if len(written) == 1 else None


def name_results(graph: Graph) -> bool:
    """The result of an in-place op is the operand that it has written."""
    changed = False
    for node in graph.walk():
        if node.op.effect is Effect.WRITE and len(node.outputs) == 1 and node.output.uses:
            target = target_of(node)
            written = written_operands(node)
            if target is not None and node.op.schema.returns[0].alias == written[0][1]:
                node.output.replace_all_uses_with(target)
                changed = True
    return changed


# which sets to follow -----------------------------------------------------------------------------


def followed_values(graph: Graph) -> set[Value]:
    """The values of all alias sets whose writes can be turned."""
    aliases, known = Aliases(graph), Known()
    followed: set[Value] = set()
    seen: set[Value] = set()
    for node in graph.walk():
        target = target_of(node) if node.op.effect is Effect.WRITE else None
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
        return isinstance(node.op.rule, View) and node.name not in MAY_COPY
    if node.op.effect is Effect.WRITE:
        is_new = node.op.schema.returns[node.outputs.index(value)].alias is None
        return is_new or not value.uses
    return node.op.effect in (Effect.PURE, Effect.RANDOM)


def _is_used_well(value: Value, graph: Graph, known: Known) -> bool:
    return all(_is_good_use(value, user, position, graph, known) for user, position in value.uses)


def _is_good_use(value: Value, user: Node, position: int, graph: Graph, known: Known) -> bool:
    if user is graph.block.returning or user.name in _READERS or user.name in _CONTAINERS:
        return True
    if isinstance(user.op.rule, Control) or user.op.effect is Effect.SIDE:
        return False
    formal = user.op.schema.arguments[position]
    return not formal.is_written or (
        functional_of(user, known) is not None and _is_writable(value, user, known))


def functional_of(node: Node, known: Known) -> Op | None:
    """The row that computes what a node writes, where it has the sizes and strides of the target.
    """
    op, new = _functional(node, known)
    target = target_of(node)
    return op if op is not None and target is not None and _is_alike(target.type, new) else None


def _functional(node: Node, known: Known) -> tuple[Op | None, Type]:
    """The row that computes what a node writes, where that may be written, and its type."""
    op, target = node.op.inplace_of, target_of(node)
    if op is None or isinstance(op.rule, Opaque) or target is None:
        return None, NONE
    inputs = functional_inputs(node, node.inputs)
    if len(inputs) != len(op.schema.arguments):
        return None, NONE
    declared = [r.type for r in op.schema.returns]
    results = evaluate_call(op, [known.abstract(v) for v in inputs], declared)
    old, new = target.type, results[0]
    if not isinstance(old, TensorType) or not isinstance(new, TensorType) or not old.is_complete:
        return None, NONE
    is_fit = same_each(old.dims, new.dims) and _may_cast(new, old)
    return (op if is_fit else None), new


def resizes(node: Node, known: Known) -> bool:
    """Whether a node may give its `out` other sizes: unless they are the result's."""
    formals = node.op.schema.arguments
    if not any(formals[k].kwarg_only for k, _ in written_operands(node)):
        return False
    op, _ = _functional(node, known)
    return op is None


def compute_then_copy(node: Node, known: Known) -> Node | None:
    """Replace a write by the value that it writes and an `aten::copy_` of that, which is given;
    None where no row computes the value."""
    op, _ = _functional(node, known)
    target = target_of(node)
    if op is None or target is None or (node.outputs and node.output.uses):
        return None
    assert isinstance(target.type, TensorType) and target.type.dtype is not None
    builder = Builder.before(node, known)
    new = builder.apply(op, functional_inputs(node, node.inputs))
    new = convert(builder, new, target.type.dtype)
    made: Value = builder.call(f"{copy.name}_", [target, new])
    node.erase()
    return made.node


def is_copy(node: Node) -> bool:
    """Whether a node writes one tensor into another as it is."""
    return node.op.inplace_of is copy


def functional_inputs(node: Node, inputs: Sequence[Value]) -> list[Value]:
    """The operands of the functional row: without `out`."""
    formals = node.op.schema.arguments
    return [v for v, a in zip(inputs, formals, strict=True) if not (a.is_written and a.kwarg_only)]


def _may_cast(new: TensorType, old: TensorType) -> bool:
    """Whether torch writes results of one dtype into memory of another."""
    assert new.dtype is not None and old.dtype is not None
    return new.dtype is old.dtype or new.dtype.kind <= old.dtype.kind


def write_through(b: Builder, view: Node, base: Value, new: Value, known: Known) -> Value | None:
    """`base` with what `view` shows of it replaced by `new`; None where that cannot be told."""
    inverse = INVERSES.get(view.name)
    type_ = base.type
    if inverse is None or not isinstance(type_, TensorType) or not type_.is_complete:
        return None
    return inverse(b, base, new, [known.get(v, UNKNOWN) for v in view.inputs[1:]])


def _is_writable(value: Value, user: Node, known: Known) -> bool:
    """Whether a write reaches the root: through invertible views, in no loop of its own."""
    scratch = Graph()
    through_view = False
    while is_view(value):
        view = value.node
        assert view is not None
        through_view = True
        base = scratch.block.add_param(view.inputs[0].type)
        new = scratch.block.add_param(value.type)
        written = write_through(Builder(scratch.block), view, base, new, known)
        if written is None or not _is_alike(base.type, written.type):
            return False
        value = view.inputs[0]
    return not through_view or _loop_depth(user.block) == _loop_depth(home_of(value))


def _is_alike(old: Type, new: Type) -> bool:
    """Whether two tensors have the same sizes and strides."""
    return (isinstance(old, TensorType) and isinstance(new, TensorType)
            and same_each(old.dims, new.dims) and same_each(old.strides, new.strides))


def root_of(value: Value) -> Value:
    while is_view(value):
        assert value.node is not None
        value = value.node.inputs[0]
    return value


def is_view(value: Value) -> bool:
    return value.node is not None and value.node.op.effect is Effect.ALIAS


def home_of(value: Value) -> Block | None:
    return value.block if value.node is None else value.node.block


def _loop_depth(block: Block | None) -> int:
    depth = 0
    while block is not None and block.owner is not None:
        depth += bool(block.params)
        block = block.owner.block
    return depth
