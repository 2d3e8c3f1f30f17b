"""The op table: one row per op that we compile, and the kinds of rows.

A row is an ATen schema, an effect, a type rule and, by kind, the rule that gives the op its native meaning:

    kind        rule                                                     consumer
    Pointwise   scalar(s, *lanes) -> lane                                fusion, vector code
    Reduction   init, combine, finish on lanes                           loop nests
    Scan        the same, keeping every prefix                           loop nests
    View        index(out_index, ...) -> in_index                        folded into addresses, never materialized
    Create      scalar(s, index, *params) -> lane                        loop nests; needs no input
    Join        pieces along one dim (cat, stack)                        stores into slices of one buffer
    Composite   decompose(b, *values) -> values                          the decompose pass
    Scalar      scalar(s, *lanes) on Python numbers                      registers of the plan's body
    Control     none: handled by name (constant, if, loop, tuple ...)    every walk over a graph
    Opaque      none                                                     called through the reference; a fusion barrier

The reference of an `aten::` op is torch's operator (`ir.torch_bridge`), so a row carries no second implementation. In-place,
`out=` and Scalar twins of a pointwise row are derived by the factory. Every ATen operator without a row is opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ir.schema import Schema, parse_schema


class Effect(Enum):
    """What running a node may do besides computing its outputs; generic passes read nothing else."""

    PURE = "pure"  # may be removed, merged, moved
    ALIAS = "alias"  # pure, but an output shares storage with an input
    RANDOM = "random"  # reads and advances a generator
    WRITE = "write"  # mutates an argument
    SIDE = "side"  # prints, raises, calls out


@dataclass(frozen=True, slots=True)
class Pointwise:
    """`scalar` takes the builder and one lane per operand (tensors and numbers alike, cast to the compute dtype), then the
    remaining parameters of the schema as Python constants by keyword. `result` names the dtype rule: 'common' (promotion),
    'float' (integers become the default float), 'bool' (compare in the common dtype), 'self' (the first operand's dtype).
    `operands` are the parameters that are lanes; those listed in `own` keep their own dtype (the condition of `where`)."""

    scalar: Callable[..., Any]
    result: str = "common"
    operands: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    grad: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True)
class Reduction:
    """An associative reduction. `init(s, dtype)` is the neutral lane (or tuple of lanes), `combine(s, acc, new)` merges two
    accumulators, `lift(s, x, index)` makes an accumulator of one element and its (int64) position along the reduced dim, and
    `finish(s, acc, count)` gives one lane per output. `accumulate(dtype)` is the dtype to accumulate in, `result(dtype)` of each output.
    `identity` is False when an empty reduction is an error (amax, argmax)."""

    init: Callable[..., Any]
    combine: Callable[..., Any]
    lift: Callable[..., Any]
    finish: Callable[..., Any]
    has_identity: bool = True


@dataclass(frozen=True, slots=True)
class Scan:
    """An inclusive prefix: `init` and `combine` as in Reduction."""

    init: Callable[..., Any]
    combine: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class View:
    """`index(out_index, in_dims, out_dims, **params)` gives the input's index; indices are affine expressions. None as result
    means that this combination of sizes is not affine: the input is materialized and reinterpreted."""

    index: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Create:
    """`scalar(s, index, dtype, **params)` gives the element at an index (int64 lanes)."""

    scalar: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Join:
    """`dim(params)`: the dim along which the inputs of a tensor list lie one after the other; `stacks` when the dim is new."""

    stacks: bool = False


@dataclass(frozen=True, slots=True)
class Composite:
    """`decompose(b, *arguments)`: the same value from other ops; arguments are Values or Python constants. `when` may refuse."""

    decompose: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Scalar:
    """On Python numbers in registers; the interpreter runs `python`."""

    scalar: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Control:
    """Structure that walks handle by name."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Called through the reference."""


Rule = Pointwise | Reduction | Scan | View | Create | Join | Composite | Scalar | Control | Opaque


@dataclass(frozen=True, eq=False)
class Op:
    """One row. `infer(types, params)` gives the output types from input types (see `ir.typerules`); `python` is the reference
    of an op on Python values, None for ops whose reference is torch's."""

    schema: Schema
    rule: Rule
    effect: Effect = Effect.PURE
    infer: Callable[..., Any] | None = None
    python: Callable[..., Any] | None = None
    inplace_of: Op | None = None  # the functional row that this mutating twin computes
    tags: frozenset[str] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        """With namespace, without overload: `aten::add`."""
        return self.schema.name

    @property
    def qualified(self) -> str:
        return self.schema.qualified

    @property
    def is_pure(self) -> bool:
        return self.effect is Effect.PURE or self.effect is Effect.ALIAS

    def __repr__(self) -> str:
        return f"<op {self.qualified}>"


class Table:
    """The rows, by name; overloads of a name in order of declaration (the order in which they are tried)."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Op]] = {}
        self._by_qualified: dict[str, Op] = {}

    def add(self, op: Op) -> Op:
        if op.qualified in self._by_qualified:
            raise ValueError(f"op {op.qualified} is declared twice")
        self._by_name.setdefault(op.name, []).append(op)
        self._by_qualified[op.qualified] = op
        return op

    def overloads(self, name: str) -> Sequence[Op]:
        return self._by_name.get(name, ())

    def get(self, qualified: str) -> Op | None:
        return self._by_qualified.get(qualified)

    def __iter__(self) -> Any:
        return iter(self._by_qualified.values())

    def __len__(self) -> int:
        return len(self._by_qualified)


TABLE = Table()


def row(schema: str, rule: Rule, **columns: Any) -> Op:
    """Declare one op."""
    return TABLE.add(Op(parse_schema(schema), rule, **columns))
