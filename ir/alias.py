"""Which values may share memory, what of it is written to, and what is seen from outside.

    %b = aten::view(%a, ...)        alias marks of the schema            {a, b}
    %l = prim::ListConstruct(%a)    a container with what it holds       {a, b, l}
    %o = prim::If(%c) -> (%a) ...   outputs with what the blocks return  {a, b, l, o}

Values are joined into sets (union-find); two values of different sets never share memory. Numbers,
strings and None belong to no set.

Laws
  * A set is external when it holds a graph parameter, a constant or what a call gave back; any
    other set is born in the graph (fresh).
  * Who changes a list, as `append` does, writes to none of the tensors in its set; calls that are
    given it may.
  * Distinct parameters are taken not to overlap: where one of them is written (`written_params`),
    the plan's guards test that.
  * Calls (`_CALLS`) may write to their inputs and to everything external; a task may do so until it
    was waited for.
"""

from __future__ import annotations

from collections.abc import Iterable

from ir import types as T
from ir.graph import Block, Graph, Node, Value
from ir.op import Control, Effect
from ir.ops.control import WAIT
from ir.ops.memory import UNMARKED
from ir.ops.methods import LISTS, PASSING_ON

_CALLS = (
    "prim::CallFunction",
    "prim::CallMethod",
    "prim::PythonOp",
    "prim::Try",
    "prim::fork",
    WAIT.name,
)
_HARMLESS = ("prim::RaiseException", "prim::Print", "prim::If", "prim::Loop")


def has_memory(type_: T.Type) -> bool:
    """Whether values of this type can share memory with others."""
    match type_:
        case T.OptionalType(element=element):
            return has_memory(element)
        case T.TupleType(elements=elements):
            return any(map(has_memory, elements))
        case T.UnionType(members=members):
            return any(map(has_memory, members))
        case T.Prim():
            return type_ == T.ANY
    return True


def _hands_items_on(node: Node) -> bool:
    """Whether a list gets the items of another one, and these have memory: no mark says so."""
    lists = [v.type for v in node.inputs if isinstance(v.type, T.ListType)]
    is_composed = LISTS.get(node.name) in PASSING_ON
    return is_composed and any(has_memory(list_.element) for list_ in lists)


def _hands_values_on(node: Node) -> bool:
    """Whether an operator has to do with a dict of values with memory: few of their schemas say
    which of them the operator gives, or keeps."""
    dicts = [v.type for v in (*node.inputs, *node.outputs) if isinstance(v.type, T.DictType)]
    return any(has_memory(dict_.value) for dict_ in dicts)


