"""Writes to the caller's tensors: the last things that a plan does.

    %n = aten::mul(%x, %k)                    (`ir.passes.functionalize`)
    aten::copy_(%x, %n)
    return (%x)

Nothing visible happens before them, so that until then a plan may start over in the interpreter. A
value that only serves to be written is computed where it goes, if each iteration of its loop nest
reads of that memory no more than the element that it writes.

Laws
  * Only tensors whose elements have places of their own are written, of which eager refuses the
    others; that no other argument overlaps with them is a guard of the entry.
  * A loop nest that may fault writes nothing of the caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from codegen.buffers import readable
from codegen.nest import Buffer, Nest
from codegen.partition import Group
from ir import Aliases, Graph, Known, Node, TensorType, Value, same_each, strides

COPY = "aten::copy_"


def find_last_writes(graph: Graph, aliases: Aliases) -> list[Node]:
    """The copies at the end of a graph that loop nests can do, each to another parameter."""
    found: list[Node] = []
    for node in reversed(graph.block.nodes):
        if node.name != COPY or not _is_plain(node, graph):
            break
        if not any(aliases.may_alias(node.inputs[0], v) for n in found for v in n.inputs):
            found.append(node)
    return found


def _is_plain(node: Node, graph: Graph) -> bool:
    """Whether a copy fills a parameter with a value of its own sizes and dtype."""
    target, value = node.inputs[:2]
    to, of = target.type, value.type
    if target not in graph.params or any(output.uses for output in node.outputs):
        return False
    if not isinstance(to, TensorType) or not isinstance(of, TensorType):
        return False
    if not to.is_complete or not of.is_complete or to.dtype is not of.dtype:
        return False
    steps = [s for s in to.strides or () if s is not None]
    layout = strides.Layout(to.shape, tuple(steps))
    return (
        same_each(to.shape, of.shape) and len(steps) == len(to.shape) and strides.is_apart(layout)
    )


def places_of(
    group: Group,
    stored: Sequence[Value],
    writes: Sequence[Node],
    buffers: dict[Value, Buffer],
    known: Known,
) -> dict[Value, Buffer]:
    """Where values that a group stores may be computed, of which nobody outside but the given
    writes reads.
    """
    if any(_may_fault(node) for node in group.nodes):
        return {}
    inside, found = set(group.nodes), {}
    for write in writes:
        target, value = write.inputs[:2]
        outside = [user for user, _ in value.uses if user not in inside]
        if value in stored and value not in buffers and outside == [write]:
            found[value] = readable(target, buffers, known)
    return found


def _may_fault(node: Node) -> bool:
    """Whether elements can be out of range or divisors zero: among ints only."""
    tensors = [v.type for v in node.outputs if isinstance(v.type, TensorType)]
    return any(t.dtype is None or not (t.dtype.is_float or t.dtype.is_bool) for t in tensors)


def conflicts(nests: Sequence[Nest], places: dict[Value, Buffer]) -> Collection[Value]:
    """Values that cannot be computed in their places, given the nests that would do so."""
    return [value for value, buffer in places.items() if not _is_alone(nests, buffer.base)]


def _is_alone(nests: Sequence[Nest], base: Value) -> bool:
    """Whether no element is read after it was written, nor anything written that may fault."""
    writers = [nest for nest in nests if base in nest.writes()]
    if any(nest.sources for nest in writers):
        return False
    first, *others = nests[nests.index(writers[0]) :]
    if any(base in nest.reads() for nest in others):
        return False
    return base not in first.reads() or _reads_what_it_writes(first, base)


def _reads_what_it_writes(nest: Nest, base: Value) -> bool:
    """Whether every iteration of a nest reads of some memory no more than it writes there."""
    own = [a for a in nest.accesses if a.buffer is not None and a.buffer.base is base]
    is_simple = not nest.reduces and nest.scan is None
    return is_simple and len({a.address.key() for a in own}) == 1
