"""Arguments to try every row with, made from its schema: values, dtypes, layouts, constants.

cases(op, dtype, layout)   calls of an op: the arguments, by parameter name
LAYOUTS                    how the tensors of a call lie in memory
specials(dtype)            the values where rules tend to go wrong
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ir import types as T
from ir.op import Composite, Create, Op, Pointwise
from ir.schema import Argument
from tests.calls import CALLS, calls

DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
)
INF, NAN = math.inf, math.nan
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call: arguments by parameter name, defaults left out."""

    args: dict[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{n}={_short(v)}" for n, v in self.args.items())


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype)[6:]}{list(value.shape)}/{list(value.stride())}"
    return f"[{', '.join(map(_short, value))}]" if isinstance(value, list) else repr(value)


# values -------------------------------------------------------------------------------------------
def specials(dtype: torch.dtype) -> list[Any]:
    """Zeros, ones, halves, infinities, NaN, extremes, denormals."""
    if dtype is torch.bool:
        return [False, True]
    if dtype.is_floating_point:
        info = torch.finfo(dtype)
        return [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -0.5,
            1.5,
            2.5,
            -2.5,
            3.0,
            -7.25,
            0.1,
            20.5,
            100.0,
            INF,
            -INF,
            NAN,
            info.max,
            -info.max,
            info.tiny,
            info.smallest_normal / 4,
        ]
    info = torch.iinfo(dtype)
    return [
        v
        for v in (0, 1, -1, 2, 3, -3, 7, -8, 10, 100, info.max, info.min, info.max - 1)
        if v >= info.min
    ]


def values(count: int, dtype: torch.dtype, domain: tuple[float, float], seed: int) -> torch.Tensor:
    """`count` values: a few special ones, the others from the domain."""
    generator = torch.Generator().manual_seed(seed)
    low, high = domain
    sampled = torch.rand(count, generator=generator, dtype=torch.float64) * (high - low) + low
    data = (
        sampled > (low + high) / 2
        if dtype is torch.bool
        else sampled.abs()
        if dtype is torch.uint8
        else sampled
    ).to(dtype)
    edge = torch.tensor(specials(dtype), dtype=dtype)
    stride = 1 if count <= 2 else 3
    where = torch.arange(min(seed % 2, count), count, stride)[: len(edge)]
    data[where] = edge.roll(seed)[: len(where)]
    return data


# layouts ------------------------------------------------------------------------------------------
def _transposed(x: torch.Tensor) -> torch.Tensor:
    return x if x.dim() < 2 else x.transpose(-1, -2).contiguous().transpose(-1, -2)


def _sliced(x: torch.Tensor) -> torch.Tensor:
    if x.dim() == 0:
        return x
    room = x.new_zeros((*x.shape[:-1], 2 * x.shape[-1] + 1))
    view = room[..., 1::2]
    view.copy_(x)
    return view


def _expanded(x: torch.Tensor) -> torch.Tensor:
    return x if x.dim() == 0 or x.shape[0] == 0 else x[:1].expand(x.shape)


@dataclass(frozen=True)
class Layout:
    """How tensors lie in memory, and the sizes they have unless the op needs others."""

    name: str
    shape: Shape
    place: Callable[[torch.Tensor], torch.Tensor] = torch.clone


LAYOUTS = (
    Layout("contiguous", (3, 5, 8)),
    Layout("transposed", (3, 5, 8), _transposed),
    Layout("sliced", (3, 5, 7), _sliced),
    Layout("expanded", (3, 5, 8), _expanded),
    Layout("scalar", ()),
    Layout("empty", (2, 0, 3)),
    Layout("one", (1,)),
    Layout("odd", (131,)),
)
PLAIN = Layout("contiguous", (3, 5, 8))


