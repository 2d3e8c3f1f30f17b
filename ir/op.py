"""The op table: one row per op that we compile, and the kinds of rows.

A row is an ATen schema, an effect, a type rule and, by kind, the rule with its native meaning:

    kind        rule                                          consumer
    Pointwise   scalar(s, *lanes) -> lane                     fusion, vector code
    Reduction   init, lift, combine, finish on lanes          loop nests
    Scan        the same, keeping every prefix                loop nests
    View        index(out_index, ...) -> in_index             folded into addresses
    Create      scalar(s, index, dtype, **params) -> lane     loop nests; needs no input
    Put         one part of a tensor replaced                 stores into a loop's own memory
    Join        pieces along one dim (cat, stack)             stores into slices of one buffer
    Lookup      index(out_index, ...) -> in_index, partly data    loop nests
    Structured  types only; matrix products by BLAS           calls from the plan's body
    Composite   decompose(b, *values) -> values               the decompose pass
    Scalar      scalar(s, *lanes) on Python numbers           registers of the plan's body
    Control     none: by name (constant, if, loop, tuple)     every walk over a graph
    Element     scalar(s, lane) on a tensor's one element     registers of the plan's body
    Opaque      none                                          called through the reference

The reference of an `aten::` op is torch's operator (`ir.torch_bridge`), so a row carries no second
implementation. In-place and `out=` twins are derived by `ir.ops.factory`. Every ATen operator
without a row is opaque, a fusion barrier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from importlib import import_module
from typing import Any

from ir.dtypes import COMPILED, DType
from ir.records import record
from ir.schema import Schema, declared_schema


class Effect(Enum):
    """What running a node may do besides computing outputs; generic passes read nothing else."""

    PURE = "pure"  # may be removed, merged, moved
    ALIAS = "alias"  # pure, but an output shares storage with an input
    RANDOM = "random"  # reads and advances a generator
    WRITE = "write"  # mutates an argument
    SIDE = "side"  # prints, raises, calls out


@record
class Pointwise:
    """An op whose result at an index is a function of its operands at that index.

    `scalar` takes the builder and one lane per operand (tensors and numbers alike, cast to the
    compute dtype; None for an absent optional one), then the remaining parameters of the schema
    as Python constants by keyword. `operands` names the parameters that are lanes; of these
      * `own` keep their own dtype and take no part in promotion (the condition of `where`);
      * `follow` take no part in promotion and are cast to the compute dtype (`alpha` of `add`).
    `result` names the dtype rule: 'common' (promotion), 'float' (integers become the default
    float), 'bool' (computed in the common dtype), 'self' (the first operand's dtype, which is
    then also the one to compute in); a dtype is the result's and the one to compute in; or it is
    a function from the constants to one of these, or to None for constants it does not cover.
    `dtypes` are the common dtypes that the rule holds for: others are left to the reference,
    which computes or refuses. `layout` names the operands whose layout the result takes, the most
    important first (all by default; none: row-major). `domain` is where tests sample the operands.
    """

    scalar: Callable[..., Any]
    result: str | DType | Callable[..., str | DType | None] = "common"
    operands: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()
    dtypes: tuple[DType, ...] = COMPILED
    layout: tuple[str, ...] | None = None
    domain: tuple[float, float] = (-8.0, 8.0)
    grad: Callable[..., Any] | None = None

    def result_rule(self, constants: Mapping[str, Any]) -> str | DType | None:
        """The dtype rule for given constants."""
        if isinstance(self.result, str | DType):
            return self.result
        return self.result(**constants)


@record
class Reduction:
    """An associative, commutative reduction over the dims that parameter `dim` names (all when it
    is absent or None).

    An accumulator is a lane, or a tuple of lanes where the op needs several. `init(s, dtype)` is
    the neutral one, `lift(s, x, index)` makes one of an element (cast to the accumulation dtype)
    and its int64 position among the reduced elements, `combine(s, a, b)` merges two, and
    `finish(s, acc, count)` gives one lane per output, where `count`, an int64 lane, is how many
    elements were reduced. For the input's dtype (or parameter `dtype` when given, to which the
    elements are cast first), `accumulate` is the dtype to accumulate in and `results` are those
    of the outputs (parameter `dtype` when given). `has_identity` is False when reducing nothing is
    an error (amax, argmax), `indexed` says that `lift` uses the position. `dtypes` as in Pointwise.

    Loops visit elements in order, which may make merging cheaper: `step(s, acc, new)`, where given,
    is `combine` for a `new` that lies after everything in `acc`. An indexed `init` then takes the
    position of the first element as third argument. `among_numbers` is `combine` for floats none of
    which is NaN, for ops whose result is NaN when any element is. `is_sum` says that it adds: long
    sums are taken in blocks. `is_bitwise` says that `combine` takes integers, too, bit by bit.
    """

    init: Callable[..., Any]
    lift: Callable[..., Any]
    combine: Callable[..., Any]
    finish: Callable[..., Any]
    accumulate: Callable[[DType], DType]
    results: Callable[[DType], tuple[DType, ...]]
    has_identity: bool = True
    indexed: bool = False
    step: Callable[..., Any] | None = None
    among_numbers: Callable[..., Any] | None = None
    is_sum: bool = False
    is_bitwise: bool = False
    dtypes: tuple[DType, ...] = COMPILED


@record
class Scan:
    """An inclusive prefix along parameter `dim`; columns as in Reduction, with one lane each."""

    init: Callable[..., Any]
    combine: Callable[..., Any]
    accumulate: Callable[[DType], DType]
    result: Callable[[DType], DType]


@record
class View:
    """Elements of the input at other indices.

    `shape(in_dims, **params)` gives the output's sizes, or a list of them for an op that returns
    a list. `index(out_index, in_dims, out_dims, **params)` gives the input's index, with affine
    expressions for indices; for a list, `piece=k` says which output. None as result means that
    this combination of sizes is not affine: the input is materialized and reinterpreted (same
    elements in row-major order). `copies` is True when the result never shares storage, `strict`
    when it must: eager refuses strides of the input that would take a copy. `position` names a
    parameter that only says where the view lies: sizes and strides do not depend on it.
    """

    shape: Callable[..., Any]
    index: Callable[..., Any]
    copies: bool = False
    strict: bool = False
    position: str | None = None


@record
class Create:
    """New elements: `scalar(s, index, dtype, **params)` gives the one at an index (int64 lanes) in
    the compute dtype. Parameters that are runtime numbers come as lanes, tensors as their types."""

    scalar: Callable[..., Any]


@record
class Put:
    """The tensor of the first parameter, with what parameter `position` names along parameter `dim`
    replaced by the second. Law: nothing else reads the first, so its memory may become the
    result's.
    """

    position: str


@record
class Join:
    """The tensors of parameter `tensors` one after the other along parameter `dim`, which is a new
    dim when the row `stacks`."""

    stacks: bool = False


@record
class At:
    """A position that is data: the element of an integer tensor at an index, which broadcasts. One
    that `wraps` may be negative, counted from the end."""

    tensor: Any
    index: tuple[Any, ...]
    wraps: bool = False


@record
class Lookup:
    """Elements of the first operand, at positions of which some are data: `index(out_index, ...)`
    gives an affine expression or an `At` for each dim of the operand. A plan that meets a position
    outside leaves the call to the reference, which refuses it."""

    index: Callable[..., Any]


@record
class Structured:
    """Whole tensors from whole tensors, by a routine of its own: the row states the types of the
    results, and a plan calls the routine between its loop nests, without Python.

    With `is_product`, the result is the matrix product of the first two operands, whose leading
    dims broadcast; floats of 32 and 64 bits are multiplied by BLAS. `decompose`, as in Composite,
    gives other ops for operands for which these are faster, and None for all others.

    With `is_best`, the results are the `k` largest (or smallest) members of a dim, and where they
    are."""

    is_product: bool = False
    decompose: Callable[..., Any] = lambda b, *arguments: None
    is_best: bool = False


@record
class Composite:
    """`decompose(b, *arguments)`: the same values from other ops, through the graph builder `b`.
    Arguments are Values or Python constants, lists are Python lists of these as far as their
    elements are known. None refuses: the op is called through the reference; None among several
    results refuses where that one is used."""

    decompose: Callable[..., Any]


@record
class Scalar:
    """On Python numbers in registers; the interpreter runs `python`."""

    scalar: Callable[..., Any]


@record
class Control:
    """Structure that walks handle by name."""


@record
class Element:
    """The element of a tensor that has only one, as a number: `scalar(s, lane)` in a register;
    the interpreter runs `python`."""

    scalar: Callable[..., Any]


@record
class Opaque:
    """Called through the reference."""


Rule = (Pointwise | Reduction | Scan | View | Create | Put | Join | Lookup | Structured
        | Composite | Scalar | Control | Element | Opaque)


@record(eq=False, slots=False)
class Op:
    """One row. `infer(**params)` gives the output types from input types (see `ir.typerules`);
    `python` is the reference of an op on Python values, None where the reference is torch's."""

    schema: Schema
    rule: Rule
    effect: Effect = Effect.PURE
    infer: Callable[..., Any] | None = None
    python: Callable[..., Any] | None = None
    inplace_of: Op | None = None  # the functional row that this mutating twin computes

    @cached_property
    def name(self) -> str:
        """With namespace, without overload: `aten::add`."""
        return self.schema.name

    @cached_property
    def qualified(self) -> str:
        return self.schema.qualified

    @property
    def is_pure(self) -> bool:
        return self.effect is Effect.PURE or self.effect is Effect.ALIAS

    @cached_property
    def reshapes(self) -> bool:
        """Whether it gives its operand other sizes or strides in place, as `aten::t_` does."""
        return False

    def __repr__(self) -> str:
        return f"<op {self.qualified}>"