class Aliases:
    """The sets of one graph, as it is now."""

    def __init__(self, graph: Graph) -> None:
        self._parent: dict[Value, Value] = {}
        self._external: set[Value] = set()
        self._written: set[Value] = set()
        self._changed: set[Value] = set()  # lists, not what they hold
        self._escaping: set[Value] = set()
        self._calls_out = False
        self._sets: dict[Value, list[Value]] | None = None  # by root, made when asked for
        self._external.update(graph.params)
        self._escaping.update(graph.returns)
        self._block(graph.block)
        self._external = {self._find(v) for v in self._external}
        self._escaping = {self._find(v) for v in self._escaping}
        self._written = {self._find(v) for v in self._written}
        self._changed = {self._find(v) for v in self._changed}

    def may_alias(self, a: Value, b: Value) -> bool:
        """Whether the two may share memory."""
        return has_memory(a.type) and has_memory(b.type) and self._find(a) is self._find(b)

    def is_external(self, value: Value) -> bool:
        """Whether memory of the value may exist outside of the graph."""
        return has_memory(value.type) and self._find(value) in self._external

    def is_written(self, value: Value) -> bool:
        """Whether anything in the graph may write to memory of the value."""
        return self.writes(value) or (has_memory(value.type) and self.is_exposed(value))

    def is_exposed(self, value: Value) -> bool:
        """Whether a call that is not given the value may read and write its memory."""
        return self._calls_out and self.is_external(value)

    def writes(self, value: Value) -> bool:
        """Whether the graph itself may write to memory of the value: what it calls, too, if it is
        given the value."""
        if not has_memory(value.type):
            return False
        root, is_tensor = self._find(value), isinstance(value.type, T.TensorType)
        return root in self._written or (root in self._changed and not is_tensor)

    def written_params(self, graph: Graph) -> set[Value]:
        """The graph's parameters whose memory the graph itself writes: these must not overlap with
        any other parameter."""
        return set(filter(self.writes, graph.params))

    def escapes(self, value: Value) -> bool:
        """Whether the caller may hold memory of the value after the run."""
        return self.is_external(value) or (
            has_memory(value.type) and self._find(value) in self._escaping)

    def may_merge(self, a: Value, b: Value) -> bool:
        """Whether two values of equal contents may become one: nobody can tell by writing."""
        return not (self.is_written(a) or self.is_written(b)
                    or (self.escapes(a) and self.escapes(b) and has_memory(a.type)))

    def members(self, value: Value) -> list[Value]:
        """The set of a value."""
        if self._sets is None:
            self._sets = {}
            for member in list(self._parent):
                self._sets.setdefault(self._find(member), []).append(member)
        return self._sets.get(self._find(value), [value])

    # building ---------------------------------------------------------------------------------

    def _find(self, value: Value) -> Value:
        parent = self._parent.setdefault(value, value)
        while parent is not value:
            self._parent[value] = value = self._parent.setdefault(parent, parent)
            parent = self._parent[value]
        return value

    def _join(self, values: Iterable[Value]) -> None:
        roots = [self._find(v) for v in values if has_memory(v.type)]
        for other in roots[1:]:
            self._parent[self._find(other)] = self._find(roots[0])

    def _block(self, block: Block) -> None:
        for node in block.nodes:
            for inner in node.blocks:
                self._block(inner)
            self._node(node)

    def _node(self, node: Node) -> None:
        if node.name == "prim::If":
            for values in zip(node.outputs, *(b.returns for b in node.blocks), strict=True):
                self._join(values)
        elif node.name == "prim::Loop":
            (body,) = node.blocks
            sides = (node.outputs, node.inputs[2:], body.params[1:], body.returns[1:])
            for values in zip(*sides, strict=True):
                self._join(values)
        elif node.name == "prim::Constant":
            self._external.add(node.output)
        elif isinstance(node.op.rule, Control) or node.op.effect is Effect.SIDE:
            self._structure(node)
        else:
            self._schema(node)

    def _structure(self, node: Node) -> None:
        """Containers hold what they are made of; calls may do anything with what they are given."""
        if node.name in _HARMLESS:
            return
        self._join([*node.inputs, *node.outputs])
        if "seals" in node.attrs:
            return
        if node.op.effect is Effect.SIDE:
            self._written.update(node.inputs)
            self._external.update(node.outputs)
        self._calls_out |= node.name in _CALLS
        if node.name in _CALLS:
            self._escaping.update(node.inputs)

    def _schema(self, node: Node) -> None:
        """Alias marks; a mark with an arrow puts its parameter into a container of the call."""
        if node.name in UNMARKED or _hands_items_on(node) or _hands_values_on(node):
            self._join([*node.inputs, *node.outputs])
        sets: dict[str, list[Value]] = {}
        schema = node.op.schema
        for values, formals in ((node.inputs, schema.arguments), (node.outputs, schema.returns)):
            for value, formal in zip(values, formals, strict=False):
                if formal.alias is not None:
                    name = "*" if "->" in formal.alias or formal.alias == "*" else formal.alias
                    sets.setdefault(name, []).append(value)
                if formal.is_written:
                    is_list = node.name in LISTS and isinstance(value.type, T.ListType)
                    (self._changed if is_list else self._written).add(value)
        stored = sets.pop("*", None)
        if stored is not None:
            self._join([v for values in sets.values() for v in values] + stored)
        for values in sets.values():
            self._join(values)