# arguments ----------------------------------------------------------------------------------------
NUMBERS: dict[
    str, list[Any]
] = {  # of Scalars, floats, ints and lists, by op and parameter, or by parameter
    "alpha": [1, 2],
    "celu.alpha": [1.0, 0.5],
    "elu.alpha": [1, 0.5],
    "scale": [1, 1.5],
    "input_scale": [1, 2],
    "value": [1, 2],
    "weight": [0.3, 0.7],
    "exponent": [2, 3, 0.5, -1],
    "pow.self": [2, 0.5],
    "float_power.self": [2.5],
    "other": [3, 2.5, -2],
    "self": [3, -2.5],
    "min": [None, -1, 0.5],
    "max": [1, None, 2],
    "clamp_min.min": [0, 0.5],
    "clamp_max.max": [1, 0.5],
    "lambd": [0.5],
    "threshold": [0.5, 20],
    "negative_slope": [0.01, 0.2],
    "beta": [1, 2.0],
    "min_val": [-1],
    "max_val": [1],
    "eps": [None, 0.1],
    "nan": [None, 1.0],
    "posinf": [None, 2.0],
    "neginf": [None, -3.0],
    "decimals": [0, 2, -1],
    "rounding_mode": [None, "trunc", "floor"],
    "approximate": ["none", "tanh"],
    "dim": [0, -1],
    "keepdim": [False, True],
    "unbiased": [True, False],
    "correction": [None, 0, 2],
    "reduction": [1, 0, 2],
    "delta": [1.0, 0.5],
    "diagonal": [0, 1, -2],
    "fill_value": [2, 2.5, True],
    "s": [2, 0.5],
    "start": [0, 2, 0.5],
    "end": [9, 17, 30],
    "step": [1, 3, 0.5],
    "steps": [5, 1, 8],
    "n": [3, 4],
    "m": [5],
    "p": [2, 1, 0, INF, -INF, 3],
    "ord": [2, 1, 0, INF, -INF, 3],
    "dropout.p": [0.5],
    "train": [False],
    "dtype": [None, torch.float64],
    "half_to_float": [False],
    "size": [[2, 3]],
    "view.size": [[-1], [3, -1]],
    "reshape.shape": [[-1], [3, -1]],
    "_unsafe_view.size": [[-1]],
    "expand.size": [[2, 3, 5, 8], [-1, -1, -1]],
    "broadcast_to.size": [[2, 3, 5, 8]],
    "permute.dims": [[2, 0, 1], [0, -1, 1]],
    "flip.dims": [[0], [1, -1]],
    "dim0": [0, 1],
    "dim1": [-1, 0],
    "axis0": [0],
    "axis1": [1],
    "source": [0, 2],
    "destination": [2, 0],
    "movedim.source.list": [[0, 1]],
    "movedim.destination.list": [[2, 0]],
    "moveaxis.source.list": [[0, 1]],
    "moveaxis.destination.list": [[2, 0]],
    "start_dim": [0, 1],
    "end_dim": [-1, 1],
    "sizes": [[1, -1]],
    "unflatten.dim": [1],
    "slice.start": [None, 1, -3, 2],
    "slice.end": [None, -1, 100, 2],
    "slice.step": [1, 2],
    "select.index": [0, -1],
    "narrow.start": [1, -2],
    "length": [2],
    "indices": [[1, 3], [2]],
    "repeats": [[2, 1, 3], [2, 1, 1, 2]],
    "log_target": [False, True],
    "chunks": [2, 3],
    "split_size": [2, 3],
    "split.split_size.list": [[1, 2]],
    "split_sizes": [[1, 2]],
    "sections": [2, 3],
    "offset": [0, 1, -1],
    "dimension": [0, -1],
    "unfold.size": [2],
    "unfold.step": [1, 2],
    "shifts": [[1], [-2]],
    "roll.dims": [[0], []],
    "normalized_shape": [[8], [5, 8]],
    "split.dim.list": [0],
    "split_with_sizes.dim": [0],
    "memory_format": [None],
    "linspace.start": [0, -1.5],
    "linspace.end": [1, 4],
    "copy": [False],
    "index": [0],
    "implicit": [False],
    "non_blocking": [False],
    "device": ["cpu"],
    "contiguous.memory_format": [0],
    "cudnn_enable": [True],
    "softplus.threshold": [20, 1],
    "native_dropout_backward.scale": [2.0],
    "layer_norm.eps": [1e-5],
    "native_layer_norm.eps": [1e-5],
}
SHAPES: dict[str, Shape] = {  # of the tensors of ops that need certain sizes
    "t": (5, 8),
    "numpy_T": (5, 8),
    "outer": (7,),
    "ger": (7,),
    "layer_norm": (3, 5, 8),
    "native_layer_norm": (3, 5, 8),
    "rms_norm": (3, 5, 8),
    "glu": (4, 5, 8),
    "special_logsumexp": (3, 5, 8),
    "nll_loss": (7, 5),
    "cross_entropy_loss": (7, 5),
}
CLASS_LOSSES = ("nll_loss", "cross_entropy_loss")
UNIT_INTERVAL = (
    "kl_div.target",
    "binary_cross_entropy.self",
    "binary_cross_entropy.target",
    "binary_cross_entropy_with_logits.target",
)


