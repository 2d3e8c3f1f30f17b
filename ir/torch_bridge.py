"""The only module of `ir` that knows torch: its operator registry, its objects as constants.

Torch is asked lazily, one operator name at a time. Constants of the IR are torch-free: a dtype is a
`DType`, a layout or memory format its integer code, a device its name; `to_torch` makes torch's
object of one where it is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, cached_property
from operator import is_
from typing import Any, TypeVar, cast

import torch

from ir import dtypes, futures
from ir import types as T
from ir.dtypes import DType
from ir.futures import Future
from ir.literals import object_type, scalar_type, tuple_type, type_of_literal
from ir.op import Effect, Op, Opaque
from ir.ops.methods import METHODS
from ir.schema import Schema, declared_schema

R = TypeVar("R")

_OPAQUE = Opaque()

# Written to in training mode, which torch's schemas do not say.
_RUNNING_STATISTICS = re.compile(r"Tensor\? (running_mean|running_var)\b")
_UPDATES_STATISTICS = (
    "aten::batch_norm",
    "aten::instance_norm",
    "aten::native_batch_norm",
    "aten::_batch_norm_impl_index",
    "aten::cudnn_batch_norm",
    "aten::miopen_batch_norm",
    "aten::sync_batch_norm",
)

_TO_TORCH: dict[DType, torch.dtype] = {d: getattr(torch, d.name) for d in dtypes.ALL}
_FROM_TORCH = {t: d for d, t in _TO_TORCH.items()}
_LAYOUTS = (
    torch.strided,
    torch.sparse_coo,
    torch.sparse_csr,
    torch._mkldnn,  # type: ignore[attr-defined]
    torch.sparse_csc,
    torch.sparse_bsr,
    torch.sparse_bsc,
    torch.jagged,
)
_MEMORY_FORMATS = (
    torch.contiguous_format,
    torch.preserve_format,
    torch.channels_last,
    torch.channels_last_3d,
)


# operators ----------------------------------------------------------------------------------------
@cache
def opaque_overloads(name: str) -> tuple[Op, ...]:
    """Torch's overloads of a name such as `aten::add`, in its order; empty for an unknown name."""
    schemas = torch._C._jit_get_schemas_for_operator(name)
    return tuple(_Overload(_marked(name, str(schema))) for schema in schemas)


def _marked(name: str, text: str) -> str:
    if name not in _UPDATES_STATISTICS:
        return text
    return _RUNNING_STATISTICS.sub(r"Tensor(\1!)? \1", text)


class _Overload(Op):
    """An overload of torch's; its schema is parsed when its columns are first asked for."""

    def __init__(self, text: str) -> None:
        vars(self).update(schema=declared_schema(text), rule=_OPAQUE, infer=None, inplace_of=None)

    @cached_property
    def effect(self) -> Effect:
        return _effect(self.schema)

    @cached_property
    def reshapes(self) -> bool:
        return self.name != "aten::detach_" and _has_tag(self.schema, torch.Tag.inplace_view)

    @cached_property
    def python(self) -> Callable[..., Any] | None:
        holds_tensor = any(_holds_tensor(a.type) for a in self.schema.arguments)
        return None if holds_tensor else METHODS.get(self.schema.name)


def _holds_tensor(type_: T.Type) -> bool:
    return isinstance(type_, T.TensorType) or (
        isinstance(type_, T.OptionalType) and _holds_tensor(type_.element)
    )


def _effect(schema: Schema) -> Effect:
    """Alias marks, tags and the absence of results say what an op does."""
    if schema.is_mutable:
        return Effect.WRITE
    if _is_random(schema):
        return Effect.RANDOM
    if not schema.returns:
        return Effect.SIDE
    return Effect.ALIAS if any(r.alias for r in schema.returns) else Effect.PURE


def _is_random(schema: Schema) -> bool:
    if any(a.type == T.optional(T.GENERATOR) for a in schema.arguments):
        return True
    return _has_tag(schema, torch.Tag.nondeterministic_seeded)


def _has_tag(schema: Schema, tag: torch.Tag) -> bool:
    found = torch._C._get_operation_overload(schema.name, schema.overload)
    return found is not None and tag in found[2]


# Declared for TorchScript's programs only: no kernel takes a Python list.
_PYTHON_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "aten::tensor": torch.tensor,
    "aten::as_tensor": torch.as_tensor,
    "prim::layout": lambda tensor: tensor.layout,
}


# Generated overloads, which Python has no way to call: they do not convert to the dtype of `out`.
_NUMBERS_OUT = re.compile(r"^aten::(add|sub|mul|div|floor_divide|bitwise_\w+)\.Scalar\w*_out$")


