"""Factories that declare families of rows: overloads, aliases, in-place and `out=` twins.

A family is written as schemas, one per line; after ` | ` come its twins, exactly those torch has:

    add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor   | _ .out

    _            the in-place twin of the same overload      add_.Tensor(Tensor(a!) self, ...
    _.Scalar     in-place, under another overload name       add_.Scalar(...
    __iadd__.T   in-place, under another full name
    .out         writes to a last parameter `out`            add.out(..., *, Tensor(a!) out)

A twin is opaque (`Effect.WRITE`) and points to the row that it computes by `inplace_of`; passes
turn it into that row where memory allows. An alias (`multiply`) is a row of its own with the same
rule.
Declaring only takes names: a row's columns are made when they are first asked for, and torch is not
asked at all; a test compares every schema with torch's registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

from ir import typerules
from ir.dtypes import (
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from ir.op import (
    TABLE,
    Composite,
    Effect,
    Lookup,
    Op,
    Opaque,
    Pointwise,
    Reduction,
    Rule,
    Scan,
    Structured,
    View,
    row,
)
from ir.schema import Schema, declared_schema
from ir.types import NUMBER, TENSOR, OptionalType, TensorType

FLOATS = (float32, float64, bfloat16, float16)
INTS = (uint8, int8, int16, int32, int64)
SIGNED = (*FLOATS, int8, int16, int32, int64)
NUMERIC = (*FLOATS, *INTS)
INTEGRAL = (*INTS, bool_)

TypeRule = Callable[..., Any]
R = TypeVar("R", bound=Rule)
_OPAQUE = Opaque()
Tensor = Any  # in decompositions: a `Value` of tensor type


def declare(schemas: str, rule: Callable[[Schema], R],
            infer: Callable[[R, Schema], TypeRule | None], aliases: Iterable[str] = (),
            effect: Effect | None = None) -> Op:
    """Rows for every line of `schemas`, their aliases and twins; the result is the first row.

    `rule` and `infer` make the columns of one row from its schema. An alias is `name` (with all
    twins of the family) or `name | twins`. The effect is what the schema's marks say, or `effect`.
    """
    lines = [line.strip() for line in schemas.strip().splitlines()]
    family = _Family(rule, infer, effect)
    rows = [family.declare(line, alias) for alias in (None, *aliases) for line in lines]
    return rows[0]


class _Family:
    """What the rows of one declaration have in common: how to make their columns."""

    def __init__(self, rule: Callable[[Schema], Rule],
                 infer: Callable[[Any, Schema], TypeRule | None],
                 effect: Effect | None) -> None:
        self.rule, self.infer, self.effect = rule, infer, effect

    def declare(self, line: str, alias: str | None) -> Op:
        """The row of a line, and its twins; under its own name or an alias."""
        text, twins = _split_line(line, alias)
        op = TABLE.add(_Member(declared_schema(text), self))
        for twin in twins.split():
            row(twin_schema(text, twin), _OPAQUE, infer=typerules.written, effect=Effect.WRITE,
                inplace_of=op)
        return op


class _Member(Op):
    """A row whose columns its family makes, each when it is first asked for."""

    family: _Family

    def __init__(self, schema: Schema, family: _Family) -> None:
        vars(self).update(schema=schema, family=family)

    @cached_property
    def rule(self) -> Rule:
        return self.family.rule(self.schema)

    @cached_property
    def infer(self) -> TypeRule | None:
        return self.family.infer(self.rule, self.schema)

    @cached_property
    def effect(self) -> Effect:
        return self.family.effect or effect_of(self.schema)


def _split_line(line: str, alias: str | None) -> tuple[str, str]:
    """(schema, twins) of a line of a declaration, or of an alias of it."""
    text, _, twins = (part.strip() for part in f"{line} ".partition(" | "))
    if alias is not None:
        name, bar, own_twins = (part.strip() for part in alias.partition("|"))
        head = text.partition("(")[0]
        text = name + text[len(head.partition(".")[0]):]
        twins = own_twins if bar else twins
    return text, twins


def effect_of(schema: Schema) -> Effect:
    """What the alias marks say: written arguments, shared storage, or nothing."""
    if schema.is_mutable:
        return Effect.WRITE
    return Effect.ALIAS if any(r.alias for r in schema.returns) else Effect.PURE


def twin_schema(text: str, twin: str) -> str:
    """The schema of a twin by its mark (see the module head)."""
    head, _, rest = text.partition("(")
    params, _, _ = rest.rpartition(") -> ")
    name, _, overload = head.partition(".")
    if twin.startswith("."):
        bar = "" if " *, " in params else "*, "
        return f"{name}{twin}({params}, {bar}Tensor(a!) out) -> Tensor(a!)"
    if twin == "_" or twin.startswith("_."):
        target = f"{name}_" + (twin[1:] or (f".{overload}" if overload else ""))
    else:
        target = twin
    return f"{target}({params.replace('Tensor ', 'Tensor(a!) ', 1)}) -> Tensor(a!)"


def lanes_of(schema: Schema) -> tuple[str, ...]:
    """The parameters that are lanes: tensors and Scalars, optional or not."""
    lane_types = (TENSOR, NUMBER, OptionalType(TENSOR), OptionalType(NUMBER))
    return tuple(a.name for a in schema.arguments if a.type in lane_types)


def pointwise(schemas: str, scalar: Callable[..., Any],
              result: str | DType | Callable[..., str | DType | None] = "common", *,
              own: Iterable[str] = (), follow: Iterable[str] = (), scalars: Iterable[str] = (),
              refuses: Callable[[Mapping[str, Any]], bool] | None = None,
              aliases: Iterable[str] = (), **columns: Any) -> Op:
    """A family of pointwise rows with one scalar rule; `own` and `follow` apply where present,
    tensors in `scalars` must be 0-d. Parameters that `refuses` are left to the reference."""

    def rule(schema: Schema) -> Pointwise:
        lanes = lanes_of(schema)
        return Pointwise(scalar, result, lanes, tuple(n for n in own if n in lanes),
                         tuple(n for n in follow if n in lanes), **columns)

    def infer(rule: Pointwise, schema: Schema) -> TypeRule:
        checked = _with_scalars(typerules.pointwise(rule, schema), tuple(scalars))
        return checked if refuses is None else _unless(refuses, checked)

    return declare(schemas, rule, infer, aliases)


def _with_scalars(infer: TypeRule, names: Sequence[str]) -> TypeRule:
    """A type rule that refuses tensors with dims for some parameters."""

    def checked(**params: Any) -> Any:
        for name in names:
            if isinstance(params.get(name), TensorType) and params[name].rank:
                typerules.fail(f"{name} must be a number or a 0-d tensor")
        return infer(**params)

    return checked if names else infer


def _unless(refuses: Callable[[Mapping[str, Any]], bool], infer: TypeRule) -> TypeRule:
    return lambda **params: TENSOR if refuses(params) else infer(**params)


def dtypes_differ(params: Mapping[str, Any]) -> bool:
    """For `refuses`: eager wants the tensors to have one dtype."""
    return len({v.dtype for v in params.values() if isinstance(v, TensorType)}) > 1


def tensors_differ(params: Mapping[str, Any]) -> bool:
    """For `refuses`: eager wants the tensors to have one dtype and one rank."""
    ranks = {v.rank for v in params.values() if isinstance(v, TensorType)}
    return len(ranks) > 1 or dtypes_differ(params)


def unary(name: str, scalar: Callable[..., Any], result: str = "float", *, twins: str = "_ .out",
          **columns: Any) -> Op:
    """`name(Tensor self) -> Tensor`, with the usual twins."""
    return pointwise(f"{name}(Tensor self) -> Tensor | {twins}", scalar, result, **columns)


def binary(name: str, scalar: Callable[..., Any], result: str = "common", *, twins: str = "_ .out",
           **columns: Any) -> Op:
    """`name(Tensor self, Tensor other) -> Tensor`, with the usual twins."""
    schema = f"{name}(Tensor self, Tensor other) -> Tensor | {twins}"
    return pointwise(schema, scalar, result, **columns)


def composite(schemas: str, decompose: Callable[..., Any], infer: TypeRule | None = None,
              aliases: Iterable[str] = (), effect: Effect | None = None) -> Op:
    """A family of rows expressed by other rows; without `infer` the decomposition types them."""
    return declare(schemas, lambda _: Composite(decompose),
                   lambda rule, schema: infer or typerules.composite(rule, schema), aliases,
                   effect)


def view(schemas: str, shape: Callable[..., Any], index: Callable[..., Any], *,
         copies: bool = False, strict: bool = False, position: str | None = None,
         aliases: Iterable[str] = ()) -> Op:
    """A family of views with one index map."""
    rule = View(shape, index, copies, strict, position)
    return declare(schemas, lambda _: rule, typerules.view, aliases)


def reduction(schemas: str, init: Callable[..., Any], combine: Callable[..., Any], *,
              lift: Callable[..., Any] = lambda s, x, index: x,
              finish: Callable[..., Any] = lambda s, acc, count: acc,
              accumulate: Callable[[DType], DType], results: Callable[[DType], tuple[DType, ...]],
              **columns: Any) -> Op:
    """A family of reductions (without `dim`, over one dim, over several) with one rule."""
    rule = Reduction(init, lift, combine, finish, accumulate, results, **columns)
    return declare(schemas, lambda _: rule, typerules.reduction)


def lookup(schemas: str, infer: TypeRule, index: Callable[..., Any]) -> Op:
    """A family of reads at positions that are data; `infer` types the results."""
    return declare(schemas, lambda _: Lookup(index), lambda rule, schema: _found(infer))


def _found(infer: TypeRule) -> TypeRule:
    """What is found in the first operand, which has elements then."""

    def type_of_found(**params: Any) -> TensorType:
        found, table = infer(**params), next(iter(params.values()))
        if found.is_complete and 0 in table.shape and 0 not in found.shape:
            typerules.fail("nothing is found in a tensor without elements")
        return cast(TensorType, found)

    return type_of_found


def structured(schemas: str, infer: TypeRule,
               decompose: Callable[..., Any] = lambda b, *arguments: None,
               effect: Effect | None = None, is_best: bool = False) -> Op:
    """A family of operators that are called on whole tensors; `infer` types the results, which
    never share storage with an operand."""
    rule = Structured(decompose=decompose, is_best=is_best)
    return declare(schemas, lambda _: rule, lambda rule, schema: infer,
                   effect=effect)


def scan(schemas: str, rule: Scan) -> Op:
    """A family of prefix rows."""
    return declare(schemas, lambda _: rule, typerules.scan)