def cases(op: Op, dtype: torch.dtype, layout: Layout = PLAIN) -> Iterator[Case]:
    """Calls of an op: enough of them that every choice of every parameter occurs."""
    named = op.qualified.partition("::")[2]
    if named in CALLS:
        formals = [a.name for a in op.schema.arguments]
        yield from map(Case, calls(named, formals, dtype, layout.place))
        return
    short = op.name.partition("::")[2]
    shape = SHAPES.get(short, layout.shape)
    choices = {
        a.name: _choices(op, short, a, shape, dtype, layout, k)
        for k, a in enumerate(op.schema.arguments)
    }
    for n in range(max(map(len, choices.values()), default=1)):
        yield Case(
            {name: options[n % len(options)] for name, options in choices.items() if options}
        )


def _choices(
    op: Op,
    short: str,
    argument: Argument,
    shape: Shape,
    dtype: torch.dtype,
    layout: Layout,
    position: int,
) -> list[Any]:
    type_ = argument.type
    inner = type_.element if isinstance(type_, T.OptionalType) else type_
    if isinstance(inner, T.TensorType):
        return _tensors(op, short, argument, shape, dtype, layout, position)
    if isinstance(inner, T.ListType) and isinstance(inner.element, T.TensorType):
        return [
            [
                layout.place(values(math.prod(shape), dtype, (-8, 8), k).reshape(shape))
                for k in range(3)
            ]
        ]
    keys = [f"{short}.{argument.name}", argument.name]
    if (
        isinstance(inner, T.ListType)
        or (f"{short}.split_size.list" in NUMBERS
        and op.qualified.endswith("sizes"))
    ):
        keys.insert(0, f"{short}.{argument.name}.list")
    found = next((NUMBERS[k] for k in keys if k in NUMBERS), [])
    if isinstance(inner, T.ListType):
        return [v if v is None or isinstance(v, list) else [v] for v in found]
    if argument.name == "dtype" and not argument.has_default:
        return [torch.float64, torch.int32]
    if inner == T.NUMBER and not isinstance(op.rule, Create | Composite):
        found = list(dict.fromkeys(_fitting(v, dtype) for v in found))
    return found


def _fitting(number: Any, dtype: torch.dtype) -> Any:
    """A number of the dtype's category, so that it does not change the result's dtype."""
    if number is None or isinstance(number, str) or dtype.is_floating_point:
        return number
    return (
        bool(number)
        if dtype is torch.bool
        else abs(int(number))
        if dtype is torch.uint8
        else int(number)
    )


def _tensors(
    op: Op,
    short: str,
    argument: Argument,
    shape: Shape,
    dtype: torch.dtype,
    layout: Layout,
    position: int,
) -> list[Any]:
    domain = op.rule.domain if isinstance(op.rule, Pointwise) else (-8.0, 8.0)
    if f"{short}.{argument.name}" in UNIT_INTERVAL:
        return [layout.place(torch.linspace(0.05, 0.95, math.prod(shape)).reshape(shape).to(dtype))]
    if isinstance(op.rule, Pointwise) and argument.name in op.rule.own:
        dtype = torch.bool
    if short in CLASS_LOSSES and argument.name != "self":
        target = torch.arange(shape[0]) % shape[1]
        return [target, torch.where(target == 2, -100, target)] if argument.name == "target" else []
    if argument.name in ("weight", "bias") and "norm" in short:
        shape = shape[-1:]
    if short == "prelu" and argument.name == "weight":
        shape = (shape[1] if len(shape) > 1 else 1,)
    data = values(math.prod(shape), dtype, domain, position).reshape(shape)
    return [layout.place(data)] if short != "contiguous" else [data, _transposed(data)]


def grid(dtype: torch.dtype, count: int) -> list[torch.Tensor]:
    """`count` tensors that pair every special value with every other."""
    edge = specials(dtype) if count < 3 else specials(dtype)[:12]
    combined = list(itertools.product(edge, repeat=min(count, 2)))
    columns = [torch.tensor([c[k % len(c)] for c in combined], dtype=dtype) for k in range(count)]
    return [c.roll(5 * k) if k > 1 else c for k, c in enumerate(columns)]
