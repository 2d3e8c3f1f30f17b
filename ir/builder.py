"""Building graphs: constants, operator calls with overload choice, lists, tuples and dicts.

    b = Builder(graph.block)
    y = b.call("aten::add", [x, 1])        overload choice, constants and defaults filled in
    z = b.exp(y)                           the same for any `aten::` operator
    Builder.before(node).neg(z)            builds in front of a node

Where the operands' types are complete, results get the types that type rules derive; elsewhere
those of the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ir import types as T
from ir.abstract import Known, evaluate, tensors_in, type_of_abstract, unknown
from ir.dims import Sym
from ir.dtypes import DType
from ir.errors import TypeRuleError
from ir.graph import Block, Graph, Node, Value
from ir.literals import common_type, type_of_literal
from ir.op import Composite, Op
from ir.ops.control import CONSTANT, DICT, LIST, LOOP, TUPLE, TUPLE_UNPACK
from ir.registry import lookup
from ir.resolve import UNKNOWN, Actual, Converted, Fixed, Gathered, Given, Source, Spread, resolve
from ir.source import Span

_INTERNED = (bool, int, float, complex, str, type(None), DType)


class Builder:
    """Adds nodes to a block, at its end or before an anchor; `span` goes to every new node."""

    def __init__(
        self,
        block: Block,
        span: Span | None = None,
        *,
        anchor: Node | None = None,
        known: Known | None = None,
    ) -> None:
        self.block = block
        self.span = span
        self.known = known if known is not None else Known()
        self._anchor = anchor
        self._constants: dict[tuple[object, ...], Value] = {}

    @classmethod
    def before(cls, node: Node, known: Known | None = None) -> Builder:
        """A builder in front of `node`, with its span."""
        assert node.block is not None
        return cls(node.block, node.span, anchor=node, known=known)

    # nodes ----------------------------------------------------------------------------------------
    def node(
        self,
        op: Op | str,
        inputs: Sequence[Value] = (),
        types: Sequence[T.Type] = (),
        attrs: dict[str, Any] | None = None,
        span: Span | None = None,
    ) -> Node:
        """Insert one node; `op` may be a qualified name."""
        made = Node(
            lookup(op) if isinstance(op, str) else op, inputs, types, attrs, span or self.span
        )
        if self._anchor is None:
            return self.block.append(made)
        return self.block.insert_before(made, self._anchor)

    def const(self, value: Any, type_: T.Type | None = None, span: Span | None = None) -> Value:
        """A `prim::Constant`; equal scalars of one builder share a node. Tensors need a `type_`."""
        if isinstance(value, Sym):
            raise ValueError(f"the size {value} is symbolic: take it from a tensor")
        type_ = type_ or type_of_literal(value)
        key = (
            (type(value), repr(value), type_)
            if isinstance(value, _INTERNED)
            else (id(value), type_)
        )
        found = self._constants.get(key)
        if found is None or not isinstance(value, _INTERNED):
            found = self._constants[key] = self.node(
                CONSTANT, (), [type_], {"value": value}, span
            ).output
        return found

    def list_(self, values: Sequence[Any], element: T.Type | None = None) -> Value:
        """A new list of Values or constants."""
        items = [self.value(v) for v in values]
        element = element or common_type(v.type for v in items)
        return self.node(LIST, items, [T.ListType(element)]).output

    def dict_(self, pairs: Sequence[tuple[Any, Any]]) -> Value:
        """A new dict of Values or constants; it has an item at least."""
        keys, values = ([self.value(v) for v in side] for side in zip(*pairs, strict=True))
        type_ = T.DictType(*(common_type(v.type for v in side) for side in (keys, values)))
        inputs = [v for pair in zip(keys, values, strict=True) for v in pair]
        return self.node(DICT, inputs, [type_]).output

    def tuple_(self, values: Sequence[Any], type_: T.Type | None = None) -> Value:
        """A new tuple of Values or constants; `type_` for a NamedTuple."""
        items = [self.value(v) for v in values]
        return self.node(TUPLE, items, [type_ or T.TupleType(tuple(v.type for v in items))]).output

    def value(self, value: Any) -> Value:
        """A Value as it is; a list or tuple construct, or a constant, of anything else."""
        match value:
            case Value():
                return value
            case list():
                return self.list_(value)
            case tuple():
                return self.tuple_(value)
            case _:
                return self.const(value)

    def loop(
        self, count: Value, carried: Sequence[Value], turn: Callable[..., Sequence[Value]]
    ) -> Sequence[Value]:
        """A loop that runs its whole count. `turn(b, i, *carried)` builds a turn, and gives what
        the next one gets, of the same types; the result is what the last one gives.
        """
        types = [v.type for v in carried]
        made = self.node(LOOP, [count, self.const(True), *carried], types)
        body = made.add_block()
        params = [body.add_param(type_) for type_ in (T.INT, *types)]
        inside = Builder(body, self.span, known=self.known)
        is_on = inside.const(True)
        body.set_returns([is_on, *turn(inside, *params)])
        return made.outputs

    # calls ----------------------------------------------------------------------------------------
    def call(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        span: Span | None = None,
    ) -> Any:
        """Call an operator on Values and Python constants.

        Gives one Value, or a tuple of them when the operator has another number of results.
        """
        named = {k: actual(v) for k, v in (kwargs or {}).items()}
        resolution = resolve(name, [actual(a) for a in args], named, span or self.span)
        inputs = [self._realize(source) for source in resolution.inputs]
        return self.apply(resolution.op, inputs, resolution.returns, span)

    def op(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """`call` with the arguments written out: `b.op("aten::sum", x, [0], keepdim=True)`."""
        return self.call(name, args, kwargs)

    def apply(
        self,
        op: Op,
        inputs: Sequence[Value],
        declared: Sequence[T.Type] | None = None,
        span: Span | None = None,
    ) -> Any:
        """Call an exact op on Values in the schema's order."""
        declared = [r.type for r in op.schema.returns] if declared is None else declared
        results = self._results(op, inputs, declared)
        made = self.node(op, inputs, declared, None, span)
        for value, result in zip(made.outputs, results, strict=True):
            self.known.record(value, result)
        return made.output if len(made.outputs) == 1 else tuple(made.outputs)

    def _results(
        self, op: Op, inputs: Sequence[Value], declared: Sequence[T.Type]
    ) -> tuple[Any, ...]:
        abstract = [self.known.abstract(v) for v in inputs]
        tensors = [t for v in abstract for t in tensors_in(v)]
        if tensors and not any(t.is_complete for t in tensors):
            return tuple(map(unknown, declared))
        return evaluate_call(op, abstract, declared)

    def _realize(self, source: Source) -> Value:
        match source:
            case Given(actual=given):
                return self.value(given.handle)
            case Fixed(value=value, type=type_):
                return self._default(value, type_)
            case Gathered(items=items, element=element):
                return self.list_([self._realize(item) for item in items], element)
            case Spread(actual=given, element=element):
                return self.list_(self.unpack(given.handle), element)
            case Converted(operator=name, actual=given):
                converted: Value = self.call(name, [given.handle])
                return converted

    def _default(self, value: Any, type_: T.Type) -> Value:
        if isinstance(value, tuple):
            list_type = type_.element if isinstance(type_, T.OptionalType) else type_
            return self.list_(
                value, list_type.element if isinstance(list_type, T.ListType) else None
            )
        scalar = type_.element if isinstance(type_, T.OptionalType) else type_
        return self.const(
            value,
            scalar
            if isinstance(scalar, T.Prim) and scalar not in (T.NUMBER, T.ANY) and value is not None
            else None,
        )

    def unpack(self, value: Value) -> Sequence[Value]:
        """The elements of a tuple."""
        if value.node is not None and value.node.op is TUPLE:
            return value.node.inputs
        assert isinstance(value.type, T.TupleType)
        return self.node(TUPLE_UNPACK, [value], value.type.elements).outputs

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """`b.exp(x)` calls `aten::exp`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.call(f"aten::{name}", args, kwargs)


def actual(value: Any) -> Actual:
    """An argument of a call as overload choice sees it; its handle is the argument."""
    if isinstance(value, Value):
        node = value.node
        is_constant = node is not None and node.op is CONSTANT
        return Actual(
            value.type, node.attrs["value"] if is_constant and node is not None else UNKNOWN, value
        )
    if isinstance(value, list | tuple):
        items = [actual(v) for v in value]
        types = [a.type for a in items]
        type_ = (
            T.ListType(common_type(types)) if isinstance(value, list) else T.TupleType(tuple(types))
        )
        return Actual(type_, items, value)
    return Actual(type_of_literal(value), value, value)


def evaluate_call(op: Op, inputs: Sequence[Any], declared: Sequence[T.Type]) -> tuple[Any, ...]:
    """`evaluate`, where a composite row without a type rule is typed by its decomposition."""
    if isinstance(op.rule, Composite) and op.infer is None:
        return _by_decomposition(op.rule, inputs, declared)
    return evaluate(op, inputs, declared)


def _by_decomposition(
    rule: Composite, inputs: Sequence[Any], declared: Sequence[T.Type]
) -> tuple[Any, ...]:
    nothing = tuple(map(unknown, declared))
    if not all(t.is_complete for v in inputs for t in tensors_in(v)):
        return nothing
    scratch = Builder(Graph("scratch").block)
    try:
        result = rule.decompose(scratch, *(_formal(scratch, v) for v in inputs))
    except TypeRuleError:
        return nothing  # the call raises the real error
    results = result if isinstance(result, tuple) else (result,)
    if result is None or len(results) != len(declared):
        return nothing
    return tuple(scratch.known.abstract(v) if isinstance(v, Value) else v for v in results)


def _formal(scratch: Builder, abstract: Any) -> Any:
    """An abstract input as a decomposition takes it: a constant, or a scratch parameter."""
    if isinstance(abstract, list):
        return [_formal(scratch, v) for v in abstract]
    if isinstance(abstract, _INTERNED):
        return abstract
    value = scratch.block.add_param(type_of_abstract(abstract))
    scratch.known.record(value, abstract)
    return value
