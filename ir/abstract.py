"""Abstract evaluation of one op: result types, and result values where they are known.

An abstract value is
    TensorType          a tensor
    Unknown(type)       anything else that is not known before the call
    a Python value      known: numbers (an int may be a Sym), str, None, DType ...;
                        a list or tuple of abstract values
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ir import types as T
from ir.dims import Sym
from ir.dtypes import DType, by_code
from ir.errors import TypeRuleError
from ir.graph import Node, Value
from ir.literals import object_type, type_of_literal
from ir.op import Control, Op
from ir.ops.control import CAST, CONSTANT, LIST, LIST_UNPACK, TUPLE, TUPLE_INDEX, TUPLE_UNPACK
from ir.ops.methods import STRUCTURAL, SYMBOLIC
from ir.records import replace
from ir.schema import Argument
from ir.typerules import Exactly, Unknown


def type_of_abstract(value: Any) -> T.Type:
    """The type of an abstract value."""
    return type_of_literal(value, _leaf)


def _leaf(value: object) -> T.Type:
    if isinstance(value, Unknown):
        return value.type
    return value if isinstance(value, T.TensorType) else object_type(value)


def refined(abstract: Any, declared: T.Type) -> T.Type:
    """The type of an abstract value of a declared type. An empty container says nothing itself, nor
    does a code or name that stands for a value of torch's.
    """
    if abstract is declared or (isinstance(abstract, Unknown) and abstract.type is declared):
        return declared
    is_empty = isinstance(abstract, list | dict) and not abstract
    element = declared.element if isinstance(declared, T.ListType) else declared
    if is_empty or element in T.CODED:
        return declared
    if isinstance(declared, T.TupleType) and isinstance(abstract, tuple) and abstract:
        inner = map(refined, abstract, declared.elements)
        return replace(declared, elements=tuple(inner))
    return type_of_abstract(abstract)


def tensors_in(abstract: Any) -> Iterator[T.TensorType]:
    """The tensors of an abstract value."""
    if isinstance(abstract, T.TensorType):
        yield abstract
    elif isinstance(abstract, list | tuple):
        for item in abstract:
            yield from tensors_in(item)


def is_literal(value: Any) -> bool:
    """Whether an abstract value is known through and through."""
    if isinstance(value, list | tuple):
        return all(map(is_literal, value))
    return not isinstance(value, Unknown | T.Type)


def unknown(type_: T.Type) -> Any:
    """The abstract value of which only the type is known."""
    return type_ if isinstance(type_, T.TensorType) else Unknown(type_)


def evaluate(op: Op, inputs: Sequence[Any], declared: Sequence[T.Type]) -> tuple[Any, ...]:
    """Abstract results of an op on abstract inputs; of the declared types at least."""
    results: tuple[Any, ...] | None = None
    if op.infer is not None:
        results = _by_rule(op, inputs, declared)
    elif op.python is not None and op.is_pure and len(declared) == 1:
        results = _by_python(op, inputs)
    return results if results is not None else tuple(map(unknown, declared))


def _by_rule(op: Op, inputs: Sequence[Any], declared: Sequence[T.Type]) -> tuple[Any, ...] | None:
    assert op.infer is not None
    formals = op.schema.arguments
    if any(map(is_undecided, formals, inputs)):
        return None
    try:
        result = op.infer(
            **{a.name: _argument(a, v) for a, v in zip(formals, inputs, strict=False)}
        )
    except TypeRuleError:
        return None  # the call raises the real error
    results = result if isinstance(result, tuple) and len(declared) != 1 else (result,)
    return tuple(_abstract(r, d) for r, d in zip(results, declared, strict=True))


def is_undecided(formal: Argument, value: Any) -> bool:
    """Whether the run decides what a parameter for a tensor holds: a tensor, None, or any object.
    Rules speak of tensors and of None.
    """
    wanted = formal.type.element if isinstance(formal.type, T.OptionalType) else formal.type
    is_open = isinstance(value, Unknown) and value.type != T.NONE
    return is_open and isinstance(wanted, T.TensorType)


def _argument(formal: Argument, value: Any) -> Any:
    """A dtype parameter as a DType, whether it was given so or as TorchScript's integer."""
    if formal.type in (T.DTYPE, T.optional(T.DTYPE)) and isinstance(value, int):
        return by_code(value)
    return value


def _abstract(result: Any, declared: T.Type) -> Any:
    match result:
        case Exactly(value=value):
            return value
        case T.TensorType() if not isinstance(declared, T.TensorType):
            return unknown(declared)
        case T.Type():
            return unknown(result)
        case _:
            return result


def _by_python(op: Op, inputs: Sequence[Any]) -> tuple[Any, ...] | None:
    """Run the Python reference on known values; None when it would raise, as the call then will."""
    assert op.python is not None
    if not _may_run(op, inputs):
        return None
    try:
        result = op.python(*inputs)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
    return None if isinstance(result, set | dict) else (result,)  # a new object at each run