@cache
def reference(op: Op) -> Callable[..., Any]:
    """What runs an op on Python and torch values, given its inputs in the schema's order.

    Torch's own operators take the parameters after `*` by keyword only.
    """
    if op.python is not None:
        return op.python
    if op.name in _PYTHON_FUNCTIONS:
        return _PYTHON_FUNCTIONS[op.name]
    if _NUMBERS_OUT.search(op.qualified):
        return cast(Callable[..., Any], getattr(torch, op.name.removeprefix("aten::")))
    found = torch._C._get_operation_overload(op.name, op.schema.overload)
    if found is None:
        raise KeyError(f"torch has no operator {op.qualified}")
    return found[0]


# values -------------------------------------------------------------------------------------------
def type_of(value: object) -> T.Type:
    """The type of any value; complete for a dense tensor."""
    return type_of_literal(value, _leaf_type)


def erased_type_of(value: object) -> T.Type:
    """The type of any value with nothing known of its tensors: what a signature says."""
    return type_of_literal(
        value, lambda leaf: T.TENSOR if isinstance(leaf, torch.Tensor) else _leaf_type(leaf)
    )


def _leaf_type(value: object) -> T.Type:
    match value:
        case torch.Tensor():
            return tensor_type(value)
        case torch.dtype():
            return T.DTYPE
        case torch.device():
            return T.DEVICE
        case torch.layout():
            return T.LAYOUT
        case torch.memory_format():
            return T.MEMORY_FORMAT
        case torch.Generator():
            return T.GENERATOR
        case torch.Size():
            return T.SIZE
        case tuple():  # a named result such as that of torch.max
            return tuple_type(value, _leaf_type)
        case _:
            return object_type(value)


def tensor_type(value: torch.Tensor) -> T.TensorType:
    """All facts of one tensor; only the device and requires_grad of one without dense storage."""
    if value.layout is not torch.strided or value.is_nested:
        return T.TensorType(None, None, None, value.requires_grad, str(value.device))
    return T.TensorType(
        dtype_of(value.dtype),
        tuple(value.shape),
        tuple(value.stride()),
        value.requires_grad,
        str(value.device),
    )


def dtype_of(dtype: torch.dtype) -> DType | None:
    """None for dtypes outside the typed IR (quantized, 8-bit floats ...)."""
    return _FROM_TORCH.get(dtype)


def to_torch_dtype(dtype: DType) -> torch.dtype:
    """Torch's object for a dtype."""
    return _TO_TORCH[dtype]


def constant_of(value: object) -> tuple[Any, T.Type]:
    """A torch or Python value as the IR keeps it in a constant, and its type."""
    known = scalar_type(value)
    if known is not None:
        return value, known
    match value:
        case torch.dtype() if value in _FROM_TORCH:
            return _FROM_TORCH[value], T.DTYPE
        case torch.device():
            return str(value), T.DEVICE
        case torch.layout():
            return _LAYOUTS.index(value), T.LAYOUT
        case torch.memory_format():
            return _MEMORY_FORMATS.index(value), T.MEMORY_FORMAT
        case torch.Size():
            return [int(v) for v in value], T.ListType(T.INT)
        case _:
            return value, type_of(value)


_KEPT_OTHERWISE = {T.DTYPE, T.DEVICE, T.LAYOUT, T.MEMORY_FORMAT}  # by constants, than torch does


def to_torch(value: Any, type_: T.Type) -> Any:
    """The value that a constant of the IR stands for at run time."""
    if isinstance(value, DType):
        return _TO_TORCH[value]
    if value is None:
        return None
    match type_:
        case T.DEVICE if isinstance(value, str):
            return torch.device(value)
        case T.LAYOUT if isinstance(value, int):
            return _LAYOUTS[value]
        case T.MEMORY_FORMAT if isinstance(value, int):
            return _MEMORY_FORMATS[value]
        case T.ListType(element=element) if element in _KEPT_OTHERWISE:
            items = [to_torch(item, element) for item in value]
            return value if all(map(is_, items, value)) else items
        case T.TupleType(elements=elements, cls=None) if _KEPT_OTHERWISE & {*elements}:
            return tuple(map(to_torch, value, elements))
        case _:
            return value


# threads ------------------------------------------------------------------------------------------
def fork(func: Callable[..., R], *args: Any, **kwargs: Any) -> Future[R]:
    """Start `func(*args, **kwargs)` on another thread, under this one's grad mode, inference mode
    and autocast. Where dispatch or function modes or functorch are active, which are a thread's
    own, the task runs at once; so a trace records what it does.
    """
    if _has_modes():
        return futures.completed(lambda: func(*args, **kwargs))
    is_recorded, is_inferred = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    is_cast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def run() -> R:
        with (
            torch.inference_mode(is_inferred),
            torch.set_grad_enabled(is_recorded),
            torch.autocast("cpu", dtype, is_cast),
        ):
            return func(*args, **kwargs)

    return futures.fork(run)


def _has_modes() -> bool:
    stacks = (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack())
    return any(stacks) or torch._C._functorch.peek_interpreter_stack() is not None
