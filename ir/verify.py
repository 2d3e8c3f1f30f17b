"""What makes a graph valid. This list is the specification; the code below keeps its order.

    links        1  A block lists a node that names the block; a node owns the blocks that name it.
    definition   2  A value is defined once: a parameter of one block or an output of one node.
    dominance    3  A definition comes before every read, in the same block or an enclosing one.
    uses         4  `value.uses` lists exactly the reads of it in the graph, returns included.
    arity        5  A node has the inputs and outputs of its schema; `...` allows any further ones.
    types        6  Inputs have types that the schema takes without conversion.
    results      7  Output types are no wider than what the schema promises.
    constants    8  `prim::Constant` has no input, one output and a value of its type.
    branches     9  `prim::If` reads a bool and owns two blocks without parameters, which return
                    values that fit its outputs.
    loops       10  `prim::Loop` reads an int, a bool and the initial values of what it carries,
                    owns one block (int, carried ...) -> (bool, carried ...), and outputs them.
    structure   11  Tuples and lists are built from, and taken apart into, elements of their type.
    blocks      12  No other node owns blocks.

A violation is drawn below its node in the printed graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from ir import types as T
from ir.errors import VerifyError
from ir.graph import Block, Graph, Node, Value
from ir.literals import type_of_literal
from ir.operands import takes
from ir.printer import print_lines
from ir.records import record
from ir.resolve import Level, Resolution


@record
class Problem:
    """A violated law, at a node (None: at the graph's parameters or returns)."""

    law: int
    message: str
    node: Node | None = None

    def __str__(self) -> str:
        return f"({self.law}) {self.message}"


def verify(graph: Graph) -> None:
    """VerifyError, with the printed graph, when a law is broken."""
    found = problems(graph)
    if found:
        raise VerifyError(draw(graph, found))


def problems(graph: Graph) -> list[Problem]:
    """Every violated law."""
    checks = (_links, _definitions, _dominance, _uses, _nodes)
    return [problem for check in checks for problem in check(graph)]


def draw(graph: Graph, found: Sequence[Problem]) -> str:
    """The graph's text with each problem below its node; those of no printed node at the end."""
    lines: list[str] = []
    left = list(found)
    for line in print_lines(graph.block):
        lines.append(line.text)
        here = [p for p in left if p.node is not None and p.node is line.node]
        indent = line.text[: len(line.text) - len(line.text.lstrip())]
        lines += [f"{indent}^ error: {p}" for p in here]
        left = [p for p in left if p not in here]
    return "invalid graph\n" + "\n".join([*lines, *(f"error: {p}" for p in left)])


# 1 to 4: the graph as a whole --------------------------------------------------------------------


def _blocks(block: Block) -> Iterator[Block]:
    yield block
    for node in block.nodes:
        for inner in node.blocks:
            yield from _blocks(inner)


def _links(graph: Graph) -> Iterator[Problem]:
    for block in _blocks(graph.block):
        for node in block.nodes:
            if node.block is not block:
                yield Problem(1, "the node does not name the block that lists it", node)
            for inner in node.blocks:
                if inner.owner is not node:
                    yield Problem(1, "a block of this node has another owner", node)


def _definitions(graph: Graph) -> Iterator[Problem]:
    seen: set[Value] = set()
    for block in _blocks(graph.block):
        for value in block.params:
            if value in seen or value.block is not block or value.node is not None:
                yield Problem(2, f"parameter {value} is defined elsewhere too", block.owner)
            seen.add(value)
        for node in block.nodes:
            for value in node.outputs:
                if value in seen or value.node is not node or value.block is not None:
                    yield Problem(2, f"output {value} is defined elsewhere too", node)
                seen.add(value)


def _dominance(graph: Graph) -> Iterator[Problem]:
    return _dominance_in(graph.block, set())


def _dominance_in(block: Block, outside: set[Value]) -> Iterator[Problem]:
    visible = outside | set(block.params)
    for node in block.nodes:
        yield from _unreached(node.inputs, visible, node)
        for inner in node.blocks:
            yield from _dominance_in(inner, visible)
        visible.update(node.outputs)
    yield from _unreached(block.returns, visible, block.owner)


def _unreached(
    values: Sequence[Value], visible: set[Value], node: Node | None
) -> Iterator[Problem]:
    for value in values:
        if value not in visible:
            yield Problem(3, f"{value} is read where its definition does not reach", node)


def _uses(graph: Graph) -> Iterator[Problem]:
    reads: dict[Value, Counter[tuple[Node, int]]] = {}
    for block in _blocks(graph.block):
        for value in block.params:
            reads.setdefault(value, Counter())
        for node in (*block.nodes, block.returning):
            for position, value in enumerate(node.inputs):
                reads.setdefault(value, Counter())[node, position] += 1
            for value in node.outputs:
                reads.setdefault(value, Counter())
    for value, expected in reads.items():
        if Counter(value.uses) != expected:
            message = f"{value} lists {len(value.uses)} uses, it has {expected.total()}, or others"
            yield Problem(4, message, value.node)


# 5 to 12: node by node ---------------------------------------------------------------------------


def _nodes(graph: Graph) -> Iterator[Problem]:
    for node in graph.walk():
        structure = _STRUCTURE.get(node.name)
        if structure is not None:
            for law, message in structure(node):
                yield Problem(law, message, node)
        else:
            for law, message in _schema(node):
                yield Problem(law, message, node)


Complaints = Iterator[tuple[int, str]]


def _schema(node: Node) -> Complaints:
    schema = node.op.schema
    count = len(schema.arguments)
    if len(node.inputs) < count or (len(node.inputs) > count and not schema.is_vararg):
        yield 5, f"{schema.qualified} takes {count} inputs, found {len(node.inputs)}"
        return
    if len(node.outputs) != len(schema.returns) and not schema.returns_any:
        yield 5, f"{schema.qualified} has {len(schema.returns)} results, found {len(node.outputs)}"
        return
    if node.blocks:
        yield 12, f"{node.name} owns a block"
    bound = _bound(node)
    if bound is None:
        types = ", ".join(str(v.type) for v in node.inputs)
        yield 6, f"{schema} does not take ({types})"
        return
    for value, promised in zip(node.outputs, bound.returns, strict=False):
        if not _narrows(value.type, promised):
            yield 7, f"{value} is not a {promised}"


def _bound(node: Node) -> Resolution | None:
    types = [v.type for v in node.inputs]
    return next((r for level in Level if (r := takes(node.op, types, level)) is not None), None)


def _narrows(type_: T.Type, promised: T.Type) -> bool:
    """Whether a result may be known to be of `type_`: a subtype, or a scalar of unknown kind."""
    return promised == T.ANY or T.is_subtype(type_, promised) or T.is_subtype(promised, type_)


def _constant(node: Node) -> Complaints:
    if node.inputs or len(node.outputs) != 1 or set(node.attrs) != {"value"}:
        yield 8, "a constant has one output and the attribute 'value' only"
        return
    value, type_ = node.attrs["value"], node.output.type
    if type(value) in _LITERALS and not _is_literal(value, type_):
        yield 8, f"{value!r} is no {type_}"


_LITERALS = (bool, int, float, complex, str, type(None))


def _is_literal(value: object, type_: T.Type) -> bool:
    return type_ in T.CODED or T.is_subtype(type_of_literal(value), type_)


def _if(node: Node) -> Complaints:
    if [v.type for v in node.inputs] != [T.BOOL]:
        yield 9, "the condition must be one bool"
    if len(node.blocks) != 2 or any(block.params for block in node.blocks):
        yield 9, "a branch needs two blocks without parameters"
    for i, block in enumerate(node.blocks):
        yield from _fits(9, f"block{i} returns", block.returns, "the outputs", node.outputs)


def _loop(node: Node) -> Complaints:
    if [v.type for v in node.inputs[:2]] != [T.INT, T.BOOL]:
        yield 10, "a loop starts with a trip count (int) and a condition (bool)"
    if len(node.blocks) != 1:
        yield 10, f"a loop owns one block, found {len(node.blocks)}"
        return
    (body,) = node.blocks
    if not body.params or body.params[0].type != T.INT:
        yield 10, "the body's first parameter is the index (int)"
    if not body.returns or body.returns[0].type != T.BOOL:
        yield 10, "the body's first return is the condition (bool)"
    carried = body.params[1:]
    yield from _fits(10, "the initial values are", node.inputs[2:], "the parameters", carried)
    yield from _fits(10, "the body returns", body.returns[1:], "the parameters", carried)
    yield from _fits(10, "the parameters are", carried, "the outputs", node.outputs)


def _fits(
    law: int, what: str, found: Sequence[Value], where: str, expected: Sequence[Value]
) -> Complaints:
    a, b = [v.type for v in found], [v.type for v in expected]
    if len(a) != len(b) or not all(map(T.is_subtype, a, b)):
        yield law, f"{what} ({', '.join(map(str, a))}), {where} are ({', '.join(map(str, b))})"


def _tuple(node: Node) -> Complaints:
    type_ = node.outputs[0].type if len(node.outputs) == 1 else None
    if not isinstance(type_, T.TupleType):
        yield 11, "a tuple is one value of a tuple type"
    else:
        yield from _elements("the inputs are", node.inputs, type_.elements)


def _tuple_unpack(node: Node) -> Complaints:
    type_ = node.inputs[0].type if len(node.inputs) == 1 else None
    if not isinstance(type_, T.TupleType) or len(type_.elements) != len(node.outputs):
        yield 11, "a tuple is taken apart into as many outputs as it has elements"
    elif not all(map(T.is_subtype, type_.elements, (v.type for v in node.outputs))):
        yield 11, f"the elements of {type_} do not fit the outputs"


def _list(node: Node) -> Complaints:
    type_ = node.outputs[0].type if len(node.outputs) == 1 else None
    if not isinstance(type_, T.ListType):
        yield 11, "a list is one value of a list type"
    else:
        yield from _elements("the inputs are", node.inputs, [type_.element] * len(node.inputs))


def _elements(what: str, values: Sequence[Value], types: Sequence[T.Type]) -> Complaints:
    found = [v.type for v in values]
    if len(found) != len(types) or not all(map(T.is_subtype, found, types)):
        yield 11, f"{what} ({', '.join(map(str, found))}), expected ({', '.join(map(str, types))})"


_STRUCTURE: dict[str, Callable[[Node], Complaints]] = {
    "prim::Constant": _constant,
    "prim::If": _if,
    "prim::Loop": _loop,
    "prim::TupleConstruct": _tuple,
    "prim::TupleUnpack": _tuple_unpack,
    "prim::ListConstruct": _list,
}