def _may_run(op: Op, inputs: Sequence[Any]) -> bool:
    if any(isinstance(v, Sym) for v in inputs) and op.name not in SYMBOLIC:
        return False
    if names_dtypes(op, inputs):
        return False
    if op.name in STRUCTURAL and isinstance(inputs[0], list | tuple):
        return all(map(is_literal, inputs[1:])) or all(isinstance(v, list | tuple) for v in inputs)
    return all(map(is_literal, inputs))


def names_dtypes(op: Op, inputs: Sequence[Any]) -> bool:
    """Whether an op makes a text of a dtype, whose name only torch's own says."""
    makes_text = any(r.type == T.STR for r in op.schema.returns)
    return makes_text and any(isinstance(v, DType) for v in inputs)


class Known(Mapping[Value, Any]):
    """What is known of a graph's values: as a mapping, those that are known through and through.

    `abstract` answers for every value; what was not recorded is read off the producer.
    """

    __slots__ = ("_table", "profiled")

    def __init__(self, literals: Mapping[Value, Any] | None = None) -> None:
        self._table: dict[Value, Any] = dict(literals or {})
        self.profiled: set[Value] = set()  # whose types were observed, not derived

    def record(self, value: Value, abstract: Any) -> None:
        """Set the abstract value, and the type that follows from it."""
        self._table[value] = abstract
        value.type = refined(abstract, value.type)

    def forget(self, value: Value, type_: T.Type) -> None:
        """Know no more of a value than its type."""
        self._table[value] = unknown(type_)
        value.type = type_

    def abstract(self, value: Value) -> Any:
        """The abstract value of any value; a list that may change is not known."""
        if isinstance(value.type, T.ListType) and not is_frozen(value):
            return unknown(value.type)
        if value not in self._table:
            self._table[value] = self._read(value)
        return self._table[value]

    def __getitem__(self, value: Value) -> Any:
        found = self.abstract(value)
        if not is_literal(found):
            raise KeyError(value)
        return found

    def __iter__(self) -> Iterator[Value]:
        return (value for value in list(self._table) if value in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, value: Value) -> Any:
        node = value.node
        if node is not None and node.op in _STRUCTURE:
            results = structural(node, [self.abstract(v) for v in node.inputs])
            return results[node.outputs.index(value)]
        if node is not None and node.op is CAST:
            return self.get(node.inputs[0], unknown(value.type))
        return unknown(value.type)


def is_frozen(value: Value) -> bool:
    """Whether a list can never change: no reader writes to it or keeps another name of it."""
    return all(_only_reads(user, position) for user, position in value.uses)


def _only_reads(user: Node, position: int) -> bool:
    if user.block is not None and user is user.block.returning:
        return user.block.owner is None
    if user.op is CAST:
        return is_frozen(user.output)
    if isinstance(user.op.rule, Control):
        return user.op is LIST_UNPACK or "seals" in user.attrs
    formals = user.op.schema.arguments
    alias = formals[position].alias if position < len(formals) else None
    return alias is None or not (
        formals[position].is_written
        or "->" in alias
        or any(r.alias == alias for r in user.op.schema.returns)
    )


def is_structural(node: Node) -> bool:
    """Whether `structural` evaluates the node: a constant or a container."""
    return node.op in _STRUCTURE or "seals" in node.attrs


def structural(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Abstract results of constants and containers."""
    return _STRUCTURE.get(node.op, _sealed)(node, inputs)


def _constant(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    value, type_ = node.attrs["value"], node.output.type
    known = value is None or isinstance(
        value, bool | int | float | complex | str | DType | list | tuple
    )
    return (value,) if known else (unknown(type_),)


def _sealed(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """A tuple of a list's items has the types of these; it is no list, in texts for example, so
    nothing takes the list for it.
    """
    is_typed = isinstance(inputs[0], list) and not is_literal(inputs[0])
    return (inputs[0] if is_typed else unknown(node.output.type),)


def _tuple_items(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(inputs[0], tuple | list) and len(inputs[0]) == len(node.outputs):
        return tuple(inputs[0])
    return tuple(unknown(v.type) for v in node.outputs)


def _tuple(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    type_ = node.output.type
    if isinstance(type_, T.TupleType) and type_.cls is not None:
        return (type_.cls._make(inputs),)
    return (tuple(inputs),)


def _list(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    return (list(inputs),)


def _tuple_item(node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
    items, index = inputs
    if isinstance(items, tuple) and isinstance(index, int) and -len(items) <= index < len(items):
        return (items[index],)
    return (unknown(node.output.type),)


_STRUCTURE: dict[Op, Callable[[Node, Sequence[Any]], tuple[Any, ...]]] = {
    CONSTANT: _constant,
    LIST: _list,
    TUPLE: _tuple,
    TUPLE_UNPACK: _tuple_items,
    LIST_UNPACK: _tuple_items,
    TUPLE_INDEX: _tuple_item,
}
