"""Random calls of pointwise rows: operands of every layout that broadcast together."""

from __future__ import annotations

import random
from typing import Any

import torch

from ir import Op, constant_of, type_of
from ir.torch_bridge import to_torch_dtype
from ir.types import NUMBER, TENSOR, ListType, OptionalType

CONSTANTS = {
    "int": 1, "float": 0.5, "bool": True, "dtype": torch.float64, "str": "none",
    "Optional[str]": "floor",
}  # fmt: skip
TENSORS = (TENSOR, OptionalType(TENSOR))


def strided(rng: random.Random, dims: list[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor of these sizes: contiguous, permuted, sliced, channels-last or expanded."""
    rank = len(dims)
    order = rng.choice([list(range(rank)), rng.sample(range(rank), rank)])
    steps = [rng.choice([1, 1, 2]) if rng.random() < 0.5 else 1 for _ in dims]
    expanded = [rng.random() < 0.1 for _ in dims]
    sizes = [1 if expanded[k] else dims[k] * steps[k] for k in order]
    base = torch.rand(sizes).mul(3).add(1).to(dtype)
    tensor = base.permute([order.index(k) for k in range(rank)])
    tensor = tensor[tuple(slice(None, None, 1 if e else s) for e, s in zip(expanded, steps))]
    if rank == 4 and rng.random() < 0.3:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    return tensor.expand(dims)


def broadcast_dims(rng: random.Random, count: int) -> list[list[int]]:
    """Sizes of several operands that broadcast together."""
    rank = rng.choice([0, 1, 2, 2, 3, 3, 4])
    full = [0 if rng.random() < 0.03 else rng.randint(1, 5) for _ in range(rank)]
    kept = [rng.choice([rank, rank, rank, rng.randint(0, rank)]) for _ in range(count)]
    return [[1 if rng.random() < 0.15 else d for d in full[rank - k :]] for k in kept]


def pointwise_arguments(rng: random.Random, op: Op) -> list[Any]:
    """Arguments of a pointwise row in the schema's order: strided tensors, numbers, defaults."""
    rule: Any = op.rule
    formals = op.schema.arguments
    dims = iter(broadcast_dims(rng, len(formals)))
    dtype = rng.choice(rule.dtypes)
    values: list[Any] = []
    for formal in formals:
        if formal.type in TENSORS:
            own = dtype if rng.random() < 0.7 else rng.choice(rule.dtypes)
            own = torch.bool if formal.name in rule.own else to_torch_dtype(own)
            values.append(strided(rng, next(dims), own))
        elif formal.has_default:
            is_list = isinstance(formal.type, ListType)
            values.append(list(formal.default) if is_list else formal.default)
        elif formal.type == NUMBER:
            values.append(rng.choice([1, 2, 0.5, True]))
        else:
            values.append(CONSTANTS[str(formal.type)])
    return values


def abstract_of(value: Any) -> Any:
    """An argument as type rules take it."""
    if isinstance(value, torch.Tensor):
        return type_of(value)
    if isinstance(value, list | tuple):
        return [abstract_of(v) for v in value]
    return constant_of(value)[0]


def visible(type_: Any) -> Any:
    """A tensor type without strides that mean nothing: of empty tensors, of size-1 dims."""
    if any(d == 0 for d in type_.shape):
        return type_.with_(strides=None, requires_grad=None)
    strides = tuple(1 if d == 1 else s for d, s in zip(type_.shape, type_.strides, strict=True))
    return type_.with_(strides=strides, requires_grad=None)