class Table:
    """The rows, by name; overloads of a name in order of declaration. Importing the module `rows`
    declares them, at the first look."""

    def __init__(self, rows: str) -> None:
        self._rows = rows
        self._by_name: dict[str, list[Op]] = {}
        self._by_qualified: dict[str, Op] = {}
        self._is_complete = False

    def _complete(self) -> Table:
        if not self._is_complete:
            import_module(self._rows)
            self._is_complete = True
        return self

    def add(self, op: Op) -> Op:
        if op.qualified in self._by_qualified:
            raise ValueError(f"op {op.qualified} is declared twice")
        self._by_name.setdefault(op.name, []).append(op)
        self._by_qualified[op.qualified] = op
        return op

    def overloads(self, name: str) -> Sequence[Op]:
        return self._complete()._by_name.get(name, ())

    def get(self, qualified: str) -> Op | None:
        return self._complete()._by_qualified.get(qualified)

    def __iter__(self) -> Any:
        return iter(self._complete()._by_qualified.values())

    def __len__(self) -> int:
        return len(self._complete()._by_qualified)


TABLE = Table("ir.ops.rows")


def row(schema: str, rule: Rule, **columns: Any) -> Op:
    """Declare one op."""
    return TABLE.add(Op(declared_schema(schema), rule, **columns))
