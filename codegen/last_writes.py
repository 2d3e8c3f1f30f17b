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

from collections.abc import Sequence

from codegen.buffers import readable
from codegen.index import Affine, address
from codegen.nest import Access, Buffer, Nest, Root
from codegen.partition import Group
from ir import Aliases, Graph, Known, Node, TensorType, Value, is_copy, same_each, strides


def find_last_writes(graph: Graph, aliases: Aliases) -> list[Node]:
    """The copies at the end of a graph that loop nests can do, each to another parameter."""
    found: list[Node] = []
    for node in reversed(graph.block.nodes):
        if not is_copy(node) or not _is_plain(node, graph):
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


def compute_in_place(
    group: Group,
    nests: Sequence[Nest],
    writes: Sequence[Node],
    buffers: dict[Value, Buffer],
    known: Known,
) -> None:
    """Let the loop nests of a group, given in order, compute values where the given writes put
    them: values that nothing else reads, in memory that nothing reads any more.
    """
    if any(_may_fault(node) for node in group.nodes):
        return
    inside = set(group.nodes)
    for write in writes:
        target, value = write.inputs[:2]
        if [user for user, _ in value.uses if user not in inside] != [write]:
            continue
        places = [(k, r) for k, n in enumerate(nests) for r in n.roots if r.buffer.base is value]
        if len(places) == 1 and places[0][1].value is value:
            place, (at, root) = readable(target, buffers, known), places[0]
            _retarget(root, place, nests[at], nests[at + 1 :], buffers)


def _retarget(
    root: Root, place: Buffer, nest: Nest, later: Sequence[Nest], buffers: dict[Value, Buffer]
) -> None:
    """Let a nest store a root in another place, if it and the later ones allow."""
    where, own = address(root.index, place.strides, place.offset), root.buffer.base
    if any({place.base, own} & other.reads() for other in later) or own in nest.reads():
        return
    if place.base in nest.reads() and not _reads_only(nest, place.base, where):
        return
    nest.accesses = [a for a in nest.accesses if a.buffer is None or a.buffer.base is not own]
    nest.accesses.append(Access(place, where, True))
    root.buffer = buffers[own] = place
    root.address = where


def _reads_only(nest: Nest, base: Value, where: Affine) -> bool:
    """Whether every iteration of a nest reads of some memory no more than one element."""
    own = [a for a in nest.accesses if a.buffer is not None and a.buffer.base is base]
    is_simple = not nest.reduces and nest.scan is None and not nest.sources
    return is_simple and all(a.address.key() == where.key() for a in own)


def _may_fault(node: Node) -> bool:
    """Whether elements can be out of range or divisors zero: among ints only."""
    tensors = [v.type for v in node.outputs if isinstance(v.type, TensorType)]
    return any(t.dtype is None or not (t.dtype.is_float or t.dtype.is_bool) for t in tensors)
