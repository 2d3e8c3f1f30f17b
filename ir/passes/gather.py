"""Lists that only serve to be joined become the memory of the join.

    %l = prim::ListConstruct()                    %b = prim::Uninitialized()
    prim::Loop(%n, %true, ...)                    %r = prim::Loop(%n, %true, ..., %b)
      block0(%i, ...):                              block0(%i, ..., %p):
        %_ = aten::append(%l, %x)         ->          %q = prim::put(%p, %x, 0, %i, %n)
        -> (%true, ...)                               -> (%true, ..., %q)
    %y = aten::stack(%l, 0)                       %r for %y

    %l = prim::ListConstruct(%a)                  %l = prim::ListConstruct(%a, %b)
    %_ = aten::append(%l, %b)             ->

Laws
  * The loop always runs its whole count, which is at least 1, and appends once in each turn: then
    the join cannot fail, and its memory is full.
  * Where the loop calls out, tensors are objects, and so stays the list.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from ir.abstract import Known
from ir.builder import Builder
from ir.dims import Dim, Sym
from ir.graph import Block, Graph, Node, Value
from ir.op import Effect, Join, Opaque
from ir.ops.control import IF, LIST, LOOP, UNINITIALIZED
from ir.ops.join import PUT
from ir.ops.methods import LISTS
from ir.passes.counted import trip_count
from ir.records import record
from ir.types import BOOL, FLOAT, INT, ListType, TensorType


def run(graph: Graph, known: Known | None = None) -> bool:
    """Gather every list that allows it; `known` are the graph's values as inference found them."""
    return _run_in(graph.block, known if known is not None else Known())


def _run_in(block: Block, known: Known) -> bool:
    changed = False
    for node in list(block.nodes):
        for inner in node.blocks:
            changed |= _run_in(inner, known)
    for made in _lists(block):
        changed |= _extend(made, known)
    found = [g for made in _lists(block) if (g := _gathered(made, known)) is not None]
    for loop in dict.fromkeys(g.loop for g in found):
        filled = [g for g in found if g.loop is loop]
        if _is_native(loop, {g.append for g in filled}, known):
            for gathered in filled:
                gathered.rewrite(known)
            changed = True
    return changed


def _lists(block: Block) -> list[Node]:
    return [node for node in block.nodes if node.op is LIST]


# appends in a straight line -----------------------------------------------------------------------
def _extend(made: Node, known: Known) -> bool:
    """Construct a list with what is appended to it before anything else happens to it."""
    block, users = made.block, {user for user, _ in made.output.uses}
    assert block is not None
    items, appends = list(made.inputs), []
    for node in block.nodes[block.nodes.index(made) + 1 :]:
        if _is_append(node, made.output):
            appends.append(node)
            items.append(node.inputs[1])
            continue
        is_other = node in users and not _is_answered(node, items, known)
        if is_other or _uses_inside(node, made.output):
            break
    if not appends:
        return False
    again = Builder.before(appends[-1]).node(LIST, items, [made.output.type], span=made.span).output
    for node in appends:
        node.erase()
    made.output.replace_all_uses_with(again)
    made.erase()
    return True


def _is_answered(node: Node, items: Sequence[Value], known: Known) -> bool:
    """Give a read of a known item what that is."""
    index = known.get(node.inputs[1]) if LISTS.get(node.name) == "get" else None
    if type(index) is not int or not -len(items) <= index < len(items):
        return False
    node.output.replace_all_uses_with(items[index])
    node.erase()
    return True


def _uses_inside(node: Node, value: Value) -> bool:
    return any(
        value in inner.inputs for block in node.blocks for inner in (*block.walk(), block.returning)
    )


def _is_append(node: Node, target: Value) -> bool:
    """Whether a node only adds one element to the list."""
    is_append = LISTS.get(node.name) == "append" and node.inputs[0] is target
    return is_append and node.inputs[1] is not target and not any(v.uses for v in node.outputs)


# appends in a loop --------------------------------------------------------------------------------
@record
class _Gathered:
    """A list, the loop that fills it, and the join that reads it."""

    made: Node
    loop: Node
    append: Node
    join: Node
    dim: int

    def rewrite(self, known: Known) -> None:
        """Carry the join's memory around the loop."""
        (body,) = self.loop.blocks
        before, inside = Builder.before(self.loop, known), Builder.before(self.append, known)
        dim, row = inside.const(self.dim), self.append.inputs[1]
        rows = body.add_param(TensorType())
        put = inside.apply(PUT, [rows, row, dim, body.params[0], self.loop.inputs[0]])
        self.loop.add_input(before.node(UNINITIALIZED, (), [put.type]).output)
        body.add_return(put)
        result = self.loop.add_output(put.type)
        rows.type, rule = put.type, self.join.op.rule
        if isinstance(rule, Join) and not rule.stacks:
            result = Builder.before(self.join, known).flatten(result, self.dim, self.dim + 1)
        self.join.output.replace_all_uses_with(result)
        for node in (self.join, self.append, self.made):
            node.erase()


def _gathered(made: Node, known: Known) -> _Gathered | None:
    """Whether a list is only appended to in one loop and joined behind it."""
    users = [user for user, _ in made.output.uses]
    if made.inputs or len(users) != 2:
        return None
    append, join = sorted(users, key=lambda user: not _is_append(user, made.output))
    if not _is_append(append, made.output) or not isinstance(join.op.rule, Join):
        return None
    loop = append.block.owner if append.block is not None else None
    if loop is None or loop.op is not LOOP or not _is_between(made, loop, join):
        return None
    row, count = append.inputs[1].type, trip_count(loop, known)
    dim = known.get(join.inputs[1])
    if not isinstance(row, TensorType) or not row.is_complete or not isinstance(dim, int):
        return None
    rank = len(row.shape) + join.op.rule.stacks
    if not _runs(count) or not -rank <= dim < rank:
        return None
    return _Gathered(made, loop, append, join, dim % rank)


def _is_between(made: Node, loop: Node, join: Node) -> bool:
    block = made.block
    if block is None or loop.block is not block or join.block is not block:
        return False
    return block.nodes.index(made) < block.nodes.index(loop) < block.nodes.index(join)


def _runs(count: Dim | None) -> bool:
    """Whether a count is known and at least 1, as every symbol is."""
    return isinstance(count, Sym) or (count is not None and count > 0)


def _is_native(loop: Node, appends: Set[Node], known: Known) -> bool:
    """Whether a loop calls nothing but operators that plans have a form for, as far as ops tell."""
    return all(node in appends or _has_form(node, known) for node in loop.blocks[0].walk())


def _has_form(node: Node, known: Known) -> bool:
    if node.outputs and all(v in known for v in node.outputs):
        return True
    first = node.inputs[0].type if node.inputs else None
    if node.name in LISTS and isinstance(first, ListType):
        return first.element in (INT, FLOAT, BOOL)
    is_called = isinstance(node.op.rule, Opaque) or node.op.effect is Effect.SIDE
    return node.op in (IF, LOOP) or not is_called
