"""Type rules: from operand types to result types, with sizes and strides as torch computes them.

A rule is called with the parameters of the op's schema by name. A tensor comes as its TensorType, a
list of tensors as a list of them, a known value as the Python value (a size may be a `Sym`, a dtype
is a `DType`), a value that is not known as `Unknown`, an absent optional as None.

A rule returns one type or a tuple of types (a list of them for an op that returns a list);
  * `Exactly(value)` where the value itself is known;
  * plain TENSOR: not known (an operand is incomplete, or the kernel's rule does not cover it);
  * raises TypeRuleError when eager would refuse.

Columns of rows are made by kind: `pointwise`, `reduction`, `scan`, `view`, `written`, `composite`.
Building blocks for special rows: `broadcast`, `result_dtype`, `pointwise_type`, `reduce_type`,
`filled`, `axes`, `axis`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from ir.dims import Dim, Sym
from ir.dtypes import COMPILED, DType, Kind, bool_, complex64, float32, int64, promote
from ir.errors import TypeRuleError
from ir.op import Composite, Pointwise, Reduction, Scan, View
from ir.records import record
from ir.schema import Schema
from ir.strides import Dims, Layout, pointwise_strides, preserved_strides, view_strides
from ir.types import (
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    TENSOR,
    ListType,
    Prim,
    TensorType,
    Type,
    contiguous_strides,
    same_each,
)

TypeRule = Callable[..., Any]
DEFAULT_FLOAT = float32


@record
class Unknown:
    """A value that is not known before the call, of a known type."""

    type: Type


@record
class Exactly:
    """The result of a rule that knows the value itself (a size, a dtype)."""

    value: Any


def fail(reason: str) -> NoReturn:
    """Refuse the operands, as eager would."""
    raise TypeRuleError(reason)


def is_known(*values: Any) -> bool:
    """Whether all values are known, those inside lists too."""
    return all(
        not isinstance(v, Unknown) and (not isinstance(v, list | tuple) or is_known(*v))
        for v in values
    )


# sizes --------------------------------------------------------------------------------------------
def broadcast(*shapes: Dims) -> Dims:
    """The common sizes; a size-1 dim stretches."""
    rank = max(map(len, shapes), default=0)
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for k, size in enumerate(shape, rank - len(shape)):
            if result[k] == 1:
                result[k] = size
            elif size != 1 and size != result[k]:
                fail(f"sizes {result[k]} and {size} at dimension {k} do not match")
    return tuple(result)


def axis(dim: int, rank: int) -> int:
    """A dim in [0, rank) from one that may count from the end; a 0-d tensor has dim 0."""
    rank = max(rank, 1)
    if not -rank <= dim < rank:
        fail(f"dimension {dim} is out of range [{-rank}, {rank - 1}]")
    return dim % rank


def axes(dim: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """The dims that a reduction runs over; none given means all."""
    if dim is None or (not isinstance(dim, int) and not dim):
        return tuple(range(rank))
    chosen = [axis(d, rank) for d in ((dim,) if isinstance(dim, int) else dim)]
    if len(set(chosen)) != len(chosen):
        fail(f"a dimension appears twice in {list(chosen)}")
    return tuple(sorted(chosen))


# dtypes -------------------------------------------------------------------------------------------
def number_dtype(value: Any) -> DType | None:
    """The dtype that torch gives to a Python number (or to an unknown one by its type)."""
    match value:
        case bool():
            return bool_
        case int() | Sym():
            return int64
        case float():
            return DEFAULT_FLOAT
        case complex():
            return complex64
        case Unknown(type=Prim() as type_):
            return {BOOL: bool_, INT: int64, FLOAT: DEFAULT_FLOAT, COMPLEX: complex64}.get(type_)
        case _:
            return None


def result_dtype(operands: Sequence[Any]) -> DType | None:
    """torch.result_type: in a category, tensors with dims win over 0-d ones, these over numbers."""
    priorities: list[DType | None] = [None, None, None]
    for operand in operands:
        is_tensor = isinstance(operand, TensorType)
        dtype = operand.dtype if is_tensor else number_dtype(operand)
        if dtype is None:
            return None
        rank = 0 if is_tensor and operand.dims else 1 if is_tensor else 2
        known = priorities[rank]
        priorities[rank] = dtype if known is None else promote(known, dtype)
    with_dims, zero_dim, number = priorities
    return _override(_override(with_dims, zero_dim), number)


def _override(strong: DType | None, weak: DType | None) -> DType | None:
    if strong is None or weak is None:
        return strong or weak
    return promote(strong, weak) if weak.kind > strong.kind else strong


# pointwise ----------------------------------------------------------------------------------------
def compute_dtype(
    rule: Pointwise, operands: Mapping[str, Any], result: str | DType | None
) -> DType | None:
    """The dtype that the lanes of a pointwise op are cast to, before `opmath`; None: unknown."""
    if result is None or isinstance(result, DType):
        return result
    if result == "self":
        first = operands[rule.operands[0]]
        return first.dtype if isinstance(first, TensorType) else None
    taking = [v for n, v in operands.items() if n not in rule.own and n not in rule.follow]
    dtype = result_dtype(taking)
    if dtype is not None and result == "float" and dtype.kind < Kind.FLOAT:
        return DEFAULT_FLOAT
    return dtype


def pointwise_type(
    rule: Pointwise, operands: Mapping[str, Any], constants: Mapping[str, Any]
) -> TensorType:
    """Result type of a pointwise op; `operands` are its lanes by name, absent ones left out."""
    tensors = {n: v for n, v in operands.items() if isinstance(v, TensorType)}
    if not all(t.is_complete and t.dtype in COMPILED for t in tensors.values()):
        return TENSOR
    dims = broadcast(*(t.shape for t in tensors.values()))
    if not isinstance(rule.result, str) and not is_known(*constants.values()):
        return TENSOR
    result = rule.result_rule(constants)
    common = None if result is None else compute_dtype(rule, operands, result)
    if common is None or common not in rule.dtypes or not _follow(rule, operands, common):
        return TENSOR
    dtype = bool_ if result == "bool" else common
    strides = _pointwise_strides(rule, operands, dims, common)
    return TensorType(dtype, dims, strides, device=_device(tensors.values()))


def _pointwise_strides(
    rule: Pointwise, operands: Mapping[str, Any], dims: Dims, common: DType
) -> Dims | None:
    """Strides of a pointwise result; a number counts as a 0-d tensor."""
    if rule.layout == ():
        return contiguous_strides(dims)
    layouts = []
    for name in rule.layout or operands:
        operand = operands.get(name)
        if isinstance(operand, TensorType):
            layouts.append(_as_read(operand, None if name in rule.own else common))
        elif operand is not None and name not in rule.follow:
            layouts.append(Layout((), ()))
    known = [x for x in layouts if x is not None]
    return pointwise_strides(dims, known) if len(known) == len(layouts) else None


def _follow(rule: Pointwise, operands: Mapping[str, Any], common: DType) -> bool:
    """Whether the numbers that follow the common dtype fit its category."""
    numbers = [
        number_dtype(operands[n])
        for n in rule.follow
        if n in operands and not isinstance(operands[n], TensorType)
    ]
    return all(d is not None and d.kind <= common.kind for d in numbers)


def _as_read(operand: TensorType, common: DType | None) -> Layout | None:
    """The layout that the kernel sees: an operand of another dtype is copied first."""
    if operand.strides is None or None in operand.strides:
        return None
    layout = Layout(operand.shape, operand.strides)  # type: ignore[arg-type]
    if common is None or operand.dtype is common:
        return layout
    return Layout(layout.dims, preserved_strides(layout))


def _device(tensors: Any) -> str | None:
    devices = {t.device for t in tensors}
    return devices.pop() if len(devices) == 1 else None


def pointwise(rule: Pointwise, schema: Schema) -> TypeRule:
    """The type rule of a pointwise row."""

    def infer(**params: Any) -> TensorType:
        operands = {n: params[n] for n in rule.operands if params[n] is not None}
        return pointwise_type(
            rule, operands, {n: v for n, v in params.items() if n not in rule.operands}
        )

    return infer


# reductions and scans -----------------------------------------------------------------------------
def reduced_dims(dims: Dims, over: Sequence[int], keepdim: bool) -> Dims:
    """Sizes after reducing some dims."""
    if keepdim:
        return tuple(1 if k in over else d for k, d in enumerate(dims))
    return tuple(d for k, d in enumerate(dims) if k not in over)


def reduce_type(
    self: TensorType, dim: int | Sequence[int] | None, keepdim: bool, dtype: DType
) -> TensorType:
    """Result type of a reduction with elements of `dtype`."""
    if not self.is_complete:
        return TENSOR
    over = axes(dim, len(self.shape))
    dims = reduced_dims(self.shape, over, keepdim)
    return TensorType(dtype, dims, contiguous_strides(dims), device=self.device)


def reduction(rule: Reduction, schema: Schema) -> TypeRule:
    """The type rule of a reduction row: of `self` and, where present, `dim`, `keepdim`, `dtype`."""

    def infer(
        self: TensorType, dim: Any = None, keepdim: Any = False, dtype: Any = None, **_: Any
    ) -> Any:
        if not self.is_complete or not is_known(dim, keepdim, dtype):
            return _all_unknown(schema)
        source = dtype or self.dtype
        if source not in rule.dtypes:
            return _all_unknown(schema)
        over = axes(dim, len(self.shape))
        if not rule.has_identity and any(self.shape[k] == 0 for k in over if k < len(self.shape)):
            fail("reducing no elements has no result")
        results = (dtype,) if dtype else rule.results(source)
        types = tuple(reduce_type(self, dim, keepdim, d) for d in results)
        return types if len(types) > 1 else types[0]

    return infer


def _all_unknown(schema: Schema) -> Any:
    return TENSOR if len(schema.returns) == 1 else tuple(TENSOR for _ in schema.returns)


def scan(rule: Scan, schema: Schema) -> TypeRule:
    """The type rule of a prefix row, from parameters `self`, `dim` and `dtype` where present."""

    def infer(self: TensorType, dim: Any, dtype: Any = None, **_: Any) -> TensorType:
        if self.dtype is None or not self.is_complete or not is_known(dim, dtype):
            return TENSOR
        axis(dim, len(self.shape))
        return filled(self.shape, dtype or rule.result(self.dtype))

    return infer


# creation -----------------------------------------------------------------------------------------
def filled(dims: Sequence[Dim], dtype: DType | None) -> TensorType:
    """A new contiguous tensor on the CPU (the default float dtype if None)."""
    if any(isinstance(d, int) and d < 0 for d in dims):
        fail(f"negative size in {list(dims)}")
    sizes = tuple(dims)
    return TensorType(dtype or DEFAULT_FLOAT, sizes, contiguous_strides(sizes), device="cpu")


def like(self: TensorType, dtype: DType | None = None) -> TensorType:
    """A new tensor of the same sizes, in torch.preserve_format."""
    if not self.is_complete:
        return TENSOR
    layout = _as_read(self, None)
    strides = preserved_strides(layout) if layout else None
    return TensorType(dtype or self.dtype, self.shape, strides, device=self.device)


# views --------------------------------------------------------------------------------------------
def view(rule: View, schema: Schema) -> TypeRule:
    """The type rule of a view row: sizes from `shape`, strides from `index`."""
    name = schema.arguments[0].name

    def infer(**params: Any) -> Any:
        self = params.pop(name)
        if rule.position is not None and isinstance(params[rule.position], Unknown):
            params[rule.position] = 0
        if not self.is_complete or not is_known(*params.values()):
            return _unknown_view(schema)
        shapes = rule.shape(self.shape, **params)
        if isinstance(shapes, list):
            return [
                _view_type(rule, self, tuple(s), {**params, "piece": k})
                for k, s in enumerate(shapes)
            ]
        return _view_type(rule, self, tuple(shapes), params)

    return infer


def _unknown_view(schema: Schema) -> Type:
    return ListType(TENSOR) if isinstance(schema.returns[0].type, ListType) else TENSOR


def _view_type(rule: View, self: TensorType, dims: Dims, params: dict[str, Any]) -> TensorType:
    return TensorType(self.dtype, dims, _view_strides(rule, self, dims, params), device=self.device)


def _view_strides(rule: View, self: TensorType, dims: Dims, params: dict[str, Any]) -> Dims | None:
    """Strides of a view, read off its index map: how far one step along an output dim goes."""
    layout = _as_read(self, None)
    if layout is None:
        return None
    if rule.copies:
        keeps = same_each(layout.dims, dims)
        return preserved_strides(layout) if keeps else contiguous_strides(dims)

    def place(out_index: list[int]) -> Dim:
        index = rule.index(out_index, layout.dims, dims, **params)
        steps: list[Dim] = [i * s for i, s in zip(index, layout.strides, strict=True)]
        return sum(steps, start=0)

    origin = [0] * len(dims)
    if rule.index(origin, layout.dims, dims, **params) is None:
        shared = view_strides(layout.dims, layout.strides, dims)
        if shared is None and rule.strict:
            fail(f"a view of {list(layout.dims)} as {list(dims)} needs other strides")
        return contiguous_strides(dims) if shared is None else shared
    units = ([int(k == j) for j in range(len(dims))] for k in range(len(dims)))
    return tuple(place(unit) - place(origin) for unit in units)


# other columns ------------------------------------------------------------------------------------
def written(**params: Any) -> Type:
    """The type rule of mutating twins: the written tensor's; `out=` may change its sizes."""
    if "out" in params:
        return TENSOR
    return next((v for v in params.values() if isinstance(v, TensorType)), TENSOR)


def composite(rule: Composite, schema: Schema) -> TypeRule | None:
    """None: a composite row's types are those of its decomposition."""
    return None
